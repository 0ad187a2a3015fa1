/* Slices of calls and their rows in the journal: no call leaves before its slice stands there. */
#include "worker/direct.h"

#include "worker/journal.h"
#include <stdlib.h>
#include <sys/random.h>

#define CLOSED_MAX 8 /* slices whose rows wait for a commit that takes them along */
#define AHEAD_MS   100
#define AHEAD_MOST 3 /* times the slots */

struct direct_commit {
    struct direct_commit *next, *prev;
    struct lane_direct *lane; /* NULL: it is gone */
    struct direct_slice *slice;
    int64_t begun_ms;
};

/* ---- a slice ---- */

struct direct_slice *direct_slice_new(struct lane_direct *l, uint32_t partition,
                                      uint32_t try_n)
{
    uint8_t random[BATCH_RANDOM_BYTES];
    struct err err;
    struct direct_slice *s =
        calloc(1, sizeof(*s) + DIRECT_SLICE_MAX * sizeof(struct direct_call));
    if (!s || getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        free(s);
        err_set(&err, ERR_FAIL, "could not journal calls: out of memory");
        direct_fail(l, &err);
        return NULL;
    }
    batch_id_format(loop_wall_ms(l->conf.loop), random, s->id);
    s->partition = partition;
    s->try_n = try_n;
    return s;
}

struct direct_call *direct_slice_put(struct direct_slice *s, struct call *c)
{
    assert(s->n < DIRECT_SLICE_MAX);
    struct direct_call *d = &s->calls[s->n++];
    *d = (struct direct_call){.slice = s, .call = c, .at = c->jobs->at};
    s->open++;
    c->state = CALL_DIRECT;
    c->direct = d;
    return d;
}

void direct_slice_add(struct lane_direct *l, struct direct_slice *s, struct call *c,
                      unsigned server, unsigned track)
{
    struct direct_call *d = direct_slice_put(s, c);
    d->server = server;
    d->track = track;
    l->servers[server].writing++;
    l->servers[server].tracks[track].writing++;
}

void direct_slice_free(struct direct_slice *s)
{
    if (s) {
        for (uint32_t i = 0; i < s->n; i++) {
            free(s->calls[i].why);
        }
        free(s);
    }
}

/* ---- commits ---- */

int direct_begin(struct lane_direct *l, struct queue_tx **ret)
{
    struct err err;
    if (queue_begin(l->conf.queue, ret) < 0) {
        err_set(&err, ERR_FAIL, "could not write the journal of lane '%s': out of memory",
                lane_name(l->conf.lane));
        direct_fail(l, &err);
        return -1;
    }
    return 0;
}

static int delete_closed(struct lane_direct *l, struct queue_tx *tx, struct err *err)
{
    int rc = 0;
    while (l->closed && rc >= 0 && !queue_tx_full(tx, 0)) {
        struct direct_rows *rows = l->closed;
        rc = journal_delete_entry(tx, rows->partition, rows->id, rows->n, err);
        l->closed = rows->next;
        l->closed_n--;
        free(rows);
    }
    return rc;
}

static int put_rows(struct lane_direct *l, const struct direct_slice *s,
                    struct queue_tx *tx, struct err *err)
{
    uint64_t at[DIRECT_SLICE_MAX];
    _cleanup_(buf_fini) struct buf json;
    buf_init(&json, JOURNAL_ROW_MAX);
    for (uint32_t i = 0; i < s->n; i++) {
        at[i] = s->calls[i].at;
    }
    if (direct_row_encode(l, s, s->n, &json) < 0) {
        return err_set(err, ERR_FAIL, "could not write the journal of slice '%s'", s->id);
    }
    int rc = journal_put_entry(tx, s->partition, s->id, buf_span(&json), err);
    return rc < 0 ? rc : journal_put_ats(tx, s->partition, s->id, at, s->n, err);
}

