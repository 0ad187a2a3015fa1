/*
 * queue_lmdb_read.c - cursors: every call renews the cursor's read transaction, copies out
 * what was asked for, and resets it. Renewing costs less than a microsecond; a transaction
 * left open would keep every page that was freed since from being used again.
 */
#include "core/queue_kafka.h"
#include <errno.h>
#include <stdlib.h>

/* ---- the read transaction of one call ---- */

int read_error(const struct queue_cursor *c, int rc, struct err *err)
{
    return store_error(c->q->dir, "read", rc, err);
}

int read_begin(struct queue_cursor *c, struct err *err)
{
    int rc = c->txn ? mdb_txn_renew(c->txn)
                    : mdb_txn_begin(c->q->store.env, NULL, MDB_RDONLY, &c->txn);
    return rc ? read_error(c, rc, err) : 0;
}

void read_end(struct queue_cursor *c)
{
    mdb_txn_reset(c->txn);
}

int queue_cursor_open(struct queue *q, struct queue_cursor **ret, struct err *err)
{
    struct queue_cursor *c = calloc(1, sizeof(*c));
    if (!c) {
        return store_error(q->dir, "read", ENOMEM, err);
    }
    c->q = q;
    buf_init(&c->buf, QUEUE_MSG_MAX);
    q->n_users++;
    *ret = c;
    return 0;
}

struct queue_cursor *queue_cursor_close(struct queue_cursor *c)
{
    if (!c) {
        return NULL;
    }
    if (c->rows) {
        mdb_cursor_close(c->rows);
    }
    if (c->txn) {
        mdb_txn_abort(c->txn);
    }
    buf_fini(&c->buf);
    c->q->n_users--;
    free(c);
    return NULL;
}

/* ---- copying a record out ---- */

static int damaged(const struct queue_cursor *c, const struct queue_at *at,
                   const char *why, struct err *err)
{
    int r = err_set(err, ERR_FAIL, "could not read record '%s'/%u/%llu in '%s': %s",
                    at->topic, at->partition, (unsigned long long)at->offset, c->q->dir,
                    why);
    err_hint(err, "restore the folder from a copy, or move it away and submit again");
    return r;
}

/* The value of a record that another one refers to goes behind its key and headers. */
static int append_referred(struct queue_cursor *c, const struct queue_at *at,
                           const struct rec_ref *ref, struct err *err)
{
    const struct store *s = &c->q->store;
    struct queue_at target = {.offset = ref->offset};
    uint8_t key[LOG_KEY_BYTES];
    log_key(ref->topic, ref->offset, key);
    const struct rec_place place = log_place(s, key);
    MDB_val k = val_of(key, sizeof(key)), v;
    struct rec rec;
    int rc = mdb_get(c->txn, s->log, &k, &v);
    const char *why = rc ? "it is gone" : rec_parse(v, &rec);
    if (!why && rec.head.kind == REC_REF) {
        why = "it is a reference itself";
    }
    if (!why) {
        why = rec_append_value(s, c->txn, &place, &rec, &c->buf);
    }
    if (!why) {
        return 0;
    }
    if (store_topic_of(s, c->txn, ref->topic, &target) != 0) {
        return damaged(c, at, "it refers to a topic that is gone", err);
    }
    if (rc != MDB_NOTFOUND) {
        return damaged(c, &target, why, err);
    }
    return err_set(
        err, ERR_FAIL,
        "could not read record '%s'/%u/%llu: it refers to '%s'/%u/%llu, which was "
        "trimmed",
        at->topic, at->partition, (unsigned long long)at->offset, target.topic,
        target.partition, (unsigned long long)target.offset);
}

/* `key` is the record's own, or the row's. */
static int copy_out(struct queue_cursor *c, const struct queue_at *at,
                    const struct rec_place *place, MDB_val data, struct queue_msg *ret,
                    struct err *err)
{
    struct rec rec;
    const char *why = rec_parse(data, &rec);
    if (why) {
        return damaged(c, at, why, err);
    }
    struct span key = rec.key;
    if (place->chunk_tag == 'R') {
        key = span_of(place->dbkey.p + 4, place->dbkey.n - 4);
    }
    buf_reset(&c->buf);
    if (buf_reserve(&c->buf, key.n + rec.headers.n + 1) < 0) {
        return read_error(c, ENOMEM, err);
    }
    (void)buf_add(&c->buf, key.p, key.n);
    (void)buf_add(&c->buf, rec.headers.p, rec.headers.n);
    why = rec_append_value(&c->q->store, c->txn, place, &rec, &c->buf);
    if (why) {
        return damaged(c, at, why, err);
    }
    if (rec.head.kind == REC_REF) {
        int r = append_referred(c, at, &rec.ref, err);
        if (r < 0) {
            return r;
        }
    }
    size_t fixed = key.n + rec.headers.n;
    ret->at = *at;
    ret->commit = rec.head.commit;
    ret->time_ms = rec.head.time_ms;
    ret->key = span_of(c->buf.p, key.n);
    ret->headers = span_of(c->buf.p + key.n, rec.headers.n);
    ret->value = span_of(c->buf.p + fixed, c->buf.n - fixed);
    return 1;
}

