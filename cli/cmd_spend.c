/* offpeak spend: what was paid, folded by record id and added up exactly. */
#include "cli/cli.h"
#include "cli/groups.h"
#include "cli/runs.h"
#include "cli/seen.h"
#include "core/jtext.h"

#include <stdio.h>

enum group_by { BY_TEAM, BY_FEATURE, BY_MODEL, BYS };
static const char *const by_names[BYS] = {"team", "feature", "model"};

struct bill {
    const struct options *opt;
    struct progress *notice;
    struct queue *queue;
    struct run_found run;
    bool has_run; /* its row is still there */
    uint64_t from;
    uint64_t jobs; /* accepted */
    struct totals all;
    struct groups by[BYS];
};

/* ---- which records ---- */

static struct run_wanted wanted_run(const struct options *o)
{
    return (struct run_wanted){.team = o->team, .feature = o->feature, .run = o->run};
}

/* Spend outlives the row of its run: that there is none says nothing yet. */
static int find_run(struct bill *b, struct err *err)
{
    struct run_wanted wanted = wanted_run(b->opt);
    int rc = run_find(b->queue, &wanted, &b->run, err);
    if (rc > 1) {
        return run_need(b->queue, "spend", &wanted, &b->run, err);
    }
    if (rc == 1) {
        b->has_run = true;
        b->from = b->run.row.spend_from;
        b->jobs = run_jobs(&b->run.row);
    }
    return rc < 0 ? rc : 0;
}

static bool is_of(const struct options *o, const char *team, const char *feature)
{
    return (!o->team || !strcmp(team, o->team)) &&
           (!o->feature || !strcmp(feature, o->feature));
}

/* Offsets of a jobs topic count every job it ever held. */
static int count_queue(struct bill *b, struct queue_cursor *cur, const char *topic,
                       struct err *err)
{
    uint32_t partitions = 0;
    int rc = queue_partitions(b->queue, topic, &partitions, err);
    for (uint32_t p = 0; p < partitions && rc >= 0; p++) {
        uint64_t first, end = 0;
        rc = queue_bounds(cur, topic, p, &first, &end, err);
        b->jobs += end;
    }
    return rc < 0 ? rc : 0;
}

static int count_jobs(struct bill *b, struct queue_cursor *cur, struct err *err)
{
    char after[QUEUE_NAME_MAX] = "", topic[QUEUE_NAME_MAX];
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    int rc;
    while ((rc = queue_topics(cur, PREFIX_JOBS, after, topic, err)) > 0) {
        memcpy(after, topic, sizeof(after));
        if (topic_jobs_parse(topic, team, feature) == 0 && is_of(b->opt, team, feature) &&
            (rc = count_queue(b, cur, topic, err)) < 0) {
            break;
        }
    }
    return rc;
}

static bool wanted(const struct bill *b, const struct spend_head *h)
{
    const struct options *o = b->opt;
    if (o->in_doubt && h->kind != SPEND_IN_DOUBT) {
        return false;
    }
    if (o->run && strcmp(h->run, o->run)) {
        return false;
    }
    return is_of(o, h->team, h->feature);
}

/* ---- adding up ---- */

static int add_groups(struct bill *b, const struct spend_line *l)
{
    char feature[TEAM_MAX + FEATURE_MAX + 2];
    snprintf(feature, sizeof(feature), "%s/%s", l->head.team, l->head.feature);
    const char *model = l->head.model[0] ? l->head.model : "(none)";
    return groups_add(&b->by[BY_TEAM], l->head.team, l) < 0 ||
                   groups_add(&b->by[BY_FEATURE], feature, l) < 0 ||
                   groups_add(&b->by[BY_MODEL], model, l) < 0
               ? -1
               : 0;
}

/* ---- records one by one ---- */

static void print_record(struct span record, const char *end)
{
    fwrite(record.p, 1, record.n, stdout);
    fputs(end, stdout);
}

/* A member as it stands in the record; a text without its quotes, absent or null as `none`. */
static void print_member(struct span record, const char *name, const char *none)
{
    struct span value;
    if (!jtext_get(record, name, &value) || jtext_type(value) == JTEXT_NULL) {
        fputs(none, stdout);
        return;
    }
    bool text = jtext_type(value) == JTEXT_STRING;
    fwrite(value.p + text, 1, value.n - 2 * (size_t)text, stdout);
}

