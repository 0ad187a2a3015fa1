/*
 * queue_kafka_reader.c - a command beside the owners: before a cursor answers, what it asks for
 * is copied up to the end it has at that moment, committed records only, into a folder that is
 * the command's own.
 *
 * Rows and records just read are taken as they are for LINK_FRESH_MS; whoever reads on at an end
 * asks again. A log is copied from the first offset that was asked for; who then asks for an
 * earlier one gets all of it.
 */
#include "core/queue_kafka.h"
#include <errno.h>
#include <stdlib.h>

bool link_asks(const struct link *l)
{
    return l && l->role == QUEUE_READER;
}

/* The broker's answer as the store's callers know it; a topic that is not there is empty. */
static int as_error(int class, const struct err *err)
{
    return class < 0 ? -(int)(err->code ? err->code : ERR_FAIL) : 0;
}

static int ends_of(struct link *l, const struct store_name *of, uint64_t *ret_first,
                   uint64_t *ret_end, struct err *err)
{
    char topic[KAFKA_TOPIC_MAX];
    int64_t first = 0, end = 0;
    link_topic(l, of->name, topic);
    int r = kafka_admin_partitions(l->admin, topic, err);
    if (r <= (int)of->partition) {
        *ret_first = *ret_end = 0;
        return r < 0 ? as_error(r, err) : 0;
    }
    const struct kafka_place place = {topic, (int32_t)of->partition, 0};
    r = kafka_admin_bounds(l->admin, &place, true, &first, &end, err);
    *ret_first = (uint64_t)first;
    *ret_end = (uint64_t)end;
    return r < 0 ? as_error(r, err) : 1;
}

/* Where the local copy must begin so that `from` is in it. */
static int place_log(struct link *l, const struct store_name *of, uint64_t from,
                     const uint64_t bounds[2], struct err *err)
{
    struct topic_row row = {0};
    uint64_t want = MIN_OF(MAX_OF(from, bounds[0]), bounds[1]);
    int r = copy_topic(l->q, of, &row, err);
    if (r < 0) {
        return r;
    }
    if (r == 0 || row.first == row.next) {
        return row.next == want && r ? 0 : link_copy_restart(l, of, want, err);
    }
    if (row.next > bounds[1] || (want < row.first && bounds[0] < row.first)) {
        return link_copy_restart(l, of, bounds[0], err);
    }
    return 0;
}

static int pump_to(struct link *l, struct link_copy *c, uint64_t end, struct err *err)
{
    int64_t until = link_now_ms() + LINK_READ_MS;
    int r = link_copy_read(l, c, err);
    while (r >= 0 && atomic_load(&c->at) < end) {
        uint64_t was = atomic_load(&c->at);
        r = link_pump(l, 100, err);
        if (atomic_load(&c->at) > was) {
            until = link_now_ms() + LINK_READ_MS;
        }
        if (r == 0 && link_now_ms() >= until) {
            r = err_set(err, ERR_TEMP,
                        "could not read '%s': the broker has been silent for "
                        "%d s",
                        c->topic, LINK_READ_MS / 1000);
        }
    }
    c->reading = false;
    (void)kafka_consumer_remove(l->source, c->topic, (int32_t)c->of.partition, NULL);
    return MIN_OF(r, 0);
}

static int refresh(struct link *l, const struct store_name *of, uint64_t from,
                   struct err *err)
{
    const struct kafka_consumer_conf conf = {.kafka = &l->kafka, .wait_ms = 10};
    uint64_t bounds[2], at = 0;
    int r = ends_of(l, of, &bounds[0], &bounds[1], err);
    if (r <= 0) {
        return r;
    }
    r = of->kind == 'T' ? place_log(l, of, from, bounds, err) : 0;
    if (r == 0) {
        r = copy_position(l->q, of, &at, err);
    }
    if (r < 0 || at >= bounds[1]) {
        return MIN_OF(r, 0);
    }
    struct link_copy *c = link_copy_get(l, of);
    if (!c) {
        return store_error(l->q->dir, "read", ENOMEM, err);
    }
    c->acks = false; /* here they are rows like others */
    atomic_store(&c->at, MAX_OF(at, bounds[0]));
    r = l->source ? 0 : kafka_consumer_open(&l->source, &conf, err);
    if (r == 0) {
        r = pump_to(l, c, bounds[1], err);
    }
    return as_error(r, err);
}

