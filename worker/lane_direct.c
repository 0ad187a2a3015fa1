#include "worker/lane_direct.h"
#include "worker/direct.h"

#include "worker/journal.h"
#include "worker/released.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* ---- queues ---- */

void direct_queue_init(struct direct_queue *q)
{
    *q = (struct direct_queue){.tail = &q->first};
}

void direct_queue_add(struct direct_queue *q, struct direct_call *d)
{
    d->next = NULL;
    *q->tail = d;
    q->tail = &d->next;
    q->n++;
}

struct direct_call *direct_queue_pop(struct direct_queue *q)
{
    struct direct_call *d = q->first;
    if (d) {
        q->first = d->next;
        q->tail = q->first ? q->tail : &q->first;
        q->n--;
        d->next = NULL;
    }
    return d;
}

void direct_ready_add(struct direct_server *s, struct direct_call *d)
{
    direct_queue_add(&s->tracks[d->track].ready, d);
    s->ready++;
}

struct direct_call *direct_ready_pop(struct direct_server *s, uint32_t most)
{
    struct direct_track *least = NULL;
    for (unsigned i = 0; i < POOL_TRACKS; i++) {
        struct direct_track *t = &s->tracks[i];
        if (t->ready.n > 0 && t->under_way < most &&
            (!least || t->under_way < least->under_way)) {
            least = t;
        }
    }
    s->ready -= least != NULL;
    return least ? direct_queue_pop(&least->ready) : NULL;
}

/* ---- life ---- */

static int make_servers(struct lane_direct *l)
{
    const struct direct_conf *d = l->conf.direct;
    l->servers = calloc(l->conf.servers_n, sizeof(*l->servers));
    for (unsigned i = 0; l->servers && i < l->conf.servers_n; i++) {
        struct direct_server *s = &l->servers[i];
        uint32_t most = (uint32_t)d->concurrency;
        s->base_url = l->conf.servers[i];
        pace_init(&s->pace, d->adapts ? PACE_FIRST : most, most,
                  loop_now_ms(l->conf.loop));
        for (unsigned t = 0; t < POOL_TRACKS; t++) {
            direct_queue_init(&s->tracks[t].ready);
        }
    }
    l->tracks_n = d->moves ? (unsigned)MIN_OF(d->concurrency, POOL_TRACKS) : 1;
    l->on_track = ((uint32_t)d->concurrency + l->tracks_n - 1) / l->tracks_n;
    l->conf.servers = NULL; /* the list was the caller's; its texts stay */
    return l->servers ? 0 : -1;
}

static int make_all(struct lane_direct *l, struct err *err)
{
    const struct pool_conf pool = {.servers = l->conf.servers_n,
                                   .slots = (uint32_t)l->conf.direct->concurrency};
    if (make_servers(l) < 0 ||
        loop_timer_create(l->conf.loop, direct_turn, l, &l->timer) < 0 ||
        getrandom(&l->random, sizeof(l->random), 0) != sizeof(l->random)) {
        return err_set(err, ERR_FAIL, "could not create lane '%s': out of memory",
                       lane_name(l->conf.lane));
    }
    l->random |= 1;
    int rc = pool_create(&l->pool, &pool, err);
    return rc < 0 ? rc : queue_cursor_open(l->conf.queue, &l->cursor, err);
}

int lane_direct_create(struct lane_direct **ret, const struct lane_direct_conf *conf,
                       struct err *err)
{
    struct lane_direct *l = calloc(1, sizeof(*l));
    if (!l) {
        return err_set(err, ERR_FAIL, "could not create a lane: out of memory");
    }
    l->conf = *conf;
    l->silent_since_ms = -1;
    struct direct_queue *const queues[] = {&l->again, &l->due, &l->lost};
    for (size_t i = 0; i < ARRAY_LEN(queues); i++) {
        direct_queue_init(queues[i]);
    }
    buf_init(&l->text, QUEUE_VALUE_MAX);
    int rc = make_all(l, err);
    if (rc < 0) {
        lane_direct_destroy(l);
        return rc;
    }
    *ret = l;
    return 0;
}

void lane_direct_start(struct lane_direct *l)
{
    l->started = true;
    direct_kick(l);
}

struct lane_direct *lane_direct_destroy(struct lane_direct *l)
{
    if (!l) {
        return NULL;
    }
    direct_abandon_flights(l);
    direct_abandon_commits(l);
    while (l->slices) {
        struct direct_slice *s = l->slices;
        l->slices = s->next;
        direct_slice_free(s);
    }
    while (l->closed) {
        struct direct_rows *rows = l->closed;
        l->closed = rows->next;
        free(rows);
    }
    direct_entries_free(l);
    loop_timer_destroy(l->timer);
    queue_cursor_close(l->cursor);
    pool_destroy(l->pool);
    buf_fini(&l->text);
    free(l->refused_calls);
    free(l->servers);
    free(l);
    return NULL;
}

bool direct_is_up(const struct lane_direct *l, const struct direct_server *s)
{
    return !l->conf.direct->moves || !s->health.down;
}

/* ---- the end of a call, and of its slice ---- */

