#include "worker/settle_slice.h"

#include "core/failpoint.h"
#include "core/loop.h"
#include <stdio.h>
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

/* ---- parts ---- */

struct part *settle_part_new(struct settle *s, const char *team)
{
    struct part *part = calloc(1, sizeof(*part));
    if (!part || queue_begin(s->conf.queue, &part->tx) < 0) {
        struct err err = {0};
        free(part);
        err_set(&err, ERR_FAIL, "could not settle a job: out of memory");
        settle_stop(s, &err);
        return NULL;
    }
    snprintf(part->team, sizeof(part->team), "%s", team);
    done_list_init(&part->done);
    return part;
}

/* The calls themselves belong to the call table. */
struct part *settle_part_free(struct part *part)
{
    if (part) {
        for (struct done *d; (d = done_list_pop(&part->done));) {
            done_free(d);
        }
        queue_tx_drop(part->tx);
        free(part);
    }
    return NULL;
}

static void add_part(struct slice *slice, struct part *part)
{
    part->slice = slice;
    part->next = slice->parts;
    slice->parts = part;
    slice->parts_n++;
}

static struct part *part_of(const struct slice *slice, const char *team)
{
    struct part *part = slice ? slice->parts : NULL;
    while (part && strcmp(part->team, team) != 0) {
        part = part->next;
    }
    return part;
}

/* ---- slices ---- */

static struct slice *slice_new(struct settle *s)
{
    struct slice *slice = calloc(1, sizeof(*slice));
    if (!slice) {
        struct err err = {0};
        err_set(&err, ERR_FAIL, "could not settle a job: out of memory");
        settle_stop(s, &err);
        return NULL;
    }
    slice->settle = s;
    return slice;
}

struct slice *settle_slice_free(struct slice *slice)
{
    while (slice && slice->parts) {
        struct part *part = slice->parts;
        slice->parts = part->next;
        settle_part_free(part);
    }
    free(slice);
    return NULL;
}

static void wait_for_commit(struct settle *s, struct slice *slice)
{
    *s->waiting_tail = slice;
    s->waiting_tail = &slice->next;
    s->waiting_n++;
    settle_slice_commit(s);
}

void settle_slice_seal(struct settle *s)
{
    if (s->open) {
        wait_for_commit(s, TAKE_PTR(s->open));
    }
    s->full = s->full || s->waiting_n > 0;
}

int settle_slice_again(struct settle *s, struct part *part)
{
    struct slice *slice = slice_new(s);
    if (!slice) {
        return -1;
    }
    add_part(slice, part);
    wait_for_commit(s, slice);
    s->full = s->full || s->waiting_n > 0;
    return 0;
}

/* Its parts are all back. */
static void slice_over(struct settle *s, struct slice *slice)
{
    struct done_list done;
    done_list_init(&done);
    s->flight = NULL;
    for (struct part *part = slice->parts; part; part = part->next) {
        for (struct done *d; (d = done_list_pop(&part->done));) {
            done_list_add(&done, d);
        }
    }
    FAILPOINT("settle.after_commit");
    settle_committed(s, &done);
}

static void on_commit(void *ctx, uint64_t commit, const struct err *err)
{
    struct part *part = ctx;
    struct slice *slice = part->slice;
    struct settle *s = slice->settle;
    (void)commit;
    if (s && err) {
        part->tx = queue_take_back(s->conf.queue);
    }
    if (part->tx) {
        struct part **at = &slice->parts;
        while (*at != part) {
            at = &(*at)->next;
        }
        *at = part->next;
        settle_hold(s, part, err);
    } else if (s && err) {
        settle_stop(s, err);
    }
    if (--slice->flying == 0) {
        if (s && !s->failed) {
            slice_over(s, slice);
        } else if (s) {
            s->flight = NULL;
        }
        settle_slice_free(slice);
    }
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
    slice->flying = slice->parts_n;
    FAILPOINT("settle.before_commit");
    for (struct part *part = slice->parts; part; part = part->next) {
        queue_commit(TAKE_PTR(part->tx), on_commit, part);
    }
}

static bool fits(const struct slice *slice, const struct part *part, size_t bytes)
{
    return !(slice->bytes && slice->bytes + bytes > SLICE_BYTES) &&
           (part ? !queue_tx_full(part->tx, bytes) : slice->parts_n < SLICE_PARTS);
}

int settle_slice_for(struct settle *s, const char *team, size_t bytes, struct part **ret)
{
    struct err err = {0};
    struct part *part = part_of(s->open, team);
    if (s->failed) {
        return -1;
    }
    if (s->open && !fits(s->open, part, bytes)) {
        settle_slice_seal(s);
        part = NULL;
    }
    if (s->waiting_n > SLICE_WAITING) {
        err_set(&err, ERR_FAIL, "could not settle a job: %u slices wait for their commit",
                s->waiting_n);
        return settle_stop(s, &err);
    }
    if (!s->open && !(s->open = slice_new(s))) {
        return -1;
    }
    if (!part) {
        part = settle_part_new(s, team);
        if (!part) {
            return -1;
        }
        add_part(s->open, part);
    }
    *ret = part;
    return 0;
}

/* While a commit is under way the slice grows: the slower the disk, the larger the commits. */
void settle_slice_added(struct settle *s, struct part *part, size_t bytes)
{
    bool enough = !s->flight && s->open->jobs + 1 >= SLICE_JOBS;
    part->bytes += bytes;
    s->open->bytes += bytes;
    s->open->jobs++;
    if (enough || s->open->bytes >= SLICE_BYTES || queue_tx_full(part->tx, 0)) {
        settle_slice_seal(s);
    } else if (!s->flight) {
        loop_timer_start(s->tick, 0);
    }
}
