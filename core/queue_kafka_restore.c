/*
 * queue_kafka_restore.c - which partitions a role copies, and from where to where each copy must
 * go before the role may begin.
 *
 * First the tables: those that the role owns, `acks` among them, and those it follows. Then the
 * logs: `acks` has said where each fed one begins. The end of each is asked for without regard
 * to open transactions, after the assignment; a consumer that sees committed records only passes
 * it when all of them are closed.
 *
 * What the role owns is read no further then: its own commits keep it up, and a row that came
 * back later would undo the next one.
 *
 * A copy that is behind its log's first offset goes on there; one that is ahead of its end is of
 * another topic of that name, and begins anew. So does a copy of a table that was not read for
 * so long that marks of deletion may be gone by now (TOMBSTONES_MS in topics.c is twice this).
 */
#include "core/queue_kafka.h"
#include <stdio.h>
#include <stdlib.h>

#define TABLE_AGE_MAX_MS ((int64_t)3 * 24 * 3600 * 1000)

static bool owns(const struct link *l, uint32_t partition)
{
    for (size_t i = 0; i < l->owned.n; i++) {
        if (l->owned.v[i] == partition) {
            return true;
        }
    }
    return false;
}

bool link_fed(const struct link *l, const struct store_name *of)
{
    const struct topic_spec *spec = topics_find(false, of->name);
    if (of->kind != 'T' || topics_find(true, of->name) ||
        topics_copied(spec, l->role) == COPY_NONE) {
        return false;
    }
    return !spec || !spec->keyed || l->role != QUEUE_WORKER || owns(l, of->partition);
}

static bool wanted(const struct link *l, const struct topic_spec *spec,
                   uint32_t partition)
{
    if (topics_copied(spec, l->role) == COPY_NONE) {
        return false;
    }
    if (!spec || !spec->keyed || l->role == QUEUE_WHOLE) {
        return true;
    }
    if (l->role == QUEUE_SCHEDULER) {
        return partition == 0; /* of `acks`: its own stand there */
    }
    return owns(l, partition);
}

/* ---- where a copy stands ---- */

/* When a copy of a table was last known to be whole, in `meta`. */
static void age_key(const struct store_name *of, char ret[static COPY_AT_MAX + 8])
{
    char at[COPY_AT_MAX];
    copy_at_key(of, at);
    (void)snprintf(ret, COPY_AT_MAX + 8, "seen-%s", at);
}

static bool too_old(struct link *l, const struct store_name *of)
{
    char key[COPY_AT_MAX + 8];
    uint64_t seen = 0;
    MDB_txn *txn = NULL;
    if (of->kind != 'R' || mdb_txn_begin(l->q->store.env, NULL, MDB_RDONLY, &txn)) {
        return false;
    }
    age_key(of, key);
    int rc = store_number(&l->q->store, txn, key, &seen);
    mdb_txn_abort(txn);
    return rc == 0 && clock_wall_ms(&l->q->clock) - (int64_t)seen > TABLE_AGE_MAX_MS;
}

/* All that was restored is whole as of now. */
static int note_age(struct link *l, struct err *err)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(l->q->store.env, NULL, 0, &txn);
    for (size_t i = 0; rc == 0 && i < l->n_copies; i++) {
        char key[COPY_AT_MAX + 8];
        if (l->copies[i]->of.kind == 'R') {
            age_key(&l->copies[i]->of, key);
            rc = store_put_number(&l->q->store, txn, key,
                                  (uint64_t)clock_wall_ms(&l->q->clock));
        }
    }
    if (rc == 0) {
        rc = mdb_txn_commit(TAKE_PTR(txn));
    }
    if (txn) {
        mdb_txn_abort(txn);
    }
    return rc ? store_error(l->q->dir, "write to", rc, err) : 0;
}

int link_place_copy(struct link *l, struct link_copy *c, struct err *err)
{
    const struct kafka_place of = {c->topic, (int32_t)c->of.partition, 0};
    int64_t first, end;
    uint64_t at = 0;
    int r = kafka_admin_bounds(l->admin, &of, false, &first, &end, err);
    if (r < 0) {
        return r;
    }
    r = copy_position(l->q, &c->of, &at, err);
    if (r < 0) {
        return r;
    }
    c->target = (uint64_t)end;
    if (r == 0 || at > (uint64_t)end || too_old(l, &c->of)) {
        at = (uint64_t)first;
        r = link_copy_restart(l, &c->of, at, err);
    } else if (at < (uint64_t)first) {
        at = (uint64_t)first;
        r = copy_mark(l->slice, OP_REACHED, &c->of, at, SPAN_NONE, err);
        r = r < 0 ? r : copy_apply(l->slice, err);
    }
    atomic_store(&c->at, at);
    return MIN_OF(r, 0);
}

/* Of what is fed, what is acknowledged is not wanted any more. */
static int pass_done(struct link *l, const struct link_copy *c, struct err *err)
{
    struct topic_row row;
    int r = c->how == COPY_FEED ? copy_topic(l->q, &c->of, &row, err) : 0;
    if (r <= 0 || row.next >= row.low) {
        return r;
    }
    r = copy_mark(l->slice, row.first == row.next ? OP_START : OP_REACHED, &c->of,
                  row.low, SPAN_NONE, err);
    return r < 0 ? r : copy_apply(l->slice, err);
}

