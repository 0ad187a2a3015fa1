/* offpeak run: a file of jobs, all the way to results. */
#include "cli/begin.h"
#include "cli/cli.h"
#include "cli/dryrun.h"
#include "cli/next.h"
#include "cli/sink.h"
#include "cli/summary.h"
#include "core/jtext.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define MESSAGE_MAX 2000 /* of a problem told; a longer one is in the results */

struct run {
    struct cli *cli;
    struct begin begin;
    struct session_end end;
    struct sink stream; /* of -o - */
    bool streaming;
    uint64_t told; /* problems, one by one */
};

/* ---- before anything is read ---- */

/* On Kafka there is no work for this process to do. */
static int refuse_without_file(const struct cli *c, struct err *err)
{
    _cleanup_(buf_fini) struct buf where;
    buf_init(&where, CLI_PATH_MAX);
    cli_where(c, &where);
    err_set(err, ERR_USAGE,
            "could not run without a file on Kafka: scheduler and workers work off what "
            "waits there");
    err_hint(err, "offpeak watch%s shows how far they are", where.n ? where.p : "");
    return -ERR_USAGE;
}

static int check_options(const struct cli *c, struct err *err)
{
    const struct options *o = c->opt;
    const char *only_with_file = o->out              ? "-o"
                                 : o->errors         ? "--errors"
                                 : o->run            ? "--run"
                                 : o->first          ? "--first"
                                 : o->dry_run        ? "--dry-run"
                                 : o->max_cost.given ? "--max-cost"
                                 : o->fresh          ? "--fresh"
                                 : o->lane           ? "--lane"
                                                     : NULL;
    if (!o->operands_n && cli_on_broker(c)) {
        return refuse_without_file(c, err);
    }
    if (!o->operands_n && only_with_file) {
        err_set(err, ERR_USAGE, "could not use %s without a file of jobs",
                only_with_file);
        err_hint(err, "offpeak run FILE %s ...", only_with_file);
        return -ERR_USAGE;
    }
    if (o->json && o->out && !strcmp(o->out, "-")) {
        return err_set(err, ERR_USAGE,
                       "could not print both results and --json on standard output");
    }
    int rc = 0;
    for (unsigned i = 0; i < o->operands_n && rc >= 0; i++) {
        const struct sink_paths paths = {
            .data = c->data, .input = o->operands[i], .out = o->out, .errors = o->errors};
        rc = sink_check(&paths, err);
    }
    return rc;
}

/* ---- results as they come ---- */

/* The message of a result's error, or of the provider's answer to it; false: it has none. */
static bool find_message(struct span line, struct buf *ret)
{
    struct span error, response, body, message;
    bool found = jtext_get(line, "error", &error) && jtext_type(error) == JTEXT_OBJECT;
    if (!found && jtext_get(line, "response", &response) &&
        jtext_type(response) == JTEXT_OBJECT && jtext_get(response, "body", &body) &&
        jtext_type(body) == JTEXT_OBJECT && jtext_get(body, "error", &error)) {
        found = jtext_type(error) == JTEXT_OBJECT;
    }
    return found && jtext_get(error, "message", &message) &&
           jtext_string(message, ret) == 0 && ret->n;
}

/* What was refused when it was read begins with its place, "file:line: ". */
static bool find_place(const struct infile *f, struct refused_line *l)
{
    for (unsigned i = 0; i < f->source.paths_n; i++) {
        const char *name = f->source.label ? f->source.label : f->source.paths[i];
        size_t n = MIN_OF(strlen(name), 100);
        char *end = NULL;
        if (!strncmp(l->why, name, n) && l->why[n] == ':') {
            uint64_t line = strtoull(l->why + n + 1, &end, 10);
            if (!strncmp(end, ": ", 2)) {
                *l = (struct refused_line){.label = name, .line = line, .why = end + 2};
                return true;
            }
        }
    }
    return false;
}

/* Why a job has no answer, by file and line. What submit refused now was told by it, and what
 * was asked again by the command that asked first. */
