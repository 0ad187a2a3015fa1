/* Reading values of checked text. The check itself is in jtext_check.c. */
#include "core/jtext.h"

static size_t skip_blank(struct span s, size_t at)
{
    while (at < s.n &&
           (s.p[at] == ' ' || s.p[at] == '\n' || s.p[at] == '\r' || s.p[at] == '\t')) {
        at++;
    }
    return at;
}

enum jtext_type jtext_type(struct span value)
{
    size_t at = skip_blank(value, 0);
    if (at == value.n) {
        return JTEXT_NONE;
    }
    switch (value.p[at]) {
    case '{': return JTEXT_OBJECT;
    case '[': return JTEXT_ARRAY;
    case '"': return JTEXT_STRING;
    case 't':
    case 'f': return JTEXT_BOOL;
    case 'n': return JTEXT_NULL;
    }
    return JTEXT_NUMBER;
}

/* ---- strings ---- */

/* Sixteen bytes at a time, in the vectors that gcc and clang know on every machine. */
typedef signed char bytes16 __attribute__((vector_size(16)));

/* A control character, a byte of a longer character (negative), a quote or a backslash. */
static bool is_special(signed char c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

static bool has_special(const char *p)
{
    bytes16 c;
    uint64_t hit[2];
    memcpy(&c, p, sizeof(c));
    bytes16 special = (c < 0x20) | (c == '"') | (c == '\\');
    memcpy(hit, &special, sizeof(hit));
    return hit[0] | hit[1];
}

size_t jtext_plain(struct span s)
{
    size_t i = 0;
    while (i + sizeof(bytes16) <= s.n && !has_special(s.p + i)) {
        i += sizeof(bytes16);
    }
    while (i < s.n && !is_special((signed char)s.p[i])) {
        i++;
    }
    return i;
}

struct span jtext_inside(struct span string)
{
    return span_of(string.p + 1, string.n - 2);
}

static unsigned hex4(const char *p)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        unsigned c = (unsigned char)p[i];
        value = value << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
}

