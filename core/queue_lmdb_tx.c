/*
 * queue_lmdb_tx.c - collecting a transaction: everything is checked and copied here, so that
 * what is handed to the commit thread can only fail for reasons of the disk.
 */
#include "core/queue_kafka.h"
#include "core/headers.h"
#include <ctype.h>
#include <stdlib.h>

/* The first group of a transaction may be larger than QUEUE_TX_BYTES: two values of the
 * largest size and what belongs to them. */
#define TX_ARENA_MAX (QUEUE_TX_BYTES + 2 * QUEUE_VALUE_MAX)

bool queue_name_ok(const char *name)
{
    size_t n = 0;
    for (; name[n]; n++) {
        unsigned char c = (unsigned char)name[n];
        if (n + 1 >= QUEUE_NAME_MAX || c > 127 || (!isalnum(c) && !strchr("._-", c))) {
            return false;
        }
    }
    return n > 0;
}

int queue_begin(struct queue *q, struct queue_tx **ret)
{
    struct queue_tx *tx = calloc(1, sizeof(*tx));
    if (!tx) {
        return -ERR_FAIL;
    }
    tx->q = q;
    tx->epoch = atomic_load(&q->epoch);
    buf_init(&tx->arena, TX_ARENA_MAX);
    q->n_users++;
    *ret = tx;
    return 0;
}

void tx_empty(struct queue_tx *tx)
{
    buf_fini(&tx->arena);
    free(TAKE_PTR(tx->ops));
    free(TAKE_PTR(tx->names));
}

struct queue_tx *queue_tx_drop(struct queue_tx *tx)
{
    if (!tx) {
        return NULL;
    }
    tx->q->n_users--;
    tx_empty(tx);
    free(tx);
    return NULL;
}

bool queue_tx_empty(const struct queue_tx *tx)
{
    return tx->n_ops == 0;
}

bool queue_tx_full(const struct queue_tx *tx, size_t more_bytes)
{
    return tx->n_records > QUEUE_TX_RECORDS - QUEUE_TX_GROUP ||
           tx->n_acks > QUEUE_TX_RECORDS - QUEUE_TX_GROUP ||
           (tx->bytes > 0 && tx->bytes + more_bytes > QUEUE_TX_BYTES);
}

struct op_name {
    char kind; /* 'T' or 'R' */
    const char *name;
    uint32_t partition;
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_FAIL, "could not collect a transaction: no memory");
}

static int tx_name(struct queue_tx *tx, const struct op_name *name, uint32_t *ret,
                   struct err *err)
{
    for (size_t i = tx->n_names; i-- > 0;) { /* the last ones are asked for most */
        const struct store_name *is = &tx->names[i].is;
        if (is->kind == name->kind && is->partition == name->partition &&
            strcmp(is->name, name->name) == 0) {
            *ret = (uint32_t)i;
            return 0;
        }
    }
    if (tx->n_names == tx->cap_names) {
        size_t cap = tx->cap_names ? 2 * tx->cap_names : 8;
        struct tx_name *names = realloc(tx->names, cap * sizeof(*names));
        if (!names) {
            return no_memory(err);
        }
        tx->names = names;
        tx->cap_names = cap;
    }
    struct tx_name *n = &tx->names[tx->n_names];
    *n = (struct tx_name){.is = {.kind = name->kind, .partition = name->partition}};
    memcpy(n->is.name, name->name, strlen(name->name) + 1);
    *ret = (uint32_t)tx->n_names++;
    return 0;
}

static struct op *tx_op(struct queue_tx *tx, enum op_kind kind)
{
    if (tx->n_ops == tx->cap_ops) {
        size_t cap = tx->cap_ops ? 2 * tx->cap_ops : 16;
        struct op *ops = realloc(tx->ops, cap * sizeof(*ops));
        if (!ops) {
            return NULL;
        }
        tx->ops = ops;
        tx->cap_ops = cap;
    }
    struct op *op = &tx->ops[tx->n_ops];
    *op = (struct op){.kind = kind};
    return op;
}

/* ---- checks ---- */

static int check_name(const struct op_name *n, struct err *err)
{
    const char *what = n->kind == 'T' ? "topic" : "table";
    if (n->partition >= QUEUE_PARTITIONS) {
        return err_set(err, ERR_INPUT, "could not use %s '%.200s': no partition %u", what,
                       n->name, n->partition);
    }
    if (queue_name_ok(n->name)) {
        return 0;
    }
    int r = err_set(err, ERR_INPUT, "could not use %s '%.200s': the name is not valid",
                    what, n->name);
    err_hint(err, "use 1 to %d of A-Z a-z 0-9 . _ -", QUEUE_NAME_MAX - 1);
    return r;
}

static int check_sizes(const char *name, struct span key, struct span headers,
                       struct span value, struct err *err)
{
    const struct {
        const char *what;
        size_t n, max;
    } sizes[] = {{"key", key.n, QUEUE_KEY_MAX},
                 {"headers", headers.n, HEADERS_BYTES_MAX},
                 {"value", value.n, QUEUE_VALUE_MAX}};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        if (sizes[i].n > sizes[i].max) {
            return err_set(
                err, ERR_INPUT,
                "could not put a record into '%s': its %s has %zu bytes, at most "
                "%zu are allowed",
                name, sizes[i].what, sizes[i].n, sizes[i].max);
        }
    }
    return 0;
}

