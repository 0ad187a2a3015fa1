/* The spend record: a head for us, one flat JSON object for everybody else. */
#include "core/record.h"

#include "core/fields.h"

#include <stdio.h>

#define EVENT_ID_TEXT 33 /* 128 bits in hex */
#define MONTH_TEXT    8  /* "2026-11" */

static const char *const kind_words[] = {
    [SPEND_USAGE] = "usage",
    [SPEND_AVOIDED] = "avoided",
    [SPEND_IN_DOUBT] = "in_doubt",
    [SPEND_CORRECTION] = "correction",
};

/* ---- the head ---- */

_Static_assert(sizeof(struct usage) == 5 * sizeof(uint64_t),
               "header 'tokens' is a run of five");

static const struct field spend_head_list[] = {
    FIELD_WORD_OF(struct spend_head, kind, kind_words, "kind"),
    FIELD_TEXT_OF(struct spend_head, job, "job"),
    FIELD_TEXT_OF(struct spend_head, run, "run"),
    FIELD_TEXT_OF(struct spend_head, team, "team"),
    FIELD_TEXT_OF(struct spend_head, feature, "feature"),
    FIELD_OF(struct spend_head, FIELD_U64, attempt, "attempt"),
    FIELD_OF(struct spend_head, FIELD_U32, try_n, "try"),
    FIELD_OF(struct spend_head, FIELD_BOOL, final, "final"),
    FIELD_TEXT_OF(struct spend_head, day, "day"),
    FIELD_OF(struct spend_head, FIELD_USD, cost, "cost_pico"),
    FIELD_RUN_OF(struct spend_head, FIELD_U64, usage, 5, "tokens"),
    FIELD_TEXT_OF(struct spend_head, model, "model"),
};
static const struct fields spend_head_fields =
    FIELDS("head of a spend record", spend_head_list);

int spend_head_encode(const struct spend_head *h, struct buf *block)
{
    struct spend_head head = *h;
    head.try_n = h->try_n > 1 ? h->try_n : 0; /* the first goes without saying */
    return fields_to_headers(&spend_head_fields, &head, block);
}

int spend_head_decode(struct span block, struct spend_head *ret)
{
    struct spend_head h = {0};
    if (fields_from_headers(&spend_head_fields, block, &h) < 0) {
        return -1;
    }
    h.try_n = MAX_OF(h.try_n, 1u);
    *ret = h;
    return 0;
}

/* ---- the published record (schemas/spend.v1.json) ---- */

/* A record with the values that follow from it. */
struct line {
    struct spend s;
    char id[EVENT_ID_TEXT], time[CLOCK_TIME_TEXT], month[MONTH_TEXT];
    const char *schema, *currency, *cost_source;
    const char *run, *model_requested, *tier, *source, *outcome;
};

#define LINE(kind_, member_, name_) FIELD_OF(struct line, kind_, member_, name_)
#define LINE_TEXT(member_, name_)                                                 \
    {                                                                             \
        .name = (name_), .type = FIELD_TEXT, .at = offsetof(struct line, member_) \
    }

static const struct field who_list[] = {
    LINE(FIELD_STR, schema, "schema"),
    LINE_TEXT(id, "event_id"),
    FIELD_WORD_OF(struct line, s.head.kind, kind_words, "kind"),
    LINE_TEXT(time, "event_time"),
    LINE_TEXT(s.head.team, "team"),
    LINE_TEXT(s.head.feature, "feature"),
    LINE(FIELD_STR, run, "run_id"),
    LINE_TEXT(s.head.job, "job_id"),
    LINE(FIELD_SPAN, s.custom_id, "custom_id"),
    LINE(FIELD_U64, s.line, "line"),
    LINE(FIELD_U64, s.head.attempt, "attempt"),
    LINE(FIELD_STR, s.provider, "provider"),
    LINE(FIELD_STR, model_requested, "model_requested"),
    LINE(FIELD_STR, s.model_used, "model"),
    LINE(FIELD_STR, tier, "tier"),
    FIELD_WORD_OF(struct line, s.lane, lane_words, "lane"),
    LINE(FIELD_STR, s.account, "provider_account"),
    LINE(FIELD_STR, s.batch, "provider_batch_id"),
    LINE(FIELD_STR, s.request_id, "provider_request_id"),
    LINE(FIELD_STR, source, "result_source"),
    LINE(FIELD_STR, outcome, "outcome"),
};

static const struct field tokens_list[] = {
    LINE(FIELD_U64, s.head.usage.input, "input_tokens"),
    LINE(FIELD_U64, s.head.usage.cache_read, "cache_read_input_tokens"),
    LINE(FIELD_U64, s.head.usage.cache_write, "cache_write_input_tokens"),
    LINE(FIELD_U64, s.head.usage.output, "output_tokens"),
    LINE(FIELD_U64, s.head.usage.reasoning, "reasoning_output_tokens"),
};

