/* The gate for bytes from outside: everything behind it may trust the text's grammar. */
#include "core/jtext.h"

#include <stdio.h>
#include <stdlib.h>

#define KEYS_FIXED   64 /* keys of open objects that need no allocation */
#define KEYS_COMPARE 12 /* up to here every pair is compared, above they are sorted */

enum fault {
    FAULT_EMPTY,
    FAULT_HUGE,
    FAULT_BOM,
    FAULT_UTF16,
    FAULT_NUL,
    FAULT_CONTROL,
    FAULT_UTF8,
    FAULT_SURROGATE,
    FAULT_ESCAPE,
    FAULT_OPEN,
    FAULT_DEPTH,
    FAULT_NUMBER,
    FAULT_TRAILING,
};

static const struct {
    const char *what, *hint;
} faults[] = {
    [FAULT_EMPTY] = {"there is nothing", "remove the empty line"},
    [FAULT_HUGE] = {"the line is larger than 1 GiB", "write one JSON object per line"},
    [FAULT_BOM] =
        {"the text begins with a byte-order mark",
         "save the file as UTF-8 without one, or run: sed -i '1s/^\\xEF\\xBB\\xBF//' FILE"},
    [FAULT_UTF16] = {"the text is UTF-16",
                     "convert the file to UTF-8: iconv -f UTF-16 -t UTF-8 FILE > NEW"},
    [FAULT_NUL] =
        {"a NUL byte",
         "the file is not text, or is UTF-16; convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW"},
    [FAULT_CONTROL] = {"a control character inside a string",
                       "write it as an escape, a line break as \\n and a tab as \\t"},
    [FAULT_UTF8] = {"bytes that are not UTF-8",
                    "convert the file to UTF-8: iconv -f ISO-8859-1 -t UTF-8 FILE > NEW"},
    [FAULT_SURROGATE] =
        {"half of a surrogate pair",
         "the text was cut inside a character; write both halves or the character itself"},
    [FAULT_ESCAPE] =
        {"an unknown escape in a string",
         "JSON has \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u with four hex digits; a backslash is \\\\"},
    [FAULT_OPEN] =
        {"a string has no end",
         "the line may be cut off; each job is one whole JSON object on one line"},
    [FAULT_DEPTH] = {"nested deeper than 64 levels", "flatten the request"},
    [FAULT_NUMBER] =
        {"a malformed number",
         "JSON numbers look like 1, -0.5 or 2e3: no leading zero, no plus, no NaN"},
    [FAULT_TRAILING] = {"more text after the end of the value",
                        "put each JSON object on a line of its own"},
};

/* A name of an open object, with its quotes. */
struct key {
    uint32_t at;
    uint32_t n : 31;
    uint32_t escaped : 1;
};

struct keys {
    struct key *v; /* `fixed` until that is full */
    size_t n, cap;
    struct key fixed[KEYS_FIXED];
};

struct level {
    bool object;
    size_t keys_from; /* its names are keys.v[keys_from ...] */
};

struct scan {
    struct span s;
    size_t at;
    struct err *err;
    unsigned depth;
    struct level levels[JTEXT_DEPTH_MAX];
    struct keys keys;
};

static void scan_fini(struct scan *c)
{
    if (c->keys.v != c->keys.fixed) {
        free(c->keys.v);
    }
}

/* ---- messages ---- */

static int fail(const struct scan *c, size_t at, enum fault fault)
{
    err_set(c->err, ERR_INPUT, "column %zu: %s", at + 1, faults[fault].what);
    err_hint(c->err, "%s", faults[fault].hint);
    return -ERR_INPUT;
}

/* Some bytes stand for a mistake of their own, wherever they are. */
static bool fault_of_byte(const struct scan *c, enum fault *ret)
{
    struct span left = span_of(c->s.p + c->at, c->s.n - c->at);
    unsigned char byte = (unsigned char)left.p[0];
    if (byte == 0) {
        *ret = FAULT_NUL;
        return true;
    }
    if (byte >= 0x80 && span_utf8(left) == 0) {
        *ret = FAULT_UTF8;
        return true;
    }
    return false;
}