static unsigned put_utf8(uint32_t c, char ret[static 4])
{
    if (c < 0x80) {
        ret[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        ret[0] = (char)(0xc0 | c >> 6);
        ret[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        ret[0] = (char)(0xe0 | c >> 12);
        ret[1] = (char)(0x80 | (c >> 6 & 63));
        ret[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    ret[0] = (char)(0xf0 | c >> 18);
    ret[1] = (char)(0x80 | (c >> 12 & 63));
    ret[2] = (char)(0x80 | (c >> 6 & 63));
    ret[3] = (char)(0x80 | (c & 63));
    return 4;
}

static unsigned unescape(struct span inside, size_t *at, char ret[static 4])
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *p = inside.p + *at + 1;
    if (*p != 'u') {
        const char *known = memchr(from, *p, sizeof(from) - 1);
        ret[0] = known ? to[known - from] : *p; /* else one of " \ / */
        *at += 2;
        return 1;
    }
    uint32_t c = hex4(p + 1);
    *at += 6;
    if (c >= 0xd800 && c < 0xdc00) { /* checked: the other half follows */
        c = 0x10000 + ((c - 0xd800) << 10) + (hex4(p + 7) - 0xdc00);
        *at += 6;
    }
    return put_utf8(c, ret);
}

unsigned jtext_char(struct span inside, size_t *at, char ret[static 4])
{
    unsigned char first = (unsigned char)inside.p[*at];
    if (first == '\\') {
        return unescape(inside, at, ret);
    }
    unsigned n = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    for (unsigned i = 0; i < n; i++) {
        ret[i] = inside.p[*at + i];
    }
    *at += n;
    return n;
}

int jtext_string(struct span value, struct buf *ret)
{
    char c[4];
    if (jtext_type(value) != JTEXT_STRING) {
        return -1;
    }
    struct span s = jtext_inside(span_trim(value));
    for (size_t at = 0; at < s.n;) {
        const char *slash = memchr(s.p + at, '\\', s.n - at);
        size_t run = slash ? (size_t)(slash - s.p) - at : s.n - at;
        buf_add(ret, s.p + at, run);
        at += run;
        if (at < s.n) {
            unsigned n = jtext_char(s, &at, c);
            buf_add(ret, c, n);
        }
    }
    return ret->failed ? -1 : 0;
}

/* The long way, character by character: `inside` has escapes. */
static bool unescapes_to(struct span inside, const char *s)
{
    size_t left = strlen(s);
    char c[4];
    for (size_t at = 0; at < inside.n;) {
        unsigned n = jtext_char(inside, &at, c);
        if (n > left || memcmp(s, c, n) != 0) {
            return false;
        }
        s += n;
        left -= n;
    }
    return left == 0;
}

bool jtext_is_string(struct span value, const char *s)
{
    if (jtext_type(value) != JTEXT_STRING) {
        return false;
    }
    struct span inside = jtext_inside(span_trim(value));
    if (inside.n && inside.p[0] != s[0] && inside.p[0] != '\\') {
        return false; /* most names end here */
    }
    bool escaped = inside.n && memchr(inside.p, '\\', inside.n);
    return escaped ? unescapes_to(inside, s) : span_is(inside, s);
}

/* The bytes of a string one by one. */
struct bytes {
    struct span inside;
    size_t at;
    unsigned n, used;
    char c[4];
};

static int next_byte(struct bytes *b)
{
    if (b->used == b->n) {
        if (b->at >= b->inside.n) {
            return -1;
        }
        b->n = jtext_char(b->inside, &b->at, b->c);
        b->used = 0;
    }
    return (unsigned char)b->c[b->used++];
}

int jtext_cmp(struct span a, struct span b)
{
    struct bytes left = {.inside = jtext_inside(a)}, right = {.inside = jtext_inside(b)};
    if (!memchr(a.p, '\\', a.n) && !memchr(b.p, '\\', b.n)) {
        return span_cmp(left.inside, right.inside);
    }
    for (;;) {
        int l = next_byte(&left), r = next_byte(&right);
        if (l != r || l < 0) {
            return l - r;
        }
    }
}

/* ---- containers ---- */

/* Behind the string that begins at `at`. */
static size_t string_end(struct span s, size_t at)
{
    for (size_t from = at + 1;;) {
        const char *quote = memchr(s.p + from, '"', s.n - from);
        const char *slashes = quote;
        while (slashes[-1] == '\\') { /* stops at the opening quote at the latest */
            slashes--;
        }
        from = (size_t)(quote - s.p) + 1;
        if ((quote - slashes) % 2 == 0) {
            return from;
        }
    }
}

static bool ends_word(char c)
{
    return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\r' ||
           c == '\t';
}

/* Behind the value that begins at `at`. */
static size_t value_end(struct span s, size_t at)
{
    size_t depth = 0;
    if (s.p[at] != '{' && s.p[at] != '[' && s.p[at] != '"') {
        while (at < s.n && !ends_word(s.p[at])) {
            at++;
        }
        return at;
    }
    do {
        char c = s.p[at];
        if (c == '"') {
            at = string_end(s, at);
            continue;
        }
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        at++;
    } while (depth);
    return at;
}

bool jtext_next(struct span container, size_t *at, struct span *ret_key,
                struct span *ret_value)
{
    struct span s = container;
    size_t i = skip_blank(s, *at);
    if (*at == 0 || (i < s.n && s.p[i] == ',')) { /* behind the bracket or the comma */
        i = skip_blank(s, i + 1);
    }
    if (i >= s.n || s.p[i] == '}' || s.p[i] == ']') {
        return false;
    }
    size_t end = value_end(s, i);
    if (ret_key) {
        *ret_key = span_of(s.p + i, end - i);
        i = skip_blank(s, skip_blank(s, end) + 1); /* the colon */
        end = value_end(s, i);
    }
    *ret_value = span_of(s.p + i, end - i);
    *at = end;
    return true;
}

bool jtext_get(struct span object, const char *key, struct span *ret)
{
    size_t at = 0;
    struct span name, value;
    if (jtext_type(object) != JTEXT_OBJECT) {
        return false;
    }
    while (jtext_next(object, &at, &name, &value)) {
        if (jtext_is_string(name, key)) {
            *ret = value;
            return true;
        }
    }
    return false;
}

bool jtext_true(struct span value)
{
    return span_is(span_trim(value), "true");
}

/* ---- numbers ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The exponent behind 'e', cut off where no digits of any text can bring it back. */
static int64_t exponent(struct span s)
{
    bool negative = s.n && s.p[0] == '-';
    int64_t value = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (is_digit(s.p[i]) && value < JTEXT_POINT_MAX) {
            value = value * 10 + (s.p[i] - '0');
        }
    }
    value = MIN_OF(value, JTEXT_POINT_MAX);
    return negative ? -value : value;
}

bool jtext_number(struct span value, struct jtext_number *ret)
{
    struct span s = span_trim(value);
    struct jtext_number number = {.negative = s.n && s.p[0] == '-'};
    size_t end = 0, first = SIZE_MAX, last = 0, point = SIZE_MAX;
    if (jtext_type(s) != JTEXT_NUMBER) {
        return false;
    }
    for (end = number.negative; end < s.n && (is_digit(s.p[end]) || s.p[end] == '.');
         end++) {
        if (s.p[end] == '.') {
            point = end;
        } else if (s.p[end] != '0') {
            first = MIN_OF(first, end);
            last = end;
        }
    }
    if (first == SIZE_MAX) { /* zero, and zero has no sign */
        *ret = (struct jtext_number){0};
        return true;
    }
    point = MIN_OF(point, end);
    number.digits = span_of(s.p + first, last + 1 - first);
    /* digits between the first one and the point count up, zeros behind the point down */
    number.point = first < point ? (int64_t)(point - first)
                                 : -(int64_t)(first - point - 1);
    if (end < s.n) {
        number.point += exponent(span_of(s.p + end + 1, s.n - end - 1));
    }
    *ret = number;
    return true;
}

int jtext_u64(struct span value, uint64_t *ret)
{
    struct jtext_number number;
    uint64_t sum = 0;
    int64_t places = 0;
    if (!jtext_number(value, &number) || number.negative || number.point > 20) {
        return -1;
    }
    for (size_t i = 0; i < number.digits.n; i++) {
        char c = number.digits.p[i];
        if (c != '.') {
            places++;
            if (__builtin_mul_overflow(sum, 10U, &sum) ||
                __builtin_add_overflow(sum, (uint64_t)(c - '0'), &sum)) {
                return -1;
            }
        }
    }
    if (number.digits.n && places > number.point) {
        return -1; /* a fraction is left */
    }
    for (; places < number.point; places++) {
        if (__builtin_mul_overflow(sum, 10U, &sum)) {
            return -1;
        }
    }
    *ret = sum;
    return 0;
}
