/* offpeak results: what a run has, as a file. */
#include "cli/cli.h"
#include "cli/follow.h"
#include "cli/order.h"
#include "cli/runs.h"
#include "cli/sheet.h"
#include "cli/signals.h"
#include "cli/sink.h"
#include "cli/waits.h"
#include "core/clock.h"

#include <poll.h>
#include <stdio.h>

/* How the results reach the file: as they come, by their lines, or as a table. */
struct writer {
    struct progress *notice;
    bool only_failed;
    uint64_t taken;
    struct sink sink;
    struct order *order; /* NULL: as they come */
    struct sheet *sheet; /* NULL: no table */
};

static int writer_open(struct writer *w, const struct cli *c, const char *out,
                       struct queue *q, struct err *err)
{
    const struct options *o = c->opt;
    w->only_failed = o->failed;
    int rc = sink_open(&w->sink, out, o->errors, err);
    w->sink.streaming = false;
    if (rc >= 0 && o->csv) {
        rc = sheet_open(&w->sheet, q, c->data, err);
    } else if (rc >= 0 && o->ordered) {
        rc = order_open(&w->order, c->data, err);
    }
    return rc;
}

static void writer_close(struct writer *w)
{
    sink_close(&w->sink);
    order_close(w->order);
    sheet_close(w->sheet);
}

static int on_result(void *ctx, const struct result_head *head, struct span line,
                     struct err *err)
{
    struct writer *w = ctx;
    if (w->only_failed && head->status == STATUS_OK) {
        return 0;
    }
    w->taken++;
    if (w->sheet) {
        return sheet_add(w->sheet, head, line, err);
    }
    if (w->order) {
        return order_add(w->order, head->line, head->status, line, err);
    }
    progress_clear(w->notice); /* the line may go to the same terminal */
    return sink_result(&w->sink, head, line, err);
}

static int on_ordered(void *ctx, uint32_t status, struct span line, struct err *err)
{
    struct writer *w = ctx;
    const struct result_head head = {.status = (enum status)status};
    return sink_result(&w->sink, &head, line, err);
}

static int writer_commit(struct writer *w, struct err *err)
{
    int rc = 0;
    progress_clear(w->notice);
    if (w->sheet) {
        rc = sheet_write(w->sheet, w->sink.out, err);
    } else if (w->order) {
        rc = order_each(w->order, on_ordered, w, err);
    }
    return rc < 0 ? rc : sink_commit(&w->sink, err);
}

static int write_results(struct queue *q, const struct run_found *run, struct writer *w,
                         struct follow_status *ret, struct err *err)
{
    struct follow_conf conf = {
        .queue = q,
        .team = run->team,
        .feature = run->feature,
        .run = run->run,
        .results_from = run->row.results_from,
        .no_spend = true,
        .on_result = on_result,
        .ctx = w,
    };
    int rc = follow_all(&conf, ret, err);
    return rc < 0 ? rc : writer_commit(w, err);
}

static void tell(const struct run_found *run, const char *out, const struct writer *w,
                 const struct follow_status *s)
{
    uint64_t jobs = run_jobs(&run->row);
    if (w->only_failed) {
        fprintf(stderr, "%llu of ", (unsigned long long)w->taken);
    }
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
    if (w->sheet && sheet_gone(w->sheet)) {
        fprintf(stderr,
                "%llu of them have no input columns: their jobs are older than `retain` "
                "and were removed\n",
                (unsigned long long)sheet_gone(w->sheet));
    }
}

/* ---- --wait ---- */

#define WAIT_STEP_MS 500

struct wait {
    struct cli *cli;
    struct queue *queue;
    struct run_found *run;
    struct follow *follow;
    struct waits *waits; /* on Kafka; else NULL */
    struct clock clock;
    struct signals signals;
};

static void show_wait(struct wait *w, const struct follow_status *s)
{
    char text[200];
    const struct run_row *row = &w->run->row;
    snprintf(text, sizeof(text), "waiting for run '%s': %llu of %llu results ...",
             w->run->run, (unsigned long long)s->results,
             (unsigned long long)run_jobs(row));
    progress_notice(&w->cli->notice, text);
}

