/* offpeak retry: what failed is asked again, and nothing else. */
#include "cli/cli.h"
#include "cli/follow.h"
#include "cli/json.h"
#include "cli/next.h"
#include "cli/runs.h"
#include "core/jtext.h"
#include "producer/retry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* 16 bytes a job that failed. */
struct retry_cmd {
    struct cli *cli;
    struct queue *queue;
    struct run_found run;
    struct follow_status status;
    struct retry_job *jobs;
    size_t n, cap;
};

/* ---- which jobs ---- */

/* Where its job stands: in the id in its result. */
static int job_place(struct span line, uint64_t *ret)
{
    struct span own, id;
    struct queue_at at;
    _cleanup_(buf_fini) struct buf text;
    buf_init(&text, JOB_ID_MAX);
    if (!jtext_get(line, "offpeak", &own) || jtext_type(own) != JTEXT_OBJECT ||
        !jtext_get(own, "job_id", &id) || jtext_string(id, &text) < 0 ||
        job_id_place(buf_span(&text), &at) < 0) {
        return -1;
    }
    *ret = place_of(at.partition, at.offset);
    return 0;
}

static int on_result(void *ctx, const struct result_head *head, struct span line,
                     struct err *err)
{
    struct retry_cmd *r = ctx;
    const struct options *o = r->cli->opt;
    bool wanted = (o->failed && head->status == STATUS_FAILED) ||
                  (o->rejected && head->status == STATUS_REJECTED);
    bool queued = r->run.row.retrying && head->attempt >= r->run.row.attempt;
    if (!wanted || queued) {
        return 0;
    }
    if (r->n == r->cap) {
        size_t cap = MAX_OF(2 * r->cap, 256);
        struct retry_job *jobs = realloc(r->jobs, cap * sizeof(*jobs));
        if (!jobs) {
            return err_set(err, ERR_FAIL, "could not retry: out of memory");
        }
        r->jobs = jobs;
        r->cap = cap;
    }
    struct retry_job *job = &r->jobs[r->n];
    job->line = head->line;
    if (job_place(line, &job->place) < 0) {
        return err_set(err, ERR_VERSION,
                       "could not retry line %" PRIu64 ": its result names no job",
                       head->line);
    }
    r->n++;
    return 0;
}

static int by_line(const void *a, const void *b)
{
    const struct retry_job *x = a, *y = b;
    return x->line < y->line ? -1 : x->line > y->line;
}

static int find_jobs(struct retry_cmd *r, struct err *err)
{
    struct follow_conf conf = {.queue = r->queue,
                               .team = r->run.team,
                               .feature = r->run.feature,
                               .run = r->run.run,
                               .results_from = r->run.row.results_from,
                               .no_spend = true,
                               .on_result = on_result,
                               .ctx = r};
    int rc = follow_all(&conf, &r->status, err);
    if (rc >= 0 && r->n) {
        qsort(r->jobs, r->n, sizeof(*r->jobs), by_line);
    }
    return rc;
}

/* ---- may it be retried ---- */

static int check_cancelled(struct retry_cmd *r, struct err *err)
{
    struct queue_cursor *cur = NULL;
    int rc = queue_cursor_open(r->queue, &cur, err);
    if (rc >= 0) {
        rc = run_cancelled(cur, r->run.team, r->run.feature, r->run.run, err);
    }
    queue_cursor_close(cur);
    if (rc <= 0) {
        return rc;
    }
    err_set(err, ERR_USAGE, "could not retry run '%s': it was cancelled", r->run.run);
    err_hint(err, "start another with --run NEW; what is answered is not bought again");
    return -ERR_USAGE;
}

static int check_over(struct retry_cmd *r, struct err *err)
{
    const struct run_row *row = &r->run.row;
    uint64_t ends = run_ends(row);
    char next[NEXT_MAX];
    if (row->retrying || (row->complete && r->status.ends >= ends)) {
        return 0;
    }
    err_set(err, ERR_TEMP,
            "could not retry run '%s': %" PRIu64 " of its jobs have no result yet",
            r->run.run, ends - MIN_OF(ends, r->status.ends));
    next_command(r->cli, r->run.run, next);
    err_hint(err, "%s: %.250s",
             cli_on_broker(r->cli) ? "wait for it" : "work it off first", next);
    return -ERR_TEMP;
}

/* ---- telling ---- */

static int tell(struct retry_cmd *r, const struct run_row *row, struct err *err)
{
    const struct options *o = r->cli->opt;
    int who = next_who(r->cli, r->queue, err);
    if (who < 0) {
        return who;
    }
    progress_clear(&r->cli->notice);
    if (o->json) {
        putchar('{');
        json_text("run", r->run.run);
        json_text("team", r->run.team);
        json_text("feature", r->run.feature);
        json_count("retried", r->n);
        json_count("attempt", MAX_OF(row->attempt, 1u));
        next_json(r->cli, (enum next_who)who, r->n ? r->run.run : NULL);
        printf(",\"exit\":0}\n");
    } else if (!o->quiet && !r->n) {
        fprintf(stderr, "run '%s': nothing to retry\n", r->run.run);
    } else if (!o->quiet) {
        fprintf(stderr, "run '%s': %zu job%s queued again, attempt %" PRIu64 "\n",
                r->run.run, r->n, PLURAL(r->n), row->attempt);
        next_say(r->cli, (enum next_who)who, r->run.run);
    }
    return 0;
}

/* ---- the command ---- */

static int open_run(struct retry_cmd *r, struct err *err)
{
    const struct options *o = r->cli->opt;
    struct run_wanted wanted = {.team = o->team, .feature = o->feature, .run = o->run};
    if (!o->failed && !o->rejected) {
        err_set(err, ERR_USAGE, "could not retry: it needs --failed, --rejected or both");
        err_hint(err, "offpeak retry --failed --run ID");
        return -ERR_USAGE;
    }
    int rc = cli_open_data(r->cli, &r->queue, err);
    if (rc >= 0 && !o->run) {
        rc = err_set(err, ERR_USAGE, "could not retry: it needs --run ID");
        run_hint_last(r->queue, err);
    }
    return rc < 0 ? rc : run_need(r->queue, "retry", &wanted, &r->run, err);
}

static int retry(struct retry_cmd *r, struct err *err)
{
    struct run_row row;
    int rc = open_run(r, err);
    if (rc >= 0) {
        rc = check_cancelled(r, err);
    }
    if (rc >= 0) {
        rc = find_jobs(r, err);
    }
    if (rc >= 0) {
        rc = check_over(r, err);
    }
    if (rc < 0) {
        return rc;
    }
    row = r->run.row;
    struct retry_conf conf = {.queue = r->queue,
                              .team = r->run.team,
                              .feature = r->run.feature,
                              .run = r->run.run,
                              .row = &r->run.row,
                              .jobs = r->jobs,
                              .n = r->n};
    if (r->n) {
        rc = retry_append(&conf, &row, err);
    }
    return rc < 0 ? rc : tell(r, &row, err);
}

int cmd_retry(struct cli *c, struct err *err)
{
    struct retry_cmd r = {.cli = c};
    int rc = retry(&r, err);
    queue_close(r.queue);
    free(r.jobs);
    return rc;
}
