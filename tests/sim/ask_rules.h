/*
 * Rules that requests of several kinds obey (OpenAI API reference). Each gives 0, or -1 with
 * the error OpenAI would give.
 */
#ifndef SIM_ASK_RULES_H
#define SIM_ASK_RULES_H

#include "tests/sim/prices.h"
#include "tests/sim/problem.h"

#include <jansson.h>

#define COUNT(table) (sizeof(table) / sizeof *(table))

bool is_one_of(const char *s, const char *const *list, size_t n);

/* No field that `known` does not name. */
int rule_known_fields(const json_t *body, const char *const *known, size_t n,
                      struct problem *p);

/* The model exists. */
int rule_model(const json_t *body, struct problem *p, int *ret_row);

struct number_rule {
    const char *name;
    double min, max;
    bool integer;
};

/* Each number that is there is within its bounds. */
int rule_numbers(const json_t *body, const struct number_rule *rules, size_t n,
                 struct problem *p);

/* service_tier, temperature, stream: what writes text has in common. */
int rule_writing(const json_t *body, const struct price_row *row, struct problem *p);

#endif
