/*
 * tidy.h - housekeeping: what nobody needs any more goes, in small steps.
 *
 * One pass, at the start and then every TIDY_EVERY_MS:
 *
 *   ready            below its low water and older than `retain`; in the same commit
 *   jobs.*           what those records refer to, and what stands below
 *   results.*        older than `results.keep`, and below where any run began that has a row
 *   dead.*           older than `results.keep`
 *   marks, runs.*    the same, when no line or call of the run waits or is under way
 *   answers          past their time; then the oldest, down to `cache.max_bytes`
 *
 * `ready` and `answers` are tidied in the partitions owned here. All else only where `ready` has one
 * partition, so that this worker is the only one: what others share is left to them.
 *
 * A step reads or drops a bounded number of records, one commit is in flight at a time, and the
 * loop turns between two steps. What a pass drops is decided by the time the pass began, so it
 * never meets what was written after. `spend` is kept.
 *
 * The owner of the worker waits for the first pass (on_first) before it starts work, at most
 * TIDY_FIRST_MS: so a folder that is used once a night for a minute is tidied too.
 */
#ifndef OFFPEAK_WORKER_TIDY_H
#define OFFPEAK_WORKER_TIDY_H

#include "core/err.h"
#include <stdint.h>

#define TIDY_EVERY_MS ((int64_t)60 * 60 * 1000)
#define TIDY_FIRST_MS 1000

struct tidy;
struct loop;
struct queue;
struct queue_feed;
struct settle;

struct tidy_conf {
    struct loop *loop;
    struct queue *queue;
    struct queue_feed *feed; /* of `ready` */
    const struct settle *settle;
    int64_t retain_ms, results_keep_ms, cache_ttl_ms;
    int64_t cache_max_bytes;                             /* 0: no bound */
    void (*on_first)(void *ctx);                         /* once */
    void (*on_failed)(void *ctx, const struct err *err); /* the process must stop */
    void *ctx;
};

int tidy_create(struct tidy **ret, const struct tidy_conf *conf, struct err *err);
void tidy_start(struct tidy *t);
struct tidy *tidy_destroy(struct tidy *t);

#endif
