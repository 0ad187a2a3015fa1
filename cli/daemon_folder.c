#include "cli/daemon_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME     "daemon.lock"
#define INSTANCE_NAME "instance"
#define SWEEP_MAX     1000

static int cannot(const char *what, const char *path, struct err *err)
{
    int code = errno;
    err_set(err, ERR_FAIL, "could not %s '%s': %s", what, path, strerror(code));
    err_hint(err, "name a folder that can be written with --state DIR");
    return -ERR_FAIL;
}

/* ---- a folder of its own ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* -1: somebody holds it. */
static int lock_folder(const char *path)
{
    char name[CLI_PATH_MAX + sizeof(LOCK_NAME) + 1];
    snprintf(name, sizeof(name), "%s/" LOCK_NAME, path);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* "worker-Ab12xY" is one; a folder that a person named is never touched. */
static bool is_own_name(const char *name, const char *role)
{
    size_t n = strlen(role);
    return !strncmp(name, role, n) && name[n] == '-' && strlen(name) == n + 7;
}

static void sweep(const char *state, const char *role)
{
    DIR *dir = opendir(state);
    struct dirent *e;
    for (int i = 0; dir && i < SWEEP_MAX && (e = readdir(dir)); i++) {
        char path[CLI_PATH_MAX + 300];
        if (!is_own_name(e->d_name, role)) {
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s", state, e->d_name);
        int fd = lock_folder(path);
        if (fd >= 0) {
            (void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
            close(fd);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

static int make_own(struct daemon_folder *f, const char *state, const char *role,
                    struct err *err)
{
    if (mkdir(state, 0700) < 0 && errno != EEXIST) {
        return cannot("make", state, err);
    }
    sweep(state, role);
    int n = snprintf(f->path, sizeof(f->path), "%s/%s-XXXXXX", state, role);
    if (n < 0 || (size_t)n >= sizeof(f->path)) {
        errno = ENAMETOOLONG;
        return cannot("use", state, err);
    }
    if (!mkdtemp(f->path)) {
        return cannot("make a folder in", state, err);
    }
    f->lock_fd = lock_folder(f->path);
    return f->lock_fd < 0 ? cannot("lock", f->path, err) : 0;
}

/* ---- a folder of the user's ---- */

static int new_name(char ret[static BROKER_INSTANCE_MAX + 1], const char *role)
{
    uint32_t id[2];
    if (getrandom(id, sizeof(id), 0) != sizeof(id)) {
        return -1;
    }
    snprintf(ret, BROKER_INSTANCE_MAX + 1, "%s-%08x%08x", role, id[0], id[1]);
    return 0;
}

/* Read, or made and written; it appears whole. */
static int kept_name(struct daemon_folder *f, const char *role, struct err *err)
{
    char path[CLI_PATH_MAX + 16], temp[CLI_PATH_MAX + 24];
    snprintf(path, sizeof(path), "%s/" INSTANCE_NAME, f->path);
    snprintf(temp, sizeof(temp), "%s.new", path);
    FILE *file = fopen(path, "re");
    if (file) {
        bool read = fgets(f->instance, sizeof(f->instance), file);
        fclose(file);
        f->instance[strcspn(f->instance, "\n")] = '\0';
        errno = EINVAL;
        return read && f->instance[0] ? 0 : cannot("read", path, err);
    }
    if (errno != ENOENT || new_name(f->instance, role) < 0) {
        return cannot("read", path, err);
    }
    file = fopen(temp, "we");
    bool written = file && fprintf(file, "%s\n", f->instance) > 0;
    written = file && fclose(file) == 0 && written;
    return written && rename(temp, path) == 0 ? 0 : cannot("write", path, err);
}

int daemon_folder_open(struct daemon_folder *ret, const struct cli *c, const char *role,
                       struct err *err)
{
    const char *given = c->opt->state, *name = c->set->broker.instance;
    *ret = (struct daemon_folder){.lock_fd = -1};
    if (name) {
        snprintf(ret->instance, sizeof(ret->instance), "%s", name);
    }
    if (!given) {
        return make_own(ret, c->data, role, err);
    }
    int n = snprintf(ret->path, sizeof(ret->path), "%s", given);
    if (n <= 0 || (size_t)n >= sizeof(ret->path)) {
        errno = ENAMETOOLONG;
        return cannot("use", given, err);
    }
    if (mkdir(ret->path, 0700) < 0 && errno != EEXIST) {
        return cannot("make", ret->path, err);
    }
    return name ? 0 : kept_name(ret, role, err);
}

void daemon_folder_close(struct daemon_folder *f)
{
    if (f->lock_fd >= 0) {
        (void)nftw(f->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        close(f->lock_fd);
        f->lock_fd = -1;
    }
}
