/*
 * repeats.h - has this job been seen on `ready` before?
 *
 * In a jobs partition releases happen strictly in offset order, and a job goes to one partition of
 * `ready`. So a record there whose jobs offset is not above the last one seen there from that jobs
 * partition is a repeat: only a record's first place in the log decides, redelivery never does. One
 * number per pair of partitions is all that is remembered; a new owner rebuilds it by reading `ready`
 * on from its low water, acknowledged records included.
 */
#ifndef OFFPEAK_WORKER_REPEATS_H
#define OFFPEAK_WORKER_REPEATS_H

#include "core/buf.h"

#define REPEATS_QUEUES_MAX \
    65536 /* jobs partitions, each in every partition of `ready` it is seen in */

struct repeats;

struct repeats *repeats_create(void); /* NULL: out of memory */
struct repeats *repeats_destroy(struct repeats *r);
/* 1: a repeat; 0: its first place, remembered; -1: no job id, out of memory or too many queues. */
int repeats_see(struct repeats *r, uint32_t ready, struct span job_id);

/* "team.feature/partition/offset/ms": what stands before the offset, and the offset. */
int repeats_place(struct span job_id, struct span *ret_queue, uint64_t *ret_offset);

#endif