static void on_commit(void *ctx, uint64_t commit, const struct err *err)
{
    struct direct_commit *op = ctx;
    struct lane_direct *l = op->lane;
    struct direct_slice *s = op->slice;
    int64_t begun_ms = op->begun_ms;
    (void)commit;
    if (l) {
        *(op->prev ? &op->prev->next : &l->commits) = op->next;
        if (op->next) {
            op->next->prev = op->prev;
        }
    }
    free(op);
    if (!l) {
        return;
    }
    if (err) {
        direct_fail(l, err);
        return;
    }
    FAILPOINT("direct.journaled");
    l->commit_ms += (loop_now_ms(l->conf.loop) - begun_ms - l->commit_ms) / 4;
    for (uint32_t i = 0; s && i < s->n; i++) {
        struct direct_call *d = &s->calls[i];
        struct direct_server *server = &l->servers[d->server];
        d->state = DIRECT_READY;
        server->writing--;
        server->tracks[d->track].writing--;
        if (s->try_n > 1 || server->out) {
            direct_queue_add(&l->again, d);
        } else {
            direct_ready_add(server, d);
        }
    }
    direct_kick(l);
}

/* Takes tx in any case; s enters the lane's list. */
static void commit(struct lane_direct *l, struct queue_tx *tx, struct direct_slice *s)
{
    struct direct_commit *op = calloc(1, sizeof(*op));
    if (s) {
        s->next = l->slices;
        if (s->next) {
            s->next->prev = s;
        }
        l->slices = s;
    }
    if (!op) {
        struct err err;
        queue_tx_drop(tx);
        err_set(&err, ERR_FAIL, "could not journal calls: out of memory");
        direct_fail(l, &err);
        return;
    }
    *op = (struct direct_commit){
        .next = l->commits, .lane = l, .slice = s, .begun_ms = loop_now_ms(l->conf.loop)};
    if (op->next) {
        op->next->prev = op;
    }
    l->commits = op;
    FAILPOINT("direct.before_commit");
    queue_commit(tx, on_commit, op);
}

void direct_write(struct lane_direct *l, struct direct_slice *s, struct queue_tx *tx)
{
    struct err err = {0};
    int rc = s ? put_rows(l, s, tx, &err) : 0;
    if (rc >= 0) {
        rc = delete_closed(l, tx, &err);
    }
    if (rc < 0) {
        direct_slice_free(s);
        queue_tx_drop(tx);
        direct_fail(l, &err);
        return;
    }
    commit(l, tx, s);
}

/* ---- what free slots will want next ---- */

/* So many as will leave while a commit is on its way, and one for each track, and no more: what
 * is ready when the process dies counts as in doubt although it never left. */
static uint32_t ahead_of(const struct lane_direct *l, const struct direct_server *s)
{
    int64_t ahead = pace_ahead(&s->pace), slots = s->pace.slots;
    int64_t usual_ms = MAX_OF(s->health.usual_ms, INT64_C(1));
    if (s->health.usual_ms > AHEAD_MS) {
        ahead = MIN_OF(ahead, slots * AHEAD_MS / usual_ms + l->tracks_n);
    } else if (ahead == slots) {
        ahead = MIN_OF(ahead + slots * l->commit_ms / usual_ms, AHEAD_MOST * slots);
    }
    return (uint32_t)ahead;
}

static uint32_t stock_of(const struct direct_server *s)
{
    return s->ready + s->writing;
}

static uint32_t stock_on(const struct direct_track *t)
{
    return t->ready.n + t->writing;
}

/* The one with the fewest calls here and there, of those not in `dry`; or POOL_TRACKS. What a
 * track has in stock no other can take, so none has more than its share. */
static unsigned idlest_track(const struct lane_direct *l, const struct direct_server *s,
                             uint32_t dry)
{
    unsigned least = POOL_TRACKS;
    uint32_t share = (ahead_of(l, s) + l->tracks_n - 1) / l->tracks_n;
    for (unsigned i = 0; i < l->tracks_n; i++) {
        const struct direct_track *a = &s->tracks[i];
        const struct direct_track *b = least < POOL_TRACKS ? &s->tracks[least] : NULL;
        if (!(dry >> i & 1) && stock_on(a) < share &&
            (!b || stock_on(a) + a->under_way < stock_on(b) + b->under_way)) {
            least = i;
        }
    }
    return least;
}

/* Half of what it may have is gone, or a track has nothing to follow what is under way. */
static bool wants_more(const struct lane_direct *l, const struct direct_server *s)
{
    bool wants = stock_of(s) * 2 <= ahead_of(l, s);
    for (unsigned i = 0; !wants && l->tracks_n > 1 && i < l->tracks_n; i++) {
        wants = stock_on(&s->tracks[i]) == 0;
    }
    return wants;
}

