/*
 * queue_lmdb_copy.c - the store as a copy of what stands on a broker: records at the offsets
 * they have there, rows, acknowledgements, and how far each copy is.
 *
 * A copy is filled by transactions like any other, so it is whole after a crash: what was
 * stored and how far it reaches are one write. Of a log the position is its next offset; of a
 * table it stands in `meta`. Reading on from a position twice does no harm.
 */
#include "core/queue_lmdb.h"
#include <stdio.h>
#include <stdlib.h>

void copy_at_key(const struct store_name *of, char ret[static COPY_AT_MAX])
{
    (void)snprintf(ret, COPY_AT_MAX, "at:%s#%u", of->name, of->partition);
}

/* ---- collecting ---- */

int copy_begin(struct queue *q, struct queue_tx **ret)
{
    int r = queue_begin(q, ret);
    if (r == 0) {
        (*ret)->copied = true;
    }
    return r;
}

int copy_add(struct queue_tx *tx, const struct copied *c, struct err *err)
{
    enum op_kind kind = c->of.kind == 'T' ? OP_COPY : c->value.p ? OP_ROW : OP_ROW_DELETE;
    return tx_add_copied(tx, kind, c, err);
}

int copy_mark(struct queue_tx *tx, enum op_kind kind, const struct store_name *of,
              uint64_t offset, struct span value, struct err *err)
{
    const struct copied c = {.of = *of, .offset = offset, .value = value};
    return tx_add_copied(tx, kind, &c, err);
}

void copy_clear(struct queue_tx *tx)
{
    tx->n_ops = tx->n_names = tx->n_records = tx->bytes = 0;
    tx->commit = 0;
    buf_reset(&tx->arena);
}

int copy_apply(struct queue_tx *tx, struct err *err)
{
    int r = tx->n_ops ? apply_group(tx->q, tx, err) : 0;
    copy_clear(tx);
    return r;
}

/* ---- how far ---- */

int copy_topic(struct queue *q, const struct store_name *of, struct topic_row *ret,
               struct err *err)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(q->store.env, NULL, MDB_RDONLY, &txn);
    if (rc == 0) {
        rc = store_topic(&q->store, txn, of->name, of->partition, ret);
        mdb_txn_abort(txn);
    }
    return rc == 0 ? 1 : rc == MDB_NOTFOUND ? 0 : store_error(q->dir, "read", rc, err);
}

int copy_position(struct queue *q, const struct store_name *of, uint64_t *ret,
                  struct err *err)
{
    char key[COPY_AT_MAX];
    struct topic_row row;
    MDB_txn *txn = NULL;
    if (of->kind == 'T') {
        int r = copy_topic(q, of, &row, err);
        if (r > 0) {
            *ret = row.next;
        }
        return r;
    }
    copy_at_key(of, key);
    int rc = mdb_txn_begin(q->store.env, NULL, MDB_RDONLY, &txn);
    if (rc == 0) {
        rc = store_number(&q->store, txn, key, ret);
        mdb_txn_abort(txn);
    }
    return rc == 0 ? 1 : rc == MDB_NOTFOUND ? 0 : store_error(q->dir, "read", rc, err);
}

/* ---- applying: LMDB's codes ---- */

static int apply_record(struct apply *a, const struct queue_tx *tx, const struct op *op,
                        struct part *p)
{
    const char *bytes = tx->arena.p + op->at;
    uint8_t key[LOG_KEY_BYTES];
    if (op->offset < p->row.next) {
        return 0; /* it was read before */
    }
    const struct rec rec = {
        .head = {.commit = op->commit, .time_ms = op->time_ms, .kind = REC_INLINE},
        .key = span_of(bytes, op->key_bytes),
        .headers = span_of(bytes + op->key_bytes, op->headers_bytes),
        .value = span_of(bytes + op->key_bytes + op->headers_bytes, op->value_bytes),
    };
    log_key(p->row.id, op->offset, key);
    const struct rec_place at = log_place(a->s, key);
    p->row.next = op->offset + 1;
    return rec_write(a->s, a->txn, &at, &rec);
}

static int apply_reached(struct apply *a, const struct op *op, struct part *p)
{
    char key[COPY_AT_MAX];
    if (p->is.kind == 'T') {
        p->row.next = MAX_OF(p->row.next, op->offset);
        p->acked = true; /* the low water may pass what is not there */
        return 0;
    }
    copy_at_key(&p->is, key);
    return store_put_number(a->s, a->txn, key, op->offset);
}

