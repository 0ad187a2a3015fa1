/* How a go of a batch ends other than by results, and how every batch ends. */
#include "worker/lane_batch_int.h"

#include <stdio.h>
#include <stdlib.h>

#define OVERFLOW_CAP_MS      INT64_C(3600000)
#define OVERFLOWS_ALONE_MAX  2  /* alone at the account and refused so often: too large */
#define OVERFLOWS_SINGLE_MAX 20 /* ... and it is one call only: it will never fit */
#define REFUSED_CAP_PERIODS  10

/* ---- another go ---- */

/* What belonged to the go that is over. */
static void forget_go(struct batch *b)
{
    b->go++;
    b->remote[0] = b->output[0] = b->error[0] = '\0';
    b->deleting = b->counted = b->ended = b->cancelling = b->poll_first = false;
    b->look = LOOK_NO;
    b->again_ms = 0;
    b->stage = b->cuts = 0;
}

void lane_anew(struct lane_batch *l, struct batch *b)
{
    forget_go(b);
    b->file[0] = '\0';
    b->file_created_s = 0;
    lane_move(l, b, BATCH_JOURNALED, NULL);
}

static void retry_in(struct lane_batch *l, struct batch *b, int64_t after_ms)
{
    b->again_ms = 0;
    b->due_wall_ms = loop_wall_ms(l->conf.loop) + after_ms;
    lane_move(l, b, BATCH_RETRY, NULL);
}

void lane_refused(struct lane_batch *l, struct batch *b, const char *why)
{
    int64_t poll_ms = l->conf.batch->poll_ms;
    const struct retry_rule rule = {poll_ms, REFUSED_CAP_PERIODS * poll_ms};
    char words[300];
    snprintf(words, sizeof(words), "%s", why);
    b->failures++;
    if (b->failures >= BATCH_FAILURES_MAX) {
        lane_dead(l, b, words, false);
        return;
    }
    lane_event(l, b, "refused, will be tried again: %s", words);
    memcpy(b->why, words, sizeof(b->why));
    b->file[0] = '\0';
    retry_in(l, b, retry_delay_ms(&rule, (unsigned)b->failures, -1, lane_random(l)));
}

/* The row says when by the wall clock, which somebody may set: it is looked at once, and a wait
 * longer than any rule gives is none of ours. */
static int64_t left_ms(const struct lane_batch *l, const struct batch *b)
{
    int64_t most_ms =
        MAX_OF(OVERFLOW_CAP_MS, REFUSED_CAP_PERIODS * l->conf.batch->poll_ms);
    int64_t left = b->due_wall_ms - loop_wall_ms(l->conf.loop);
    return MAX_OF(MIN_OF(left, most_ms), 0);
}

void lane_retry(struct lane_batch *l, struct batch *b)
{
    int64_t now_ms = loop_now_ms(l->conf.loop);
    if (!b->again_ms) {
        b->again_ms = now_ms + left_ms(l, b);
    }
    if (b->again_ms > now_ms) {
        lane_later(l, b, b->again_ms - now_ms);
        return;
    }
    forget_go(b);
    lane_move(l, b, b->file[0] ? BATCH_UPLOADED : BATCH_JOURNALED, NULL);
}

void lane_overflow(struct lane_batch *l, struct batch *b, const char *why)
{
    int64_t poll_ms = l->conf.batch->poll_ms;
    b->overflows++;
    if (b->alone && b->overflows >= OVERFLOWS_ALONE_MAX && b->count[FATE_HERE] > 1) {
        lane_too_large(l, b, why);
        return;
    }
    if (b->alone && b->overflows >= OVERFLOWS_SINGLE_MAX) {
        lane_dead(l, b, why, false);
        return;
    }
    lane_event(l, b, "no room at the account yet, will be tried again: %s", why);
    snprintf(b->why, sizeof(b->why), "%s", why);
    const struct retry_rule rule = {poll_ms, OVERFLOW_CAP_MS};
    retry_in(l, b, retry_delay_ms(&rule, (unsigned)b->overflows, -1, lane_random(l)));
}

/* ---- split ---- */

