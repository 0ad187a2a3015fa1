#include "core/secret.h"

#include "core/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct secret {
    char *page;
    char origin[300];
    char warning[700];
    char fingerprint[SECRET_FINGERPRINT];
};

char *secret_page_create(void)
{
    char *page = mmap(NULL, SECRET_PAGE_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return NULL;
    }
    /* A container may forbid locking: the key is then as safe as the swap device. */
    (void)mlock(page, SECRET_PAGE_BYTES);
    (void)madvise(page, SECRET_PAGE_BYTES, MADV_DONTDUMP);
    (void)madvise(page, SECRET_PAGE_BYTES, MADV_WIPEONFORK);
    return page;
}

char *secret_page_destroy(char *page)
{
    if (page) {
        explicit_bzero(page, SECRET_PAGE_BYTES);
        munmap(page, SECRET_PAGE_BYTES);
    }
    return NULL;
}

static struct secret *secret_create(void)
{
    struct secret *s = calloc(1, sizeof(*s));
    if (s && !(s->page = secret_page_create())) {
        free(s);
        return NULL;
    }
    return s;
}

struct secret *secret_destroy(struct secret *s)
{
    if (s) {
        secret_page_destroy(s->page);
        free(s);
    }
    return NULL;
}

static int refuse(struct secret *s, const char *why, struct err *err)
{
    err_set(err, ERR_AUTH, "could not use the API key of %s: %s", s->origin, why);
    err_hint(err, "it should hold the key and nothing else, on one line");
    return -(int)ERR_AUTH;
}

/* Trims in place and refuses what no key holds. */
static int accept_key(struct secret *s, size_t n, struct err *err)
{
    struct span key = span_trim(span_of(s->page, n));
    for (size_t i = 0; i < key.n; i++) {
        if (key.p[i] <= ' ' || key.p[i] >= 0x7f) {
            return refuse(s,
                          "it holds a space, a control character or a character outside "
                          "of ASCII",
                          err);
        }
    }
    if (key.n == 0 || key.n > SECRET_BYTES_MAX) {
        return refuse(s, key.n ? "it is too long" : "it is empty", err);
    }
    memmove(s->page, key.p, key.n);
    explicit_bzero(s->page + key.n, SECRET_PAGE_BYTES - key.n);
    return 0;
}

static int read_fully(int fd, char *to, size_t cap, size_t *ret)
{
    size_t n = 0;
    while (n < cap) {
        ssize_t got = read(fd, to + n, cap - n);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -1;
        }
        if (got == 0) {
            break;
        }
        n += (size_t)got;
    }
    *ret = n;
    return 0;
}

static int check_file(struct secret *s, int fd, const char *path, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        err_set(err, ERR_AUTH, "could not read the API key from '%s': not a regular file",
                path);
        err_hint(err, "name a file that holds the key with --key-file FILE");
        return -(int)ERR_AUTH;
    }
    if (st.st_mode & S_IROTH) {
        snprintf(s->warning, sizeof(s->warning),
                 "%s can be read by every user of this machine; run: chmod 600 '%.250s'",
                 s->origin, path);
    }
    return 0;
}

static int load_file(struct secret *s, const char *path, struct err *err)
{
    size_t n = 0;
    snprintf(s->origin, sizeof(s->origin), "file '%.250s'", path);
    /* O_NONBLOCK: a pipe nobody writes to must not hold the program up */
    _cleanup_(attr_closep) int fd =
        open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int rc = fd < 0 ? -1 : check_file(s, fd, path, err);
    if (fd >= 0 && rc < 0) {
        return rc;
    }
    if (fd < 0 || read_fully(fd, s->page, SECRET_PAGE_BYTES, &n) < 0) {
        err_set(err, ERR_AUTH, "could not read the API key from '%s': %s", path,
                strerror(errno));
        err_hint(err, "name a file that holds the key with --key-file FILE");
        return -(int)ERR_AUTH;
    }
    return accept_key(s, n, err);
}

static int load_env(struct secret *s, const char *value, struct err *err)
{
    size_t n = strlen(value);
    snprintf(s->origin, sizeof(s->origin), "OPENAI_API_KEY");
    memcpy(s->page, value, MIN_OF(n, SECRET_PAGE_BYTES));
    return accept_key(s, MIN_OF(n, SECRET_PAGE_BYTES), err);
}

static int load_first(struct secret *s, const struct secret_sources *from,
                      struct err *err)
{
    const char *file = from->key_file ? from->key_file : from->env_file;
    if (!file && from->env_value && from->env_value[0]) {
        return load_env(s, from->env_value, err);
    }
    file = file ? file : from->config_file;
    if (file) {
        return load_file(s, file, err);
    }
    err_set(err, ERR_AUTH, "could not find an API key");
    err_hint(err,
             "set OPENAI_API_KEY, or name a file that holds the key: --key-file FILE");
    return -(int)ERR_AUTH;
}

static void make_fingerprint(struct secret *s)
{
    char hex[HASH_HEX];
    struct hash *h = hash_open();
    hash_add(h, "offpeak key", strlen("offpeak key"));
    hash_add(h, s->page, strlen(s->page));
    hash_hex(hash_end(h), hex);
    memcpy(s->fingerprint, hex, SECRET_FINGERPRINT - 1);
}

int secret_load(struct secret **ret, const struct secret_sources *from, struct err *err)
{
    struct secret *s = secret_create();
    int rc = s ? load_first(s, from, err)
               : err_set(err, ERR_FAIL, "could not keep an API key: out of memory");
    if (from->env_value) {
        explicit_bzero(from->env_value, strlen(from->env_value));
    }
    if (rc < 0) {
        secret_destroy(s);
        return rc;
    }
    make_fingerprint(s);
    *ret = s;
    return 0;
}

const char *secret_text(const struct secret *s)
{
    return s->page;
}

const char *secret_origin(const struct secret *s)
{
    return s->origin;
}

const char *secret_fingerprint(const struct secret *s)
{
    return s->fingerprint;
}

const char *secret_warning(const struct secret *s)
{
    return s->warning[0] ? s->warning : NULL;
}

int secret_harden_process(struct err *err)
{
    struct rlimit none = {0, 0};
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0) {
        return err_set(err, ERR_FAIL, "could not switch core files off: %s",
                       strerror(errno));
    }
    return 0;
}
