/*
 * queue_kafka_commit.c - writing: a group of transactions becomes one transaction of the broker.
 *
 * Everything a group puts, every row and every changed page of acknowledgements goes into it,
 * with the low water of the partitions it touches and the generation of our membership: a
 * process that was taken for dead cannot commit. Only when the broker has acknowledged it are
 * rows and acks applied here. Puts come back by filling, where they are copied at all; the
 * callback waits for that, so that what is committed is read.
 *
 * What the broker refuses (too large, no such topic, not authorised) is answered by whose topic it
 * is. One team's: the transactions that put there are left out and given back whole, and the rest is
 * committed: only settle puts into these, and nothing that was begun since rests on it. One that all
 * share: the group waits, nothing of it is lost, and it is tried again, at longer and longer
 * intervals, for as long as the session lasts and there is room for what others hand over. After
 * anything that leaves the outcome open the session ends: see queue_kafka_session.c.
 *
 * A command is no owner: its records go out one by one, in order, without a transaction.
 */
#include "core/queue_kafka_commit.h"
#include "core/headers.h"
#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* ---- what there is to do ---- */

static int find_targets(struct link_commit *c)
{
    int r = 0;
    for (struct queue_tx *tx = c->group; tx; tx = tx->next) {
        for (size_t i = 0; r == 0 && i < tx->n_ops; i++) {
            struct tx_name *name = &tx->names[tx->ops[i].name];
            if (is_put(&tx->ops[i])) {
                r = link_target(c, &name->is, &name->part);
            }
        }
    }
    for (size_t i = 0; r == 0 && i < c->acks.n_topics; i++) {
        struct store_name acks = {.kind = 'R', .name = TOPICS_ACKS};
        size_t at;
        acks.partition = (uint32_t)link_acks_partition(&c->acks.topics[i].topic);
        r = link_target(c, &acks, &at);
    }
    return r;
}

/* Larger than all before it, and than those of writers before us unless their clocks ran. */
static int next_number(struct link_commit *c)
{
    struct queue *q = c->l->q;
    MDB_txn *txn = NULL;
    uint64_t last = 0;
    int rc = mdb_txn_begin(q->store.env, NULL, MDB_RDONLY, &txn);
    if (rc == 0) {
        rc = store_number(&q->store, txn, "commit", &last);
        mdb_txn_abort(txn);
    }
    if (rc) {
        return store_error(q->dir, "read", rc, c->err);
    }
    last = MAX_OF(last, c->l->last_number);
    c->number = MAX_OF(last + 1, (uint64_t)clock_wall_ms(&q->clock) * 1000);
    c->l->last_number = c->number;
    return 0;
}

/* ---- here ---- */

/* What filling brings is not applied; how far own tables are now is. */
static int strip(struct link_commit *c)
{
    struct queue_tx *last = NULL;
    for (struct queue_tx *tx = c->group; tx; tx = tx->next) {
        size_t kept = 0;
        for (size_t i = 0; i < tx->n_ops; i++) {
            const struct op *op = &tx->ops[i];
            if (!is_put(op) || c->targets[tx->names[op->name].part].own) {
                tx->ops[kept++] = *op;
            }
        }
        tx->n_ops = kept;
        tx->n_records = 0;
        tx->commit = c->number;
        last = tx;
    }
    int r = 0;
    for (size_t i = 0; r == 0 && last && i < c->n_targets; i++) {
        const struct target *t = &c->targets[i];
        if (t->own && t->last >= 0) {
            r = copy_mark(last, OP_REACHED, &t->of, (uint64_t)t->last + 1, SPAN_NONE,
                          c->err);
        }
    }
    return r;
}

/* Filling has passed it, or never will here. Under mu. */
static bool is_seen(const struct link *l, const struct target *t)
{
    if (l->stop || l->failed || (l->state != LINK_HERE && l->state != LINK_LEAVING)) {
        return true;
    }
    const struct link_copy *copy = link_copy_find(l, t->topic, t->of.partition);
    return copy && (copy->paused || atomic_load(&copy->at) > (uint64_t)t->last);
}

static void wait_until_seen(struct link_commit *c)
{
    struct link *l = c->l;
    int64_t until = link_now_ms() + LINK_SEEN_MS;
    const struct timespec ts = {.tv_sec = until / 1000,
                                .tv_nsec = until % 1000 * 1000000};
    pthread_mutex_lock(&l->mu);
    for (size_t i = 0; i < c->n_targets; i++) {
        const struct target *t = &c->targets[i];
        while (t->seen && t->last >= 0 && !is_seen(l, t)) {
            if (pthread_cond_timedwait(&l->moved, &l->mu, &ts) != 0) {
                break; /* it is committed all the same */
            }
        }
    }
    pthread_mutex_unlock(&l->mu);
}

