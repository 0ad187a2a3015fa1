/*
 * queue_lmdb_store.c - the LMDB environment of a data folder: making it, opening it, its
 * names and numbers, and what its error codes mean to a person.
 */
#include "core/queue_lmdb.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define STORE_NAME     "queue"
#define STORE_TMP      "queue.tmp"
#define STORE_READERS  1022
#define STORE_TAIL_MAX ((uint64_t)64 << 20)

/* Address space asked for; the file itself grows with its content. A process that is given
 * less (ulimit -v) gets by with the next one. */
static const uint64_t map_sizes[] = {
    (uint64_t)1 << 40,
    (uint64_t)1 << 36,
    (uint64_t)1 << 32,
    (uint64_t)1 << 29,
};

static const struct {
    int rc;
    enum err_code code;
    const char *reason, *hint;
} store_errors[] = {
    {ENOSPC, ERR_FAIL, "no space left on the device",
     "free some space there, then start again; nothing of this commit was stored"},
    {MDB_MAP_FULL, ERR_FAIL, "no space left in its address space",
     "start again without `ulimit -v`; nothing of this commit was stored"},
    {EDQUOT, ERR_FAIL, "the disk quota is used up",
     "free some space there, then start again; nothing of this commit was stored"},
    {EFBIG, ERR_FAIL, "no space left on the device: the file would pass a size limit",
     "raise `ulimit -f`, then start again; nothing of this commit was stored"},
    {EIO, ERR_FAIL, "the device reports an input/output error",
     "check the disk (dmesg), then start again; what was committed before is safe"},
    {MDB_PANIC, ERR_FAIL, "an earlier write failed and left it unusable",
     "start again; what was committed before is safe"},
    {MDB_CORRUPTED, ERR_FAIL, "the store is damaged",
     "restore the folder from a copy, or move it away and submit again"},
    {MDB_PAGE_NOTFOUND, ERR_FAIL, "the store is damaged: a page is missing",
     "restore the folder from a copy, or move it away and submit again"},
    {MDB_INVALID, ERR_FAIL, "'queue/data.mdb' is not an LMDB file",
     "restore the folder from a copy, or move it away and submit again"},
    {MDB_VERSION_MISMATCH, ERR_VERSION, "it was written by another version of LMDB",
     "open it with the version of offpeak that wrote it"},
    {MDB_MAP_RESIZED, ERR_FAIL, "it has outgrown the address space of this process",
     "start again without `ulimit -v`"},
    {MDB_READERS_FULL, ERR_TEMP, "too many processes read it",
     "stop some, then try again"},
    {ENOENT, ERR_FAIL, "No such file or directory", "make the folder above it first"},
    {ENOTDIR, ERR_FAIL, "Not a directory", "name a folder, or one that can be made"},
    {EROFS, ERR_FAIL, "the device is read-only", "choose a folder that can be written"},
    {EACCES, ERR_FAIL, "permission denied", "run as the user that owns the folder"},
    {ENOMEM, ERR_FAIL, "no memory", "raise `ulimit -v` or free memory, then start again"},
};

int store_error(const char *dir, const char *what, int rc, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(store_errors); i++) {
        if (store_errors[i].rc != rc) {
            continue;
        }
        int r = err_set(err, store_errors[i].code, "could not %s the queue in '%s': %s",
                        what, dir, store_errors[i].reason);
        err_hint(err, "%s", store_errors[i].hint);
        return r;
    }
    return err_set(err, ERR_FAIL, "could not %s the queue in '%s': %s", what, dir,
                   mdb_strerror(rc));
}

/* ---- names and numbers ---- */

static size_t name_key(char kind, const char *name, uint32_t partition,
                       char ret[static NAME_KEY_MAX])
{
    int n = partition ? snprintf(ret, NAME_KEY_MAX, "%c%s#%u", kind, name, partition)
                      : snprintf(ret, NAME_KEY_MAX, "%c%s", kind, name);
    return (size_t)n;
}

