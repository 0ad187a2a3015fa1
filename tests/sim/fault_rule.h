/*
 * One line of a fault script, read from JSON and checked.
 */
#ifndef SIM_FAULT_RULE_H
#define SIM_FAULT_RULE_H

#include "tests/sim/faults.h"

struct fault_rule {
    enum op on;
    int64_t nth;   /* the first occurrence it may fire at */
    int64_t count; /* how often it fires; 0: for ever */
    double p;
    struct fault fault;
    int64_t seen;
    int64_t fired;
    uint64_t rng;
};

const char *fault_do_name(enum fault_do what);

/* 0, or -1 with the reason in *ret_why. */
int fault_rule_read(struct fault_rule *r, const char *line, size_t n,
                    struct text *ret_why);

#endif
