/* lane_night.h - one lane on a desk: what the tests of the batch lane share. */
#ifndef OFFPEAK_TESTS_UNIT_LANE_NIGHT_H
#define OFFPEAK_TESTS_UNIT_LANE_NIGHT_H

/* Nights of the batch lane at a provider that does what the test says, in simulated time. */
#include "tests/unit/desk.h"
#include "tests/unit/night.h"

#include "worker/batch.h"
#include "worker/journal.h"
#include "worker/lane_batch.h"
#include "worker/openai.h"
#include "worker/account.h"
#include "worker/spool.h"
#include <stdio.h>
#include <stdlib.h>

#define SECOND     INT64_C(1000)
#define MINUTE     (60 * SECOND)
#define CALLS_MAX  2000
#define EVENTS_MAX 16384

struct lane_night {
    struct night *n;
    struct desk desk;
    struct account account;
    struct secret *key;
    struct batch_conf conf;
    struct cancels *cancels; /* of the next lane that is started, or NULL */
    struct loop_timer *alarm;
    uint64_t at[CALLS_MAX]; /* of the jobs submitted, in order */
    uint32_t jobs;
    bool recovered;
    int stops;
    struct err stop;
    char events[EVENTS_MAX];
    size_t events_len;
    const char *awaited;     /* the event that ends until_told, once */
    uint64_t rows_at_replan; /* journal rows when a call was given back */
    struct call *replanned[CALLS_MAX];
    uint32_t replanned_len;
    enum desk_op watched; /* what the journal said when that request left */
    char said[32];
};

/* ---- life ---- */

static inline void on_replan(void *ctx, struct call *c)
{
    struct lane_night *ln = ctx;
    assert_null(c->batch);
    assert_int_equal(c->state, CALL_PLANNED);
    ln->replanned[ln->replanned_len++] = c;
}

static inline void on_recovered(void *ctx)
{
    ((struct lane_night *)ctx)->recovered = true;
}

static inline void on_event(void *ctx, const char *batch, const char *text)
{
    struct lane_night *ln = ctx;
    (void)batch;
    size_t left = sizeof(ln->events) - ln->events_len;
    int n = snprintf(ln->events + ln->events_len, left, "%s\n", text);
    ln->events_len += MIN_OF((size_t)n, left - 1);
    if (ln->awaited && strstr(text, ln->awaited)) {
        ln->awaited = NULL;
        loop_stop(ln->n->loop);
    }
}

static inline void on_stop(void *ctx, const struct err *err)
{
    struct lane_night *ln = ctx;
    ln->stops++;
    ln->stop = *err;
}

static inline void given_key(struct lane_night *ln, const char *key, const char *url)
{
    char value[64];
    struct err err;
    const struct secret_sources from = {.env_value = value};
    snprintf(value, sizeof(value), "%s", key);
    secret_destroy(ln->key);
    assert_int_equal(secret_load(&ln->key, &from, &err), 0);
    assert_int_equal(account_init(&ln->account, url, ln->key, &err), 0);
}

static inline int start_lane(struct lane_night *ln, struct err *err)
{
    const struct lane_batch_conf conf = {
        .loop = ln->n->loop,
        .queue = ln->n->queue,
        .feed = ln->n->feed,
        .http = &ln->desk.http,
        .calls = ln->n->calls,
        .settle = ln->n->settle,
        .cancels = ln->cancels,
        .provider = &provider_openai,
        .account = &ln->account,
        .batch = &ln->conf,
        .dir = ln->n->dir,
        .on_replan = on_replan,
        .on_recovered = on_recovered,
        .on_step = on_event,
        .on_event = on_event,
        .on_stop = on_stop,
        .ctx = ln,
    };
    ln->recovered = false;
    assert_int_equal(lane_batch_create(&ln->n->lane, &conf, err), 0);
    return lane_batch_recover(ln->n->lane, err);
}

static inline void begin_lane(struct lane_night *ln)
{
    struct err err;
    if (start_lane(ln, &err) < 0) {
        fail_msg("%s", err.msg);
    }
}

static inline void on_alarm(void *ctx)
{
    loop_stop(((struct lane_night *)ctx)->n->loop);
}

static inline void pass(struct lane_night *ln, int64_t ms)
{
    loop_timer_start(ln->alarm, ms);
    loop_run(ln->n->loop);
}

/* Until the user is told that: the journal says so, and nothing was done about it yet. */
static inline void until_told(struct lane_night *ln, const char *part)
{
    ln->awaited = part;
    loop_timer_start(ln->alarm, 60 * MINUTE);
    loop_run(ln->n->loop);
    if (ln->awaited) {
        fail_msg("no event said '%s' within an hour:\n%s", part, ln->events);
    }
}

