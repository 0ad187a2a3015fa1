/* offpeak results: what a run has, as a file. */
#include "cli/cli.h"
#include "cli/follow.h"
#include "cli/runs.h"
#include "cli/sink.h"

#include <stdio.h>

static int write_results(struct queue *q, const struct run_found *run, struct sink *sink,
                         struct follow_status *ret, struct err *err)
{
    struct follow_conf conf = {
        .queue = q,
        .team = run->team,
        .feature = run->feature,
        .run = run->run,
        .results_from = run->row.results_from,
        .no_spend = true,
        .on_result = sink_result,
        .ctx = sink,
    };
    int rc = follow_all(&conf, ret, err);
    return rc < 0 ? rc : sink_commit(sink, err);
}

static void tell(const struct run_found *run, const char *out,
                 const struct follow_status *s)
{
    uint64_t jobs = run_jobs(&run->row);
    fprintf(stderr, "%llu results of run '%s' written to %s",
            (unsigned long long)s->results, run->run,
            strcmp(out, "-") ? out : "standard output");
    if (s->results < jobs) {
        fprintf(stderr, "; %llu of its jobs have none yet",
                (unsigned long long)(jobs - s->results));
    } else if (!run->row.complete) {
        fprintf(stderr, "; its file is still being read");
    }
    fputc('\n', stderr);
}

/* 3 is for a run that is over. */
static int judge(const struct run_found *run, const struct follow_status *s)
{
    bool over = run->row.complete && s->results >= run_jobs(&run->row);
    return over && s->by_status[STATUS_OK] < s->results ? -ERR_PARTIAL : 0;
}

int cmd_results(struct cli *c, struct err *err)
{
    const struct options *o = c->opt;
    const char *out = o->out ? o->out : "-";
    struct queue *q = NULL;
    struct sink sink = {0};
    struct run_found run;
    struct follow_status status;
    struct run_wanted wanted = {.team = o->team, .feature = o->feature, .run = o->run};
    int rc = sink_check(NULL, out, o->errors, err);
    if (rc >= 0) {
        rc = cli_open_data(c, &q, err);
    }
    if (rc >= 0 && !o->run) {
        rc = err_set(err, ERR_USAGE, "could not write results: it needs --run ID");
        run_hint_last(q, err);
    }
    if (rc >= 0) {
        rc = run_need(q, "results", &wanted, &run, err);
    }
    if (rc >= 0) {
        rc = sink_open(&sink, out, o->errors, err);
    }
    if (rc >= 0) {
        sink.streaming = false;
        rc = write_results(q, &run, &sink, &status, err);
    }
    if (rc >= 0) {
        if (!o->quiet) {
            tell(&run, out, &status);
        }
        rc = judge(&run, &status);
    }
    sink_close(&sink);
    queue_close(q);
    return rc;
}
