/*
 * evict.h - which stored answers go when there are too many bytes of them.
 *
 * Oldest first, without an index by age: a walk over the table adds every row's size to one of
 * EVICT_BUCKETS spans of time (evict_add), and evict_before names the time before which rows
 * must go so that about 90 % of the bound is left; the next walk deletes them. Within a span
 * rows are taken to be spread evenly, so the cut is approximate; the range of a walk is what
 * the walk before has seen, so repeated walks get finer. Pure; times in ms since the epoch.
 */
#ifndef OFFPEAK_WORKER_EVICT_H
#define OFFPEAK_WORKER_EVICT_H

#include <stdint.h>

#define EVICT_BUCKETS 256

struct evict {
    int64_t from_ms, to_ms; /* range of the buckets; times outside count in the nearest */
    int64_t oldest_ms, newest_ms; /* seen */
    uint64_t bytes[EVICT_BUCKETS];
    uint64_t total;
};

void evict_begin(struct evict *e, int64_t from_ms, int64_t to_ms);
void evict_add(struct evict *e, int64_t stored_ms, uint64_t bytes);
/* INT64_MIN when the total is within the bound. */
int64_t evict_before(const struct evict *e, uint64_t max_bytes);

#endif