static void tell_problem(struct run *r, const struct result_head *head, struct span line)
{
    if (head->attempt < r->end.row.attempt) {
        return;
    }
    _cleanup_(buf_fini) struct buf why;
    buf_init(&why, MESSAGE_MAX);
    if (!strcmp(head->why, "refused_by_provider")) {
        buf_adds(&why, "the provider refused it: ");
    }
    if (!find_message(line, &why)) {
        return;
    }
    struct refused_line l = {
        .label = r->begin.file.label, .line = head->line, .why = why.p};
    bool placed = find_place(&r->begin.file, &l);
    if ((!placed || head->line <= r->end.lines_before) &&
        ++r->told <= PROGRESS_REFUSED_MAX) {
        progress_refused(&r->begin.progress, &l);
    }
}

static int run_on_result(void *ctx, const struct result_head *head, struct span line,
                         struct err *err)
{
    struct run *r = ctx;
    if (head->status == STATUS_REJECTED || head->status == STATUS_FAILED) {
        tell_problem(r, head, line);
    }
    if (!r->streaming) {
        return 0;
    }
    progress_clear(&r->begin.progress);
    return sink_result(&r->stream, head, line, err);
}

/* ---- OUT ---- */

/* Every job has its result: the file appears whole. */
static int write_out(struct run *r, struct err *err)
{
    const struct options *o = r->cli->opt;
    if (r->streaming) {
        return sink_commit(&r->stream, err);
    }
    if (!o->out || r->end.over != SESSION_DONE) {
        return 0;
    }
    struct sink sink;
    struct follow_status status;
    struct follow_conf conf = {
        .queue = session_queue(r->begin.session),
        .team = cli_team(r->cli),
        .feature = cli_feature(r->cli),
        .run = r->begin.file.run,
        .results_from = r->end.row.results_from,
        .no_spend = true,
        .on_result = sink_result,
        .ctx = &sink,
    };
    int rc = sink_open(&sink, o->out, o->errors, err);
    if (rc >= 0) {
        rc = follow_all(&conf, &status, err);
        rc = rc < 0 ? rc : sink_commit(&sink, err);
        sink_close(&sink);
    }
    return rc;
}

/* ---- the two ways to go on ---- */

static int dry_run(struct run *r, struct err *err)
{
    struct dryrun found;
    struct run_row row;
    struct stat st;
    char store[CLI_PATH_MAX + 32];
    struct queue *q = NULL;
    begin_fill_row(&r->begin, &row);
    snprintf(store, sizeof(store), "%s/queue/data.mdb", r->cli->data);
    bool looks = !cli_on_broker(r->cli) && stat(store, &st) == 0;
    int rc = looks ? cli_open_data(r->cli, &q, err) : 0;
    struct dryrun_conf conf = {
        .cli = r->cli,
        .endpoint = &r->begin.endpoint,
        .file = &r->begin.file,
        .row = &row,
        .queue = q,
        .progress = &r->begin.progress,
    };
    if (rc >= 0) {
        rc = dryrun(&conf, &found, err);
    }
    queue_close(q);
    if (rc < 0) {
        return rc;
    }
    if (r->cli->opt->json) {
        summary_print_dryrun_json(&conf, &found);
    } else {
        summary_print_dryrun(&conf, &found);
    }
    return found.refused ? err_set(err, ERR_INPUT,
                                   "%" PRIu64 " of %" PRIu64 " jobs would be rejected",
                                   found.refused, found.jobs)
                         : 0;
}

/* How the run goes on. What came through a pipe cannot be given again, but all of it is queued, or
 * its copy is there. */
static void hint_to_continue(const struct run *r, struct err *err)
{
    const struct infile *f = &r->begin.file;
    _cleanup_(buf_fini) struct buf where;
    char next[NEXT_MAX];
    buf_init(&where, CLI_PATH_MAX);
    cli_where(r->cli, &where);
    next_command(r->cli, f->run, next);
    if (f->has_copy && !r->end.submitted) {
        err_hint(err, "continue with: offpeak run %s --run %s%s", f->path, f->run,
                 where.n ? where.p : "");
    } else if (f->copied) {
        err_hint(err, "continue with: %s", next);
    } else {
        err_hint(err, "the same command continues");
    }
}

/* On Kafka nobody waits for us. */
static void explain_signal_there(const struct run *r, struct err *err)
{
    const struct session_end *e = &r->end;
    err_set(err, ERR_TEMP,
            e->submitted ? "interrupted; scheduler and workers go on with run '%s'"
                         : "interrupted; scheduler and workers go on with the lines of "
                           "run '%s' that are queued",
            r->begin.file.run);
}