bool store_name_read(const MDB_val *key, struct store_name *ret)
{
    struct span rest = span_of((const char *)key->mv_data + 1, key->mv_size - 1);
    const char *mark = rest.n ? memchr(rest.p, '#', rest.n) : NULL;
    size_t n = mark ? (size_t)(mark - rest.p) : rest.n;
    if (n == 0 || n >= QUEUE_NAME_MAX) {
        return false;
    }
    *ret = (struct store_name){.kind = *(const char *)key->mv_data};
    memcpy(ret->name, rest.p, n);
    for (size_t i = n + 1; i < rest.n; i++) {
        ret->partition = 10 * ret->partition + (uint32_t)(rest.p[i] - '0');
    }
    return true;
}

static int get_name(const struct store *s, MDB_txn *txn, const struct span *name,
                    MDB_val ret)
{
    MDB_val k = val_of(name->p, name->n), v;
    int rc = mdb_get(txn, s->names, &k, &v);
    if (rc) {
        return rc;
    }
    if (v.mv_size != ret.mv_size) {
        return MDB_CORRUPTED;
    }
    memcpy(ret.mv_data, v.mv_data, ret.mv_size);
    return 0;
}

int store_topic(const struct store *s, MDB_txn *txn, const char *name, uint32_t partition,
                struct topic_row *ret)
{
    char key[NAME_KEY_MAX];
    const struct span k = span_of(key, name_key('T', name, partition, key));
    return get_name(s, txn, &k, val_of(ret, sizeof(*ret)));
}

int store_table(const struct store *s, MDB_txn *txn, const char *name, uint32_t partition,
                uint32_t *ret_id)
{
    char key[NAME_KEY_MAX];
    const struct span k = span_of(key, name_key('R', name, partition, key));
    return get_name(s, txn, &k, val_of(ret_id, sizeof(*ret_id)));
}

int store_put_name(const struct store *s, MDB_txn *txn, const struct store_name *name,
                   struct span value)
{
    char key[NAME_KEY_MAX];
    MDB_val k = val_of(key, name_key(name->kind, name->name, name->partition, key));
    MDB_val v = val_of(value.p, value.n);
    return mdb_put(txn, s->names, &k, &v, 0);
}

int store_topic_of(const struct store *s, MDB_txn *txn, uint32_t id, struct queue_at *ret)
{
    struct store_name name;
    MDB_cursor *c = NULL;
    int rc = mdb_cursor_open(txn, s->names, &c);
    if (rc) {
        return rc;
    }
    MDB_val k = val_of("T", 1), v;
    rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
    for (; rc == 0; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        struct topic_row row;
        if (!store_name_read(&k, &name) || name.kind != 'T' || v.mv_size != sizeof(row)) {
            rc = MDB_NOTFOUND;
            break;
        }
        memcpy(&row, v.mv_data, sizeof(row));
        if (row.id == id) {
            memcpy(ret->topic, name.name, sizeof(ret->topic));
            ret->partition = name.partition;
            break;
        }
    }
    mdb_cursor_close(c);
    return rc;
}

int store_log_next(const struct store *s, MDB_txn *txn, uint32_t topic, uint64_t *offset)
{
    uint8_t key[LOG_KEY_BYTES];
    MDB_cursor *c = NULL;
    int rc = mdb_cursor_open(txn, s->log, &c);
    if (rc) {
        return rc;
    }
    log_key(topic, *offset, key);
    MDB_val k = val_of(key, sizeof(key)), v;
    rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
    if (rc == 0 && (k.mv_size != sizeof(key) || memcmp(k.mv_data, key, 8) != 0)) {
        rc = MDB_NOTFOUND; /* the next log begins */
    }
    if (rc == 0) {
        *offset = get_be64((const uint8_t *)k.mv_data + 8);
    }
    mdb_cursor_close(c);
    return rc;
}