/* ---- the two kinds of writers ---- */

static int may_commit(struct link_commit *c)
{
    struct link *l = c->l;
    pthread_mutex_lock(&l->mu);
    bool may = l->producer && !l->failed &&
               (l->state == LINK_HERE || (l->state == LINK_LEAVING && l->planned));
    pthread_mutex_unlock(&l->mu);
    if (may) {
        return 0;
    }
    return err_set(c->err, ERR_TEMP,
                   "could not commit: this process owns no partitions of "
                   "'%s'",
                   l->shared);
}

static bool changes_nothing(const struct queue_tx *group)
{
    for (; group; group = group->next) {
        if (group->n_ops) {
            return false;
        }
    }
    return true;
}

/* What moves with the low waters belongs to the group. */
static int join_last_jobs(struct link_commit *c)
{
    struct queue_tx *last = c->group;
    if (queue_begin(c->l->q, &c->last_jobs) < 0) {
        return store_error(c->l->q->dir, "write to", ENOMEM, c->err);
    }
    while (last->next) {
        last = last->next;
    }
    last->next = c->last_jobs;
    c->last_jobs->time_ms = c->group->time_ms;
    return acks_last_jobs(c->l, &c->acks, c->cursor, c->last_jobs, c->err);
}

static void part_last_jobs(struct link_commit *c)
{
    struct queue_tx *last = c->group;
    if (!c->last_jobs) {
        return;
    }
    while (last->next != c->last_jobs) {
        last = last->next;
    }
    last->next = NULL;
    c->last_jobs = queue_tx_drop(c->last_jobs);
}

static int prepare(struct link_commit *c)
{
    int r = may_commit(c);
    if (r == 0) {
        r = next_number(c);
    }
    if (r == 0) {
        r = apply_plan_acks(c->l->q, c->group, &c->acks, c->err);
    }
    if (r == 0 && c->acks.n_topics && c->l->role != QUEUE_SCHEDULER) {
        r = join_last_jobs(c);
    }
    return r == 0 ? find_targets(c) : r;
}

/* Nothing of a group that was refused (c->refused.why) is stored; after another failure of the
 * broker's nobody knows, and the session is over. */
static int commit_as_owner(struct link_commit *c)
{
    struct link *l = c->l;
    bool may = may_commit(c) == 0;
    int r = prepare(c);
    if (r == 0) {
        r = link_commit_there(c);
        c->refused.why = r == -(int)KAFKA_REFUSED ? c->refused.why : 0;
    }
    if (r < 0 && c->refused.why) {
        c->err->code = ERR_INPUT;
        return -(int)ERR_INPUT;
    }
    if (r == 0) {
        r = strip(c);
    }
    if (r == 0) {
        r = apply_group(l->q, c->group, c->err);
    }
    if (r < 0 && may) {
        c->err->retry = RETRY_UNKNOWN;
        link_session_failed(l, c->err);
    }
    return r < 0 ? -(int)c->err->code : 0;
}

static int commit_as_reader(struct link_commit *c)
{
    struct link *l = c->l;
    int r = next_number(c);
    if (r == 0) {
        r = find_targets(c);
    }
    if (r == 0 && !l->producer) {
        r = link_producer_make(l, c->err);
    }
    if (r == 0) {
        r = link_produce_all(c);
    }
    if (r == 0) {
        r = kafka_producer_flush(l->producer, LINK_COMMIT_MS, c->err);
    }
    for (struct queue_tx *tx = c->group; tx; tx = tx->next) {
        tx->commit = c->number;
    }
    if (r == 0) {
        return 0;
    }
    l->producer = kafka_producer_destroy(l->producer);
    c->err->retry = RETRY_UNKNOWN;
    return -(int)c->err->code;
}

static void commit_fini(struct link_commit *c)
{
    c->l->commit = NULL;
    part_last_jobs(c);
    free(c->targets);
    ack_plan_fini(&c->acks);
    buf_fini(&c->headers);
    buf_fini(&c->value);
    c->cursor = queue_cursor_close(c->cursor);
}

