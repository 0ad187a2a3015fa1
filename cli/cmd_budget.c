/* offpeak budget: limits are numbered edits; the newest of a scope is in force. */
#include "cli/cli.h"
#include "cli/limits.h"
#include "cli/who.h"
#include "core/clock.h"
#include "core/name.h"
#include "core/record.h"
#include "scheduler/budget_default.h"

#include <stdio.h>

#define EDIT_TRIES    5
#define ROW_BYTES_MAX ((size_t)4 << 10)
#define WAITING_MAX   ((size_t)1 << 20)

/* ---- the rows ---- */

static void sign(struct budget_edit *edit, const char *why)
{
    struct clock clock = clock_real();
    edit->time_ms = clock_wall_ms(&clock);
    snprintf(edit->why, sizeof(edit->why), "%s", why ? why : "");
    who_am_i(edit->who, sizeof(edit->who));
}

static int put_edit(struct queue *q, const struct budget_edit *edit, struct err *err)
{
    char key[QUEUE_KEY_MAX];
    _cleanup_(buf_fini) struct buf json;
    struct queue_tx *tx = NULL;
    uint64_t commit;
    buf_init(&json, ROW_BYTES_MAX);
    budget_key(edit->scope, edit->edit, key);
    if (budget_edit_encode(edit, &json) < 0 || queue_begin(q, &tx) < 0) {
        return err_set(err, ERR_FAIL, "could not change the budget of '%s': no memory",
                       edit->scope);
    }
    int rc = queue_table_put(tx, TABLE_BUDGETS, 0, span_str(key), buf_span(&json), err);
    if (rc < 0) {
        queue_tx_drop(tx);
        return rc;
    }
    return queue_commit_wait(tx, &commit, err);
}

/* ---- set, pause, resume ---- */

typedef int (*change_fn)(const struct options *o, struct budget_edit *edit,
                         struct err *err);

static int change_limit(const struct options *o, struct budget_edit *edit,
                        struct err *err)
{
    struct {
        const char *per;
        bool *has;
        struct usd *limit;
    } periods[] = {
        {"day", &edit->has_day, &edit->day},
        {"month", &edit->has_month, &edit->month},
        {"total", &edit->has_total, &edit->total},
    };
    if (!o->limit.given || !o->per) {
        err_set(err, ERR_USAGE, "could not set a budget: it needs --limit and --per");
        err_hint(err, "offpeak budget set %s --limit 25 --per day", o->operands[1]);
        return -ERR_USAGE;
    }
    for (size_t i = 0; i < ARRAY_LEN(periods); i++) {
        if (!strcmp(o->per, periods[i].per)) {
            *periods[i].has = true;
            *periods[i].limit = o->limit.value;
            return 0;
        }
    }
    return err_set(err, ERR_USAGE,
                   "could not use --per '%s': it is not day, month or total", o->per);
}

static int change_pause(const struct options *o, struct budget_edit *edit,
                        struct err *err)
{
    (void)o;
    (void)err;
    edit->paused = true;
    return 0;
}

static int change_resume(const struct options *o, struct budget_edit *edit,
                         struct err *err)
{
    (void)o;
    (void)err;
    edit->paused = false;
    return 0;
}

static bool same_edit(const struct budget_edit *a, const struct budget_edit *b)
{
    return a->edit == b->edit && a->time_ms == b->time_ms && !strcmp(a->who, b->who) &&
           !strcmp(a->why, b->why);
}

/* Two people may edit at once: whose row stands under the number afterwards has won it. */
static int edit_scope(struct queue *q, const struct options *o, change_fn change,
                      struct err *err)
{
    const char *scope = o->operands[1];
    struct queue_cursor *cur = NULL;
    int rc = queue_cursor_open(q, &cur, err);
    bool won = false;
    for (int i = 0; rc >= 0 && !won && i < EDIT_TRIES; i++) {
        struct budget_edit edit = {0}, stands = {0};
        rc = limits_last(cur, scope, &edit, err);
        if (rc >= 0) {
            snprintf(edit.scope, sizeof(edit.scope), "%s", scope);
            edit.edit++;
            sign(&edit, o->why);
            rc = change(o, &edit, err);
        }
        if (rc >= 0) {
            rc = put_edit(q, &edit, err);
        }
        if (rc >= 0) {
            rc = limits_last(cur, scope, &stands, err);
            won = stands.edit > edit.edit || same_edit(&stands, &edit);
        }
    }
    queue_cursor_close(cur);
    return rc < 0 ? rc : 0;
}

/* ---- show ---- */

struct spent {
    struct usd_sum spent, reserved;
};

/* What is reserved on a scope now: every open row counts on its team and on its feature. */
static int read_reserved(struct queue_cursor *cur, const char *scope, struct usd_sum *ret,
                         struct err *err)
{
    struct queue_msg msg;
    int rc = queue_read_table(cur, TABLE_OPEN, 0, SPAN_NONE);
    while (rc >= 0 && (rc = queue_read(cur, &msg, err)) > 0) {
        struct open_row row;
        char feature[TEAM_MAX + FEATURE_MAX + 2];
        rc = open_row_decode(msg.value, &row, err);
        if (rc < 0) {
            break;
        }
        snprintf(feature, sizeof(feature), "%s/%s", row.team, row.feature);
        if (!strcmp(scope, row.team) || !strcmp(scope, feature)) {
            usd_sum_add(ret, row.reserved);
        }
    }
    return rc;
}

