/*
 * queue_lmdb_apply.c - the one place that changes the store: applies what transactions have
 * collected as one LMDB write transaction, with one commit number. Runs on the commit thread.
 */
#include "core/queue_kafka.h"
#include "core/failpoint.h"
#include <errno.h>
#include <stdlib.h>

#define PART_NONE SIZE_MAX

int apply_error(struct apply *a, int rc)
{
    return rc ? store_error(a->q->dir, "write to", rc, a->err) : 0;
}

/* ---- names ---- */

static int part_load(struct apply *a, struct part *p)
{
    int rc = p->is.kind == 'T'
                 ? store_topic(a->s, a->txn, p->is.name, p->is.partition, &p->row)
                 : store_table(a->s, a->txn, p->is.name, p->is.partition, &p->id);
    if (rc != MDB_NOTFOUND) {
        return apply_error(a, rc);
    }
    a->ids++;
    a->new_ids = true;
    if (p->is.kind == 'T') {
        p->row = (struct topic_row){.id = (uint32_t)a->ids};
        p->dirty = true;
        return 0;
    }
    p->id = (uint32_t)a->ids;
    rc = store_put_name(a->s, a->txn, &p->is, span_of(&p->id, sizeof(p->id)));
    return apply_error(a, rc);
}

static int part_find(struct apply *a, struct tx_name *name)
{
    for (size_t i = a->n; i-- > 0;) {
        if (store_name_eq(&a->parts[i].is, &name->is)) {
            name->part = i;
            return 0;
        }
    }
    if (a->n == a->cap) {
        size_t cap = a->cap ? 2 * a->cap : 16;
        struct part *parts = realloc(a->parts, cap * sizeof(*parts));
        if (!parts) {
            return apply_error(a, ENOMEM);
        }
        a->parts = parts;
        a->cap = cap;
    }
    struct part *p = &a->parts[a->n];
    *p = (struct part){.is = name->is};
    name->part = a->n++;
    return part_load(a, p);
}

/* ---- operations ---- */

static int apply_record(struct apply *a, const struct queue_tx *tx, const struct op *op,
                        struct part *p)
{
    const char *bytes = tx->arena.p + op->at;
    struct rec rec = {
        .head = {.commit = a->commit,
                 .time_ms = tx->time_ms,
                 .kind = op->kind == OP_FORWARD ? REC_REF : REC_INLINE},
        .ref = op->ref,
        .key = span_of(bytes, op->key_bytes),
        .headers = span_of(bytes + op->key_bytes, op->headers_bytes),
        .value = span_of(bytes + op->key_bytes + op->headers_bytes, op->value_bytes),
    };
    uint8_t key[LOG_KEY_BYTES];
    log_key(p->row.id, p->row.next, key);
    const struct rec_place at = log_place(a->s, key);
    p->row.next++;
    p->dirty = true;
    return apply_error(a, rec_write(a->s, a->txn, &at, &rec));
}

static int apply_row(struct apply *a, const struct queue_tx *tx, const struct op *op,
                     const struct part *p)
{
    const char *bytes = tx->arena.p + op->at;
    uint8_t key[ROWS_KEY_BYTES];
    size_t n = rows_key(p->id, span_of(bytes, op->key_bytes), key);
    const struct rec_place at = rows_place(a->s, key, n);
    if (op->kind == OP_ROW_DELETE) {
        size_t freed = 0;
        return apply_error(a, rec_delete(a->s, a->txn, &at, &freed));
    }
    const struct rec rec = {
        .head = {.commit = tx->copied ? op->commit : a->commit,
                 .time_ms = tx->copied ? op->time_ms : tx->time_ms,
                 .kind = REC_INLINE},
        .value = span_of(bytes + op->key_bytes, op->value_bytes),
    };
    int rc = rec_delete_chunks(a->s, a->txn, &at); /* of the row it replaces */
    return apply_error(a, rc ? rc : rec_write(a->s, a->txn, &at, &rec));
}

static int apply_ack(struct apply *a, const struct op *op, struct part *p)
{
    if (op->offset >= p->row.next) {
        return err_set(a->err, ERR_INPUT,
                       "could not acknowledge '%s'/%u/%llu: the topic ends at %llu",
                       p->is.name, p->is.partition, (unsigned long long)op->offset,
                       (unsigned long long)p->row.next);
    }
    p->acked = p->dirty = true;
    p->row.flags |= TOPIC_ACKED;
    if (op->offset < p->row.low) {
        return 0;
    }
    return apply_error(a, ack_set(a->s, a->txn, &a->page, p->row.id, op->offset));
}

