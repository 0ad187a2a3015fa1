/*
 * flow.h - how much released and unsettled work each model may have.
 *
 * Kept per model of the one account, in calls and in prompt tokens, from the table `open`.
 * A full cap reopens only when a quarter of it is free, or nothing is in flight, so that
 * batches do not decay into slices. A single job larger than the whole token cap runs alone.
 */
#ifndef OFFPEAK_SCHEDULER_FLOW_H
#define OFFPEAK_SCHEDULER_FLOW_H

#include <stdbool.h>
#include <stdint.h>

struct flow;

struct flow_caps {
    uint64_t calls, tokens; /* 0: no cap */
};

struct flow *flow_create(struct flow_caps caps); /* NULL: out of memory */
struct flow *flow_destroy(struct flow *f);

/* Would one more job of that model fit; false closes the model until flow_reopens. */
bool flow_fits(struct flow *f, const char *model, uint64_t tokens);
bool flow_closed(const struct flow *f, const char *model);
int flow_add(struct flow *f, const char *model, uint64_t tokens); /* -1: out of memory */
/* Takes a settled job out; reopens the model when there is room for a batch again. */
void flow_sub(struct flow *f, const char *model, uint64_t tokens);
uint64_t flow_calls(const struct flow *f); /* over all models */

#endif