static inline int begin(void **state)
{
    struct lane_night *ln = calloc(1, sizeof(*ln));
    night_falls((void **)&ln->n);
    desk_open(&ln->desk, ln->n->loop);
    given_key(ln, "sk-test", "http://127.0.0.1:1/v1");
    ln->conf = (struct batch_conf){.poll_ms = 10 * SECOND,
                                   .absent_after_ms = 5 * MINUTE,
                                   .max_requests = 50000,
                                   .max_bytes = 1 << 20,
                                   .give_up_ms = 10 * MINUTE,
                                   .line_attempts = 3};
    assert_int_equal(loop_timer_create(ln->n->loop, on_alarm, ln, &ln->alarm), 0);
    begin_lane(ln);
    *state = ln;
    return 0;
}

static inline void end_lane(struct lane_night *ln)
{
    ln->n->lane = lane_batch_destroy(ln->n->lane);
}

static inline int end(void **state)
{
    struct lane_night *ln = *state;
    end_lane(ln);
    desk_close(&ln->desk);
    ln->alarm = loop_timer_destroy(ln->alarm);
    secret_destroy(ln->key);
    night_ends((void **)&ln->n);
    free(ln);
    return 0;
}

/* The process dies where it is and starts again; the desk does not notice. */
static inline void crash(struct lane_night *ln)
{
    end_lane(ln);
    night_crash(ln->n);
}

static inline void crash_and_go_on(struct lane_night *ln)
{
    crash(ln);
    begin_lane(ln);
}

/* ---- given, when, then ---- */

static inline void submit(struct lane_night *ln, const char *const *questions, uint32_t n)
{
    struct call *calls[CALLS_MAX];
    struct err err;
    for (uint32_t i = 0; i < n; i++) {
        struct asked a = {.question = questions[i]};
        ln->at[ln->jobs] = release_job(ln->n, &a);
        calls[i] = call_for(ln->n, ln->at[ln->jobs++]);
    }
    if (lane_batch_submit(ln->n->lane, calls, n, &err) < 0) {
        fail_msg("%s", err.msg);
    }
}

/* n questions that all differ */
static inline void given_batch(struct lane_night *ln, uint32_t n)
{
    static char text[CALLS_MAX][24];
    const char *questions[CALLS_MAX];
    for (uint32_t i = 0; i < n; i++) {
        snprintf(text[i], sizeof(text[i]), "question-%u", ln->jobs + i);
        questions[i] = text[i];
    }
    submit(ln, questions, n);
}

static inline struct lane_status status(struct lane_night *ln)
{
    struct lane_status s;
    lane_batch_status(ln->n->lane, &s);
    return s;
}

/* The state of the only batch in the journal, "none" or "many". */
static inline const char *journal_says(struct lane_night *ln)
{
    static char state[32];
    struct err err;
    struct queue_msg m;
    struct queue_cursor *c;
    int rows = 0;
    snprintf(state, sizeof(state), "none");
    assert_int_equal(queue_cursor_open(ln->n->queue, &c, &err), 0);
    assert_int_equal(queue_read_table(c, TABLE_BATCHES, 0, SPAN_NONE), 0);
    while (queue_read(c, &m, &err) > 0) {
        if (m.key.n == BATCH_ID_BYTES - 1 && rows++ == 0) {
            const char *at = strstr(m.value.p, "\"state\":\"") + 9;
            snprintf(state, sizeof(state), "%.*s", (int)strcspn(at, "\""), at);
        }
    }
    queue_cursor_close(c);
    return rows > 1 ? "many" : state;
}

static inline void assert_event(struct lane_night *ln, const char *part)
{
    if (!strstr(ln->events, part)) {
        fail_msg("no event says '%s':\n%s", part, ln->events);
    }
}

static inline void assert_all_answered(struct lane_night *ln)
{
    for (uint32_t i = 0; i < ln->jobs; i++) {
        assert_result(ln->n, ln->at[i], "answer to ");
        assert_true(is_acked(ln->n, ln->at[i]));
    }
}

static inline void assert_over(struct lane_night *ln)
{
    assert_int_equal(ln->stops, 0);
    assert_string_equal(journal_says(ln), "none");
    assert_true(lane_batch_idle(ln->n->lane));
    assert_int_equal(call_count(ln->n->calls), ln->replanned_len);
}

/* Every job has its answer, the journal is empty, and nothing was billed twice. */
static inline void assert_bought_once(struct lane_night *ln)
{
    assert_over(ln);
    assert_all_answered(ln);
    assert_int_equal(ln->desk.billed, ln->jobs);
    struct spend_head heads[CALLS_MAX];
    assert_int_equal(spend_heads(ln->n, heads, CALLS_MAX), ln->jobs);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

#endif