/* It is not made before its team could get the answer. */
static void keep_refused(struct lane_direct *l, struct call *c)
{
    struct err err;
    if (l->refused_n == l->refused_cap) {
        uint32_t cap = l->refused_cap ? 2 * l->refused_cap : 64;
        struct call **v = realloc(l->refused_calls, cap * sizeof(struct call *));
        if (!v) {
            err_set(&err, ERR_FAIL, "could not keep a call: out of memory");
            direct_fail(l, &err);
            return;
        }
        l->refused_calls = v;
        l->refused_cap = cap;
    }
    l->refused_calls[l->refused_n++] = c;
}

int lane_direct_go_on(struct lane_direct *l, struct err *err)
{
    uint32_t n = l->refused_n;
    int rc = 0;
    l->refused_n = 0;
    for (uint32_t i = 0; rc >= 0 && i < n; i++) {
        struct call *c = l->refused_calls[i];
        if (!c->cancelled && settle_refuses(l->conf.settle, c)) {
            l->refused_calls[l->refused_n++] = c;
        } else {
            rc = lane_direct_add(l, c, err);
        }
    }
    return rc;
}

/* Calls of cancelled runs end here, as far as settle has room; those of teams whose topics refuse
 * wait. */
static struct call *next_call(struct lane_direct *l, unsigned server, unsigned track,
                              bool *ret_twice)
{
    struct call *c = NULL;
    while (settle_room(l->conf.settle) && !l->failed &&
           (c = pool_next(l->pool, server, track, ret_twice))) {
        if (c->cancelled) {
            l->failed = settle_cancelled(l->conf.settle, c) < 0; /* settle has told why */
        } else if (settle_refuses(l->conf.settle, c)) {
            keep_refused(l, c);
        } else {
            return c;
        }
    }
    return NULL;
}

/* Slices being put together, one for each partition that calls came from. */
struct pulled {
    struct direct_slice *first; /* by their `next` */
    uint32_t n;                 /* calls in all of them */
};

static struct direct_slice *slice_for(struct lane_direct *l, struct pulled *p,
                                      const struct call *c)
{
    uint32_t partition = place_partition(c->jobs->at);
    struct direct_slice *s = p->first;
    while (s && s->partition != partition) {
        s = s->next;
    }
    if (!s && (s = direct_slice_new(l, partition, 1))) {
        s->next = p->first;
        p->first = s;
    }
    return s;
}

/* One for each server that wants one; false when no call was left for any. `dry` are the tracks
 * that have none. */
static bool pull_round(struct lane_direct *l, const bool *wants, uint32_t *dry,
                       struct pulled *p)
{
    bool more = false;
    for (unsigned i = 0; i < l->conf.servers_n && p->n < DIRECT_SLICE_MAX; i++) {
        const struct direct_server *server = &l->servers[i];
        unsigned track = idlest_track(l, server, dry[i]);
        bool twice = false;
        if (!wants[i] || track == POOL_TRACKS ||
            stock_of(server) >= ahead_of(l, server)) {
            continue;
        }
        struct call *c = next_call(l, i, track, &twice);
        struct direct_slice *s = c ? slice_for(l, p, c) : NULL;
        if (s) {
            direct_slice_add(l, s, c, i, track);
            s->calls[s->n - 1].twice = twice;
            p->n++;
        }
        dry[i] |= (uint32_t)!c << track;
        more = !l->failed;
    }
    return more;
}

static void write_pulled(struct lane_direct *l, struct pulled *p)
{
    while (p->first) {
        struct queue_tx *tx;
        struct direct_slice *s = p->first;
        p->first = s->next;
        s->next = NULL;
        if (!l->failed && direct_begin(l, &tx) == 0) {
            direct_write(l, s, tx);
        } else {
            direct_slice_free(s);
        }
    }
}

void direct_journal(struct lane_direct *l)
{
    bool wants[POOL_SERVERS_MAX] = {false}, any = false;
    uint32_t dry[POOL_SERVERS_MAX] = {0};
    for (unsigned i = 0; i < l->conf.servers_n; i++) {
        const struct direct_server *s = &l->servers[i];
        wants[i] = direct_is_up(l, s) && wants_more(l, s);
        any = any || wants[i];
    }
    while (any && !l->stop[0] && !l->failed && l->again.n == 0 &&
           pool_waiting(l->pool) > 0 && settle_room(l->conf.settle)) {
        struct pulled pulled = {0};
        while (pull_round(l, wants, dry, &pulled)) {
        }
        any = pulled.n == DIRECT_SLICE_MAX;
        write_pulled(l, &pulled);
    }
}

