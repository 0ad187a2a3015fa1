/* offpeak budget: limits are numbered edits; the newest of a scope is in force. */
#include "cli/cli.h"
#include "cli/limits.h"
#include "cli/who.h"
#include "core/clock.h"
#include "core/name.h"
#include "core/record.h"

#include <stdio.h>

#define EDIT_TRIES    5
#define ROW_BYTES_MAX ((size_t)4 << 10)

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
    const struct options *opt;
    struct progress *notice;
    unsigned scopes, lines;
};

struct shown {
    const char *period, *which;
    bool limited;
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
               "\"spent_usd\":%s,\"reserved_usd\":%s,\"paused\":%s,\"edit\":%llu}",
               e->scope, line->period, line->which, limit,
               usd_sum_format(s->spent, spent), usd_sum_format(s->reserved, reserved),
               e->paused ? "true" : "false", (unsigned long long)e->edit);
        return;
    }
    printf("%-24s %-6s %-11s %14s of %-14s %s reserved%s\n", e->scope, line->period,
           line->which, usd_show(s->spent, 6, spent),
           line->limited ? usd_show(most, 6, limit) : "no limit",
           usd_show(s->reserved, 6, reserved), e->paused ? ", paused" : "");
}

static int show_scope(struct queue_cursor *cur, struct showing *show,
                      const struct budget_edit *e, struct err *err)
{
    char day[CLOCK_DAY_TEXT], month[CLOCK_DAY_TEXT], key[QUEUE_KEY_MAX];
    struct clock clock = clock_real();
    clock_day(clock_wall_ms(&clock), day);
    snprintf(month, sizeof(month), "%.7s", day);
    struct shown lines[] = {
        {"day", day, e->has_day, e->day},
        {"month", month, e->has_month, e->month},
        {"total", "", e->has_total, e->total},
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

static int show_all(struct queue *q, struct cli *c, struct err *err)
{
    struct queue_cursor *cur = NULL;
    struct showing show = {.opt = c->opt, .notice = &c->notice};
    int rc = queue_cursor_open(q, &cur, err);
    if (rc >= 0 && c->opt->json) {
        progress_clear(show.notice);
        printf("{\"budgets\":[");
    }
    if (rc >= 0) {
        rc = show_each(cur, &show, err);
    }
    queue_cursor_close(cur);
    progress_clear(show.notice);
    if (rc >= 0 && c->opt->json) {
        puts("]}");
    } else if (rc >= 0 && !show.scopes) {
        printf("no budgets: nothing limits what may be spent\n");
    }
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
