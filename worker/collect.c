#include "worker/collect.h"
#include "worker/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LINE_BYTES_MAX QUEUE_VALUE_MAX

struct collect {
    char path[2][SPOOL_PATH_MAX];
    int file; /* 0 output, 1 error, 2 the end */
    int fd;
    bool at_end;     /* of the open file: what remains in `text` is its last line */
    bool begun;      /* a line of the open file was handed out */
    bool skipping;   /* inside a line that is too long */
    struct buf text; /* what was read; [from, n) is not handed out yet */
    size_t from;
    struct provider_line lines[COLLECT_LINES];
    uint32_t len;
    uint32_t members;
    uint8_t *seen; /* a bit per member */
    struct collect_tally tally;
};

int collect_open(struct collect **ret, const char *dir, const char *id, uint32_t members,
                 struct err *err)
{
    struct collect *c = calloc(1, sizeof(*c));
    if (c) {
        c->fd = -1;
        c->seen = calloc((size_t)members / 8 + 1, 1);
        buf_init(&c->text, LINE_BYTES_MAX + COLLECT_BYTES);
    }
    if (!c || !c->seen) {
        collect_close(c);
        return err_set(err, ERR_FAIL,
                       "could not read the results of batch '%s': out of memory", id);
    }
    c->members = members;
    spool_path(dir, id, SPOOL_OUTPUT, c->path[0]);
    spool_path(dir, id, SPOOL_ERROR, c->path[1]);
    *ret = c;
    return 0;
}

struct collect *collect_close(struct collect *c)
{
    if (c) {
        attr_closep(&c->fd);
        buf_fini(&c->text);
        free(c->seen);
        free(c);
    }
    return NULL;
}

/* ---- bytes ---- */

static int failed(const struct collect *c, struct err *err)
{
    return err_set(err, ERR_FAIL, "could not read '%s': %s", c->path[c->file],
                   strerror(errno));
}

/* Goes on to the next file that exists; the end when there is none. */
static int next_file(struct collect *c, struct err *err)
{
    attr_closep(&c->fd);
    c->fd = -1;
    while (c->fd < 0 && c->file < 2) {
        c->fd = open(c->path[c->file], O_RDONLY | O_CLOEXEC);
        if (c->fd < 0 && errno != ENOENT) {
            return failed(c, err);
        }
        c->file += c->fd < 0;
    }
    c->at_end = false;
    c->begun = false;
    c->skipping = false;
    return 0;
}

/* Drops what was handed out, then reads more behind what is left. */
static int fill(struct collect *c, struct err *err)
{
    size_t rest = c->text.n - c->from;
    if (rest > 0 && c->from > 0) {
        memmove(c->text.p, c->text.p + c->from, rest);
    }
    c->text.n = rest;
    c->from = 0;
    /* twice as much each time, so that a long line is not searched over and over */
    size_t more = MIN_OF(MAX_OF(rest, COLLECT_BYTES), c->text.max - rest);
    if (buf_reserve(&c->text, more) < 0) {
        return err_set(err, ERR_FAIL, "could not read '%s': out of memory",
                       c->path[c->file]);
    }
    ssize_t got;
    do {
        got = read(c->fd, c->text.p + rest, more);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return failed(c, err);
    }
    c->text.n += (size_t)got;
    c->at_end = got == 0;
    return 0;
}

/* The next whole line in `text`: false when more must be read first. */
static bool cut_line(struct collect *c, struct span *ret)
{
    if (c->from == c->text.n) {
        return false;
    }
    struct span left = span_of(c->text.p + c->from, c->text.n - c->from);
    const char *end = memchr(left.p, '\n', left.n);
    if (!end && !c->at_end) {
        return false;
    }
    size_t n = end ? (size_t)(end - left.p) : left.n;
    c->from += n + (end != NULL);
    if (!c->begun && n >= 3 && memcmp(left.p, "\xef\xbb\xbf", 3) == 0) {
        left.p += 3; /* a byte-order mark */
        n -= 3;
    }
    c->begun = true;
    *ret = span_trim(span_of(left.p, n));
    return true;
}

/* ---- lines ---- */

static void take_line(struct collect *c, const struct provider *p, struct span line)
{
    if (c->skipping) { /* the end of a line that was too long */
        c->skipping = false;
        return;
    }
    if (line.n == 0) {
        return;
    }
    c->tally.lines++;
    if (p->decode(line, &c->lines[c->len]) < 0) {
        c->tally.garbage++;
        return;
    }
    c->len++;
}

/* Nothing whole is left in `text`: a line longer than any record is given up. */
static void drop_long_line(struct collect *c)
{
    if (c->text.n - c->from <= LINE_BYTES_MAX) {
        return;
    }
    if (!c->skipping) {
        c->tally.lines++;
        c->tally.garbage++;
    }
    c->skipping = true;
    c->from = c->text.n;
}

int collect_read(struct collect *c, const struct provider *p, struct err *err)
{
    c->len = 0;
    int rc = c->fd < 0 && c->file < 2 ? next_file(c, err) : 0;
    while (rc >= 0 && c->file < 2 && c->len < COLLECT_LINES) {
        struct span line;
        if (cut_line(c, &line)) {
            take_line(c, p, line);
            continue;
        }
        if (c->len > 0) {
            break; /* reading on would move what the lines point into */
        }
        if (c->at_end) {
            c->file++;
            rc = next_file(c, err);
            continue;
        }
        drop_long_line(c);
        rc = fill(c, err);
    }
    return rc < 0 ? rc : (int)c->len;
}

const struct provider_line *collect_line(const struct collect *c, uint32_t i)
{
    return &c->lines[i];
}

/* ---- counting ---- */

static bool was_seen(const struct collect *c, uint32_t index)
{
    return c->seen[index / 8] & (1u << (index % 8));
}

bool collect_first(struct collect *c, const struct provider_line *line)
{
    if (line->index >= c->members) {
        c->tally.foreign++;
        return false;
    }
    uint32_t index = (uint32_t)line->index;
    if (was_seen(c, index)) {
        c->tally.repeated++;
        return false;
    }
    c->seen[index / 8] |= (uint8_t)(1u << (index % 8));
    c->tally.members++;
    c->tally.executed += line->kind != LINE_UNEXECUTED;
    return true;
}

void collect_tally(const struct collect *c, struct collect_tally *ret)
{
    *ret = c->tally;
}

bool collect_short(const struct collect_tally *t, bool counted, uint64_t executed)
{
    return !counted || t->executed < executed;
}
