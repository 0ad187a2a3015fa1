/* cancel_night.h - a night in which runs are cancelled: what tests of worker/cancels.c and
 * worker/lane_cancel.c share. Every job is of run "monday" when it does not say. */
#ifndef OFFPEAK_TESTS_UNIT_CANCEL_NIGHT_H
#define OFFPEAK_TESTS_UNIT_CANCEL_NIGHT_H

#include "tests/unit/lane_night.h"
#include "worker/cancels.h"

struct cancel_night {
    struct lane_night *ln;
    struct plan *plan;
    struct cancels *cancels;
    int marked, failed;
};

/* As in worker/worker.c. */
static inline void on_marked(void *ctx)
{
    struct cancel_night *cn = ctx;
    cn->marked++;
    lane_batch_on_cancel(cn->ln->n->lane);
}

static inline void on_cancels_failed(void *ctx, const struct err *err)
{
    (void)err;
    ((struct cancel_night *)ctx)->failed++;
}

static inline int on_sealed(void *ctx, struct call **calls, uint32_t n, struct err *err)
{
    return lane_batch_submit(((struct cancel_night *)ctx)->ln->n->lane, calls, n, err);
}

static inline void make_cancels(struct cancel_night *cn)
{
    struct err err;
    struct night *n = cn->ln->n;
    const struct plan_conf plan = {.loop = n->loop,
                                   .limits = {.requests = 50000, .bytes = 1 << 20},
                                   .linger_ms = 60 * MINUTE,
                                   .submit = on_sealed,
                                   .ctx = cn};
    assert_int_equal(plan_create(&cn->plan, &plan, &err), 0);
    const struct cancels_conf conf = {.loop = n->loop,
                                      .queue = n->queue,
                                      .calls = n->calls,
                                      .settle = n->settle,
                                      .plan = cn->plan,
                                      .on_marked = on_marked,
                                      .on_failed = on_cancels_failed,
                                      .ctx = cn};
    assert_int_equal(cancels_create(&cn->cancels, &conf, &err), 0);
}

static inline void end_cancels(struct cancel_night *cn)
{
    cn->cancels = cancels_destroy(cn->cancels);
    cn->plan = plan_destroy(cn->plan);
}

static inline int begin_cancels(void **state)
{
    struct cancel_night *cn = calloc(1, sizeof(*cn));
    assert_non_null(cn);
    begin((void **)&cn->ln);
    make_cancels(cn);
    *state = cn;
    return 0;
}

static inline int finish_cancels(void **state)
{
    struct cancel_night *cn = *state;
    assert_int_equal(cn->failed, 0);
    end_cancels(cn);
    end((void **)&cn->ln);
    free(cn);
    return 0;
}

/* The process dies and starts again; what it remembered of runs is gone. */
static inline void crash_with_cancels(struct cancel_night *cn)
{
    end_cancels(cn);
    crash(cn->ln);
    make_cancels(cn);
    cn->ln->cancels = cn->cancels;
    begin_lane(cn->ln);
}

/* What `offpeak cancel --run RUN` writes. */
static inline void cancel_run(struct cancel_night *cn, const char *run)
{
    struct err err;
    struct queue_tx *tx = NULL;
    char key[QUEUE_KEY_MAX];
    uint64_t number;
    const struct cancel_row row = {.who = "ann", .why = "wrong prompt", .time_ms = 1};
    _cleanup_(buf_fini) struct buf json;
    buf_init(&json, 4096);
    cancel_key("tags", run, key);
    assert_int_equal(cancel_row_encode(&row, &json), 0);
    assert_int_equal(queue_begin(cn->ln->n->queue, &tx), 0);
    assert_int_equal(
        queue_table_put(tx, "runs.shop", 0, span_str(key), buf_span(&json), &err), 0);
    assert_int_equal(queue_commit_wait(tx, &number, &err), 0);
    cancels_wake(cn->cancels); /* a commit of somebody */
}

static inline int has(struct cancel_night *cn, uint64_t at)
{
    struct release r;
    struct err err;
    release_of(cn->ln->n, at, &r);
    return cancels_has(cn->cancels, &r, &err);
}

/* A job as intake takes it in: asked after, and a call of its own. */
static inline struct call *take_job(struct cancel_night *cn, const char *question,
                                    const char *run)
{
    const struct asked a = {.question = question, .run = run};
    uint64_t at = release_job(cn->ln->n, &a);
    assert_int_equal(has(cn, at), 0);
    cn->ln->at[cn->ln->jobs++] = at;
    return call_for(cn->ln->n, at);
}

/* ... or one that finds its question under way. */
static inline void join_job(struct cancel_night *cn, struct call *c, const char *question,
                            const char *run)
{
    const struct asked a = {.question = question, .run = run};
    uint64_t at = release_job(cn->ln->n, &a);
    assert_int_equal(has(cn, at), 0);
    cn->ln->at[cn->ln->jobs++] = at;
    assert_int_equal(call_join(cn->ln->n->calls, c, at), 0);
}

static inline void assert_cancelled(struct cancel_night *cn, uint32_t job)
{
    assert_result(cn->ln->n, cn->ln->at[job], "\"status\":\"cancelled\"");
    assert_result(cn->ln->n, cn->ln->at[job], "its run was cancelled");
    assert_true(is_acked(cn->ln->n, cn->ln->at[job]));
}

static inline void assert_answered(struct cancel_night *cn, uint32_t job)
{
    assert_result(cn->ln->n, cn->ln->at[job], "answer to ");
    assert_true(is_acked(cn->ln->n, cn->ln->at[job]));
}

#define CANCEL_TEST(name) \
    cmocka_unit_test_setup_teardown(name, begin_cancels, finish_cancels)

#endif
