/* direct_night.h - a night of a lane that makes calls one by one: what its tests share. */
#ifndef OFFPEAK_TESTS_UNIT_DIRECT_NIGHT_H
#define OFFPEAK_TESTS_UNIT_DIRECT_NIGHT_H

#include "tests/unit/night.h"
#include "tests/unit/phone.h"

#include "core/secret.h"
#include "worker/journal.h"
#include "worker/lane_direct.h"
#include "worker/openai.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE   INT64_C(60000)
#define JOBS_MAX 2000

struct direct_night {
    struct night *n;
    struct phone phone;
    struct direct_conf conf;
    struct loop_timer *alarm;
    const char *origin;
    enum lane lane;
    uint64_t at[JOBS_MAX];
    char questions[JOBS_MAX][24];
    uint32_t jobs, tries;
    unsigned servers; /* 0: one */
    int stops;
    struct err stop;
    char events[8192];
    size_t events_len;
    unsigned unjournaled; /* calls that left and stood in no slice */
};

/* ---- life ---- */

static inline void on_event(void *ctx, const char *subject, const char *text)
{
    struct direct_night *d = ctx;
    (void)subject;
    size_t left = sizeof(d->events) - d->events_len;
    int n = snprintf(d->events + d->events_len, left, "%s\n", text);
    d->events_len += MIN_OF((size_t)n, left - 1);
}

static inline void on_stop(void *ctx, const struct err *err)
{
    struct direct_night *d = ctx;
    d->stops++;
    d->stop = *err;
}

static inline int start(struct direct_night *d, struct err *err)
{
    static const char *const urls[] = {"http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1",
                                       "http://127.0.0.1:3/v1"};
    const struct lane_direct_conf conf = {
        .loop = d->n->loop,
        .queue = d->n->queue,
        .feed = d->n->feed,
        .http = &d->phone.http,
        .calls = d->n->calls,
        .settle = d->n->settle,
        .provider = &provider_openai,
        .lane = d->lane,
        .account = "acc0",
        .origin = d->origin,
        .servers = urls,
        .servers_n = d->servers ? d->servers : 1,
        .direct = &d->conf,
        .on_event = on_event,
        .on_stop = on_stop,
        .ctx = d,
    };
    assert_int_equal(lane_direct_create(&d->n->direct, &conf, err), 0);
    int rc = lane_direct_recover(d->n->direct, err);
    if (rc >= 0) {
        lane_direct_start(d->n->direct);
    }
    return rc;
}

static inline void start_well(struct direct_night *d)
{
    struct err err = {0};
    if (start(d, &err) < 0) {
        fail_msg("%s", err.msg);
    }
}

static inline void on_alarm(void *ctx)
{
    loop_stop(((struct direct_night *)ctx)->n->loop);
}

static inline void pass(struct direct_night *d, int64_t ms)
{
    loop_timer_start(d->alarm, ms);
    loop_run(d->n->loop);
}

static inline int begin(void **state)
{
    struct direct_night *d = calloc(1, sizeof(*d));
    night_falls((void **)&d->n);
    phone_open(&d->phone, d->n->loop);
    d->conf = (struct direct_conf){.concurrency = 16,
                                   .timeout_ms = 5 * MINUTE,
                                   .give_up_ms = 10 * MINUTE,
                                   .adapts = true};
    d->origin = "http://127.0.0.1:1";
    d->lane = LANE_SYNC;
    d->tries = 2;
    assert_int_equal(loop_timer_create(d->n->loop, on_alarm, d, &d->alarm), 0);
    start_well(d);
    *state = d;
    return 0;
}

static inline int end(void **state)
{
    struct direct_night *d = *state;
    d->n->direct = lane_direct_destroy(d->n->direct);
    phone_close(&d->phone);
    d->alarm = loop_timer_destroy(d->alarm);
    night_ends((void **)&d->n);
    free(d);
    return 0;
}

/* The process dies where it is; what is at the provider goes on, and its replies find nobody. */
static inline void crash(struct direct_night *d)
{
    d->n->direct = lane_direct_destroy(d->n->direct);
    phone_close(&d->phone);
    night_crash(d->n);
}

static inline void crash_and_go_on(struct direct_night *d)
{
    crash(d);
    start_well(d);
}