static void split_into(struct lane_batch *l, struct batch *b, unsigned parts)
{
    struct err err;
    b->parts = parts;
    if (batch_move(b, BATCH_SPLIT, &err) < 0) {
        lane_fail(l, &err);
        return;
    }
    FAILPOINT(batch_rules[BATCH_SPLIT].point);
    lane_kick(l);
}

void lane_too_large(struct lane_batch *l, struct batch *b, const char *why)
{
    if (b->count[FATE_HERE] <= 1 && b->count[FATE_ENDED] == 0) {
        lane_dead(l, b, why, false);
        return;
    }
    lane_event(l, b, "split: %s", why);
    split_into(l, b, b->count[FATE_ENDED] > 0 ? 1 : 2);
}

void lane_bad_lines(struct lane_batch *l, struct batch *b, struct remote *r)
{
    size_t ours = 0;
    for (size_t i = 0; i < r->lines_len; i++) {
        uint64_t line = r->lines[i].line;
        ours += line <= b->n && b->fates[line - 1] == FATE_HERE;
    }
    if (ours == 0 && b->count[FATE_ENDED] == 0) {
        lane_refused(l, b, r->why); /* it names lines, and none of them is one of ours */
        return;
    }
    lane_event(l, b, "%zu lines cannot be accepted, the rest goes again", ours);
    b->bad = TAKE_PTR(r->lines);
    b->bad_len = r->lines_len;
    split_into(l, b, 1);
}

/* Ends the bad lines as far as there is room: true when all are given to settle. */
static bool end_bad_lines(struct lane_batch *l, struct batch *b)
{
    for (; b->bad_len > 0; b->bad_len--) {
        const struct remote_line *bad = &b->bad[b->bad_len - 1];
        if (bad->line > b->n || b->fates[bad->line - 1] != FATE_HERE) {
            continue;
        }
        if (!settle_room(l->conf.settle) ||
            lane_fail_call(l, b, (uint32_t)(bad->line - 1), "invalid_request", bad->why) <
                0) {
            return false;
        }
    }
    return true;
}

/* A child with the next `calls` members that are still here. */
static int add_child(struct lane_batch *l, struct batch *b, uint32_t calls,
                     struct queue_tx *tx, struct err *err)
{
    struct batch *child;
    int rc = lane_new_batch(l, calls, &child, err);
    if (rc < 0) {
        return rc;
    }
    child->partition = b->partition;
    memcpy(child->path, b->path, sizeof(child->path));
    memcpy(child->model, b->model, sizeof(child->model));
    child->parent = b;
    child->busy = true; /* until the commit */
    lane_link(l, child);
    for (uint32_t i = 0; rc >= 0 && i < b->n && child->n < calls; i++) {
        if (b->fates[i] == FATE_HERE) {
            rc = batch_add(child, b->calls[i], b->ats[i], err);
            batch_fate(b, i, FATE_AGAIN);
        }
    }
    if (rc >= 0) {
        rc = batch_move(child, BATCH_SEALED, err);
    }
    if (rc >= 0) {
        rc = journal_put(tx, child, BATCH_JOURNALED, err);
    }
    return rc < 0 ? rc : journal_put_members(tx, child, err);
}

static void finish(struct lane_batch *l, struct batch *b);

static void on_split(struct lane_batch *l, struct batch *b)
{
    struct err err;
    for (struct batch *child = l->first; child; child = child->next) {
        if (child->parent != b) {
            continue;
        }
        child->parent = NULL;
        child->busy = false;
        child->journal = BATCH_JOURNALED;
        if (batch_move(child, BATCH_JOURNALED, &err) < 0) {
            lane_fail(l, &err);
        }
    }
    finish(l, b);
}

void lane_split(struct lane_batch *l, struct batch *b)
{
    struct err err;
    struct queue_tx *tx = NULL;
    if (!end_bad_lines(l, b) || b->count[FATE_SETTLING] > 0) {
        return;
    }
    int rc = queue_begin(l->conf.queue, &tx);
    if (rc < 0) {
        err_set(&err, ERR_FAIL, "could not split batch '%s': out of memory", b->id);
    }
    uint32_t here = b->count[FATE_HERE], parts = MIN_OF(b->parts, here);
    for (; rc >= 0 && parts > 0; parts--) {
        uint32_t calls = (b->count[FATE_HERE] + parts - 1) / parts;
        rc = add_child(l, b, calls, tx, &err);
    }
    if (rc >= 0) {
        rc = journal_delete(tx, b, &err);
    }
    if (rc < 0) {
        queue_tx_drop(tx);
        lane_fail(l, &err);
        return;
    }
    FAILPOINT("split.before_commit");
    lane_commit(l, b, tx, on_split);
}

