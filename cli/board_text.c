/* The picture of a data folder as text (board.h). Pure. */
#include "cli/board.h"

#include "core/redact.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define LINE_BYTES_MAX ((size_t)4 << 10)
#define RUN_REST       44 /* of a line about a run: all but its name */
#define RUN_COLUMN_MIN 12
#define RUN_COLUMN_MAX 40
#define ID_COLUMN_MAX  26
#define ID_COLUMN_MIN  19 /* still tells them apart, and leaves room for the model */
#define ID_WHOLE_FROM  70 /* columns */
#define MONEY_PLACES   6

struct page {
    const struct board_view *view;
    struct buf *to;
    unsigned width;
    bool colour;
};

const char *board_state_name(enum board_state s)
{
    static const char *const names[] = {[BOARD_QUEUEING] = "queueing",
                                        [BOARD_WORKING] = "working",
                                        [BOARD_WAITS] = "waits",
                                        [BOARD_CANCELLED] = "cancelling",
                                        [BOARD_OVER] = "over"};
    return names[s];
}

/* ---- lines ---- */

/* So many characters of a text as the line is wide. */
static void add_cut(struct buf *to, struct span text, unsigned width)
{
    unsigned shown = 0;
    for (size_t at = 0; at < text.n && shown < width; shown++) {
        int n = span_utf8(span_of(text.p + at, text.n - at));
        if (n == 0) {
            buf_addc(to, '?');
            at++;
            continue;
        }
        buf_add(to, text.p + at, (size_t)n);
        at += (size_t)n;
    }
}

