#include "cli/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SCRATCH_BUFFER ((size_t)256 << 10)

struct scratch {
    int fd;
    uint64_t end; /* of what is in the file; the buffer follows */
    size_t n;
    char buffer[SCRATCH_BUFFER];
};

static int failed(const char *what, int number, struct err *err)
{
    err_set(err, ERR_FAIL, "could not %s a temporary file in the data folder: %s", what,
            strerror(number));
    if (number == ENOSPC || number == EDQUOT) {
        err_hint(err, "make room and give the same command again");
    }
    return -ERR_FAIL;
}

int scratch_open(struct scratch **ret, const char *dir, struct err *err)
{
    char path[PATH_MAX];
    struct scratch *s = calloc(1, sizeof(*s));
    if (!s) {
        return failed("make", ENOMEM, err);
    }
    int n = snprintf(path, sizeof(path), "%s/.scratch.XXXXXX", dir);
    s->fd = -1;
    errno = ENAMETOOLONG;
    if (n > 0 && (size_t)n < sizeof(path)) {
        s->fd = mkostemp(path, O_CLOEXEC);
    }
    if (s->fd < 0) {
        int number = errno;
        scratch_close(s);
        return failed("make", number, err);
    }
    (void)unlink(path);
    *ret = s;
    return 0;
}

struct scratch *scratch_close(struct scratch *s)
{
    if (s) {
        if (s->fd >= 0) {
            close(s->fd);
        }
        free(s);
    }
    return NULL;
}

static int write_at(struct scratch *s, uint64_t at, struct span bytes, struct err *err)
{
    while (bytes.n) {
        ssize_t n = pwrite(s->fd, bytes.p, bytes.n, (off_t)at);
        if (n < 0 && errno != EINTR) {
            return failed("write", errno, err);
        }
        n = MAX_OF(n, 0);
        at += (uint64_t)n;
        bytes = span_of(bytes.p + n, bytes.n - (size_t)n);
    }
    return 0;
}

static int flush(struct scratch *s, struct err *err)
{
    int rc = write_at(s, s->end, span_of(s->buffer, s->n), err);
    if (rc >= 0) {
        s->end += s->n;
        s->n = 0;
    }
    return rc;
}

int scratch_add(struct scratch *s, struct span bytes, uint64_t *ret_at, struct err *err)
{
    int rc = s->n + bytes.n > sizeof(s->buffer) ? flush(s, err) : 0;
    if (rc < 0) {
        return rc;
    }
    *ret_at = s->end + s->n;
    if (bytes.n > sizeof(s->buffer)) {
        rc = write_at(s, s->end, bytes, err);
        s->end += bytes.n;
    } else if (bytes.n) {
        memcpy(s->buffer + s->n, bytes.p, bytes.n);
        s->n += bytes.n;
    }
    return rc;
}

int scratch_get(struct scratch *s, uint64_t at, void *p, size_t n, struct err *err)
{
    int rc = s->n ? flush(s, err) : 0;
    for (size_t have = 0; rc >= 0 && have < n;) {
        ssize_t got = pread(s->fd, (char *)p + have, n - have, (off_t)(at + have));
        if (got == 0 || (got < 0 && errno != EINTR)) {
            return failed("read", got ? errno : EIO, err);
        }
        have += (size_t)MAX_OF(got, 0);
    }
    return rc;
}

int scratch_set(struct scratch *s, uint64_t at, struct span bytes, struct err *err)
{
    int rc = s->n ? flush(s, err) : 0;
    return rc < 0 ? rc : write_at(s, at, bytes, err);
}