static int refresh_locked(struct link *l, const struct store_name *of, uint64_t from,
                          struct err *ret_err)
{
    struct err err = {0};
    pthread_mutex_lock(&l->read_mu);
    int r = refresh(l, of, from, &err);
    if (r < 0) {
        copy_clear(l->slice);
    }
    pthread_mutex_unlock(&l->read_mu);
    if (r < 0 && ret_err) {
        *ret_err = err;
    }
    return r;
}

int link_refresh(struct link *l, const struct store_name *of, uint64_t from,
                 struct err *err)
{
    return link_asks(l) ? refresh_locked(l, of, from, err) : 0;
}

int link_refresh_row(struct link *l, const struct store_name *of, struct err *err)
{
    char topic[KAFKA_TOPIC_MAX];
    if (!link_asks(l)) {
        return 0;
    }
    link_topic(l, of->name, topic);
    int64_t now = link_now_ms();
    pthread_mutex_lock(&l->read_mu);
    struct link_copy *c = link_copy_find(l, topic, of->partition);
    bool fresh = c && now < c->fresh_ms;
    pthread_mutex_unlock(&l->read_mu);
    if (fresh) {
        return 0;
    }
    int r = refresh_locked(l, of, 0, err);
    pthread_mutex_lock(&l->read_mu);
    c = r < 0 ? NULL : link_copy_find(l, topic, of->partition);
    if (c) {
        c->fresh_ms = link_now_ms() + LINK_FRESH_MS;
    }
    pthread_mutex_unlock(&l->read_mu);
    return r;
}

/* ---- names ---- */

static int on_name(void *ctx, const char *topic, int32_t partitions)
{
    struct link *l = ctx;
    struct store_name of;
    struct topic_row row;
    uint32_t id;
    MDB_txn *txn = NULL;
    if (partitions < 1 || !link_name(l, topic, &of) ||
        strcmp(of.name, TOPICS_LEADER) == 0 ||
        mdb_txn_begin(l->q->store.env, NULL, MDB_RDONLY, &txn) != 0) {
        return 0;
    }
    int rc = of.kind == 'T' ? store_topic(&l->q->store, txn, of.name, 0, &row)
                            : store_table(&l->q->store, txn, of.name, 0, &id);
    mdb_txn_abort(txn);
    if (rc != MDB_NOTFOUND || queue_tx_full(l->slice, 0)) {
        return 0;
    }
    return copy_mark(l->slice, OP_REACHED, &of, 0, SPAN_NONE, NULL);
}

int link_refresh_names(struct link *l, struct err *ret_err)
{
    struct err err = {0};
    if (!link_asks(l) || link_now_ms() < l->names_ms) {
        return 0;
    }
    pthread_mutex_lock(&l->read_mu);
    int r = kafka_admin_topics(l->admin, l->prefix, on_name, l, &err);
    r = r < 0 ? as_error(r, &err) : copy_apply(l->slice, &err);
    l->names_ms = link_now_ms() + LINK_FRESH_MS;
    pthread_mutex_unlock(&l->read_mu);
    if (r < 0 && ret_err) {
        *ret_err = err;
    }
    return MIN_OF(r, 0);
}

int link_bounds(struct link *l, const struct store_name *of, uint64_t *ret_first,
                uint64_t *ret_end, struct err *ret_err)
{
    struct err err = {0};
    pthread_mutex_lock(&l->read_mu);
    int r = ends_of(l, of, ret_first, ret_end, &err);
    pthread_mutex_unlock(&l->read_mu);
    if (r < 0 && ret_err) {
        *ret_err = err;
    }
    return r;
}
