/* Equal questions have one digest however they are spelled; different ones never share it. */
#include "core/prompt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <utf8proc.h>
#include <cmocka.h>

#include "tests/unit/ask.h"

static bool same_question(const char *a, const char *b, enum prompt_level level)
{
    return same(read_at(span_str(a), level).canonical,
                read_at(span_str(b), level).canonical);
}

/* ---- the canonical form ---- */

#define CANON(settings) "{\"messages\":[{\"role\":\"user\"}],\"model\":\"m\"" settings "}"
#define CANON_ASK(text) \
    "{\"messages\":[{\"content\":" text ",\"role\":\"user\"}],\"model\":\"m\"}"

static const struct {
    const char *body, *l0, *l1; /* l1 NULL: as l0 */
} canonical[] = {
    {" { \"model\" : \"m\" ,\n \"messages\" : [ { \"role\" : \"user\" } ] } ", CANON(""),
     NULL},
    {WITH("\"temperature\":1.50"), CANON(",\"temperature\":15e-1"), NULL},
    {WITH("\"seed\":-0.0"), CANON(",\"seed\":0"), NULL},
    {WITH("\"seed\":9007199254740993"), CANON(",\"seed\":9007199254740993e0"), NULL},
    {WITH("\"seed\":-1200"), CANON(",\"seed\":-12e2"), NULL},
    {WITH("\"top_p\":0.00010e2"), CANON(",\"top_p\":1e-2"), NULL},
    {WITH("\"stop\":[null,true,false,[],{}]"), CANON(",\"stop\":[null,true,false,[],{}]"),
     NULL},
    {WITH("\"zz\":1,\"a\\u0062\":2,\"\\u00e9\":3"),
     "{\"ab\":2e0,\"messages\":[{\"role\":\"user\"}],\"model\":\"m\",\"zz\":1e0,\"\xc3\xa9\":3e0}",
     NULL},
    {ASK("\"\\u0041\\/\\\"\\\\\\b\\f\\n\\t\\u0000\\u001F\\u007f\""),
     CANON_ASK("\"A/\\\"\\\\\\b\\f\\n\\t\\u0000\\u001f\x7f\""), NULL},
    {ASK("\"\\ud83d\\ude00 \\u20ac\""), CANON_ASK("\"\xf0\x9f\x98\x80 \xe2\x82\xac\""),
     NULL},
    {ASK("\"a\\r\\nb\\rc\\nd\\r\\r\\n\\n\""),
     CANON_ASK("\"a\\r\\nb\\rc\\nd\\r\\r\\n\\n\""),
     CANON_ASK("\"a\\nb\\nc\\nd\\n\\n\\n\"")},
    {ASK("\"\\u000d\\u000Ax\""), CANON_ASK("\"\\r\\nx\""), CANON_ASK("\"\\nx\"")},
    {ASK("\"\\ufeffx\\ufeff\""), CANON_ASK("\"\xef\xbb\xbfx\xef\xbb\xbf\""),
     CANON_ASK("\"x\xef\xbb\xbf\"")},
    {ASK("\"e\\u0301\""), CANON_ASK("\"e\xcc\x81\""), CANON_ASK("\"\xc3\xa9\"")},
    {ASK("\"\xe2\x84\xab\""), CANON_ASK("\"\xe2\x84\xab\""), CANON_ASK("\"\xc3\x85\"")},
    {ASK("\"\\\"\\u0301\""), CANON_ASK("\"\\\"\xcc\x81\""), NULL},
    {WITH("\"stream\":false,\"user\":\"u\",\"store\":true"),
     CANON(",\"store\":true,\"stream\":false,\"user\":\"u\""), CANON("")},
    {WITH("\"stream\":true"), CANON(",\"stream\":true"), NULL},
    {WITH(
         "\"metadata\":{\"b\":1,\"a\":2},\"safety_identifier\":\"s\",\"prompt_cache_key\":\"k\","
         "\"prompt_cache_options\":{},\"prompt_cache_retention\":\"24h\""),
     "{\"messages\":[{\"role\":\"user\"}],\"metadata\":{\"a\":2e0,\"b\":1e0},\"model\":\"m\","
     "\"prompt_cache_key\":\"k\",\"prompt_cache_options\":{},\"prompt_cache_retention\":\"24h\","
     "\"safety_identifier\":\"s\"}",
     CANON("")},
    {ASK("[{\"type\":\"text\",\"text\":\"S\",\"prompt_cache_breakpoint\":{\"mode\":\"explicit\"}}]"),
     CANON_ASK(
         "[{\"prompt_cache_breakpoint\":{\"mode\":\"explicit\"},\"text\":\"S\",\"type\":\"text\"}]"),
     CANON_ASK("[{\"text\":\"S\",\"type\":\"text\"}]")},
    /* the same names elsewhere are not request fields */
    {ASK("{\"user\":1,\"metadata\":2}"), CANON_ASK("{\"metadata\":2e0,\"user\":1e0}"),
     NULL},
    /* inside schemas order is meaning, all around them it is not */
    {WITH(
         "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{\"z\":{\"y\":1,"
         "\"x\":[{\"b\":1,\"a\":2}]},\"a\":3},\"name\":\"n\"}}"),
     CANON(
         ",\"response_format\":{\"json_schema\":{\"name\":\"n\",\"schema\":{\"z\":{\"y\":1e0,"
         "\"x\":[{\"b\":1e0,\"a\":2e0}]},\"a\":3e0}},\"type\":\"json_schema\"}"),
     NULL},
    {WITH(
         "\"tools\":[{\"type\":\"function\",\"function\":{\"parameters\":{\"z\":1,\"a\":2},\"name\":\"f\"}}]"),
     CANON(
         ",\"tools\":[{\"function\":{\"name\":\"f\",\"parameters\":{\"z\":1e0,\"a\":2e0}},"
         "\"type\":\"function\"}]"),
     NULL},
    {WITH("\"functions\":[{\"parameters\":{\"z\":1,\"a\":2},\"name\":\"f\"}]"),
     "{\"functions\":[{\"name\":\"f\",\"parameters\":{\"z\":1e0,\"a\":2e0}}],"
     "\"messages\":[{\"role\":\"user\"}],\"model\":\"m\"}",
     NULL},
    {WITH("\"schema\":{\"z\":1,\"a\":2},\"parameters\":{\"z\":1,\"a\":2}"),
     CANON(",\"parameters\":{\"a\":2e0,\"z\":1e0},\"schema\":{\"a\":2e0,\"z\":1e0}"),
     NULL},
};

