/*
 * cancels.h - which runs were cancelled, and what becomes of their calls.
 *
 * Every release passes cancels_has before it becomes a call: a job of a cancelled run never does.
 * That asks the store once a run and remembers it, so a cancel that comes later is seen by
 * looking at the known runs again, CANCELS_LOOK_MS after a commit of anybody (cancels_wake). Then
 * the calls in flight are walked, a bounded number a turn: a job that joined another run's call
 * leaves it and ends; a call whose leader is cancelled is marked, and ends where it is safe:
 *
 *   planned for a batch     at once
 *   waiting in a lane       when its turn comes
 *   in a batch              with the batch, once no call of it is wanted (worker/lane_cancel.c)
 *   at a server             not at all: its answer is paid for and delivered
 *
 * Jobs of other runs that joined such a call go again, together. At most CANCELS_RUNS_MAX runs are
 * remembered; beyond that all are forgotten, and what they have in flight goes on.
 */
#ifndef OFFPEAK_WORKER_CANCELS_H
#define OFFPEAK_WORKER_CANCELS_H

#include "core/err.h"
#include "worker/plan.h"
#include "worker/settle.h"

#define CANCELS_LOOK_MS  100
#define CANCELS_RUNS_MAX 10000

struct cancels;

struct cancels_conf {
    struct loop *loop;
    struct queue *queue;
    struct call_table *calls;
    struct settle *settle;
    struct plan *plan;
    void (*on_marked)(void *ctx); /* calls in flight were marked */
    void (*on_failed)(void *ctx, const struct err *err);
    void *ctx;
};

int cancels_create(struct cancels **ret, const struct cancels_conf *conf,
                   struct err *err);
/* Was its run cancelled: 1 yes, 0 no. NULL cancels know of none. */
int cancels_has(struct cancels *c, const struct release *r, struct err *err);
void cancels_wake(struct cancels *c);    /* something was committed */
void cancels_on_room(struct cancels *c); /* settle has room again */
bool cancels_idle(const struct cancels *c);
struct cancels *cancels_destroy(struct cancels *c);

#endif
