#include "producer/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct input {
    struct input_conf conf;
    int fd;
    char *p; /* `cap` bytes; what is read and not yet handed out is [start, end) */
    size_t cap, start, end;
    size_t scanned; /* bytes behind `start` known to hold no line feed */
    bool eof;
    uint64_t lines, blank, bytes;
    struct hash *hash;
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

int input_open(struct input **ret, const struct input_conf *conf, struct err *err)
{
    struct input *in = calloc(1, sizeof(*in));
    if (!in) {
        return err_set(err, ERR_FAIL, "could not read '%s': no memory", conf->label);
    }
    in->conf = *conf;
    in->conf.max_line =
        MAX_OF(conf->max_line ? conf->max_line : INPUT_LINE_MAX, INPUT_KEPT);
    in->hash = hash_open();
    in->cap = in->conf.max_line + INPUT_CHUNK;
    in->fd = open(conf->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (in->fd < 0) {
        err_set(err, ERR_INPUT, "could not read '%s': %s", conf->label, strerror(errno));
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
    int rc = check_file(in->fd, conf->label, err);
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
        hash_drop(in->hash);
        free(in->p);
        free(in);
    }
    return NULL;
}

/* Reads up to one chunk behind `end`; there is room, the callers see to it. */
static int fill(struct input *in, struct err *err)
{
    for (;;) {
        size_t room = MIN_OF(in->cap - in->end, INPUT_CHUNK);
        ssize_t n = read(in->fd, in->p + in->end, room);
        if (n > 0) {
            in->end += (size_t)n;
            return 0;
        }
        if (n == 0) {
            in->eof = true;
            return 0;
        }
        if (errno != EINTR) {
            return err_set(err, ERR_INPUT, "could not read '%s' at line %llu: %s",
                           in->conf.label, (unsigned long long)in->lines + 1,
                           strerror(errno));
        }
    }
}

/* What leaves the buffer is hashed here and nowhere else. */
static void consume(struct input *in, size_t n)
{
    hash_add(in->hash, in->p + in->start, n);
    in->bytes += n;
    in->start += n;
    in->scanned = 0;
}

static void compact(struct input *in)
{
    memmove(in->p, in->p + in->start, in->end - in->start);
    in->end -= in->start;
    in->start = 0;
}

/* The line's length with its line feed; 0: no more bytes; -1 error; -2: longer than allowed. */
static int64_t find_line(struct input *in, struct err *err)
{
    for (;;) {
        const char *from = in->p + in->start + in->scanned;
        size_t left = in->end - in->start - in->scanned;
        const char *feed = left ? memchr(from, '\n', left) : NULL;
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

static struct span line_text(const struct input *in, const char *p, size_t n)
{
    if (n && p[n - 1] == '\n') {
        n--;
    }
    if (n && p[n - 1] == '\r') {
        n--;
    }
    if (in->lines == 1 && n >= 3 && !memcmp(p, "\xef\xbb\xbf", 3)) {
        p += 3;
        n -= 3;
    }
    return span_of(p, n);
}

int input_next(struct input *in, struct input_line *ret, struct err *err)
{
    if (in->conf.first && in->lines - in->blank >= in->conf.first) {
        return 0;
    }
    for (;;) {
        int64_t n = find_line(in, err);
        if (n == -1 || n == 0) {
            return n == 0 ? 0 : -ERR_INPUT;
        }
        in->lines++;
        ret->number = in->lines;
        ret->too_long = n == -2;
        if (ret->too_long) {
            int rc = skip_long(in, &ret->bytes, err);
            ret->text = line_text(in, in->p, INPUT_KEPT);
            return rc < 0 ? -ERR_INPUT : 1;
        }
        ret->text = line_text(in, in->p + in->start, (size_t)n);
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

struct digest input_digest(const struct input *in)
{
    return hash_peek(in->hash);
}