static void on_waits(void *ctx, const char *subject, const char *text)
{
    struct wait *w = ctx;
    progress_say(&w->cli->notice, clock_mono_ms(&w->clock), subject, text);
}

/* 0 it is over, 1 not yet. */
static int look_whether_over(struct wait *w, struct err *err)
{
    const struct run_wanted wanted = {w->run->team, w->run->feature, w->run->run};
    int rc;
    while ((rc = follow_step(w->follow, err)) > 0) {
    }
    if (rc >= 0) {
        rc = run_need(w->queue, "results", &wanted, w->run, err);
    }
    if (rc < 0) {
        bool again = w->waits && waits_bears(w->waits, err, clock_mono_ms(&w->clock));
        return again ? 1 : rc;
    }
    const struct follow_status *s = follow_status(w->follow);
    show_wait(w, s);
    if (w->waits) {
        waits_look(w->waits, s->ends, clock_mono_ms(&w->clock));
    }
    return !w->run->row.complete || s->ends < run_ends(&w->run->row);
}

/* Signals end it in order: a command on Kafka leaves no copy behind. */
static int wait_until_over(struct wait *w, struct err *err)
{
    int rc;
    while ((rc = look_whether_over(w, err)) > 0) {
        struct pollfd fd = {.fd = w->signals.fd, .events = POLLIN};
        if (poll(&fd, 1, WAIT_STEP_MS) > 0 && (rc = signals_came(&w->signals)) < 0) {
            break;
        }
    }
    return rc;
}

static int wait_for_run(struct cli *c, struct queue *q, struct run_found *run,
                        struct err *err)
{
    struct wait w = {
        .cli = c, .queue = q, .run = run, .clock = clock_real(), .signals = SIGNALS_NONE};
    const struct waits_conf waits = {.cli = c,
                                     .queue = q,
                                     .team = run->team,
                                     .feature = run->feature,
                                     .say = on_waits,
                                     .ctx = &w};
    const struct follow_conf conf = {.queue = q,
                                     .team = run->team,
                                     .feature = run->feature,
                                     .run = run->run,
                                     .results_from = run->row.results_from,
                                     .no_spend = true};
    int rc = signals_take(&w.signals, err);
    if (rc >= 0 && cli_on_broker(c)) {
        rc = waits_open(&w.waits, &waits, err);
    }
    if (rc >= 0) {
        rc = follow_open(&w.follow, &conf, err);
    }
    if (rc >= 0) {
        rc = wait_until_over(&w, err);
    }
    follow_close(w.follow);
    waits_close(w.waits);
    signals_give(&w.signals);
    return rc;
}

/* 3 is for a run that is over. */
static int judge(const struct run_found *run, const struct follow_status *s)
{
    bool over = run->row.complete && s->ends >= run_ends(&run->row);
    return over && s->by_status[STATUS_OK] < s->results ? -ERR_PARTIAL : 0;
}

static int check_options(const struct cli *c, const char *out, struct err *err)
{
    const struct options *o = c->opt;
    const struct sink_paths paths = {.data = c->data, .out = out, .errors = o->errors};
    const char *with = o->csv ? "--csv" : "--failed";
    if (o->errors && (o->csv || o->failed)) {
        err_set(err, ERR_USAGE, "could not use --errors with %s", with);
        err_hint(err, "%s writes one file: -o", with);
        return -ERR_USAGE;
    }
    return sink_check(&paths, err);
}

int cmd_results(struct cli *c, struct err *err)
{
    const struct options *o = c->opt;
    const char *out = o->out ? o->out : "-";
    struct queue *q = NULL;
    struct writer writer = {.notice = &c->notice};
    struct run_found run;
    struct follow_status status;
    struct run_wanted wanted = {.team = o->team, .feature = o->feature, .run = o->run};
    int rc = check_options(c, out, err);
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
    if (rc >= 0 && o->wait) {
        rc = wait_for_run(c, q, &run, err);
    }
    if (rc >= 0) {
        rc = writer_open(&writer, c, out, q, err);
    }
    if (rc >= 0) {
        rc = write_results(q, &run, &writer, &status, err);
    }
    if (rc >= 0) {
        if (!o->quiet) {
            tell(&run, out, &writer, &status);
        }
        rc = judge(&run, &status);
    }
    writer_close(&writer);
    queue_close(q);
    return rc;
}
