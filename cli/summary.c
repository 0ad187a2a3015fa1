#include "cli/summary.h"

#include "cli/json.h"
#include "cli/runs.h"

#include <inttypes.h>
#include <stdio.h>

#define SET_OUTPUT_LIMIT "set max_completion_tokens, for /v1/responses max_output_tokens"

/* ---- exit code ---- */

static int by_status(const struct follow_status *s, struct err *err)
{
    uint64_t ok = s->by_status[STATUS_OK];
    uint64_t rejected = s->by_status[STATUS_REJECTED];
    if (s->max_cost) {
        err_set(err, ERR_GATE,
                "%" PRIu64 " of %" PRIu64 " jobs were cancelled: no room left in "
                "--max-cost",
                s->max_cost, s->results);
        err_hint(
            err,
            "start a new run with --run NEW and a higher --max-cost; what is answered "
            "is not bought again");
        return -ERR_GATE;
    }
    if (rejected) {
        err_set(err, ERR_INPUT, "%" PRIu64 " of %" PRIu64 " jobs were rejected", rejected,
                s->results);
        err_hint(err,
                 "their results say why; repair those lines and give them as a new run");
        return -ERR_INPUT;
    }
    if (s->by_status[STATUS_CANCELLED]) {
        err_set(err, ERR_PARTIAL,
                "%" PRIu64 " of %" PRIu64 " jobs were cancelled (offpeak cancel)",
                s->by_status[STATUS_CANCELLED], s->results);
        err_hint(err, "start another run with --run NEW; what is answered is not bought "
                      "again");
        return -ERR_PARTIAL;
    }
    if (ok < s->results) {
        err_set(err, ERR_PARTIAL, "%" PRIu64 " of %" PRIu64 " jobs failed",
                s->results - ok, s->results);
        err_hint(err,
                 "their results say why; offpeak retry --failed --run ID asks only them "
                 "again");
        return -ERR_PARTIAL;
    }
    return 0;
}

static const char *left_why(enum lane lane)
{
    switch (lane) {
    case LANE_BATCH:
    case LANE_SYNC: return "no API key was given (OPENAI_API_KEY or --key-file)";
    case LANE_POOL: return "no servers were given (pool.servers and pool.price)";
    }
    return "";
}

/* A run without a file is there to work off what waits: did anything of it stay? */
static int by_left(const struct cli *c, const struct session_end *end, struct err *err)
{
    for (unsigned lane = 0; lane < LANES && !c->opt->operands_n; lane++) {
        if (end->left[lane]) {
            return err_set(err, ERR_GATE, "%" PRIu32 " jobs of lane '%s' wait: %s",
                           end->left[lane], lane_name((enum lane)lane),
                           left_why((enum lane)lane));
        }
    }
    return by_status(&end->status, err);
}

static int at_gate(const struct cli *c, const struct session_end *end, struct err *err)
{
    const struct gate *g = &end->gate;
    char opens[CLOCK_TIME_TEXT];
    if (g->opens_wall_ms) {
        err_set(err, ERR_GATE, "the rest waits: %s; it opens at %s", g->why,
                clock_time(g->opens_wall_ms, opens));
    } else {
        err_set(err, ERR_GATE, "the rest waits: %s", g->why);
    }
    _cleanup_(buf_fini) struct buf where;
    buf_init(&where, CLI_PATH_MAX);
    cli_where(c, &where);
    err_hint(err, "%s%s, then give the same command again (--wait stays until then)",
             g->hint, where.n ? where.p : "");
    return -ERR_GATE;
}

int summary_judge(const struct cli *c, const struct session_end *end, struct err *err)
{
    switch (end->over) {
    case SESSION_FAILED:
    case SESSION_ACCOUNT: *err = end->err; return -(int)end->err.code;
    case SESSION_GATE: return at_gate(c, end, err);
    case SESSION_DONE: return by_left(c, end, err);
    case SESSION_SIGNAL: return -(128 + end->signal);
    }
    return -ERR_FAIL;
}

/* ---- for people ---- */

static void print_time(int64_t ms)
{
    if (ms < 60000) {
        fprintf(stderr, "%.1f s", (double)ms / 1000);
    } else {
        fprintf(stderr, "%" PRId64 " min %" PRId64 " s", ms / 60000, ms / 1000 % 60);
    }
}

static void print_amount(const char *name, struct usd_sum amount)
{
    char text[USD_TEXT_MAX];
    fprintf(stderr, "  %-17s %16s\n", name, usd_show(amount, 12, text));
}