struct showing {
    const struct cli *cli;
    const struct options *opt;
    struct progress *notice;
    struct budget_default deflt; /* as this command was given it */
    unsigned scopes, lines, queues;
    struct buf
        waiting; /* queues without a limit that need one: lines, or items of an array */
};

struct shown {
    const char *period, *which;
    bool limited, by_default;
    struct usd limit;
};

static void show_line(struct showing *show, const struct budget_edit *e,
                      const struct shown *line, const struct spent *s)
{
    char limit[USD_TEXT_MAX] = "null", spent[USD_TEXT_MAX], reserved[USD_TEXT_MAX];
    struct usd_sum most = {0};
    usd_sum_add(&most, line->limit);
    progress_clear(show->notice);
    if (show->opt->json) {
        fputs(show->lines++ ? "," : "", stdout);
        if (line->limited) {
            usd_format(line->limit, limit);
        }
        printf("{\"scope\":\"%s\",\"per\":\"%s\",\"period\":\"%s\",\"limit_usd\":%s,"
               "\"spent_usd\":%s,\"reserved_usd\":%s,\"paused\":%s,\"edit\":%llu,"
               "\"default\":%s}",
               e->scope, line->period, line->which, limit,
               usd_sum_format(s->spent, spent), usd_sum_format(s->reserved, reserved),
               e->paused ? "true" : "false", (unsigned long long)e->edit,
               line->by_default ? "true" : "false");
        return;
    }
    printf("%-24s %-6s %-11s %14s of %-14s %s reserved%s%s\n", e->scope, line->period,
           line->which, usd_show(s->spent, 6, spent),
           line->limited ? usd_show(most, 6, limit) : "no limit",
           usd_show(s->reserved, 6, reserved), e->paused ? ", paused" : "",
           line->by_default ? ", by default" : "");
}

static int show_scope(struct queue_cursor *cur, struct showing *show,
                      const struct budget_edit *e, struct err *err)
{
    char day[CLOCK_DAY_TEXT], month[CLOCK_DAY_TEXT], key[QUEUE_KEY_MAX];
    struct clock clock = clock_real();
    clock_day(clock_wall_ms(&clock), day);
    snprintf(month, sizeof(month), "%.7s", day);
    const struct budget_edit *by = budget_default_for(&show->deflt, e->scope, e);
    bool dflt = by != e;
    struct shown lines[] = {
        {"day", day, by->has_day, dflt && by->has_day, by->day},
        {"month", month, by->has_month, dflt && by->has_month, by->month},
        {"total", "", by->has_total, dflt && by->has_total, by->total},
    };
    struct spent s = {0};
    show->scopes++;
    int rc = read_reserved(cur, e->scope, &s.reserved, err);
    for (size_t i = 0; rc >= 0 && i < ARRAY_LEN(lines); i++) {
        s.spent = (struct usd_sum){0};
        snprintf(key, sizeof(key), "%s|%s|%s", e->scope, lines[i].period, lines[i].which);
        rc = limits_spent(cur, key, &s.spent, err);
        if (rc >= 0) {
            show_line(show, e, &lines[i], &s);
        }
    }
    return rc < 0 ? rc : 0;
}

/* ---- queues that no edit speaks of ---- */

static bool asked_for(const struct showing *show, const char *team, const char *queue)
{
    const char *scope = show->opt->operands_n > 1 ? show->opt->operands[1] : NULL;
    return !scope || !strcmp(scope, team) || !strcmp(scope, queue);
}

static void add_waiting(struct showing *show, const char *team, const char *queue)
{
    struct buf *to = &show->waiting;
    if (show->opt->json) {
        buf_addf(to, "%s\"%s\"", show->queues++ ? "," : "", queue);
        return;
    }
    show->queues++;
    buf_addf(
        to,
        "%-24s no limit is set: it waits, unless the scheduler has a budget.default; "
        "offpeak budget set %s --limit USD --per day",
        queue, team);
    broker_words(&show->cli->set->broker, false, to);
    buf_addc(to, '\n');
}

/* `last`: the team of the queue before this one, in the order of names. */
static int show_queue(struct queue_cursor *cur, struct showing *show, const char *topic,
                      char last[static TEAM_MAX + 1], struct err *err)
{
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1],
        queue[sizeof(team) + sizeof(feature)];
    struct budget_edit of_team = {0}, of_feature = {0};
    if (topic_jobs_parse(topic, team, feature) < 0) {
        return 0;
    }
    snprintf(queue, sizeof(queue), "%s/%s", team, feature);
    int known = limits_last(cur, team, &of_team, err);
    int rc = known < 0 ? known : limits_last(cur, queue, &of_feature, err);
    bool first = strcmp(last, team) != 0;
    snprintf(last, TEAM_MAX + 1, "%s", team);
    if (rc < 0 || !asked_for(show, team, queue)) {
        return rc;
    }
    if (first && !known && show->opt->operands_n == 1 &&
        budget_edit_limits(&show->deflt.edit)) {
        snprintf(of_team.scope, sizeof(of_team.scope), "%s", team);
        return show_scope(cur, show, &of_team, err);
    }
    if (cli_on_broker(show->cli) && !show->deflt.given && !budget_edit_limits(&of_team) &&
        !budget_edit_limits(&of_feature)) {
        add_waiting(show, team, queue);
    }
    return 0;
}

