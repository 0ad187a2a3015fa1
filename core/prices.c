#include "core/prices.h"

#include "core/clock.h"
#include "core/hash.h"
#include "core/prompt.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define BOOK_BYTES_MAX  ((size_t)4 << 20)
#define BOOK_ROWS_MAX   10000
#define ROW_TIERS_MAX   8
#define PROVIDER_MAX    40
#define LANES_PRICED    2 /* batch and sync; servers of one's own have no list price */
#define TOKENS_PER_UNIT 1000000 /* list prices are per million tokens */
#define MTOK_PLACES     6       /* so a price per token is a whole number of picos */
#define DAY_N           (CLOCK_DAY_TEXT - 1)

/* Prices of one token. */
struct unit {
    struct usd input, cache_read, cache_write, output;
};

struct tier {
    uint64_t min_prompt_tokens;
    struct unit lane[LANES_PRICED]; /* by enum lane */
};

struct price_row {
    char provider[PROVIDER_MAX + 1], model[PROMPT_MODEL_MAX + 1], from[CLOCK_DAY_TEXT];
    uint64_t context_tokens, output_tokens_max, cache_min_tokens;
    unsigned tiers_len;
    struct tier tiers[ROW_TIERS_MAX];
};

/* Rows are in order of provider, model, first day. */
struct price_book {
    char version[PRICES_VERSION_MAX];
    size_t rows_len;
    struct price_row *rows;
};

/* ---- reading the file ---- */

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

