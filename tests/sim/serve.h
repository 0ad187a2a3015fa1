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

/* What is asked: of a struct ask, or of a line of a plan. */
struct serve_what {
    const struct ask_facts *facts;
    const uint64_t *steps;
    const unsigned char *digests;
    struct invoice_to to;
};

/* Appends the answer to `out`. */
void serve(struct sim *sim, struct serve_what what, struct serve_how how,
           struct text *out, struct usage *ret_usage);

/* What the fault does to an answer of that kind, and whether it is billed. */
struct serve_how serve_how(const struct fault *f, enum ask_kind kind);

#endif
