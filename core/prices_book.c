/* A price book of providers: one JSON file, checked field by field (prices.h). */
#include "core/prices_int.h"

#include "core/hash.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define BOOK_BYTES_MAX ((size_t)4 << 20)

/* Where in the file we are, for messages. */
struct reader {
    const char *name; /* of the file */
    size_t row;       /* 1-based; 0: above the rows */
    const char *model;
    struct err *err;
};

static int refuse(const struct reader *r, const char *what, const char *field)
{
    char where[200] = "";
    if (r->row) {
        snprintf(where, sizeof(where), "row %zu (%s): ", r->row,
                 r->model ? r->model : "no model");
    }
    err_set(r->err, ERR_INPUT, "could not read price book '%s': %s'%s' %s", r->name,
            where, field, what);
    err_hint(r->err, "docs/MONEY.md tells how to write one");
    return -ERR_INPUT;
}

/* Every member must be one of `known` (NULL at the end). */
static int only(const struct reader *r, json_t *object, const char *const *known)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        size_t i = 0;
        while (known[i] && strcmp(known[i], key) != 0) {
            i++;
        }
        if (!known[i]) {
            return refuse(r, "is not a field of a price book", key);
        }
    }
    return 0;
}

static int read_text(const struct reader *r, json_t *object, const char *field, char *ret,
                     size_t size)
{
    const char *text = json_string_value(json_object_get(object, field));
    if (!text || !text[0] || strlen(text) >= size) {
        return refuse(r, "must be a short text", field);
    }
    memcpy(ret, text, strlen(text) + 1);
    return 0;
}

static int read_day(const struct reader *r, json_t *object, const char *field,
                    char ret[static CLOCK_DAY_TEXT])
{
    const char *text = json_string_value(json_object_get(object, field));
    if (!text || !price_is_day(text)) {
        return refuse(r, "must be a day such as \"2026-11-21\"", field);
    }
    memcpy(ret, text, CLOCK_DAY_TEXT);
    return 0;
}

static int read_count(const struct reader *r, json_t *object, const char *field,
                      uint64_t *ret)
{
    json_t *value = json_object_get(object, field);
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return refuse(r, "must be a number of tokens", field);
    }
    *ret = (uint64_t)json_integer_value(value);
    return 0;
}

/* `otherwise` is the price when the field is absent; NULL: it must be there. */
static int read_price(const struct reader *r, json_t *object, const char *field,
                      const struct usd *otherwise, struct usd *ret)
{
    json_t *value = json_object_get(object, field);
    if (!value && otherwise) {
        *ret = *otherwise;
        return 0;
    }
    const char *text = json_string_value(value);
    if (!text || price_parse(span_str(text), ret) < 0) {
        return refuse(r, "must be USD per million tokens as a text, at most 6 decimals",
                      field);
    }
    return 0;
}

static int read_unit(const struct reader *r, json_t *tier, const char *lane,
                     struct unit *ret)
{
    static const char *const known[] = {"input", "cache_read", "cache_write", "output",
                                        NULL};
    json_t *object = json_object_get(tier, lane);
    if (!json_is_object(object)) {
        return refuse(r, "must be an object with the prices of that lane", lane);
    }
    if (only(r, object, known) < 0 ||
        read_price(r, object, "input", NULL, &ret->input) < 0 ||
        read_price(r, object, "cache_read", &ret->input, &ret->cache_read) < 0 ||
        read_price(r, object, "cache_write", &ret->input, &ret->cache_write) < 0 ||
        read_price(r, object, "output", NULL, &ret->output) < 0) {
        return -ERR_INPUT;
    }
    return 0;
}

static bool unit_dearer(const struct unit *a, const struct unit *b)
{
    return usd_cmp(a->input, b->input) > 0 || usd_cmp(a->cache_read, b->cache_read) > 0 ||
           usd_cmp(a->cache_write, b->cache_write) > 0 ||
           usd_cmp(a->output, b->output) > 0;
}

static int read_tier(const struct reader *r, json_t *object, struct price_row *row)
{
    static const char *const known[] = {"min_prompt_tokens", "standard", "batch", NULL};
    struct tier *t = &row->tiers[row->tiers_len];
    if (!json_is_object(object)) {
        return refuse(r, "must hold objects", "tiers");
    }
    if (only(r, object, known) < 0 ||
        read_count(r, object, "min_prompt_tokens", &t->min_prompt_tokens) < 0 ||
        read_unit(r, object, "standard", &t->lane[LANE_SYNC]) < 0 ||
        read_unit(r, object, "batch", &t->lane[LANE_BATCH]) < 0) {
        return -ERR_INPUT;
    }
    if (row->tiers_len == 0 ? t->min_prompt_tokens != 0
                            : t->min_prompt_tokens <= t[-1].min_prompt_tokens) {
        return refuse(r, "must be 0 in the first tier and rise from tier to tier",
                      "min_prompt_tokens");
    }
    if (unit_dearer(&t->lane[LANE_BATCH], &t->lane[LANE_SYNC])) {
        return refuse(r, "must not be dearer than 'standard'", "batch");
    }
    row->tiers_len++;
    return 0;
}

static int read_tiers(const struct reader *r, json_t *object, struct price_row *row)
{
    json_t *tiers = json_object_get(object, "tiers");
    size_t n = json_array_size(tiers); /* 0 when it is no array */
    if (n == 0 || n > ROW_TIERS_MAX) {
        return refuse(r, "must be a list of 1 to 8 tiers", "tiers");
    }
    for (size_t i = 0; i < n; i++) {
        if (read_tier(r, json_array_get(tiers, i), row) < 0) {
            return -ERR_INPUT;
        }
    }
    return 0;
}

