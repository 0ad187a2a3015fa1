/* From result files on this disk to settle: every line once, and every member an end. */
#include "worker/collect.h"
#include "worker/lane_batch_int.h"

#include <inttypes.h>
#include <stdlib.h>

struct batch_reading {
    struct collect *collect;
    uint32_t len, at; /* of the slice at hand */
    bool all;         /* both files were read to their ends */
};

void batch_reading_free(struct lane_batch *l, struct batch *b)
{
    if (b->reading) {
        collect_close(b->reading->collect);
        free(b->reading);
        b->reading = NULL;
        l->collecting = false;
    }
}

/* ---- one line ---- */

/* True: it goes again in another batch; false: it went too often and ends failed. */
static bool may_go_again(const struct lane_batch *l, struct call *c, enum line_kind kind)
{
    if (kind == LINE_UNEXECUTED) {
        return ++c->unexecuted < BATCH_AGAIN_MAX;
    }
    return ++c->refusals < l->conf.batch->line_attempts;
}

static int end_line(struct lane_batch *l, struct batch *b,
                    const struct provider_line *line)
{
    uint32_t i = (uint32_t)line->index;
    struct call *c = b->calls[i];
    struct origin o = {b->remote, b->account};
    bool refused = line->kind == LINE_REFUSED;
    bool again = line->kind == LINE_BUSY || line->kind == LINE_UNEXECUTED;
    if (again && c->cancelled) {
        return lane_cancel_call(l, b, i);
    }
    if (again && may_go_again(l, c, line->kind)) {
        batch_fate(b, i, FATE_AGAIN);
        return 0;
    }
    batch_fate(b, i, FATE_SETTLING);
    if (line->kind == LINE_ANSWER) {
        return settle_answer(l->conf.settle, c, &line->answer, &o);
    }
    return settle_failed(l->conf.settle, c, &line->answer, &o, refused);
}

/* Feeds the slice to settle while it has room: true when all of it is fed. */
static bool feed_slice(struct lane_batch *l, struct batch *b)
{
    struct batch_reading *r = b->reading;
    for (; r->at < r->len; r->at++) {
        if (!settle_room(l->conf.settle)) {
            return false;
        }
        const struct provider_line *line = collect_line(r->collect, r->at);
        FAILPOINT("collect.mid");
        if (!collect_first(r->collect, line) || b->fates[line->index] != FATE_HERE) {
            continue;
        }
        if (end_line(l, b, line) < 0) {
            l->failed = true; /* settle has told why */
            return false;
        }
    }
    return true;
}

/* ---- members without a line ---- */

static void report(const struct lane_batch *l, const struct batch *b)
{
    struct collect_tally t;
    collect_tally(b->reading->collect, &t);
    if (t.repeated + t.foreign + t.garbage > 0) {
        lane_event(l, b,
                   "of %" PRIu64 " result lines %" PRIu64 " came twice, %" PRIu64
                   " answer no call of it, %" PRIu64
                   " could not be read: none is charged",
                   t.lines, t.repeated, t.foreign, t.garbage);
    }
}

static void fetch_again(struct lane_batch *l, struct batch *b)
{
    batch_reading_free(l, b);
    b->ended = false;
    b->stage = 0;
    lane_move(l, b, BATCH_POLLING, NULL);
}

/* False when they could not all be given to settle yet. */
static bool doubt_missing(struct lane_batch *l, struct batch *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->fates[i] != FATE_HERE) {
            continue;
        }
        if (!settle_room(l->conf.settle) ||
            lane_doubt_call(l, b, i,
                            "its line is missing from the provider's result files") < 0) {
            return false;
        }
    }
    return true;
}

static void again_missing(struct lane_batch *l, struct batch *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        bool here = b->fates[i] == FATE_HERE && !b->calls[i]->cancelled;
        if (here && may_go_again(l, b->calls[i], LINE_UNEXECUTED)) {
            batch_fate(b, i, FATE_AGAIN);
        }
    }
}

/* What is not to go again. False when they could not all be given to settle yet. */
static bool end_missing(struct lane_batch *l, struct batch *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->fates[i] != FATE_HERE) {
            continue;
        }
        if (!settle_room(l->conf.settle)) {
            return false;
        }
        int rc = b->calls[i]->cancelled
                     ? lane_cancel_call(l, b, i)
                     : lane_fail_call(l, b, i, "not_executed",
                                      "the provider did not execute it");
        if (rc < 0) {
            return false;
        }
    }
    return true;
}

/* True when every member has its end or is on its way there. */
static bool judge(struct lane_batch *l, struct batch *b)
{
    struct collect_tally t;
    collect_tally(b->reading->collect, &t);
    if (b->count[FATE_HERE] == 0) {
        return true;
    }
    if (collect_short(&t, b->counted, b->executed)) {
        if (!b->refetched) {
            lane_event(l, b, "%u lines are missing from its results: fetching them again",
                       b->count[FATE_HERE]);
            b->refetched = true;
            fetch_again(l, b);
            return false;
        }
        return doubt_missing(l, b);
    }
    again_missing(l, b);
    return end_missing(l, b);
}

/* ---- the files ---- */

static int run_read(struct lane_work *w)
{
    return collect_read(w->batch->reading->collect, w->lane->conf.provider, &w->err);
}

static void on_read(struct lane_batch *l, struct batch *b, const struct lane_work *w)
{
    if (w->rc < 0) {
        lane_fail(l, &w->err);
        return;
    }
    b->reading->at = 0;
    b->reading->len = (uint32_t)w->rc;
    b->reading->all = w->rc == 0;
}

static int begin(struct lane_batch *l, struct batch *b)
{
    struct err err;
    struct batch_reading *r = calloc(1, sizeof(*r));
    if (!r) {
        err_set(&err, ERR_FAIL, "could not read the results of batch '%s': out of memory",
                b->id);
        lane_fail(l, &err);
        return -1;
    }
    if (collect_open(&r->collect, l->conf.dir, b->id, b->n, &err) < 0) {
        free(r);
        lane_fail(l, &err);
        return -1;
    }
    b->reading = r;
    l->collecting = true;
    return 0;
}

static void collect_on(struct lane_batch *l, struct batch *b)
{
    struct batch_reading *r = b->reading;
    if (!feed_slice(l, b)) {
        return;
    }
    if (!r->all) {
        lane_do_work(l, b, run_read, on_read);
        return;
    }
    if (!judge(l, b)) {
        return;
    }
    report(l, b);
    batch_reading_free(l, b);
    b->ended = true;
    lane_settle(l, b);
}

void lane_collect(struct lane_batch *l, struct batch *b)
{
    if (!b->reading && b->count[FATE_HERE] == 0) {
        lane_settle(l, b); /* everything is read: only commits were waited for */
        return;
    }
    if (!b->reading && l->collecting) {
        return;
    }
    if (!b->reading && (!spool_exists(l->conf.dir, b->id, SPOOL_OUTPUT) ||
                        !spool_exists(l->conf.dir, b->id, SPOOL_ERROR))) {
        lane_event(l, b, "its results are not in the spool folder: fetching them again");
        fetch_again(l, b);
        return;
    }
    if (b->reading || begin(l, b) == 0) {
        collect_on(l, b);
    }
}
