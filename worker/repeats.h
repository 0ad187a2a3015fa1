/*
 * repeats.h - has this job been seen on `ready` before?
 *
 * It is a repeat unless it is above the last one seen there from its jobs partition
 * (core/last_job.h): only a record's first place in the log decides, redelivery never does. One job
 * per pair of partitions is all that is remembered; a new owner begins with those as of the low water,
 * which stand in table `acks` on a broker, and reads `ready` on from there, acknowledged records included.
 */
#ifndef OFFPEAK_WORKER_REPEATS_H
#define OFFPEAK_WORKER_REPEATS_H

#include "core/last_job.h"

#define REPEATS_QUEUES_MAX \
    65536 /* jobs partitions, each in every partition of `ready` it is seen in */

struct repeats;

struct repeats *repeats_create(void); /* NULL: out of memory */
struct repeats *repeats_destroy(struct repeats *r);
/* 1: a repeat; 0: its first place, remembered; -1: no job id, out of memory or too many queues. */
int repeats_see(struct repeats *r, uint32_t ready, struct span job_id);
/* The last one as of the low water, of `queue` ("team.feature/partition"); -1 as above. */
int repeats_begin(struct repeats *r, uint32_t ready, struct span queue,
                  const struct last_job *last);

#endif
