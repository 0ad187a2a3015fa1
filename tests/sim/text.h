/*
 * Growing text: what every reply, output line and canonical form is written into.
 *
 * A zeroed struct is an empty text. text_done frees it; text_clear keeps the memory for the
 * next use. The bytes are always followed by a NUL that is not counted. A program that only
 * serves tests cannot do anything useful without memory, so running out of it aborts.
 */
#ifndef SIM_TEXT_H
#define SIM_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *data;
    size_t len;
    size_t cap;
};

void text_done(struct text *t);
void text_clear(struct text *t);

void text_add(struct text *t, const void *bytes, size_t n);
/* Makes room for n more bytes at data + len; the caller fills them and adds n to len. */
char *text_room(struct text *t, size_t n);
void text_put(struct text *t, const char *s);
void text_char(struct text *t, char c);
void text_int(struct text *t, int64_t value);
void text_fmt(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A JSON string with its quotes, escaped as Python's json.dumps does with
 * ensure_ascii=False: only the quote, the backslash and control characters. */
void text_json(struct text *t, const char *s, size_t n);
/* `null` for NULL or an empty string. */
void text_json_or_null(struct text *t, const char *s);

/* Memory or abort. */
void *must_calloc(size_t n, size_t size);
void *must_realloc(void *p, size_t n, size_t size);
char *must_strdup(const char *s);

/* snprintf that says by its name that a cut is intended. */
void copy_string(char *to, size_t size, const char *from);

#endif
