/*
 * queue_lmdb_owner.c - who owns a data folder, and who is told when its content changes.
 *
 * The owner holds a flock on DIR/owner.lock, which dies with its process. It listens on the
 * datagram socket DIR/wake; everybody else who commits sends it one byte. A byte can be lost
 * (its sender killed between commit and send), so whoever watches also looks at LMDB's last
 * transaction number twice a second.
 */
#include "core/queue_kafka.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define OWNER_LOCK "owner.lock"
#define WAKE_NAME  "wake"
#define POLL_MS    500
#define NOTE_MAX   4096
#define TAKE_TRIES 5

/* ---- the lock and its note ---- */

static int write_note(struct queue *q, const char *note)
{
    _cleanup_(buf_fini) struct buf b = {0};
    buf_init(&b, NOTE_MAX + 32);
    buf_addf(&b, "%ld\n%s\n", (long)getpid(), note);
    if (b.failed) {
        return E2BIG;
    }
    if (pwrite(q->owner_fd, b.p, b.n, 0) != (ssize_t)b.n ||
        ftruncate(q->owner_fd, (off_t)b.n) < 0) {
        return errno ? errno : EIO;
    }
    return 0;
}

int queue_owner_note(struct queue *q, const char *note, struct err *err)
{
    if (!atomic_load(&q->owner) || strpbrk(note, "\r\n")) {
        return err_set(err, ERR_FAIL, "could not leave a note in '%s': %s", q->dir,
                       strpbrk(note, "\r\n") ? "it is more than one line"
                                             : "another process owns it");
    }
    int rc = write_note(q, note);
    return rc ? store_error(q->dir, "leave a note at", rc, err) : 0;
}

/* Locks the file for an instant: 1 somebody owns the folder, 0 nobody does. */
static int somebody_owns(int fd)
{
    if (flock(fd, LOCK_SH | LOCK_NB) < 0) {
        return errno == EWOULDBLOCK;
    }
    (void)flock(fd, LOCK_UN);
    return 0;
}

static int read_note(struct queue *q, char *ret, size_t size, long *ret_pid,
                     char **ret_note)
{
    _cleanup_(attr_closep) int fd = openat(q->dir_fd, OWNER_LOCK, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    ssize_t n = pread(fd, ret, size - 1, 0);
    if (n < 0) {
        return -errno;
    }
    ret[n] = '\0';
    char *end = strchr(ret, '\n');
    if (!end || !somebody_owns(fd)) {
        return 0;
    }
    *end = '\0';
    *ret_pid = strtol(ret, NULL, 10);
    *ret_note = end + 1;
    (*ret_note)[strcspn(*ret_note, "\n")] = '\0';
    return 1;
}

int queue_owner_read(struct queue *q, struct buf *ret, struct err *err)
{
    char text[NOTE_MAX + 64], *note = NULL;
    long pid = 0;
    int r = read_note(q, text, sizeof(text), &pid, &note);
    if (r < 0) {
        return store_error(q->dir, "read the owner's note of", -r, err);
    }
    if (r > 0 && buf_adds(ret, note) < 0) {
        return store_error(q->dir, "read the owner's note of", ENOMEM, err);
    }
    return r;
}

/* ---- the owner's socket ---- */

static struct sockaddr_un wake_address(const struct queue *q)
{
    /* sun_path holds 108 bytes; the folder's own path may be longer */
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/" WAKE_NAME,
                   q->dir_fd);
    return a;
}

static void on_wake_byte(void *ctx)
{
    struct queue *q = CAST_CTX(queue, ctx, QUEUE_MAGIC);
    char bytes[16];
    while (recv(q->wake_fd, bytes, sizeof(bytes), MSG_DONTWAIT) >= 0) {
    }
    watch_notify(q);
}

/* Without the socket (no /proc, an odd file system) the poll still finds every change. */
static void listen_to_others(struct queue *q)
{
    const struct sockaddr_un a = wake_address(q);
    if (!q->loop) {
        return;
    }
    (void)unlinkat(q->dir_fd, WAKE_NAME, 0); /* of an owner that died */
    q->wake_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (q->wake_fd < 0 || bind(q->wake_fd, (const struct sockaddr *)&a, sizeof(a)) < 0 ||
        loop_fd_create(q->loop, q->wake_fd, on_wake_byte, q, &q->wake_watch) < 0) {
        attr_closep(&q->wake_fd);
    }
}