/* ---- dead ---- */

void lane_dead(struct lane_batch *l, struct batch *b, const char *why, bool in_doubt)
{
    char words[300];
    snprintf(words, sizeof(words), "%s", why);
    memcpy(b->why, words, sizeof(b->why));
    b->in_doubt = in_doubt;
    lane_event(l, b, "given up, its jobs end as failed: %s", words);
    lane_move(l, b, BATCH_DEAD, NULL);
}

int lane_fail_call(struct lane_batch *l, struct batch *b, uint32_t i, const char *code,
                   const char *why)
{
    _cleanup_(buf_fini) struct buf json;
    buf_init(&json, 4096);
    buf_adds(&json, "{\"code\":");
    buf_add_json(&json, span_str(code));
    buf_adds(&json, ",\"message\":");
    buf_add_json(&json, span_str(why));
    buf_adds(&json, "}");
    struct answer a = {.error = buf_span(&json)};
    struct origin o = {b->remote[0] ? b->remote : NULL, b->account};
    batch_fate(b, i, FATE_SETTLING);
    int rc = settle_failed(l->conf.settle, b->calls[i], &a, &o, true);
    l->failed = l->failed || rc < 0; /* settle has told why */
    return rc;
}

int lane_doubt_call(struct lane_batch *l, struct batch *b, uint32_t i, const char *why)
{
    struct origin o = {b->remote[0] ? b->remote : NULL, b->account};
    batch_fate(b, i, FATE_SETTLING);
    int rc = settle_in_doubt(l->conf.settle, b->calls[i], why, &o);
    l->failed = l->failed || rc < 0;
    return rc;
}

void lane_end_dead(struct lane_batch *l, struct batch *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->fates[i] != FATE_HERE) {
            continue;
        }
        if (!settle_room(l->conf.settle)) {
            return;
        }
        int rc = lane_called_off(b) ? lane_cancel_call(l, b, i)
                 : b->in_doubt      ? lane_doubt_call(l, b, i, b->why)
                                    : lane_fail_call(l, b, i, "batch_failed", b->why);
        if (rc < 0) {
            return;
        }
    }
    lane_settle(l, b);
}

/* ---- the end ---- */

/* What the provider did not execute is planned anew only now: with this batch's rows gone, no
 * job is a member of two journaled batches. Members of a split batch live in its children. */
static void give_back(struct lane_batch *l, struct batch *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        struct call *c = b->calls[i];
        if (b->fates[i] == FATE_AGAIN && c->batch == b) {
            c->batch = NULL;
            c->state = CALL_PLANNED;
            l->conf.on_replan(l->conf.ctx, c);
        }
    }
}

static void finish(struct lane_batch *l, struct batch *b)
{
    struct err err;
    if (batch_move(b, BATCH_SETTLED, &err) < 0) {
        lane_fail(l, &err);
        return;
    }
    FAILPOINT(batch_rules[BATCH_SETTLED].point);
    lane_step(l, b, "settled");
    spool_remove(l->conf.dir, b->id);
    lane_unlink(l, b);
    give_back(l, b);
    batch_search_free(b->search);
    batch_reading_free(l, b);
    batch_destroy(b);
}

void lane_settle(struct lane_batch *l, struct batch *b)
{
    struct err err;
    struct queue_tx *tx = NULL;
    if (!batch_done(b)) {
        return; /* commits of settle are on their way */
    }
    int rc = queue_begin(l->conf.queue, &tx);
    if (rc < 0) {
        err_set(&err, ERR_FAIL, "could not close batch '%s': out of memory", b->id);
    } else {
        rc = journal_delete(tx, b, &err);
    }
    if (rc < 0) {
        queue_tx_drop(tx);
        lane_fail(l, &err);
        return;
    }
    if (b->count[FATE_AGAIN] == 0) {
        spool_remove(l->conf.dir, b->id); /* a crash now finds every member ended */
    }
    FAILPOINT("settled.before");
    lane_commit(l, b, tx, finish);
}
