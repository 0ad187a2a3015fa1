/*
 * queue_lmdb_acks.c - which records are acknowledged.
 *
 * One row per topic and 32768 offsets, a bit per offset; below the topic's low water there
 * are no rows, above it only where something was acknowledged. Nothing is held in memory: a
 * feed looks at the bits in the snapshot it reads from, the commit thread changes a page at
 * a time.
 *
 * In a copy of a broker's log offsets are missing (its transactions leave marks there): the low
 * water passes over them.
 */
#include "core/queue_lmdb.h"

void ack_key(uint32_t topic, uint64_t number, uint8_t ret[static ACK_KEY_BYTES])
{
    put_be32(ret, ACK_TABLE_ID);
    put_be32(ret + 4, topic);
    put_be32(ret + 8, 0);
    put_be64(ret + 12, number);
}

/* The first clear bit at or above `from`; ACK_BITS when there is none. */
uint32_t ack_next_zero(const uint8_t bits[static ACK_BYTES], uint32_t from)
{
    for (uint32_t i = from; i < ACK_BITS;) {
        if (i % 8 == 0 && bits[i / 8] == 0xff) {
            i += 8;
        } else if (bits[i / 8] & (1u << i % 8)) {
            i++;
        } else {
            return i;
        }
    }
    return ACK_BITS;
}

static int page_read(const struct store *s, MDB_txn *txn, uint32_t topic, uint64_t number,
                     const uint8_t **ret)
{
    uint8_t key[ACK_KEY_BYTES];
    ack_key(topic, number, key);
    MDB_val k = val_of(key, sizeof(key)), v;
    int rc = mdb_get(txn, s->rows, &k, &v);
    if (rc) {
        return rc;
    }
    if (v.mv_size != ACK_BYTES) {
        return MDB_CORRUPTED;
    }
    *ret = v.mv_data;
    return 0;
}

int ack_flush(const struct store *s, MDB_txn *txn, struct ack_page *page)
{
    if (!page->loaded || !page->dirty) {
        return 0;
    }
    uint8_t key[ACK_KEY_BYTES];
    ack_key(page->topic, page->number, key);
    MDB_val k = val_of(key, sizeof(key)), v = val_of(page->bits, ACK_BYTES);
    page->dirty = false;
    page->stored = true;
    int rc = page->changed ? page->changed(page->ctx, page, page->bits) : 0;
    return rc ? rc : mdb_put(txn, s->rows, &k, &v, 0);
}

static int page_load(const struct store *s, MDB_txn *txn, struct ack_page *page,
                     uint32_t topic, uint64_t number)
{
    if (page->loaded && page->topic == topic && page->number == number) {
        return 0;
    }
    int rc = ack_flush(s, txn, page);
    if (rc) {
        return rc;
    }
    const uint8_t *bits = NULL;
    rc = page_read(s, txn, topic, number, &bits);
    if (rc && rc != MDB_NOTFOUND) {
        return rc;
    }
    page->loaded = true;
    page->dirty = false;
    page->stored = rc == 0;
    page->topic = topic;
    page->number = number;
    if (bits) {
        memcpy(page->bits, bits, ACK_BYTES);
    } else {
        memset(page->bits, 0, ACK_BYTES);
    }
    return 0;
}

int ack_set(const struct store *s, MDB_txn *txn, struct ack_page *page, uint32_t topic,
            uint64_t offset)
{
    int rc = page_load(s, txn, page, topic, offset / ACK_BITS);
    if (rc) {
        return rc;
    }
    uint32_t bit = (uint32_t)(offset % ACK_BITS);
    page->bits[bit / 8] = (uint8_t)(page->bits[bit / 8] | 1u << bit % 8);
    page->dirty = true;
    return 0;
}

static int page_drop(const struct store *s, MDB_txn *txn, struct ack_page *page)
{
    uint8_t key[ACK_KEY_BYTES];
    ack_key(page->topic, page->number, key);
    MDB_val k = val_of(key, sizeof(key));
    page->loaded = false;
    if (!page->stored) {
        return 0;
    }
    int rc = page->changed ? page->changed(page->ctx, page, NULL) : 0;
    return rc ? rc : mdb_del(txn, s->rows, &k, NULL);
}

/* From an offset that is not acknowledged to the record that stands there, or behind it. */
static int pass_gap(const struct store *s, MDB_txn *txn, struct topic_row *row)
{
    if (!(row->flags & TOPIC_COPY)) {
        return 0;
    }
    int rc = store_log_next(s, txn, row->id, &row->low);
    if (rc == MDB_NOTFOUND) {
        row->low = row->next;
        rc = 0;
    }
    return rc;
}

/* Moves the low water over what is acknowledged; a page it leaves behind is deleted. */
int ack_advance(const struct store *s, MDB_txn *txn, struct ack_page *page,
                struct topic_row *row)
{
    while (row->low < row->next) {
        uint64_t was = row->low, number = was / ACK_BITS;
        int rc = page_load(s, txn, page, row->id, number);
        if (rc) {
            return rc;
        }
        uint32_t bit = ack_next_zero(page->bits, (uint32_t)(was % ACK_BITS));
        row->low = number * ACK_BITS + bit;
        if (bit < ACK_BITS) {
            rc = pass_gap(s, txn, row);
        }
        if (rc == 0 && row->low / ACK_BITS != number) {
            rc = page_drop(s, txn, page);
        }
        if (rc || row->low == was) {
            return rc;
        }
    }
    return 0;
}

int ack_skip(const struct store *s, MDB_txn *txn, const struct topic_row *row,
             uint64_t from, uint64_t *ret)
{
    uint64_t at = MAX_OF(from, row->low);
    while ((row->flags & TOPIC_ACKED) && at < row->next) {
        const uint8_t *bits = NULL;
        int rc = page_read(s, txn, row->id, at / ACK_BITS, &bits);
        if (rc == MDB_NOTFOUND) {
            break;
        }
        if (rc) {
            return rc;
        }
        uint32_t bit = ack_next_zero(bits, (uint32_t)(at % ACK_BITS));
        at = at / ACK_BITS * ACK_BITS + bit;
        if (bit < ACK_BITS) {
            break;
        }
    }
    *ret = at;
    return 0;
}
