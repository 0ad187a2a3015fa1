/*
 * Canonical JSON: the bytes that Python's
 *     json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
 * gives. Keys sorted by code point, no spaces, shortest floats.
 */
#ifndef SIM_CANONICAL_H
#define SIM_CANONICAL_H

#include "tests/sim/text.h"

#include <jansson.h>

void canonical_write(struct text *out, const json_t *value);

/* The keys of an object in canonical order; *ret_keys is freed by the caller. */
size_t canonical_keys(const json_t *object, const char ***ret_keys);

#endif