int read_log_record(struct queue_cursor *c, const struct queue_at *at,
                    const struct topic_row *row, struct queue_msg *ret, struct err *err)
{
    uint8_t key[LOG_KEY_BYTES] = {0};
    log_key(row->id, at->offset, key);
    const struct rec_place place = log_place(&c->q->store, key);
    MDB_val k = val_of(key, sizeof(key)), v;
    int rc = mdb_get(c->txn, c->q->store.log, &k, &v);
    if (rc == MDB_NOTFOUND) {
        return row->flags & TOPIC_COPY ? 0 : damaged(c, at, "it is missing", err);
    }
    return rc ? read_error(c, rc, err) : copy_out(c, at, &place, v, ret, err);
}

/* ---- from a position on ---- */

static int set_position(struct queue_cursor *c, enum read_mode mode, const char *name,
                        uint32_t partition)
{
    c->mode = READ_NONE;
    if (!queue_name_ok(name) || partition >= QUEUE_PARTITIONS) {
        return -ERR_INPUT;
    }
    c->mode = mode;
    c->asked = false;
    c->partition = partition;
    memcpy(c->name, name, strlen(name) + 1);
    return 0;
}

/* With a broker: what a role reads is copied as it reads it. */
static void want(struct queue_cursor *c, bool at_end)
{
    struct queue_at from = {.partition = c->partition, .offset = c->offset};
    memcpy(from.topic, c->name, sizeof(from.topic));
    link_want(c->q->link, &from, at_end);
}

int queue_read_topic(struct queue_cursor *c, const char *topic, uint32_t partition,
                     uint64_t from)
{
    c->offset = from;
    int r = set_position(c, READ_TOPIC, topic, partition);
    if (r == 0 && c->q->link) {
        want(c, false);
    }
    return r;
}

int queue_read_table(struct queue_cursor *c, const char *table, uint32_t partition,
                     struct span from_key)
{
    if (from_key.n > QUEUE_KEY_MAX) {
        return -ERR_INPUT;
    }
    if (from_key.n) {
        memcpy(c->row, from_key.p, from_key.n);
    }
    c->row_bytes = from_key.n;
    c->past_row = false;
    return set_position(c, READ_TABLE, table, partition);
}

static int next_record(struct queue_cursor *c, struct queue_msg *ret, struct err *err)
{
    struct queue_at at = {.partition = c->partition};
    struct topic_row row;
    int rc = store_topic(&c->q->store, c->txn, c->name, c->partition, &row);
    if (rc) {
        return rc == MDB_NOTFOUND ? 0 : read_error(c, rc, err);
    }
    at.offset = MAX_OF(c->offset, row.first);
    if (row.flags & TOPIC_COPY) {
        rc = store_log_next(&c->q->store, c->txn, row.id, &at.offset);
    }
    if (at.offset >= row.next || rc == MDB_NOTFOUND) {
        return 0;
    }
    if (rc) {
        return read_error(c, rc, err);
    }
    memcpy(at.topic, c->name, sizeof(at.topic));
    int r = read_log_record(c, &at, &row, ret, err);
    if (r > 0) {
        at.offset++;
        c->offset = at.offset;
        link_given(c->q->link, &at, false);
    }
    return r;
}

static int seek_row(struct queue_cursor *c, MDB_val *k, MDB_val *v)
{
    int rc = c->rows ? mdb_cursor_renew(c->txn, c->rows)
                     : mdb_cursor_open(c->txn, c->q->store.rows, &c->rows);
    return rc ? rc : mdb_cursor_get(c->rows, k, v, MDB_SET_RANGE);
}

