/*
 * queue_kafka_there.c - a commit at the broker: everything a group changes as one transaction.
 *
 * What the broker asks to do again is done again, LINK_COMMIT_TRIES times. Of a record that it
 * refuses the topic is found out: a transaction is not told which of its topics is forbidden, so
 * each is tried with one record in a transaction that is aborted in any case.
 */
#include "core/queue_kafka_commit.h"
#include "core/failpoint.h"
#include "core/headers.h"
#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* ---- where it goes ---- */

int link_target(struct link_commit *c, const struct store_name *of, size_t *ret)
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
    if (rc == -(int)KAFKA_REFUSED || rc == -(int)KAFKA_AUTH) {
        c->refused.why = KAFKA_NO_TOPIC;
        memcpy(c->refused.topic, c->targets[*ret].topic, sizeof(c->refused.topic));
        rc = -(int)KAFKA_REFUSED;
    }
    return rc;
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
    if (link_target(c, &acks, &target) < 0) {
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

int link_produce_all(struct link_commit *c)
{
    int r = 0;
    for (const struct queue_tx *tx = c->group; r == 0 && tx; tx = tx->next) {
        for (size_t i = 0; r == 0 && i < tx->n_ops; i++) {
            r = is_put(&tx->ops[i]) ? produce_op(c, tx, &tx->ops[i]) : 0;
        }
    }
    return r < 0 ? r : produce_acks(c);
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
        r = link_produce_all(c);
        /* no commit was asked for: it can be given up and done again */
        r = r == -(int)KAFKA_REMAKE ? -(int)KAFKA_ABORT : r;
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

int link_may_write(struct link *l, const char *topic, uint32_t partition, struct err *err)
{
    const struct kafka_record probe = {.topic = topic,
                                       .partition = (int32_t)partition,
                                       .key = SPAN_LIT("probe"),
                                       .value = SPAN_LIT(""),
                                       .tag = UINT64_MAX};
    struct err aside;
    int r = kafka_producer_begin(l->producer, err);
    if (r < 0) {
        return r;
    }
    r = kafka_producer_produce(l->producer, &probe, err);
    if (r == 0) {
        r = kafka_producer_flush(l->producer, LINK_INIT_MS, err);
    }
    return give_up(l, &aside) < 0 ? -(int)KAFKA_REMAKE : r;
}

static bool is_first_of_topic(const struct link_commit *c, size_t at)
{
    size_t i = 0;
    while (i < at && strcmp(c->targets[i].topic, c->targets[at].topic) != 0) {
        i++;
    }
    return i == at;
}

/* One of those that may refuse for their team alone, or one of the others. */
static int find_among(struct link_commit *c, bool teams)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < c->n_targets; i++) {
        const struct target *t = &c->targets[i];
        struct err err = {0};
        if (link_may_refuse(c->l, t->of.name) != teams || !is_first_of_topic(c, i)) {
            continue;
        }
        r = link_may_write(c->l, t->topic, t->of.partition, &err);
        if (r == -(int)KAFKA_REFUSED) {
            memcpy(c->refused.topic, t->topic, sizeof(c->refused.topic));
        }
        if (r < 0) {
            *c->err = err;
        }
    }
    return r;
}

/* The class of what went wrong: REFUSED also when each alone would be taken now. */
static int find_forbidden(struct link_commit *c)
{
    int r = find_among(c, true);
    r = r == 0 ? find_among(c, false) : r;
    c->refused.why = c->refused.why ? c->refused.why : KAFKA_NOT_ALLOWED;
    return r == 0 ? -(int)KAFKA_REFUSED : r;
}

int link_commit_there(struct link_commit *c)
{
    int r = 0;
    for (int i = 0; i < LINK_COMMIT_TRIES; i++) {
        r = try_once(c);
        if (r != -(int)KAFKA_ABORT && r != -(int)KAFKA_RETRY && !not_yet_known(c, r)) {
            break;
        }
    }
    return r == -(int)KAFKA_REFUSED && !c->refused.topic[0] ? find_forbidden(c) : r;
}