int store_number(const struct store *s, MDB_txn *txn, const char *name, uint64_t *ret)
{
    MDB_val k = val_of(name, strlen(name)), v;
    int rc = mdb_get(txn, s->meta, &k, &v);
    if (rc) {
        return rc;
    }
    if (v.mv_size != sizeof(*ret)) {
        return MDB_CORRUPTED;
    }
    memcpy(ret, v.mv_data, sizeof(*ret));
    return 0;
}

int store_put_number(const struct store *s, MDB_txn *txn, const char *name,
                     uint64_t value)
{
    MDB_val k = val_of(name, strlen(name)), v = val_of(&value, sizeof(value));
    return mdb_put(txn, s->meta, &k, &v, 0);
}

/* ---- size ---- */

uint64_t store_last_txn(const struct store *s)
{
    MDB_envinfo info;
    return mdb_env_info(s->env, &info) == 0 ? info.me_last_txnid : 0;
}

/* LMDB's own list of free pages; it opens to readers only. */
static int count_unused(MDB_txn *txn, uint64_t *ret)
{
    MDB_cursor *c = NULL;
    MDB_val k, v;
    uint64_t unused = 0;
    int rc = mdb_cursor_open(txn, 0, &c);
    if (rc) {
        return rc;
    }
    while ((rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0) {
        size_t count; /* each part of the list begins with its length */
        memcpy(&count, v.mv_data, sizeof(count));
        unused += count;
    }
    mdb_cursor_close(c);
    *ret = unused;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int store_used(const struct store *s, uint64_t *ret_bytes)
{
    MDB_txn *txn = NULL;
    MDB_envinfo info;
    uint64_t unused = 0;
    int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    if (rc) {
        return rc;
    }
    rc = count_unused(txn, &unused);
    mdb_txn_abort(txn);
    if (rc == 0) {
        rc = mdb_env_info(s->env, &info);
    }
    if (rc) {
        return rc;
    }
    uint64_t pages = info.me_last_pgno + 1;
    *ret_bytes = (pages - MIN_OF(unused, pages)) * s->page_bytes;
    return 0;
}

int store_io_reason(const struct store *s, int dir_fd)
{
    const uint64_t near = (uint64_t)1 << 20;
    struct statvfs fs;
    struct stat st;
    struct rlimit limit;
    int fd = -1;
    if (fstatvfs(dir_fd, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < near) {
        return ENOSPC;
    }
    if (mdb_env_get_fd(s->env, &fd) == 0 && fstat(fd, &st) == 0 &&
        getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        (uint64_t)st.st_size + near > limit.rlim_cur) {
        return EFBIG;
    }
    return EIO;
}

/* ---- opening ---- */

void store_close(struct store *s)
{
    store_map_fini(s);
    if (s->env) {
        mdb_env_close(s->env);
    }
    s->env = NULL;
}

static int env_open(struct store *s, const char *path)
{
    int rc = ENOMEM;
    for (size_t i = 0; i < ARRAY_LEN(map_sizes) && rc == ENOMEM; i++) {
        store_close(s);
        rc = mdb_env_create(&s->env);
        if (rc) {
            return rc;
        }
        rc = mdb_env_set_maxdbs(s->env, 8);
        if (rc == 0) {
            rc = mdb_env_set_maxreaders(s->env, STORE_READERS);
        }
        if (rc == 0) {
            rc = mdb_env_set_mapsize(s->env, (size_t)map_sizes[i]);
        }
        if (rc == 0) {
            rc = mdb_env_open(s->env, path, MDB_NOTLS, 0600);
        }
    }
    return rc;
}

/* Handles stay valid for the life of the environment once `txn` is committed. */
static int dbis_open(struct store *s, MDB_txn *txn, unsigned flags)
{
    const struct {
        const char *name;
        MDB_dbi *dbi;
    } dbis[] = {{"log", &s->log},
                {"rows", &s->rows},
                {"names", &s->names},
                {"meta", &s->meta},
                {"chunks", &s->chunks}};
    for (size_t i = 0; i < ARRAY_LEN(dbis); i++) {
        int rc = mdb_dbi_open(txn, dbis[i].name, flags, dbis[i].dbi);
        if (rc) {
            return rc;
        }
    }
    return 0;
}

static int fill_new(struct store *s, const char *path)
{
    MDB_txn *txn = NULL;
    int rc = env_open(s, path);
    if (rc == 0) {
        rc = mdb_txn_begin(s->env, NULL, 0, &txn);
    }
    if (rc == 0) {
        rc = dbis_open(s, txn, MDB_CREATE);
    }
    if (rc == 0) {
        rc = store_put_number(s, txn, "format", QUEUE_FORMAT);
    }
    if (rc == 0) {
        rc = store_put_number(s, txn, "commit", 0);
    }
    if (rc == 0) {
        rc = store_put_number(s, txn, "ids", ACK_TABLE_ID);
    }
    if (rc == 0) {
        rc = mdb_txn_commit(TAKE_PTR(txn));
    }
    if (txn) {
        mdb_txn_abort(txn);
    }
    if (rc == 0) {
        rc = mdb_env_sync(s->env, 1);
    }
    store_close(s);
    return rc;
}

static void remove_tmp(int dir_fd)
{
    (void)unlinkat(dir_fd, STORE_TMP "/data.mdb", 0);
    (void)unlinkat(dir_fd, STORE_TMP "/lock.mdb", 0);
    (void)unlinkat(dir_fd, STORE_TMP, AT_REMOVEDIR);
}

static int sync_folder(int dir_fd, const char *name)
{
    _cleanup_(attr_closep) int fd =
        openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? errno : 0;
}

/* LMDB's first creation of a file is not atomic; the name `queue` appears when all of it is
 * on disk. The caller holds the lock on the folder. */
static int store_create(const char *dir, int dir_fd, struct err *err)
{
    char path[QUEUE_PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/" STORE_TMP, dir) >= (int)sizeof(path)) {
        return err_set(err, ERR_USAGE,
                       "could not make the queue: the path of its folder is "
                       "longer than %d bytes",
                       QUEUE_PATH_MAX - 16);
    }
    struct store s = {0};
    remove_tmp(dir_fd);
    int rc = mkdirat(dir_fd, STORE_TMP, 0700) < 0 ? errno : fill_new(&s, path);
    if (rc == 0) {
        rc = sync_folder(dir_fd, STORE_TMP);
    }
    if (rc == 0 && renameat(dir_fd, STORE_TMP, dir_fd, STORE_NAME) < 0) {
        rc = errno;
    }
    if (rc == 0) {
        rc = sync_folder(dir_fd, ".");
    }
    if (rc == 0) {
        return 0;
    }
    remove_tmp(dir_fd);
    return store_error(dir, "make", rc, err);
}

static int create_if_absent(const char *dir, int dir_fd, struct err *err)
{
    if (faccessat(dir_fd, STORE_NAME, F_OK, 0) == 0) {
        return 0;
    }
    if (flock(dir_fd, LOCK_EX) < 0) {
        return store_error(dir, "lock", errno, err);
    }
    int r = 0;
    if (faccessat(dir_fd, STORE_NAME, F_OK, 0) < 0) {
        r = store_create(dir, dir_fd, err);
    }
    (void)flock(dir_fd, LOCK_UN);
    return r;
}

/*
 * A file cut short by a bad copy would kill the process with SIGBUS at the first read behind
 * its end. LMDB may leave a few pages at the end unwritten, so a small gap is filled up with
 * zeros (which read as damage, if damage it is), a large one is refused.
 */
static int check_length(struct store *s, const char *dir, struct err *err)
{
    MDB_envinfo info;
    MDB_txn *txn = NULL; /* the writers' lock: nobody else extends the file meanwhile */
    struct stat st;
    int fd = -1, rc = mdb_env_get_fd(s->env, &fd);
    if (rc == 0) {
        rc = mdb_env_info(s->env, &info);
    }
    if (rc == 0 && fstat(fd, &st) < 0) {
        rc = errno;
    }
    uint64_t want = rc ? 0 : (info.me_last_pgno + 1) * s->page_bytes;
    if (rc == 0 && (uint64_t)st.st_size >= want) {
        return 0;
    }
    if (rc == 0 && want - (uint64_t)st.st_size > STORE_TAIL_MAX) {
        int r =
            err_set(err, ERR_FAIL,
                    "could not open the queue in '%s': its file is cut short (%llu of "
                    "%llu bytes)",
                    dir, (unsigned long long)st.st_size, (unsigned long long)want);
        err_hint(err, "restore the folder from a copy made while nothing was running");
        return r;
    }
    if (rc == 0) {
        rc = mdb_txn_begin(s->env, NULL, 0, &txn);
    }
    if (rc == 0 && (fstat(fd, &st) < 0 ||
                    ((uint64_t)st.st_size < want && ftruncate(fd, (off_t)want) < 0))) {
        rc = errno;
    }
    if (txn) {
        mdb_txn_abort(txn);
    }
    return rc ? store_error(dir, "open", rc, err) : 0;
}

static int check_format(struct store *s, const char *dir, struct err *err)
{
    MDB_txn *txn = NULL;
    uint64_t format = 0;
    int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    if (rc == 0) {
        rc = mdb_dbi_open(txn, "meta", 0, &s->meta);
    }
    if (rc == 0) {
        rc = store_number(s, txn, "format", &format);
    }
    if (rc == 0 && format == QUEUE_FORMAT) {
        rc = dbis_open(s, txn, 0);
    }
    if (rc == 0) {
        rc = mdb_txn_commit(TAKE_PTR(txn));
    }
    if (txn) {
        mdb_txn_abort(txn);
    }
    if (rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE) {
        rc = MDB_CORRUPTED;
    }
    if (rc) {
        return store_error(dir, "open", rc, err);
    }
    if (format == QUEUE_FORMAT) {
        return 0;
    }
    int r = err_set(err, ERR_VERSION,
                    "could not open the queue in '%s': it has format %llu, this program "
                    "knows format %d",
                    dir, (unsigned long long)format, QUEUE_FORMAT);
    err_hint(err, "use the version of offpeak that wrote it, or another folder");
    return r;
}

int store_open(struct store *s, const char *dir, int dir_fd, struct err *err)
{
    char path[QUEUE_PATH_MAX];
    struct stat st;
    MDB_stat stat;
    int r = create_if_absent(dir, dir_fd, err), dead;
    if (r < 0) {
        return r;
    }
    /* An absent or empty file would be filled with a new, empty store. */
    if (fstatat(dir_fd, STORE_NAME "/data.mdb", &st, 0) < 0 || st.st_size == 0) {
        r = err_set(
            err, ERR_FAIL,
            "could not open the queue in '%s': 'queue/data.mdb' is missing or empty",
            dir);
        err_hint(err, "restore the folder from a copy, or move it away and submit again");
        return r;
    }
    if (snprintf(path, sizeof(path), "%s/" STORE_NAME, dir) >= (int)sizeof(path)) {
        return store_error(dir, "open", ENAMETOOLONG, err);
    }
    int rc = env_open(s, path);
    if (rc == 0) {
        rc = mdb_env_stat(s->env, &stat);
    }
    if (rc == 0) {
        s->page_bytes = stat.ms_psize;
        rc = store_map_init(s) < 0 ? ENOMEM : mdb_reader_check(s->env, &dead);
    }
    r = rc ? store_error(dir, "open", rc, err) : check_length(s, dir, err);
    if (r == 0) {
        r = check_format(s, dir, err);
    }
    if (r < 0) {
        store_close(s);
    }
    return r;
}
