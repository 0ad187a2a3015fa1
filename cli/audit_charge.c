#include "cli/audit_charge.h"

#include "core/jtext.h"

#include <inttypes.h>
#include <stdio.h>

#define ID_HEX 32 /* 128 bits */

enum amount {
    COST,
    COST_INPUT,
    COST_CACHE_READ,
    COST_CACHE_WRITE,
    COST_OUTPUT,
    BASELINE,
    SAVED_DEDUPE,
    SAVED_RESPONSE_CACHE,
    SAVED_ROUTING,
    SAVED_BATCH,
    SAVED_PROMPT_CACHE,
    IN_DOUBT,
    AMOUNTS
};

static const char *const amount_names[AMOUNTS] = {
    "cost",          "cost_input",    "cost_cache_read",    "cost_cache_write",
    "cost_output",   "baseline_cost", "saved_dedupe",       "saved_response_cache",
    "saved_routing", "saved_batch",   "saved_prompt_cache", "in_doubt_usd",
};

static const char *const token_names[] = {"input_tokens", "cache_read_input_tokens",
                                          "cache_write_input_tokens", "output_tokens",
                                          "reasoning_output_tokens"};
#define TOKENS ARRAY_LEN(token_names)

static const char *const kind_names[] = {[SPEND_USAGE] = "usage",
                                         [SPEND_AVOIDED] = "avoided",
                                         [SPEND_IN_DOUBT] = "in_doubt",
                                         [SPEND_CORRECTION] = "correction"};

/* The members that matter here. */
struct view {
    struct span amounts[AMOUNTS], tokens[TOKENS];
    struct span event_id, kind, team, feature, run, job, attempt, final, day, month,
        outcome;
    struct span batch, request, tries, currency;
    struct usd_sum value[AMOUNTS];
    bool has[AMOUNTS];
};

/* ---- reading ---- */

static struct span *place_in(struct view *v, struct span name)
{
    const struct {
        const char *name;
        struct span *at;
    } texts[] = {
        {"event_id", &v->event_id}, {"kind", &v->kind},
        {"team", &v->team},         {"feature", &v->feature},
        {"run_id", &v->run},        {"job_id", &v->job},
        {"attempt", &v->attempt},   {"final", &v->final},
        {"period_day", &v->day},    {"period_month", &v->month},
        {"outcome", &v->outcome},   {"provider_batch_id", &v->batch},
        {"tries", &v->tries},       {"provider_request_id", &v->request},
        {"currency", &v->currency},
    };
    for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
        if (span_is(name, texts[i].name)) {
            return texts[i].at;
        }
    }
    for (unsigned i = 0; i < AMOUNTS; i++) {
        if (span_is(name, amount_names[i])) {
            return &v->amounts[i];
        }
    }
    for (unsigned i = 0; i < TOKENS; i++) {
        if (span_is(name, token_names[i])) {
            return &v->tokens[i];
        }
    }
    return NULL;
}

static bool is_null(struct span value)
{
    return !value.n || jtext_type(value) == JTEXT_NULL;
}

/* A decimal with an optional sign: 1, or 0 for null, or -1. */
static int read_amount(struct span value, struct usd_sum *ret)
{
    struct usd amount;
    bool negative = value.n && value.p[0] == '-';
    *ret = (struct usd_sum){0};
    if (is_null(value)) {
        return 0;
    }
    if (usd_parse(span_of(value.p + negative, value.n - negative), &amount) < 0) {
        return -1;
    }
    (negative ? usd_sum_sub : usd_sum_add)(ret, amount);
    return 1;
}

static int read_view(struct span json, struct view *v, char why[static AUDIT_TEXT_MAX])
{
    struct span key, value;
    *v = (struct view){0};
    if (jtext_check(json, NULL) < 0 || jtext_type(json) != JTEXT_OBJECT) {
        snprintf(why, AUDIT_TEXT_MAX, "no JSON object");
        return -1;
    }
    for (size_t at = 0; jtext_next(json, &at, &key, &value);) {
        struct span *place = place_in(v, jtext_inside(key));
        if (place) {
            *place = value;
        }
    }
    for (unsigned i = 0; i < AMOUNTS; i++) {
        int rc = read_amount(v->amounts[i], &v->value[i]);
        if (rc < 0) {
            snprintf(why, AUDIT_TEXT_MAX, "%s is no amount: %.*s", amount_names[i],
                     (int)MIN_OF(v->amounts[i].n, 60u), v->amounts[i].p);
            return -1;
        }
        v->has[i] = rc > 0;
    }
    return 0;
}

