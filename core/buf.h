/*
 * buf.h - borrowed bytes (span) and growing bytes with a written maximum (buf).
 *
 * A span points into memory somebody else owns. A buf owns its memory, says at buf_init how
 * large it may ever get, and keeps a NUL behind its last byte. An append that would pass the
 * maximum (or finds no memory) changes nothing and sets `failed`; it stays set until
 * buf_reset, so a writer may append many times and look once. `p` is NULL until the first
 * append (of nothing counts), and what is appended must not point into the buf itself.
 */
#ifndef OFFPEAK_CORE_BUF_H
#define OFFPEAK_CORE_BUF_H

#include "core/attr.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const char *p;
    size_t n;
};

#define SPAN_NONE     ((struct span){NULL, 0})
#define SPAN_LIT(lit) ((struct span){(lit), sizeof(lit) - 1})

static inline struct span span_of(const void *p, size_t n)
{
    return (struct span){p, n};
}

static inline struct span span_str(const char *s)
{
    return (struct span){s, s ? strlen(s) : 0};
}

bool span_eq(struct span a, struct span b);
bool span_is(struct span a, const char *s);
int span_cmp(struct span a, struct span b); /* memcmp order, shorter first */
struct span span_trim(struct span s);       /* spaces, tabs, CR and LF at both ends */
int span_u64(struct span s,
             uint64_t *ret); /* decimal digits only; -1 on overflow or junk */
int span_i64(struct span s, int64_t *ret);
/* Bytes (1 to 4) of the UTF-8 character that s begins with; 0 when it begins with none. */
int span_utf8(struct span s);

struct buf {
    char *p;
    size_t n, cap, max;
    bool failed;
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b); /* for _cleanup_; the buf may be initialised again */
void buf_reset(struct buf *b);
int buf_reserve(struct buf *b, size_t more);
int buf_add(struct buf *b, const void *p, size_t n);
int buf_adds(struct buf *b, const char *s);
int buf_addc(struct buf *b, char c);
int buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Appends `s` as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
int buf_add_json(struct buf *b, struct span s);
struct span buf_span(const struct buf *b);

#endif