/* "TIME  JOB  CUSTOM_ID  run RUN  at most $X  what happened (made again)" */
static void print_doubt(const struct bill *b, const struct spend_line *l,
                        struct span record)
{
    char most[USD_TEXT_MAX];
    struct usd_sum bound = {0};
    if (b->opt->json) {
        fputs(b->all.in_doubt ? "," : "", stdout);
        print_record(record, "");
        return;
    }
    usd_sum_add(&bound, l->head.cost);
    print_member(record, "event_time", "-");
    printf("  %s  ", l->head.job);
    print_member(record, "custom_id", "-");
    printf("  run %s  at most %s  ", l->head.run[0] ? l->head.run : "-",
           usd_show(bound, 12, most));
    print_member(record, "why", "the provider did not say what it cost");
    puts(l->head.final ? "" : " (made again)");
}

static int take(struct bill *b, const struct queue_msg *msg, struct seen *seen,
                struct err *err)
{
    struct spend_line line;
    int rc = spend_line_read(msg, &line, err);
    if (rc < 0 || !wanted(b, &line.head)) {
        return rc;
    }
    rc = spend_line_fold(&line, seen, err);
    if (rc <= 0) {
        return rc;
    }
    if (b->opt->records) {
        progress_clear(b->notice);
        print_record(msg->value, "\n");
        return 0;
    }
    if (b->opt->in_doubt) {
        progress_clear(b->notice);
        print_doubt(b, &line, msg->value);
    }
    totals_add(&b->all, &line);
    return add_groups(b, &line) < 0
               ? err_set(err, ERR_FAIL, "could not add up spend: no memory")
               : 0;
}

static int read_all(struct bill *b, struct queue_cursor *cur, struct err *err)
{
    struct queue_msg msg;
    struct seen *seen = seen_create();
    int rc = seen ? queue_read_topic(cur, TOPIC_SPEND, 0, b->from) : -ERR_FAIL;
    if (!seen) {
        return err_set(err, ERR_FAIL, "could not add up spend: no memory");
    }
    while (rc >= 0 && (rc = queue_read(cur, &msg, err)) > 0) {
        rc = take(b, &msg, seen, err);
    }
    seen_destroy(seen);
    return rc;
}

static int make_bill(struct bill *b, struct err *err)
{
    struct queue_cursor *cur = NULL;
    int rc = b->opt->run ? find_run(b, err) : 0;
    if (rc >= 0) {
        rc = queue_cursor_open(b->queue, &cur, err);
    }
    if (rc >= 0 && !b->opt->run) {
        rc = count_jobs(b, cur, err);
    }
    if (rc >= 0) {
        rc = read_all(b, cur, err);
    }
    queue_cursor_close(cur);
    if (rc >= 0 && b->opt->run && !b->has_run) {
        b->jobs = b->all.jobs;
        if (!b->jobs && !b->opt->records && !b->opt->in_doubt) {
            struct run_wanted wanted = wanted_run(b->opt);
            rc = run_need(b->queue, "spend", &wanted, &b->run, err);
        }
    }
    return rc;
}

/* ---- JSON ---- */

static void print_amount(const char *before, const char *name, struct usd_sum amount)
{
    char text[USD_TEXT_MAX];
    printf("%s\"%s\":%s", before, name, usd_sum_format(amount, text));
}

static void print_saved(const struct totals *t)
{
    printf(",\"saved\":{");
    for (int i = 0; i < TACTICS; i++) {
        print_amount(i ? "," : "", tactic_name(i), t->saved[i]);
    }
    putchar('}');
}

static void print_group(const struct groups *g)
{
    putchar('{');
    for (unsigned i = 0; i < g->n; i++) {
        const struct group *one = &g->list[i];
        _cleanup_(buf_fini) struct buf name;
        buf_init(&name, (size_t)6 * GROUP_NAME_MAX + 2);
        buf_add_json(&name, span_str(one->name));
        printf("%s%s:{\"jobs\":%llu,\"calls\":%llu", i ? "," : "",
               name.p ? name.p : "\"\"", (unsigned long long)one->totals.jobs,
               (unsigned long long)one->totals.calls);
        print_amount(",", "cost_usd", one->totals.cost);
        print_amount(",", "baseline_usd", one->totals.baseline);
        putchar('}');
    }
    putchar('}');
}

