#include "tests/sim/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void out_of_memory(void)
{
    fputs("offpeak-sim: out of memory\n", stderr);
    abort();
}

void *must_calloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);
    if (!p) {
        out_of_memory();
    }
    return p;
}

void *must_realloc(void *p, size_t n, size_t size)
{
    void *q = reallocarray(p, n ? n : 1, size);
    if (!q) {
        out_of_memory();
    }
    return q;
}

char *must_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    return memcpy(must_calloc(n, 1), s, n);
}

void copy_string(char *to, size_t size, const char *from)
{
    size_t n = strnlen(from, size - 1);
    memcpy(to, from, n);
    to[n] = '\0';
}

void text_done(struct text *t)
{
    if (t) {
        free(t->data);
        *t = (struct text){0};
    }
}

void text_clear(struct text *t)
{
    t->len = 0;
}

static void text_reserve(struct text *t, size_t more)
{
    size_t need = t->len + more + 1;
    if (need <= t->cap) {
        return;
    }
    size_t cap = t->cap ? t->cap : 256;
    while (cap < need) {
        cap *= 2;
    }
    t->data = must_realloc(t->data, cap, 1);
    t->cap = cap;
}

char *text_room(struct text *t, size_t n)
{
    text_reserve(t, n);
    return t->data + t->len;
}

void text_add(struct text *t, const void *bytes, size_t n)
{
    text_reserve(t, n);
    if (n) {
        memcpy(t->data + t->len, bytes, n);
    }
    t->len += n;
    t->data[t->len] = '\0';
}

void text_put(struct text *t, const char *s)
{
    text_add(t, s, strlen(s));
}

void text_char(struct text *t, char c)
{
    text_add(t, &c, 1);
}

void text_int(struct text *t, int64_t value)
{
    char digits[24];
    char *at = digits + sizeof digits;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0) {
        *--at = '-';
    }
    text_add(t, at, (size_t)(digits + sizeof digits - at));
}

void text_fmt(struct text *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n > 0) {
        text_reserve(t, (size_t)n);
        vsnprintf(t->data + t->len, (size_t)n + 1, fmt, again);
        t->len += (size_t)n;
    }
    va_end(again);
}

static void put_escape(struct text *t, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    switch (c) {
    case '"': text_put(t, "\\\""); break;
    case '\\': text_put(t, "\\\\"); break;
    case '\b': text_put(t, "\\b"); break;
    case '\f': text_put(t, "\\f"); break;
    case '\n': text_put(t, "\\n"); break;
    case '\r': text_put(t, "\\r"); break;
    case '\t': text_put(t, "\\t"); break;
    default: {
        char u[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        text_add(t, u, sizeof u);
    }
    }
}

void text_json(struct text *t, const char *s, size_t n)
{
    text_reserve(t, n + 2);
    text_char(t, '"');
    size_t from = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        text_add(t, s + from, i - from);
        put_escape(t, c);
        from = i + 1;
    }
    text_add(t, s + from, n - from);
    text_char(t, '"');
}

void text_json_or_null(struct text *t, const char *s)
{
    if (s && *s) {
        text_json(t, s, strlen(s));
    } else {
        text_put(t, "null");
    }
}