static int next_row(struct queue_cursor *c, struct queue_msg *ret, struct err *err)
{
    struct queue_at at = {.partition = c->partition};
    uint8_t key[ROWS_KEY_BYTES];
    uint32_t id;
    int rc = store_table(&c->q->store, c->txn, c->name, c->partition, &id);
    if (rc) {
        return rc == MDB_NOTFOUND ? 0 : read_error(c, rc, err);
    }
    size_t n = rows_key(id, span_of(c->row, c->row_bytes), key);
    MDB_val k = val_of(key, n), v;
    rc = seek_row(c, &k, &v);
    if (rc == 0 && c->past_row && k.mv_size == n && memcmp(k.mv_data, key, n) == 0) {
        rc = mdb_cursor_get(c->rows, &k, &v, MDB_NEXT);
    }
    if (rc) {
        return rc == MDB_NOTFOUND ? 0 : read_error(c, rc, err);
    }
    if (k.mv_size < 4 || memcmp(k.mv_data, key, 4) != 0) {
        return 0; /* the next table begins */
    }
    memcpy(at.topic, c->name, sizeof(at.topic));
    const struct rec_place place = rows_place(&c->q->store, k.mv_data, k.mv_size);
    int r = copy_out(c, &at, &place, v, ret, err);
    if (r > 0) {
        c->row_bytes = ret->key.n;
        memcpy(c->row, ret->key.p, ret->key.n);
        c->past_row = true;
    }
    return r;
}

static struct store_name name_of(enum read_mode mode, const char *name,
                                 uint32_t partition)
{
    struct store_name of = {.kind = mode == READ_TOPIC ? 'T' : 'R',
                            .partition = partition};
    memcpy(of.name, name, strlen(name) + 1);
    return of;
}

/* A command beside a broker reads up to an end, and at the end asks again. */
static int ask_broker(struct queue_cursor *c, struct err *err)
{
    const struct store_name of = name_of(c->mode, c->name, c->partition);
    int r = c->asked ? 0 : link_refresh(c->q->link, &of, c->offset, err);
    c->asked = r == 0;
    return r;
}

int queue_read(struct queue_cursor *c, struct queue_msg *ret, struct err *err)
{
    if (c->mode == READ_NONE) {
        return 0;
    }
    int r = c->q->link ? ask_broker(c, err) : 0;
    if (r == 0) {
        r = read_begin(c, err);
    }
    if (r < 0) {
        return r;
    }
    r = c->mode == READ_TOPIC ? next_record(c, ret, err) : next_row(c, ret, err);
    read_end(c);
    c->asked = r != 0;
    if (r == 0 && c->q->link && c->mode == READ_TOPIC) {
        want(c, true);
    }
    return r;
}

/* ---- one record, one row ---- */

static int fetch(struct queue_cursor *c, const struct queue_at *at, struct queue_msg *ret,
                 struct err *err)
{
    struct topic_row row;
    int rc = store_topic(&c->q->store, c->txn, at->topic, at->partition, &row);
    if (rc) {
        return rc == MDB_NOTFOUND ? 0 : read_error(c, rc, err);
    }
    if (at->offset < row.first || at->offset >= row.next) {
        return 0;
    }
    return read_log_record(c, at, &row, ret, err);
}

int queue_fetch(struct queue_cursor *c, const struct queue_at *at, struct queue_msg *ret,
                struct err *err)
{
    const struct queue_at where = *at; /* `at` may stand in `ret` */
    if (where.partition >= QUEUE_PARTITIONS || !queue_name_ok(where.topic)) {
        return 0;
    }
    int r = read_begin(c, err);
    if (r < 0) {
        return r;
    }
    r = fetch(c, &where, ret, err);
    read_end(c);
    if (r == 0 && link_asks(c->q->link)) {
        const struct store_name of = name_of(READ_TOPIC, where.topic, where.partition);
        r = link_refresh(c->q->link, &of, where.offset, err);
        r = r < 0 ? r : read_begin(c, err);
        if (r == 0) {
            r = fetch(c, &where, ret, err);
            read_end(c);
        }
    }
    return r;
}

static int get_row(struct queue_cursor *c, const struct queue_at *table,
                   struct span row_key, struct queue_msg *ret, struct err *err)
{
    uint8_t key[ROWS_KEY_BYTES];
    uint32_t id;
    MDB_val k, v;
    int rc = store_table(&c->q->store, c->txn, table->topic, table->partition, &id);
    if (rc == 0) {
        k = val_of(key, rows_key(id, row_key, key));
        rc = mdb_get(c->txn, c->q->store.rows, &k, &v);
    }
    if (rc) {
        return rc == MDB_NOTFOUND ? 0 : read_error(c, rc, err);
    }
    const struct rec_place place = rows_place(&c->q->store, key, k.mv_size);
    return copy_out(c, table, &place, v, ret, err);
}