static void a_digest_is_the_sha_256_of_the_canonical_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(canonical); i++) {
        struct span body = span_str(canonical[i].body);
        const char *l1 = canonical[i].l1 ? canonical[i].l1 : canonical[i].l0;
        if (!same(read_at(body, PROMPT_L0).canonical,
                  hash_of(span_str(canonical[i].l0)))) {
            fail_msg("L0 of %s is not %s", canonical[i].body, canonical[i].l0);
        }
        if (!same(read_at(body, PROMPT_L1).canonical, hash_of(span_str(l1)))) {
            fail_msg("L1 of %s is not %s", canonical[i].body, l1);
        }
    }
}

static void a_text_longer_than_any_buffer_has_the_same_form(void **state)
{
    enum { LONG = 300000 };
    _cleanup_(buf_fini) struct buf body, want;
    (void)state;
    for (size_t n = LONG - 20; n < LONG; n++) { /* every alignment of the accent */
        buf_init(&body, 1 << 20);
        buf_init(&want, 1 << 20);
        buf_adds(&body,
                 "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"");
        buf_adds(&want, "{\"messages\":[{\"content\":\"");
        for (size_t i = 0; i < n; i += 10) {
            buf_adds(&body, "0123456789");
            buf_adds(&want, "0123456789");
        }
        buf_adds(&body, "\\u0065\xcc\x81\\r\\n\"}]}");
        buf_adds(&want, "\xc3\xa9\\n\",\"role\":\"user\"}],\"model\":\"m\"}");
        assert_true(same(read_at(buf_span(&body), PROMPT_L1).canonical,
                         hash_of(buf_span(&want))));
        buf_fini(&body);
        buf_fini(&want);
    }
}

static void questions_that_differ_in_meaning_have_different_digests(void **state)
{
    static const char *const bodies[] = {
        BARE,
        "{\"model\":\"n\",\"messages\":[{\"role\":\"user\"}]}",
        "{\"model\":\"m\",\"messages\":[{\"role\":\"system\"}]}",
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"},{\"role\":\"user\"}]}",
        ASK("\"\""),
        ASK("\"a\""),
        ASK("\"A\""),
        ASK("\"a \""),
        ASK("\"a  \""),
        ASK("\" a\""),
        ASK("\"a\\n\""),
        ASK("\"a\\n\\n\""),
        ASK("\"x2\""),
        ASK("\"x\xc2\xb2\""),
        ASK("\"\xef\xac\x81\""),
        ASK("\"fi\""), /* a ligature is not its letters */
        ASK("null"),
        ASK("\"null\""),
        ASK("[]"),
        ASK("{}"),
        ASK("[{\"type\":\"text\",\"text\":\"a\"}]"),
        ASK("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"a\"}]"),
        WITH("\"temperature\":0"),
        WITH("\"temperature\":1"),
        WITH("\"n\":1"),
        WITH("\"seed\":9007199254740992"),
        WITH("\"seed\":9007199254740993"),
        WITH("\"seed\":-1"),
        WITH("\"seed\":1"),
        WITH("\"seed\":10"),
        WITH("\"seed\":\"1\""),
        WITH("\"seed\":true"),
        WITH("\"max_tokens\":10"),
        WITH("\"max_completion_tokens\":10"),
        WITH("\"stream\":true"),
        WITH("\"stop\":[\"a\",\"b\"]"),
        WITH("\"stop\":[\"b\",\"a\"]"),
        WITH("\"stop\":[\"a\"]"),
        WITH("\"tools\":[{\"function\":{\"parameters\":{\"a\":1,\"b\":2}}}]"),
        WITH("\"tools\":[{\"function\":{\"parameters\":{\"b\":2,\"a\":1}}}]"),
        WITH("\"response_format\":{\"json_schema\":{\"schema\":{\"a\":1,\"b\":2}}}"),
        WITH("\"response_format\":{\"json_schema\":{\"schema\":{\"b\":2,\"a\":1}}}"),
        WITH("\"logit_bias\":{\"user\":1}"),
        WITH("\"logit_bias\":{}"),
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        for (size_t j = 0; j < i; j++) {
            if (same_question(bodies[i], bodies[j], PROMPT_L1) ||
                same_question(bodies[i], bodies[j], PROMPT_L0)) {
                fail_msg("%s and %s have one digest", bodies[j], bodies[i]);
            }
        }
    }
}

/* ---- the same value in any spelling ---- */

static uint64_t next_number(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1dULL;
}

static unsigned below(uint64_t *seed, unsigned n)
{
    return (unsigned)(next_number(seed) % n);
}

/* `value` decides what is written, `spell` only how. */
struct speller {
    uint64_t value, spell;
    bool plain;
    struct buf text;
};

static void blanks(struct speller *s)
{
    static const char *const some[] = {"", "", "", " ", "\n", "\t ", "\r\n"};
    buf_adds(&s->text, s->plain ? "" : some[below(&s->spell, ARRAY_LEN(some))]);
}

static void spell_string(struct speller *s)
{
    static const unsigned points[] = {'a',  'Z',  ' ', '/',  '"',  '\\',
                                      '\n', '\t', 1,   0x7f, 0xe9, 0x20ac};
    static const char *const raw[] = {"a",       "Z",    " ",        "/",
                                      "\\\"",    "\\\\", "\\n",      "\\t",
                                      "\\u0001", "\x7f", "\xc3\xa9", "\xe2\x82\xac"};
    buf_addc(&s->text, '"');
    for (unsigned i = below(&s->value, 40); i > 0; i--) {
        unsigned c = below(&s->value, ARRAY_LEN(points));
        if (!s->plain && below(&s->spell, 3) == 0) {
            buf_addf(&s->text, below(&s->spell, 2) ? "\\u%04x" : "\\u%04X", points[c]);
        } else {
            buf_adds(&s->text, raw[c]);
        }
    }
    buf_addc(&s->text, '"');
}

static void spell_number(struct speller *s)
{
    static const char *const tails[] = {"", ".0", ".000e0", "e0", "00E-2", "0e-01"};
    int value = (int)below(&s->value, 2000) - 1000;
    if (!s->plain && value > 0 && below(&s->spell, 4) == 0) {
        buf_addf(&s->text, "0.%03de3", value);
        return;
    }
    size_t tail = s->plain ? 0 : below(&s->spell, value ? ARRAY_LEN(tails) : 4);
    buf_addf(&s->text, "%d%s", value, tails[tail]);
}

static void spell_value(struct speller *s, unsigned depth);

static void spell_object(struct speller *s, unsigned depth)
{
    unsigned n = below(&s->value, 12), order[12];
    struct buf members[12];
    for (unsigned i = 0; i < n; i++) {
        struct speller one = {.value = s->value, .spell = s->spell, .plain = s->plain};
        buf_init(&one.text, 1 << 20);
        blanks(&one);
        buf_addf(&one.text,
                 !s->plain && below(&one.spell, 3) == 0 ? "\"\\u006b%u\"" : "\"k%u\"",
                 i * 7);
        blanks(&one);
        buf_addc(&one.text, ':');
        spell_value(&one, depth);
        members[i] = one.text;
        s->value = one.value;
        s->spell = one.spell;
        order[i] = i;
    }
    for (unsigned i = n; i > 1 && !s->plain; i--) {
        unsigned j = below(&s->spell, i), swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
    buf_addc(&s->text, '{');
    for (unsigned i = 0; i < n; i++) {
        buf_adds(&s->text, i ? "," : "");
        buf_add(&s->text, members[order[i]].p, members[order[i]].n);
        buf_fini(&members[order[i]]);
    }
    blanks(s);
    buf_addc(&s->text, '}');
}

static void spell_value(struct speller *s, unsigned depth)
{
    blanks(s);
    switch (below(&s->value, depth ? 6 : 4)) {
    case 0: spell_string(s); break;
    case 1: spell_number(s); break;
    case 2: buf_adds(&s->text, "true"); break;
    case 3: buf_adds(&s->text, "null"); break;
    case 4: spell_object(s, depth - 1); break;
    case 5:
        buf_addc(&s->text, '[');
        for (unsigned i = below(&s->value, 5); i > 0; i--) {
            spell_value(s, depth - 1);
            buf_adds(&s->text, i > 1 ? "," : "");
        }
        buf_addc(&s->text, ']');
        break;
    }
    blanks(s);
}

static struct digest spelled(uint64_t value, uint64_t spell, bool plain,
                             enum prompt_level level)
{
    struct speller s = {.value = value, .spell = spell, .plain = plain};
    buf_init(&s.text, 1 << 22);
    buf_adds(&s.text, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":");
    spell_string(&s);
    buf_adds(&s.text, "}],\"extra\":");
    spell_object(&s, 5);
    buf_adds(&s.text, "}");
    struct digest d = read_at(buf_span(&s.text), level).canonical;
    buf_fini(&s.text);
    return d;
}

static void spelling_and_the_order_of_names_do_not_matter(void **state)
{
    (void)state;
    for (uint64_t value = 1; value < 400; value++) {
        struct digest plain = spelled(value, 1, true, PROMPT_L0);
        for (uint64_t spell = 1; spell < 8; spell++) {
            if (!same(plain, spelled(value, spell * 77, false, PROMPT_L0))) {
                fail_msg("value %llu spelling %llu", (unsigned long long)value,
                         (unsigned long long)spell);
            }
        }
        assert_false(same(plain, spelled(value + 1000, 1, true, PROMPT_L0)));
    }
}

/* ---- Unicode ---- */

static struct digest digest_of_text(const struct buf *text)
{
    _cleanup_(buf_fini) struct buf body;
    buf_init(&body, 1 << 22);
    buf_adds(&body, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":");
    buf_add_json(&body, buf_span(text));
    buf_adds(&body, "}]}");
    return read_at(buf_span(&body), PROMPT_L1).canonical;
}

static void add_point(struct buf *text, utf8proc_int32_t c)
{
    utf8proc_uint8_t bytes[4];
    utf8proc_ssize_t n = utf8proc_encode_char(c, bytes);
    buf_add(text, bytes, (size_t)n);
}

/* The texts's other form by the library itself, whole. */
static struct digest digest_of_form(const struct buf *text, utf8proc_option_t form)
{
    utf8proc_uint8_t *p = NULL;
    utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)text->p,
                                      (utf8proc_ssize_t)text->n, &p,
                                      UTF8PROC_STABLE | form);
    assert_true(n >= 0);
    struct buf other;
    buf_init(&other, 1 << 22);
    buf_add(&other, p, (size_t)n);
    struct digest d = digest_of_text(&other);
    buf_fini(&other);
    free(p);
    return d;
}