/* ---- given, when, then ---- */

static inline void give_of_group(struct direct_night *d, uint64_t group,
                                 const char *question)
{
    struct err err;
    struct asked a = {
        .question = question, .lane = d->lane, .tries = d->tries, .group = group};
    snprintf(d->questions[d->jobs], sizeof(d->questions[0]), "%s", question);
    d->at[d->jobs] = release_job(d->n, &a);
    struct call *c = call_for(d->n, d->at[d->jobs++]);
    assert_int_equal(lane_direct_add(d->n->direct, c, &err), 0);
}

static inline void give(struct direct_night *d, const char *question)
{
    give_of_group(d, 0, question);
}

static inline void given_jobs(struct direct_night *d, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        char question[24];
        snprintf(question, sizeof(question), "question-%u", d->jobs);
        give(d, question);
    }
}

static inline uint32_t journal_rows(struct direct_night *d)
{
    struct err err;
    struct queue_msg m;
    struct queue_cursor *c;
    uint32_t rows = 0;
    assert_int_equal(queue_cursor_open(d->n->queue, &c, &err), 0);
    assert_int_equal(queue_read_table(c, TABLE_BATCHES, 0, SPAN_NONE), 0);
    while (queue_read(c, &m, &err) > 0) {
        rows++;
    }
    queue_cursor_close(c);
    return rows;
}

/* How often a job stands in the journal. */
static inline int count_at(void *ctx, const struct journal_entry *e, struct err *err)
{
    uint64_t *want = ctx; /* the offset, then the count */
    (void)err;
    for (uint32_t i = 0; i < e->n; i++) {
        want[1] += e->at[i] == want[0];
    }
    return 0;
}

static inline uint64_t times_in_journal(struct direct_night *d, uint32_t job)
{
    struct err err;
    uint64_t want[2] = {d->at[job], 0};
    assert_int_equal(journal_read_owned(d->n->queue, count_at, want, &err), 0);
    return want[1];
}

static const struct spend_head *spend_of(struct direct_night *d, size_t *ret_n)
{
    static struct spend_head heads[JOBS_MAX];
    *ret_n = spend_heads(d->n, heads, JOBS_MAX);
    return heads;
}

/* Records of that kind for the job, final or not. */
static inline size_t count_spend(struct direct_night *d, uint32_t job,
                                 enum spend_kind kind, bool final)
{
    struct release r;
    size_t n, found = 0;
    const struct spend_head *h = spend_of(d, &n);
    release_of(d->n, d->at[job], &r);
    for (size_t i = 0; i < n; i++) {
        found += strcmp(h[i].job, r.job) == 0 && h[i].kind == kind && h[i].final == final;
    }
    return found;
}

static inline void assert_answered(struct direct_night *d, uint32_t job)
{
    char text[64];
    snprintf(text, sizeof(text), "answer to %s\"", d->questions[job]);
    assert_result(d->n, d->at[job], text);
    assert_true(is_acked(d->n, d->at[job]));
}

static inline void assert_all_answered(struct direct_night *d)
{
    for (uint32_t i = 0; i < d->jobs; i++) {
        assert_answered(d, i);
    }
}

static inline void assert_over(struct direct_night *d)
{
    assert_int_equal(d->stops, 0);
    assert_int_equal(d->n->stops, 0);
    assert_int_equal(journal_rows(d), 0);
    assert_true(lane_direct_idle(d->n->direct));
    assert_int_equal(call_count(d->n->calls), 0);
}

/* What was executed and is not in a usage record is covered by one in doubt. */
static inline void assert_all_booked(struct direct_night *d)
{
    size_t n, usage = 0, doubts = 0;
    const struct spend_head *h = spend_of(d, &n);
    for (size_t i = 0; i < n; i++) {
        usage += h[i].kind == SPEND_USAGE && !usd_is_zero(h[i].cost);
        doubts += h[i].kind == SPEND_IN_DOUBT;
    }
    assert_in_range(d->phone.executed, usage, usage + doubts);
}

static inline const char *stopped(struct direct_night *d)
{
    struct direct_status s;
    lane_direct_status(d->n->direct, &s);
    return s.account_stop;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

#endif
