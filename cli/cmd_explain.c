/* offpeak explain: one job, and every number of its cost. */
#include "cli/cli.h"
#include "cli/explain.h"
#include "cli/json.h"
#include "cli/totals.h"
#include "core/jtext.h"

#include <inttypes.h>
#include <stdio.h>

#define PER_MILLION 1000000
#define RAW_MAX     200

/* ---- members of a spend record ---- */

/* The raw JSON text; "" when there is no such member or it is null. */
static const char *raw(const struct buf *record, const char *name,
                       char ret[static RAW_MAX])
{
    struct span value;
    ret[0] = '\0';
    if (jtext_get(buf_span(record), name, &value) && !span_is(value, "null")) {
        snprintf(ret, RAW_MAX, "%.*s", (int)MIN_OF(value.n, (size_t)RAW_MAX - 1),
                 value.p);
    }
    return ret;
}

static const char *text(const struct buf *record, const char *name,
                        char ret[static RAW_MAX])
{
    size_t n = strlen(raw(record, name, ret));
    if (n >= 2 && ret[0] == '"') {
        memmove(ret, ret + 1, n - 2);
        ret[n - 2] = '\0';
    }
    return ret;
}

static uint64_t count(const struct buf *record, const char *name)
{
    char value[RAW_MAX];
    uint64_t n = 0;
    return span_u64(span_str(raw(record, name, value)), &n) < 0 ? 0 : n;
}

/* ---- what it is ---- */

static void print_head(const struct explain *e)
{
    const struct ask *a = &e->ask;
    printf("job %s, attempt %" PRIu64 "\n", a->job, MAX_OF(a->head.attempt, 1u));
    printf("  line %" PRIu64 " of run '%s', team '%s', feature '%s', custom_id %.*s\n",
           a->head.line, a->head.run[0] ? a->head.run : "(standing)", e->team, e->feature,
           (int)a->id_len, e->line.p + a->id_at);
    if (e->others) {
        printf("  that custom_id stands in %u runs: say which with --run\n",
               e->others + 1);
    }
    if (a->why[0]) {
        printf("  cannot be asked: %s\n", a->why);
        return;
    }
    char hex[HASH_HEX];
    const struct prompt *p = &a->prompt;
    printf("  asks '%s' at %s", p->model, a->path);
    if (p->has_output_limit) {
        printf(", for at most %" PRIu64 " tokens\n", p->output_limit);
    } else {
        printf(", without an output limit\n");
    }
    printf("  prefix group %016" PRIx64 ", %u link%s, %u bytes of prompt\n",
           p->chain[0].hash, p->chain_len, p->chain_len == 1 ? "" : "s",
           p->chain[p->chain_len - 1].bytes);
    if (e->has_row) {
        printf("  cache key %.16s, normalised at L%d\n", hash_hex(e->key, hex),
               (int)e->row.level);
    }
}

/* ---- where it stands ---- */

static void print_waits(const struct explain *e)
{
    if (e->has_gate) {
        printf("  waits in its queue: %s\n", e->gate.why);
        if (e->gate.hint[0]) {
            printf("  %s\n", e->gate.hint);
        }
    } else {
        printf("  waits in its queue%s\n",
               e->owner ? " for its turn" : ": nobody works on it (offpeak run)");
    }
}

static const char *source_words(const char *source)
{
    return !strcmp(source, "provider") ? "bought for this job"
           : !strcmp(source, "flight")
               ? "an equal call was under way, and answered it too"
           : !strcmp(source, "cache") ? "the same question was answered before"
                                      : "";
}

static void print_ended(const struct explain *e)
{
    char source[RAW_MAX] = "", time[CLOCK_TIME_TEXT];
    const struct buf *last = e->charges_n ? &e->charges[e->charges_n - 1] : NULL;
    if (last) {
        text(last, "result_source", source);
    }
    printf("  ended: %s", status_name(e->result.status));
    if (e->result.why[0]) {
        printf(" (%s)", e->result.why);
    }
    printf("%s%s\n", source[0] ? ", " : "", source_words(source));
    if (e->has_answer) {
        printf("  the stored answer was paid for by run '%s' at %s\n", e->answer_run,
               clock_time(e->answer_ms, time));
    }
}

static void print_place(const struct explain *e)
{
    char amount[USD_TEXT_MAX];
    switch (e->state) {
    case EXPLAIN_WAITS: print_waits(e); break;
    case EXPLAIN_PLANNED: printf("  let through, and not in a call yet\n"); break;
    case EXPLAIN_BATCHED:
        printf("  in batch %s%s%s\n", e->batch, e->batch_state[0] ? ", which is " : "",
               e->batch_state);
        break;
    case EXPLAIN_ENDED: print_ended(e); break;
    }
    if (e->reserved_now) {
        printf("  $%s are reserved for it\n", usd_format(e->reserved, amount));
    }
}

/* ---- what it cost ---- */

struct token_class {
    const char *words, *cost; /* cost: a member of the record */
    uint64_t tokens;
};

/* The price row: every amount is a whole number of picos a token. */
static void print_class(const struct buf *record, const struct token_class *c)
{
    char amount[RAW_MAX], price[USD_TEXT_MAX] = "-";
    struct usd cost, million;
    bool known = usd_parse(span_str(raw(record, c->cost, amount)), &cost) == 0;
    if (known && c->tokens && !usd_is_zero(cost) &&
        usd_mul(&million, usd_from_pico(usd_pico(cost) / (int64_t)c->tokens),
                PER_MILLION)) {
        usd_format(million, price);
    }
    printf("    %-24s %10" PRIu64 " %14s %18s\n", c->words, c->tokens, price,
           amount[0] ? amount : "unknown");
}

