#include "scheduler/scheduler.h"

#include "scheduler/scheduler_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 100 /* between two looks for cancelled runs */

static void step(struct scheduler *s);

/* ---- life cycle ---- */

static void on_midnight(void *ctx)
{
    struct scheduler *s = CAST_CTX(scheduler, ctx, SCHEDULER_MAGIC);
    int64_t wall = loop_wall_ms(s->conf.loop);
    s->new_day = true;
    loop_timer_start(s->midnight, clock_next_day(wall) - wall + 1);
    step(s);
}

static void on_soon(void *ctx)
{
    step(CAST_CTX(scheduler, ctx, SCHEDULER_MAGIC));
}

static void on_look(void *ctx)
{
    struct scheduler *s = CAST_CTX(scheduler, ctx, SCHEDULER_MAGIC);
    s->looking = false;
    s->look_due = true;
    step(s);
}

static void on_drop(void *ctx)
{
    struct scheduler *s = CAST_CTX(scheduler, ctx, SCHEDULER_MAGIC);
    s->drop_due = true;
    step(s);
}

static void on_change(void *ctx)
{
    struct scheduler *s = CAST_CTX(scheduler, ctx, SCHEDULER_MAGIC);
    s->dry = false;
    if (!s->looking) {
        s->looking = true;
        loop_timer_start(s->look, LOOK_MS);
    }
    step(s);
}

static int make_parts(struct scheduler *s, struct err *err)
{
    struct flow_caps caps = {.calls = (uint64_t)s->conf.settings->flow_calls,
                             .tokens = (uint64_t)s->conf.settings->flow_tokens};
    s->flow = flow_create(caps);
    s->runs = runs_create();
    s->backlog = backlog_create();
    s->reading = slice_create();
    s->deciding = slice_create();
    if (!s->flow || !s->runs || !s->backlog || !s->reading || !s->deciding) {
        return err_set(err, ERR_FAIL, "could not make the scheduler: out of memory");
    }
    if (loop_timer_create(s->conf.loop, on_midnight, s, &s->midnight) < 0 ||
        loop_timer_create(s->conf.loop, on_soon, s, &s->soon) < 0 ||
        loop_timer_create(s->conf.loop, on_look, s, &s->look) < 0 ||
        loop_timer_create(s->conf.loop, on_drop, s, &s->drop) < 0) {
        return err_set(err, ERR_FAIL, "could not make the scheduler's timers");
    }
    struct budget_default deflt;
    int rc = budget_default_parse(s->conf.settings->budget_default, &deflt, err);
    if (rc >= 0) {
        s->needs_limit = s->conf.needs_limit && !deflt.given;
        rc = books_create(&s->books, &deflt, err);
    }
    if (rc >= 0) {
        rc = queue_cursor_open(s->conf.queue, &s->rows, err);
    }
    if (rc >= 0) {
        rc = queue_cursor_open(s->conf.queue, &s->spend, err);
    }
    return rc;
}

int scheduler_create(struct scheduler **ret, const struct scheduler_conf *conf,
                     struct err *err)
{
    struct scheduler *s = calloc(1, sizeof(*s));
    if (!s) {
        return err_set(err, ERR_FAIL, "could not make the scheduler: out of memory");
    }
    s->magic = SCHEDULER_MAGIC;
    s->conf = *conf;
    int rc = make_parts(s, err);
    if (rc < 0) {
        scheduler_destroy(s);
        return rc;
    }
    *ret = s;
    return 0;
}

struct scheduler *scheduler_destroy(struct scheduler *s)
{
    if (!s) {
        return NULL;
    }
    queue_unwatch(s->conf.queue, on_change, s);
    retention_destroy(s->retention);
    queue_feed_close(s->feed);
    queue_cursor_close(s->spend);
    queue_cursor_close(s->rows);
    loop_timer_destroy(s->drop);
    loop_timer_destroy(s->look);
    loop_timer_destroy(s->soon);
    loop_timer_destroy(s->midnight);
    backlog_destroy(s->backlog);
    runs_destroy(s->runs);
    flow_destroy(s->flow);
    books_destroy(s->books);
    s->stopped = s->destroyed = true;
    scheduler_free_if_done(s);
    return NULL;
}

/* A pool thread may still read a slice, and the commit thread may still owe an answer. */
void scheduler_free_if_done(struct scheduler *s)
{
    bool reading = s->reading && s->reading->state == SLICE_READING;
    if (s->destroyed && !reading && !s->committing) {
        slice_destroy(s->deciding);
        slice_destroy(s->reading);
        free(s);
    }
}

struct loading {
    struct scheduler *s;
    bool failed;
};

static void on_open_row(void *ctx, const struct open_row *row)
{
    struct loading *l = ctx;
    l->failed |= flow_add(l->s->flow, row->model, row->tokens) < 0;
}

