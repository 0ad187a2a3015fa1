#include "core/idset.h"
#include "core/hash.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NAME_TRIES 100

/* Address space, not memory; the smaller one for a process under `ulimit -v`. */
static const uint64_t map_sizes[] = {(uint64_t)1 << 38, (uint64_t)1 << 31};

struct idset {
    MDB_env *env;
    MDB_txn *txn; /* open between two additions; committed every IDSET_BATCH */
    MDB_dbi dbi;
    int added;
};

/* 'I' and the string, or 'H' and its digest: a short string that looks like a digest is not
 * taken for one. */
struct idset_key {
    char bytes[1 + IDSET_KEY_MAX];
    size_t n;
};

static int failed(const char *what, int rc, struct err *err)
{
    int r = err_set(err, ERR_FAIL, "could not %s a set of ids on disk: %s", what,
                    mdb_strerror(rc));
    err_hint(err, "free some space in the data folder, then start again");
    return r;
}

static int env_open(struct idset *s, const char *path)
{
    /* Durability is of no use to a file without a name, and nobody else has it open. */
    const unsigned flags = MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC | MDB_NORDAHEAD;
    int rc = ENOMEM;
    for (size_t i = 0; i < ARRAY_LEN(map_sizes) && rc == ENOMEM; i++) {
        if (s->env) {
            mdb_env_close(TAKE_PTR(s->env));
        }
        rc = mdb_env_create(&s->env);
        if (rc == 0) {
            rc = mdb_env_set_mapsize(s->env, (size_t)map_sizes[i]);
        }
        if (rc == 0) {
            rc = mdb_env_open(s->env, path, flags, 0600);
        }
    }
    return rc;
}

/* Gives an empty file a name that nobody uses. */
static int make_file(const char *dir, char path[static PATH_MAX])
{
    for (int i = 0; i < NAME_TRIES; i++) {
        if (snprintf(path, PATH_MAX, "%s/.ids.%ld.%d", dir, (long)getpid(), i) >=
            PATH_MAX) {
            return ENAMETOOLONG;
        }
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0) {
            (void)close(fd);
            return 0;
        }
        if (errno != EEXIST) {
            return errno;
        }
    }
    return EEXIST;
}

static int begin(struct idset *s)
{
    s->added = 0;
    return mdb_txn_begin(s->env, NULL, 0, &s->txn);
}

int idset_open(struct idset **ret, const char *dir, struct err *err)
{
    char path[PATH_MAX];
    struct idset *s = calloc(1, sizeof(*s));
    if (!s) {
        return failed("make", ENOMEM, err);
    }
    int rc = make_file(dir, path);
    if (rc == 0) {
        rc = env_open(s, path);
        (void)unlink(path);
    }
    if (rc == 0) {
        rc = begin(s);
    }
    if (rc == 0) {
        rc = mdb_dbi_open(s->txn, NULL, 0, &s->dbi);
    }
    if (rc) {
        idset_close(s);
        return failed("make", rc, err);
    }
    *ret = s;
    return 0;
}

struct idset *idset_close(struct idset *s)
{
    if (!s) {
        return NULL;
    }
    if (s->txn) {
        mdb_txn_abort(s->txn);
    }
    if (s->env) {
        mdb_env_close(s->env);
    }
    free(s);
    return NULL;
}

static void key_of(struct span id, struct idset_key *ret)
{
    if (id.n <= IDSET_KEY_MAX) {
        ret->bytes[0] = 'I';
        if (id.n) {
            memcpy(ret->bytes + 1, id.p, id.n);
        }
        ret->n = 1 + id.n;
        return;
    }
    const struct digest d = hash_of(id);
    ret->bytes[0] = 'H';
    memcpy(ret->bytes + 1, d.b, sizeof(d.b));
    ret->n = 1 + sizeof(d.b);
}

static int next_batch(struct idset *s)
{
    int rc = mdb_txn_commit(TAKE_PTR(s->txn));
    return rc ? rc : begin(s);
}

int idset_add(struct idset *s, struct span id, uint64_t value, uint64_t *ret_first,
              struct err *err)
{
    struct idset_key key;
    if (!s->txn) {
        return failed("add to", MDB_BAD_TXN, err);
    }
    key_of(id, &key);
    MDB_val k = {key.n, key.bytes}, v = {sizeof(value), &value};
    int rc = mdb_put(s->txn, s->dbi, &k, &v, MDB_NOOVERWRITE);
    if (rc == MDB_KEYEXIST) {
        memcpy(ret_first, v.mv_data, sizeof(*ret_first));
        return 0;
    }
    if (rc == 0 && ++s->added >= IDSET_BATCH) {
        rc = next_batch(s);
    }
    return rc ? failed("add to", rc, err) : 1;
}
