/*
 * seen.h - which numbers of which streams were seen: how readers fold records by their id.
 *
 * Every record id of ours names a place in a stream (a job's jobs topic and offset, a run's
 * line), so "seen before" is one bit. Memory: a bit for each number, in pieces of 4 KiB that are
 * made when first needed. Numbers up to SEEN_MAX, streams up to SEEN_STREAMS_MAX.
 */
#ifndef OFFPEAK_CLI_SEEN_H
#define OFFPEAK_CLI_SEEN_H

#include "core/buf.h"
#include <stdint.h>

#define SEEN_MAX         ((uint64_t)1 << 36)
#define SEEN_STREAMS_MAX 10000

struct seen;

struct seen *seen_create(void); /* NULL: no memory */
struct seen *seen_destroy(struct seen *s);
/* 1 new, 0 seen before, -1 no memory or beyond a maximum. */
int seen_add(struct seen *s, struct span stream, uint64_t number);
bool seen_has(struct seen *s, struct span stream, uint64_t number);

#endif
