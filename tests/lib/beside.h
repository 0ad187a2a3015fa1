/*
 * beside.h - what tests ask a broker that the product never does, by the client library itself:
 * to remove topics, and what a group has committed.
 */
#ifndef OFFPEAK_TESTS_LIB_BESIDE_H
#define OFFPEAK_TESTS_LIB_BESIDE_H

#include <stdint.h>

#define BESIDE_NONE (-1)

/* All topics whose names begin with `prefix`; what cannot be removed stays. A small broker gets
 * slow with thousands of partitions. */
void beside_remove_topics(const char *brokers, const char *prefix);

/* The next offset, BESIDE_NONE when there is none; anything below: the broker did not say. */
int64_t beside_committed(const char *brokers, const char *group, const char *topic,
                         int32_t partition);

#endif
