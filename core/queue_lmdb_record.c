/*
 * queue_lmdb_record.c - the bytes of a stored record.
 *
 *     struct rec_head | key | headers | value, or the reference, or nothing (chunked)
 *
 * The checksum is ours and 64 bits wide: each step is a bijection of the word it takes in, so
 * no change of a single word goes unseen. It guards against disks and bad copies, not against
 * people.
 */
#include "core/queue_lmdb.h"

void log_key(uint32_t topic, uint64_t offset, uint8_t ret[static LOG_KEY_BYTES])
{
    put_be32(ret, topic);
    put_be32(ret + 4, 0);
    put_be64(ret + 8, offset);
}

size_t rows_key(uint32_t table, struct span key, uint8_t ret[static ROWS_KEY_BYTES])
{
    put_be32(ret, table);
    if (key.n) {
        memcpy(ret + 4, key.p, key.n);
    }
    return 4 + key.n;
}

struct rec_place log_place(const struct store *s, const uint8_t key[static LOG_KEY_BYTES])
{
    return (struct rec_place){s->log, 'L', span_of(key, LOG_KEY_BYTES)};
}

struct rec_place rows_place(const struct store *s, const uint8_t *key, size_t n)
{
    return (struct rec_place){s->rows, 'R', span_of(key, n)};
}

/* ---- checksum ---- */

static uint64_t sum_word(uint64_t sum, uint64_t word)
{
    sum += word * 0xc2b2ae3d27d4eb4fu;
    sum = sum << 31 | sum >> 33;
    return sum * 0x9e3779b185ebca87u;
}

static uint64_t sum_add(uint64_t sum, struct span s)
{
    const char *p = s.p;
    size_t n = s.n;
    uint64_t word;
    sum = sum_word(sum, n);
    for (; n >= sizeof(word); p += sizeof(word), n -= sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        sum = sum_word(sum, word);
    }
    if (n) {
        word = 0;
        memcpy(&word, p, n);
        sum = sum_word(sum, word);
    }
    return sum;
}

static uint64_t rec_sum(struct span dbkey, const struct rec *rec, struct span value)
{
    const size_t skip = sizeof(rec->head.sum);
    uint64_t sum = sum_add(QUEUE_FORMAT, dbkey);
    sum =
        sum_add(sum, span_of((const char *)&rec->head + skip, sizeof(rec->head) - skip));
    sum = sum_add(sum, rec->key);
    sum = sum_add(sum, rec->headers);
    return sum_add(sum, value);
}

/* ---- chunks ---- */

static size_t chunk_key(const struct rec_place *at, size_t number,
                        uint8_t ret[static 1 + ROWS_KEY_BYTES + 4])
{
    ret[0] = (uint8_t)at->chunk_tag;
    memcpy(ret + 1, at->dbkey.p, at->dbkey.n);
    put_be32(ret + 1 + at->dbkey.n, (uint32_t)number);
    return 1 + at->dbkey.n + 4;
}

static size_t chunk_count(uint64_t value_bytes)
{
    return (size_t)((value_bytes + QUEUE_CHUNK_BYTES - 1) / QUEUE_CHUNK_BYTES);
}

static int chunks_write(const struct store *s, MDB_txn *txn, const struct rec_place *at,
                        struct span value)
{
    uint8_t key[1 + ROWS_KEY_BYTES + 4];
    for (size_t i = 0; i < chunk_count(value.n); i++) {
        size_t from = i * QUEUE_CHUNK_BYTES;
        MDB_val k = val_of(key, chunk_key(at, i, key));
        MDB_val v = val_of(value.p + from, MIN_OF(QUEUE_CHUNK_BYTES, value.n - from));
        int rc = mdb_put(txn, s->chunks, &k, &v, 0);
        if (rc) {
            return rc;
        }
    }
    return 0;
}

static int chunks_delete(const struct store *s, MDB_txn *txn, const struct rec_place *at,
                         uint64_t value_bytes)
{
    uint8_t key[1 + ROWS_KEY_BYTES + 4];
    for (size_t i = 0; i < chunk_count(value_bytes); i++) {
        MDB_val k = val_of(key, chunk_key(at, i, key));
        int rc = mdb_del(txn, s->chunks, &k, NULL);
        if (rc && rc != MDB_NOTFOUND) {
            return rc;
        }
    }
    return 0;
}

/* ---- writing ---- */

