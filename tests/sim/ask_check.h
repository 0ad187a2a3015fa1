/*
 * Whether a request is one OpenAI would accept (API reference, Create chat completion, Create a
 * model response, Create embeddings). 0, or -1 with the error it would give.
 */
#ifndef SIM_ASK_CHECK_H
#define SIM_ASK_CHECK_H

#include "tests/sim/ask.h"

/* Also finds the row of the price table, and the limit on output tokens or -1. */
int ask_check(enum ask_kind kind, const json_t *body, struct problem *p, int *ret_row,
              int64_t *ret_limit);

/* The kinds that have files of their own; the model exists. */
int check_response(const json_t *body, struct problem *p, int row, int64_t *ret_limit);
int check_embedding(const json_t *body, struct problem *p, int row, int64_t *ret_limit);

#endif