void owner_wake(struct queue *q)
{
    const struct sockaddr_un a = wake_address(q);
    if (atomic_load(&q->owner) || q->send_fd < 0) {
        return;
    }
    (void)sendto(q->send_fd, "w", 1, MSG_DONTWAIT, (const struct sockaddr *)&a,
                 sizeof(a));
}

/* ---- taking and leaving ---- */

static int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

int owner_take(struct queue *q, struct err *err)
{
    if (atomic_load(&q->owner)) {
        return 1;
    }
    _cleanup_(attr_closep) int fd =
        openat(q->dir_fd, OWNER_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return store_error(q->dir, "take over", errno, err);
    }
    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
        const struct timespec ms = {.tv_nsec = 1000000};
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return store_error(q->dir, "take over", errno, err);
        }
        if (i == TAKE_TRIES) {
            return 0;
        }
        (void)nanosleep(&ms, NULL); /* a reader of the note holds it for an instant */
    }
    q->owner_fd = take_fd(&fd);
    int rc = write_note(q, "");
    if (rc) {
        attr_closep(&q->owner_fd);
        return store_error(q->dir, "take over", rc, err);
    }
    atomic_store(&q->owner, true);
    listen_to_others(q);
    return 1;
}

int queue_take_ownership(struct queue *q, struct err *err)
{
    if (q->link) { /* the broker says it */
        return queue_ownership(q, err) == QUEUE_READY;
    }
    return owner_take(q, err);
}

static int owned_by_other(struct queue *q, struct err *err)
{
    char text[NOTE_MAX + 64], *note = NULL;
    long pid = 0;
    int r = read_note(q, text, sizeof(text), &pid, &note);
    r = r > 0 ? err_set(err, ERR_TEMP, "could not take over '%s': process %ld owns it",
                        q->dir, pid)
              : err_set(err, ERR_TEMP,
                        "could not take over '%s': another process owns it", q->dir);
    err_hint(err, "wait until it has ended, or use another folder");
    return r;
}

int owner_require(struct queue *q, struct err *err)
{
    int r = owner_take(q, err);
    return r == 0 ? owned_by_other(q, err) : r;
}

void owner_fini(struct queue *q)
{
    q->wake_watch = loop_fd_destroy(q->wake_watch);
    if (q->wake_fd >= 0) {
        (void)unlinkat(q->dir_fd, WAKE_NAME, 0);
    }
    attr_closep(&q->wake_fd);
    attr_closep(&q->owner_fd); /* the lock goes with it */
    atomic_store(&q->owner, false);
    attr_closep(&q->send_fd);
}

/* ---- watchers ---- */

void watch_notify(struct queue *q)
{
    q->seen_txn = store_last_txn(&q->store);
    for (size_t i = 0; i < QUEUE_WATCHERS_MAX; i++) {
        if (q->watchers[i].cb) {
            q->watchers[i].cb(q->watchers[i].ctx);
        }
    }
}

static void on_poll(void *ctx)
{
    struct queue *q = CAST_CTX(queue, ctx, QUEUE_MAGIC);
    loop_timer_start(q->poll, POLL_MS);
    if (store_last_txn(&q->store) != q->seen_txn || link_asks(q->link)) {
        watch_notify(q);
    }
}

int queue_watch(struct queue *q, void (*cb)(void *ctx), void *ctx)
{
    if (!q->loop) {
        return -ERR_FAIL;
    }
    if (!q->poll && !loop_simulated(q->loop)) { /* no other process lives in its time */
        int r = loop_timer_create(q->loop, on_poll, q, &q->poll);
        if (r < 0) {
            return r;
        }
        q->seen_txn = store_last_txn(&q->store);
        loop_timer_start(q->poll, POLL_MS);
    }
    for (size_t i = 0; i < QUEUE_WATCHERS_MAX; i++) {
        if (!q->watchers[i].cb) {
            q->watchers[i] = (struct watcher){cb, ctx};
            return 0;
        }
    }
    return -ERR_FAIL;
}

void queue_unwatch(struct queue *q, void (*cb)(void *ctx), void *ctx)
{
    bool any = false;
    for (size_t i = 0; i < QUEUE_WATCHERS_MAX; i++) {
        struct watcher *w = &q->watchers[i];
        if (w->cb == cb && w->ctx == ctx) {
            *w = (struct watcher){NULL, NULL};
        }
        any |= w->cb != NULL;
    }
    if (!any) {
        q->poll = loop_timer_destroy(q->poll);
    }
}

void watch_fini(struct queue *q)
{
    memset(q->watchers, 0, sizeof(q->watchers));
    q->poll = loop_timer_destroy(q->poll);
}