int rec_write(const struct store *s, MDB_txn *txn, const struct rec_place *at,
              const struct rec *rec)
{
    struct rec r = *rec;
    struct span tail = rec->value, whole = rec->value;
    if (r.head.kind == REC_REF) {
        tail = whole = span_of(&rec->ref, sizeof(rec->ref));
    } else if (rec->value.n > QUEUE_INLINE_MAX) {
        r.head.kind = REC_CHUNKED;
        tail = SPAN_NONE;
    } else {
        r.head.kind = REC_INLINE;
    }
    if (r.head.kind != REC_REF) {
        r.head.value_bytes = rec->value.n;
    }
    r.head.key_bytes = (uint16_t)rec->key.n;
    r.head.headers_bytes = (uint32_t)rec->headers.n;
    r.head.zero = 0;
    r.head.sum = rec_sum(at->dbkey, &r, whole);

    MDB_val k = val_of(at->dbkey.p, at->dbkey.n);
    MDB_val v = val_of(NULL, sizeof(r.head) + rec->key.n + rec->headers.n + tail.n);
    int rc = mdb_put(txn, at->dbi, &k, &v, MDB_RESERVE);
    if (rc) {
        return rc;
    }
    const struct span parts[] = {span_of(&r.head, sizeof(r.head)), rec->key, rec->headers,
                                 tail};
    char *p = v.mv_data;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (parts[i].n) {
            memcpy(p, parts[i].p, parts[i].n);
        }
        p += parts[i].n;
    }
    return r.head.kind == REC_CHUNKED ? chunks_write(s, txn, at, rec->value) : 0;
}

int rec_delete_chunks(const struct store *s, MDB_txn *txn, const struct rec_place *at)
{
    MDB_val k = val_of(at->dbkey.p, at->dbkey.n), v;
    struct rec rec;
    int rc = mdb_get(txn, at->dbi, &k, &v);
    if (rc) {
        return rc == MDB_NOTFOUND ? 0 : rc;
    }
    if (rec_parse(v, &rec) || rec.head.kind != REC_CHUNKED) {
        return 0;
    }
    return chunks_delete(s, txn, at, rec.head.value_bytes);
}

int rec_delete(const struct store *s, MDB_txn *txn, const struct rec_place *at,
               size_t *ret_bytes)
{
    MDB_val k = val_of(at->dbkey.p, at->dbkey.n), v;
    struct rec rec;
    int rc = mdb_get(txn, at->dbi, &k, &v);
    if (rc) {
        return rc == MDB_NOTFOUND ? 0 : rc;
    }
    *ret_bytes += v.mv_size;
    store_touched(s, v.mv_data, sizeof(rec.head));
    if (!rec_parse(v, &rec) && rec.head.kind == REC_CHUNKED) {
        *ret_bytes += (size_t)rec.head.value_bytes;
        rc = chunks_delete(s, txn, at, rec.head.value_bytes);
    }
    return rc ? rc : mdb_del(txn, at->dbi, &k, NULL);
}

/* ---- reading ---- */

const char *rec_parse(MDB_val data, struct rec *ret)
{
    if (data.mv_size < sizeof(ret->head)) {
        return "it is too short";
    }
    memcpy(&ret->head, data.mv_data, sizeof(ret->head));
    struct span rest = span_of((const char *)data.mv_data + sizeof(ret->head),
                               data.mv_size - sizeof(ret->head));
    size_t fixed = (size_t)ret->head.key_bytes + ret->head.headers_bytes;
    if (rest.n < fixed) {
        return "its lengths do not add up";
    }
    ret->key = span_of(rest.p, ret->head.key_bytes);
    ret->headers = span_of(rest.p + ret->key.n, ret->head.headers_bytes);
    ret->value = span_of(rest.p + fixed, rest.n - fixed);
    bool fits = false;
    if (ret->head.kind == REC_INLINE) {
        fits = ret->value.n == ret->head.value_bytes;
    } else if (ret->head.kind == REC_CHUNKED) {
        fits = ret->value.n == 0 && ret->head.value_bytes > QUEUE_INLINE_MAX &&
               ret->head.value_bytes <= QUEUE_VALUE_MAX;
    } else if (ret->head.kind == REC_REF && ret->value.n == sizeof(ret->ref)) {
        memcpy(&ret->ref, ret->value.p, sizeof(ret->ref));
        fits = true;
    }
    return fits ? NULL : "its lengths do not add up";
}

const char *rec_append_value(const struct store *s, MDB_txn *txn,
                             const struct rec_place *at, const struct rec *rec,
                             struct buf *out)
{
    uint8_t key[1 + ROWS_KEY_BYTES + 4];
    size_t begin = out->n;
    struct span whole = rec->value;
    if (rec->head.kind == REC_CHUNKED) {
        if (buf_reserve(out, (size_t)rec->head.value_bytes) < 0) {
            return "there is no memory for it";
        }
        for (size_t i = 0; i < chunk_count(rec->head.value_bytes); i++) {
            MDB_val k = val_of(key, chunk_key(at, i, key)), v;
            if (mdb_get(txn, s->chunks, &k, &v) ||
                buf_add(out, v.mv_data, v.mv_size) < 0) {
                return "a part of it is missing";
            }
            store_touched(s, v.mv_data, v.mv_size);
        }
        whole = span_of(out->p + begin, out->n - begin);
        if (whole.n != rec->head.value_bytes) {
            return "a part of it is missing";
        }
    } else if (rec->head.kind == REC_INLINE && buf_add(out, whole.p, whole.n) < 0) {
        return "there is no memory for it";
    }
    bool same = rec_sum(at->dbkey, rec, whole) == rec->head.sum;
    store_touched(s, rec->key.p, rec->key.n + rec->headers.n + rec->value.n);
    return same ? NULL : "its checksum does not match";
}
