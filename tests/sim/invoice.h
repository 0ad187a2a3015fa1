/*
 * The invoice: what this provider would charge for everything it answered.
 *
 * It is added up here, answer by answer, from the simulator's own price table. Error lines
 * are free; answers in cancelled and expired batches are not. It also remembers a print of
 * every body it charged for, to say how many distinct bodies were bought more than once.
 * Thread-safe.
 */
#ifndef SIM_INVOICE_H
#define SIM_INVOICE_H

#include "tests/sim/ask.h"
#include "tests/sim/prices.h"

struct invoice;

struct invoice *invoice_create(void);
struct invoice *invoice_destroy(struct invoice *v);

/* What is billed: a batch, or a request that is alone. */
struct invoice_to {
    bool batch;
    char id[64];
};
void invoice_charge(struct invoice *v, const struct ask_facts *ask,
                    const struct usage *usage, bool half_price,
                    const struct invoice_to *to);

/* {"total_pico","total_usd","requests","requests_billed_twice","tokens","by_model"} */
void invoice_write(struct invoice *v, struct text *out);

/* A table in text: batch,request,amount_usd, a line for each batch and each request made alone. */
void invoice_write_csv(struct invoice *v, struct text *out);

#endif