/* ---- judging ---- */

struct judge {
    struct audit_difference *wrong;
    unsigned n;
};

static void differ(struct judge *j, enum audit_kind kind, const char *expected,
                   const char *found)
{
    struct audit_difference *d = &j->wrong[j->n++];
    *d = (struct audit_difference){.kind = kind};
    snprintf(d->expected, sizeof(d->expected), "%s", expected);
    snprintf(d->found, sizeof(d->found), "%s", found);
}

static void differ_usd(struct judge *j, enum audit_kind kind, const char *what,
                       struct usd_sum expected, struct usd_sum found)
{
    char e[AUDIT_TEXT_MAX], f[AUDIT_TEXT_MAX], amount[USD_TEXT_MAX];
    snprintf(e, sizeof(e), "%s %s", what, usd_sum_format(expected, amount));
    snprintf(f, sizeof(f), "%s", usd_sum_format(found, amount));
    differ(j, kind, e, f);
}

static struct usd_sum sum_of(const struct view *v, enum amount from, enum amount to)
{
    struct usd_sum sum = {0};
    for (unsigned i = from; i <= to; i++) {
        usd_sum_add_sum(&sum, v->value[i]);
    }
    return sum;
}

static void judge_sums(struct judge *j, const struct view *v)
{
    struct usd_sum parts = sum_of(v, COST_INPUT, COST_OUTPUT);
    struct usd_sum and_saved = sum_of(v, SAVED_DEDUPE, SAVED_PROMPT_CACHE);
    usd_sum_add_sum(&and_saved, v->value[COST]);
    if (usd_sum_cmp(parts, v->value[COST]) != 0) {
        differ_usd(j, AUDIT_CHARGE_SUM, "cost", parts, v->value[COST]);
    }
    if (usd_sum_cmp(and_saved, v->value[BASELINE]) != 0) {
        differ_usd(j, AUDIT_CHARGE_SAVED, "baseline_cost", and_saved, v->value[BASELINE]);
    }
}

/* The name of the first amount that is null beside known ones, or known beside nulls. */
static const char *half_known(const struct view *v)
{
    for (unsigned i = 0; i <= SAVED_PROMPT_CACHE; i++) {
        if (v->has[i] != v->has[COST]) {
            return amount_names[i];
        }
    }
    return NULL;
}

static bool text_is(struct span value, const char *text)
{
    return text[0] ? jtext_is_string(value, text) : is_null(value);
}

static bool count_is(struct span value, uint64_t n)
{
    uint64_t got = 0;
    return (is_null(value) || jtext_u64(value, &got) == 0) && got == n;
}

/* The first member that says something else than the headers do. */
static const char *not_as_head(const struct view *v, const struct spend_head *h)
{
    const uint64_t tokens[TOKENS] = {h->usage.input, h->usage.cache_read,
                                     h->usage.cache_write, h->usage.output,
                                     h->usage.reasoning};
    char month[8] = "";
    snprintf(month, sizeof(month), "%.7s", h->day);
    const struct {
        const char *name, *text;
        struct span value;
    } texts[] = {{"kind", kind_names[h->kind], v->kind},
                 {"team", h->team, v->team},
                 {"feature", h->feature, v->feature},
                 {"run_id", h->run, v->run},
                 {"job_id", h->job, v->job},
                 {"period_day", h->day, v->day},
                 {"period_month", month, v->month},
                 {"currency", "USD", v->currency}};
    for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
        if (!text_is(texts[i].value, texts[i].text)) {
            return texts[i].name;
        }
    }
    for (unsigned i = 0; i < TOKENS; i++) {
        if (v->has[COST] && !count_is(v->tokens[i], tokens[i])) {
            return token_names[i];
        }
    }
    if (!count_is(v->attempt, h->attempt)) {
        return "attempt";
    }
    if (h->try_n > 1 ? !count_is(v->tries, h->try_n) : v->tries.n > 0) {
        return "tries";
    }
    return jtext_true(v->final) == h->final ? NULL : "final";
}

