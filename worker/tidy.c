#include "worker/tidy.h"

#include "core/loop.h"
#include "worker/settle.h"
#include "worker/tidy_int.h"
#include <stdlib.h>

#define BUSY_MS 500 /* look again when a step must wait for quiet */

typedef int (*step_fn)(struct tidy *t, struct queue_tx *tx, struct err *err);

/* A run's results go a pass after its row, and never before it. */
static const struct phase {
    step_fn step;
    bool quiet; /* only while settle has nothing under way that it would meet */
    bool alone; /* only where no other worker is */
} phases[] = {
    {tidy_ready, false, false}, {tidy_results, false, true}, {tidy_dead, false, true},
    {tidy_marks, true, true},   {tidy_runs, true, true},     {tidy_answers, true, false},
};

static void first_done(struct tidy *t)
{
    if (t->first_until_ms) {
        t->first_until_ms = 0;
        t->conf.on_first(t->conf.ctx);
    }
}

static void fail(struct tidy *t, const struct err *err)
{
    if (!t->failed) {
        t->failed = true;
        t->conf.on_failed(t->conf.ctx, err);
    }
}

static void begin_phase(struct tidy *t)
{
    t->name[0] = '\0';
    t->part = 0;
    t->walking = false;
}

static void begin_pass(struct tidy *t)
{
    t->running = true;
    t->phase = 0;
    t->wall_ms = loop_wall_ms(t->conf.loop);
    t->evict_before_ms = INT64_MIN;
    t->walks = 0;
    begin_phase(t);
}

static void next_phase(struct tidy *t)
{
    do {
        t->phase++;
    } while (t->phase < ARRAY_LEN(phases) && phases[t->phase].alone && !t->alone);
    begin_phase(t);
}

/* Its last commit has come. */
static void end_pass(struct tidy *t)
{
    t->running = false;
    loop_timer_start(t->timer, TIDY_EVERY_MS);
    first_done(t);
}

static void on_commit(void *ctx, uint64_t commit, const struct err *err)
{
    struct tidy_commit *c = ctx;
    struct tidy *t = c->tidy;
    (void)commit;
    free(c);
    if (!t) {
        return;
    }
    t->flight = NULL;
    if (err) {
        fail(t, err);
    } else {
        loop_timer_start(t->timer, 0);
    }
}

/* Hands over what a step put together; 0 when it was nothing. */
static int commit_step(struct tidy *t, struct queue_tx *tx, struct err *err)
{
    if (queue_tx_empty(tx)) {
        queue_tx_drop(tx);
        return 0;
    }
    t->flight = calloc(1, sizeof(*t->flight));
    if (!t->flight) {
        queue_tx_drop(tx);
        return err_set(err, ERR_FAIL, "could not tidy: out of memory");
    }
    t->flight->tidy = t;
    queue_commit(tx, on_commit, t->flight);
    return 1;
}

/* 1: a commit is under way, 0: nothing to commit. */
static int step(struct tidy *t, struct err *err)
{
    struct queue_tx *tx = NULL;
    if (queue_begin(t->conf.queue, &tx) < 0) {
        return err_set(err, ERR_FAIL, "could not tidy: out of memory");
    }
    int rc = phases[t->phase].step(t, tx, err);
    if (rc < 0) {
        queue_tx_drop(tx);
        return rc;
    }
    if (rc == 0) {
        next_phase(t);
    }
    return commit_step(t, tx, err);
}

static void on_timer(void *ctx)
{
    struct tidy *t = ctx;
    struct err err = {0};
    if (t->failed || t->flight) {
        return;
    }
    if (!t->running) {
        begin_pass(t);
    }
    if (t->first_until_ms && loop_now_ms(t->conf.loop) >= t->first_until_ms) {
        first_done(t);
    }
    if (t->phase == ARRAY_LEN(phases)) {
        end_pass(t);
        return;
    }
    if (phases[t->phase].quiet && !settle_idle(t->conf.settle)) {
        loop_timer_start(t->timer, BUSY_MS);
        return;
    }
    int rc = step(t, &err);
    if (rc < 0) {
        fail(t, &err);
    } else if (rc == 0) {
        loop_timer_start(t->timer, 0);
    }
}

/* ---- life ---- */

static int find_partitions(struct tidy *t, struct err *err)
{
    uint32_t partitions = 0;
    int rc = queue_partitions(t->conf.queue, TOPIC_READY, &partitions, err);
    t->alone = partitions == 1;
    t->owned_n = queue_owned(t->conf.queue, TOPIC_READY, t->owned, READY_PARTITIONS_MAX);
    return rc;
}

int tidy_create(struct tidy **ret, const struct tidy_conf *conf, struct err *err)
{
    struct tidy *t = calloc(1, sizeof(*t));
    if (!t || loop_timer_create(conf->loop, on_timer, t, &t->timer) < 0) {
        free(t);
        return err_set(err, ERR_FAIL, "could not create the housekeeping: out of memory");
    }
    t->conf = *conf;
    int rc = find_partitions(t, err);
    if (rc >= 0) {
        rc = queue_cursor_open(conf->queue, &t->walk, err);
    }
    if (rc >= 0) {
        rc = queue_cursor_open(conf->queue, &t->look, err);
    }
    if (rc < 0) {
        tidy_destroy(t);
        return rc;
    }
    *ret = t;
    return 0;
}

void tidy_start(struct tidy *t)
{
    t->first_until_ms = loop_now_ms(t->conf.loop) + TIDY_FIRST_MS;
    loop_timer_start(t->timer, 0);
}

struct tidy *tidy_destroy(struct tidy *t)
{
    if (t) {
        if (t->flight) {
            t->flight->tidy = NULL;
        }
        queue_cursor_close(t->walk);
        queue_cursor_close(t->look);
        loop_timer_destroy(t->timer);
        free(t);
    }
    return NULL;
}