/* What was refused; name "": of which topic nobody knows. */
struct refused {
    bool any;
    enum kafka_refused_why why;
    char name[QUEUE_NAME_MAX]; /* ours */
};

static void tell_refused(const struct link_commit *c, struct refused *ret)
{
    *ret = (struct refused){.any = c->refused.why != 0, .why = c->refused.why};
    for (size_t i = 0; ret->any && i < c->n_targets; i++) {
        const struct target *t = &c->targets[i];
        if (strcmp(t->topic, c->refused.topic) == 0) {
            memcpy(ret->name, t->of.name, sizeof(ret->name));
        }
    }
}

static int try_group(struct link *l, struct queue_tx *group, struct refused *ret,
                     struct err *err)
{
    struct link_commit c = {.l = l, .group = group, .err = err};
    buf_init(&c.headers, 2 * HEADERS_BYTES_MAX);
    buf_init(&c.value, QUEUE_MSG_MAX);
    pthread_mutex_lock(&l->commit_mu);
    l->commit = &c;
    int r = queue_cursor_open(l->q, &c.cursor, err);
    if (r == 0) {
        r = l->role == QUEUE_READER ? commit_as_reader(&c) : commit_as_owner(&c);
    }
    pthread_mutex_unlock(&l->commit_mu);
    if (r == 0 && l->role != QUEUE_READER) {
        wait_until_seen(&c);
    }
    pthread_mutex_lock(&l->commit_mu);
    tell_refused(&c, ret);
    commit_fini(&c);
    pthread_mutex_unlock(&l->commit_mu);
    return r;
}

/* ---- what is refused ---- */

static bool puts_into(const struct queue_tx *tx, const char *name)
{
    for (size_t i = 0; i < tx->n_names; i++) {
        const struct store_name *is = &tx->names[i].is;
        if (is->kind == 'T' && strcmp(is->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Takes those that put there out of the group; they come back whole. */
static void leave_out(struct queue_tx **group, struct queue_tx ***left_end,
                      const char *name, const struct err *why)
{
    for (struct queue_tx **at = group; *at;) {
        struct queue_tx *tx = *at;
        if (!puts_into(tx, name)) {
            at = &tx->next;
            continue;
        }
        tx->refused = true;
        tx->failure = *why;
        *at = tx->next;
        tx->next = NULL;
        **left_end = tx;
        *left_end = &tx->next;
    }
}

/* It makes sense to wait: the session lasts, and nobody is kept from handing over (which would stop
 * the loop). */
static bool may_wait(struct link *l)
{
    struct commits *commits = &l->q->commits;
    pthread_mutex_lock(&l->mu);
    bool may = l->state == LINK_HERE && !l->stop && !l->failed;
    pthread_mutex_unlock(&l->mu);
    pthread_mutex_lock(&commits->mu);
    may = may && !commits->stop && commits->n_waiting < QUEUE_WAITING_MAX / 2;
    pthread_mutex_unlock(&commits->mu);
    return may;
}

/* True: it is time for another try. */
static bool wait_for_others(struct link *l, unsigned tries, const struct err *why)
{
    const struct timespec look = {.tv_nsec = 50000000};
    int64_t wait_ms = MIN_OF(LINK_REFUSED_FIRST_MS << MIN_OF(tries, 16U),
                             (int64_t)LINK_REFUSED_MOST_MS);
    int64_t until = link_now_ms() + wait_ms;
    link_say(l, why);
    while (may_wait(l) && link_now_ms() < until) {
        (void)nanosleep(&look, NULL);
    }
    return may_wait(l);
}

int link_commit(struct link *l, struct queue_tx **group, struct err *err)
{
    struct queue_tx *left = NULL, **left_end = &left;
    struct refused no = {0};
    unsigned tries = 0;
    bool again = false;
    int r;
    if (changes_nothing(*group)) {
        return apply_group(l->q, *group, err);
    }
    do {
        r = *group ? try_group(l, *group, &no, err) : 0;
        again = r < 0 && no.any && l->role != QUEUE_READER;
        if (again && link_may_refuse(l, no.name)) {
            link_takes_refused(l, no.name, no.why, err);
            leave_out(group, &left_end, no.name, err);
        } else if (again) {
            again = wait_for_others(l, tries++, err);
        }
    } while (again);
    if (tries > 0 && r == 0) {
        link_say_fine(l);
    }
    if (r < 0 && no.any && l->role != QUEUE_READER) {
        link_session_failed(l, err);
    }
    *left_end = *group;
    *group = left;
    return r;
}
