/*
 * released.h - a job in flight, read again from `ready`.
 *
 * A call knows its jobs by their places alone (worker/call.h); what else is needed is read again
 * when it is needed. An unacknowledged record is never trimmed, so one that is gone (ERR_FAIL) or
 * that this version cannot read (ERR_VERSION) stops the caller: nobody guesses about money.
 */
#ifndef OFFPEAK_WORKER_RELEASED_H
#define OFFPEAK_WORKER_RELEASED_H

#include "core/err.h"
#include "core/queue.h"
#include "core/record.h"

struct call;
struct call_table;
struct cancels;

struct released {
    struct release release;
    struct span body; /* the request; the cursor's until its next fetch */
};

int released_read(struct queue_cursor *c, uint64_t place, struct released *ret,
                  struct err *err);

/* Of a job that stands in the journal: its call, made anew after a restart, `cancelled` when its
 * run is. NULL: the job has ended. */
struct released_from {
    struct queue_feed *feed; /* of `ready` */
    struct queue_cursor *cursor;
    struct call_table *calls;
    struct cancels *cancels;
};
int released_call(const struct released_from *from, uint64_t place, struct call **ret,
                  struct err *err);

#endif
