#include "producer/input.h"

#include "producer/csv.h"
#include "producer/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct input {
    struct input_conf conf;
    int fd;
    struct unpack *unpack;
    char *p; /* `cap` bytes; what is read and not yet handed out is [start, end) */
    size_t cap, start, end;
    size_t scanned;       /* bytes behind `start` known to hold no end of a line */
    struct csv_scan scan; /* of a table: where those bytes end */
    bool eof;
    uint64_t lines, blank, bytes;
};

static int check_file(int fd, const char *label, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st)) {
        return err_set(err, ERR_INPUT, "could not read '%s': %s", label, strerror(errno));
    }
    if (S_ISDIR(st.st_mode)) {
        err_set(err, ERR_INPUT, "could not read '%s': it is a directory", label);
        err_hint(err,
                 "name one file; several can be joined: cat '%s'/*.jsonl | offpeak run -",
                 label);
        return -ERR_INPUT;
    }
    if (!S_ISREG(st.st_mode)) {
        return err_set(err, ERR_INPUT, "could not read '%s': it is no regular file",
                       label);
    }
    return 0;
}

/* What unpack said is wrong, with the name of the file. */
static int fail(const struct input *in, const struct err *why, struct err *err)
{
    err_set(err, ERR_INPUT, "could not read '%s' at line %llu: %s", in->conf.label,
            (unsigned long long)in->lines + 1, why->msg);
    if (why->hint[0]) {
        err_hint(err, "%s", why->hint);
    }
    return -ERR_INPUT;
}

