/*
 * Counters for test scripts: requests by operation and status, dropped connections, uploads.
 * Thread-safe without a lock.
 */
#ifndef SIM_STATS_H
#define SIM_STATS_H

#include "tests/sim/op.h"
#include "tests/sim/text.h"

#include <stdatomic.h>

enum { STATUS_MAX = 600 };

struct stats {
    atomic_llong ops[OP_COUNT];
    atomic_llong statuses[STATUS_MAX];
    atomic_llong dropped;
    atomic_llong upload_bytes;
    atomic_llong lines;
    atomic_llong engine_busy_us; /* real time spent on batches */
};

void stats_count(struct stats *s, enum op op);

/* "operations":{},"statuses":{}, ... without the braces around. */
void stats_write(struct stats *s, struct text *out);

#endif
