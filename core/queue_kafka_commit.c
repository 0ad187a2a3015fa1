/*
 * queue_kafka_commit.c - writing: a group of transactions becomes one transaction of the broker.
 *
 * Everything a group puts, every row and every changed page of acknowledgements goes into it,
 * with the low water of the partitions it touches and the generation of our membership: a
 * process that was taken for dead cannot commit. Only when the broker has acknowledged it are
 * rows and acks applied here. Puts come back by filling, where they are copied at all; the
 * callback waits for that, so that what is committed is read.
 *
 * A commit that the broker asks to do again is done again, LINK_COMMIT_TRIES times. A record it
 * refuses (too large, no such topic, not authorised) fails the group and nothing else. After
 * anything that leaves the outcome open the session ends: see queue_kafka_session.c.
 *
 * A command is no owner: its records go out one by one, in order, without a transaction.
 */
#include "core/queue_kafka.h"
#include "core/failpoint.h"
#include "core/headers.h"
#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* A partition that the group puts into. */
struct target {
    struct store_name of;
    char topic[KAFKA_TOPIC_MAX];
    bool own;     /* its rows are applied here */
    bool seen;    /* it is copied here by filling: wait for it */
    int64_t last; /* the highest offset given to a record of ours; -1 none */
};

struct link_commit {
    struct link *l;
    struct queue_tx *group;
    uint64_t number;
    struct target *targets;
    size_t n_targets, cap_targets;
    struct ack_plan acks;
    struct queue_tx *last_jobs;   /* of a worker: stands at the end of the group */
    struct kafka_refusal refused; /* why 0: nothing was */
    const struct target *only;    /* no other's records are produced */
    struct buf headers, value;
    struct queue_cursor *cursor;
    struct err *err;
};

/* ---- what there is to do ---- */

static bool is_put(const struct op *op)
{
    return op->kind == OP_PUT || op->kind == OP_FORWARD || op->kind == OP_ROW ||
           op->kind == OP_ROW_DELETE;
}

static int target_of(struct link_commit *c, const struct store_name *of, size_t *ret)
{
    for (size_t i = c->n_targets; i-- > 0;) {
        if (store_name_eq(&c->targets[i].of, of)) {
            *ret = i;
            return 0;
        }
    }
    if (c->n_targets == c->cap_targets) {
        size_t cap = c->cap_targets ? 2 * c->cap_targets : 16;
        struct target *targets = realloc(c->targets, cap * sizeof(*targets));
        if (!targets) {
            return store_error(c->l->q->dir, "write to", ENOMEM, c->err);
        }
        c->targets = targets;
        c->cap_targets = cap;
    }
    struct target *t = &c->targets[c->n_targets];
    const struct topic_spec *spec = topics_find(of->kind == 'R', of->name);
    enum topics_copy how = topics_copied(spec, c->l->role);
    *t = (struct target){.of = *of, .last = -1};
    t->own = of->kind == 'R' && how == COPY_OWN;
    t->seen = of->kind == 'T' ? link_fed(c->l, of) : how == COPY_FOLLOW;
    link_topic(c->l, of->name, t->topic);
    *ret = c->n_targets++;
    int rc = link_ensure(c->l, of, c->err);
    if ((rc == -(int)KAFKA_REFUSED || rc == -(int)KAFKA_AUTH) &&
        link_may_refuse(c->l, of->name)) {
        link_takes_refused(c->l, of->name, KAFKA_NO_TOPIC, c->err);
        c->err->code = ERR_INPUT;
    }
    return rc;
}

