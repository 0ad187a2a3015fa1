#include "producer/unpack.h"

#include "core/attr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define CHUNK      ((size_t)256 << 10)
#define WINDOW_LOG 27 /* 128 MiB: what `zstd --ultra` writes */
#define MAGIC      4

struct unpack {
    int fd;
    bool eof;
    char *p; /* CHUNK bytes; [start, end) is read and not yet used */
    size_t start, end;
    int64_t (*read)(struct unpack *u, char *p, size_t n, struct err *err);
    z_stream gzip;
    bool gzip_open, inside; /* inside: a member or frame has begun and not ended */
    ZSTD_DStream *zstd;
};

/* ---- the file ---- */

static int fill(struct unpack *u, struct err *err)
{
    memmove(u->p, u->p + u->start, u->end - u->start);
    u->end -= u->start;
    u->start = 0;
    while (!u->eof) {
        ssize_t n = read(u->fd, u->p + u->end, CHUNK - u->end);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return err_set(err, ERR_INPUT, "%s", strerror(errno));
        }
        u->end += (size_t)n;
        u->eof = n == 0;
        return 0;
    }
    return 0;
}

/* More compressed bytes, if none are left; 0: there are none. */
static int need(struct unpack *u, struct err *err)
{
    int rc = u->start == u->end ? fill(u, err) : 0;
    if (rc < 0) {
        return rc;
    }
    if (u->start == u->end && u->inside) {
        err_set(err, ERR_INPUT, "it ends in the middle of its compressed data");
        err_hint(err, "the file was cut: copy or download it again");
        return -ERR_INPUT;
    }
    return u->start < u->end;
}

static int broken(struct err *err, const char *why)
{
    return err_set(err, ERR_INPUT, "its compressed data is damaged: %s", why);
}

/* ---- the three kinds ---- */

static int64_t read_plain(struct unpack *u, char *p, size_t n, struct err *err)
{
    int rc = need(u, err);
    if (rc <= 0) {
        return rc;
    }
    n = MIN_OF(n, u->end - u->start);
    memcpy(p, u->p + u->start, n);
    u->start += n;
    return (int64_t)n;
}

static int64_t read_gzip(struct unpack *u, char *p, size_t n, struct err *err)
{
    z_stream *z = &u->gzip;
    z->next_out = (Bytef *)p;
    z->avail_out = (uInt)MIN_OF(n, CHUNK);
    size_t asked = z->avail_out;
    while (z->avail_out == asked) {
        int rc = need(u, err);
        if (rc <= 0) {
            return rc;
        }
        z->next_in = (Bytef *)(u->p + u->start);
        z->avail_in = (uInt)(u->end - u->start);
        u->inside = true;
        int got = inflate(z, Z_NO_FLUSH);
        u->start = u->end - z->avail_in;
        if (got == Z_STREAM_END) {
            u->inside = false;
            inflateReset(z);
        } else if (got != Z_OK && got != Z_BUF_ERROR) {
            return broken(err, z->msg ? z->msg : "no gzip");
        }
    }
    return (int64_t)(asked - z->avail_out);
}

static int64_t read_zstd(struct unpack *u, char *p, size_t n, struct err *err)
{
    ZSTD_outBuffer out = {.dst = p, .size = n};
    while (out.pos == 0) {
        int rc = need(u, err);
        if (rc <= 0) {
            return rc;
        }
        ZSTD_inBuffer in = {.src = u->p + u->start, .size = u->end - u->start};
        size_t left = ZSTD_decompressStream(u->zstd, &out, &in);
        u->start += in.pos;
        if (ZSTD_isError(left)) {
            return broken(err, ZSTD_getErrorName(left));
        }
        u->inside = left != 0;
    }
    return (int64_t)out.pos;
}

/* ---- life ---- */

static int open_gzip(struct unpack *u)
{
    u->read = read_gzip;
    u->gzip_open = inflateInit2(&u->gzip, 15 + 16) == Z_OK;
    return u->gzip_open ? 0 : -1;
}

static int open_zstd(struct unpack *u)
{
    u->read = read_zstd;
    u->zstd = ZSTD_createDStream();
    return u->zstd && !ZSTD_isError(ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax,
                                                           WINDOW_LOG))
               ? 0
               : -1;
}

static const struct {
    unsigned char magic[MAGIC];
    size_t n;
    int (*open)(struct unpack *u);
} kinds[] = {
    {{0x1f, 0x8b}, 2, open_gzip},
    {{0x28, 0xb5, 0x2f, 0xfd}, 4, open_zstd},
};

static int recognise(struct unpack *u, struct err *err)
{
    int rc = 0;
    while (rc >= 0 && !u->eof && u->end < MAGIC) {
        rc = fill(u, err);
    }
    u->read = read_plain;
    for (size_t i = 0; i < ARRAY_LEN(kinds) && rc >= 0; i++) {
        if (u->end >= kinds[i].n && !memcmp(u->p, kinds[i].magic, kinds[i].n)) {
            rc = kinds[i].open(u);
            return rc < 0 ? err_set(err, ERR_FAIL, "no memory to unpack it") : 0;
        }
    }
    return rc;
}

int unpack_open(struct unpack **ret, int fd, struct err *err)
{
    struct unpack *u = calloc(1, sizeof(*u));
    if (u) {
        u->fd = fd;
        u->p = malloc(CHUNK);
    }
    int rc = u && u->p ? recognise(u, err) : err_set(err, ERR_FAIL, "no memory");
    if (rc < 0) {
        unpack_close(u);
        return rc;
    }
    *ret = u;
    return 0;
}

int64_t unpack_read(struct unpack *u, char *p, size_t n, struct err *err)
{
    return u->read(u, p, n, err);
}

struct unpack *unpack_close(struct unpack *u)
{
    if (u) {
        if (u->gzip_open) {
            inflateEnd(&u->gzip);
        }
        ZSTD_freeDStream(u->zstd);
        free(u->p);
        free(u);
    }
    return NULL;
}