/* Of a copy, what is not there is passed over. */
static int trim_gap(struct apply *a, struct topic_row *row, uint64_t end)
{
    if (!(row->flags & TOPIC_COPY)) {
        return 0;
    }
    uint64_t at = row->first;
    int rc = store_log_next(a->s, a->txn, row->id, &at);
    row->first = MAX_OF(row->first, rc == 0 ? MIN_OF(at, end) : end);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Is a record too young to go? What cannot be read is of no age. LMDB's code. */
static int is_young(const struct apply *a, const struct rec_place *at, int64_t before_ms,
                    bool *ret)
{
    MDB_val k = val_of(at->dbkey.p, at->dbkey.n), v;
    struct rec rec;
    int rc = before_ms ? mdb_get(a->txn, at->dbi, &k, &v) : MDB_NOTFOUND;
    *ret = rc == 0 && !rec_parse(v, &rec) && rec.head.time_ms >= before_ms;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int apply_trim(struct apply *a, const struct op *op, struct part *p)
{
    bool guard = op->guard || (p->row.flags & TOPIC_ACKED), young = false;
    uint64_t end = MIN_OF(op->offset, guard ? p->row.low : p->row.next);
    size_t freed = 0;
    for (int i = 0; i < QUEUE_TRIM_RECORDS && freed < QUEUE_TRIM_BYTES; i++) {
        int rc = trim_gap(a, &p->row, end);
        if (rc == 0 && p->row.first >= end) {
            break;
        }
        uint8_t key[LOG_KEY_BYTES];
        log_key(p->row.id, p->row.first, key);
        const struct rec_place at = log_place(a->s, key);
        rc = rc ? rc : is_young(a, &at, op->time_ms, &young);
        if (rc == 0 && young) {
            break;
        }
        rc = rc ? rc : rec_delete(a->s, a->txn, &at, &freed);
        if (rc) {
            return apply_error(a, rc);
        }
        p->row.first++;
        p->dirty = true;
    }
    p->row.low = MAX_OF(p->row.low, p->row.first);
    p->trimmed = true;
    p->trimmed_ms = op->time_ms;
    p->trimmed_to = MAX_OF(p->trimmed_to, op->time_ms ? end : MIN_OF(end, p->row.first));
    return 0;
}

static int apply_op(struct apply *a, struct queue_tx *tx, const struct op *op)
{
    struct tx_name *name = &tx->names[op->name];
    if (name->part == PART_NONE) {
        int r = part_find(a, name);
        if (r < 0) {
            return r;
        }
    }
    struct part *p = &a->parts[name->part];
    a->last = MAX_OF(a->last, op->commit);
    switch (op->kind) {
    case OP_PUT:
    case OP_FORWARD: return apply_record(a, tx, op, p);
    case OP_ROW:
    case OP_ROW_DELETE: return apply_row(a, tx, op, p);
    case OP_ACK: return apply_ack(a, op, p);
    case OP_TRIM: return apply_trim(a, op, p);
    case OP_COPY:
    case OP_REACHED:
    case OP_START:
    case OP_DROP:
    case OP_LOW:
    case OP_BITS: return apply_error(a, apply_copy_op(a, tx, op, p));
    }
    return 0;
}

static int apply_tx(struct apply *a, struct queue_tx *tx)
{
    int r = 0;
    for (size_t i = 0; i < tx->n_names; i++) {
        tx->names[i].part = PART_NONE;
    }
    for (size_t i = 0; r == 0 && i < tx->n_ops; i++) {
        r = apply_op(a, tx, &tx->ops[i]);
    }
    tx->commit = a->commit;
    return r;
}

int apply_acks(struct apply *a, struct queue_tx *tx)
{
    int r = 0;
    for (size_t i = 0; i < tx->n_names; i++) {
        tx->names[i].part = PART_NONE;
    }
    for (size_t i = 0; r == 0 && i < tx->n_ops; i++) {
        if (tx->ops[i].kind == OP_ACK) {
            r = apply_op(a, tx, &tx->ops[i]);
        }
    }
    return r;
}

/* ---- the whole ---- */

static int check_quota(struct apply *a, const struct queue_tx *group)
{
    const uint64_t max = a->q->max_bytes, page = a->s->page_bytes;
    uint64_t more = 64 * page, used = 0; /* the pages of the trees themselves */
    int dead;
    if (max == 0) {
        return 0;
    }
    for (const struct queue_tx *tx = group; tx; tx = tx->next) {
        more += tx->bytes + tx->n_records * page / 2;
    }
    MDB_envinfo info;
    int rc = mdb_env_info(a->s->env, &info);
    if (rc == 0 && (info.me_last_pgno + 1) * page + more <= max) {
        return 0; /* free pages need not be counted */
    }
    if (rc == 0) {
        rc = mdb_reader_check(a->s->env, &dead);
    }
    if (rc == 0) {
        rc = store_used(a->s, &used);
    }
    if (rc) {
        return apply_error(a, rc);
    }
    if (used + more <= max) {
        return 0;
    }
    int r =
        err_set(a->err, ERR_FAIL,
                "could not write to the queue in '%s': no space left within its quota of "
                "%llu bytes",
                a->q->dir, (unsigned long long)max);
    err_hint(a->err,
             "raise the quota, then start again; nothing of this commit was stored");
    return r;
}

int apply_begin(struct apply *a, const struct queue_tx *group)
{
    int rc = mdb_txn_begin(a->s->env, NULL, 0, &a->txn);
    if (rc == 0) {
        rc = store_number(a->s, a->txn, "commit", &a->last);
    }
    if (rc == 0) {
        rc = store_number(a->s, a->txn, "ids", &a->ids);
    }
    a->commit = group->commit ? group->commit : a->last + !group->copied;
    return rc ? apply_error(a, rc) : check_quota(a, group);
}

static int apply_end(struct apply *a)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < a->n; i++) {
        if (a->parts[i].acked) {
            rc = ack_advance(a->s, a->txn, &a->page, &a->parts[i].row);
        }
    }
    if (rc == 0) {
        rc = ack_flush(a->s, a->txn, &a->page);
    }
    for (size_t i = 0; rc == 0 && i < a->n; i++) {
        const struct part *p = &a->parts[i];
        if (p->dirty) {
            rc = store_put_name(a->s, a->txn, &p->is, span_of(&p->row, sizeof(p->row)));
        }
    }
    if (rc == 0 && a->new_ids) {
        rc = store_put_number(a->s, a->txn, "ids", a->ids);
    }
    if (rc == 0) {
        rc = store_put_number(a->s, a->txn, "commit", MAX_OF(a->commit, a->last));
    }
    FAILPOINT("queue.before_commit");
    if (rc == 0) {
        rc = mdb_txn_commit(TAKE_PTR(a->txn));
    }
    FAILPOINT("queue.after_commit");
    int r = apply_error(a, rc == EIO ? store_io_reason(a->s, a->q->dir_fd) : rc);
    if (r < 0 && !a->txn && a->err) {
        a->err->retry = RETRY_UNKNOWN; /* the disk may have it */
    }
    return r;
}

