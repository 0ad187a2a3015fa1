/*
 * retention.h - what the active scheduler drops on a broker: its part of DESIGN.md section 3, "never
 * expire by broker time".
 *
 * One pass goes queue by queue, partition by partition:
 *
 *   jobs.<team>.<feature>   below its low water and below the oldest of its jobs that is still in
 *                           `open`, as far as older than `retain`
 *   marks                   of that partition: those of runs that nothing was heard of for
 *                           `results.keep`, and of which no line waits and no call is under way
 *   runs.<team>             rows of such runs, once no mark of theirs is left
 *
 * `ready` has the bytes of what it refers to, so the jobs behind it may go; that a job is in `open`
 * says that it is released and not settled. What is rejected or cancelled is never in `open`: its
 * release is all that a worker needs of it. Where everything stands on one machine, the worker does
 * this and more (worker/tidy.h).
 *
 * A step reads or drops a bounded number of rows; the scheduler commits it and lets time pass before
 * the next. What a pass drops is decided by the time it began. A pass that is broken off leaves
 * nothing half done: the next one begins anew.
 */
#ifndef OFFPEAK_SCHEDULER_RETENTION_H
#define OFFPEAK_SCHEDULER_RETENTION_H

#include "core/err.h"
#include "core/queue.h"
#include "scheduler/scheduler.h"

#define RETENTION_FIRST_MS ((int64_t)5000) /* after the start */
#define RETENTION_EVERY_MS ((int64_t)60 * 60 * 1000)
#define RETENTION_PAUSE_MS ((int64_t)20) /* between two steps */
#define RETENTION_ROWS     256           /* read in one step, at most */

struct retention;

/* `feed` is of jobs.*. */
int retention_create(struct retention **ret, struct queue *q, struct queue_feed *feed,
                     const struct scheduler_keep *keep, struct err *err);
struct retention *retention_destroy(struct retention *r);

void retention_begin(struct retention *r, int64_t wall_ms);
/* Puts what must go into the transaction: 1 the pass goes on, 0 it is through. */
int retention_step(struct retention *r, struct queue_tx *tx, struct err *err);
/* The step could not be committed, for its rows were refused: on with the next queue. */
void retention_skip(struct retention *r);
/* Rows of runs were dropped since it was asked last: forget what is known of them. */
bool retention_dropped(struct retention *r);

#endif