static bool is_text(utf8proc_int32_t c)
{
    return c < 0xd800 || c > 0xdfff;
}

/* Every character, behind letters it may combine with and before an accent or none: composed,
 * decomposed and as it is are one text. That holds only if what the code skips as unchanging
 * is so in the tables. */
static void every_character_of_unicode_is_normalised_as_the_tables_say(void **state)
{
    static const utf8proc_int32_t before[] = {'e', 0x1100, 0xac00, 0x3042, 0x0c46, 0x9c7};
    (void)state;
    for (utf8proc_int32_t from = 0x80; from < 0x110000; from += 256) {
        _cleanup_(buf_fini) struct buf text;
        buf_init(&text, 1 << 20);
        for (utf8proc_int32_t c = from; c < from + 256; c++) {
            for (size_t i = 0; i < ARRAY_LEN(before) && is_text(c); i++) {
                add_point(&text, before[i]);
                add_point(&text, c);
                add_point(&text, before[i]);
                add_point(&text, c);
                add_point(&text, 0x301);
            }
        }
        struct digest d = digest_of_text(&text);
        if (!same(d, digest_of_form(&text, UTF8PROC_DECOMPOSE)) ||
            !same(d, digest_of_form(&text, UTF8PROC_COMPOSE))) {
            fail_msg("among the 256 characters from U+%04X", (unsigned)from);
        }
    }
}

