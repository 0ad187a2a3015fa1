/*
 * queue_lmdb_commit.c - the commit thread. Transactions are handed over in a list, merged
 * into one write transaction, and come back in the same order in a second list that the loop
 * is woken for. Only the two lists and the failure are shared, under one mutex.
 */
#include "core/queue_kafka.h"
#include <stdlib.h>

#define READER_CHECK_MS 10000

int64_t queue_time_ms(const struct queue *q)
{
    return q->loop ? loop_wall_ms(q->loop) : clock_wall_ms(&q->clock);
}

/* ---- on the commit thread ---- */

static bool enough(const struct commits *c)
{
    return c->stop || c->hurry || c->n_records >= QUEUE_TX_RECORDS ||
           c->n_bytes >= QUEUE_TX_BYTES || c->n_waiting >= QUEUE_WAITING_MAX;
}

/* Gives others the time the last commit took to join this one, QUEUE_LINGER_MS at most: on
 * a disk where a commit is cheap there is nothing to gain by waiting. */
static void linger(struct queue *q)
{
    struct commits *c = &q->commits;
    const struct clock real = clock_real();
    int64_t until = clock_mono_ms(&real) + MIN_OF(c->linger_ms, QUEUE_LINGER_MS);
    const struct timespec ts = {.tv_sec = until / 1000,
                                .tv_nsec = until % 1000 * 1000000};
    while (c->linger_ms > 0 && !enough(c)) {
        if (pthread_cond_timedwait(&c->work, &c->mu, &ts) != 0) {
            break;
        }
    }
}

static struct queue_tx *take_group(struct commits *c)
{
    struct queue_tx *group = NULL, **end = &group;
    size_t records = 0, bytes = 0;
    while (c->waiting) {
        struct queue_tx *tx = c->waiting;
        if (group && (records + tx->n_records > QUEUE_TX_RECORDS ||
                      bytes + tx->bytes > QUEUE_TX_BYTES || tx->epoch != group->epoch)) {
            break;
        }
        c->waiting = tx->next;
        c->n_waiting--;
        c->n_records -= tx->n_records;
        c->n_bytes -= tx->bytes;
        records += tx->n_records;
        bytes += tx->bytes;
        tx->next = NULL;
        *end = tx;
        end = &tx->next;
    }
    if (!c->waiting) {
        c->waiting_end = &c->waiting;
        c->hurry = false;
    }
    pthread_cond_broadcast(&c->room);
    return group;
}

/* `why` NULL: it is stored. */
static void finish_group(struct queue *q, struct queue_tx *group, const struct err *why)
{
    struct commits *c = &q->commits;
    while (group) {
        struct queue_tx *tx = group;
        group = tx->next;
        tx->next = NULL;
        tx->failed = why || tx->refused;
        if (why && !tx->refused) {
            tx->failure = *why;
        }
        if (!tx->waited) {
            *c->done_end = tx;
            c->done_end = &tx->next;
        }
        tx->done = true; /* a waiter may free it from here on */
    }
    pthread_cond_broadcast(&c->finished);
}

static void run_group(struct queue *q, struct queue_tx *group)
{
    struct commits *c = &q->commits;
    const struct clock real = clock_real();
    struct err err = {0};
    int64_t begin = clock_mono_ms(&real);
    int dead;
    if (begin - c->checked_ms >= READER_CHECK_MS) {
        (void)mdb_reader_check(q->store.env, &dead); /* pages that killed readers pin */
        c->checked_ms = begin;
    }
    int r = q->link ? link_commit(q->link, &group, &err) : apply_group(q, group, &err);
    for (struct queue_tx *tx = group; tx; tx = tx->next) {
        if (!tx->refused) {
            tx_empty(tx);
        }
    }
    if (r == 0) {
        owner_wake(q);
    } else {
        commits_fail(q, &err);
    }
    int64_t took_ms = clock_mono_ms(&real) - begin;

    pthread_mutex_lock(&c->mu);
    c->linger_ms = took_ms;
    finish_group(q, group, r < 0 ? &err : NULL);
    pthread_mutex_unlock(&c->mu);
}

static void *commit_main(void *arg)
{
    struct queue *q = arg;
    struct commits *c = &q->commits;
    for (;;) {
        pthread_mutex_lock(&c->mu);
        while (!c->waiting && !c->stop) {
            pthread_cond_wait(&c->work, &c->mu);
        }
        if (!c->waiting) {
            pthread_mutex_unlock(&c->mu);
            return NULL;
        }
        linger(q);
        struct queue_tx *group = take_group(c);
        c->busy = true;
        bool failed = c->failed && (!q->link || group->epoch != atomic_load(&q->epoch));
        if (failed) { /* after a failure nothing is written any more */
            finish_group(q, group, &c->failure);
        }
        pthread_mutex_unlock(&c->mu);
        if (!failed) {
            run_group(q, group);
        }
        pthread_mutex_lock(&c->mu);
        c->busy = false;
        pthread_mutex_unlock(&c->mu);
        if (c->wake) {
            loop_wake_send(c->wake);
        }
    }
}

/* ---- handing over ---- */

static void fail(struct commits *c, const char *why)
{
    if (c->failed) {
        return;
    }
    c->failed = true;
    (void)err_set(&c->failure, ERR_FAIL, "could not commit: %s", why);
}