static int begin_copy(struct link *l, struct link_copy *c, struct err *err)
{
    struct topic_row row = {0};
    int r = pass_done(l, c, err);
    r = r < 0 ? r : link_place_copy(l, c, err);
    if (r == 0 && c->of.kind == 'T') {
        r = copy_topic(l->q, &c->of, &row, err);
        atomic_store(&c->given, row.low);
    }
    return r < 0 ? r : link_copy_read(l, c, err);
}

bool link_is_piecemeal(const struct link *l, const struct link_copy *c)
{
    return c->of.kind == 'T' && c->how == COPY_FOLLOW && c->spec && c->spec->window &&
           l->role != QUEUE_WHOLE;
}

/* The copy has what stands from `from` on, or begins there. */
static int place_piece(struct link *l, struct link_copy *c, uint64_t from,
                       struct err *err)
{
    struct topic_row row = {0};
    int r = copy_topic(l->q, &c->of, &row, err);
    if (r == 0 || (r > 0 && (from < row.first || from > row.next))) {
        r = link_copy_restart(l, &c->of, from, err);
    }
    return r < 0 ? r : link_place_copy(l, c, err);
}

int link_begin_asked(struct link *l, struct err *err)
{
    for (size_t i = 0; i < l->n_copies; i++) {
        struct link_copy *c = l->copies[i];
        pthread_mutex_lock(&l->mu);
        bool due = c->wanted;
        c->wanted = false;
        uint64_t from = atomic_load(&c->given);
        pthread_mutex_unlock(&l->mu);
        int r = due ? place_piece(l, c, from, err) : 0;
        if (r == 0 && due) {
            r = link_copy_read(l, c, err);
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* ---- what there is ---- */

struct found {
    struct link *l;
    struct {
        struct store_name of;
        uint32_t partitions;
    } * v;
    size_t n, cap;
};

static int on_topic(void *ctx, const char *topic, int32_t partitions)
{
    struct found *f = ctx;
    struct store_name of;
    if (!link_name(f->l, topic, &of) ||
        topics_copied(topics_find(of.kind == 'R', of.name), f->l->role) == COPY_NONE) {
        return 0;
    }
    if (f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 64;
        void *v = cap > LINK_COPIES_MAX ? NULL : realloc(f->v, cap * sizeof(*f->v));
        if (!v) {
            return -1;
        }
        f->v = v;
        f->cap = cap;
    }
    f->v[f->n].of = of;
    f->v[f->n++].partitions = (uint32_t)partitions;
    return 0;
}

enum which { TABLES, LOGS, ALL };

static int begin_found(struct link *l, const struct found *f, enum which which,
                       struct err *err)
{
    bool again = false; /* a topic just made may have no leader yet */
    for (size_t i = 0; i < f->n; i++) {
        struct store_name of = f->v[i].of;
        const struct topic_spec *spec = topics_find(of.kind == 'R', of.name);
        if (which != ALL && (of.kind == 'R') != (which == TABLES)) {
            continue;
        }
        for (of.partition = 0; of.partition < f->v[i].partitions; of.partition++) {
            struct link_copy *c = wanted(l, spec, of.partition) ? link_copy_get(l, &of)
                                                                : NULL;
            bool kept_up = which == ALL && c && c->how == COPY_OWN; /* by our commits */
            bool begins = c && !c->reading && !kept_up && !link_is_piecemeal(l, c);
            int r = begins ? begin_copy(l, c, err) : 0;
            if (r < 0 && which != ALL) {
                return r;
            }
            again |= r < 0;
        }
    }
    pthread_mutex_lock(&l->mu);
    l->look_again |= again;
    pthread_mutex_unlock(&l->mu);
    return 0;
}

/* Before anything is read; a topic that cannot be learned is said when it is to be read. */
static void learn_found(struct link *l, const struct found *f)
{
    struct err aside;
    int r = 0;
    for (size_t i = 0; r == 0 && i < f->n; i++) {
        char topic[KAFKA_TOPIC_MAX];
        link_topic(l, f->v[i].of.name, topic);
        r = kafka_consumer_learn(l->source, topic, 0, &aside);
    }
}

static int begin(struct link *l, enum which which, struct err *err)
{
    struct found f = {.l = l};
    int r = kafka_admin_topics(l->admin, l->prefix, on_topic, &f, err);
    if (r >= 0 && which == TABLES) {
        learn_found(l, &f);
    }
    if (r >= 0) {
        r = begin_found(l, &f, which, err);
    }
    free(f.v);
    return MIN_OF(r, 0);
}

int link_restore_begin(struct link *l, bool tables, struct err *err)
{
    int r = tables ? 0 : note_age(l, err);
    return r < 0 ? r : begin(l, tables ? TABLES : LOGS, err);
}

int link_find_new(struct link *l, struct err *err)
{
    return begin(l, ALL, err);
}

int link_restore_end(struct link *l, struct err *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < l->n_copies; i++) {
        struct link_copy *c = l->copies[i];
        if (c->how == COPY_OWN && c->reading) {
            c->reading = false;
            r = kafka_consumer_remove(l->source, c->topic, (int32_t)c->of.partition, err);
        }
    }
    return r;
}

bool link_restored(const struct link *l)
{
    for (size_t i = 0; i < l->n_copies; i++) {
        const struct link_copy *c = l->copies[i];
        bool whole = c->of.kind == 'R' || !c->spec || !c->spec->window;
        if (whole && atomic_load(&c->at) < c->target) {
            return false;
        }
    }
    return true;
}
