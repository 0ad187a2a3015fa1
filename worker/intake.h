/*
 * intake.h - what becomes of each released job: hit, join, a call of its own, or an end.
 *
 * Takes records of `ready` from the feed while settle has room and the call table is below its
 * bound, a bounded number per turn. In order: a flush seals every stream of its
 * partition; a repeat is
 * acknowledged and counted; a replayed member of a journaled batch is skipped, its call knows
 * it already; rejected and cancelled jobs end, and those whose run was cancelled since; one that an earlier owner released for another
 * endpoint stops the process, for it must not be sent to ours; a stored answer that counts is a hit; an equal
 * call under way is joined; all else is a new call and goes to the plan.
 *
 * Made before recovery, started after it (intake_start), woken by intake_wake whenever records,
 * room or free calls may have come.
 */
#ifndef OFFPEAK_WORKER_INTAKE_H
#define OFFPEAK_WORKER_INTAKE_H

#include "core/err.h"
#include "worker/plan.h"
#include "worker/settle.h"

/* The scheduler's flow cap is the bound that counts; this one stops a misconfigured one. */
#define INTAKE_JOBS_MAX 1000000

struct intake;

struct intake_conf {
    struct loop *loop;
    struct queue *queue;
    struct queue_feed *feed; /* of `ready` */
    struct call_table *calls;
    struct settle *settle;
    struct cancels *cancels;
    struct plan *plan; /* takes the calls of lane batch ... */
    int (*on_direct)(void *ctx, struct call *c,
                     struct err *err); /* ... and this those of the others */
    const char *origin;                /* the endpoint that is asked */
    const char *pool;                  /* ... in lane pool */
    bool without[LANES]; /* nobody here makes calls in that lane: its jobs are left */
    void (*on_event)(void *ctx, const char *subject, const char *text); /* for people */
    void (*on_failed)(void *ctx, const struct err *err); /* the process must stop */
    void *ctx;
};

int intake_create(struct intake **ret, const struct intake_conf *conf, struct err *err);
int intake_start(struct intake *in, struct err *err);
void intake_wake(struct intake *in); /* no effect before intake_start */
/* Jobs of teams whose topics refuse results: left where they are, and taken once these take them. */
uint32_t intake_held(const struct intake *in);
/* The same found by settle: nothing more is taken for that team. `left`: not all of it is in our hands.
 * Says so once; why may be NULL. */
void intake_hold(struct intake *in, const char *team, const struct err *why, bool left);
/* The queue has news: teams of which nothing is left here go on. */
void intake_go_on(struct intake *in);
/* Those of which something is left would be taken now: by an intake that is made anew. */
bool intake_held_again(const struct intake *in);
/* Takes no record more. */
void intake_stop(struct intake *in);
/* The feed had nothing more when it was asked last. */
bool intake_dry(const struct intake *in);
/* ... and nothing can have come since. */
bool intake_idle(const struct intake *in); /* started, and the feed had nothing more */
uint64_t intake_repeats(const struct intake *in);
uint32_t intake_left(const struct intake *in, enum lane lane);
struct intake *intake_destroy(struct intake *in);

#endif
