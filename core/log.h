/*
 * log.h - lines for people and for machines, on one file descriptor.
 *
 * A log is an object, not a global; only cli/ and the on_* handlers write to one, libraries
 * return a struct err. Formats:
 *
 *     LOG_PLAIN    warning: could not reach 'https://...': connection refused
 *                  hint: check the network, then run the same command again
 *     LOG_LOGFMT   time=2026-11-21T02:14:07.311Z level=warn msg="could not ..." hint="check ..."
 *
 * Every line passes log_redact: control characters and broken UTF-8 are escaped, keys are
 * masked. The same text again within repeat_ms is counted instead of written; when the interval
 * is over the next line (or log_flush) says how often it came. Time is handed in by the caller,
 * as the loop's wall time, so that a simulated night logs the same every time. A line that
 * cannot be written is dropped. One log belongs to one thread.
 */
#ifndef OFFPEAK_CORE_LOG_H
#define OFFPEAK_CORE_LOG_H

#include "core/buf.h"
#include "core/err.h"
#include <stdint.h>

#define LOG_LINE_MAX    4096 /* longer lines are cut */
#define LOG_REPEATS_MAX 32   /* texts remembered at a time; the oldest makes room */

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_PLAIN, LOG_LOGFMT };

struct log;

struct log_conf {
    int fd; /* the caller's; stays open */
    enum log_format format;
    enum log_level level; /* the least important that is written */
    int64_t repeat_ms;    /* 0: repeats are written like anything else */
};

int log_create(struct log **ret, const struct log_conf *conf, struct err *err);
struct log *log_destroy(struct log *l); /* what log_flush has not told is lost */

bool log_wants(const struct log *l, enum log_level level);
void log_line(struct log *l, enum log_level level, int64_t wall_ms, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* An error with its hint. */
void log_err(struct log *l, enum log_level level, int64_t wall_ms, const struct err *e);
/* Writes the summaries that are due (all of them with `everything`). */
void log_flush(struct log *l, int64_t wall_ms, bool everything);

/* Appends `text` with keys masked ("sk-...", Bearer tokens, x-api-key values, user names in
 * URLs) and control characters as \xNN. For everything that reaches a terminal or a file. */
int log_redact(struct buf *ret, struct span text);

#endif
