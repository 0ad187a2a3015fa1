/*
 * queue_lmdb_feed.c - what the owner is given: unacked records in order, topic after topic.
 *
 * A feed remembers per topic only where it is. What is acknowledged is looked up in the same
 * snapshot as the record, so a restart, a rewind and the ordinary case are one code path. A
 * topic found empty is not looked at again before the store has changed.
 */
#include "core/queue_kafka.h"
#include <errno.h>
#include <stdlib.h>

#define FEED_TOPICS_MAX 65536

struct feed_topic {
    char name[QUEUE_NAME_MAX];
    uint32_t partition;
    uint64_t next;    /* the lowest offset not yet given */
    uint64_t dry_txn; /* nothing was left as of this LMDB transaction */
    bool paused;
};

struct queue_feed {
    struct queue *q;
    struct queue_feed *next_feed;
    struct queue_cursor *cursor;
    char pattern[QUEUE_NAME_MAX];
    struct feed_topic *topics; /* by name and partition */
    size_t n, cap, turn;
    uint64_t ids_seen; /* names were listed when this was the last id given */
    bool listed;
};

static bool matches(const struct queue_feed *f, const char *topic)
{
    size_t n = strlen(f->pattern);
    if (f->pattern[n - 1] == '.') {
        return strncmp(topic, f->pattern, n) == 0;
    }
    return strcmp(topic, f->pattern) == 0;
}

bool feed_covers(const struct queue *q, const char *topic)
{
    for (const struct queue_feed *f = q->feeds; f; f = f->next_feed) {
        if (matches(f, topic)) {
            return true;
        }
    }
    return false;
}

/* ---- topics ---- */

static int topic_cmp(const struct feed_topic *t, const char *name, uint32_t partition)
{
    int r = strcmp(t->name, name);
    return r ? r : (t->partition > partition) - (t->partition < partition);
}