static int show_queues(struct queue_cursor *cur, struct showing *show, struct err *err)
{
    char topic[QUEUE_NAME_MAX] = "", last[TEAM_MAX + 1] = "";
    int rc;
    while ((rc = queue_topics(cur, PREFIX_JOBS, topic, topic, err)) > 0) {
        rc = show_queue(cur, show, topic, last, err);
        if (rc < 0) {
            return rc;
        }
    }
    return rc;
}

static int show_each(struct queue_cursor *cur, struct showing *show, struct err *err)
{
    const struct options *o = show->opt;
    struct budget_edit edit = {0};
    int rc;
    if (o->operands_n > 1) {
        snprintf(edit.scope, sizeof(edit.scope), "%s", o->operands[1]);
        rc = limits_last(cur, o->operands[1], &edit, err);
        return rc < 0 ? rc : show_scope(cur, show, &edit, err);
    }
    while ((rc = limits_next(cur, edit.scope, &edit, err)) > 0) {
        rc = show_scope(cur, show, &edit, err);
        if (rc < 0) {
            return rc;
        }
    }
    return rc;
}

/* What comes behind the lines of limits. */
static void show_rest(const struct showing *show)
{
    struct span waiting = buf_span(&show->waiting);
    progress_clear(show->notice);
    if (show->opt->json) {
        printf("],\"waiting_for_limit\":[%.*s]}\n", (int)waiting.n,
               waiting.n ? waiting.p : "");
    } else if (show->queues) {
        printf("%.*s", (int)waiting.n, waiting.p);
    } else if (!show->scopes) {
        printf("no budgets: %s\n", !cli_on_broker(show->cli) || show->deflt.given
                                       ? "nothing limits what may be spent"
                                       : "a queue waits until it has one");
    }
}

static int show_all(struct queue *q, struct cli *c, struct err *err)
{
    struct queue_cursor *cur = NULL;
    struct showing show = {.cli = c, .opt = c->opt, .notice = &c->notice};
    buf_init(&show.waiting, WAITING_MAX);
    int rc = budget_default_parse(c->set->scheduler.budget_default, &show.deflt, err);
    if (rc >= 0) {
        rc = queue_cursor_open(q, &cur, err);
    }
    if (rc >= 0 && c->opt->json) {
        progress_clear(show.notice);
        printf("{\"budgets\":[");
    }
    if (rc >= 0) {
        rc = show_each(cur, &show, err);
    }
    if (rc >= 0) {
        rc = show_queues(cur, &show, err);
    }
    queue_cursor_close(cur);
    if (rc >= 0) {
        show_rest(&show);
    }
    buf_fini(&show.waiting);
    return rc < 0 ? rc : 0;
}

/* ---- the command ---- */

static int check_scope(const char *scope, struct err *err)
{
    const char *slash = strchr(scope, '/');
    size_t n = slash ? (size_t)(slash - scope) : strlen(scope);
    int rc = name_check_team("team", span_of(scope, n), err);
    return rc < 0 || !slash ? rc : name_check_team("feature", span_str(slash + 1), err);
}

int cmd_budget(struct cli *c, struct err *err)
{
    static const struct {
        const char *verb;
        change_fn change; /* NULL: show */
    } verbs[] = {
        {"show", NULL},
        {"set", change_limit},
        {"pause", change_pause},
        {"resume", change_resume},
    };
    const struct options *o = c->opt;
    size_t i = 0;
    while (i < ARRAY_LEN(verbs) && strcmp(o->operands[0], verbs[i].verb)) {
        i++;
    }
    if (i == ARRAY_LEN(verbs)) {
        return err_set(err, ERR_USAGE,
                       "could not run 'budget %s': it is not show, set, pause or resume",
                       o->operands[0]);
    }
    if (verbs[i].change && o->operands_n < 2) {
        return err_set(err, ERR_USAGE,
                       "could not run 'budget %s': it needs TEAM or TEAM/FEATURE",
                       o->operands[0]);
    }
    int rc = o->operands_n > 1 ? check_scope(o->operands[1], err) : 0;
    struct queue *q = NULL;
    if (rc >= 0) {
        rc = verbs[i].change ? cli_open_queue(c, NULL, &q, err)
                             : cli_open_data(c, &q, err);
    }
    if (rc >= 0) {
        rc = verbs[i].change ? edit_scope(q, o, verbs[i].change, err)
                             : show_all(q, c, err);
    }
    queue_close(q);
    return rc;
}
