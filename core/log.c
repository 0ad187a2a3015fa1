#include "core/log.h"

#include "core/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

struct repeat {
    enum log_level level;
    int64_t first_ms;
    uint64_t count; /* that were not written */
    char *text;     /* NULL: free */
};

struct log {
    struct log_conf conf;
    struct repeat repeats[LOG_REPEATS_MAX];
};

/* ---- masking ---- */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_token(char c)
{
    return is_word(c) || (c && strchr("-_.~+/=", c));
}

static size_t token_run(struct span s, size_t at)
{
    size_t n = 0;
    while (at + n < s.n && is_token(s.p[at + n])) {
        n++;
    }
    return n;
}

static bool begins(struct span s, size_t at, const char *what)
{
    size_t n = strlen(what);
    return s.n - at >= n && strncasecmp(s.p + at, what, n) == 0;
}

/* What stands before a secret, and whether the mark itself may follow a letter. */
static const struct mark {
    const char *text;
    size_t secret_min; /* shorter tokens are words */
} marks[] = {
    {"sk-", 3},
    {"Bearer ", 1},
    {"x-api-key: ", 1},
    {"x-api-key=", 1},
};

/* The length of `user:password` in `://user:password@`, when s begins at its first byte. */
static size_t userinfo_run(struct span s, size_t at)
{
    for (size_t n = 0; at + n < s.n && n < 256; n++) {
        char c = s.p[at + n];
        if (c == '@') {
            return n;
        }
        if (c == '/' || c == ' ' || c == '"' || c == '\'') {
            break;
        }
    }
    return 0;
}

/* Bytes of mark and secret at `at`; *ret_keep of them may be shown. 0: nothing to hide. */
static size_t secret_at(struct span s, size_t at, size_t *ret_keep)
{
    bool inside_word = at > 0 && is_word(s.p[at - 1]);
    for (size_t i = 0; i < ARRAY_LEN(marks) && !inside_word; i++) {
        size_t mark_n = strlen(marks[i].text);
        if (begins(s, at, marks[i].text)) {
            size_t n = token_run(s, at + mark_n);
            if (n >= marks[i].secret_min) {
                *ret_keep = mark_n;
                return mark_n + n;
            }
        }
    }
    if (begins(s, at, "://")) {
        size_t n = userinfo_run(s, at + 3);
        *ret_keep = 3;
        return n ? 3 + n : 0;
    }
    return 0;
}

static size_t add_visible(struct buf *ret, struct span s)
{
    unsigned char c = (unsigned char)s.p[0];
    int n = span_utf8(s);
    bool c1 = n == 2 && c == 0xc2 && (unsigned char)s.p[1] < 0xa0; /* 8-bit controls */
    if (n == 0 || c < 0x20 || c == 0x7f || c1) {
        buf_addf(ret, "\\x%02x", c);
        return 1;
    }
    buf_add(ret, s.p, (size_t)n);
    return (size_t)n;
}

int log_redact(struct buf *ret, struct span text)
{
    for (size_t at = 0; at < text.n && !ret->failed;) {
        size_t keep = 0;
        size_t n = secret_at(text, at, &keep);
        if (n) {
            buf_add(ret, text.p + at, keep);
            buf_adds(ret, "***");
            at += n;
        } else {
            at += add_visible(ret, span_of(text.p + at, text.n - at));
        }
    }
    return ret->failed ? -1 : 0;
}

/* ---- writing ---- */

static const char *level_name(enum log_level level, enum log_format format)
{
    switch (level) {
    case LOG_ERROR: return "error";
    case LOG_WARN: return format == LOG_PLAIN ? "warning" : "warn";
    case LOG_INFO: return "info";
    case LOG_DEBUG: return "debug";
    }
    return "";
}

static void add_plain(struct buf *out, enum log_level level, struct span msg,
                      struct span hint)
{
    if (level != LOG_INFO) {
        buf_addf(out, "%s: ", level_name(level, LOG_PLAIN));
    }
    buf_add(out, msg.p, msg.n);
    if (hint.n) {
        buf_adds(out, "\nhint: ");
        log_redact(out, hint);
    }
}

static void add_quoted(struct buf *out, struct span s)
{
    buf_addc(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\') {
            buf_addc(out, '\\');
        }
        buf_addc(out, s.p[i]);
    }
    buf_addc(out, '"');
}

static void add_logfmt(struct buf *out, enum log_level level, struct span msg,
                       struct span hint)
{
    _cleanup_(buf_fini) struct buf clean;
    buf_init(&clean, LOG_LINE_MAX);
    buf_addf(out, " level=%s msg=", level_name(level, LOG_LOGFMT));
    add_quoted(out, msg);
    if (hint.n) {
        log_redact(&clean, hint);
        buf_adds(out, " hint=");
        add_quoted(out, buf_span(&clean));
    }
}