static void print_json(const struct bill *b)
{
    const struct totals *t = &b->all;
    printf("{\"jobs\":%llu,\"calls\":%llu,\"results\":%llu", (unsigned long long)b->jobs,
           (unsigned long long)t->calls, (unsigned long long)t->jobs);
    print_amount(",", "cost_usd", t->cost);
    print_amount(",", "baseline_usd", t->baseline);
    print_saved(t);
    printf(",\"in_doubt\":%llu", (unsigned long long)t->in_doubt);
    print_amount(",", "in_doubt_usd", t->in_doubt_usd);
    printf(",\"unknown\":%llu,\"by\":{", (unsigned long long)t->unknown);
    for (int i = 0; i < BYS; i++) {
        printf("%s\"%s\":", i ? "," : "", by_names[i]);
        print_group(&b->by[i]);
    }
    puts("}}");
}

/* ---- a table for people ---- */

static void print_line(const char *name, struct usd_sum amount)
{
    char text[USD_TEXT_MAX];
    printf("  %-22s %18s\n", name, usd_show(amount, 12, text));
}

static void print_table(const struct bill *b)
{
    const struct totals *t = &b->all;
    char cost[USD_TEXT_MAX], baseline[USD_TEXT_MAX];
    printf("%llu jobs, %llu results, %llu calls bought\n\n", (unsigned long long)b->jobs,
           (unsigned long long)t->jobs, (unsigned long long)t->calls);
    print_line("would have cost", t->baseline);
    print_line("paid", t->cost);
    print_line("saved", totals_saved(t));
    for (int i = 0; i < TACTICS; i++) {
        char name[32];
        snprintf(name, sizeof(name), "  %s", tactic_name(i));
        print_line(name, t->saved[i]);
    }
    if (t->in_doubt) {
        printf(
            "\n  %llu calls may have been billed unseen: at most %s (offpeak spend --in-doubt)\n",
            (unsigned long long)t->in_doubt, usd_show(t->in_doubt_usd, 12, cost));
    }
    if (t->unknown) {
        printf("\n  the cost of %llu records is unknown and in no sum\n",
               (unsigned long long)t->unknown);
    }
    for (int i = 0; i < BYS; i++) {
        printf("\n  %-30s %8s %8s %14s %14s\n", by_names[i], "jobs", "calls", "paid",
               "instead of");
        for (unsigned k = 0; k < b->by[i].n; k++) {
            const struct group *g = &b->by[i].list[k];
            printf("  %-30s %8llu %8llu %14s %14s\n", g->name,
                   (unsigned long long)g->totals.jobs,
                   (unsigned long long)g->totals.calls, usd_show(g->totals.cost, 6, cost),
                   usd_show(g->totals.baseline, 6, baseline));
        }
    }
}

static void print_end(const struct bill *b)
{
    progress_clear(b->notice);
    if (b->opt->records || (b->opt->in_doubt && !b->opt->json)) {
        return;
    }
    if (b->opt->in_doubt) {
        printf("],\"in_doubt\":%llu", (unsigned long long)b->all.in_doubt);
        print_amount(",", "in_doubt_usd", b->all.in_doubt_usd);
        puts("}");
    } else if (b->opt->json) {
        print_json(b);
    } else {
        print_table(b);
    }
}

int cmd_spend(struct cli *c, struct err *err)
{
    struct bill b = {.opt = c->opt, .notice = &c->notice};
    int rc = cli_open_data(c, &b.queue, err);
    if (rc >= 0 && b.opt->in_doubt && b.opt->json && !b.opt->records) {
        progress_clear(b.notice);
        printf("{\"records\":[");
    }
    if (rc >= 0) {
        rc = make_bill(&b, err);
    }
    for (int i = 0; i < BYS; i++) {
        groups_sort(&b.by[i]);
    }
    if (rc >= 0) {
        print_end(&b);
    }
    for (int i = 0; i < BYS; i++) {
        groups_fini(&b.by[i]);
    }
    queue_close(b.queue);
    return rc;
}
