#include "cli/progress.h"

#include "core/redact.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_CELLS      20u
#define LINE_MAX_BYTES ((size_t)2 << 10)
#define WIDTH_UNKNOWN  80

void progress_init(struct progress *p, bool quiet, bool plain)
{
    struct winsize size;
    *p = (struct progress){.quiet = quiet, .width = WIDTH_UNKNOWN};
    p->terminal = isatty(STDERR_FILENO);
    p->bar = !quiet && !plain && p->terminal;
    p->colour = p->bar;
    if (p->bar && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) {
        p->width = size.ws_col;
    }
}

void progress_clear(struct progress *p)
{
    if (p->drawn) {
        fputs("\r\033[K", stderr);
        p->drawn = false;
    }
}

static void put(const struct buf *line)
{
    _cleanup_(buf_fini) struct buf safe;
    buf_init(&safe, REDACT_LINE_MAX);
    redact(&safe, buf_span(line));
    fwrite(safe.p ? safe.p : "", 1, safe.n, stderr);
}

void progress_say(struct progress *p, int64_t now_ms, const char *subject,
                  const char *text)
{
    if (p->quiet) {
        return;
    }
    _cleanup_(buf_fini) struct buf line;
    buf_init(&line, LINE_MAX_BYTES);
    if (subject && subject[0]) {
        buf_addf(&line, "%s: ", subject);
    }
    buf_adds(&line, text);
    progress_clear(p);
    put(&line);
    fputc('\n', stderr);
    p->last_line_ms = now_ms;
}

void progress_notice(struct progress *p, const char *text)
{
    if (p->bar) {
        progress_clear(p);
        fprintf(stderr, "%.*s", (int)p->width - 1, text);
        p->drawn = true;
    } else if (p->terminal && !p->quiet) {
        fprintf(stderr, "%s\n", text);
    }
}

void progress_step(struct progress *p, int64_t now_ms, const char *subject,
                   const char *text)
{
    if (!p->bar) {
        progress_say(p, now_ms, subject, text);
    }
}

void progress_refused(struct progress *p, const struct refused_line *l)
{
    _cleanup_(buf_fini) struct buf line;
    buf_init(&line, LINE_MAX_BYTES);
    buf_addf(&line, "%s:%llu: %s", l->label, (unsigned long long)l->line, l->why);
    if (l->remedy) {
        buf_addf(&line, "; %s", l->remedy);
    }
    progress_clear(p);
    put(&line);
    fputc('\n', stderr);
}

void progress_more(struct progress *p, const char *label, uint64_t refused)
{
    if (refused > PROGRESS_REFUSED_MAX) {
        progress_clear(p);
        fprintf(stderr, "%s: %llu more lines like these\n", label,
                (unsigned long long)(refused - PROGRESS_REFUSED_MAX));
    }
}

/* "12s", "4m", "3h": one unit is enough to plan a coffee or a night. */
static void add_time(struct buf *to, int64_t ms)
{
    int64_t s = (ms + 999) / 1000;
    if (s < 120) {
        buf_addf(to, "%llds", (long long)s);
    } else if (s < 7200) {
        buf_addf(to, "%lldm", (long long)(s + 59) / 60);
    } else {
        buf_addf(to, "%lldh", (long long)(s + 3599) / 3600);
    }
}

static void add_bar(struct buf *to, const struct progress_view *v, unsigned cells)
{
    uint64_t full = v->jobs ? MIN_OF(v->done, v->jobs) * cells / v->jobs : 0;
    buf_addc(to, '[');
    for (unsigned i = 0; i < cells; i++) {
        buf_addc(to, i < full ? '#' : '.');
    }
    buf_adds(to, "] ");
}

/* By the pace so far; answers come in lumps, so it is a guess and says so. */
static void add_left(struct buf *to, const struct progress_view *v)
{
    uint64_t now = v->done - MIN_OF(v->done_at_start, v->done);
    if (now == 0 || v->done >= v->jobs || v->elapsed_ms < 1000) {
        return;
    }
    buf_adds(to, "about ");
    add_time(to, v->elapsed_ms / (int64_t)now * (int64_t)(v->jobs - v->done));
    buf_adds(to, " left");
}

/* In the order in which they are said while there is room. */
enum part {
    PART_FAILED,
    PART_BATCHES,
    PART_PAID,
    PART_POLL,
    PART_WAITING,
    PART_LEFT,
    PARTS
};

/* Adds nothing where there is nothing to say. */
static void add_part(struct buf *to, const struct progress_view *v, enum part part)
{
    char spent[USD_TEXT_MAX];
    switch (part) {
    case PART_FAILED:
        if (v->failed) {
            buf_addf(to, "%" PRIu64 " failed", v->failed);
        }
        return;
    case PART_PAID:
        if (!v->no_money) {
            buf_addf(to, "%s paid", usd_show(v->spent, 4, spent));
        }
        return;
    case PART_BATCHES:
        if (v->batches) {
            buf_addf(to, "%" PRIu64 " batch%s there", v->batches,
                     v->batches == 1 ? "" : "es");
        }
        return;
    case PART_POLL:
        if (v->next_poll_ms >= 0) {
            buf_adds(to, "next look in ");
            add_time(to, v->next_poll_ms);
        }
        return;
    case PART_WAITING:
        if (v->waiting) {
            buf_addf(to, "%" PRIu64 " waiting", v->waiting);
        }
        return;
    case PART_LEFT: add_left(to, v); return;
    case PARTS: return;
    }
}

int progress_text(const struct progress_view *v, unsigned width, struct buf *ret)
{
    if (width) {
        add_bar(ret, v, MIN_OF(width / 5, BAR_CELLS));
    }
    buf_addf(ret, "%" PRIu64 " of %" PRIu64 " jobs done", v->done, v->jobs);
    for (enum part part = 0; part < PARTS && !ret->failed; part++) {
        size_t before = ret->n;
        buf_adds(ret, ", ");
        add_part(ret, v, part);
        if (ret->n == before + 2 || (width && ret->n >= width)) {
            ret->n = before;
        }
    }
    return ret->failed ? -1 : 0;
}

void progress_show(struct progress *p, int64_t now_ms, const struct progress_view *v)
{
    if (!p->last_line_ms) {
        p->last_line_ms = now_ms; /* silence begins with the first look */
    }
    if (p->quiet || (!p->bar && now_ms - p->last_line_ms < PROGRESS_SILENCE_MS)) {
        return;
    }
    _cleanup_(buf_fini) struct buf line;
    buf_init(&line, LINE_MAX_BYTES);
    progress_text(v, p->bar ? p->width : 0, &line);
    if (p->bar) {
        line.n = MIN_OF(line.n, p->width - 1);
        progress_clear(p);
        put(&line);
        p->drawn = true;
    } else {
        put(&line);
        fputc('\n', stderr);
        p->last_line_ms = now_ms;
    }
    fflush(stderr);
}
