/* offpeak audit: does what is stored agree with itself. */
#include "cli/audit.h"
#include "cli/broker.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "core/clock.h"
#include "core/redact.h"

#include <inttypes.h>
#include <stdio.h>

#define LISTED_MAX 1000 /* differences told one by one; all are counted */
#define REDRAW_MS  200
#define NOTE_BYTES 4096

struct audit_cmd {
    struct cli *cli;
    struct clock clock;
    int64_t drawn_ms;
    uint64_t listed, by_part[AUDIT_PARTS];
    struct buf notes, queues; /* for the end, as JSON or as text */
};

static bool is_json(const struct audit_cmd *c)
{
    return c->cli->opt->json;
}

/* ---- while it reads ---- */

static void on_progress(void *ctx, const char *what, uint64_t done, uint64_t all)
{
    struct audit_cmd *c = ctx;
    char text[200];
    int64_t now = clock_mono_ms(&c->clock);
    if (!c->cli->notice.bar || now - c->drawn_ms < REDRAW_MS) {
        return;
    }
    c->drawn_ms = now;
    snprintf(text, sizeof(text), all ? "%s: %" PRIu64 " of %" PRIu64 : "%s: %" PRIu64,
             what, done, all);
    progress_notice(&c->cli->notice, text);
}

static void clear(struct audit_cmd *c)
{
    progress_clear(&c->cli->notice);
}

static void print_safe(const char *before, const char *text)
{
    _cleanup_(buf_fini) struct buf safe;
    buf_init(&safe, REDACT_LINE_MAX);
    redact(&safe, span_str(text));
    printf("%s%s\n", before, safe.p ? safe.p : "");
}

static void on_difference(void *ctx, const struct audit_difference *d)
{
    struct audit_cmd *c = ctx;
    c->by_part[audit_kind_part(d->kind)]++;
    if (c->listed == LISTED_MAX) {
        return;
    }
    clear(c);
    if (is_json(c)) {
        printf("%s{", c->listed ? "," : "");
        json_text("part", audit_part_name(audit_kind_part(d->kind)));
        json_text("kind", audit_kind_name(d->kind));
        json_text("where", d->where);
        json_text("expected", d->expected);
        json_text("found", d->found);
        printf("\"what\":\"%s\"}", audit_kind_sentence(d->kind));
    } else {
        printf("%s: %s\n", audit_kind_name(d->kind), audit_kind_sentence(d->kind));
        print_safe("  ", d->where);
        print_safe("  expected ", d->expected);
        print_safe("  found    ", d->found);
    }
    c->listed++;
}

static void on_note(void *ctx, const char *text)
{
    struct audit_cmd *c = ctx;
    if (is_json(c)) {
        buf_adds(&c->notes, c->notes.n ? "," : "");
        buf_add_json(&c->notes, span_str(text));
    } else {
        buf_addf(&c->notes, "note: %s\n", text);
    }
}

static void on_queue(void *ctx, const char *queue, const struct audit_counts *n)
{
    struct audit_cmd *c = ctx;
    buf_addf(&c->queues,
             is_json(c) ? "%s\"%s\":{\"jobs\":%" PRIu64 ",\"results\":%" PRIu64
                          ",\"waiting\":%" PRIu64 ",\"in_flight\":%" PRIu64 "}"
                        : "%s  %-40s %10" PRIu64 " jobs = %" PRIu64 " results + %" PRIu64
                          " waiting + %" PRIu64 " in flight\n",
             is_json(c) && c->queues.n ? "," : "", queue, n->jobs, n->results, n->waiting,
             n->in_flight);
}

/* ---- at the end ---- */

/* What was audited: a folder up to a commit, perhaps beside its owner; or what a broker had. */
struct extent {
    uint64_t commit;
    bool owner;
    const char *brokers; /* NULL: a folder */
};

static void print_json(const struct audit_cmd *c, const struct audit_counts *n,
                       const struct extent *of)
{
    printf("],");
    json_count("differences_found", n->differences);
    printf("\"by_part\":{");
    for (int p = 0; p < AUDIT_PARTS; p++) {
        printf("%s\"%s\":%" PRIu64, p ? "," : "", audit_part_name((enum audit_part)p),
               c->by_part[p]);
    }
    printf("},\"queues\":{%s},\"notes\":[%s],", c->queues.p ? c->queues.p : "",
           c->notes.p ? c->notes.p : "");
    if (of->brokers) {
        json_text("brokers", of->brokers);
    } else {
        json_count("commit", of->commit);
    }
    json_count("jobs", n->jobs);
    json_count("results", n->results);
    json_count("waiting", n->waiting);
    json_count("in_flight", n->in_flight);
    json_count("repeats", n->repeats);
    json_count("runs", n->runs);
    json_count("spend_records", n->charges);
    json_amount("cost_usd", n->paid);
    json_count("in_doubt", n->in_doubt);
    json_amount("in_doubt_usd", n->in_doubt_usd);
    json_count("ledger_lines", n->ledger_lines);
    json_count("open", n->open_rows);
    json_count("releases", n->releases);
    json_count("limit_checks", n->comparisons);
    json_count("batches", n->batches);
    json_count("members", n->members);
    json_count("invoice_lines", n->bills);
    json_amount("invoice_usd", n->billed);
    json_count("folded", n->folded);
    printf("\"owner\":%s,\"exit\":%d}\n", of->owner ? "true" : "false",
           n->differences ? ERR_PARTIAL : 0);
}