static int row_order(const struct price_row *a, const struct price_row *b)
{
    int order = strcmp(a->provider, b->provider);
    order = order ? order : strcmp(a->model, b->model);
    return order ? order : strcmp(a->from, b->from);
}

static int read_row(struct reader *r, json_t *object, struct price_book *b)
{
    static const char *const known[] = {
        "provider",
        "model",
        "effective_from",
        "context_tokens",
        "max_output_tokens",
        "cache_min_tokens",
        "tiers",
        "source",
        NULL,
    };
    struct price_row *row = &b->rows[b->rows_len];
    char source[1000];
    r->model = json_string_value(json_object_get(object, "model"));
    if (!json_is_object(object)) {
        return refuse(r, "must hold objects", "rows");
    }
    if (only(r, object, known) < 0 ||
        read_text(r, object, "provider", row->provider, sizeof(row->provider)) < 0 ||
        read_text(r, object, "model", row->model, sizeof(row->model)) < 0 ||
        read_day(r, object, "effective_from", row->from) < 0 ||
        read_count(r, object, "context_tokens", &row->context_tokens) < 0 ||
        read_count(r, object, "max_output_tokens", &row->output_tokens_max) < 0 ||
        read_count(r, object, "cache_min_tokens", &row->cache_min_tokens) < 0 ||
        read_text(r, object, "source", source, sizeof(source)) < 0 ||
        read_tiers(r, object, row) < 0) {
        return -ERR_INPUT;
    }
    if (b->rows_len && row_order(row - 1, row) >= 0) {
        return refuse(r, "is out of order: rows stand by provider, model, effective_from",
                      "rows");
    }
    b->rows_len++;
    return 0;
}

static int read_rows(struct reader *r, json_t *root, struct price_book *b)
{
    json_t *rows = json_object_get(root, "rows");
    size_t n = json_array_size(rows);
    if (n == 0 || n > BOOK_ROWS_MAX) {
        return refuse(r, "must be a list of 1 to 10000 rows", "rows");
    }
    b->rows = calloc(n, sizeof(*b->rows));
    if (!b->rows) {
        return err_set(r->err, ERR_FAIL, "could not read price book '%s': out of memory",
                       r->name);
    }
    for (size_t i = 0; i < n; i++) {
        r->row = i + 1;
        if (read_row(r, json_array_get(rows, i), b) < 0) {
            return -ERR_INPUT;
        }
    }
    return 0;
}

static int read_book(struct reader *r, json_t *root, struct span json,
                     struct price_book *b)
{
    static const char *const known[] = {"schema", "date", "currency",
                                        "unit",   "rows", NULL};
    static const char *const said[][2] = {
        {"schema", "offpeak.price-book/1"},
        {"currency", "USD"},
        {"unit", "per 1,000,000 tokens"},
    };
    char day[CLOCK_DAY_TEXT], hex[HASH_HEX];
    if (!json_is_object(root)) {
        return refuse(r, "must be an object", "price book");
    }
    for (size_t i = 0; i < ARRAY_LEN(said); i++) {
        const char *value = json_string_value(json_object_get(root, said[i][0]));
        if (!value || strcmp(value, said[i][1]) != 0) {
            char what[80];
            snprintf(what, sizeof(what), "must be \"%s\"", said[i][1]);
            return refuse(r, what, said[i][0]);
        }
    }
    if (only(r, root, known) < 0 || read_day(r, root, "date", day) < 0) {
        return -ERR_INPUT;
    }
    snprintf(b->version, sizeof(b->version), "%s#%.8s", day,
             hash_hex(hash_of(json), hex));
    return read_rows(r, root, b);
}

static void price_book_freep(struct price_book **b)
{
    price_book_free(*b);
}

int price_book_parse(struct price_book **ret, struct span json, const char *name,
                     struct err *err)
{
    struct reader r = {.name = name, .err = err};
    json_error_t why;
    _cleanup_(json_decrefp) json_t *root =
        json_loadb(json.p ? json.p : "", json.n, JSON_REJECT_DUPLICATES, &why);
    if (!root) {
        return err_set(err, ERR_INPUT, "could not read price book '%s': line %d: %s",
                       name, why.line, why.text);
    }
    _cleanup_(price_book_freep) struct price_book *b = calloc(1, sizeof(*b));
    if (!b) {
        return err_set(err, ERR_FAIL, "could not read price book '%s': out of memory",
                       name);
    }
    int rc = read_book(&r, root, json, b);
    if (rc == 0) {
        *ret = TAKE_PTR(b);
    }
    return rc;
}

static void fclosep(FILE **file)
{
    if (*file) {
        fclose(*file);
    }
}

int price_book_load(struct price_book **ret, const char *path, struct err *err)
{
    _cleanup_(buf_fini) struct buf text;
    buf_init(&text, BOOK_BYTES_MAX);
    _cleanup_(fclosep) FILE *file = fopen(path, "re");
    char chunk[4096];
    size_t n;
    if (!file) {
        err_set(err, ERR_USAGE, "could not open price book '%s': %s", path,
                strerror(errno));
        err_hint(err, "give its path with --set prices.file=FILE");
        return -ERR_USAGE;
    }
    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0) {
        if (buf_add(&text, chunk, n) < 0) {
            return err_set(err, ERR_INPUT,
                           "could not read price book '%s': larger than 4 MiB", path);
        }
    }
    if (ferror(file)) {
        return err_set(err, ERR_FAIL, "could not read price book '%s': %s", path,
                       strerror(errno));
    }
    return price_book_parse(ret, buf_span(&text), path, err);
}