int queue_table_get(struct queue_cursor *c, const char *table, uint32_t partition,
                    struct span key, struct queue_msg *ret, struct err *err)
{
    struct queue_at at = {.partition = partition};
    if (!queue_name_ok(table) || partition >= QUEUE_PARTITIONS || key.n == 0 ||
        key.n > QUEUE_KEY_MAX) {
        return 0;
    }
    memcpy(at.topic, table, strlen(table) + 1);
    const struct store_name of = name_of(READ_TABLE, table, partition);
    int r = link_refresh_row(c->q->link, &of, err);
    r = r < 0 ? r : read_begin(c, err);
    if (r < 0) {
        return r;
    }
    r = get_row(c, &at, key, ret, err);
    read_end(c);
    return r;
}

/* ---- names and numbers ---- */

/* The next name of that kind behind `after`, whatever its partitions. */
static int next_name(struct queue_cursor *c, char kind, struct span prefix,
                     const char *after, char ret[static QUEUE_NAME_MAX])
{
    char key[QUEUE_NAME_MAX + 1] = {kind};
    struct span from = span_cmp(span_str(after), prefix) > 0 ? span_str(after) : prefix;
    struct store_name name = {.kind = kind};
    MDB_cursor *names = NULL;
    int rc = mdb_cursor_open(c->txn, c->q->store.names, &names);
    if (rc) {
        return rc;
    }
    if (from.n) {
        memcpy(key + 1, from.p, from.n);
    }
    MDB_val k = val_of(key, from.n + 1), v;
    rc = mdb_cursor_get(names, &k, &v, MDB_SET_RANGE);
    while (rc == 0 && store_name_read(&k, &name) && strcmp(name.name, after) == 0) {
        rc = mdb_cursor_get(names, &k, &v, MDB_NEXT);
    }
    mdb_cursor_close(names);
    if (rc == 0 && (name.kind != kind || strncmp(name.name, prefix.p, prefix.n) != 0)) {
        rc = MDB_NOTFOUND;
    }
    if (rc == 0) {
        memcpy(ret, name.name, sizeof(name.name));
    }
    return rc;
}

static int list_names(struct queue_cursor *c, char kind, const char *const range[2],
                      char ret[static QUEUE_NAME_MAX], struct err *err)
{
    struct span prefix = span_str(range[0]);
    if (prefix.n >= QUEUE_NAME_MAX || strlen(range[1]) >= QUEUE_NAME_MAX) {
        return 0;
    }
    int r = link_refresh_names(c->q->link, err);
    r = r < 0 ? r : read_begin(c, err);
    if (r < 0) {
        return r;
    }
    int rc = next_name(c, kind, prefix, range[1], ret);
    read_end(c);
    if (rc) {
        return rc == MDB_NOTFOUND ? 0 : read_error(c, rc, err);
    }
    return 1;
}

int queue_topics(struct queue_cursor *c, const char *prefix, const char *after,
                 char ret[static QUEUE_NAME_MAX], struct err *err)
{
    const char *const range[2] = {prefix, after};
    return list_names(c, 'T', range, ret, err);
}

int queue_tables(struct queue_cursor *c, const char *prefix, const char *after,
                 char ret[static QUEUE_NAME_MAX], struct err *err)
{
    const char *const range[2] = {prefix, after};
    return list_names(c, 'R', range, ret, err);
}

int queue_bounds(struct queue_cursor *c, const char *topic, uint32_t partition,
                 uint64_t *ret_first, uint64_t *ret_end, struct err *err)
{
    struct topic_row row = {0};
    if (link_asks(c->q->link) && queue_name_ok(topic)) {
        const struct store_name of = name_of(READ_TOPIC, topic, partition);
        return link_bounds(c->q->link, &of, ret_first, ret_end, err);
    }
    int r = read_begin(c, err);
    if (r < 0) {
        return r;
    }
    int rc = partition >= QUEUE_PARTITIONS || !queue_name_ok(topic)
                 ? MDB_NOTFOUND
                 : store_topic(&c->q->store, c->txn, topic, partition, &row);
    read_end(c);
    if (rc && rc != MDB_NOTFOUND) {
        return read_error(c, rc, err);
    }
    *ret_first = row.first;
    *ret_end = row.next;
    return rc == 0;
}

int queue_last_commit(struct queue_cursor *c, uint64_t *ret, struct err *err)
{
    int r = read_begin(c, err);
    if (r < 0) {
        return r;
    }
    int rc = store_number(&c->q->store, c->txn, "commit", ret);
    read_end(c);
    return rc ? read_error(c, rc, err) : 0;
}

int queue_used_bytes(struct queue_cursor *c, uint64_t *ret, struct err *err)
{
    int rc = store_used(&c->q->store, ret);
    return rc ? read_error(c, rc, err) : 0;
}
