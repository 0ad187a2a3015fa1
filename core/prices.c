#include "core/prices.h"

#include "core/prices_int.h"

#include <stdlib.h>

#define TOKENS_PER_UNIT 1000000 /* list prices are per million tokens */
#define MTOK_PLACES     6       /* so a price per token is a whole number of picos */

/* ---- what every book shares ---- */

bool price_is_day(const char *s)
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

int price_parse(struct span text, struct usd *ret)
{
    const char *point = text.n ? memchr(text.p, '.', text.n) : NULL;
    struct usd per_unit;
    if ((point && text.p + text.n - point - 1 > MTOK_PLACES) ||
        usd_parse(text, &per_unit) < 0) {
        return -1;
    }
    *ret = usd_from_pico(usd_pico(per_unit) / TOKENS_PER_UNIT);
    return 0;
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
    return price_is_day(tail) ? span_of(model.p, model.n - DAY_N - 1) : model;
}

/* Own servers ask one price for whatever model they serve. */
static const struct price_row *find_own(const struct price_book *b, const char *provider,
                                        struct span model)
{
    return model.n && strcmp(provider, b->rows->provider) == 0 ? b->rows : NULL;
}

const struct price_row *price_find(const struct price_book *b, const char *provider,
                                   struct span model, const char *day)
{
    if (b->own) {
        return find_own(b, provider, model);
    }
    const struct price_row *row = find_exact(b, provider, model, day);
    struct span base = base_model(model);
    return row || base.n == model.n ? row : find_exact(b, provider, base, day);
}

uint64_t price_context_tokens(const struct price_row *r)
{
    return r->context_tokens;
}

uint64_t price_output_tokens_max(const struct price_row *r)
{
    return r->output_tokens_max;
}

/* ---- arithmetic ---- */

/* Where a tier keeps the prices of that lane; -1: the row has none for it. */
static int slot_of(const struct price_row *r, enum lane lane)
{
    switch (lane) {
    case LANE_BATCH:
    case LANE_SYNC: return r->own ? -1 : (int)lane;
    case LANE_POOL: return r->own ? 0 : -1;
    }
    return -1;
}

/* The tier a prompt of that length is billed at, the whole of it; NULL: no such price. */
static const struct unit *unit_for(const struct price_row *r, enum lane lane,
                                   uint64_t input)
{
    unsigned i = r->tiers_len - 1;
    int slot = slot_of(r, lane);
    while (i && r->tiers[i].min_prompt_tokens > input) {
        i--;
    }
    return slot < 0 ? NULL : &r->tiers[i].lane[slot];
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
    const struct unit *unit = unit_for(r, lane, u->input);
    if (!unit || !usage_possible(u)) {
        return -1;
    }
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

/* A plain call: the lane that saves nothing. */
static enum lane plain_lane(const struct price_row *r)
{
    return r->own ? LANE_POOL : LANE_SYNC;
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
    if (slot_of(r, lane) < 0 || !usage_possible(u) ||
        uncached(r, plain_lane(r), u, &c.baseline) < 0) {
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
    int slot = slot_of(r, lane);
    if (slot < 0) {
        return -1;
    }
    for (unsigned i = 0; i < r->tiers_len && r->tiers[i].min_prompt_tokens <= input_max;
         i++) {
        const struct unit *unit = &r->tiers[i].lane[slot];
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

bool price_is_free(const struct price_row *r, enum lane lane)
{
    int slot = slot_of(r, lane);
    for (unsigned i = 0; slot >= 0 && i < r->tiers_len; i++) {
        const struct unit *u = &r->tiers[i].lane[slot];
        if (!usd_is_zero(u->input) || !usd_is_zero(u->cache_read) ||
            !usd_is_zero(u->cache_write) || !usd_is_zero(u->output)) {
            return false;
        }
    }
    return slot >= 0;
}

unsigned price_tries(const struct price_row *r, enum lane lane)
{
    return price_is_free(r, lane) ? LANE_TRIES_FREE : lane_tries(lane);
}

/* ---- lanes ---- */

unsigned lane_tries(enum lane lane)
{
    switch (lane) {
    case LANE_BATCH: return 1; /* a batch that may have been created is looked for */
    case LANE_SYNC:
    case LANE_POOL: return 2;
    }
    return 1;
}

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
