/* parts_night.h - a whole worker over some of four partitions of `ready`: what its tests share. */
#ifndef OFFPEAK_TESTS_UNIT_PARTS_NIGHT_H
#define OFFPEAK_TESTS_UNIT_PARTS_NIGHT_H

#include "tests/unit/desk.h"
#include "tests/unit/night.h"
#include "tests/unit/phone.h"

#include "core/secret.h"
#include "worker/worker.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND   INT64_C(1000)
#define MINUTE   (60 * SECOND)
#define JOBS_MAX 64
#define PARTS    4

struct parts_night {
    struct night *n;
    struct desk desk;
    struct phone phone;
    bool by_phone;
    struct secret *key;
    struct worker_settings settings;
    struct worker *worker;
    struct loop_timer *alarm;
    const char *awaited; /* the event that ends until_told, once */
    int stops;
    struct err stop;
    int stopped, quiet; /* worker_stop's word: how often, and of them in time */
    uint64_t at[JOBS_MAX];
    unsigned jobs;
};

static const uint32_t one_and_three[] = {1, 3};

/* ---- life ---- */

static inline void must(int rc, const struct err *err)
{
    if (rc < 0) {
        fail_msg("%s", err->msg);
    }
}

static inline void on_word(void *ctx, const char *subject, const char *text)
{
    struct parts_night *p = ctx;
    (void)subject;
    if (p->awaited && strstr(text, p->awaited)) {
        p->awaited = NULL;
        loop_stop(p->n->loop);
    }
}

static inline void on_stop(void *ctx, const struct err *err)
{
    struct parts_night *p = ctx;
    p->stops++;
    p->stop = *err;
}

static inline void on_alarm(void *ctx)
{
    loop_stop(((struct parts_night *)ctx)->n->loop);
}

static inline void worker_wakes(struct parts_night *p)
{
    struct err err = {0};
    const struct worker_conf conf = {
        .queue = p->n->queue,
        .loop = p->n->loop,
        .http = p->by_phone ? &p->phone.http : &p->desk.http,
        .prices = p->n->prices,
        .base_url = "http://127.0.0.1:1/v1",
        .key = p->key,
        .settings = &p->settings,
        .dir = p->n->dir,
        .on_step = on_word,
        .on_event = on_word,
        .on_stop = on_stop,
        .ctx = p,
    };
    must(worker_create(&p->worker, &conf, &err), &err);
    must(worker_start(p->worker, &err), &err);
}

/* Nobody works yet: a test says first what is owned. */
static inline int begin(void **state)
{
    struct parts_night *p = calloc(1, sizeof(*p));
    struct err err = {0};
    char key[] = "sk-test";
    const struct secret_sources from = {.env_value = key};
    assert_non_null(p);
    night_falls((void **)&p->n);
    desk_open(&p->desk, p->n->loop);
    phone_open(&p->phone, p->n->loop);
    must(secret_load(&p->key, &from, &err), &err);
    p->settings =
        (struct worker_settings){.batch = {.poll_ms = 10 * SECOND,
                                           .absent_after_ms = 5 * MINUTE,
                                           .max_requests = 50000,
                                           .max_bytes = 1 << 20,
                                           .linger_ms = 30 * MINUTE,
                                           .give_up_ms = 10 * MINUTE,
                                           .line_attempts = 3},
                                 .sync = {.concurrency = 16, .timeout_ms = 5 * MINUTE},
                                 .cache_ttl_ms = 10000 * MINUTE,
                                 .results_keep_ms = 10000 * MINUTE,
                                 .retain_ms = 10000 * MINUTE};
    assert_int_equal(loop_timer_create(p->n->loop, on_alarm, p, &p->alarm), 0);
    *state = p;
    return 0;
}

static inline int end(void **state)
{
    struct parts_night *p = *state;
    p->worker = worker_destroy(p->worker);
    desk_close(&p->desk);
    phone_close(&p->phone);
    loop_timer_destroy(p->alarm);
    secret_destroy(p->key);
    night_ends((void **)&p->n);
    free(p);
    return 0;
}

static inline void pass(struct parts_night *p, int64_t ms)
{
    loop_timer_start(p->alarm, ms);
    loop_run(p->n->loop);
}

static inline void until_told(struct parts_night *p, const char *part)
{
    p->awaited = part;
    pass(p, 60 * MINUTE);
    if (p->awaited) {
        fail_msg("nobody said '%s' within an hour", part);
    }
}

/* The process ends where it is, if there is one, and the next one owns those. */
#define owner_of(p, list) owner_of_parts((p), (list), ARRAY_LEN(list))
static inline void owner_of_parts(struct parts_night *p, const uint32_t *owned,
                                  size_t owned_n)
{
    p->worker = worker_destroy(p->worker);
    night_owns(p->n, PARTS, owned, (uint32_t)owned_n);
}

/* ---- given, then ---- */

static inline uint64_t give(struct parts_night *p, uint32_t partition,
                            const char *question)
{
    const struct asked a = {.question = question,
                            .partition = partition,
                            .lane = p->by_phone ? LANE_SYNC : LANE_BATCH,
                            .tries = p->by_phone ? 2 : 1};
    assert_in_range(p->jobs, 0, JOBS_MAX - 1);
    return p->at[p->jobs++] = release_job(p->n, &a);
}

/* So many questions into each partition: "p1-0", "p1-1", ... */
static inline void given_everywhere(struct parts_night *p, unsigned each)
{
    for (unsigned i = 0; i < each; i++) {
        for (uint32_t part = 0; part < PARTS; part++) {
            char question[16];
            (void)snprintf(question, sizeof(question), "p%u-%u", part, i);
            give(p, part, question);
        }
    }
}

static inline void flush_all(struct parts_night *p)
{
    for (uint32_t part = 0; part < PARTS; part++) {
        release_flush(p->n, part);
    }
}

/* Of the jobs given into that partition, how many have their result. */
static inline unsigned answered_in(struct parts_night *p, uint32_t partition)
{
    unsigned found = 0;
    for (unsigned i = 0; i < p->jobs; i++) {
        found += place_partition(p->at[i]) == partition && has_result(p->n, p->at[i]);
    }
    return found;
}

static inline void assert_answered(struct parts_night *p,
                                   const unsigned want[static PARTS])
{
    for (uint32_t part = 0; part < PARTS; part++) {
        if (answered_in(p, part) != want[part]) {
            fail_msg("%u jobs of partition %u have a result, not %u",
                     answered_in(p, part), part, want[part]);
        }
    }
    assert_int_equal(p->stops, 0);
}

static inline unsigned journal_rows(struct parts_night *p, uint32_t partition)
{
    struct err err = {0};
    struct queue_msg m;
    unsigned rows = 0;
    queue_read_table(p->n->cursor, TABLE_BATCHES, partition, SPAN_NONE);
    while (queue_read(p->n->cursor, &m, &err) > 0) {
        rows++;
    }
    return rows;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

#endif
