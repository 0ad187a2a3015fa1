/*
 * world.h - a data folder, a scheduler and a worker that always answers, on simulated time.
 *
 * For scenarios that need days to pass. Everything is the real thing but the clock and the
 * worker: the worker here takes what is released, thinks for `latency_ms`, and settles each job
 * at `cost_share` percent of its bound. A test says what is given, lets time pass with
 * world_pass, and looks at the store through `fold`, which adds up topics and tables by itself.
 */
#ifndef OFFPEAK_TESTS_LIB_WORLD_H
#define OFFPEAK_TESTS_LIB_WORLD_H

#include "core/loop.h"
#include "core/queue.h"
#include "scheduler/scheduler.h"

#define WORLD_START_MS INT64_C(1795262400000) /* 2026-11-21T12:00:00Z, a Saturday */
#define WORLD_ORIGIN   "http://localhost"
#define WORLD_POOL     ENDPOINT_POOL "default"
#define MICRO          INT64_C(1000000) /* pico-dollars of a micro-dollar */
#define HOUR_MS        INT64_C(3600000)
#define DAY_MS         (24 * HOUR_MS)

#define WORLD_PARTITIONS_MAX 16

struct world {
    char dir[64];
    struct loop *loop;
    struct queue *queue;
    struct scheduler *scheduler;
    struct price_book *prices, *pool_prices;
    struct scheduler_lane lanes[LANES]; /* a test may change them before world_restart */
    struct scheduler_settings settings;
    bool needs_limit;           /* as on Kafka; for world_restart */
    struct scheduler_keep keep; /* the same */
    struct world_worker *worker;
    int64_t latency_ms;
    int cost_share;  /* percent of the bound */
    unsigned doubts; /* of each call, how many tries lose their answer */
    bool apart;      /* each try after a latency of its own; else all in one commit */
    uint32_t ready,
        jobs; /* partitions of `ready`, of a jobs topic; 0: one. For world_restart */
    char last_event[600];
    unsigned events; /* told so far */
    struct err stopped;
};

/* What the store says, folded without any code of scheduler/. */
struct fold {
    unsigned released, rejected, cancelled, flushes, settled;
    int64_t spent_pico, in_doubt_pico, reserved_pico; /* now */
    int64_t peak_pico; /* most that was ever spent, in doubt and reserved together */
};

/* Set-up and tear-down of a test: *state is its world. */
int world_setup(void **state);
int world_teardown(void **state);
/* Ends the scheduler, the worker and the queue, and starts them again on the same folder. */
void world_restart(struct world *w);
/* Lets time pass: everything that is due happens, then returns. */
void world_pass(struct world *w, int64_t ms);

/* Enqueues jobs first..last of a run; each costs at most `bound` micro-dollars. */
void world_submit(struct world *w, const char *queue, const char *run, unsigned first,
                  unsigned last, unsigned bound);
/* The run's row: complete, with an optional --max-cost in micro-dollars (0: none). */
void world_run_row(struct world *w, const char *queue, const char *run, unsigned lines,
                   unsigned max_cost);
/* The same in that lane, submitted for `endpoint` ("": whatever is asked). */
void world_lane_row(struct world *w, const char *queue, const char *run, unsigned lines,
                    enum lane lane, const char *endpoint);
/* A budget edit; limits in micro-dollars, 0: none. */
struct world_limits {
    unsigned day, month, total;
    bool paused;
};
void world_budget(struct world *w, const char *scope, unsigned edit,
                  struct world_limits limits);
/* Folds what concerns `scope` (a team or team/feature). */
struct fold world_fold(struct world *w, const char *scope);

/* What a queue is waiting for. */
struct gate world_gate(const struct world *w, const char *team, const char *feature);

#endif