static void print_extent(const struct extent *of)
{
    if (of->brokers) {
        printf("audited what '%s' has", of->brokers);
    } else {
        printf("audited up to commit %" PRIu64 "%s", of->commit,
               of->owner ? ", beside its owner" : "");
    }
}

static void print_text(const struct audit_cmd *c, const struct audit_counts *n,
                       const struct extent *of)
{
    char one[USD_TEXT_MAX], two[USD_TEXT_MAX];
    if (n->differences > c->listed) {
        printf("and %" PRIu64 " differences more\n", n->differences - c->listed);
    }
    if (c->cli->opt->quiet) {
        return;
    }
    fputs(n->differences ? "\n" : "", stdout);
    print_extent(of);
    printf("\n\n%s", c->queues.p ? c->queues.p : "");
    printf("\n  conservation  %" PRIu64 " jobs, %" PRIu64 " runs, %" PRIu64 " repeats\n",
           n->jobs, n->runs, n->repeats);
    printf("  money         %" PRIu64 " spend records, %s paid, %s in doubt; %" PRIu64
           " ledger lines, %" PRIu64 " reservations\n",
           n->charges, usd_show(n->paid, 12, one), usd_show(n->in_doubt_usd, 12, two),
           n->ledger_lines, n->open_rows);
    printf("  limits        %" PRIu64 " releases, %" PRIu64 " comparisons with a limit\n",
           n->releases, n->comparisons);
    printf("  batches       %" PRIu64 " in the journal, %" PRIu64 " calls\n", n->batches,
           n->members);
    if (c->cli->opt->invoice) {
        printf("  invoice       %" PRIu64 " lines, %s billed\n", n->bills,
               usd_show(n->billed, 12, one));
    }
    printf("\n%s", c->notes.p ? c->notes.p : "");
    if (n->differences) {
        printf("%" PRIu64 " difference%s found\n", n->differences,
               PLURAL(n->differences));
    } else {
        puts("nothing found: all of it agrees");
    }
}

static int look(const struct cli *c, struct queue *q, struct extent *ret, struct err *err)
{
    struct queue_cursor *cur = NULL;
    if (cli_on_broker(c)) {
        *ret = (struct extent){.brokers = broker_label(&c->set->broker)};
        return 0;
    }
    _cleanup_(buf_fini) struct buf note;
    buf_init(&note, NOTE_BYTES);
    int owner = queue_owner_read(q, &note, err);
    int rc = owner < 0 ? owner : queue_cursor_open(q, &cur, err);
    if (rc >= 0) {
        rc = queue_last_commit(cur, &ret->commit, err);
    }
    queue_cursor_close(cur);
    ret->owner = owner > 0;
    return rc;
}

static int audit(struct audit_cmd *c, struct queue *q, struct err *err)
{
    struct audit_counts n = {0};
    struct extent of = {0};
    struct audit_conf conf = {.queue = q,
                              .dir = c->cli->data,
                              .invoice = c->cli->opt->invoice,
                              .ctx = c,
                              .on_difference = on_difference,
                              .on_note = on_note,
                              .on_progress = on_progress,
                              .on_queue = on_queue};
    int rc = look(c->cli, q, &of, err);
    if (rc >= 0 && is_json(c)) {
        clear(c);
        printf("{\"differences\":[");
    }
    if (rc >= 0) {
        rc = audit_run(&conf, &n, err);
    }
    clear(c);
    if (rc < 0) {
        return rc;
    }
    (is_json(c) ? print_json : print_text)(c, &n, &of);
    return n.differences ? -ERR_PARTIAL : 0;
}

int cmd_audit(struct cli *c, struct err *err)
{
    struct audit_cmd a = {.cli = c, .clock = clock_real()};
    struct queue *q = NULL;
    buf_init(&a.notes, (size_t)1 << 20);
    buf_init(&a.queues, (size_t)16 << 20);
    int rc = cli_open_data(c, &q, err);
    if (rc >= 0) {
        rc = audit(&a, q, err);
    }
    queue_close(q);
    buf_fini(&a.notes);
    buf_fini(&a.queues);
    return rc;
}