static int find_targets(struct link_commit *c)
{
    int r = 0;
    for (struct queue_tx *tx = c->group; tx; tx = tx->next) {
        for (size_t i = 0; r == 0 && i < tx->n_ops; i++) {
            struct tx_name *name = &tx->names[tx->ops[i].name];
            if (is_put(&tx->ops[i])) {
                r = target_of(c, &name->is, &name->part);
            }
        }
    }
    for (size_t i = 0; r == 0 && i < c->acks.n_topics; i++) {
        struct store_name acks = {.kind = 'R', .name = TOPICS_ACKS};
        size_t at;
        acks.partition = (uint32_t)link_acks_partition(&c->acks.topics[i].topic);
        r = target_of(c, &acks, &at);
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

/* ---- producing ---- */

void link_delivered(struct link *l, const struct kafka_delivery *d)
{
    struct link_commit *c = l->commit;
    if (c && d->class == 0 && d->tag < c->n_targets) {
        c->targets[d->tag].last = MAX_OF(c->targets[d->tag].last, d->offset);
    }
}

/* The bytes a forwarded record stands for; they go out whole. */
static int load_value(struct link_commit *c, const struct rec_ref *ref, struct span *ret)
{
    const struct store *s = &c->l->q->store;
    uint8_t key[LOG_KEY_BYTES];
    struct rec rec;
    log_key(ref->topic, ref->offset, key);
    const struct rec_place place = log_place(s, key);
    MDB_val k = val_of(key, sizeof(key)), v;
    int r = read_begin(c->cursor, c->err);
    if (r < 0) {
        return r;
    }
    int rc = mdb_get(c->cursor->txn, s->log, &k, &v);
    const char *why = rc ? "it is gone" : rec_parse(v, &rec);
    buf_reset(&c->value);
    if (!why) {
        why = rec_append_value(s, c->cursor->txn, &place, &rec, &c->value);
    }
    read_end(c->cursor);
    if (why) {
        return err_set(c->err, ERR_FAIL, "could not pass on a record: %s", why);
    }
    *ret = buf_span(&c->value);
    return 0;
}

static int produce(struct link_commit *c, size_t target, const struct kafka_record *parts)
{
    const struct target *t = &c->targets[target];
    struct kafka_record record = *parts;
    buf_reset(&c->headers);
    if (record.headers.n) {
        (void)buf_add(&c->headers, record.headers.p, record.headers.n);
    }
    size_t bare = c->headers.n;
    if (link_sign(&c->headers, c->number, c->l->name) < 0) {
        c->headers.failed = false; /* a block that is full already goes out unsigned */
        c->headers.n = bare;
    }
    record.topic = t->topic;
    record.partition = (int32_t)t->of.partition;
    record.headers = buf_span(&c->headers);
    record.tag = target;
    return kafka_producer_produce(c->l->producer, &record, c->err);
}

static int produce_op(struct link_commit *c, const struct queue_tx *tx,
                      const struct op *op)
{
    const char *bytes = tx->arena.p + op->at;
    struct kafka_record r = {
        .key = span_of(op->key_bytes ? bytes : NULL, op->key_bytes),
        .headers = span_of(bytes + op->key_bytes, op->headers_bytes),
        .value = span_of(bytes + op->key_bytes + op->headers_bytes, op->value_bytes),
    };
    if (op->kind == OP_FORWARD) {
        int rc = load_value(c, &op->ref, &r.value);
        if (rc < 0) {
            return -(int)KAFKA_WRONG;
        }
    }
    if (op->kind == OP_ROW_DELETE) {
        r.value = SPAN_NONE;
    } else if (!r.value.p) {
        r.value = SPAN_LIT("");
    }
    return produce(c, tx->names[op->name].part, &r);
}

static int produce_row(struct link_commit *c, const struct store_name *topic,
                       const struct acks_row *row)
{
    struct store_name acks = {.kind = 'R', .name = TOPICS_ACKS};
    size_t target;
    acks.partition = (uint32_t)link_acks_partition(topic);
    if (target_of(c, &acks, &target) < 0) {
        return -(int)KAFKA_WRONG;
    }
    const struct kafka_record r = {
        .key = span_str(row->key),
        .value = row->gone ? SPAN_NONE : span_of(row->value, row->value_bytes)};
    return produce(c, target, &r);
}

static int produce_acks(struct link_commit *c)
{
    struct acks_row row;
    int r = 0;
    for (size_t i = 0; r == 0 && i < c->acks.n_topics; i++) {
        const struct ack_change *t = &c->acks.topics[i];
        acks_low_row(t, &row);
        r = produce_row(c, &t->topic, &row);
        for (size_t k = 0; r == 0 && k < t->n; k++) {
            acks_page_row(t, &c->acks.pages[t->first + k], &row);
            r = produce_row(c, &t->topic, &row);
        }
    }
    return r;
}

static bool is_wanted(const struct link_commit *c, const struct queue_tx *tx,
                      const struct op *op)
{
    return is_put(op) && (!c->only || strcmp(c->targets[tx->names[op->name].part].topic,
                                             c->only->topic) == 0);
}

static int produce_all(struct link_commit *c)
{
    int r = 0;
    for (const struct queue_tx *tx = c->group; r == 0 && tx; tx = tx->next) {
        for (size_t i = 0; r == 0 && i < tx->n_ops; i++) {
            r = is_wanted(c, tx, &tx->ops[i]) ? produce_op(c, tx, &tx->ops[i]) : 0;
        }
    }
    return r < 0 || c->only ? r : produce_acks(c);
}

/* ---- one transaction of the broker ---- */

/* What fences: the low waters, or of a group that acknowledges nothing what is ours anyway. */
static int send_offsets(struct link_commit *c)
{
    struct link *l = c->l;
    size_t n = c->acks.n_topics;
    struct kafka_place *offsets = calloc(n + 1, sizeof(*offsets));
    char(*topics)[KAFKA_TOPIC_MAX] = calloc(n + 1, sizeof(*topics));
    if (!offsets || !topics) {
        free(offsets);
        free(topics);
        return -(int)KAFKA_WRONG;
    }
    for (size_t i = 0; i < n; i++) {
        const struct ack_change *t = &c->acks.topics[i];
        link_topic(l, t->topic.name, topics[i]);
        offsets[i] =
            (struct kafka_place){topics[i], (int32_t)t->topic.partition, (int64_t)t->low};
    }
    if (n == 0) {
        struct store_name of = {.kind = 'T', .partition = l->owned.v[0]};
        struct topic_row row = {0};
        memcpy(of.name, topics_shared(l->role), strlen(topics_shared(l->role)) + 1);
        (void)copy_topic(l->q, &of, &row, NULL);
        offsets[n++] =
            (struct kafka_place){l->shared, (int32_t)of.partition, (int64_t)row.low};
    }
    const struct kafka_commit commit = {offsets, n, l->member_of};
    FAILPOINT("queue.before_kafka_commit");
    int r = kafka_producer_commit(l->producer, &commit, LINK_COMMIT_MS, c->err);
    FAILPOINT("queue.after_kafka_commit");
    free(offsets);
    free(topics);
    return r;
}

static int give_up(struct link *l, struct err *err)
{
    int aborted = kafka_producer_abort(l->producer, LINK_INIT_MS, err);
    return aborted == 1 ? link_producer_make(l, err) : aborted;
}

/* 0 done, or the class of what went wrong; KAFKA_REMAKE also when it could not be aborted. */
static int try_once(struct link_commit *c)
{
    struct link *l = c->l;
    struct err aside;
    for (size_t i = 0; i < c->n_targets; i++) {
        c->targets[i].last = -1;
    }
    int r = kafka_producer_begin(l->producer, c->err);
    if (r == 0) {
        r = produce_all(c);
        if (r == -(int)KAFKA_REMAKE) {
            r = -(
                int)KAFKA_ABORT; /* no commit was asked for: it can be given up and done again */
        }
    }
    if (r == 0) {
        r = send_offsets(c);
    }
    if (r == 0 || r == -(int)KAFKA_REMAKE || r == -(int)KAFKA_FENCED) {
        return r;
    }
    const struct kafka_refusal *refused = kafka_producer_refused(l->producer);
    c->refused = refused ? *refused : (struct kafka_refusal){0};
    int aborted = give_up(l, &aside);
    return aborted < 0 ? -(int)KAFKA_REMAKE : r;
}

static const struct target *target_called(const struct link_commit *c, const char *topic)
{
    for (size_t i = 0; i < c->n_targets; i++) {
        if (strcmp(c->targets[i].topic, topic) == 0) {
            return &c->targets[i];
        }
    }
    return NULL;
}

/* A topic that link_ensure has seen is news to the broker that was asked now; or somebody has
 * deleted it, and it is made again where that is allowed. */
static bool not_yet_known(struct link_commit *c, int r)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    struct err aside = {0};
    const struct target *t = target_called(c, c->refused.topic);
    if (r != -(int)KAFKA_REFUSED || c->refused.why != KAFKA_NO_TOPIC) {
        return false;
    }
    (void)nanosleep(&pause, NULL);
    link_forget(c->l, c->refused.topic);
    return !t || link_ensure(c->l, &t->of, &aside) == 0;
}

/* The broker did not say which topic it forbids: each team's is tried alone, and nothing of it kept. */
static const struct target *find_forbidden(struct link_commit *c)
{
    struct err aside = {0};
    const struct target *found = NULL;
    for (size_t i = 0; !found && i < c->n_targets; i++) {
        const struct target *t = &c->targets[i];
        if (!link_may_refuse(c->l, t->of.name) ||
            kafka_producer_begin(c->l->producer, &aside) < 0) {
            continue;
        }
        c->only = t;
        int r = produce_all(c);
        if (r == 0) {
            r = kafka_producer_flush(c->l->producer, LINK_INIT_MS, &aside);
        }
        c->only = NULL;
        found = r < 0 ? t : NULL;
        if (give_up(c->l, &aside) < 0) {
            break;
        }
    }
    return found;
}

/* What refuses concerns one team: its topic is remembered, and who puts there is told. */
static void note_refused(struct link_commit *c)
{
    const struct target *t = target_called(c, c->refused.topic);
    if (c->refused.why == KAFKA_NOT_ALLOWED && !c->refused.sure) {
        t = find_forbidden(c);
        if (t) {
            err_set(c->err, ERR_INPUT,
                    "could not store a record in topic '%s': not allowed", t->topic);
        }
    }
    c->err->code = ERR_INPUT;
    if (t && link_may_refuse(c->l, t->of.name)) {
        err_hint(c->err, "run: offpeak topics check, which prints what is missing");
        link_takes_refused(c->l, t->of.name, c->refused.why, c->err);
    }
}

/* 0 done; 1 a record was refused; negative: the session is over. */
static int commit_there(struct link_commit *c)
{
    int r = 0;
    for (int i = 0; i < LINK_COMMIT_TRIES; i++) {
        r = try_once(c);
        if (r != -(int)KAFKA_ABORT && r != -(int)KAFKA_RETRY && !not_yet_known(c, r)) {
            break;
        }
    }
    if (r ==
        -(int)
            KAFKA_ABORT) { /* a forbidden topic drops all records, and may not say why */
        c->refused = (struct kafka_refusal){.why = KAFKA_NOT_ALLOWED};
        const struct target *t = find_forbidden(c);
        if (t) {
            memcpy(c->refused.topic, t->topic, sizeof(c->refused.topic));
            c->refused.sure = true;
            err_set(c->err, ERR_INPUT,
                    "could not store a record in topic '%s': not allowed", t->topic);
            r = -(int)KAFKA_REFUSED;
        }
    }
    if (r == -(int)KAFKA_REFUSED) {
        note_refused(c);
        return 1;
    }
    return r;
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

static int commit_as_owner(struct link_commit *c)
{
    struct link *l = c->l;
    int r = may_commit(c);
    if (r == 0) {
        r = apply_plan_acks(l->q, c->group, &c->acks, c->err);
    }
    if (r == 0 && c->acks.n_topics && l->role != QUEUE_SCHEDULER) {
        r = join_last_jobs(c);
    }
    if (r == 0) {
        r = find_targets(c);
        r = r < 0 ? -(int)c->err->code : 0;
        if (r == -(int)ERR_TEMP) { /* whoever committed must not go on from here */
            link_session_failed(l, c->err);
        }
    }
    if (r < 0) {
        return r;
    }
    r = commit_there(c);
    if (r > 0) {
        return -(int)ERR_INPUT;
    }
    if (r == 0) {
        r = strip(c);
    }
    if (r == 0) {
        r = apply_group(l->q, c->group, c->err);
    }
    if (r < 0) {
        c->err->retry = RETRY_UNKNOWN;
        link_session_failed(l, c->err);
        return -(int)c->err->code;
    }
    return 0;
}

static int commit_as_reader(struct link_commit *c)
{
    struct link *l = c->l;
    int r = find_targets(c);
    if (r == 0 && !l->producer) {
        r = link_producer_make(l, c->err);
    }
    if (r == 0) {
        r = produce_all(c);
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

int link_commit(struct link *l, struct queue_tx *group, struct err *err)
{
    struct link_commit c = {.l = l, .group = group, .err = err};
    if (changes_nothing(group)) {
        return apply_group(l->q, group, err);
    }
    buf_init(&c.headers, 2 * HEADERS_BYTES_MAX);
    buf_init(&c.value, QUEUE_MSG_MAX);
    pthread_mutex_lock(&l->commit_mu);
    l->commit = &c;
    int r = queue_cursor_open(l->q, &c.cursor, err);
    if (r == 0) {
        r = next_number(&c);
    }
    if (r == 0) {
        r = l->role == QUEUE_READER ? commit_as_reader(&c) : commit_as_owner(&c);
    }
    pthread_mutex_unlock(&l->commit_mu);
    if (r == 0 && l->role != QUEUE_READER) {
        wait_until_seen(&c);
    }
    pthread_mutex_lock(&l->commit_mu);
    commit_fini(&c);
    pthread_mutex_unlock(&l->commit_mu);
    return r;
}
