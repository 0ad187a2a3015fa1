#include "cli/totals.h"

#include "cli/seen.h"
#include "core/jtext.h"

#include <stdio.h>

#define KINDS 4 /* of spend records: two bits of a folded number */

static const char *const tactic_names[TACTICS] = {
    [TACTIC_DEDUPE] = "dedupe",
    [TACTIC_RESPONSE_CACHE] = "response_cache",
    [TACTIC_ROUTING] = "routing",
    [TACTIC_BATCH] = "batch",
    [TACTIC_PROMPT_CACHE] = "prompt_cache",
};

const char *tactic_name(enum tactic t)
{
    return tactic_names[t];
}

/* A decimal of USD with an optional sign; false for null. */
static bool read_amount(struct span value, struct usd_sum *ret)
{
    struct usd amount;
    bool negative = value.n && value.p[0] == '-';
    if (usd_parse(span_of(value.p + negative, value.n - negative), &amount) < 0) {
        return false;
    }
    *ret = (struct usd_sum){0};
    if (negative) {
        usd_sum_sub(ret, amount);
    } else {
        usd_sum_add(ret, amount);
    }
    return true;
}

/* The key of a raw member name, without its quotes. */
static struct span unquoted(struct span key)
{
    return key.n >= 2 ? span_of(key.p + 1, key.n - 2) : key;
}

static bool starts_with(struct span s, const char *prefix)
{
    return s.n >= strlen(prefix) && !memcmp(s.p, prefix, strlen(prefix));
}

static bool read_member(struct spend_line *l, struct span key, struct span value)
{
    if (span_is(key, "cost")) {
        return read_amount(value, &l->cost);
    }
    if (span_is(key, "baseline_cost")) {
        return read_amount(value, &l->baseline);
    }
    if (span_is(key, "result_source")) {
        l->source = jtext_type(value) == JTEXT_STRING ? unquoted(value) : SPAN_NONE;
    }
    if (starts_with(key, "saved_")) {
        struct span name = span_of(key.p + 6, key.n - 6);
        for (int t = 0; t < TACTICS; t++) {
            if (span_is(name, tactic_names[t])) {
                return read_amount(value, &l->saved[t]);
            }
        }
    }
    return true;
}

int spend_line_read(const struct queue_msg *msg, struct spend_line *ret, struct err *err)
{
    struct spend_line l = {.known = true};
    if (spend_head_decode(msg->headers, &l.head) < 0) {
        return err_set(err, ERR_VERSION,
                       "could not read spend record %llu: its headers are broken",
                       (unsigned long long)msg->at.offset);
    }
    if (jtext_check(msg->value, NULL) < 0 || jtext_type(msg->value) != JTEXT_OBJECT) {
        return err_set(err, ERR_VERSION,
                       "could not read spend record %llu: it is no JSON object",
                       (unsigned long long)msg->at.offset);
    }
    struct span key, value;
    for (size_t at = 0; jtext_next(msg->value, &at, &key, &value);) {
        l.known &= read_member(&l, unquoted(key), value);
    }
    *ret = l;
    return 0;
}

int spend_line_fold(const struct spend_line *l, struct seen *seen, struct err *err)
{
    struct span job = span_str(l->head.job);
    const char *slash = memchr(job.p, '/', job.n);
    const char *at = slash ? strchr(slash + 1, '/') : NULL;
    const char *end = at ? strchr(at + 1, '/') : NULL;
    uint64_t offset;
    if (!end || span_u64(span_of(at + 1, (size_t)(end - at - 1)), &offset) < 0 ||
        offset >= SEEN_MAX / KINDS) {
        return err_set(err, ERR_VERSION,
                       "could not read a spend record: '%s' is no job id", l->head.job);
    }
    char stream[JOB_ID_MAX + 16]; /* each try in doubt is a record of its own */
    int n = snprintf(stream, sizeof(stream), "%.*s", (int)(at - job.p), job.p);
    if (l->head.kind == SPEND_IN_DOUBT && l->head.try_n > 1) {
        n += snprintf(stream + n, sizeof(stream) - (size_t)n, "#%u", l->head.try_n);
    }
    int rc = seen_add(seen, span_of(stream, (size_t)n),
                      offset * KINDS + (uint64_t)l->head.kind);
    return rc < 0 ? err_set(err, ERR_FAIL, "could not add up spend: no memory") : rc;
}

/* A request that the provider refused and did not charge for is none. */
static bool is_call(const struct spend_line *l)
{
    return !l->known || l->head.usage.input || l->head.usage.output;
}

static void add_kind(struct totals *t, const struct spend_line *l)
{
    switch (l->head.kind) {
    case SPEND_USAGE: t->calls += is_call(l); break;
    case SPEND_AVOIDED:
        t->hits += span_is(l->source, "cache");
        t->joined += span_is(l->source, "flight");
        break;
    case SPEND_IN_DOUBT:
        t->calls++;
        t->in_doubt++;
        usd_sum_add(&t->in_doubt_usd, l->head.cost);
        break;
    case SPEND_CORRECTION: break;
    }
}

void totals_add(struct totals *t, const struct spend_line *l)
{
    t->jobs += l->head.final;
    add_kind(t, l);
    if (!l->known) {
        t->unknown += l->head.kind != SPEND_IN_DOUBT;
        return;
    }
    usd_sum_add_sum(&t->cost, l->cost);
    usd_sum_add_sum(&t->baseline, l->baseline);
    for (int i = 0; i < TACTICS; i++) {
        usd_sum_add_sum(&t->saved[i], l->saved[i]);
    }
}

struct usd_sum totals_saved(const struct totals *t)
{
    struct usd_sum all = {0};
    for (int i = 0; i < TACTICS; i++) {
        usd_sum_add_sum(&all, t->saved[i]);
    }
    return all;
}