bool commits_idle(struct queue *q)
{
    struct commits *c = &q->commits;
    pthread_mutex_lock(&c->mu);
    bool idle = !c->waiting && !c->busy;
    pthread_mutex_unlock(&c->mu);
    return idle;
}

void commits_fail(struct queue *q, const struct err *err)
{
    struct commits *c = &q->commits;
    pthread_mutex_lock(&c->mu);
    c->failed = true;
    c->failure = *err;
    if (q->link) {
        atomic_fetch_add(&q->epoch, 1);
    }
    pthread_mutex_unlock(&c->mu);
}

static void hand_over(struct queue *q, struct queue_tx *tx)
{
    struct commits *c = &q->commits;
    tx->time_ms = queue_time_ms(q);
    tx->refused = false;
    pthread_mutex_lock(&c->mu);
    if (c->stop) {
        fail(c, "the queue is being closed");
    } else if (!c->started && pthread_create(&c->thread, NULL, commit_main, q) != 0) {
        fail(c, "no thread can be started");
    } else {
        c->started = true;
    }
    if (!c->started || c->stop) {
        finish_group(q, tx, &c->failure);
        pthread_mutex_unlock(&c->mu);
        if (c->wake) {
            loop_wake_send(c->wake);
        }
        return;
    }
    while (c->n_waiting >= QUEUE_WAITING_MAX) {
        pthread_cond_wait(&c->room, &c->mu);
    }
    *c->waiting_end = tx;
    c->waiting_end = &tx->next;
    c->n_waiting++;
    c->n_records += tx->n_records;
    c->n_bytes += tx->bytes;
    c->hurry |= tx->waited;
    pthread_cond_signal(&c->work);
    pthread_mutex_unlock(&c->mu);
}

void queue_commit(struct queue_tx *tx, queue_commit_fn cb, void *ctx)
{
    struct queue *q = tx->q;
    assert(q->loop); /* callbacks need one; else queue_commit_wait */
    tx->cb = cb;
    tx->ctx = ctx;
    loop_hold(q->loop);
    hand_over(q, tx);
}

int queue_commit_wait(struct queue_tx *tx, uint64_t *ret_commit, struct err *err)
{
    struct queue *q = tx->q;
    struct commits *c = &q->commits;
    tx->waited = true;
    hand_over(q, tx);
    pthread_mutex_lock(&c->mu);
    while (!tx->done) {
        pthread_cond_wait(&c->finished, &c->mu);
    }
    pthread_mutex_unlock(&c->mu);
    int r = 0;
    if (tx->failed) {
        r = -(int)tx->failure.code;
        if (err) {
            *err = tx->failure;
        }
    } else if (ret_commit) {
        *ret_commit = tx->commit;
    }
    queue_tx_drop(tx);
    return r;
}

/* ---- on the loop ---- */

static struct queue_tx *take_done(struct commits *c)
{
    pthread_mutex_lock(&c->mu);
    struct queue_tx *tx = c->done;
    if (tx) {
        c->done = tx->next;
    }
    if (!c->done) {
        c->done_end = &c->done;
    }
    pthread_mutex_unlock(&c->mu);
    return tx;
}

static void call_back(struct queue *q)
{
    struct queue_tx *tx;
    while ((tx = take_done(&q->commits))) {
        bool refused = tx->refused;
        q->refused = refused ? tx : NULL;
        if (tx->cb) {
            tx->cb(tx->ctx, tx->failed ? 0 : tx->commit,
                   tx->failed ? &tx->failure : NULL);
        }
        loop_unhold(q->loop);
        if (!refused || TAKE_PTR(q->refused)) { /* else it was taken back */
            queue_tx_drop(tx);
        }
    }
}

struct queue_tx *queue_take_back(struct queue *q)
{
    struct queue_tx *tx = TAKE_PTR(q->refused);
    if (tx) {
        tx->next = NULL;
        tx->done = tx->failed = false;
    }
    return tx;
}

static void on_wake(void *ctx)
{
    struct queue *q = CAST_CTX(queue, ctx, QUEUE_MAGIC);
    call_back(q);
    watch_notify(q); /* also of commits that somebody waited for: they have no callback */
}

int commits_init(struct queue *q, struct err *err)
{
    struct commits *c = &q->commits;
    pthread_condattr_t attr;
    c->waiting_end = &c->waiting;
    c->done_end = &c->done;
    pthread_mutex_init(&c->mu, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->work, &attr);
    pthread_cond_init(&c->room, NULL);
    pthread_cond_init(&c->finished, NULL);
    pthread_condattr_destroy(&attr);
    if (q->loop && loop_wake_create(q->loop, on_wake, q, &c->wake) < 0) {
        return err_set(err, ERR_FAIL,
                       "could not open the queue in '%s': no wake-up handle", q->dir);
    }
    return 0;
}

void commits_stop(struct queue *q)
{
    struct commits *c = &q->commits;
    pthread_mutex_lock(&c->mu);
    c->stop = true;
    pthread_cond_signal(&c->work);
    pthread_mutex_unlock(&c->mu);
    if (c->started) {
        pthread_join(c->thread, NULL);
    }
    call_back(q);
}

void commits_fini(struct queue *q)
{
    struct commits *c = &q->commits;
    c->wake = loop_wake_destroy(c->wake);
    pthread_cond_destroy(&c->work);
    pthread_cond_destroy(&c->room);
    pthread_cond_destroy(&c->finished);
    pthread_mutex_destroy(&c->mu);
}
