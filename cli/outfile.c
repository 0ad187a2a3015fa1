#include "cli/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUTFILE_BUFFER ((size_t)256 << 10)

struct outfile {
    int fd;
    bool direct;         /* no rename: standard output, a pipe, a device */
    char path[PATH_MAX]; /* as asked */
    char temp[PATH_MAX]; /* "" when direct */
    size_t n;
    char buffer[OUTFILE_BUFFER];
};

static int failed(const struct outfile *o, struct err *err)
{
    err_set(err, ERR_FAIL, "could not write '%s': %s", o->path, strerror(errno));
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) {
        err_hint(err,
                 "make room and give the same command again; nothing is bought twice");
    } else if (errno != EPIPE) {
        err_hint(err, "the results are safe: offpeak results writes them anywhere else");
    }
    return -ERR_FAIL;
}

static bool is_direct(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

/* The folder a file stands in; dirname() may change its argument. */
static void folder_of(const char *path, char ret[static PATH_MAX])
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof(copy), "%s", path);
    snprintf(ret, PATH_MAX, "%s", dirname(copy));
}

static int open_temp(struct outfile *o)
{
    char folder[PATH_MAX], copy[PATH_MAX];
    folder_of(o->path, folder);
    snprintf(copy, sizeof(copy), "%s", o->path);
    int n = snprintf(o->temp, sizeof(o->temp), "%s/.%s.XXXXXX", folder, basename(copy));
    if (n < 0 || (size_t)n >= sizeof(o->temp)) {
        errno = ENAMETOOLONG;
        o->temp[0] = '\0';
        return -1;
    }
    int fd = mkostemp(o->temp, O_CLOEXEC);
    if (fd < 0) {
        o->temp[0] = '\0';
        return -1;
    }
    struct stat st;
    mode_t mask = umask(0);
    umask(mask);
    mode_t mode = stat(o->path, &st) == 0 ? st.st_mode & 0777 : 0666 & ~mask;
    (void)fchmod(fd, mode);
    return fd;
}

int outfile_open(struct outfile **ret, const char *path, struct err *err)
{
    struct outfile *o = calloc(1, sizeof(*o));
    if (!o) {
        return err_set(err, ERR_FAIL, "could not write '%s': no memory", path);
    }
    bool standard = !strcmp(path, "-");
    snprintf(o->path, sizeof(o->path), "%s", standard ? "standard output" : path);
    o->direct = standard || is_direct(path);
    if (standard) {
        o->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    } else if (o->direct) {
        o->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    } else {
        o->fd = open_temp(o);
    }
    if (o->fd < 0) {
        int rc = failed(o, err);
        outfile_close(o);
        return rc;
    }
    *ret = o;
    return 0;
}

static int write_all(struct outfile *o, struct span s, struct err *err)
{
    for (size_t at = 0; at < s.n;) {
        ssize_t n = write(o->fd, s.p + at, s.n - at);
        if (n < 0 && errno != EINTR) {
            return failed(o, err);
        }
        at += (size_t)MAX_OF(n, 0);
    }
    return 0;
}

int outfile_flush(struct outfile *o, struct err *err)
{
    int rc = write_all(o, span_of(o->buffer, o->n), err);
    o->n = 0;
    return rc;
}

static int add(struct outfile *o, struct span s, struct err *err)
{
    if (o->n + s.n > sizeof(o->buffer)) {
        int rc = outfile_flush(o, err);
        if (rc < 0) {
            return rc;
        }
    }
    if (s.n > sizeof(o->buffer)) {
        return write_all(o, s, err);
    }
    memcpy(o->buffer + o->n, s.p, s.n);
    o->n += s.n;
    return 0;
}

int outfile_line(struct outfile *o, struct span line, struct err *err)
{
    int rc = add(o, line, err);
    return rc < 0 ? rc : add(o, SPAN_LIT("\n"), err);
}

int outfile_commit(struct outfile *o, struct err *err)
{
    int rc = outfile_flush(o, err);
    if (rc < 0 || o->direct) {
        return rc;
    }
    if (fsync(o->fd) || rename(o->temp, o->path)) {
        return failed(o, err);
    }
    o->temp[0] = '\0';
    return 0;
}

struct outfile *outfile_close(struct outfile *o)
{
    if (o) {
        if (o->fd >= 0) {
            close(o->fd);
        }
        if (o->temp[0]) {
            unlink(o->temp);
        }
        free(o);
    }
    return NULL;
}

int outfile_check(const char *path, struct err *err)
{
    struct stat st;
    char folder[PATH_MAX];
    if (!strcmp(path, "-") || is_direct(path)) {
        return 0;
    }
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        return err_set(err, ERR_USAGE, "could not write '%s': it is a directory", path);
    }
    folder_of(path, folder);
    if (access(folder, W_OK | X_OK)) {
        err_set(err, ERR_USAGE, "could not write '%s': folder '%s': %s", path, folder,
                strerror(errno));
        err_hint(err, "create the folder or choose another with -o");
        return -ERR_USAGE;
    }
    return 0;
}
