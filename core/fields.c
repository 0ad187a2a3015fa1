#include "core/fields.h"

#include "core/headers.h"
#include "core/jtext.h"
#include "core/money.h"

#include <inttypes.h>
#include <stdio.h>

#define SCRATCH \
    128 /* the longest number or run of numbers: five of 20 digits and commas */

_Static_assert(SCRATCH > USD_TEXT_MAX, "an amount fits into the scratch");

static const void *member(const void *obj, uint16_t at)
{
    return (const char *)obj + at;
}

static void *member_out(void *obj, uint16_t at)
{
    return (char *)obj + at;
}

static bool is_there(const struct field *f, const void *obj)
{
    return f->has == 0 || *(const bool *)member(obj, f->has);
}

int field_word(const char *const *words, size_t n, struct span s)
{
    for (size_t i = 0; i < n; i++) {
        if (span_is(s, words[i])) {
            return (int)i;
        }
    }
    return -1;
}

/* ---- writing ---- */

/* "7", or "7,0,12" for a run; empty when all are zero. */
static struct span numbers_text(const struct field *f, const void *obj, char *scratch)
{
    const char *p = member(obj, f->at);
    size_t n = 0;
    bool any = false;
    for (uint16_t i = 0; i < f->size; i++) {
        uint64_t value;
        if (f->type == FIELD_U64) {
            memcpy(&value, p + i * sizeof(uint64_t), sizeof(uint64_t));
        } else {
            uint32_t narrow;
            memcpy(&narrow, p + i * sizeof(uint32_t), sizeof(uint32_t));
            value = narrow;
        }
        any = any || value != 0;
        n += (size_t)snprintf(scratch + n, SCRATCH - n, i ? ",%" PRIu64 : "%" PRIu64,
                              value);
    }
    return span_of(scratch, any ? n : 0);
}

static struct span signed_text(int64_t value, char *scratch)
{
    int n = snprintf(scratch, SCRATCH, "%" PRId64, value);
    return span_of(scratch, value ? (size_t)n : 0);
}

/* The field's value as the text of a header; empty for zero and nothing. */
static struct span header_text(const struct field *f, const void *obj, char *scratch)
{
    const void *p = member(obj, f->at);
    switch (f->type) {
    case FIELD_TEXT: return span_str(p);
    case FIELD_SPAN: return *(const struct span *)p;
    case FIELD_STR: return span_str(*(const char *const *)p);
    case FIELD_U64:
    case FIELD_U32: return numbers_text(f, obj, scratch);
    case FIELD_I64: return signed_text(*(const int64_t *)p, scratch);
    case FIELD_BOOL: return *(const bool *)p ? SPAN_LIT("1") : SPAN_NONE;
    case FIELD_USD: return signed_text(usd_pico(*(const struct usd *)p), scratch);
    case FIELD_SUM: return span_str(usd_sum_picos(*(const struct usd_sum *)p, scratch));
    case FIELD_WORD: return span_str(f->words[*(const unsigned *)p]);
    }
    return SPAN_NONE;
}

int fields_to_headers(const struct fields *t, const void *obj, struct buf *block)
{
    char scratch[SCRATCH];
    for (size_t i = 0; i < t->n; i++) {
        const struct field *f = &t->v[i];
        struct span text = is_there(f, obj) ? header_text(f, obj, scratch) : SPAN_NONE;
        if (text.n == 0 && f->has && is_there(f, obj)) {
            text = SPAN_LIT("0"); /* zero, and said to be there */
        }
        if (text.n && headers_add(block, f->name, text) < 0) {
            return -1;
        }
    }
    return block->failed ? -1 : 0;
}

static int json_span(struct span raw, struct buf *json)
{
    return raw.n ? buf_add(json, raw.p, raw.n) : buf_adds(json, "null");
}

static int json_str(const char *s, struct buf *json)
{
    return s ? buf_add_json(json, span_str(s)) : buf_adds(json, "null");
}

static int json_number(struct span text, struct buf *json)
{
    return text.n ? buf_add(json, text.p, text.n) : buf_addc(json, '0');
}

static int json_value(const struct field *f, const void *obj, struct buf *json)
{
    const void *p = member(obj, f->at);
    char scratch[SCRATCH];
    switch (f->type) {
    case FIELD_SPAN: return json_span(*(const struct span *)p, json);
    case FIELD_STR: return json_str(*(const char *const *)p, json);
    case FIELD_U64:
    case FIELD_U32:
    case FIELD_I64: return json_number(header_text(f, obj, scratch), json);
    case FIELD_BOOL: return buf_adds(json, *(const bool *)p ? "true" : "false");
    case FIELD_USD: return buf_adds(json, usd_format(*(const struct usd *)p, scratch));
    case FIELD_TEXT:
    case FIELD_SUM:
    case FIELD_WORD: return buf_add_json(json, header_text(f, obj, scratch));
    }
    return -1;
}

int field_to_json(const struct field *f, const void *obj, struct buf *json)
{
    buf_addc(json, '"');
    buf_adds(json, f->name);
    buf_adds(json, "\":");
    return json_value(f, obj, json);
}

int fields_to_json(const struct fields *t, const void *obj, struct buf *json)
{
    char before = '{';
    for (size_t i = 0; i < t->n; i++) {
        if (is_there(&t->v[i], obj)) {
            buf_addc(json, before);
            field_to_json(&t->v[i], obj, json);
            before = ',';
        }
    }
    if (before == '{') {
        buf_addc(json, '{');
    }
    buf_addc(json, '}');
    return json->failed ? -1 : 0;
}

/* ---- reading ---- */