static bool is_day(const char *s)
{
    static const char form[] = "dddd-dd-dd";
    size_t i = 0;
    for (; form[i]; i++) {
        if (form[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != '-') {
            return false;
        }
    }
    return s[i] == '\0';
}

static int read_day(const struct reader *r, json_t *object, const char *field,
                    char ret[static CLOCK_DAY_TEXT])
{
    const char *text = json_string_value(json_object_get(object, field));
    if (!text || !is_day(text)) {
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

/* "0.15" USD per million tokens -> 150,000 picos a token. */
static int parse_price(const char *text, struct usd *ret)
{
    const char *point = text ? strchr(text, '.') : NULL;
    struct usd per_unit;
    if (!text || (point && strlen(point + 1) > MTOK_PLACES) ||
        usd_parse(span_str(text), &per_unit) < 0) {
        return -1;
    }
    *ret = usd_from_pico(usd_pico(per_unit) / TOKENS_PER_UNIT);
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
    if (parse_price(json_string_value(value), ret) < 0) {
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

struct price_book *price_book_free(struct price_book *b)
{
    if (b) {
        free(b->rows);
        free(b);
    }
    return NULL;
}

/* ---- looking up ---- */

const char *price_book_version(const struct price_book *b)
{
    return b->version;
}

/* provider, model against a row's */
static int key_order(const char *provider, struct span model, const struct price_row *row)
{
    int order = strcmp(provider, row->provider);
    return order ? order : span_cmp(model, span_str(row->model));
}

static const struct price_row *find_exact(const struct price_book *b,
                                          const char *provider, struct span model,
                                          const char *day)
{
    size_t low = 0,
           high = b->rows_len; /* the rows before `low` are not after what we want */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = key_order(provider, model, &b->rows[middle]);
        if (order > 0 || (order == 0 && strcmp(b->rows[middle].from, day) <= 0)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool found = low && key_order(provider, model, &b->rows[low - 1]) == 0;
    return found ? &b->rows[low - 1] : NULL;
}

/* "gpt-4o-mini-2024-07-18" -> "gpt-4o-mini"; itself when it carries no date. */
static struct span base_model(struct span model)
{
    char tail[DAY_N + 1] = "";
    if (model.n <= DAY_N + 1 || model.p[model.n - DAY_N - 1] != '-') {
        return model;
    }
    memcpy(tail, model.p + model.n - DAY_N, DAY_N);
    return is_day(tail) ? span_of(model.p, model.n - DAY_N - 1) : model;
}

const struct price_row *price_find(const struct price_book *b, const char *provider,
                                   struct span model, const char *day)
{
    const struct price_row *row = find_exact(b, provider, model, day);
    struct span base = base_model(model);
    return row || base.n == model.n ? row : find_exact(b, provider, base, day);
}

const char *price_row_model(const struct price_row *r)
{
    return r->model;
}

uint64_t price_context_tokens(const struct price_row *r)
{
    return r->context_tokens;
}

uint64_t price_output_tokens_max(const struct price_row *r)
{
    return r->output_tokens_max;
}

uint64_t price_cache_min_tokens(const struct price_row *r)
{
    return r->cache_min_tokens;
}

/* ---- arithmetic ---- */

/* The tier a prompt of that length is billed at, the whole of it. */
static const struct unit *unit_for(const struct price_row *r, enum lane lane,
                                   uint64_t input)
{
    unsigned i = r->tiers_len - 1;
    while (i && r->tiers[i].min_prompt_tokens > input) {
        i--;
    }
    return &r->tiers[i].lane[lane];
}

static bool is_priced(enum lane lane)
{
    return lane == LANE_BATCH || lane == LANE_SYNC;
}

static bool usage_possible(const struct usage *u)
{
    return u->cache_read <= u->input && u->cache_write <= u->input - u->cache_read &&
           u->reasoning <= u->output;
}

static bool add_up(struct cost *c)
{
    c->total = c->input;
    return usd_add(&c->total, c->cache_read) && usd_add(&c->total, c->cache_write) &&
           usd_add(&c->total, c->output);
}

int price_cost(const struct price_row *r, enum lane lane, const struct usage *u,
               struct cost *ret)
{
    struct cost c;
    if (!is_priced(lane) || !usage_possible(u)) {
        return -1;
    }
    const struct unit *unit = unit_for(r, lane, u->input);
    bool exact =
        usd_mul(&c.input, unit->input, u->input - u->cache_read - u->cache_write) &&
        usd_mul(&c.cache_read, unit->cache_read, u->cache_read) &&
        usd_mul(&c.cache_write, unit->cache_write, u->cache_write) &&
        usd_mul(&c.output, unit->output, u->output) && add_up(&c);
    if (!exact) {
        return -1;
    }
    *ret = c;
    return 0;
}

/* The total as if no prompt cache existed. */
static int uncached(const struct price_row *r, enum lane lane, const struct usage *u,
                    struct usd *ret)
{
    struct usage plain = {
        .input = u->input, .output = u->output, .reasoning = u->reasoning};
    struct cost c;
    if (price_cost(r, lane, &plain, &c) < 0) {
        return -1;
    }
    *ret = c.total;
    return 0;
}

/* baseline -> batch price -> what was billed: each step's difference is one tactic's saving.
 * Nothing is routed yet, so the model asked for is the model that answered. */
static int charge_call(const struct price_row *r, enum lane lane, const struct usage *u,
                       struct charge *c)
{
    struct usd in_lane;
    if (price_cost(r, lane, u, &c->cost) < 0 || uncached(r, lane, u, &in_lane) < 0) {
        return -1;
    }
    c->saved_batch = c->baseline;
    c->saved_prompt_cache = in_lane;
    return usd_sub(&c->saved_batch, in_lane) &&
                   usd_sub(&c->saved_prompt_cache, c->cost.total)
               ? 0
               : -1;
}

int price_charge(const struct price_row *r, enum lane lane, enum answer_source source,
                 const struct usage *u, struct charge *ret)
{
    struct charge c = {0};
    if (!is_priced(lane) || !usage_possible(u) ||
        uncached(r, LANE_SYNC, u, &c.baseline) < 0) {
        return -1;
    }
    int rc = 0;
    switch (source) {
    case SOURCE_PROVIDER: rc = charge_call(r, lane, u, &c); break;
    case SOURCE_FLIGHT: c.saved_dedupe = c.baseline; break;
    case SOURCE_CACHE: c.saved_response_cache = c.baseline; break;
    }
    if (rc == 0) {
        *ret = c;
    }
    return rc;
}

static struct usd dearer(struct usd a, struct usd b)
{
    return usd_cmp(a, b) > 0 ? a : b;
}

int price_bound(const struct price_row *r, enum lane lane, uint64_t input_max,
                uint64_t output_max, struct usd *ret)
{
    struct usd bound = USD_ZERO;
    if (!is_priced(lane)) {
        return -1;
    }
    for (unsigned i = 0; i < r->tiers_len && r->tiers[i].min_prompt_tokens <= input_max;
         i++) {
        const struct unit *unit = &r->tiers[i].lane[lane];
        struct usd input, output;
        struct usd dearest =
            dearer(dearer(unit->input, unit->cache_write), unit->cache_read);
        if (!usd_mul(&input, dearest, input_max) ||
            !usd_mul(&output, unit->output, output_max) || !usd_add(&input, output)) {
            return -1;
        }
        bound = dearer(bound, input);
    }
    *ret = bound;
    return 0;
}

/* ---- lanes ---- */

const char *const lane_words[] = {
    [LANE_BATCH] = "batch",
    [LANE_SYNC] = "sync",
    [LANE_POOL] = "pool",
};

const char *lane_name(enum lane lane)
{
    return lane_words[lane];
}

int lane_parse(struct span s, enum lane *ret)
{
    for (unsigned i = 0; i < ARRAY_LEN(lane_words); i++) {
        if (span_is(s, lane_words[i])) {
            *ret = (enum lane)i;
            return 0;
        }
    }
    return -1;
}
