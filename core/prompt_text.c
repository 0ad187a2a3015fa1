/* Strings in canonical form: escapes undone and redone, line ends and Unicode by the level. */
#include "core/prompt_writer.h"

#include "core/jtext.h"

#include <utf8proc.h>

/* A run of characters that NFC may change together. Longer ones (thousands of accents on one
 * letter) are cut: both halves stay canonically equivalent to what they were. */
#define PIECE_MAX 1024
#define CODES_MAX \
    (2 * PIECE_MAX) /* the worst decomposition: 3 code points from 2 bytes */

void writer_put(struct writer *w, const char *p, size_t n)
{
    w->put += n;
    if (n > sizeof(w->text) - w->n) {
        for (int i = 0; i < 2; i++) {
            if (w->sinks[i]) {
                hash_add(w->sinks[i], w->text, w->n);
            }
        }
        w->n = 0;
    }
    if (n <= sizeof(w->text)) {
        memcpy(w->text + w->n, p, n);
        w->n += n;
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (w->sinks[i]) {
            hash_add(w->sinks[i], p, n);
        }
    }
}

uint64_t writer_aim(struct writer *w, struct hash *first, struct hash *second)
{
    uint64_t put = w->put;
    for (int i = 0; i < 2; i++) {
        if (w->sinks[i]) {
            hash_add(w->sinks[i], w->text, w->n);
        }
    }
    w->sinks[0] = first;
    w->sinks[1] = second;
    w->n = 0;
    w->put = 0;
    return put;
}

static void put_control(struct writer *w, char c)
{
    static const char from[] = "\b\f\n\r\t", to[] = "bfnrt", hex[] = "0123456789abcdef";
    const char *known = memchr(from, c, sizeof(from) - 1);
    if (known) {
        char escape[] = {'\\', to[known - from]};
        writer_put(w, escape, sizeof(escape));
    } else {
        char escape[] = {'\\', 'u', '0', '0', hex[c >> 4 & 15], hex[c & 15]};
        writer_put(w, escape, sizeof(escape));
    }
}

/* Characters, escapes undone, as the inside of a canonical string. */
static void put_characters(struct writer *w, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)p[i] < 0x20) {
            put_control(w, p[i]);
        } else {
            if (p[i] == '"' || p[i] == '\\') {
                writer_put(w, "\\", 1);
            }
            writer_put(w, p + i, 1);
        }
    }
}

static void put_exact(struct writer *w, struct span inside)
{
    char c[4];
    for (size_t at = 0; at < inside.n;) {
        size_t run = jtext_plain(span_of(inside.p + at, inside.n - at));
        writer_put(w, inside.p + at, run);
        at += run;
        if (at < inside.n) {
            unsigned n = jtext_char(inside, &at, c);
            put_characters(w, c, n);
        }
    }
}

/* ---- NFC ---- */

/* Characters that NFC leaves alone and that never combine with the one before them: text made
 * of these and ASCII needs no look at the Unicode tables. A piece to normalise begins with the
 * last of them. Checked against the tables by tests/unit/test_prompt.c. */
static const struct {
    uint32_t first, last;
} inert[] = {
    {0x00a0, 0x02ff},                     /* Latin */
    {0x0388, 0x0482},                     /* Greek, Cyrillic */
    {0x048a, 0x0590},                     /* Cyrillic, Armenian */
    {0x05d0, 0x05f4},                     /* Hebrew letters */
    {0x0620, 0x064a},                     /* Arabic letters */
    {0x0904, 0x093b},                     /* Devanagari letters */
    {0x093d, 0x094c},                     /* Devanagari vowel signs */
    {0x0e01, 0x0e37},                     /* Thai */
    {0x0e3f, 0x0e47},   {0x1e00, 0x1eff}, /* Vietnamese and other Latin */
    {0x2002, 0x205f},                     /* punctuation, joiners */
    {0x20a0, 0x20cf},                     /* currency */
    {0x2190, 0x2328},                     /* arrows, operators, shapes */
    {0x232b, 0x2adb},   {0x3000, 0x3029}, /* CJK punctuation */
    {0x3030, 0x3098},                     /* kana */
    {0x309b, 0xa48c},                     /* kana, CJK, Yi */
    {0xac00, 0xd7a3},                     /* Hangul syllables */
    {0xfe00, 0xfe0f},                     /* variation selectors */
    {0xff00, 0xffef},                     /* full width */
    {0x1f000, 0x1faff},                   /* emoji */
    {0x20000, 0x2f7ff},                   /* CJK */
};

static bool is_inert(uint32_t c)
{
    size_t low = 0, high = ARRAY_LEN(inert);
    if (c < 0x80) {
        return true;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (c > inert[middle].last) {
            low = middle + 1;
        } else if (c < inert[middle].first) {
            high = middle;
        } else {
            return true;
        }
    }
    return false;
}

