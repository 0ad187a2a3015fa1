#include "core/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CAP_FIRST 64

bool span_eq(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool span_is(struct span a, const char *s)
{
    return span_eq(a, span_str(s));
}

int span_cmp(struct span a, struct span b)
{
    size_t n = MIN_OF(a.n, b.n);
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct span span_trim(struct span s)
{
    while (s.n && is_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n && is_blank(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

int span_u64(struct span s, uint64_t *ret)
{
    uint64_t value = 0;
    if (s.n == 0) {
        return -1;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return -1;
        }
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.p[i] - '0'), &value)) {
            return -1;
        }
    }
    *ret = value;
    return 0;
}

int span_i64(struct span s, int64_t *ret)
{
    bool negative = s.n && s.p[0] == '-';
    uint64_t magnitude;
    if (span_u64(negative ? span_of(s.p + 1, s.n - 1) : s, &magnitude) < 0) {
        return -1;
    }
    if (negative) {
        return __builtin_sub_overflow(0, magnitude, ret) ? -1 : 0;
    }
    return __builtin_add_overflow(magnitude, 0, ret) ? -1 : 0;
}

static bool is_tail(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

int span_utf8(struct span s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    if (s.n == 0) {
        return 0;
    }
    if (p[0] < 0x80) {
        return 1;
    }
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        return s.n >= 2 && is_tail(p[1]) ? 2 : 0;
    }
    if (p[0] >= 0xe0 && p[0] <= 0xef) {
        bool ok = s.n >= 3 && is_tail(p[1]) && is_tail(p[2]);
        ok = ok && !(p[0] == 0xe0 && p[1] < 0xa0);  /* overlong */
        ok = ok && !(p[0] == 0xed && p[1] >= 0xa0); /* surrogate */
        return ok ? 3 : 0;
    }
    if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        bool ok = s.n >= 4 && is_tail(p[1]) && is_tail(p[2]) && is_tail(p[3]);
        ok = ok && !(p[0] == 0xf0 && p[1] < 0x90);  /* overlong */
        ok = ok && !(p[0] == 0xf4 && p[1] >= 0x90); /* above U+10FFFF */
        return ok ? 4 : 0;
    }
    return 0;
}

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_fini(struct buf *b)
{
    free(b->p);
    *b = (struct buf){.max = b->max};
}

void buf_reset(struct buf *b)
{
    b->n = 0;
    b->failed = false;
    if (b->p) {
        b->p[0] = '\0';
    }
}

int buf_reserve(struct buf *b, size_t more)
{
    if (b->failed || more > b->max - b->n) {
        b->failed = true;
        return -1;
    }
    size_t need = b->n + more + 1; /* the NUL */
    if (need <= b->cap) {
        return 0;
    }
    size_t cap = MAX_OF(b->cap, (size_t)CAP_FIRST);
    while (cap < need) {
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    }
    cap = MAX_OF(MIN_OF(cap, b->max + 1), need);
    char *p = realloc(b->p, cap);
    if (!p) {
        b->failed = true;
        return -1;
    }
    b->p = p;
    b->cap = cap;
    b->p[b->n] = '\0';
    return 0;
}

int buf_add(struct buf *b, const void *p, size_t n)
{
    if (buf_reserve(b, n) < 0) {
        return -1;
    }
    if (n) {
        memcpy(b->p + b->n, p, n);
    }
    b->n += n;
    b->p[b->n] = '\0';
    return 0;
}

int buf_adds(struct buf *b, const char *s)
{
    return buf_add(b, s, strlen(s));
}

int buf_addc(struct buf *b, char c)
{
    return buf_add(b, &c, 1);
}

int buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    int rc = n < 0 ? -1 : buf_reserve(b, (size_t)n);
    if (rc == 0) {
        vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    b->failed = b->failed || rc < 0;
    va_end(again);
    return rc;
}

static void add_json_escape(struct buf *b, char c)
{
    switch (c) {
    case '"': buf_adds(b, "\\\""); break;
    case '\\': buf_adds(b, "\\\\"); break;
    case '\b': buf_adds(b, "\\b"); break;
    case '\f': buf_adds(b, "\\f"); break;
    case '\n': buf_adds(b, "\\n"); break;
    case '\r': buf_adds(b, "\\r"); break;
    case '\t': buf_adds(b, "\\t"); break;
    default: buf_addf(b, "\\u%04x", (unsigned char)c); break;
    }
}

/* The length of the run that goes out as it stands. */
static size_t json_plain_run(struct span s)
{
    size_t n = 0;
    while (n < s.n) {
        unsigned char c = (unsigned char)s.p[n];
        if (c < 0x20 || c == '"' || c == '\\') {
            break;
        }
        int step = c < 0x80 ? 1 : span_utf8(span_of(s.p + n, s.n - n));
        if (step == 0) {
            break;
        }
        n += (size_t)step;
    }
    return n;
}

int buf_add_json(struct buf *b, struct span s)
{
    size_t before = b->n;
    buf_addc(b, '"');
    while (s.n && !b->failed) {
        size_t run = json_plain_run(s);
        buf_add(b, s.p, run);
        s = span_of(s.p + run, s.n - run);
        if (s.n == 0) {
            break;
        }
        if ((unsigned char)s.p[0] >= 0x80) {
            buf_adds(b, "\xef\xbf\xbd");
        } else {
            add_json_escape(b, s.p[0]);
        }
        s = span_of(s.p + 1, s.n - 1);
    }
    buf_addc(b, '"');
    if (!b->failed) {
        return 0;
    }
    b->n = before;
    if (b->p) {
        b->p[before] = '\0';
    }
    return -1;
}

struct span buf_span(const struct buf *b)
{
    return span_of(b->p, b->n);
}
