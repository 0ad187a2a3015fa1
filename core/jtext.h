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
#define JTEXT_BYTES_MAX ((size_t)1 << 30)

enum jtext_type {
    JTEXT_NONE,
    JTEXT_OBJECT,
    JTEXT_ARRAY,
    JTEXT_STRING,
    JTEXT_NUMBER,
    JTEXT_BOOL,
    JTEXT_NULL
};

/* ERR_INPUT: "column 17: expected ':' after the name, found '1'" and a remedy as the hint.
 * Columns count bytes from 1. */
int jtext_check(struct span text, struct err *err);
enum jtext_type jtext_type(struct span value);
/* The raw value of a member; false when the object has none. */
bool jtext_get(struct span object, const char *key, struct span *ret);
/* Walks members (ret_key raw with quotes) or elements (ret_key NULL). *at starts at 0. */
bool jtext_next(struct span container, size_t *at, struct span *ret_key,
                struct span *ret_value);
/* Appends the string's characters, escapes undone. -1 when it is no string or does not fit. */
int jtext_string(struct span value, struct buf *ret);
bool jtext_is_string(struct span value, const char *s); /* a string equal to s */
bool jtext_true(struct span value);
int jtext_u64(struct span value,
              uint64_t *ret); /* a non-negative integer, any spelling (1, 1.0, 1e0) */

/* ---- for those who go through a value character by character (core/prompt.c) ---- */

/* A number by its exact decimal value: [-] 0.D x 10^point, D being the `digits` of the text from
 * the first that is not zero to the last (a decimal point may stand among them, it counts for
 * nothing). Zero has no digits. |point| is cut off at JTEXT_POINT_MAX. */
#define JTEXT_POINT_MAX ((int64_t)1 << 40)
struct jtext_number {
    bool negative;
    struct span digits;
    int64_t point;
};
bool jtext_number(struct span value,
                  struct jtext_number *ret); /* false when it is no number */

/* How many of the first bytes are plain ASCII text: no quote, backslash or control character. */
size_t jtext_plain(struct span s);
/* The character at *at of a string's inside (without quotes), in UTF-8, escapes undone; moves
 * *at behind it. Its bytes, 1 to 4. */
unsigned jtext_char(struct span inside, size_t *at, char ret[static 4]);
struct span jtext_inside(struct span string); /* what stands between the quotes */
/* Order of two raw strings by their characters' bytes, however they are spelled. */
int jtext_cmp(struct span a, struct span b);

#endif