static int check_room(const struct queue_tx *tx, size_t more, struct err *err)
{
    bool room = tx->n_records < QUEUE_TX_RECORDS;
    if (tx->bytes + more > QUEUE_TX_BYTES) {
        room = tx->n_records < QUEUE_TX_GROUP && tx->bytes + more <= TX_ARENA_MAX;
    }
    if (room) {
        return 0;
    }
    return err_set(
        err, ERR_FAIL,
        "could not add a record: the transaction is full (%zu records, %zu bytes)",
        tx->n_records, tx->bytes);
}

static int check_owner(const struct queue_tx *tx, const char *what,
                       const struct op_name *topic, struct err *err)
{
    if (!atomic_load(&tx->q->owner)) {
        int r = err_set(err, ERR_FAIL, "could not %s '%s': another process owns '%s'",
                        what, topic->name, tx->q->dir);
        err_hint(err, "only the owner of a data folder may do that");
        return r;
    }
    return check_name(topic, err);
}

/* ---- records and rows ---- */

struct op_parts {
    struct op_name to;
    struct span key, headers, value;
    size_t goes_along; /* bytes of a value that is passed on, where it travels whole */
};

/* What a broker is known to refuse costs a transaction; so it does not get that far. */
static int check_broker(const struct queue_tx *tx, const struct op_parts *p,
                        struct err *err)
{
    struct store_name to = {.kind = p->to.kind, .partition = p->to.partition};
    if (!tx->q->link || tx->copied) {
        return 0;
    }
    memcpy(to.name, p->to.name, strlen(p->to.name) + 1);
    return link_may_put(tx->q->link, &to, p->value.n + p->goes_along, err);
}

static int tx_add(struct queue_tx *tx, enum op_kind kind, const struct op_parts *p,
                  const struct rec_ref *ref, struct err *err)
{
    uint32_t name = 0;
    size_t n = p->key.n + p->headers.n + p->value.n;
    int r = check_name(&p->to, err);
    if (r == 0) {
        r = check_sizes(p->to.name, p->key, p->headers, p->value, err);
    }
    if (r == 0) {
        r = check_broker(tx, p, err);
    }
    if (r == 0) {
        r = check_room(tx, n + p->goes_along, err);
    }
    if (r == 0) {
        r = tx_name(tx, &p->to, &name, err);
    }
    if (r < 0) {
        return r;
    }
    struct op *op = tx_op(tx, kind);
    if (!op || buf_reserve(&tx->arena, n) < 0) {
        return no_memory(err);
    }
    op->name = name;
    op->at = tx->arena.n;
    op->key_bytes = (uint32_t)p->key.n;
    op->headers_bytes = (uint32_t)p->headers.n;
    op->value_bytes = p->value.n;
    if (ref) {
        op->ref = *ref;
    }
    const struct span parts[] = {p->key, p->headers, p->value};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (parts[i].n) {
            (void)buf_add(&tx->arena, parts[i].p, parts[i].n); /* reserved above */
        }
    }
    tx->n_ops++;
    tx->n_records++;
    tx->bytes += n + p->goes_along;
    return 0;
}

int tx_add_copied(struct queue_tx *tx, enum op_kind kind, const struct copied *c,
                  struct err *err)
{
    const struct op_parts p = {
        {c->of.kind, c->of.name, c->of.partition}, c->key, c->headers, c->value, 0};
    int r = tx_add(tx, kind, &p, NULL, err);
    if (r == 0) {
        struct op *op = &tx->ops[tx->n_ops - 1];
        op->offset = c->offset;
        op->commit = c->commit;
        op->time_ms = c->time_ms;
    }
    return r;
}

int queue_put(struct queue_tx *tx, const struct queue_to *to, struct span headers,
              struct span value, struct err *err)
{
    const struct op_parts p = {
        {'T', to->topic, to->partition}, to->key, headers, value, 0};
    return tx_add(tx, OP_PUT, &p, NULL, err);
}

int queue_table_put(struct queue_tx *tx, const char *table, uint32_t partition,
                    struct span key, struct span value, struct err *err)
{
    const struct op_parts p = {{'R', table, partition}, key, SPAN_NONE, value, 0};
    if (key.n == 0) {
        return err_set(err, ERR_INPUT, "could not put a row into '%s': its key is empty",
                       table);
    }
    return tx_add(tx, value.p ? OP_ROW : OP_ROW_DELETE, &p, NULL, err);
}