static const struct field money_list[] = {
    LINE(FIELD_USD, s.charge.cost.total, "cost"),
    LINE(FIELD_USD, s.charge.cost.input, "cost_input"),
    LINE(FIELD_USD, s.charge.cost.cache_read, "cost_cache_read"),
    LINE(FIELD_USD, s.charge.cost.cache_write, "cost_cache_write"),
    LINE(FIELD_USD, s.charge.cost.output, "cost_output"),
    LINE(FIELD_USD, s.charge.baseline, "baseline_cost"),
    LINE(FIELD_USD, s.charge.saved_dedupe, "saved_dedupe"),
    LINE(FIELD_USD, s.charge.saved_response_cache, "saved_response_cache"),
    LINE(FIELD_USD, s.charge.saved_routing, "saved_routing"),
    LINE(FIELD_USD, s.charge.saved_batch, "saved_batch"),
    LINE(FIELD_USD, s.charge.saved_prompt_cache, "saved_prompt_cache"),
};

static const struct field doubt_list[] = {
    LINE(FIELD_USD, s.head.cost, "in_doubt_usd"),
};

/* Left out where there is nothing to say, as it nearly always is. */
static const struct field tries_list[] = {
    LINE(FIELD_U32, s.head.try_n, "tries"),
};

static const struct field why_list[] = {
    LINE(FIELD_STR, s.why, "why"),
};

static const struct field book_list[] = {
    LINE(FIELD_STR, currency, "currency"),
    LINE(FIELD_STR, s.prices, "price_book"),
    LINE(FIELD_STR, cost_source, "cost_source"),
    LINE_TEXT(s.head.day, "period_day"),
    LINE_TEXT(month, "period_month"),
    LINE(FIELD_BOOL, s.head.final, "final"),
};

static void add_members(const struct field *f, size_t n, bool known, const struct line *l,
                        struct buf *json)
{
    for (size_t i = 0; i < n; i++) {
        if (i || f != who_list) {
            buf_addc(json, ',');
        }
        if (known) {
            field_to_json(&f[i], l, json);
        } else {
            buf_addf(json, "\"%s\":null", f[i].name);
        }
    }
}

static void event_id(const struct spend_head *h, char ret[static EVENT_ID_TEXT])
{
    char hex[HASH_HEX], attempt[32];
    struct hash *sum = hash_open();
    hash_add(sum, h->job, strlen(h->job));
    snprintf(attempt, sizeof(attempt), "\n%llu\n", (unsigned long long)h->attempt);
    hash_add(sum, attempt, strlen(attempt));
    hash_add(sum, kind_words[h->kind], strlen(kind_words[h->kind]));
    if (h->kind == SPEND_IN_DOUBT && h->try_n > 1) {
        snprintf(attempt, sizeof(attempt), "\n%u", (unsigned)h->try_n);
        hash_add(sum, attempt, strlen(attempt));
    }
    hash_hex(hash_end(sum), hex);
    memcpy(ret, hex, EVENT_ID_TEXT - 1);
    ret[EVENT_ID_TEXT - 1] = '\0';
}

static const char *lane_tier(enum lane lane)
{
    switch (lane) {
    case LANE_BATCH: return "batch";
    case LANE_SYNC: return "standard";
    case LANE_POOL: return "local";
    }
    return NULL;
}

static const char *source_name(enum answer_source source)
{
    switch (source) {
    case SOURCE_PROVIDER: return "provider";
    case SOURCE_FLIGHT: return "flight";
    case SOURCE_CACHE: return "cache";
    }
    return NULL;
}

static void line_init(struct line *l, const struct spend *s)
{
    const struct spend_head *h = &s->head;
    bool again = h->kind == SPEND_IN_DOUBT && !h->final;
    bool answered = !again && (h->kind == SPEND_USAGE || s->outcome == STATUS_OK);
    *l = (struct line){
        .s = *s,
        .schema = "offpeak.spend/1",
        .currency = "USD",
        .cost_source = "local",
        .run = h->run[0] ? s->head.run : NULL,
        .model_requested = h->model[0] ? s->head.model : NULL,
        .tier = h->kind == SPEND_AVOIDED ? NULL : lane_tier(s->lane),
        .source = answered ? source_name(s->source) : NULL,
        .outcome = again ? NULL : status_name(s->outcome),
    };
    event_id(h, l->id);
    clock_time(s->time_ms, l->time);
    memcpy(l->month, h->day, MONTH_TEXT - 1);
}

int spend_encode(const struct spend *s, struct buf *headers, struct buf *json,
                 struct err *err)
{
    struct line l;
    line_init(&l, s);
    buf_addc(json, '{');
    add_members(who_list, ARRAY_LEN(who_list), true, &l, json);
    add_members(tokens_list, ARRAY_LEN(tokens_list), s->cost_known, &l, json);
    add_members(money_list, ARRAY_LEN(money_list), s->cost_known, &l, json);
    add_members(doubt_list, ARRAY_LEN(doubt_list), s->head.kind == SPEND_IN_DOUBT, &l,
                json);
    add_members(book_list, ARRAY_LEN(book_list), true, &l, json);
    if (s->head.try_n > 1) {
        add_members(tries_list, ARRAY_LEN(tries_list), true, &l, json);
    }
    if (s->why) {
        add_members(why_list, ARRAY_LEN(why_list), true, &l, json);
    }
    buf_addc(json, '}');
    if (json->failed || spend_head_encode(&s->head, headers) < 0) {
        return err_set(err, ERR_FAIL, "could not write the spend record of job '%s': %s",
                       s->head.job, "it does not fit");
    }
    return 0;
}