static void line(struct page *p, bool bold, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void line(struct page *p, bool bold, const char *fmt, ...)
{
    char text[LINE_BYTES_MAX];
    _cleanup_(buf_fini) struct buf safe;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    buf_init(&safe, REDACT_LINE_MAX);
    redact(&safe, span_str(text));
    buf_adds(p->to, bold && p->colour ? "\033[1m" : "");
    add_cut(p->to, buf_span(&safe), p->width);
    buf_adds(p->to, bold && p->colour ? "\033[0m\n" : "\n");
}

/* "12s", "4m", "3h", "5d" */
static const char *age(int64_t ms, char ret[static 24])
{
    int64_t s = MAX_OF(ms, (int64_t)0) / 1000;
    if (s < 120) {
        snprintf(ret, 24, "%" PRId64 "s", s);
    } else if (s < 7200) {
        snprintf(ret, 24, "%" PRId64 "m", s / 60);
    } else if (s < (int64_t)48 * 3600) {
        snprintf(ret, 24, "%" PRId64 "h", s / 3600);
    } else {
        snprintf(ret, 24, "%" PRId64 "d", s / 86400);
    }
    return ret;
}

/* In full, over as many lines as it takes, cut at spaces. */
static void wrap(struct page *p, struct span text)
{
    size_t room = p->width - 2;
    while (text.n) {
        size_t n = MIN_OF(text.n, room);
        while (n < text.n && n > room / 2 && text.p[n] != ' ') {
            n--;
        }
        n = n < text.n && text.p[n] != ' ' ? room : n;
        line(p, false, "  %.*s", (int)n, text.p);
        n += n < text.n && text.p[n] == ' ';
        text = span_of(text.p + n, text.n - n);
    }
}

/* ---- who works on it ---- */

static void add_crew(struct page *p)
{
    const struct board_view *v = p->view;
    _cleanup_(buf_fini) struct buf words, start;
    buf_init(&words, LINE_BYTES_MAX);
    buf_init(&start, LINE_BYTES_MAX);
    crew_words(&v->crew, &words);
    if (!crew_lacks(&v->crew)) {
        line(p, false, "%s at work", words.p);
        return;
    }
    crew_remedy(&v->crew, v->broker, &start);
    line(p, true, "%s at work; start with", words.p);
    wrap(p, buf_span(&start));
}

static void add_head(struct page *p)
{
    const struct board_view *v = p->view;
    char time[CLOCK_TIME_TEXT], in[24] = "";
    clock_time(v->wall_ms, time);
    line(p, true, "%.8s UTC  %s", time + 11, v->data);
    if (v->remote) {
        add_crew(p);
    } else if (!v->owner) {
        line(p, false, "nobody works on it: offpeak run --data %s", v->data);
    } else if (v->beat.next_poll_ms) {
        line(p, false, "a process works on it, next poll in %s",
             age(v->beat.next_poll_ms - v->wall_ms + 999, in));
    } else {
        line(p, false, "a process works on it");
    }
    if (v->beat.account[0]) {
        line(p, true, "account: %s", v->beat.account);
        line(p, false, "         %s", v->beat.account_hint);
    }
}

/* ---- runs ---- */

static uint64_t failed_of(const struct follow_status *s)
{
    return s->results - s->by_status[STATUS_OK];
}

static const char *cost_of(const struct follow_status *s, char ret[static USD_TEXT_MAX])
{
    return s->no_money ? "unknown" : usd_show(s->money.cost, MONEY_PLACES, ret);
}

static int run_column(const struct page *p)
{
    int rest = (int)p->width - RUN_REST;
    return MIN_OF(MAX_OF(rest, RUN_COLUMN_MIN), RUN_COLUMN_MAX);
}

static void add_run(struct page *p, const struct board_run *r)
{
    char cost[USD_TEXT_MAX], done[48];
    snprintf(done, sizeof(done), "%" PRIu64 "/%" PRIu64, r->status.results,
             run_jobs(&r->run.row));
    line(p, false, "%-*.*s %-10s %11s %6" PRIu64 " %s", run_column(p), run_column(p),
         r->run.run, board_state_name(r->state), done, failed_of(&r->status),
         cost_of(&r->status, cost));
}

static void add_runs(struct page *p)
{
    const struct board_view *v = p->view;
    line(p, false, "%s", "");
    line(p, true, "%-*s %-10s %11s %6s %s", run_column(p), "run", "state", "done",
         "failed", "cost");
    for (unsigned i = 0; i < v->runs_n; i++) {
        add_run(p, &v->runs[i]);
    }
    if (v->runs_all > v->runs_n) {
        line(p, false, "and %u that began before", v->runs_all - v->runs_n);
    }
    if (!v->runs_all) {
        line(p, false, "none yet");
    }
}

/* ---- batches ---- */

static int id_column(const struct page *p)
{
    return p->width < ID_WHOLE_FROM ? ID_COLUMN_MIN : ID_COLUMN_MAX;
}

static void add_batch(struct page *p, const struct board_batch *b)
{
    const struct board_view *v = p->view;
    char old[24], due[24], poll[24] = "-";
    if (b->poll_ms) {
        age(b->poll_ms - v->wall_ms + 999, poll);
    }
    line(p, false, "%-*.*s %-9s %4s %4s %5u %s", id_column(p), id_column(p), b->id,
         batch_state_name(b->state), age(v->wall_ms - b->created_ms, old), poll, b->calls,
         b->model);
    if (b->recovery) {
        line(p, false, "  recovery: looking for what an earlier create made");
    }
    if (b->due_ms) {
        line(p, false, "  again in %s: %s", age(b->due_ms - v->wall_ms + 999, due),
             b->why);
    }
}

static void add_batches(struct page *p)
{
    const struct board_view *v = p->view;
    if (!v->batches_all) {
        return;
    }
    line(p, false, "%s", "");
    line(p, true, "%-*s %-9s %4s %4s %5s %s", id_column(p), "batch", "state", "age",
         "poll", "calls", "model");
    for (unsigned i = 0; i < v->batches_n; i++) {
        add_batch(p, &v->batches[i]);
    }
    if (v->batches_all > v->batches_n) {
        line(p, false, "and %u more", v->batches_all - v->batches_n);
    }
}

static void add_single(struct page *p)
{
    _cleanup_(buf_fini) struct buf text;
    buf_init(&text, LINE_BYTES_MAX);
    for (unsigned lane = 0; lane < LANES; lane++) {
        uint64_t n = p->view->single[lane];
        if (n) {
            buf_addf(&text, "%s up to %" PRIu64 " %s", text.n ? "," : "", n,
                     lane_name((enum lane)lane));
        }
    }
    if (text.n) {
        line(p, false, "%s", "");
        line(p, false, "single calls under way:%s", text.p);
    }
}

/* ---- money ---- */

static void add_money(struct page *p)
{
    const struct board_view *v = p->view;
    char spent[USD_TEXT_MAX], held[USD_TEXT_MAX], limit[USD_TEXT_MAX];
    line(p, false, "%s", "");
    line(p, true, "%-20s %10s %10s of limit", "money", "spent", "reserved");
    for (unsigned i = 0; i < v->limits_n; i++) {
        const struct board_limit *l = &v->limits[i];
        char name[96];
        snprintf(name, sizeof(name), "%s/%s", l->scope, l->period);
        line(p, false, "%-20.40s %10s %10s %s%s", name,
             usd_show(l->spent, MONEY_PLACES, spent),
             usd_show(l->reserved, MONEY_PLACES, held),
             l->limited ? usd_show(l->limit, MONEY_PLACES, limit) : "none",
             l->paused ? ", paused" : "");
    }
    line(p, false, "in flight: %s%" PRIu64 " jobs, %s reserved",
         v->open_more ? "more than " : "", v->open_jobs,
         usd_show(v->reserved, MONEY_PLACES, held));
    if (!v->limits_n && !v->remote) {
        line(p, false, "nothing limits what may be spent");
    }
}

/* ---- what waits ---- */

static void add_gates(struct page *p)
{
    const struct board_view *v = p->view;
    if (!v->beat.gates_n) {
        return;
    }
    line(p, false, "%s", "");
    line(p, true, "waits: %" PRIu64 " jobs are not let through yet", v->beat.waiting);
    for (unsigned i = 0; i < v->beat.gates_n; i++) {
        const struct beat_gate *g = &v->beat.gates[i];
        _cleanup_(buf_fini) struct buf text;
        buf_init(&text, LINE_BYTES_MAX);
        buf_addf(&text, "%s: %s", g->queue, g->why);
        wrap(p, buf_span(&text));
        wrap(p, span_str(g->hint));
    }
}

static void add_hidden(struct page *p)
{
    if (p->view->hidden) {
        line(p, false, "%s", "");
        wrap(p, SPAN_LIT("this user may not read all of it: what is not shown is not "
                         "known"));
    }
}

int board_text(const struct board_view *v, unsigned width, bool colour, struct buf *ret)
{
    struct page p = {.view = v, .to = ret, .width = MAX_OF(width, 20u), .colour = colour};
    add_head(&p);
    add_runs(&p);
    add_batches(&p);
    add_single(&p);
    add_money(&p);
    add_gates(&p);
    add_hidden(&p);
    return ret->failed ? -1 : 0;
}

/* ---- one line ---- */

static void add_short(struct buf *to, const struct board_run *r)
{
    char cost[USD_TEXT_MAX];
    buf_addf(to, "run '%s' %s: %" PRIu64 " of %" PRIu64 " done, %" PRIu64 " not ok, %s; ",
             r->run.run, board_state_name(r->state), r->status.results,
             run_jobs(&r->run.row), failed_of(&r->status), cost_of(&r->status, cost));
}

int board_line(const struct board_view *v, struct buf *ret)
{
    for (unsigned i = 0; i < v->runs_n; i++) {
        if (v->runs[i].state != BOARD_OVER || v->runs_all == 1) {
            add_short(ret, &v->runs[i]);
        }
    }
    unsigned retry = 0, recovery = 0;
    for (unsigned i = 0; i < v->batches_n; i++) {
        retry += v->batches[i].state == BATCH_RETRY;
        recovery += v->batches[i].recovery;
    }
    buf_addf(ret, "%u batch%s", v->batches_all, v->batches_all == 1 ? "" : "es");
    if (retry) {
        buf_addf(ret, ", %u to be tried again", retry);
    }
    if (recovery) {
        buf_addf(ret, ", %u in recovery", recovery);
    }
    for (unsigned i = 0; i < v->beat.gates_n; i++) {
        if (v->beat.gates[i].closed) {
            buf_addf(ret, "; waits: %s: %s", v->beat.gates[i].queue,
                     v->beat.gates[i].why);
        }
    }
    if (v->beat.account[0]) {
        buf_addf(ret, "; account: %s", v->beat.account);
    }
    if (v->remote && crew_lacks(&v->crew)) {
        buf_adds(ret, "; ");
        crew_words(&v->crew, ret);
        buf_adds(ret, " at work");
    } else if (!v->owner && !v->remote) {
        buf_adds(ret, "; nobody works on it");
    }
    return ret->failed ? -1 : 0;
}
