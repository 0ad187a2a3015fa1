/*
 * queue_lmdb.c - opening and closing the embedded engine of core/queue.h.
 */
#include "core/queue_lmdb.h"
#include "core/hash.h"
#include "core/queue_kafka.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_folder(struct queue *q, struct err *err)
{
    if (mkdir(q->dir, 0700) < 0 && errno != EEXIST) {
        return store_error(q->dir, "make", errno, err);
    }
    q->dir_fd = open(q->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (q->dir_fd < 0) {
        return store_error(q->dir, "open", errno, err);
    }
    return 0;
}

/*
 * LMDB must not open one file twice in a process: the first close would drop the locks of
 * both. The lock on byte `pid` belongs to this open file, so a second open of the folder by
 * the same process finds it held. (So does a process of the same number in another container,
 * which LMDB could not tell apart either.)
 */
static int lock_once(struct queue *q, struct err *err)
{
    q->open_fd = openat(q->dir_fd, "open.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (q->open_fd < 0) {
        return store_error(q->dir, "open", errno, err);
    }
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = getpid(), .l_len = 1};
    if (fcntl(q->open_fd, F_OFD_SETLK, &lock) == 0) {
        return 0;
    }
    if (errno != EAGAIN && errno != EACCES) {
        return store_error(q->dir, "open", errno, err);
    }
    return err_set(err, ERR_FAIL,
                   "could not open the queue in '%s': process %ld has it open already",
                   q->dir, (long)getpid());
}

static struct queue *queue_new(const struct queue_conf *conf)
{
    struct queue *q = calloc(1, sizeof(*q));
    if (!q) {
        return NULL;
    }
    q->magic = QUEUE_MAGIC;
    q->dir_fd = q->open_fd = q->owner_fd = q->wake_fd = q->send_fd = -1;
    q->dir = strdup(conf->dir);
    q->loop = conf->loop;
    q->clock = clock_real();
    q->max_bytes = conf->max_bytes;
    pthread_mutex_init(&q->peek_mu, NULL);
    return q;
}

static int queue_start(struct queue *q, bool owner, struct err *err)
{
    int r = open_folder(q, err);
    if (r == 0) {
        r = lock_once(q, err);
    }
    if (r == 0) {
        r = store_open(&q->store, q->dir, q->dir_fd, err);
    }
    if (r == 0) {
        r = queue_cursor_open(q, &q->peek, err);
    }
    if (r < 0) {
        return r;
    }
    q->send_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return owner ? owner_require(q, err) : 0;
}

/* ---- a folder is a store, or the copy of a broker's ---- */

/* Which broker and names: 0 none. */
static uint64_t mark_of(const struct queue_broker *b)
{
    struct hash *h = b ? hash_open() : NULL;
    if (!h) {
        return 0;
    }
    const char *prefix = b->prefix ? b->prefix : TOPICS_PREFIX;
    hash_add(h, prefix, strlen(prefix));
    return hash_u64(hash_end(h)) | 1;
}

static int check_mark(struct queue *q, const struct queue_broker *b, struct err *err)
{
    uint64_t mark = 0, want = mark_of(b), commits = 0;
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(q->store.env, NULL, want ? 0 : MDB_RDONLY, &txn);
    if (rc == 0) {
        rc = store_number(&q->store, txn, "broker", &mark);
        rc = rc == MDB_NOTFOUND ? 0 : rc;
    }
    if (rc == 0) {
        rc = store_number(&q->store, txn, "commit", &commits);
    }
    bool fresh = rc == 0 && mark == 0 && commits == 0;
    if (fresh && want) {
        rc = store_put_number(&q->store, txn, "broker", want);
        rc = rc ? rc : mdb_txn_commit(TAKE_PTR(txn));
    }
    if (txn) {
        mdb_txn_abort(txn);
    }
    if (rc) {
        return store_error(q->dir, "open", rc, err);
    }
    if (mark == want || fresh) {
        return 0;
    }
    int r = err_set(err, ERR_USAGE, "could not open the queue in '%s': %s", q->dir,
                    mark ? "it is a copy of what stands on a broker"
                         : "it holds a queue of this machine");
    err_hint(err, mark ? "name that broker, or another folder" : "name another folder");
    return r;
}

/* A command's copy is its own. */
static int make_private(struct queue *q, const char *base, struct err *err)
{
    char path[QUEUE_PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/offpeak-XXXXXX", base) >= (int)sizeof(path) ||
        !mkdtemp(path)) {
        return store_error(base, "open", errno ? errno : ENAMETOOLONG, err);
    }
    free(q->dir);
    q->dir = strdup(path);
    return q->dir ? 0 : store_error(base, "open", ENOMEM, err);
}

/* What is open stays usable when its name is gone; so nothing is left of a command that is killed. */
static void remove_private(struct queue *q)
{
    static const char *const files[] = {"queue/data.mdb", "queue/lock.mdb", "open.lock",
                                        "owner.lock"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        (void)unlinkat(q->dir_fd, files[i], 0);
    }
    (void)unlinkat(q->dir_fd, "queue", AT_REMOVEDIR);
    (void)rmdir(q->dir);
}

/* With a broker the folder is this process's alone; who owns what, the broker says. */
static int open_with_broker(struct queue *q, const struct queue_conf *conf,
                            struct err *err)
{
    bool reader = conf->broker->role == QUEUE_READER;
    int r = reader ? make_private(q, conf->dir, err) : 0;
    if (r == 0) {
        r = queue_start(q, !reader, err);
    }
    if (reader && q->dir_fd >= 0) {
        remove_private(q);
    }
    atomic_store(&q->owner, false);
    if (r >= 0) {
        r = check_mark(q, conf->broker, err);
    }
    return r < 0 ? r : link_open(q, conf->broker, err);
}

static int open_embedded(struct queue *q, const struct queue_conf *conf, struct err *err)
{
    int r = queue_start(q, conf->owner, err);
    return r < 0 ? r : check_mark(q, NULL, err);
}

int queue_open(struct queue **ret, const struct queue_conf *conf, struct err *err)
{
    struct queue *q = queue_new(conf);
    if (!q || !q->dir) {
        if (q) {
            pthread_mutex_destroy(&q->peek_mu);
        }
        free(q);
        return store_error(conf->dir, "open", ENOMEM, err);
    }
    int r = commits_init(q, err);
    if (r == 0) {
        r = conf->broker ? open_with_broker(q, conf, err) : open_embedded(q, conf, err);
    }
    if (r < 0) {
        queue_close(q);
        return r;
    }
    *ret = q;
    return 0;
}

struct queue *queue_close(struct queue *q)
{
    if (!q) {
        return NULL;
    }
    commits_stop(q);
    watch_fini(q);
    q->link = link_close(q->link);
    commits_fini(q);
    q->peek = queue_cursor_close(q->peek);
    assert(q->n_users == 0); /* feeds, cursors and transactions end before their queue */
    owner_fini(q);
    parts_fini(q);
    store_close(&q->store);
    attr_closep(&q->open_fd);
    attr_closep(&q->dir_fd);
    pthread_mutex_destroy(&q->peek_mu);
    free(q->dir);
    q->magic = 0;
    free(q);
    return NULL;
}
