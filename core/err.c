#include "core/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Names of files and what a provider says end up here: nothing of that may move a cursor. */
static void mask_controls(char *s)
{
    for (; *s; s++) {
        if ((unsigned char)*s < 0x20 || *s == 0x7f) {
            *s = '?';
        }
    }
}

/* A cut text must not end inside a character of several bytes. */
static void cut_last_partial(char *s)
{
    size_t n = strlen(s);
    size_t tail = 0;
    while (tail < n && tail < 3 && ((unsigned char)s[n - 1 - tail] & 0xc0) == 0x80) {
        tail++;
    }
    if (tail == n) {
        return;
    }
    unsigned char lead = (unsigned char)s[n - 1 - tail];
    size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (want > tail + 1) {
        s[n - 1 - tail] = '\0';
    }
}

/* The arguments may point into `to` itself: a message that wraps the one before it. */
static void PRINTF_LIKE(3, 0)
    set_text(char *to, size_t cap, const char *fmt, va_list args)
{
    char text[sizeof(((struct err *)NULL)->msg)];
    int n = vsnprintf(text, MIN_OF(cap, sizeof(text)), fmt, args);
    if (n < 0) {
        text[0] = '\0';
    }
    mask_controls(text);
    if ((size_t)n >= MIN_OF(cap, sizeof(text))) {
        cut_last_partial(text);
    }
    memcpy(to, text, strlen(text) + 1);
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    if (err) {
        va_list args;
        va_start(args, fmt);
        set_text(err->msg, sizeof(err->msg), fmt, args);
        va_end(args);
        err->code = code;
        err->retry = RETRY_NEVER;
        err->hint[0] = '\0';
    }
    return -(int)code;
}

void err_hint(struct err *err, const char *fmt, ...)
{
    if (err) {
        va_list args;
        va_start(args, fmt);
        set_text(err->hint, sizeof(err->hint), fmt, args);
        va_end(args);
    }
}

int err_retryable(struct err *err, enum err_retry retry)
{
    if (!err) {
        return -(int)ERR_FAIL;
    }
    err->retry = retry;
    return -(int)err->code;
}
