/*
 * pool_ask.h - what a call asks beyond its group's beginning, boiled down to whether two calls
 * begin alike there as well.
 *
 * The prefix chain ends before the last message (core/prompt.h), and that is often where calls
 * differ only late: one document, many questions. Link i is a hash of the first POOL_ASK_FIRST
 * times POOL_ASK_STEP^i bytes of that message as they stand in the body, so calls that share more
 * links share more text. Links have no order of their own: sorting by them puts likes together.
 * Pure.
 */
#ifndef OFFPEAK_WORKER_POOL_ASK_H
#define OFFPEAK_WORKER_POOL_ASK_H

#include "core/buf.h"
#include <stdint.h>

#define POOL_ASK_LINKS 4
#define POOL_ASK_FIRST 64
#define POOL_ASK_STEP  4

struct pool_ask {
    uint32_t links[POOL_ASK_LINKS];
};

/* Of an admitted body; all zero when it has no message. */
struct pool_ask pool_ask_of(struct span body);

#endif
