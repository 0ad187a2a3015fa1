#include "worker/settle_slice.h"

#include "core/failpoint.h"
#include "core/loop.h"
#include <stdlib.h>

/* ---- calls in a slice ---- */

void done_list_init(struct done_list *l)
{
    l->first = NULL;
    l->tail = &l->first;
}

void done_list_add(struct done_list *l, struct done *d)
{
    d->next = NULL;
    *l->tail = d;
    l->tail = &d->next;
}

struct done *done_list_pop(struct done_list *l)
{
    struct done *d = l->first;
    if (d) {
        l->first = d->next;
        if (!l->first) {
            l->tail = &l->first;
        }
        d->next = NULL;
    }
    return d;
}

struct done *done_free(struct done *d)
{
    if (d) {
        free(d->bytes);
        free(d);
    }
    return NULL;
}

int settle_stop(struct settle *s, const struct err *err)
{
    if (!s->failed) {
        s->failed = true;
        s->conf.on_failed(s->conf.ctx, err);
    }
    return -1;
}

/* ---- slices ---- */

static int settle_slice_new(struct settle *s)
{
    struct slice *slice = calloc(1, sizeof(*slice));
    if (!slice || queue_begin(s->conf.queue, &slice->tx) < 0) {
        struct err err = {0};
        free(slice);
        err_set(&err, ERR_FAIL, "could not settle a job: out of memory");
        return settle_stop(s, &err);
    }
    slice->settle = s;
    done_list_init(&slice->done);
    s->open = slice;
    return 0;
}

/* The calls themselves belong to the call table. */
struct slice *settle_slice_free(struct slice *slice)
{
    if (slice) {
        for (struct done *d; (d = done_list_pop(&slice->done));) {
            done_free(d);
        }
        queue_tx_drop(slice->tx);
        free(slice);
    }
    return NULL;
}

void settle_slice_seal(struct settle *s)
{
    if (s->open) {
        *s->waiting_tail = s->open;
        s->waiting_tail = &s->open->next;
        s->open = NULL;
        s->waiting_n++;
        settle_slice_commit(s);
    }
    s->full = s->full || s->waiting_n > 0;
}

static void on_commit(void *ctx, uint64_t commit, const struct err *err)
{
    struct slice *slice = ctx;
    struct settle *s = slice->settle;
    (void)commit;
    if (s) {
        s->flight = NULL;
        if (err) {
            settle_stop(s, err);
        } else {
            FAILPOINT("settle.after_commit");
            settle_committed(s, &slice->done);
        }
    }
    settle_slice_free(slice);
}

void settle_slice_commit(struct settle *s)
{
    struct slice *slice = s->waiting;
    if (s->flight || !slice || s->failed) {
        return;
    }
    s->waiting = slice->next;
    if (!s->waiting) {
        s->waiting_tail = &s->waiting;
    }
    s->waiting_n--;
    s->flight = slice;
    FAILPOINT("settle.before_commit");
    queue_commit(TAKE_PTR(slice->tx), on_commit, slice);
}

int settle_slice_for(struct settle *s, size_t bytes, struct slice **ret)
{
    struct err err = {0};
    if (s->failed) {
        return -1;
    }
    if (s->open && (queue_tx_full(s->open->tx, bytes) ||
                    (s->open->bytes && s->open->bytes + bytes > SLICE_BYTES))) {
        settle_slice_seal(s);
    }
    if (s->waiting_n > SLICE_WAITING) {
        err_set(&err, ERR_FAIL, "could not settle a job: %u slices wait for their commit",
                s->waiting_n);
        return settle_stop(s, &err);
    }
    if (!s->open && settle_slice_new(s) < 0) {
        return -1;
    }
    *ret = s->open;
    return 0;
}

/* While a commit is under way the slice grows: the slower the disk, the larger the commits. */
void settle_slice_added(struct settle *s, size_t bytes)
{
    bool enough = !s->flight && s->open->jobs + 1 >= SLICE_JOBS;
    s->open->bytes += bytes;
    s->open->jobs++;
    if (enough || s->open->bytes >= SLICE_BYTES || queue_tx_full(s->open->tx, 0)) {
        settle_slice_seal(s);
    } else if (!s->flight) {
        loop_timer_start(s->tick, 0);
    }
}