static int expected(const struct scan *c, const char *what)
{
    char found[40] = "the end";
    enum fault fault;
    if (c->at < c->s.n) {
        if (fault_of_byte(c, &fault)) {
            return fail(c, c->at, fault);
        }
        unsigned char byte = (unsigned char)c->s.p[c->at];
        int n = span_utf8(span_of(c->s.p + c->at, c->s.n - c->at));
        if (byte < 0x20 || byte == 0x7f) {
            snprintf(found, sizeof(found), "byte 0x%02x", byte);
        } else {
            snprintf(found, sizeof(found), "'%.*s'", n, c->s.p + c->at);
        }
    }
    err_set(c->err, ERR_INPUT, "column %zu: expected %s, found %s", c->at + 1, what,
            found);
    err_hint(c->err, c->at < c->s.n
                         ? "each job is one JSON object on one line"
                         : "the line may be cut off; each job is one whole JSON "
                           "object on one line");
    return -ERR_INPUT;
}

/* ---- names of an object, each once ---- */

static struct span key_span(const struct scan *c, struct key k)
{
    return span_of(c->s.p + k.at, k.n);
}

static int key_push(struct scan *c, size_t at, size_t n)
{
    struct keys *k = &c->keys;
    struct key key = {.at = (uint32_t)at, .n = (uint32_t)n & INT32_MAX};
    key.escaped = memchr(c->s.p + at, '\\', n) != NULL;
    if (k->n == k->cap) {
        bool fixed = k->v == k->fixed;
        struct key *more = realloc(fixed ? NULL : k->v, 2 * k->cap * sizeof(*more));
        if (!more) {
            return err_set(c->err, ERR_FAIL, "column %zu: out of memory", at + 1);
        }
        if (fixed) {
            memcpy(more, k->fixed, sizeof(k->fixed));
        }
        k->v = more;
        k->cap *= 2;
    }
    k->v[k->n++] = key;
    return 0;
}

static int key_order(const void *a, const void *b, void *scan)
{
    return jtext_cmp(key_span(scan, *(const struct key *)a),
                     key_span(scan, *(const struct key *)b));
}

static bool key_same(const struct scan *c, struct key a, struct key b)
{
    if (a.escaped || b.escaped) {
        return jtext_cmp(key_span(c, a), key_span(c, b)) == 0;
    }
    return a.n == b.n && memcmp(c->s.p + a.at, c->s.p + b.at, a.n) == 0;
}

static int repeated(const struct scan *c, struct key a, struct key b)
{
    struct key second = a.at > b.at ? a : b;
    err_set(c->err, ERR_INPUT, "column %u: the name %.*s stands twice in one object",
            second.at + 1, (int)MIN_OF(second.n + 0U, 80U), c->s.p + second.at);
    err_hint(c->err, "readers disagree on which one counts; keep one of them");
    return -ERR_INPUT;
}

/* At the end of an object: its names are the last of c->keys. */
static int keys_close(struct scan *c, size_t from)
{
    struct key *v = c->keys.v + from;
    size_t n = c->keys.n - from;
    bool sorted = n > KEYS_COMPARE;
    c->keys.n = from;
    if (sorted) {
        qsort_r(v, n, sizeof(*v), key_order, c);
    }
    for (size_t i = 1; i < n; i++) {
        for (size_t j = sorted ? i - 1 : 0; j < i; j++) {
            if (key_same(c, v[j], v[i])) {
                return repeated(c, v[j], v[i]);
            }
        }
    }
    return 0;
}

/* ---- strings ---- */

static int hex_at(const struct scan *c, size_t at, unsigned *ret)
{
    unsigned value = 0;
    for (size_t i = at; i < at + 4; i++) {
        unsigned char d = i < c->s.n ? (unsigned char)c->s.p[i] : 0;
        unsigned lower = d | 0x20u;
        bool digit = d >= '0' && d <= '9';
        if (!digit && (lower < 'a' || lower > 'f')) {
            return -1;
        }
        value = value << 4 | (digit ? (unsigned)d - '0' : lower - 'a' + 10);
    }
    *ret = value;
    return 0;
}

