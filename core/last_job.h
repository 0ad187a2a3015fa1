/*
 * last_job.h - the last job of a jobs partition that was seen in a partition of `ready`.
 *
 * In a jobs partition releases happen strictly in offset order, and a job goes to one partition of
 * `ready`. So a record there whose job is not above the last one seen there from that jobs partition
 * is a repeat: only a record's first place in the log decides (DESIGN.md section 3, "Repeats").
 *
 * A jobs topic that was deleted and made again gives the same offsets to later jobs; the broker's
 * times (LogAppendTime) tell them apart. The latest time seen is kept, so that a clock that is set
 * back between two jobs does no harm.
 *
 * On a broker the last ones below the low water of `ready` stand in table `acks`, in one row each:
 *
 *     ready#3:shop.tags/0     17/1795279027258
 *
 * They are written with the low water (core/queue_kafka_acks.c), and read by who owns the partition
 * next (worker/intake.c).
 */
#ifndef OFFPEAK_CORE_LAST_JOB_H
#define OFFPEAK_CORE_LAST_JOB_H

#include "core/buf.h"
#include <stdbool.h>

#define LAST_JOB_TEXT 44 /* of a row's value, with its NUL */

struct last_job {
    uint64_t offset;
    int64_t ms;
};

/* "shop.tags/0/17/1795279027258": what stands before the offset, and the rest. -1: no job id. */
int last_job_of(struct span job_id, struct span *ret_queue, struct last_job *ret);
/* False: `job` is a repeat. Else it is the last one now. */
bool last_job_pass(struct last_job *last, const struct last_job *job);

void last_job_format(const struct last_job *j, char ret[static LAST_JOB_TEXT]);
int last_job_parse(struct span text, struct last_job *ret);

#endif