/* msg is redacted already. One write, so that lines of several programs do not mix. */
static void emit(struct log *l, enum log_level level, int64_t wall_ms, struct span msg,
                 struct span hint)
{
    _cleanup_(buf_fini) struct buf out;
    char time[CLOCK_TIME_TEXT];
    buf_init(&out, 4 * (size_t)LOG_LINE_MAX);
    if (l->conf.format == LOG_LOGFMT) {
        buf_addf(&out, "time=%s", clock_time(wall_ms, time));
        add_logfmt(&out, level, msg, hint);
    } else {
        add_plain(&out, level, msg, hint);
    }
    buf_addc(&out, '\n');
    ssize_t n = write(l->conf.fd, out.p, out.n);
    (void)n; /* there is nobody to tell */
}

/* ---- repeats ---- */

static void tell_repeat(struct log *l, struct repeat *r, int64_t wall_ms)
{
    if (r->count) {
        _cleanup_(buf_fini) struct buf line;
        buf_init(&line, LOG_LINE_MAX + 100);
        buf_addf(&line, "%s (%llu more in %lld s)", r->text, (unsigned long long)r->count,
                 (long long)((wall_ms - r->first_ms) / 1000));
        emit(l, r->level, wall_ms, buf_span(&line), SPAN_NONE);
    }
    free(TAKE_PTR(r->text));
    r->count = 0;
}

void log_flush(struct log *l, int64_t wall_ms, bool everything)
{
    for (size_t i = 0; i < LOG_REPEATS_MAX; i++) {
        struct repeat *r = &l->repeats[i];
        if (r->text && (everything || wall_ms - r->first_ms >= l->conf.repeat_ms)) {
            tell_repeat(l, r, wall_ms);
        }
    }
}

/* Makes room: texts that came once go first, then the oldest. */
static struct repeat *free_repeat(struct log *l, int64_t wall_ms)
{
    struct repeat *oldest = &l->repeats[0];
    for (size_t i = 0; i < LOG_REPEATS_MAX; i++) {
        struct repeat *r = &l->repeats[i];
        if (!r->text) {
            return r;
        }
        bool rarer = (r->count == 0) > (oldest->count == 0);
        bool as_rare = (r->count == 0) == (oldest->count == 0);
        oldest = rarer || (as_rare && r->first_ms < oldest->first_ms) ? r : oldest;
    }
    tell_repeat(l, oldest, wall_ms);
    return oldest;
}

/* True where this text was written a moment ago and is only counted. */
static bool is_repeat(struct log *l, enum log_level level, int64_t wall_ms,
                      const char *text)
{
    if (l->conf.repeat_ms <= 0) {
        return false;
    }
    log_flush(l, wall_ms, false);
    for (size_t i = 0; i < LOG_REPEATS_MAX; i++) {
        struct repeat *r = &l->repeats[i];
        if (r->text && r->level == level && strcmp(r->text, text) == 0) {
            r->count++;
            return true;
        }
    }
    struct repeat *r = free_repeat(l, wall_ms);
    *r = (struct repeat){.level = level, .first_ms = wall_ms, .text = strdup(text)};
    return false;
}

static void write_line(struct log *l, enum log_level level, int64_t wall_ms,
                       struct span text, struct span hint)
{
    _cleanup_(buf_fini) struct buf clean;
    buf_init(&clean, LOG_LINE_MAX);
    (void)log_redact(&clean, text); /* what does not fit is cut */
    if (!is_repeat(l, level, wall_ms, clean.p ? clean.p : "")) {
        emit(l, level, wall_ms, buf_span(&clean), hint);
    }
}

/* ---- the object ---- */

int log_create(struct log **ret, const struct log_conf *conf, struct err *err)
{
    struct log *l = calloc(1, sizeof(*l));
    if (!l) {
        return err_set(err, ERR_FAIL, "could not start the log: out of memory");
    }
    l->conf = *conf;
    *ret = l;
    return 0;
}

struct log *log_destroy(struct log *l)
{
    for (size_t i = 0; l && i < LOG_REPEATS_MAX; i++) {
        free(l->repeats[i].text);
    }
    free(l);
    return NULL;
}

bool log_wants(const struct log *l, enum log_level level)
{
    return level <= l->conf.level;
}

void log_line(struct log *l, enum log_level level, int64_t wall_ms, const char *fmt, ...)
{
    char text[LOG_LINE_MAX];
    va_list args;
    if (!log_wants(l, level)) {
        return;
    }
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (n >= 0) {
        write_line(l, level, wall_ms, span_str(text), SPAN_NONE);
    }
}

void log_err(struct log *l, enum log_level level, int64_t wall_ms, const struct err *e)
{
    if (log_wants(l, level)) {
        write_line(l, level, wall_ms, span_str(e->msg), span_str(e->hint));
    }
}
