/*
 * order.h - texts that come in any order, given out by their numbers.
 *
 * order_add any number of times, then order_each: every text once, the smallest number first. Of
 * texts with the same number the one added last counts. `tag` is kept for the caller.
 *
 * Memory: 24 bytes a text, and as many again while they are sorted; the texts themselves, of at
 * most QUEUE_VALUE_MAX bytes each, stand in a scratch file.
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
