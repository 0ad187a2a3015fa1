/*
 * jtext.h - JSON text checked and read where it lies, without building a tree.
 *
 * Why not the tree of jansson here: a job line must be hashed by the exact decimal value of
 * its numbers (a double cannot tell 2^53 from 2^53 + 1 and has no 1e400), the body must be
 * passed on byte for byte, and a hostile line must not cost 75 times its size in memory.
 * Everything that is ours, small or already trusted is read with jansson.
 *
 * Use: jtext_check once on outside bytes (grammar of RFC 8259, strict UTF-8, no byte-order
 * mark, no lone surrogate, no NUL, no repeated key, depth at most JTEXT_DEPTH_MAX); after that
 * the readers below may be used on it and on every value they return. Values are raw spans of
 * the text; a string keeps its quotes and escapes until jtext_string undoes them.
 */
#ifndef OFFPEAK_CORE_JTEXT_H
#define OFFPEAK_CORE_JTEXT_H

#include "core/buf.h"
#include "core/err.h"

#define JTEXT_DEPTH_MAX 64

enum jtext_type { JTEXT_NONE, JTEXT_OBJECT, JTEXT_ARRAY, JTEXT_STRING, JTEXT_NUMBER, JTEXT_BOOL, JTEXT_NULL };

/* ERR_INPUT with the column and what is wrong there. */
int jtext_check(struct span text, struct err *err);
enum jtext_type jtext_type(struct span value);
/* The raw value of a member; false when the object has none. */
bool jtext_get(struct span object, const char *key, struct span *ret);
/* Walks members (ret_key raw with quotes) or elements (ret_key NULL). *at starts at 0. */
bool jtext_next(struct span container, size_t *at, struct span *ret_key, struct span *ret_value);
/* Appends the string's characters, escapes undone. -1 when it is no string or does not fit. */
int jtext_string(struct span value, struct buf *ret);
bool jtext_is_string(struct span value, const char *s); /* a string equal to s */
bool jtext_true(struct span value);
int jtext_u64(struct span value, uint64_t *ret); /* a non-negative integer, any spelling (1, 1.0, 1e0) */

#endif
