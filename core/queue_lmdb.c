/*
 * queue_lmdb.c - opening and closing the embedded engine of core/queue.h.
 */
#include "core/queue_lmdb.h"
#include <errno.h>
#include <fcntl.h>
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
        r = queue_start(q, conf->owner, err);
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
    commits_fini(q);
    watch_fini(q);
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