static void judge_head(struct judge *j, const struct view *v, const struct spend_head *h)
{
    struct usd_sum head = {0};
    const char *name = not_as_head(v, h);
    bool doubt = h->kind == SPEND_IN_DOUBT;
    usd_sum_add(&head, h->cost);
    if (name) {
        differ(j, AUDIT_CHARGE_HEAD, "the same in record and headers", name);
    } else if ((name = half_known(v))) {
        differ(j, AUDIT_CHARGE_HEAD, "all amounts known, or all null", name);
    } else if (doubt && (v->has[COST] || !v->has[IN_DOUBT])) {
        differ(j, AUDIT_CHARGE_HEAD, "in doubt: null costs and a bound",
               v->has[COST] ? "cost" : "no in_doubt_usd");
    } else if (!doubt && v->has[IN_DOUBT]) {
        differ(j, AUDIT_CHARGE_HEAD, "no in_doubt_usd", "one");
    } else if (doubt || v->has[COST]) {
        enum amount which = doubt ? IN_DOUBT : COST;
        if (usd_sum_cmp(head, v->value[which]) != 0) {
            differ_usd(j, AUDIT_CHARGE_HEAD, amount_names[which], head, v->value[which]);
        }
    }
}

static void judge_id(struct judge *j, const struct view *v, const struct spend_head *h)
{
    char text[JOB_ID_MAX + 80], hex[HASH_HEX], found[AUDIT_TEXT_MAX];
    int n = snprintf(text, sizeof(text), "%s\n%" PRIu64 "\n%s", h->job, h->attempt,
                     kind_names[h->kind]);
    if (h->kind == SPEND_IN_DOUBT && h->try_n > 1) {
        snprintf(text + n, sizeof(text) - (size_t)n, "\n%u", (unsigned)h->try_n);
    }
    hash_hex(hash_of(span_str(text)), hex);
    hex[ID_HEX] = '\0';
    if (!text_is(v->event_id, hex)) {
        snprintf(found, sizeof(found), "%.*s",
                 v->event_id.n ? (int)MIN_OF(v->event_id.n, 70u) : 4,
                 v->event_id.n ? v->event_id.p : "none");
        differ(j, AUDIT_CHARGE_ID, hex, found);
    }
}

static int outcome_of(struct span value)
{
    for (int s = STATUS_OK; s <= STATUS_REJECTED; s++) {
        if (text_is(value, status_name((enum status)s))) {
            return s;
        }
    }
    return -1;
}

static void copy_ref(struct span value, char ret[static AUDIT_REF_MAX])
{
    struct span text = is_null(value) ? SPAN_NONE : jtext_inside(value);
    snprintf(ret, AUDIT_REF_MAX, "%.*s", (int)MIN_OF(text.n, (size_t)AUDIT_REF_MAX - 1),
             text.n ? text.p : "");
}

unsigned audit_charge_read(const struct queue_msg *msg, struct audit_charge *ret,
                           struct audit_difference wrong[static AUDIT_CHARGE_KINDS])
{
    struct judge j = {.wrong = wrong};
    struct view v;
    char why[AUDIT_TEXT_MAX] = "headers of another version";
    if (spend_head_decode(msg->headers, &ret->head) < 0 ||
        read_view(msg->value, &v, why) < 0) {
        differ(&j, AUDIT_RECORD_BROKEN, "a spend record", why);
        return j.n;
    }
    judge_head(&j, &v, &ret->head);
    judge_id(&j, &v, &ret->head);
    if (v.has[COST] && !half_known(&v)) {
        judge_sums(&j, &v);
    }
    ret->known = v.has[COST];
    ret->cost = v.value[COST];
    ret->doubt = v.value[IN_DOUBT];
    ret->outcome = outcome_of(v.outcome);
    copy_ref(v.batch, ret->batch);
    copy_ref(v.request, ret->request);
    return j.n;
}
