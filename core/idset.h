/*
 * idset.h - a set of byte strings that may be larger than memory, each with a number.
 *
 * For questions about a whole input: is this custom_id there already, and on which line; which
 * of the lines with this id came last. The set lives in a file of the folder it is given, which
 * is unlinked as soon as it is open: it vanishes with the set or with the process, and nothing
 * is left to clean up after a crash. Memory in use is bounded by the additions between two
 * writes (IDSET_BATCH), not by the number of strings.
 *
 * Life cycle: idset_open, idset_add any number of times, idset_close. One thread at a time,
 * the same one from open to close (LMDB, lmdb.h, mdb_txn_begin). After an error the set can
 * only be closed. A string longer than IDSET_KEY_MAX is represented by its SHA-256.
 */
#ifndef OFFPEAK_CORE_IDSET_H
#define OFFPEAK_CORE_IDSET_H

#include "core/buf.h"
#include "core/err.h"
#include <stdint.h>

#define IDSET_KEY_MAX 400
#define IDSET_BATCH   8192

struct idset;

int idset_open(struct idset **ret, const char *dir, struct err *err);
/* 1: it is new, and `value` is kept with it. 0: it was there; *ret_first is its value. */
int idset_add(struct idset *s, struct span id, uint64_t value, uint64_t *ret_first,
              struct err *err);
struct idset *idset_close(struct idset *s);

#endif
