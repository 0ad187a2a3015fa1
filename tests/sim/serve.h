/*
 * Serving one ask, in either lane: prompt cache, answer, invoice.
 */
#ifndef SIM_SERVE_H
#define SIM_SERVE_H

#include "tests/sim/answer.h"
#include "tests/sim/sim.h"

struct serve_how {
    int64_t started_us; /* simulated */
    bool half_price;
    bool is_free; /* not billed (fault `omit` with billed false) */
    struct answer_style style;
};

/* Appends the chat completion to `out`. */
void serve(struct sim *sim, const struct ask_facts *facts, const uint64_t *steps,
           struct serve_how how, struct text *out, struct usage *ret_usage);

/* What the fault does to an answer, if it is one of refuse, filter, no_usage. */
struct answer_style serve_style(enum fault_do what);

#endif
