/*
 * slots.h - an array of records of one size that may be larger than memory.
 *
 * It stands in a scratch file of the folder it is given (cli/scratch.h) and is addressed by
 * number: a record that was never touched is all zero and takes no room on disk. Memory: SLOTS_CACHE
 * blocks of SLOTS_BLOCK bytes, however many records there are; neighbours share a block, so going
 * through them in order costs one read a block.
 */
#ifndef OFFPEAK_CLI_SLOTS_H
#define OFFPEAK_CLI_SLOTS_H

#include "core/err.h"
#include <stdint.h>

#define SLOTS_BLOCK ((size_t)32 << 10)
#define SLOTS_CACHE 64u
#define SLOTS_MAX   ((uint64_t)1 << 48) /* records */

struct slots;

/* `size` of a record: a multiple of 16, SLOTS_BLOCK at most. */
int slots_open(struct slots **ret, const char *dir, size_t size, struct err *err);
/* The record, to read and to write; its memory is valid until the next call. NULL: see err. */
void *slots_at(struct slots *s, uint64_t number, struct err *err);
struct slots *slots_close(struct slots *s);

#endif