/* At a backslash. */
static int scan_escape(struct scan *c)
{
    size_t at = c->at;
    unsigned first, second;
    if (at + 1 >= c->s.n) {
        return fail(c, at, FAULT_OPEN);
    }
    if (c->s.p[at + 1] != 'u') {
        c->at += 2;
        return c->s.p[at + 1] && strchr("\"\\/bfnrt", c->s.p[at + 1])
                   ? 0
                   : fail(c, at, FAULT_ESCAPE);
    }
    if (hex_at(c, at + 2, &first) < 0) {
        return fail(c, at, FAULT_ESCAPE);
    }
    c->at += 6;
    if (first < 0xd800 || first > 0xdfff) {
        return 0;
    }
    bool pair = first < 0xdc00 && at + 7 < c->s.n && c->s.p[at + 6] == '\\' &&
                c->s.p[at + 7] == 'u' && hex_at(c, at + 8, &second) == 0 &&
                second >= 0xdc00 && second <= 0xdfff;
    c->at += 6;
    return pair ? 0 : fail(c, at, FAULT_SURROGATE);
}

/* At a quote; ends behind the other one. */
static int scan_string(struct scan *c)
{
    size_t from = c->at++;
    for (;;) {
        c->at += jtext_plain(span_of(c->s.p + c->at, c->s.n - c->at));
        if (c->at >= c->s.n) {
            return fail(c, from, FAULT_OPEN);
        }
        unsigned char byte = (unsigned char)c->s.p[c->at];
        if (byte == '"') {
            c->at++;
            return 0;
        }
        if (byte == '\\') {
            int rc = scan_escape(c);
            if (rc < 0) {
                return rc;
            }
        } else if (byte < 0x20) {
            return fail(c, c->at, byte ? FAULT_CONTROL : FAULT_NUL);
        } else {
            int n = span_utf8(span_of(c->s.p + c->at, c->s.n - c->at));
            if (n == 0) {
                return fail(c, c->at, FAULT_UTF8);
            }
            c->at += (size_t)n;
        }
    }
}

/* ---- numbers and words ---- */

static size_t digits(const struct scan *c, size_t at)
{
    while (at < c->s.n && c->s.p[at] >= '0' && c->s.p[at] <= '9') {
        at++;
    }
    return at;
}

static bool is_at(const struct scan *c, size_t at, const char *set)
{
    return at < c->s.n && c->s.p[at] && strchr(set, c->s.p[at]);
}

static int scan_number(struct scan *c)
{
    size_t from = c->at;
    size_t whole = from + (c->s.p[from] == '-');
    size_t end = digits(c, whole);
    bool good = end > whole && (c->s.p[whole] != '0' || end == whole + 1);
    if (good && is_at(c, end, ".")) {
        size_t fraction = end + 1;
        end = digits(c, fraction);
        good = end > fraction;
    }
    if (good && is_at(c, end, "eE")) {
        size_t power = end + 1 + is_at(c, end + 1, "+-");
        end = digits(c, power);
        good = end > power;
    }
    c->at = end;
    return good && !is_at(c, end, "+-.eExX") ? 0 : fail(c, from, FAULT_NUMBER);
}

static int scan_word(struct scan *c, const char *what)
{
    static const char *const words[] = {"true", "false", "null"};
    struct span left = span_of(c->s.p + c->at, c->s.n - c->at);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t n = strlen(words[i]);
        if (left.n >= n && memcmp(left.p, words[i], n) == 0) {
            c->at += n;
            return 0;
        }
    }
    return is_at(c, c->at, "+.NI") ? fail(c, c->at, FAULT_NUMBER) : expected(c, what);
}