static void print_jobs(const struct follow_status *s)
{
    const struct totals *m = &s->money;
    uint64_t answered = s->by_status[STATUS_OK], reused = m->joined + m->hits;
    fprintf(stderr, "  %" PRIu64 " answered", answered);
    if (!s->no_money) {
        fprintf(stderr,
                ": %" PRIu64 " bought, %" PRIu64 " joined an equal call, %" PRIu64
                " from stored answers",
                answered - MIN_OF(reused, answered), m->joined, m->hits);
    }
    fputc('\n', stderr);
    if (s->results > s->by_status[STATUS_OK]) {
        fprintf(stderr,
                "  %" PRIu64 " failed, %" PRIu64 " rejected, %" PRIu64 " cancelled\n",
                s->by_status[STATUS_FAILED], s->by_status[STATUS_REJECTED],
                s->by_status[STATUS_CANCELLED]);
    }
    if (s->unlimited) {
        fprintf(stderr,
                "  %" PRIu64 " of them state%s no output limit: the model's maximum was "
                "reserved for each; " SET_OUTPUT_LIMIT "\n",
                s->unlimited, s->unlimited == 1 ? "s" : "");
    }
}

static void print_money(const struct totals *m)
{
    print_amount("would have cost", m->baseline);
    print_amount("paid", m->cost);
    print_amount("saved", totals_saved(m));
    for (int i = 0; i < TACTICS; i++) {
        static const struct usd_sum none = {0};
        if (usd_sum_cmp(m->saved[i], none)) {
            char name[32];
            snprintf(name, sizeof(name), "  %s", tactic_name(i));
            print_amount(name, m->saved[i]);
        }
    }
    if (m->in_doubt) {
        char most[USD_TEXT_MAX];
        fprintf(stderr,
                "  %" PRIu64 " call%s may have been billed unseen, at most %s: offpeak "
                "spend --in-doubt\n",
                m->in_doubt, PLURAL(m->in_doubt), usd_show(m->in_doubt_usd, 12, most));
    }
    if (m->unknown) {
        fprintf(stderr, "  the cost of %" PRIu64 " job%s is unknown and in no sum\n",
                m->unknown, PLURAL(m->unknown));
    }
}

/* The end of a command to copy. */
static void print_where(const struct summary *s)
{
    _cleanup_(buf_fini) struct buf where;
    buf_init(&where, CLI_PATH_MAX);
    cli_where(s->cli, &where);
    fprintf(stderr, "%s\n", where.n ? where.p : "");
}

/* Jobs that were let through for a lane this process makes no calls in. */
static void print_left(const struct session_end *end)
{
    for (unsigned lane = 0; lane < LANES; lane++) {
        if (end->left[lane]) {
            fprintf(stderr, "  %" PRIu32 " jobs of lane '%s' wait: %s\n", end->left[lane],
                    lane_name((enum lane)lane), left_why((enum lane)lane));
        }
    }
}

static void print_next(const struct summary *s)
{
    if (s->out && strcmp(s->out, "-")) {
        fprintf(stderr, "results: %s\n", s->out);
        if (s->errors) {
            fprintf(stderr, "errors:  %s\n", s->errors);
        }
    } else if (s->file && !s->out) {
        fprintf(stderr, "results: offpeak results --run %s -o FILE", s->file->run);
        print_where(s);
    }
    if (s->was_finished) {
        fprintf(stderr,
                "hint: this run was complete already; --run NEW starts another\n");
    }
    if (!s->end->status.no_money) {
        fprintf(stderr, "spend:   offpeak spend%s%s", s->file ? " --run " : "",
                s->file ? s->file->run : "");
        print_where(s);
    }
}

void summary_print(const struct summary *s)
{
    const struct follow_status *status = &s->end->status;
    if (s->file) {
        uint64_t jobs = run_jobs(&s->end->row);
        fprintf(stderr, "run '%s': %" PRIu64 " of %" PRIu64 " jobs done in ",
                s->file->run, status->results, jobs);
    } else {
        fprintf(stderr, "%" PRIu64 " jobs done in ", status->results);
    }
    print_time(s->elapsed_ms);
    fputc('\n', stderr);
    print_jobs(status);
    if (status->no_money) {
        fprintf(stderr, "  what it cost is not for this user to see (topic 'spend')\n");
    } else if (s->file) {
        print_money(&status->money);
    }
    print_left(s->end);
    print_next(s);
}

/* ---- for programs ---- */

static void json_money(const struct totals *m)
{
    char text[USD_TEXT_MAX];
    json_count("calls", m->calls);
    json_count("joined", m->joined);
    json_count("hits", m->hits);
    json_amount("cost_usd", m->cost);
    json_amount("baseline_usd", m->baseline);
    printf("\"saved\":{");
    for (int i = 0; i < TACTICS; i++) {
        printf("%s\"%s\":%s", i ? "," : "", tactic_name(i),
               usd_sum_format(m->saved[i], text));
    }
    printf("},");
    json_count("in_doubt", m->in_doubt);
    json_amount("in_doubt_usd", m->in_doubt_usd);
}

/* Unknown is null, and not nothing. */
static void json_no_money(void)
{
    static const char *const members[] = {"calls",    "joined",       "hits",
                                          "cost_usd", "baseline_usd", "saved",
                                          "in_doubt", "in_doubt_usd"};
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        json_text(members[i], NULL);
    }
}

