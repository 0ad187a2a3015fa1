#include "cli/runs.h"

#include <stdio.h>

#define RUNS_PREFIX "runs."

uint64_t run_jobs(const struct run_row *row)
{
    return row->lines - row->blank;
}

uint64_t run_ends(const struct run_row *row)
{
    return run_jobs(row) + row->again;
}

/* Every run that is wanted passes by once; the two begun last stay. */
struct search {
    const struct run_wanted *wanted;
    int found;
    struct run_found best, second;
    run_fn fn; /* or NULL */
    void *ctx;
};

static bool is_wanted(const char *wanted, struct span is)
{
    return !wanted || span_is(is, wanted);
}

static bool take(const struct run_wanted *wanted, const char *team, struct span key,
                 struct run_found *to)
{
    const char *slash = memchr(key.p, '/', key.n);
    if (!slash) {
        return false;
    }
    struct span feature = span_of(key.p, (size_t)(slash - key.p));
    struct span id = span_of(slash + 1, key.n - feature.n - 1);
    bool is_cancel = memchr(id.p, '/', id.n); /* feature/run/cancel */
    if (feature.n > FEATURE_MAX || id.n > RUN_MAX || is_cancel ||
        !is_wanted(wanted->run, id) || !is_wanted(wanted->feature, feature)) {
        return false;
    }
    snprintf(to->team, sizeof(to->team), "%.*s", TEAM_MAX, team);
    snprintf(to->feature, sizeof(to->feature), "%.*s", (int)feature.n, feature.p);
    snprintf(to->run, sizeof(to->run), "%.*s", (int)id.n, id.p);
    return true;
}

static void keep(struct search *s, const struct run_found *this)
{
    bool last = s->found == 0 || this->row.started_ms >= s->best.row.started_ms;
    bool next = s->found == 1 || this->row.started_ms >= s->second.row.started_ms;
    if (last) {
        s->second = s->best;
        s->best = *this;
    } else if (next) {
        s->second = *this;
    }
    s->found++;
}

static int search_table(struct search *s, struct queue_cursor *cur, const char *table,
                        struct err *err)
{
    const char *team = table + strlen(RUNS_PREFIX);
    struct queue_msg msg;
    int rc = is_wanted(s->wanted->team, span_str(team))
                 ? queue_read_table(cur, table, 0, SPAN_NONE)
                 : 0;
    while (rc >= 0 && (rc = queue_read(cur, &msg, err)) > 0) {
        struct run_found this;
        if (take(s->wanted, team, msg.key, &this)) {
            rc = run_row_decode(msg.value, &this.row, err);
            if (rc >= 0) {
                keep(s, &this);
                if (s->fn) {
                    s->fn(s->ctx, &this);
                }
            }
        }
    }
    return rc;
}

static int search(struct search *s, struct queue *q, struct err *err)
{
    char after[QUEUE_NAME_MAX] = "", table[QUEUE_NAME_MAX];
    struct queue_cursor *cur = NULL;
    int rc = queue_cursor_open(q, &cur, err);
    while (rc >= 0 && (rc = queue_tables(cur, RUNS_PREFIX, after, table, err)) > 0) {
        memcpy(after, table, sizeof(after));
        rc = search_table(s, cur, table, err);
    }
    queue_cursor_close(cur);
    return rc < 0 ? rc : s->found;
}

int run_find(struct queue *q, const struct run_wanted *wanted, struct run_found *ret,
             struct err *err)
{
    struct search s = {.wanted = wanted};
    int rc = search(&s, q, err);
    if (rc > 0) {
        *ret = s.best;
    }
    return rc;
}

int run_each(struct queue *q, const struct run_wanted *wanted, run_fn fn, void *ctx,
             struct err *err)
{
    struct search s = {.wanted = wanted, .fn = fn, .ctx = ctx};
    int rc = search(&s, q, err);
    return rc < 0 ? rc : 0;
}

/* ---- exactly one ---- */

static int several(const char *command, const struct search *s, struct err *err)
{
    const struct run_found *a = &s->best, *b = &s->second;
    err_set(err, ERR_USAGE, "could not choose run '%s': %d queues have one", a->run,
            s->found);
    err_hint(err,
             "say which: offpeak %s --run %s --team %s --feature %s, or --team %s "
             "--feature %s",
             command, a->run, a->team, a->feature, b->team, b->feature);
    return -ERR_USAGE;
}

void run_hint_last(struct queue *q, struct err *err)
{
    struct run_found last;
    if (run_find(q, &(struct run_wanted){0}, &last, NULL) > 0) {
        err_hint(err, "the run begun last is --run %s; offpeak cat runs.%s lists them",
                 last.run, last.team);
    } else {
        err_hint(err, "there are no runs here: is it the right --data, or --brokers?");
    }
}

static int none(struct queue *q, const struct run_wanted *wanted, struct err *err)
{
    const char *team = wanted->team, *feature = wanted->feature;
    if (team || feature) {
        err_set(err, ERR_USAGE, "could not find run '%s' of '%s/%s'", wanted->run,
                team ? team : "*", feature ? feature : "*");
    } else {
        err_set(err, ERR_USAGE, "could not find run '%s'", wanted->run);
    }
    run_hint_last(q, err);
    return -ERR_USAGE;
}

int run_need(struct queue *q, const char *command, const struct run_wanted *wanted,
             struct run_found *ret, struct err *err)
{
    struct search s = {.wanted = wanted};
    int rc = search(&s, q, err);
    if (rc == 0) {
        return none(q, wanted, err);
    }
    if (rc > 1) {
        return several(command, &s, err);
    }
    if (rc == 1) {
        *ret = s.best;
    }
    return rc;
}
