#include "core/redact.h"

#include <strings.h>

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_token(char c)
{
    return is_word(c) || (c && strchr("-_.~+/=", c));
}

static size_t token_run(struct span s, size_t at)
{
    size_t n = 0;
    while (at + n < s.n && is_token(s.p[at + n])) {
        n++;
    }
    return n;
}

static bool begins(struct span s, size_t at, const char *what)
{
    size_t n = strlen(what);
    return s.n - at >= n && strncasecmp(s.p + at, what, n) == 0;
}

/* What stands before a secret, and whether the mark itself may follow a letter. */
static const struct mark {
    const char *text;
    size_t secret_min; /* shorter tokens are words */
} marks[] = {
    {"sk-", 3},
    {"Bearer ", 1},
    {"x-api-key: ", 1},
    {"x-api-key=", 1},
};

/* The length of `user:password` in `://user:password@`, when s begins at its first byte. */
static size_t userinfo_run(struct span s, size_t at)
{
    for (size_t n = 0; at + n < s.n && n < 256; n++) {
        char c = s.p[at + n];
        if (c == '@') {
            return n;
        }
        if (c == '/' || c == ' ' || c == '"' || c == '\'') {
            break;
        }
    }
    return 0;
}

/* Bytes of mark and secret at `at`; *ret_keep of them may be shown. 0: nothing to hide. */
static size_t secret_at(struct span s, size_t at, size_t *ret_keep)
{
    bool inside_word = at > 0 && is_word(s.p[at - 1]);
    for (size_t i = 0; i < ARRAY_LEN(marks) && !inside_word; i++) {
        size_t mark_n = strlen(marks[i].text);
        if (begins(s, at, marks[i].text)) {
            size_t n = token_run(s, at + mark_n);
            if (n >= marks[i].secret_min) {
                *ret_keep = mark_n;
                return mark_n + n;
            }
        }
    }
    if (begins(s, at, "://")) {
        size_t n = userinfo_run(s, at + 3);
        *ret_keep = 3;
        return n ? 3 + n : 0;
    }
    return 0;
}

static size_t add_visible(struct buf *ret, struct span s)
{
    unsigned char c = (unsigned char)s.p[0];
    int n = span_utf8(s);
    bool c1 = n == 2 && c == 0xc2 && (unsigned char)s.p[1] < 0xa0; /* 8-bit controls */
    if (n == 0 || c < 0x20 || c == 0x7f || c1) {
        buf_addf(ret, "\\x%02x", c);
        return 1;
    }
    buf_add(ret, s.p, (size_t)n);
    return (size_t)n;
}

int redact(struct buf *ret, struct span text)
{
    for (size_t at = 0; at < text.n && !ret->failed;) {
        size_t keep = 0;
        size_t n = secret_at(text, at, &keep);
        if (n) {
            buf_add(ret, text.p + at, keep);
            buf_adds(ret, "***");
            at += n;
        } else {
            at += add_visible(ret, span_of(text.p + at, text.n - at));
        }
    }
    return ret->failed ? -1 : 0;
}