void summary_print_json(const struct summary *s, int exit_code)
{
    static const char *const overs[] = {
        [SESSION_DONE] = "done",       [SESSION_GATE] = "gate",
        [SESSION_ACCOUNT] = "account", [SESSION_SIGNAL] = "signal",
        [SESSION_FAILED] = "failed",
    };
    const struct follow_status *st = &s->end->status;
    putchar('{');
    json_text("run", s->file ? s->file->run : NULL);
    json_text("team", cli_team(s->cli));
    json_text("feature", cli_feature(s->cli));
    json_text("lane", s->file ? lane_name(s->end->row.lane) : NULL);
    json_text("over", overs[s->end->over]);
    json_count("jobs", s->file ? run_jobs(&s->end->row) : st->results);
    json_count("results", st->results);
    for (int i = STATUS_OK; i <= STATUS_REJECTED; i++) {
        json_count(status_name((enum status)i), st->by_status[i]);
    }
    if (st->no_money) {
        json_no_money();
    } else {
        json_money(&st->money);
    }
    json_count("without_output_limit", st->unlimited);
    json_text("out", s->out);
    json_text("errors", s->errors);
    json_text("gate", s->end->over == SESSION_GATE ? s->end->gate.why : NULL);
    printf("\"elapsed_ms\":%" PRId64 ",\"exit\":%d}\n", s->elapsed_ms, exit_code);
}

/* ---- a dry run ---- */

static bool is_pool(const struct dryrun_conf *c)
{
    return c->row->lane == LANE_POOL;
}

/* Whatever is asked for: NULL when there is none. */
static const char *key_origin(const struct dryrun_conf *c)
{
    const struct secret *key = is_pool(c) ? c->endpoint->pool.key : c->endpoint->key;
    return key ? secret_origin(key) : NULL;
}

static const struct price_book *prices_of(const struct dryrun_conf *c)
{
    return is_pool(c) ? c->endpoint->pool.prices : c->endpoint->prices;
}

static void print_terms(const struct dryrun_conf *c)
{
    const char *key = key_origin(c);
    const char *none = is_pool(c) ? "none" : "none: set OPENAI_API_KEY or use --key-file";
    printf("  endpoint        %s\n",
           is_pool(c) ? c->endpoint->pool.label : c->endpoint->base_url);
    printf("  key             %s\n", cli_on_broker(c->cli) ? "the workers' own"
                                     : key                 ? key
                                                           : none);
    printf("  price book      %s\n", price_book_version(prices_of(c)));
}

void summary_print_dryrun(const struct dryrun_conf *c, const struct dryrun *d)
{
    char low[USD_TEXT_MAX], high[USD_TEXT_MAX];
    struct usd_sum most = {0};
    printf("dry run of '%s' as run '%s': nothing was sent\n", c->file->label,
           c->file->run);
    printf("  jobs            %" PRIu64 "\n", d->jobs);
    printf("  refused         %" PRIu64 "\n", d->refused);
    printf("  equal           %" PRIu64 " would share another one's call\n", d->equal);
    if (cli_on_broker(c->cli)) {
        printf("  stored answers  not looked at: the workers have them\n");
    } else {
        printf("  stored answers  %" PRIu64 " would be reused\n", d->hits);
    }
    printf("  calls to buy    %" PRIu64 "\n", d->distinct);
    printf("  lowest cost     %s (no output, %d bytes of prompt a token)\n",
           usd_show(d->lowest, 6, low), DRYRUN_BYTES_PER_TOKEN);
    printf("  highest cost    %s (no bill can be higher%s)\n",
           usd_show(d->highest, 6, high),
           lane_tries(c->row->lane) > 1 && usd_sum_cmp(d->highest, most)
               ? ", should every call be billed twice"
               : "");
    if (d->unlimited) {
        printf(
            "  %" PRIu64
            " call%s state%s no output limit: the highest cost takes the model's; " SET_OUTPUT_LIMIT
            "\n",
            d->unlimited, PLURAL(d->unlimited), d->unlimited == 1 ? "s" : "");
    }
    print_terms(c);
    if (c->row->has_max_cost) {
        usd_sum_add(&most, c->row->max_cost);
        printf("  --max-cost      %s: %s\n", usd_show(most, 6, low),
               usd_sum_cmp(d->highest, most) > 0
                   ? "jobs that no longer fit will be cancelled"
                   : "everything fits");
    }
}

void summary_print_dryrun_json(const struct dryrun_conf *c, const struct dryrun *d)
{
    putchar('{');
    json_text("run", c->file->run);
    json_count("jobs", d->jobs);
    json_count("refused", d->refused);
    json_count("equal", d->equal);
    if (cli_on_broker(c->cli)) {
        json_text("hits", NULL);
    } else {
        json_count("hits", d->hits);
    }
    json_count("distinct_calls", d->distinct);
    json_count("without_output_limit", d->unlimited);
    json_amount("lowest_usd", d->lowest);
    json_amount("highest_usd", d->highest);
    json_text("lane", lane_name(c->row->lane));
    json_text("endpoint",
              is_pool(c) ? c->endpoint->pool.endpoint : c->endpoint->base_url);
    json_text("key", key_origin(c));
    json_text("price_book", price_book_version(prices_of(c)));
    printf("\"dry_run\":true}\n");
}