/* The place of the bytes that `from` stands for; a reference is followed, once and for all. */
static int find_ref(struct queue *q, const struct queue_at *from, struct rec_ref *ret,
                    size_t *ret_bytes, struct err *err)
{
    struct topic_row row;
    struct rec rec;
    uint8_t key[LOG_KEY_BYTES];
    int r = read_begin(q->peek, err);
    if (r < 0) {
        return r;
    }
    int rc = store_topic(&q->store, q->peek->txn, from->topic, from->partition, &row);
    if (rc == 0) {
        log_key(row.id, from->offset, key);
        MDB_val k = val_of(key, sizeof(key)), v;
        rc = mdb_get(q->peek->txn, q->store.log, &k, &v);
        if (rc == 0 && rec_parse(v, &rec)) {
            rc = MDB_CORRUPTED;
        }
    }
    if (rc == 0 && rec.head.kind == REC_REF) {
        *ret = rec.ref;
    } else if (rc == 0) {
        *ret = (struct rec_ref){.offset = from->offset, .topic = row.id};
    }
    if (rc == 0 && q->link) {
        *ret_bytes = (size_t)rec.head.value_bytes;
    }
    read_end(q->peek);
    if (rc == MDB_NOTFOUND) {
        return err_set(err, ERR_INPUT,
                       "could not pass on the record '%s'/%u/%llu: it is gone",
                       from->topic, from->partition, (unsigned long long)from->offset);
    }
    return rc ? read_error(q->peek, rc, err) : 0;
}

int queue_forward(struct queue_tx *tx, const struct queue_to *to, struct span headers,
                  const struct queue_at *from, struct err *err)
{
    struct rec_ref ref = {0};
    size_t bytes = 0;
    const struct op_name source = {'T', from->topic, from->partition};
    int r = check_name(&source, err);
    if (r < 0) {
        return r;
    }
    pthread_mutex_lock(&tx->q->peek_mu);
    r = find_ref(tx->q, from, &ref, &bytes, err);
    pthread_mutex_unlock(&tx->q->peek_mu);
    const struct op_parts p = {
        {'T', to->topic, to->partition}, to->key, headers, SPAN_NONE, bytes};
    return r < 0 ? r : tx_add(tx, OP_FORWARD, &p, &ref, err);
}

/* ---- what only the owner does ---- */

int queue_ack(struct queue_tx *tx, const struct queue_at *at, struct err *err)
{
    uint32_t name = 0;
    const struct op_name topic = {'T', at->topic, at->partition};
    int r = check_owner(tx, "acknowledge records of", &topic, err);
    if (r < 0) {
        return r;
    }
    if (tx->n_acks >= QUEUE_TX_RECORDS) {
        return err_set(err, ERR_FAIL,
                       "could not acknowledge a record: the transaction is full");
    }
    r = tx_name(tx, &topic, &name, err);
    if (r < 0) {
        return r;
    }
    struct op *op = tx_op(tx, OP_ACK);
    if (!op) {
        return no_memory(err);
    }
    op->name = name;
    op->offset = at->offset;
    tx->n_ops++;
    tx->n_acks++;
    return 0;
}

static int peek_topic(struct queue *q, const struct op_name *topic, struct topic_row *ret,
                      struct err *err)
{
    pthread_mutex_lock(&q->peek_mu);
    int r = read_begin(q->peek, err);
    if (r == 0) {
        int rc = store_topic(&q->store, q->peek->txn, topic->name, topic->partition, ret);
        read_end(q->peek);
        r = rc == 0 ? 1 : rc == MDB_NOTFOUND ? 0 : read_error(q->peek, rc, err);
    }
    pthread_mutex_unlock(&q->peek_mu);
    return r;
}

/* before_ms 0: of any age. */
static int trim(struct queue_tx *tx, const struct op_name *which, uint64_t before,
                int64_t before_ms, struct err *err)
{
    struct topic_row row = {0};
    uint32_t name = 0;
    const char *topic = which->name;
    int r = check_owner(tx, "trim", which, err);
    if (r == 0) {
        r = peek_topic(tx->q, which, &row, err);
    }
    if (r <= 0) {
        return r;
    }
    bool guard = (row.flags & TOPIC_ACKED) || feed_covers(tx->q, topic);
    uint64_t end = MIN_OF(before, guard ? row.low : row.next);
    if (end <= row.first && !link_drops(tx->q->link, topic)) {
        return 0;
    }
    if (tx->n_acks >= QUEUE_TX_RECORDS) {
        return err_set(err, ERR_FAIL, "could not trim '%s': the transaction is full",
                       topic);
    }
    r = tx_name(tx, which, &name, err);
    if (r < 0) {
        return r;
    }
    struct op *op = tx_op(tx, OP_TRIM);
    if (!op) {
        return no_memory(err);
    }
    op->name = name;
    op->offset = before;
    op->time_ms = before_ms;
    op->guard = guard;
    tx->n_ops++;
    tx->n_acks++;
    return end > row.first && end - row.first > QUEUE_TRIM_RECORDS;
}

int queue_trim(struct queue_tx *tx, const char *topic, uint32_t partition,
               uint64_t before, struct err *err)
{
    return trim(tx, &(const struct op_name){'T', topic, partition}, before, 0, err);
}

int queue_trim_old(struct queue_tx *tx, const char *topic, uint32_t partition,
                   uint64_t before, int64_t before_ms, struct err *err)
{
    const struct op_name which = {'T', topic, partition};
    return before_ms > 0 ? trim(tx, &which, before, before_ms, err) : 0;
}
