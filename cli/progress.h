/*
 * progress.h - what people see while a run is going, on standard error.
 *
 * On a terminal: one line that is redrawn, and above it what is worth knowing. Elsewhere: a line
 * per state change, and at most one every five minutes otherwise. Quiet: nothing.
 * progress_text is pure. All text passes redact.
 */
#ifndef OFFPEAK_CLI_PROGRESS_H
#define OFFPEAK_CLI_PROGRESS_H

#include "core/buf.h"
#include "core/money.h"

#define PROGRESS_REDRAW_MS  200
#define PROGRESS_SILENCE_MS ((int64_t)5 * 60 * 1000)

struct progress_view {
    uint64_t jobs;
    uint64_t done, failed;
    uint64_t done_at_start;
    uint64_t batches, waiting; /* at the provider; not released yet */
    int64_t next_poll_ms;      /* from now; -1: none due */
    int64_t elapsed_ms;
    struct usd_sum spent;
    bool no_money; /* what was paid is not known */
};

struct progress {
    bool quiet, terminal, bar, colour;
    unsigned width;       /* of the terminal */
    bool drawn;           /* a bar stands on the current line */
    int64_t last_line_ms; /* when anything was printed last */
};

void progress_init(struct progress *p, bool quiet, bool plain);
/* A line about something that happened. */
void progress_say(struct progress *p, int64_t now_ms, const char *subject,
                  const char *text);
/* What is being done, when it may take its time: at once, on a terminal only, until it is
 * cleared or something else is shown. */
void progress_notice(struct progress *p, const char *text);
/* Something went on as it should: the bar shows that, and without one it is a line. */
void progress_step(struct progress *p, int64_t now_ms, const char *subject,
                   const char *text);
/* A line of the input that was refused; told even when quiet. */
struct refused_line {
    const char *label;
    uint64_t line;
    const char *why, *remedy; /* remedy NULL: why says it all */
};
#define PROGRESS_REFUSED_MAX 20 /* told one by one; the caller counts */
void progress_refused(struct progress *p, const struct refused_line *l);
void progress_more(struct progress *p, const char *label, uint64_t refused);
/* Redraws the bar, or prints a line when it was silent for long. */
void progress_show(struct progress *p, int64_t now_ms, const struct progress_view *v);
/* Removes the bar: whoever prints next begins on an empty line. */
void progress_clear(struct progress *p);

/* One line without its end. `width` 0: all there is to say; else a bar, and of the rest the
 * first parts that fit on a terminal of that width. */
int progress_text(const struct progress_view *v, unsigned width, struct buf *ret);

#endif