/* Where it is, or would be. */
static size_t topic_index(const struct queue_feed *f, const char *name,
                          uint32_t partition, bool *ret_found)
{
    size_t lo = 0, hi = f->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (topic_cmp(&f->topics[mid], name, partition) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    *ret_found = lo < f->n && topic_cmp(&f->topics[lo], name, partition) == 0;
    return lo;
}

static int topic_join(struct queue_feed *f, const struct store_name *name)
{
    struct feed_topic t = {.partition = name->partition};
    bool found;
    memcpy(t.name, name->name, sizeof(t.name));
    size_t at = topic_index(f, t.name, t.partition, &found);
    if (found) {
        return 0;
    }
    if (f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 8;
        struct feed_topic *topics = realloc(f->topics, cap * sizeof(*topics));
        if (!topics) {
            return ENOMEM;
        }
        f->topics = topics;
        f->cap = cap;
    }
    memmove(f->topics + at + 1, f->topics + at, (f->n - at) * sizeof(t));
    f->topics[at] = t;
    f->n++;
    if (at < f->turn) {
        f->turn++; /* whose turn it was, it still is */
    }
    return 0;
}

static int list_topics(struct queue_feed *f, MDB_txn *txn)
{
    char key[QUEUE_NAME_MAX + 1] = {'T'};
    size_t n = strlen(f->pattern);
    MDB_cursor *names = NULL;
    int rc = mdb_cursor_open(txn, f->q->store.names, &names);
    if (rc) {
        return rc;
    }
    memcpy(key + 1, f->pattern, n);
    MDB_val k = val_of(key, n + 1), v;
    rc = mdb_cursor_get(names, &k, &v, MDB_SET_RANGE);
    for (; rc == 0; rc = mdb_cursor_get(names, &k, &v, MDB_NEXT)) {
        struct store_name name;
        if (!store_name_read(&k, &name) || name.kind != 'T' || !matches(f, name.name) ||
            f->n >= FEED_TOPICS_MAX) {
            break;
        }
        rc = parts_fed(f->q, name.name, name.partition) ? topic_join(f, &name) : 0;
        if (rc) {
            break;
        }
    }
    mdb_cursor_close(names);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int find_new_topics(struct queue_feed *f, MDB_txn *txn)
{
    uint64_t ids = 0;
    int rc = store_number(&f->q->store, txn, "ids", &ids);
    if (rc || (f->listed && ids == f->ids_seen)) {
        return rc;
    }
    rc = list_topics(f, txn);
    if (rc == 0) {
        f->listed = true;
        f->ids_seen = ids;
    }
    return rc;
}

/* ---- life ---- */

int queue_feed_open(struct queue *q, const char *pattern, struct queue_feed **ret,
                    struct err *err)
{
    if (!atomic_load(&q->owner)) {
        int r = err_set(err, ERR_FAIL,
                        "could not feed on '%s': another process owns '%s'", pattern,
                        q->dir);
        err_hint(err, "only the owner of a data folder may do that");
        return r;
    }
    if (!queue_name_ok(pattern)) {
        return err_set(err, ERR_INPUT, "could not feed on '%s': the name is not valid",
                       pattern);
    }
    struct queue_feed *f = calloc(1, sizeof(*f));
    if (!f) {
        return store_error(q->dir, "read", ENOMEM, err);
    }
    int r = queue_cursor_open(q, &f->cursor, err);
    if (r < 0) {
        free(f);
        return r;
    }
    f->q = q;
    memcpy(f->pattern, pattern, strlen(pattern) + 1);
    f->next_feed = q->feeds;
    q->feeds = f;
    *ret = f;
    return 0;
}

struct queue_feed *queue_feed_close(struct queue_feed *f)
{
    if (!f) {
        return NULL;
    }
    struct queue_feed **p = &f->q->feeds;
    while (*p != f) {
        p = &(*p)->next_feed;
    }
    *p = f->next_feed;
    f->cursor = queue_cursor_close(f->cursor);
    free(f->topics);
    free(f);
    return NULL;
}

/* ---- the next record ---- */

/* The first record at or above `from` that is there and not acknowledged; row->next: none. */
static int find_unacked(const struct store *s, MDB_txn *txn, const struct topic_row *row,
                        uint64_t from, uint64_t *ret)
{
    int rc = ack_skip(s, txn, row, from, ret);
    while (rc == 0 && (row->flags & TOPIC_COPY) && *ret < row->next) {
        uint64_t at = *ret;
        rc = store_log_next(s, txn, row->id, ret);
        if (rc || *ret == at) {
            break;
        }
        rc = ack_skip(s, txn, row, *ret, ret);
    }
    if (rc == MDB_NOTFOUND) {
        *ret = row->next;
        rc = 0;
    }
    return rc;
}

/* With a broker: no need to have more here than comes next. */
static void tell_given(const struct queue_feed *f, const struct feed_topic *t)
{
    struct queue_at next = {.partition = t->partition, .offset = t->next};
    if (f->q->link) {
        memcpy(next.topic, t->name, sizeof(next.topic));
        link_given(f->q->link, &next, true);
    }
}

static int topic_next(struct queue_feed *f, struct feed_topic *t, struct queue_msg *ret,
                      struct err *err)
{
    const struct store *s = &f->q->store;
    MDB_txn *txn = f->cursor->txn;
    struct queue_at at = {.partition = t->partition};
    struct topic_row row;
    int rc = store_topic(s, txn, t->name, t->partition, &row);
    if (rc == 0) {
        rc = find_unacked(s, txn, &row, t->next, &at.offset);
    }
    if (rc) {
        return read_error(f->cursor, rc, err);
    }
    if (at.offset >= row.next) {
        t->next = MAX_OF(t->next, row.next);
        tell_given(f, t);
        t->dry_txn = mdb_txn_id(txn);
        return 0;
    }
    memcpy(at.topic, t->name, sizeof(at.topic));
    int r = read_log_record(f->cursor, &at, &row, ret, err);
    if (r > 0) {
        t->next = at.offset + 1;
        tell_given(f, t);
    }
    return r;
}

static int round_robin(struct queue_feed *f, struct queue_msg *ret, struct err *err)
{
    const uint64_t txn_id = mdb_txn_id(f->cursor->txn);
    for (size_t i = 0; i < f->n; i++) {
        size_t at = (f->turn + i) % f->n;
        struct feed_topic *t = &f->topics[at];
        if (t->paused || t->dry_txn == txn_id) {
            continue;
        }
        int r = topic_next(f, t, ret, err);
        if (r > 0) {
            f->turn = at + 1;
        }
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

int queue_next(struct queue_feed *f, struct queue_msg *ret, struct err *err)
{
    int r = read_begin(f->cursor, err);
    if (r < 0) {
        return r;
    }
    int rc = find_new_topics(f, f->cursor->txn);
    r = rc ? read_error(f->cursor, rc, err) : round_robin(f, ret, err);
    read_end(f->cursor);
    return r;
}

/* ---- holding a topic back ---- */

static struct feed_topic *find_topic(struct queue_feed *f, const char *topic,
                                     uint32_t partition)
{
    bool found;
    size_t at = topic_index(f, topic, partition, &found);
    return found ? &f->topics[at] : NULL;
}

int queue_pause(struct queue_feed *f, const char *topic, uint32_t partition,
                uint64_t offset)
{
    struct feed_topic *t = find_topic(f, topic, partition);
    if (!t) {
        return -ERR_INPUT;
    }
    t->paused = true;
    t->next = offset;
    tell_given(f, t);
    return 0;
}

int queue_resume(struct queue_feed *f, const char *topic, uint32_t partition)
{
    struct feed_topic *t = find_topic(f, topic, partition);
    if (!t) {
        return -ERR_INPUT;
    }
    t->paused = false;
    t->dry_txn = 0;
    return 0;
}

int queue_low(struct queue_feed *f, const char *topic, uint32_t partition, uint64_t *ret)
{
    struct topic_row row;
    if (partition >= QUEUE_PARTITIONS || !queue_name_ok(topic)) {
        return -ERR_INPUT;
    }
    int r = read_begin(f->cursor, NULL);
    if (r < 0) {
        return r;
    }
    int rc = store_topic(&f->q->store, f->cursor->txn, topic, partition, &row);
    read_end(f->cursor);
    if (rc) {
        return rc == MDB_NOTFOUND ? -ERR_INPUT : read_error(f->cursor, rc, NULL);
    }
    *ret = row.low;
    return 0;
}

int queue_acked(struct queue_feed *f, const struct queue_at *at, struct err *err)
{
    struct topic_row row;
    uint64_t unacked = 0;
    int r = read_begin(f->cursor, err);
    if (r < 0) {
        return r;
    }
    int rc = store_topic(&f->q->store, f->cursor->txn, at->topic, at->partition, &row);
    if (rc == 0) {
        rc = ack_skip(&f->q->store, f->cursor->txn, &row, at->offset, &unacked);
    }
    r = rc ? read_error(f->cursor, rc, err) : unacked != at->offset;
    read_end(f->cursor);
    return r;
}
