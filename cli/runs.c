#include "cli/runs.h"

#include <stdio.h>

#define RUNS_PREFIX "runs."

uint64_t run_jobs(const struct run_row *row)
{
    return row->lines - row->blank;
}

static bool take(struct span key, const char *team, const char *run, struct run_found *to)
{
    const char *slash = memchr(key.p, '/', key.n);
    if (!slash) {
        return false;
    }
    struct span feature = span_of(key.p, (size_t)(slash - key.p));
    struct span id = span_of(slash + 1, key.n - feature.n - 1);
    if (feature.n > FEATURE_MAX || id.n > RUN_MAX || (run && !span_is(id, run))) {
        return false;
    }
    snprintf(to->team, sizeof(to->team), "%.*s", TEAM_MAX, team);
    snprintf(to->feature, sizeof(to->feature), "%.*s", (int)feature.n, feature.p);
    snprintf(to->run, sizeof(to->run), "%.*s", (int)id.n, id.p);
    return true;
}

static int find_in_table(struct queue_cursor *cur, const char *table, const char *run,
                         struct run_found *best, struct err *err)
{
    struct queue_msg msg;
    int found = 0;
    int rc = queue_read_table(cur, table, SPAN_NONE);
    while (rc >= 0 && (rc = queue_read(cur, &msg, err)) > 0) {
        struct run_found this;
        if (!take(msg.key, table + strlen(RUNS_PREFIX), run, &this)) {
            continue;
        }
        rc = run_row_decode(msg.value, &this.row, err);
        if (rc >= 0 && this.row.started_ms >= best->row.started_ms) {
            *best = this;
            found = 1;
        }
    }
    return rc < 0 ? rc : found;
}

static int find(struct queue_cursor *cur, const char *team, const char *run,
                struct run_found *ret, struct err *err)
{
    char after[QUEUE_NAME_MAX] = "", table[QUEUE_NAME_MAX];
    struct run_found best = {0};
    int found = 0, rc;
    while ((rc = queue_tables(cur, RUNS_PREFIX, after, table, err)) > 0) {
        memcpy(after, table, sizeof(after));
        if (team && strcmp(table + strlen(RUNS_PREFIX), team)) {
            continue;
        }
        rc = find_in_table(cur, table, run, &best, err);
        if (rc < 0) {
            return rc;
        }
        found |= rc;
    }
    if (rc >= 0 && found) {
        *ret = best;
    }
    return rc < 0 ? rc : found;
}

int run_find(struct queue *q, const char *team, const char *run, struct run_found *ret,
             struct err *err)
{
    struct queue_cursor *cur = NULL;
    int rc = queue_cursor_open(q, &cur, err);
    if (rc >= 0) {
        rc = find(cur, team, run, ret, err);
    }
    queue_cursor_close(cur);
    return rc;
}

int run_need(struct queue *q, const char *team, const char *run, struct run_found *ret,
             struct err *err)
{
    struct run_found last;
    int rc = run_find(q, team, run, ret, err);
    if (rc != 0) {
        return rc;
    }
    err_set(err, ERR_USAGE, "could not find run '%s'%s%s%s", run,
            team ? " of team '" : "", team ? team : "", team ? "'" : "");
    if (run_find(q, NULL, NULL, &last, NULL) > 0) {
        err_hint(err, "the run begun last is --run %s; offpeak cat runs.%s lists them",
                 last.run, last.team);
    } else {
        err_hint(err, "this data folder holds no runs: is it the right --data?");
    }
    return -ERR_USAGE;
}