/* ---- structure ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void blanks(struct scan *c)
{
    while (c->at < c->s.n && is_blank(c->s.p[c->at])) {
        c->at++;
    }
}

static bool here(const struct scan *c, char want)
{
    return c->at < c->s.n && c->s.p[c->at] == want;
}

static int open_level(struct scan *c)
{
    if (c->depth == JTEXT_DEPTH_MAX) {
        return fail(c, c->at, FAULT_DEPTH);
    }
    c->levels[c->depth++] = (struct level){c->s.p[c->at] == '{', c->keys.n};
    c->at++;
    return 0;
}

/* A value's first part: all of a scalar, the bracket of a container (1). */
static int begin_value(struct scan *c, const char *what)
{
    if (c->at >= c->s.n) {
        return expected(c, what);
    }
    char byte = c->s.p[c->at];
    if (byte == '{' || byte == '[') {
        int rc = open_level(c);
        return rc < 0 ? rc : 1;
    }
    if (byte == '"') {
        return scan_string(c);
    }
    return byte == '-' || (byte >= '0' && byte <= '9') ? scan_number(c)
                                                       : scan_word(c, what);
}

static int scan_name(struct scan *c, const char *what)
{
    size_t from = c->at;
    if (!here(c, '"')) {
        return expected(c, what);
    }
    int rc = scan_string(c);
    rc = rc < 0 ? rc : key_push(c, from, c->at - from);
    if (rc < 0) {
        return rc;
    }
    blanks(c);
    if (!here(c, ':')) {
        return expected(c, "':' after the name");
    }
    c->at++;
    blanks(c);
    return 0;
}

/* Behind a value or an opening bracket: closes what ends here and stops before the next
 * value (1), or at the end of everything (0). */
static int to_next_value(struct scan *c, bool opened)
{
    while (c->depth) {
        struct level *l = &c->levels[c->depth - 1];
        blanks(c);
        if (here(c, l->object ? '}' : ']')) {
            c->at++;
            c->depth--;
            int rc = l->object ? keys_close(c, l->keys_from) : 0;
            if (rc < 0) {
                return rc;
            }
            opened = false;
            continue;
        }
        if (!opened) {
            if (!here(c, ',')) {
                return expected(c, l->object ? "',' or '}'" : "',' or ']'");
            }
            c->at++;
            blanks(c);
        }
        int rc = l->object ? scan_name(c, opened ? "a name in quotes or '}'"
                                                 : "a name in quotes")
                           : 0;
        return rc < 0 ? rc : 1;
    }
    return 0;
}

static int scan_start(struct scan *c)
{
    if (c->s.n > JTEXT_BYTES_MAX) {
        return fail(c, 0, FAULT_HUGE);
    }
    if (c->s.n >= 3 && memcmp(c->s.p, "\xef\xbb\xbf", 3) == 0) {
        return fail(c, 0, FAULT_BOM);
    }
    if (c->s.n >= 2 &&
        (memcmp(c->s.p, "\xff\xfe", 2) == 0 || memcmp(c->s.p, "\xfe\xff", 2) == 0)) {
        return fail(c, 0, FAULT_UTF16);
    }
    blanks(c);
    return c->at == c->s.n ? fail(c, 0, FAULT_EMPTY) : 0;
}

static int scan_all(struct scan *c)
{
    int rc = scan_start(c);
    if (rc < 0) {
        return rc;
    }
    do {
        rc = begin_value(c, "a value");
        rc = rc < 0 ? rc : to_next_value(c, rc == 1);
    } while (rc > 0);
    if (rc < 0) {
        return rc;
    }
    blanks(c);
    enum fault fault = FAULT_TRAILING;
    if (c->at < c->s.n) {
        fault_of_byte(c, &fault);
        return fail(c, c->at, fault);
    }
    return 0;
}

int jtext_check(struct span text, struct err *err)
{
    _cleanup_(scan_fini) struct scan c = {.s = text, .err = err};
    c.keys.v = c.keys.fixed;
    c.keys.cap = KEYS_FIXED;
    return scan_all(&c);
}
