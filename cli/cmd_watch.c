/* offpeak watch: where everything stands, as it changes. */
#include "cli/board.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/signals.h"
#include "core/clock.h"
#include "core/redact.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define REFRESH_MS     500
#define WIDTH_UNKNOWN  80
#define PAGE_BYTES_MAX ((size_t)256 << 10)
#define SILENCE_MS     ((int64_t)5 * 60 * 1000)

struct watch {
    struct cli *cli;
    struct queue *queue;
    struct board *board;
    bool screen;     /* refreshes in place */
    bool keys;       /* q is read from the terminal */
    unsigned height; /* lines of the picture that stands there */
    struct signals signals;
    struct termios before;
    int64_t said_ms;
    struct buf said; /* the last line, without a terminal */
};

/* ---- the terminal ---- */

static int open_terminal(struct watch *w, struct err *err)
{
    int rc = signals_take(&w->signals, err);
    if (rc < 0) {
        return rc;
    }
    w->screen = isatty(STDOUT_FILENO) && !w->cli->env.plain;
    w->keys = w->screen && isatty(STDIN_FILENO) &&
              tcgetattr(STDIN_FILENO, &w->before) == 0;
    if (w->keys) {
        struct termios raw = w->before;
        raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    return 0;
}

static void close_terminal(struct watch *w)
{
    if (w->keys) {
        tcsetattr(STDIN_FILENO, TCSANOW, &w->before);
    }
    signals_give(&w->signals);
}

static void size_of(unsigned *ret_width, unsigned *ret_height)
{
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    *ret_width = known ? size.ws_col : WIDTH_UNKNOWN;
    *ret_height = known && size.ws_row > 2 ? size.ws_row - 1u : 0;
}

/* ---- a picture ---- */

/* Over the one before; what does not fit on the screen is left out. */
static void draw(struct watch *w, const struct board_view *v)
{
    unsigned width, height, lines = 0;
    _cleanup_(buf_fini) struct buf page;
    buf_init(&page, PAGE_BYTES_MAX);
    size_of(&width, &height);
    board_text(v, width, true, &page);
    if (w->height) {
        printf("\033[%uF", w->height);
    }
    for (size_t at = 0; at < page.n && (!height || lines < height); lines++) {
        const char *end = memchr(page.p + at, '\n', page.n - at);
        size_t n = end ? (size_t)(end - page.p) - at : page.n - at;
        printf("%.*s\033[K\n", (int)n, page.p + at);
        at += n + 1;
    }
    fputs("\033[J", stdout);
    w->height = lines;
}

/* A line when something changed, and now and then when nothing did. */
static void say(struct watch *w, const struct board_view *v)
{
    _cleanup_(buf_fini) struct buf text, safe;
    char time[CLOCK_TIME_TEXT];
    buf_init(&text, PAGE_BYTES_MAX);
    buf_init(&safe, PAGE_BYTES_MAX);
    board_line(v, &text);
    if (span_eq(buf_span(&text), buf_span(&w->said)) &&
        v->wall_ms - w->said_ms < SILENCE_MS) {
        return;
    }
    redact(&safe, buf_span(&text));
    printf("%.8s %s\n", clock_time(v->wall_ms, time) + 11, safe.p ? safe.p : "");
    buf_reset(&w->said);
    buf_add(&w->said, text.p, text.n);
    w->said_ms = v->wall_ms;
}

/* null: there is no such thing, or nobody lets us see it. */
static void json_crew(const char *name, const struct board_view *v, int n)
{
    if (v->remote && n != CREW_UNKNOWN) {
        json_count(name, (uint64_t)n);
    } else {
        json_text(name, NULL);
    }
}

static void json_run(const struct board_run *r)
{
    putchar('{');
    json_text("run", r->run.run);
    json_text("team", r->run.team);
    json_text("feature", r->run.feature);
    json_text("state", board_state_name(r->state));
    json_count("jobs", run_jobs(&r->run.row));
    json_count("results", r->status.results);
    json_count("ok", r->status.by_status[STATUS_OK]);
    if (r->status.no_money) {
        json_text("cost_usd", NULL);
    } else {
        json_amount("cost_usd", r->status.money.cost);
    }
    printf("\"complete\":%s}", r->run.row.complete ? "true" : "false");
}

static void json_batch(const struct board_batch *b)
{
    putchar('{');
    json_text("batch", b->id);
    json_text("state", batch_state_name(b->state));
    json_text("model", b->model);
    json_count("calls", b->calls);
    json_text("why", b->why[0] ? b->why : NULL);
    printf("\"created_ms\":%" PRId64 ",\"next_poll_ms\":%" PRId64 ",\"due_ms\":%" PRId64
           ",\"recovery\":%s}",
           b->created_ms, b->poll_ms, b->due_ms, b->recovery ? "true" : "false");
}

static void json_gate(const struct beat_gate *g)
{
    putchar('{');
    json_text("queue", g->queue);
    json_text("why", g->why);
    json_text("hint", g->hint[0] ? g->hint : NULL);
    printf("\"closed\":%s}", g->closed ? "true" : "false");
}

static void print_json(const struct board_view *v)
{
    putchar('{');
    json_text("data", v->data);
    printf("\"owner\":%s,", v->remote ? "null" : v->owner ? "true" : "false");
    json_crew("schedulers", v, v->crew.schedulers);
    json_crew("workers", v, v->crew.workers);
    fputs("\"runs\":[", stdout);
    for (unsigned i = 0; i < v->runs_n; i++) {
        fputs(i ? "," : "", stdout);
        json_run(&v->runs[i]);
    }
    fputs("],\"batches\":[", stdout);
    for (unsigned i = 0; i < v->batches_n; i++) {
        fputs(i ? "," : "", stdout);
        json_batch(&v->batches[i]);
    }
    printf("],\"single\":{\"sync\":%" PRIu64 ",\"pool\":%" PRIu64 "},\"waits\":[",
           v->single[LANE_SYNC], v->single[LANE_POOL]);
    for (unsigned i = 0; i < v->beat.gates_n; i++) {
        fputs(i ? "," : "", stdout);
        json_gate(&v->beat.gates[i]);
    }
    fputs("],", stdout);
    json_text("account", v->beat.account[0] ? v->beat.account : NULL);
    json_amount("reserved_usd", v->reserved);
    printf("\"next_poll_ms\":%" PRId64 "}\n", v->beat.next_poll_ms);
}

/* ---- the loop ---- */

/* The one run that is watched is over. */
static bool is_over(const struct watch *w, const struct board_view *v)
{
    return w->cli->opt->run && v->runs_n && v->runs[v->runs_n - 1].state == BOARD_OVER;
}

/* 1 go on, 0 the user has seen enough, negative: a signal's exit code. */
static int wait_a_bit(struct watch *w)
{
    struct pollfd fds[] = {{.fd = w->signals.fd, .events = POLLIN},
                           {.fd = w->keys ? STDIN_FILENO : -1, .events = POLLIN}};
    char key = '\0';
    int rc = 0;
    if (poll(fds, ARRAY_LEN(fds), REFRESH_MS) <= 0) {
        return 1;
    }
    if (fds[0].revents && (rc = signals_came(&w->signals)) < 0) {
        return rc;
    }
    if (fds[1].revents && read(STDIN_FILENO, &key, 1) <= 0) {
        w->keys = false;
    }
    return key != 'q';
}

static int loop(struct watch *w, struct err *err)
{
    for (;;) {
        int rc = board_look(w->board, err);
        if (rc < 0) {
            return rc;
        }
        const struct board_view *v = board_view(w->board);
        progress_clear(&w->cli->notice);
        (w->screen ? draw : say)(w, v);
        if (fflush(stdout)) {
            return 0; /* nobody reads any more: main says so */
        }
        if (is_over(w, v)) {
            const struct follow_status *s = &v->runs[v->runs_n - 1].status;
            return s->by_status[STATUS_OK] < s->results ? -ERR_PARTIAL : 0;
        }
        rc = wait_a_bit(w);
        if (rc <= 0) {
            return rc;
        }
    }
}

static int watch(struct watch *w, struct err *err)
{
    const struct options *o = w->cli->opt;
    struct run_wanted wanted = {.team = o->team, .feature = o->feature, .run = o->run};
    struct run_found run;
    int rc = cli_open_data(w->cli, &w->queue, err);
    if (rc >= 0 && o->run) {
        rc = run_need(w->queue, "watch", &wanted, &run, err);
    }
    if (rc >= 0) {
        const struct board_conf conf = {
            .cli = w->cli, .queue = w->queue, .wanted = wanted};
        rc = board_open(&w->board, &conf, err);
    }
    if (rc >= 0 && o->json) {
        rc = board_look(w->board, err);
        if (rc >= 0) {
            progress_clear(&w->cli->notice);
            print_json(board_view(w->board));
        }
        return rc;
    }
    if (rc >= 0) {
        rc = open_terminal(w, err);
    }
    return rc < 0 ? rc : loop(w, err);
}

int cmd_watch(struct cli *c, struct err *err)
{
    struct watch w = {.cli = c, .signals = SIGNALS_NONE};
    buf_init(&w.said, PAGE_BYTES_MAX);
    int rc = watch(&w, err);
    close_terminal(&w);
    board_close(w.board);
    queue_close(w.queue);
    buf_fini(&w.said);
    return rc;
}