static void random_texts_have_the_digest_of_their_normal_form(void **state)
{
    static const utf8proc_int32_t marks[] = {0x301,  0x323,  0x308, 0x3099,
                                             0x11a8, 0x1161, 0x93c, 0x345};
    static const utf8proc_int32_t letters[] = {'a',    'e',    ' ',     '\n',   0xe9,
                                               0x1ea5, 0x3b1,  0x304b,  0xac00, 0x1100,
                                               0x915,  0x4e00, 0x1f600, 0x212b, 0xf900};
    uint64_t seed = 20261121;
    (void)state;
    for (int round = 0; round < 3000; round++) {
        _cleanup_(buf_fini) struct buf text;
        buf_init(&text, 1 << 20);
        for (unsigned i = below(&seed, 60); i > 0; i--) {
            bool mark = below(&seed, 3) == 0;
            add_point(&text, mark ? marks[below(&seed, ARRAY_LEN(marks))]
                                  : letters[below(&seed, ARRAY_LEN(letters))]);
        }
        struct digest d = digest_of_text(&text);
        assert_true(same(d, digest_of_form(&text, UTF8PROC_DECOMPOSE)));
        assert_true(same(d, digest_of_form(&text, UTF8PROC_COMPOSE)));
    }
}

/* Thousands of accents on one letter: bounded memory, still a digest of its own. */
static void a_letter_under_thousands_of_accents_is_read(void **state)
{
    _cleanup_(buf_fini) struct buf text;
    (void)state;
    buf_init(&text, 1 << 20);
    buf_addc(&text, 'e');
    for (int i = 0; i < 20000; i++) {
        add_point(&text, 0x301);
    }
    struct digest d = digest_of_text(&text);
    assert_true(same(d, digest_of_text(&text)));
    add_point(&text, 0x301);
    assert_false(same(d, digest_of_text(&text)));
}

