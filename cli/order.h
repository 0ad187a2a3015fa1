/*
 * order.h - texts that come in any order, given out by their numbers.
 *
 * order_add any number of times, then order_each: every text once, the smallest number first. Of
 * texts with the same number the one added last counts. `tag` is kept for the caller.
 *
 * Memory: one text and the cache of cli/slots.h, 2 MiB, however many texts there are; they and
 * their places, 16 bytes each, stand in scratch files. Numbers should be dense, as those of lines.
 */
#ifndef OFFPEAK_CLI_ORDER_H
#define OFFPEAK_CLI_ORDER_H

#include "core/buf.h"
#include "core/err.h"

struct order;

typedef int (*order_fn)(void *ctx, uint32_t tag, struct span text, struct err *err);

int order_open(struct order **ret, const char *dir, struct err *err);
int order_add(struct order *o, uint64_t number, uint32_t tag, struct span text,
              struct err *err);
int order_each(struct order *o, order_fn fn, void *ctx, struct err *err);
struct order *order_close(struct order *o);

#endif
