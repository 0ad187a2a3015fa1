/*
 * scratch.h - a file without a name, for what would not fit into memory.
 *
 * It stands in the folder it is given (the data folder: where there is room by design) and
 * vanishes with its last close or with the process. scratch_add appends and says where;
 * scratch_get and scratch_set read and overwrite what was added. Memory: one buffer.
 */
#ifndef OFFPEAK_CLI_SCRATCH_H
#define OFFPEAK_CLI_SCRATCH_H

#include "core/buf.h"
#include "core/err.h"

struct scratch;

int scratch_open(struct scratch **ret, const char *dir, struct err *err);
int scratch_add(struct scratch *s, struct span bytes, uint64_t *ret_at, struct err *err);
int scratch_get(struct scratch *s, uint64_t at, void *p, size_t n, struct err *err);
int scratch_set(struct scratch *s, uint64_t at, struct span bytes, struct err *err);
struct scratch *scratch_close(struct scratch *s);

#endif