/* ---- lost: booked first, then made again ---- */

/* Those of the same partition and at the same try as the first; the others wait for their turn. */
static int book_some(struct lane_direct *l, struct direct_slice *s, struct queue_tx *tx)
{
    for (uint32_t n = l->lost.n; n > 0; n--) {
        struct direct_call *d = direct_queue_pop(&l->lost);
        struct call *c = d->call;
        if (s->n == DIRECT_SLICE_MAX || c->try_n + 1u != s->try_n ||
            place_partition(d->at) != s->partition) {
            direct_queue_add(&l->lost, d);
            continue;
        }
        if (settle_put_doubt(l->conf.settle, tx, c, d->why ? d->why : "", NULL) < 0) {
            l->failed = true; /* settle has told why */
            return -1;
        }
        c->try_n++;
        direct_slice_add(l, s, c, d->server, d->track);
        direct_end(l, d);
    }
    return 0;
}

void direct_book(struct lane_direct *l)
{
    struct queue_tx *tx;
    while (l->lost.n > 0 && !l->failed) {
        const struct direct_call *first = l->lost.first;
        struct direct_slice *s =
            direct_slice_new(l, place_partition(first->at), first->call->try_n + 1u);
        if (!s || direct_begin(l, &tx) < 0) {
            direct_slice_free(s);
            return;
        }
        if (book_some(l, s, tx) < 0) {
            queue_tx_drop(tx);
            direct_slice_free(s);
            return;
        }
        FAILPOINT("direct.book");
        direct_write(l, s, tx);
    }
}

/* ---- rows that have become void ---- */

void direct_sweep(struct lane_direct *l)
{
    struct queue_tx *tx;
    bool soon = pool_waiting(l->pool) > 0 && l->closed_n < CLOSED_MAX;
    if (l->closed && !l->commits && !soon && !l->failed && direct_begin(l, &tx) == 0) {
        direct_write(l, NULL, tx);
    }
}

void direct_abandon_commits(struct lane_direct *l)
{
    for (struct direct_commit *op = l->commits; op; op = op->next) {
        op->lane = NULL;
    }
    l->commits = NULL;
}

/* Of a slice only what may have been executed stays. */
static int keep_doubtful(struct lane_direct *l, const struct direct_slice *s,
                         struct queue_tx *tx, struct err *err)
{
    uint64_t at[DIRECT_SLICE_MAX];
    uint32_t n = 0;
    _cleanup_(buf_fini) struct buf json;
    buf_init(&json, JOURNAL_ROW_MAX);
    for (uint32_t i = 0; i < s->n; i++) {
        if (direct_is_doubtful(s->calls[i].state)) {
            at[n++] = s->calls[i].at;
        }
    }
    if (n == 0) {
        return journal_delete_entry(tx, s->partition, s->id, s->n, err);
    }
    if (direct_row_encode(l, s, n, &json) < 0) {
        return err_set(err, ERR_FAIL, "could not write the journal of slice '%s'", s->id);
    }
    int rc = journal_put_entry(tx, s->partition, s->id, buf_span(&json), err);
    return rc < 0 ? rc : journal_put_ats(tx, s->partition, s->id, at, n, err);
}

static void on_stopped(void *ctx, uint64_t number, const struct err *err)
{
    (void)ctx;
    (void)number;
    (void)err; /* what still stands there counts as in doubt: nothing is lost */
}

void lane_direct_stop(struct lane_direct *l)
{
    struct err err = {0};
    struct queue_tx *tx;
    if (l->failed || !l->started || (!l->slices && !l->closed) ||
        direct_begin(l, &tx) < 0) {
        return;
    }
    int rc = delete_closed(l, tx, &err);
    for (const struct direct_slice *s = l->slices; s && rc >= 0; s = s->next) {
        rc = queue_tx_full(tx, 0) ? 0 : keep_doubtful(l, s, tx, &err);
    }
    l->failed = true; /* nothing leaves after this */
    if (rc < 0) {
        queue_tx_drop(tx);
        return;
    }
    queue_commit(tx, on_stopped, NULL);
}