static int read_text(const struct field *f, struct span text, void *obj)
{
    char *to = member_out(obj, f->at);
    if (text.n >= f->size || (text.n && memchr(text.p, '\0', text.n))) {
        return -1;
    }
    if (text.n) {
        memcpy(to, text.p, text.n);
    }
    to[text.n] = '\0';
    return 0;
}

static int store_number(const struct field *f, uint16_t i, uint64_t value, void *obj)
{
    char *to = member_out(obj, f->at);
    if (f->type == FIELD_U64) {
        memcpy(to + i * sizeof(uint64_t), &value, sizeof(uint64_t));
        return 0;
    }
    uint32_t narrow = (uint32_t)value;
    memcpy(to + i * sizeof(uint32_t), &narrow, sizeof(uint32_t));
    return narrow == value ? 0 : -1;
}

static int read_numbers(const struct field *f, struct span text, void *obj)
{
    for (uint16_t i = 0; i < f->size; i++) {
        const char *comma = text.n ? memchr(text.p, ',', text.n) : NULL;
        bool last = i + 1 == f->size;
        uint64_t value;
        if (last != (comma == NULL)) {
            return -1;
        }
        struct span one = last ? text : span_of(text.p, (size_t)(comma - text.p));
        if (span_u64(one, &value) < 0 || store_number(f, i, value, obj) < 0) {
            return -1;
        }
        if (comma) {
            text = span_of(comma + 1, text.n - one.n - 1);
        }
    }
    return 0;
}

static int read_word(const struct field *f, struct span text, void *obj)
{
    int word = field_word(f->words, f->size, text);
    if (word < 0) {
        return -1;
    }
    *(unsigned *)member_out(obj, f->at) = (unsigned)word;
    return 0;
}

static int read_bool(const struct field *f, bool is_true, bool is_false, void *obj)
{
    *(bool *)member_out(obj, f->at) = is_true;
    return is_true || is_false ? 0 : -1;
}

static int read_pico(const struct field *f, struct span text, void *obj)
{
    int64_t pico;
    if (span_i64(text, &pico) < 0) {
        return -1;
    }
    *(struct usd *)member_out(obj, f->at) = usd_from_pico(pico);
    return 0;
}

/* Of an outside row no larger total is taken than can be added to others without end: what has
 * more digits nobody ever spent. */
#define SUM_TEXT_MAX 30

static int read_sum(struct span text, struct usd_sum *ret)
{
    return text.n > SUM_TEXT_MAX ? -1 : usd_sum_parse(text, ret);
}

static int header_read(const struct field *f, struct span text, void *obj)
{
    void *p = member_out(obj, f->at);
    switch (f->type) {
    case FIELD_TEXT: return read_text(f, text, obj);
    case FIELD_SPAN: *(struct span *)p = text; return 0;
    case FIELD_STR: return -1;
    case FIELD_U64:
    case FIELD_U32: return read_numbers(f, text, obj);
    case FIELD_I64: return span_i64(text, p);
    case FIELD_BOOL: return read_bool(f, span_is(text, "1"), span_is(text, "0"), obj);
    case FIELD_USD: return read_pico(f, text, obj);
    case FIELD_SUM: return read_sum(text, p);
    case FIELD_WORD: return read_word(f, text, obj);
    }
    return -1;
}

int fields_from_headers(const struct fields *t, struct span block, void *obj)
{
    const char *wrong;
    return fields_from_headers_of(t, block, obj, &wrong);
}

int fields_from_headers_of(const struct fields *t, struct span block, void *obj,
                           const char **ret_wrong)
{
    struct span text;
    *ret_wrong = "";
    if (!headers_valid(block)) {
        return -1;
    }
    for (size_t i = 0; i < t->n; i++) {
        const struct field *f = &t->v[i];
        bool there = headers_get(block, f->name, &text);
        if (there && header_read(f, text, obj) < 0) {
            *ret_wrong = f->name;
            return -1;
        }
        if (f->has) {
            *(bool *)member_out(obj, f->has) = there;
        }
    }
    return 0;
}

static int json_read(const struct field *f, struct span value, void *obj)
{
    enum jtext_type type = jtext_type(value);
    bool is_string = f->type == FIELD_TEXT || f->type == FIELD_SUM ||
                     f->type == FIELD_WORD;
    if (is_string) {
        _cleanup_(buf_fini) struct buf text;
        buf_init(&text, value.n + 1);
        return jtext_string(value, &text) < 0 ? -1 : header_read(f, buf_span(&text), obj);
    }
    if (f->type == FIELD_BOOL) {
        return read_bool(f, jtext_true(value), span_is(value, "false"), obj);
    }
    if (type != JTEXT_NUMBER) {
        return -1;
    }
    if (f->type == FIELD_USD) {
        return usd_parse(value, member_out(obj, f->at));
    }
    return header_read(f, value, obj);
}

int fields_from_json(const struct fields *t, struct span json, void *obj, struct err *err)
{
    struct err why = {0};
    struct span value;
    if (jtext_check(json, &why) < 0 || jtext_type(json) != JTEXT_OBJECT) {
        return err_set(err, ERR_VERSION, "could not read a %s: %s", t->what,
                       why.msg[0] ? why.msg : "it is no JSON object");
    }
    for (size_t i = 0; i < t->n; i++) {
        const struct field *f = &t->v[i];
        bool there = jtext_get(json, f->name, &value);
        if (there && json_read(f, value, obj) < 0) {
            return err_set(err, ERR_VERSION, "could not read a %s: field '%s' is %.*s",
                           t->what, f->name, (int)MIN_OF(value.n, 80), value.p);
        }
        if (f->has) {
            *(bool *)member_out(obj, f->has) = there;
        }
    }
    return 0;
}