/* ---- the cache key ---- */

static void a_cache_key_depends_on_every_part_of_what_it_stands_for(void **state)
{
    struct digest keys[9];
    size_t n = 0;
    (void)state;
    struct prompt p = read_prompt(BARE), q = read_prompt(ASK("\"x\""));
    keys[n++] = prompt_key("team", "https://a", "/v1/x", PROMPT_L1, &p);
    keys[n++] = prompt_key("team2", "https://a", "/v1/x", PROMPT_L1, &p);
    keys[n++] = prompt_key("team", "https://b", "/v1/x", PROMPT_L1, &p);
    keys[n++] = prompt_key("team", "https://a", "/v1/y", PROMPT_L1, &p);
    keys[n++] = prompt_key("team", "https://a", "/v1/x", PROMPT_L0, &p);
    keys[n++] = prompt_key("team", "https://a", "/v1/x", PROMPT_L1, &q);
    keys[n++] =
        prompt_key("teamh", "ttps://a", "/v1/x", PROMPT_L1, &p); /* not run together */
    keys[n++] = prompt_key("team", "https://a/v1", "/x", PROMPT_L1, &p);
    keys[n++] = prompt_key("", "teamhttps://a", "/v1/x", PROMPT_L1, &p);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_false(same(keys[i], keys[j]));
        }
    }
    assert_true(same(keys[0], prompt_key("team", "https://a", "/v1/x", PROMPT_L1, &p)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_digest_is_the_sha_256_of_the_canonical_text),
        cmocka_unit_test(a_text_longer_than_any_buffer_has_the_same_form),
        cmocka_unit_test(questions_that_differ_in_meaning_have_different_digests),
        cmocka_unit_test(spelling_and_the_order_of_names_do_not_matter),
        cmocka_unit_test(every_character_of_unicode_is_normalised_as_the_tables_say),
        cmocka_unit_test(random_texts_have_the_digest_of_their_normal_form),
        cmocka_unit_test(a_letter_under_thousands_of_accents_is_read),
        cmocka_unit_test(a_cache_key_depends_on_every_part_of_what_it_stands_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
