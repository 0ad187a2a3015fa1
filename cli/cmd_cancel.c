/* offpeak cancel: a run ends; what was paid for is kept. */
#include "cli/cli.h"
#include "cli/follow.h"
#include "cli/json.h"
#include "cli/next.h"
#include "cli/runs.h"
#include "cli/who.h"
#include "core/clock.h"

#include <inttypes.h>
#include <stdio.h>

#define ROW_BYTES_MAX ((size_t)4 << 10)

struct cancel {
    struct cli *cli;
    struct queue *queue;
    struct run_found run;
    uint64_t results; /* of the run, so far */
    bool over;        /* every job had its result before */
    bool before;      /* it was cancelled before */
    enum next_who who;
};

static int look(struct cancel *c, struct err *err)
{
    struct queue_cursor *cur = NULL;
    struct follow_status status;
    struct follow_conf conf = {.queue = c->queue,
                               .team = c->run.team,
                               .feature = c->run.feature,
                               .run = c->run.run,
                               .results_from = c->run.row.results_from,
                               .no_spend = true};
    int rc = follow_all(&conf, &status, err);
    if (rc >= 0) {
        c->results = status.results;
        c->over = c->run.row.complete && status.ends >= run_ends(&c->run.row);
        rc = queue_cursor_open(c->queue, &cur, err);
    }
    if (rc >= 0) {
        rc = run_cancelled(cur, c->run.team, c->run.feature, c->run.run, err);
        c->before = rc > 0;
    }
    if (rc >= 0) {
        rc = next_who(c->cli, c->queue, err);
        c->who = rc < 0 ? NEXT_NOBODY : (enum next_who)rc;
    }
    queue_cursor_close(cur);
    return rc;
}

static int put_row(const struct cancel *c, struct err *err)
{
    struct clock clock = clock_real();
    struct cancel_row row = {.time_ms = clock_wall_ms(&clock)};
    char table[QUEUE_NAME_MAX], key[QUEUE_KEY_MAX];
    const char *why = c->cli->opt->why;
    struct queue_tx *tx = NULL;
    uint64_t commit;
    _cleanup_(buf_fini) struct buf json;
    buf_init(&json, ROW_BYTES_MAX);
    who_am_i(row.who, sizeof(row.who));
    snprintf(row.why, sizeof(row.why), "%s", why ? why : "");
    table_runs(c->run.team, table);
    cancel_key(c->run.feature, c->run.run, key);
    if (cancel_row_encode(&row, &json) < 0 || queue_begin(c->queue, &tx) < 0) {
        return err_set(err, ERR_FAIL, "could not cancel run '%s': no memory", c->run.run);
    }
    int rc = queue_table_put(tx, table, 0, span_str(key), buf_span(&json), err);
    if (rc < 0) {
        queue_tx_drop(tx);
        return rc;
    }
    return queue_commit_wait(tx, &commit, err);
}

static void tell_json(const struct cancel *c)
{
    putchar('{');
    json_text("run", c->run.run);
    json_text("team", c->run.team);
    json_text("feature", c->run.feature);
    json_count("jobs", run_jobs(&c->run.row));
    json_count("results", c->results);
    json_text("state", c->over ? "over" : "cancelled");
    next_json(c->cli, c->who, c->over ? NULL : c->run.run);
    printf(",\"exit\":0}\n");
}

static void tell(const struct cancel *c)
{
    char next[NEXT_MAX];
    progress_clear(&c->cli->notice);
    uint64_t jobs = run_jobs(&c->run.row);
    if (c->cli->opt->json) {
        tell_json(c);
        return;
    }
    if (c->cli->opt->quiet) {
        return;
    }
    if (c->over) {
        fprintf(stderr,
                "run '%s' is over: every job has its result, nothing was cancelled\n",
                c->run.run);
        return;
    }
    fprintf(stderr, "run '%s' %s: %" PRIu64 " of %" PRIu64 " jobs have their results\n",
            c->run.run, c->before ? "was cancelled before" : "is cancelled", c->results,
            jobs);
    next_command(c->cli, c->run.run, next);
    switch (c->who) {
    case NEXT_NOBODY:
        fprintf(stderr, "the rest is ended, and what was paid for fetched, by: %s\n",
                next);
        return;
    case NEXT_OWNER:
        fprintf(stderr, "the process at work ends the rest; what was paid for is kept\n");
        return;
    case NEXT_DAEMONS:
        fprintf(stderr, "the workers end the rest; what was paid for is kept: %s\n",
                next);
        return;
    }
}

static int cancel(struct cancel *c, struct err *err)
{
    const struct options *o = c->cli->opt;
    struct run_wanted wanted = {.team = o->team, .feature = o->feature, .run = o->run};
    int rc = cli_open_data(c->cli, &c->queue, err);
    if (rc >= 0 && !o->run) {
        rc = err_set(err, ERR_USAGE, "could not cancel: it needs --run ID");
        run_hint_last(c->queue, err);
    }
    if (rc >= 0) {
        rc = run_need(c->queue, "cancel", &wanted, &c->run, err);
    }
    if (rc >= 0) {
        rc = look(c, err);
    }
    if (rc >= 0 && !c->over && !c->before) {
        rc = put_row(c, err);
    }
    if (rc >= 0) {
        tell(c);
    }
    return rc < 0 ? rc : 0;
}

int cmd_cancel(struct cli *cli, struct err *err)
{
    struct cancel c = {.cli = cli};
    int rc = cancel(&c, err);
    queue_close(c.queue);
    return rc;
}