/* The rows go later; what they say is over. */
static void close_slice(struct lane_direct *l, struct direct_slice *s)
{
    struct direct_rows *rows = calloc(1, sizeof(*rows));
    if (!rows) {
        struct err err;
        err_set(&err, ERR_FAIL, "could not close slice '%s': out of memory", s->id);
        direct_fail(l, &err);
        return;
    }
    memcpy(rows->id, s->id, sizeof(rows->id));
    rows->partition = s->partition;
    rows->n = s->n;
    rows->next = l->closed;
    l->closed = rows;
    l->closed_n++;
    *(s->prev ? &s->prev->next : &l->slices) = s->next;
    if (s->next) {
        s->next->prev = s->prev;
    }
    direct_slice_free(s);
}

void direct_end(struct lane_direct *l, struct direct_call *d)
{
    struct direct_slice *s = d->slice;
    d->state = DIRECT_ENDED;
    d->call = NULL;
    if (--s->open == 0) {
        close_slice(l, s);
    }
}

/* ---- the turn ---- */

/* Calls whose time has come may leave from any server. */
static int64_t wake_due(struct lane_direct *l)
{
    struct direct_queue all = l->due;
    int64_t now_ms = loop_now_ms(l->conf.loop), next_ms = INT64_MAX;
    direct_queue_init(&l->due);
    for (struct direct_call *d = all.first, *next; d; d = next) {
        next = d->next;
        if (d->due_ms <= now_ms) {
            d->state = DIRECT_READY;
            direct_queue_add(&l->again, d);
        } else {
            next_ms = MIN_OF(next_ms, d->due_ms);
            direct_queue_add(&l->due, d);
        }
    }
    return next_ms;
}

void direct_turn(void *lane)
{
    struct lane_direct *l = lane;
    if (!l->started || l->failed) {
        return;
    }
    direct_go_on(l);
    int64_t due_ms = MIN_OF(wake_due(l), direct_health(l));
    direct_book(l);
    if (!l->draining) {
        direct_journal(l);
    }
    int64_t send_ms = direct_send(l);
    direct_sweep(l);
    int64_t next_ms = MIN_OF(due_ms, send_ms), now_ms = loop_now_ms(l->conf.loop);
    if (next_ms != INT64_MAX && !l->failed) {
        loop_timer_start(l->timer, MAX_OF(next_ms - now_ms, INT64_C(1)));
    }
}

void direct_kick(struct lane_direct *l)
{
    if (l->started && !l->failed) {
        loop_timer_start(l->timer, 0);
    }
}

void direct_fail(struct lane_direct *l, const struct err *err)
{
    if (!l->failed) {
        l->failed = true;
        loop_timer_stop(l->timer);
        l->conf.on_stop(l->conf.ctx, err);
    }
}

void direct_event(const struct lane_direct *l, const char *fmt, ...)
{
    char text[600];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    l->conf.on_event(l->conf.ctx, lane_name(l->conf.lane), text);
}

uint64_t direct_random(struct lane_direct *l)
{
    l->random ^= l->random >> 12; /* xorshift64*: for jitter, nothing secret */
    l->random ^= l->random << 25;
    l->random ^= l->random >> 27;
    return l->random * UINT64_C(2685821657736338717);
}

/* ---- what others tell and ask ---- */

int lane_direct_add(struct lane_direct *l, struct call *c, struct err *err)
{
    struct pool_ask ask = {0};
    struct released job;
    int rc = 0;
    if (l->conf.direct->moves) { /* elsewhere their order is all the same */
        rc = released_read(l->cursor, c->jobs->at, &job, err);
        ask = rc < 0 ? ask : pool_ask_of(job.body);
    }
    rc = rc < 0 ? rc : pool_add(l->pool, c, &ask, err);
    direct_kick(l);
    return rc;
}

void lane_direct_on_settle_room(struct lane_direct *l)
{
    direct_kick(l);
}

void lane_direct_on_committed(struct lane_direct *l, struct call *c)
{
    struct direct_call *d = c->direct;
    if (d) {
        c->direct = NULL;
        direct_end(l, d);
        direct_kick(l);
    }
}

bool lane_direct_idle(const struct lane_direct *l)
{
    return l->started && !l->slices && !l->entries && !l->closed && !l->commits &&
           !l->flights && pool_waiting(l->pool) == 0;
}

void lane_direct_drain(struct lane_direct *l)
{
    l->draining = true;
}

/* The same as lane_direct_stop leaves in the journal. */
static uint32_t count_doubtful(const struct lane_direct *l)
{
    uint32_t n = 0;
    for (const struct direct_slice *s = l->slices; s; s = s->next) {
        for (uint32_t i = 0; i < s->n; i++) {
            n += direct_is_doubtful(s->calls[i].state);
        }
    }
    return n;
}

bool lane_direct_quiet(const struct lane_direct *l, uint32_t held)
{
    return !l->commits && count_doubtful(l) <= held;
}

void lane_direct_status(const struct lane_direct *l, struct direct_status *ret)
{
    *ret = (struct direct_status){
        .waiting = pool_waiting(l->pool),
        .ready = l->again.n + l->due.n + l->lost.n,
        .doubtful = count_doubtful(l),
        .sent = l->sent,
        .refused = l->refused,
        .lost = l->lost_n,
        .account_stop = l->stop[0] ? l->stop : NULL,
        .account_stop_hint = l->stop_hint,
        .account_stop_code = l->stop_code,
    };
    for (unsigned i = 0; i < l->conf.servers_n; i++) {
        ret->ready += l->servers[i].ready;
        ret->under_way += l->servers[i].under_way;
    }
}