/* Deletes records or rows of one id, some at a time. */
static int drop_range(struct apply *a, MDB_dbi dbi, struct span prefix, int max)
{
    MDB_cursor *c = NULL;
    size_t freed = 0;
    int rc = mdb_cursor_open(a->txn, dbi, &c);
    if (rc) {
        return rc;
    }
    for (int i = 0; rc == 0 && i <= max && freed < QUEUE_TRIM_BYTES; i++) {
        uint8_t key[ROWS_KEY_BYTES];
        MDB_val k = val_of(prefix.p, prefix.n), v;
        rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
        if (rc || k.mv_size < prefix.n || memcmp(k.mv_data, prefix.p, prefix.n) != 0) {
            mdb_cursor_close(c);
            return rc == MDB_NOTFOUND ? 0 : rc;
        }
        memcpy(key, k.mv_data, k.mv_size);
        const struct rec_place at = {dbi, dbi == a->s->log ? 'L' : 'R',
                                     span_of(key, k.mv_size)};
        rc = rec_delete(a->s, a->txn, &at, &freed);
    }
    mdb_cursor_close(c);
    a->more = true;
    return rc;
}

static int drop_acks(struct apply *a, uint32_t topic, uint64_t below)
{
    uint8_t key[ACK_KEY_BYTES], found[ACK_KEY_BYTES];
    ack_key(topic, 0, key);
    for (;;) {
        MDB_cursor *c = NULL;
        MDB_val k = val_of(key, sizeof(key)), v;
        int rc = mdb_cursor_open(a->txn, a->s->rows, &c);
        if (rc == 0) {
            rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
            mdb_cursor_close(c);
        }
        if (rc || k.mv_size != sizeof(key) || memcmp(k.mv_data, key, 12) != 0 ||
            get_be64((const uint8_t *)k.mv_data + 12) >= below) {
            return rc == MDB_NOTFOUND ? 0 : rc;
        }
        memcpy(found, k.mv_data, sizeof(found));
        k = val_of(found, sizeof(found));
        rc = mdb_del(a->txn, a->s->rows, &k, NULL);
        if (rc) {
            return rc;
        }
    }
}

static int apply_drop(struct apply *a, struct part *p)
{
    uint8_t prefix[8];
    if (p->is.kind == 'R') {
        char at[COPY_AT_MAX];
        copy_at_key(&p->is, at);
        MDB_val k = val_of(at, strlen(at));
        int rc = mdb_del(a->txn, a->s->meta, &k, NULL);
        put_be32(prefix, p->id);
        return rc && rc != MDB_NOTFOUND
                   ? rc
                   : drop_range(a, a->s->rows, span_of(prefix, 4), QUEUE_TRIM_RECORDS);
    }
    put_be32(prefix, p->row.id);
    put_be32(prefix + 4, 0);
    p->row = (struct topic_row){.id = p->row.id, .flags = TOPIC_COPY};
    a->page.loaded = false;
    int rc = drop_acks(a, p->row.id, UINT64_MAX);
    return rc ? rc : drop_range(a, a->s->log, span_of(prefix, 8), QUEUE_TRIM_RECORDS);
}

static int apply_low(struct apply *a, const struct op *op, struct part *p)
{
    p->row.flags |= TOPIC_ACKED;
    p->row.low = MAX_OF(p->row.low, op->offset);
    a->page.loaded = false;
    return drop_acks(a, p->row.id, p->row.low / ACK_BITS);
}

/* The page as it stands in `acks`: everything below `offset` is done, then the bits. */
static int apply_bits(struct apply *a, const struct queue_tx *tx, const struct op *op,
                      struct part *p)
{
    uint8_t key[ACK_KEY_BYTES], bits[ACK_BYTES] = {0};
    size_t from = (size_t)(op->offset % ACK_BITS) / 8;
    if (op->offset % 8 != 0 || op->value_bytes > ACK_BYTES - from ||
        op->offset / ACK_BITS < p->row.low / ACK_BITS) {
        return 0; /* not ours, or long done */
    }
    memset(bits, 0xff, from);
    if (op->value_bytes) {
        memcpy(bits + from, tx->arena.p + op->at, op->value_bytes);
    }
    p->row.flags |= TOPIC_ACKED;
    a->page.loaded = false;
    ack_key(p->row.id, op->offset / ACK_BITS, key);
    MDB_val k = val_of(key, sizeof(key)), v = val_of(bits, sizeof(bits));
    return mdb_put(a->txn, a->s->rows, &k, &v, 0);
}

int apply_copy_op(struct apply *a, const struct queue_tx *tx, const struct op *op,
                  struct part *p)
{
    p->row.flags |= TOPIC_COPY;
    p->dirty |= p->is.kind == 'T';
    switch (op->kind) {
    case OP_COPY: return apply_record(a, tx, op, p);
    case OP_REACHED: return apply_reached(a, op, p);
    case OP_START: p->row.first = p->row.next = p->row.low = op->offset; return 0;
    case OP_DROP: return apply_drop(a, p);
    case OP_LOW: return apply_low(a, op, p);
    case OP_BITS: return apply_bits(a, tx, op, p);
    case OP_PUT:
    case OP_FORWARD:
    case OP_ROW:
    case OP_ROW_DELETE:
    case OP_ACK:
    case OP_TRIM: break;
    }
    return 0;
}
