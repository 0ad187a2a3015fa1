/*
 * tidy_int.h - inside housekeeping: its state and its steps. For worker/tidy*.c only.
 *
 * A step looks at a bounded number of records or rows, puts what must go into the transaction,
 * and returns 1 when its phase goes on, 0 when it is through, or an error.
 */
#ifndef OFFPEAK_WORKER_TIDY_INT_H
#define OFFPEAK_WORKER_TIDY_INT_H

#include "core/queue.h"
#include "core/record.h"
#include "worker/evict.h"
#include "worker/tidy.h"
#include <stdbool.h>

#define STEP_ROWS  256               /* rows or records read in one step */
#define STEP_BYTES ((size_t)1 << 20) /* ... and bytes of them */

/* How far a jobs topic can be dropped with the records of `ready` that refer to it. */
struct queue_end {
    char topic[QUEUE_NAME_MAX];
    uint32_t partition;
    uint64_t before;
};

struct ends {
    struct queue_end v[STEP_ROWS];
    size_t n;
    uint64_t ready; /* `ready` goes below this */
};

struct tidy_commit { /* outlives the tidy that asked for it */
    struct tidy *tidy;
};

struct tidy {
    struct tidy_conf conf;
    struct queue_cursor *walk,
        *look; /* a position kept between steps; single questions */
    struct loop_timer *timer;
    struct tidy_commit *flight;
    size_t phase;
    int64_t wall_ms;        /* when the pass began */
    int64_t first_until_ms; /* loop time; 0: nobody waits */
    bool failed, running;

    uint32_t owned[READY_PARTITIONS_MAX]; /* partitions of `ready` and `answers` */
    size_t owned_n;
    bool alone; /* nobody else may own one: there is one partition */

    char name[QUEUE_NAME_MAX]; /* topic or table that a phase has come to */
    size_t part;               /* ... and of those owned, which */
    bool walking;              /* `walk` stands in it */
    bool asking;   /* ... or yet in the rows that say from where it is needed */
    uint64_t kept; /* it goes below this */

    struct ends ends;
    struct evict evict;
    int64_t evict_before_ms;
    int walks;
};

/* ready, with the jobs it refers to */
int tidy_ready(struct tidy *t, struct queue_tx *tx, struct err *err);
int tidy_results(struct tidy *t, struct queue_tx *tx, struct err *err);
int tidy_dead(struct tidy *t, struct queue_tx *tx, struct err *err);
int tidy_runs(struct tidy *t, struct queue_tx *tx, struct err *err);
int tidy_marks(struct tidy *t, struct queue_tx *tx, struct err *err);
int tidy_answers(struct tidy *t, struct queue_tx *tx, struct err *err);

/* 1 when the oldest unacknowledged record of the topic was there at `since_ms` already. */
int tidy_waits(struct tidy *t, const char *topic, int64_t since_ms, struct err *err);

#endif
