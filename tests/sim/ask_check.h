/*
 * Whether a chat completion request is one OpenAI would accept (API reference, Create chat
 * completion). 0, or -1 with the error it would give.
 */
#ifndef SIM_ASK_CHECK_H
#define SIM_ASK_CHECK_H

#include "tests/sim/problem.h"

#include <jansson.h>

/* Also finds the row of the price table, and the limit on output tokens or -1. */
int ask_check(const json_t *body, struct problem *p, int *ret_row, int64_t *ret_limit);

#endif