static void print_tokens(const struct buf *r)
{
    uint64_t read = count(r, "cache_read_input_tokens");
    uint64_t write = count(r, "cache_write_input_tokens");
    uint64_t input = count(r, "input_tokens");
    uint64_t output = count(r, "output_tokens");
    const struct token_class classes[] = {
        {"input", "cost_input", input - MIN_OF(input, read + write)},
        {"input read from cache", "cost_cache_read", read},
        {"input written to cache", "cost_cache_write", write},
        {"output", "cost_output", output},
    };
    printf("    %-24s %10s %14s %18s\n", "", "tokens", "USD per 1M", "USD");
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        print_class(r, &classes[i]);
    }
}

static void print_amount(const char *name, const struct buf *record, const char *member)
{
    char amount[RAW_MAX];
    raw(record, member, amount);
    printf("    %-24s %10s %14s %18s\n", name, "", "", amount[0] ? amount : "unknown");
}

static void print_savings(const struct buf *record)
{
    for (int t = 0; t < TACTICS; t++) {
        char member[48], name[48], amount[RAW_MAX];
        snprintf(member, sizeof(member), "saved_%s", tactic_name((enum tactic)t));
        snprintf(name, sizeof(name), "saved by %s", tactic_name((enum tactic)t));
        raw(record, member, amount);
        if (amount[0] && strcmp(amount, "0")) {
            print_amount(name, record, member);
        }
    }
}

static void print_charge(const struct explain *e, unsigned i)
{
    const struct buf *r = &e->charges[i];
    char kind[RAW_MAX], lane[RAW_MAX], book[RAW_MAX], day[RAW_MAX], id[RAW_MAX];
    printf("\n  charge %u: %s, lane %s, price book %s, booked on %s\n", i + 1,
           text(r, "kind", kind), text(r, "lane", lane), text(r, "price_book", book),
           text(r, "period_day", day));
    if (text(r, "provider_batch_id", id)[0]) {
        printf("    batch %s\n", id);
    }
    if (text(r, "provider_request_id", id)[0]) {
        printf("    request %s\n", id);
    }
    if (!strcmp(kind, "in_doubt")) {
        printf("    may have been billed unseen\n");
        print_amount("booked at its bound", r, "in_doubt_usd");
        return;
    }
    print_tokens(r);
    print_amount("cost", r, "cost");
    print_amount("would have cost", r, "baseline_cost");
    print_savings(r);
}

/* ---- for programs ---- */

static const char *state_name(const struct explain *e)
{
    static const char *const names[] = {[EXPLAIN_WAITS] = "waiting",
                                        [EXPLAIN_PLANNED] = "planned",
                                        [EXPLAIN_BATCHED] = "batched"};
    return e->state == EXPLAIN_ENDED ? status_name(e->result.status) : names[e->state];
}

static void print_json(const struct explain *e)
{
    const struct ask *a = &e->ask;
    char hex[HASH_HEX], group[20];
    bool asked = !a->why[0];
    struct usd_sum reserved = {0};
    usd_sum_add(&reserved, e->reserved);
    snprintf(group, sizeof(group), "%016" PRIx64, asked ? a->prompt.chain[0].hash : 0);
    putchar('{');
    json_text("job_id", a->job);
    printf("\"custom_id\":%.*s,", a->id_len ? (int)a->id_len : 4,
           a->id_len ? e->line.p + a->id_at : "null");
    json_text("run", a->head.run);
    json_text("team", e->team);
    json_text("feature", e->feature);
    json_count("line", a->head.line);
    json_count("attempt", MAX_OF(a->head.attempt, 1u));
    json_count("others", e->others);
    json_text("state", state_name(e));
    json_text("why", a->why[0]          ? a->why
                     : e->result.why[0] ? e->result.why
                     : e->has_gate      ? e->gate.why
                                        : NULL);
    json_text("hint", e->has_gate && e->gate.hint[0] ? e->gate.hint : NULL);
    json_text("model", asked ? a->prompt.model : NULL);
    json_text("url", asked ? a->path : NULL);
    json_text("prefix_group", asked ? group : NULL);
    json_count("prefix_links", asked ? a->prompt.chain_len : 0);
    json_text("cache_key", asked && e->has_row ? hash_hex(e->key, hex) : NULL);
    json_text("answer_of_run", e->has_answer ? e->answer_run : NULL);
    json_text("batch", e->batch[0] ? e->batch : NULL);
    json_text("batch_state", e->batch_state[0] ? e->batch_state : NULL);
    json_amount("reserved_usd", reserved);
    printf("\"charges\":[");
    for (unsigned i = 0; i < e->charges_n; i++) {
        printf("%s%.*s", i ? "," : "", (int)e->charges[i].n, e->charges[i].p);
    }
    printf("]}\n");
}

/* ---- the command ---- */

static void print(const struct explain *e)
{
    print_head(e);
    print_place(e);
    for (unsigned i = 0; i < e->charges_n; i++) {
        print_charge(e, i);
    }
}

int cmd_explain(struct cli *c, struct err *err)
{
    const struct options *o = c->opt;
    const struct explain_wanted wanted = {
        .name = o->operands[0], .run = o->run, .team = o->team, .feature = o->feature};
    struct queue *q = NULL;
    _cleanup_(explain_fini) struct explain e = {.charges_n = 0};
    int rc = cli_open_data(c, &q, err);
    if (rc >= 0) {
        rc = explain_find(c, q, &wanted, &e, err);
    }
    if (rc >= 0) {
        progress_clear(&c->notice);
        (o->json ? print_json : print)(&e);
    }
    queue_close(q);
    return rc < 0 ? rc : 0;
}