int input_open(struct input **ret, const struct input_conf *conf, struct err *err)
{
    struct input *in = calloc(1, sizeof(*in));
    if (!in) {
        return err_set(err, ERR_FAIL, "could not read '%s': no memory", conf->label);
    }
    in->conf = *conf;
    in->conf.max_line =
        MAX_OF(conf->max_line ? conf->max_line : INPUT_LINE_MAX, INPUT_KEPT);
    in->cap = in->conf.max_line + INPUT_CHUNK;
    in->fd = open(conf->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (in->fd < 0) {
        err_set(err, ERR_INPUT, "could not read '%s': %s", conf->label, strerror(errno));
        err_hint(err, "check its name, and that it may be read");
        input_close(in);
        return -ERR_INPUT;
    }
    in->p = malloc(in->cap);
    if (!in->p) {
        input_close(in);
        return err_set(err, ERR_FAIL,
                       "could not read '%s': no memory for a line of %zu bytes",
                       conf->label, conf->max_line);
    }
    struct err why = {0};
    int rc = check_file(in->fd, conf->label, err);
    if (rc >= 0 && unpack_open(&in->unpack, in->fd, &why) < 0) {
        rc = fail(in, &why, err);
    }
    if (rc < 0) {
        input_close(in);
        return rc;
    }
    (void)posix_fadvise(in->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    *ret = in;
    return 0;
}

struct input *input_close(struct input *in)
{
    if (in) {
        if (in->fd >= 0) {
            close(in->fd);
        }
        unpack_close(in->unpack);
        free(in->p);
        free(in);
    }
    return NULL;
}

/* Reads up to one chunk behind `end`; there is room, the callers see to it. */
static int fill(struct input *in, struct err *err)
{
    size_t room = MIN_OF(in->cap - in->end, INPUT_CHUNK);
    struct err why = {0};
    int64_t n = unpack_read(in->unpack, in->p + in->end, room, &why);
    if (n < 0) {
        return fail(in, &why, err);
    }
    in->end += (size_t)n;
    in->eof = n == 0;
    return 0;
}

/* What leaves the buffer is hashed here and nowhere else. */
static void consume(struct input *in, size_t n)
{
    if (in->conf.hash) {
        hash_add(in->conf.hash, in->p + in->start, n);
    }
    in->bytes += n;
    in->start += n;
    in->scanned = 0;
    in->scan = (struct csv_scan){0};
}

static void compact(struct input *in)
{
    memmove(in->p, in->p + in->start, in->end - in->start);
    in->end -= in->start;
    in->start = 0;
}

static size_t mark_bytes(const char *p, size_t n)
{
    return n >= 3 && !memcmp(p, "\xef\xbb\xbf", 3) ? 3 : 0;
}

static const char *find_end(struct input *in, const char *p, size_t n)
{
    size_t mark = in->bytes == 0 && in->scanned == 0 ? mark_bytes(p, n) : 0;
    if (n == mark) {
        return NULL;
    }
    return in->conf.separator ? csv_end(&in->scan, p + mark, n - mark, in->conf.separator)
                              : memchr(p, '\n', n);
}

/* The line's length with its line feed; 0: no more bytes; -1 error; -2: longer than allowed. */
static int64_t find_line(struct input *in, struct err *err)
{
    for (;;) {
        const char *from = in->p + in->start + in->scanned;
        size_t left = in->end - in->start - in->scanned;
        const char *feed = find_end(in, from, left);
        if (feed) {
            size_t n = (size_t)(feed + 1 - (in->p + in->start));
            return n - 1 > in->conf.max_line ? -2 : (int64_t)n;
        }
        in->scanned = in->end - in->start;
        if (in->scanned > in->conf.max_line) {
            return -2;
        }
        if (in->eof) {
            return (int64_t)in->scanned;
        }
        compact(in);
        if (fill(in, err) < 0) {
            return -1;
        }
    }
}

/* Keeps the head of a line that is too long at the front of the buffer and drops the rest. */
static int skip_long(struct input *in, uint64_t *ret_bytes, struct err *err)
{
    compact(in);
    consume(in, INPUT_KEPT);
    uint64_t bytes = INPUT_KEPT;
    for (;;) {
        size_t have = in->end - in->start;
        const char *feed = have ? memchr(in->p + in->start, '\n', have) : NULL;
        if (feed) {
            size_t n = (size_t)(feed - (in->p + in->start));
            consume(in, n + 1);
            *ret_bytes = bytes + n;
            return 0;
        }
        consume(in, have);
        bytes += have;
        if (in->eof) {
            *ret_bytes = bytes;
            return 0;
        }
        in->start = in->end = INPUT_KEPT;
        if (fill(in, err) < 0) {
            return -1;
        }
    }
}

static uint64_t count_feeds(const char *p, size_t n)
{
    uint64_t feeds = 0;
    for (const char *end = p + n; (p = memchr(p, '\n', (size_t)(end - p))); p++) {
        feeds++;
    }
    return feeds;
}

static struct span line_text(const char *p, size_t n, bool first)
{
    if (n && p[n - 1] == '\n') {
        n--;
    }
    if (n && p[n - 1] == '\r') {
        n--;
    }
    size_t mark = first ? mark_bytes(p, n) : 0;
    return span_of(p + mark, n - mark);
}

/* A record that is too long is given up at the first line end behind what is kept. */
static int take_long(struct input *in, struct input_line *ret, struct err *err)
{
    bool first = in->bytes == 0;
    uint64_t feeds = in->conf.separator ? count_feeds(in->p + in->start, INPUT_KEPT) : 0;
    in->lines += feeds;
    in->blank += feeds;
    int rc = skip_long(in, &ret->bytes, err);
    ret->text = line_text(in->p, INPUT_KEPT, first);
    return rc < 0 ? -ERR_INPUT : 1;
}

int input_next(struct input *in, struct input_line *ret, struct err *err)
{
    for (;;) {
        int64_t n = find_line(in, err);
        if (n == -1 || n == 0) {
            return n == 0 ? 0 : -ERR_INPUT;
        }
        ret->number = ++in->lines;
        ret->too_long = n == -2;
        if (ret->too_long) {
            return take_long(in, ret, err);
        }
        in->lines += in->scan.feeds;
        in->blank += in->scan.feeds;
        ret->text = line_text(in->p + in->start, (size_t)n, in->bytes == 0);
        ret->bytes = ret->text.n;
        consume(in, (size_t)n);
        if (span_trim(ret->text).n) {
            return 1;
        }
        in->blank++;
    }
}

uint64_t input_lines(const struct input *in)
{
    return in->lines;
}

uint64_t input_blank(const struct input *in)
{
    return in->blank;
}

uint64_t input_bytes(const struct input *in)
{
    return in->bytes;
}