static void explain_signal(const struct run *r, struct err *err)
{
    char batches[100] = "";
    bool one = r->end.batches == 1, only = r->end.doubtful == 1;
    if (r->end.batches) {
        snprintf(batches, sizeof(batches),
                 "%" PRIu64 " batch%s at the provider go%s on and ", r->end.batches,
                 one ? "" : "es", one ? "es" : "");
    }
    if (r->end.doubtful) {
        err_set(
            err, ERR_TEMP,
            "interrupted; %s%u call%s under way count%s as in doubt, to be made again",
            batches, r->end.doubtful, only ? "" : "s", only ? "s" : "");
    } else {
        err_set(err, ERR_TEMP, "interrupted; %snothing is lost", batches);
    }
}

static int finish(struct run *r, struct err *err)
{
    const struct options *o = r->cli->opt;
    struct err write_err = {0};
    int rc = summary_judge(r->cli, &r->end, err);
    int wrote = write_out(r, &write_err);
    if (wrote < 0) {
        *err = write_err;
        rc = wrote;
    }
    if (r->end.over == SESSION_SIGNAL) {
        (cli_on_broker(r->cli) ? explain_signal_there : explain_signal)(r, err);
        hint_to_continue(r, err);
    }
    bool done = r->end.over == SESSION_DONE;
    struct summary s = {
        .cli = r->cli,
        .endpoint = &r->begin.endpoint,
        .file = r->begin.has_file ? &r->begin.file : NULL,
        .end = &r->end,
        .out = done && wrote >= 0 ? o->out : NULL,
        .errors = done && wrote >= 0 ? o->errors : NULL,
        .was_finished = done && r->end.was_finished,
        .elapsed_ms = clock_mono_ms(&r->begin.clock) - r->begin.started_ms,
    };
    if (!o->quiet && (done || r->end.over == SESSION_GATE)) {
        summary_print(&s);
    }
    if (o->json) {
        summary_print_json(&s, -rc);
    }
    return rc;
}

static int real_run(struct run *r, struct err *err)
{
    struct session_conf conf = {
        .cli = r->cli,
        .endpoint = &r->begin.endpoint,
        .file = r->begin.has_file ? &r->begin.file : NULL,
        .progress = &r->begin.progress,
        .on_result = run_on_result,
        .ctx = r,
    };
    begin_fill_row(&r->begin, &conf.row);
    if (r->streaming) {
        int rc = sink_open(&r->stream, "-", r->cli->opt->errors, err);
        if (rc < 0) {
            return rc;
        }
    }
    int rc = session_run(r->begin.session, &conf, &r->end, err);
    progress_more(&r->begin.progress, r->begin.file.label, r->told);
    return rc < 0 ? rc : finish(r, err);
}

/* ---- the command ---- */

/* A pool is asked without any provider's key; so is whatever waits for one, by a run that has
 * no file of its own. */
static struct endpoint_need endpoint_need(const struct run *r)
{
    const struct cli_settings *set = &r->cli->set->cli;
    bool pool = r->begin.has_file && set->lane == LANE_POOL;
    bool may_be_pool = !r->begin.has_file && set->pool_servers && set->pool_price;
    bool needed = !r->cli->opt->dry_run && !pool && !may_be_pool;
    return (struct endpoint_need){
        .key = needed ? ENDPOINT_KEY_NEEDED : ENDPOINT_KEY_IF_ANY, .pool = pool};
}

static int run(struct run *r, struct err *err)
{
    const struct options *o = r->cli->opt;
    const struct endpoint_need need = endpoint_need(r);
    int rc = check_options(r->cli, err);
    if (rc >= 0) {
        rc = begin_open(&r->begin, &need, err);
    }
    if (rc < 0) {
        return rc;
    }
    begin_introduce(&r->begin);
    if (o->dry_run) {
        rc = dry_run(r, err);
        infile_remove_copy(&r->begin.file);
        return rc;
    }
    return real_run(r, err);
}

int cmd_run(struct cli *c, struct err *err)
{
    struct run r = {.cli = c, .streaming = c->opt->out && !strcmp(c->opt->out, "-")};
    begin_init(&r.begin, c);
    int rc = run(&r, err);
    sink_close(&r.stream);
    begin_close(&r.begin);
    return rc;
}