/* The character at `p`, and its length in bytes. */
static uint32_t decode(const char *p, unsigned *ret_n)
{
    const unsigned char *u = (const unsigned char *)p;
    if (u[0] < 0x80) {
        *ret_n = 1;
        return u[0];
    }
    if (u[0] < 0xe0) {
        *ret_n = 2;
        return (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu);
    }
    if (u[0] < 0xf0) {
        *ret_n = 3;
        return (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
    }
    *ret_n = 4;
    return (u[0] & 0x07u) << 18 | (u[1] & 0x3fu) << 12 | (u[2] & 0x3fu) << 6 |
           (u[3] & 0x3fu);
}

/* What has been read and may still change with what follows. */
struct piece {
    size_t n;
    bool dirty; /* it has a character that is not inert */
    char p[PIECE_MAX];
};

static void put_composed(struct writer *w, const struct piece *piece)
{
    utf8proc_int32_t codes[CODES_MAX + 1];
    const utf8proc_option_t nfc = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    utf8proc_ssize_t n = utf8proc_decompose((const utf8proc_uint8_t *)piece->p,
                                            (utf8proc_ssize_t)piece->n, codes, CODES_MAX,
                                            nfc);
    n = n < 0 || n > CODES_MAX ? -1 : utf8proc_reencode(codes, n, nfc);
    if (n < 0) { /* not reached with valid UTF-8; as it was is still a canonical form */
        put_characters(w, piece->p, piece->n);
    } else {
        put_characters(w, (const char *)codes, (size_t)n);
    }
}

static void piece_flush(struct piece *piece, struct writer *w)
{
    if (piece->dirty) {
        put_composed(w, piece);
    } else {
        put_characters(w, piece->p, piece->n);
    }
    piece->n = 0;
    piece->dirty = false;
}

/* A character that nothing before it can change: what was held is done. */
static void piece_start(struct piece *piece, struct writer *w, const char *c, unsigned n)
{
    piece_flush(piece, w);
    memcpy(piece->p, c, n);
    piece->n = n;
}

static void piece_add(struct piece *piece, struct writer *w, const char *c, unsigned n)
{
    if (piece->n + n > PIECE_MAX) {
        piece_flush(piece, w);
    }
    memcpy(piece->p + piece->n, c, n);
    piece->n += n;
    piece->dirty = true;
}

/* How many of the first bytes are plain ASCII or inert characters; *ret_last is the length of
 * the last character. */
static size_t inert_run(struct span s, unsigned *ret_last)
{
    size_t at = 0;
    while (at < s.n) {
        size_t plain = jtext_plain(span_of(s.p + at, s.n - at));
        if (plain) {
            at += plain;
            *ret_last = 1;
            continue;
        }
        unsigned n;
        if ((unsigned char)s.p[at] < 0x80 || !is_inert(decode(s.p + at, &n))) {
            break;
        }
        at += n;
        *ret_last = n;
    }
    return at;
}

static bool is_bom(const char *c, unsigned n)
{
    return n == 3 && memcmp(c, "\xef\xbb\xbf", 3) == 0;
}

/* One character that inert_run stopped at: an escape, or one to normalise. */
static void put_special(struct writer *w, struct piece *piece, const char *c, unsigned n,
                        bool *after_cr)
{
    unsigned len;
    bool line_feed = n == 1 && c[0] == '\n';
    if (line_feed && *after_cr) { /* CR LF is one line end, written already */
        *after_cr = false;
        return;
    }
    *after_cr = n == 1 && c[0] == '\r';
    if (*after_cr) {
        piece_start(piece, w, "\n", 1);
    } else if (is_inert(decode(c, &len))) {
        piece_start(piece, w, c, n);
    } else {
        piece_add(piece, w, c, n);
    }
}

static void put_normal(struct writer *w, struct span inside)
{
    struct piece piece;
    bool after_cr = false;
    piece.n = 0;
    piece.dirty = false;
    for (size_t at = 0; at < inside.n;) {
        unsigned last;
        size_t from = at;
        size_t run = inert_run(span_of(inside.p + at, inside.n - at), &last);
        if (run) {
            piece_flush(&piece, w);
            writer_put(w, inside.p + at, run - last);
            at += run;
            piece_start(&piece, w, inside.p + at - last, last);
            after_cr = false;
            continue;
        }
        char c[4];
        unsigned n = jtext_char(inside, &at, c);
        if (from > 0 || !is_bom(c, n)) {
            put_special(w, &piece, c, n, &after_cr);
        }
    }
    piece_flush(&piece, w);
}

void writer_string(struct writer *w, struct span raw, bool exact)
{
    struct span inside = jtext_inside(raw);
    writer_put(w, "\"", 1);
    if (exact || w->level == PROMPT_L0) {
        put_exact(w, inside);
    } else {
        put_normal(w, inside);
    }
    writer_put(w, "\"", 1);
}