static bool group_empty(const struct queue_tx *group)
{
    for (const struct queue_tx *tx = group; tx; tx = tx->next) {
        if (tx->n_ops) {
            return false;
        }
    }
    return true;
}

static int number_empty(struct queue *q, struct queue_tx *group, struct err *err)
{
    MDB_txn *txn = NULL;
    uint64_t last = 0;
    int rc = mdb_txn_begin(q->store.env, NULL, MDB_RDONLY, &txn);
    if (rc == 0) {
        rc = store_number(&q->store, txn, "commit", &last);
    }
    if (txn) {
        mdb_txn_abort(txn);
    }
    for (struct queue_tx *tx = group; tx; tx = tx->next) {
        tx->commit = last;
    }
    return rc ? store_error(q->dir, "read", rc, err) : 0;
}

struct apply *apply_new(struct queue *q, struct err *err)
{
    struct apply *a = calloc(1, sizeof(*a));
    if (a) {
        a->q = q;
        a->s = &q->store;
        a->err = err;
    }
    return a;
}

/* What is not committed by now never will be. */
void apply_free(struct apply *a)
{
    if (a->txn) {
        mdb_txn_abort(a->txn);
    }
    free(a->parts);
    free(a);
}

int apply_group(struct queue *q, struct queue_tx *group, struct err *err)
{
    if (group->commit == 0 && group_empty(group)) {
        return number_empty(q, group, err);
    }
    struct apply *a = apply_new(q, err);
    if (!a) {
        return store_error(q->dir, "write to", ENOMEM, err);
    }
    int r = apply_begin(a, group);
    for (struct queue_tx *tx = group; r == 0 && tx; tx = tx->next) {
        r = apply_tx(a, tx);
    }
    if (r == 0) {
        r = apply_end(a);
    }
    for (size_t i = 0; r == 0 && q->link && !group->copied && i < a->n; i++) {
        if (a->parts[i].trimmed) {
            link_trimmed(q->link, &a->parts[i]);
        }
    }
    r = r == 0 && a->more ? 1 : r;
    apply_free(a);
    return r;
}
