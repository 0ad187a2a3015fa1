#include "worker/spool.h"
#include "worker/released.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITE_BYTES    ((size_t)256 << 10)
#define LINE_BYTES_MAX (QUEUE_VALUE_MAX + 1024)

static const char *const endings[SPOOL_FILES] = {"jsonl", "out.jsonl", "err.jsonl"};

void spool_path(const char *dir, const char *id, enum spool_file f,
                char ret[static SPOOL_PATH_MAX])
{
    snprintf(ret, SPOOL_PATH_MAX, "%s/spool/%s.%s", dir, id, endings[f]);
}

static int failed(const char *path, int number, struct err *err)
{
    err_set(err, ERR_FAIL, "could not write '%s': %s", path, strerror(number));
    if (number == ENOSPC || number == EDQUOT) {
        err_hint(err, "make room on that disk and run the same command again");
    }
    return -(int)ERR_FAIL;
}

int spool_prepare(const char *dir, struct err *err)
{
    char path[SPOOL_PATH_MAX];
    if (strlen(dir) > SPOOL_PATH_MAX - 64) {
        return err_set(err, ERR_USAGE,
                       "could not use data folder '%s': its path is too long", dir);
    }
    snprintf(path, sizeof(path), "%s/spool", dir);
    return mkdir(path, 0700) < 0 && errno != EEXIST ? failed(path, errno, err) : 0;
}

int spool_create(const char *dir, const char *id, enum spool_file f, struct err *err)
{
    char path[SPOOL_PATH_MAX];
    spool_path(dir, id, f, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? failed(path, errno, err) : fd;
}

bool spool_exists(const char *dir, const char *id, enum spool_file f)
{
    char path[SPOOL_PATH_MAX];
    spool_path(dir, id, f, path);
    return access(path, R_OK) == 0;
}

void spool_remove(const char *dir, const char *id)
{
    for (int f = 0; f < SPOOL_FILES; f++) {
        char path[SPOOL_PATH_MAX];
        spool_path(dir, id, (enum spool_file)f, path);
        unlink(path); /* one that is left over is only in the way */
    }
}

void spool_sweep(const char *dir, bool (*known)(void *ctx, const char *id), void *ctx)
{
    char path[SPOOL_PATH_MAX], id[BATCH_ID_BYTES];
    snprintf(path, sizeof(path), "%s/spool", dir);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        snprintf(id, sizeof(id), "%.*s", BATCH_ID_BYTES - 1, e->d_name);
        if (strlen(e->d_name) > sizeof(id) && strstr(e->d_name, ".jsonl") &&
            !known(ctx, id)) {
            spool_remove(dir, id);
        }
    }
    if (d) {
        closedir(d);
    }
}

/* ---- writing the input ---- */

struct writer {
    const struct spool_write *w;
    struct queue_cursor *cursor;
    int fd;
    char path[SPOOL_PATH_MAX];
    struct buf pending;
    uint64_t bytes;
};

static void writer_fini(struct writer *wr)
{
    queue_cursor_close(wr->cursor);
    attr_closep(&wr->fd);
    buf_fini(&wr->pending);
}

static int flush(struct writer *wr, struct err *err)
{
    size_t done = 0;
    while (done < wr->pending.n) {
        ssize_t put = write(wr->fd, wr->pending.p + done, wr->pending.n - done);
        if (put < 0 && errno != EINTR) {
            return failed(wr->path, errno, err);
        }
        done += put > 0 ? (size_t)put : 0;
    }
    wr->bytes += done;
    buf_reset(&wr->pending);
    return 0;
}

static int add_member(struct writer *wr, uint32_t index, struct err *err)
{
    const struct batch *b = wr->w->batch;
    struct released job;
    int rc = released_read(wr->cursor, b->ats[index], &job, err);
    if (rc < 0) {
        return rc;
    }
    wr->w->provider->encode(index, b->path, job.body, &wr->pending);
    if (wr->pending.failed) {
        return err_set(err, ERR_FAIL,
                       "could not write line %u of batch '%s': out of memory", index + 1,
                       b->id);
    }
    return wr->pending.n >= WRITE_BYTES ? flush(wr, err) : 0;
}

int spool_write(const struct spool_write *w, uint64_t *ret_bytes, struct err *err)
{
    _cleanup_(writer_fini) struct writer wr = {.w = w, .fd = -1};
    buf_init(&wr.pending, WRITE_BYTES + LINE_BYTES_MAX);
    spool_path(w->dir, w->batch->id, SPOOL_INPUT, wr.path);
    wr.fd = spool_create(w->dir, w->batch->id, SPOOL_INPUT, err);
    int rc = wr.fd < 0 ? wr.fd : queue_cursor_open(w->queue, &wr.cursor, err);
    for (uint32_t i = 0; rc >= 0 && i < w->batch->n; i++) {
        if (atomic_load(w->stop)) {
            return err_set(err, ERR_TEMP, "could not write '%s': stopped", wr.path);
        }
        if (w->batch->fates[i] == FATE_HERE) {
            rc = add_member(&wr, i, err);
        }
    }
    if (rc >= 0) {
        rc = flush(&wr, err);
    }
    if (rc >= 0 && fsync(wr.fd) < 0) {
        rc = failed(wr.path, errno, err);
    }
    if (rc >= 0) {
        *ret_bytes = wr.bytes;
    }
    return rc < 0 ? rc : 0;
}

/* ---- results ---- */

int spool_check(const char *dir, const char *id, enum spool_file f,
                struct spool_check *ret, struct err *err)
{
    char path[SPOOL_PATH_MAX], first = '{', last = '\n';
    spool_path(dir, id, f, path);
    _cleanup_(attr_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0) {
        return failed(path, errno, err);
    }
    off_t end = lseek(fd, 0, SEEK_END);
    if (end < 0 || (end > 0 && (pread(fd, &first, 1, 0) != 1 ||
                                pread(fd, &last, 1, end - 1) != 1))) {
        return failed(path, errno, err);
    }
    *ret = (struct spool_check){(uint64_t)end, last == '\n', first == '<'};
    return 0;
}