static int count_partitions(struct scheduler *s, struct err *err)
{
    int rc = queue_partitions(s->conf.queue, TOPIC_READY, &s->partitions, err);
    if (rc >= 0 && s->partitions > READY_PARTITIONS_MAX) {
        rc = err_set(err, ERR_FAIL, "could not release jobs: '%s' has %u partitions",
                     TOPIC_READY, s->partitions);
        err_hint(err, "it may have %d at most", READY_PARTITIONS_MAX);
    }
    return rc;
}

int scheduler_start(struct scheduler *s, struct err *err)
{
    struct loading loading = {.s = s};
    int rc = books_load(s->books, s->conf.queue, on_open_row, &loading, err);
    if (loading.failed) {
        return err_set(err, ERR_FAIL, "could not count what is in flight: out of memory");
    }
    if (rc >= 0) {
        rc = settlement_load(s, err);
    }
    if (rc >= 0) {
        rc = count_partitions(s, err);
    }
    if (rc >= 0) {
        rc = queue_feed_open(s->conf.queue, PREFIX_JOBS, &s->feed, err);
    }
    if (rc >= 0) {
        rc = queue_watch(s->conf.queue, on_change, s);
    }
    if (rc >= 0 && s->conf.keep.drops) {
        rc = retention_create(&s->retention, s->conf.queue, s->feed, &s->conf.keep, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (s->retention) {
        loop_timer_start(s->drop, RETENTION_FIRST_MS);
    }
    /* What was released before this start may still wait in an open batch: flush it too. */
    bool left = flow_calls(s->flow) > 0;
    for (uint32_t p = 0; p < s->partitions; p++) {
        s->unflushed[p] = left;
    }
    int64_t wall = loop_wall_ms(s->conf.loop);
    loop_timer_start(s->midnight, clock_next_day(wall) - wall + 1);
    scheduler_soon(s);
    return 0;
}

void scheduler_soon(struct scheduler *s)
{
    if (!s->stopped) {
        loop_timer_start(s->soon, 0);
    }
}

bool scheduler_unflushed(const struct scheduler *s)
{
    return memchr(s->unflushed, true, s->partitions) != NULL;
}

void scheduler_stop(struct scheduler *s, const struct err *err)
{
    if (!s->stopped) {
        s->stopped = true;
        s->conf.on_stop(s->conf.ctx, err);
    }
}

/* ---- committing ---- */

static void on_commit(void *ctx, uint64_t commit, const struct err *err)
{
    struct scheduler *s = CAST_CTX(scheduler, ctx, SCHEDULER_MAGIC);
    (void)commit;
    s->committing = false;
    if (s->destroyed) {
        scheduler_free_if_done(s);
    } else if (err) {
        scheduler_stop(s, err);
    } else {
        step(s);
    }
}

void scheduler_commit(struct scheduler *s, struct queue_tx *tx)
{
    s->committing = true;
    queue_commit(tx, on_commit, s);
}

/* ---- what nobody needs any more ---- */

/* Rows of runs are written by others, too: one day the broker may not let us. */
static void tell_refused(struct scheduler *s, const struct err *err)
{
    char text[sizeof(err->msg) + sizeof(err->hint) + 40];
    retention_skip(s->retention);
    if (!s->refused) {
        s->refused = true;
        snprintf(text, sizeof(text), "old rows stay: %s; %s", err->msg, err->hint);
        s->conf.on_event(s->conf.ctx, "runs", text);
    }
}

static void on_dropped(void *ctx, uint64_t commit, const struct err *err)
{
    struct scheduler *s = CAST_CTX(scheduler, ctx, SCHEDULER_MAGIC);
    if (!s->destroyed && err && err->code == ERR_INPUT) {
        tell_refused(s, err);
        err = NULL;
    }
    on_commit(ctx, commit, err);
}

/* 1: a commit is under way. */
static int drop_some(struct scheduler *s, struct err *err)
{
    struct queue_tx *tx;
    if (!s->drop_due) {
        return 0;
    }
    s->drop_due = false;
    if (queue_begin(s->conf.queue, &tx) < 0) {
        return err_set(err, ERR_FAIL, "could not begin a commit: out of memory");
    }
    if (!s->dropping) {
        retention_begin(s->retention, loop_wall_ms(s->conf.loop));
    }
    int rc = retention_step(s->retention, tx, err);
    s->dropping = rc > 0;
    if (retention_dropped(s->retention)) {
        runs_forget(s->runs);
    }
    if (rc < 0 || queue_tx_empty(tx)) {
        queue_tx_drop(tx);
    } else {
        s->committing = true;
        queue_commit(tx, on_dropped, s);
    }
    if (rc >= 0) {
        loop_timer_start(s->drop, rc ? RETENTION_PAUSE_MS : RETENTION_EVERY_MS);
    }
    return rc < 0 ? rc : s->committing;
}

/* ---- the step: the first thing that is due ---- */

static void wake(void *ctx, struct waiting *w)
{
    struct scheduler *s = ctx;
    struct backlog_news news = {
        .books = s->books, .flow = s->flow, .new_day = s->new_day};
    if (w->waits && backlog_wakes(w, &news)) {
        w->waits = false;
        queue_resume(s->feed, w->topic, w->partition);
        s->dry = false;
    }
}

static void wake_after_edit(void *ctx, struct waiting *w)
{
    struct scheduler *s = ctx;
    if (w->waits && w->gate.kind != GATE_FLOW) {
        w->waits = false;
        queue_resume(s->feed, w->topic, w->partition);
        s->dry = false;
    }
}

static void wake_all(void *ctx, struct waiting *w)
{
    struct scheduler *s = ctx;
    if (w->waits) {
        w->waits = false;
        queue_resume(s->feed, w->topic, w->partition);
        s->dry = false;
    }
}

/* The jobs of a run that was cancelled wait for nothing any more. */
static int look_at_cancels(struct scheduler *s, struct err *err)
{
    if (!s->look_due) {
        return 0;
    }
    s->look_due = false;
    int rc = runs_look_cancelled(s->runs, s->rows, err);
    if (rc > 0) {
        backlog_each(s->backlog, wake_all, s);
    }
    return rc < 0 ? rc : 0;
}

static int look_at_gates(struct scheduler *s, struct err *err)
{
    int rc = look_at_cancels(s, err);
    if (rc < 0) {
        return rc;
    }
    rc = books_refresh_limits(s->books, s->rows, err);
    if (rc < 0) {
        return rc;
    }
    backlog_each(s->backlog, rc > 0 ? wake_after_edit : wake, s);
    s->new_day = false;
    return 0;
}

/* Reading of the next slice goes on while a commit is in flight; everything else waits. */
static int read_ahead(struct scheduler *s, struct err *err)
{
    if (s->reading->state != SLICE_EMPTY || s->dry) {
        return 0;
    }
    return release_fill(s, err);
}

static int commit_next(struct scheduler *s, struct err *err)
{
    int rc = drop_some(s, err);
    if (rc == 0) {
        rc = settlement_step(s, err);
    }
    if (rc == 0) {
        rc = look_at_gates(s, err);
    }
    if (rc == 0) {
        rc = release_decide(s, err);
    }
    if (rc == 0 && s->dry && s->reading->state == SLICE_EMPTY) {
        release_tell_repeats(s);
        rc = release_flush(s, err);
    }
    return rc;
}

static void step(struct scheduler *s)
{
    struct err err = {0};
    int rc = 0;
    if (s->stopped) {
        return;
    }
    if (!s->committing) {
        runs_trim(s->runs);
        rc = commit_next(s, &err);
    }
    bool again = rc > 0 && !s->committing;
    bool was_dry = s->dry;
    if (rc >= 0) {
        rc = read_ahead(s, &err);
    }
    again |= s->dry && !was_dry &&
             scheduler_unflushed(s); /* nobody else may wake it for the flush */
    if (rc < 0) {
        scheduler_stop(s, &err);
    } else if (again) {
        scheduler_soon(s);
    }
}

/* ---- what others may ask ---- */

void scheduler_gate(const struct scheduler *s, const char *team, const char *feature,
                    struct gate *ret)
{
    const struct waiting *w = backlog_find(s->backlog, team, feature);
    *ret = w && w->waits ? w->gate : (struct gate){.kind = GATE_OPEN};
}

bool scheduler_idle(const struct scheduler *s)
{
    return s->dry && !s->committing && !scheduler_unflushed(s) &&
           s->reading->state == SLICE_EMPTY && s->deciding->next == s->deciding->n;
}

struct counting {
    const struct scheduler *s;
    uint64_t waiting;
    unsigned closed, open;
};

static void count_queue(void *ctx, struct waiting *w)
{
    struct counting *c = ctx;
    uint64_t low = 0, first = 0, end = 0;
    struct err err = {0};
    if (queue_low(c->s->feed, w->topic, w->partition, &low) < 0 ||
        queue_bounds(c->s->rows, w->topic, w->partition, &first, &end, &err) < 0) {
        return;
    }
    if (end <= low) {
        return;
    }
    c->waiting += end - low;
    if (w->waits && w->gate.closed) {
        c->closed++;
    } else {
        c->open++;
    }
}

bool scheduler_all_closed(const struct scheduler *s)
{
    struct counting c = {.s = s};
    backlog_each(s->backlog, count_queue, &c);
    return c.closed > 0 && c.open == 0;
}

uint64_t scheduler_waiting(const struct scheduler *s)
{
    struct counting c = {.s = s};
    backlog_each(s->backlog, count_queue, &c);
    return c.waiting;
}
