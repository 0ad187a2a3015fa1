#include "worker/lane_batch.h"
#include "worker/lane_batch_int.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* ---- life ---- */

int lane_batch_create(struct lane_batch **ret, const struct lane_batch_conf *conf,
                      struct err *err)
{
    int rc = spool_prepare(conf->dir, err);
    if (rc < 0) {
        return rc;
    }
    struct lane_batch *l = calloc(1, sizeof(*l));
    if (!l || loop_timer_create(conf->loop, lane_turn, l, &l->timer) < 0 ||
        getrandom(&l->random, sizeof(l->random), 0) != sizeof(l->random)) {
        lane_batch_destroy(l);
        return err_set(err, ERR_FAIL, "could not create the batch lane: out of memory");
    }
    l->conf = *conf;
    l->random |= 1;
    l->recovering = true;
    l->silent_since_ms = -1;
    *ret = l;
    return 0;
}

struct lane_batch *lane_batch_destroy(struct lane_batch *l)
{
    if (!l) {
        return NULL;
    }
    lane_abandon_ops(l);
    loop_timer_destroy(l->timer);
    while (l->first) {
        struct batch *b = l->first;
        lane_unlink(l, b);
        batch_search_free(b->search);
        batch_reading_free(l, b);
        batch_destroy(b);
    }
    free(l);
    return NULL;
}

struct plan_limits lane_batch_limits(const struct batch_conf *conf,
                                     const struct provider *provider)
{
    uint64_t calls_max = MIN_OF(provider->batch_calls_max, (uint64_t)BATCH_CALLS_MAX);
    return (struct plan_limits){
        .requests = MIN_OF((uint64_t)conf->max_requests, calls_max),
        .bytes = MIN_OF((uint64_t)conf->max_bytes, provider->batch_bytes_max),
        .tokens = (uint64_t)conf->max_tokens};
}

void lane_link(struct lane_batch *l, struct batch *b)
{
    b->prev = l->last;
    b->next = NULL;
    *(l->last ? &l->last->next : &l->first) = b;
    l->last = b;
}

void lane_unlink(struct lane_batch *l, struct batch *b)
{
    *(b->prev ? &b->prev->next : &l->first) = b->next;
    *(b->next ? &b->next->prev : &l->last) = b->prev;
    b->next = b->prev = NULL;
}

uint64_t lane_random(struct lane_batch *l)
{
    l->random ^= l->random >> 12; /* xorshift64*: for jitter, nothing secret */
    l->random ^= l->random << 25;
    l->random ^= l->random >> 27;
    return l->random * UINT64_C(2685821657736338717);
}

int lane_new_batch(struct lane_batch *l, uint32_t calls, struct batch **ret,
                   struct err *err)
{
    uint8_t random[BATCH_RANDOM_BYTES];
    struct batch *b;
    int rc = batch_create(&b, calls, err);
    if (rc < 0) {
        return rc;
    }
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        batch_destroy(b);
        return err_set(err, ERR_FAIL, "could not draw an id for a batch");
    }
    b->created_ms = loop_wall_ms(l->conf.loop);
    b->go = 1;
    batch_id_format(b->created_ms, random, b->id);
    snprintf(b->account, sizeof(b->account), "%s", l->conf.account->fingerprint);
    snprintf(b->origin, sizeof(b->origin), "%s", l->conf.account->origin);
    *ret = b;
    return 0;
}

int lane_batch_submit(struct lane_batch *l, struct call **calls, uint32_t n,
                      struct err *err)
{
    struct batch *b;
    int rc = lane_new_batch(l, n, &b, err);
    if (rc < 0) {
        return rc;
    }
    const struct call_table *t = l->conf.calls;
    b->partition = call_stream_partition(t, calls[0]->stream);
    snprintf(b->path, sizeof(b->path), "%s", call_stream_path(t, calls[0]->stream));
    snprintf(b->model, sizeof(b->model), "%s", call_stream_model(t, calls[0]->stream));
    for (uint32_t i = 0; i < n && rc >= 0; i++) {
        rc = batch_add(b, calls[i], calls[i]->jobs->at, err);
    }
    if (rc >= 0) {
        rc = batch_move(b, BATCH_SEALED, err);
    }
    if (rc < 0) {
        batch_destroy(b);
        return rc;
    }
    lane_link(l, b);
    lane_kick(l);
    return 0;
}

/* ---- the turn ---- */

/* What the state waits for, started; the batch is busy after it, or due later, or waits for a
 * free slot or for room in settle and is looked at again when that changes. */
static void step(struct lane_batch *l, struct batch *b)
{
    if (lane_cancel(l, b)) {
        return;
    }
    switch (batch_rules[b->state].wait) {
    case BATCH_WAITS_SPOOL: (b->spooled ? lane_journal : lane_spool)(l, b); return;
    case BATCH_WAITS_UPLOAD: (b->spooled ? lane_upload : lane_spool)(l, b); return;
    case BATCH_WAITS_CREATE: (b->look == LOOK_NO ? lane_create : lane_look)(l, b); return;
    case BATCH_WAITS_END: (b->ended ? lane_download : lane_poll)(l, b); return;
    case BATCH_WAITS_FILES: lane_download(l, b); return;
    case BATCH_WAITS_MEMBERS:
        (b->state == BATCH_DEAD ? lane_end_dead : lane_collect)(l, b);
        return;
    case BATCH_WAITS_DUE: lane_retry(l, b); return;
    case BATCH_WAITS_CHILDREN: lane_split(l, b); return;
    case BATCH_WAITS_SEAL:
    case BATCH_WAITS_NOTHING: return;
    }
}

/* Nothing of the journal goes on before every entry's account is confirmed as ours. */
static bool unconfirmed(const struct lane_batch *l)
{
    for (const struct batch *b = l->first; b; b = b->next) {
        if (b->foreign) {
            return true;
        }
    }
    return false;
}

static uint64_t jobs_of(const struct batch *b)
{
    uint64_t jobs = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        jobs += b->calls[i] ? b->calls[i]->jobs_len : 0;
    }
    return jobs;
}

static void recover_on(struct lane_batch *l)
{
    if (l->recovering && !unconfirmed(l)) {
        l->recovering = false;
        for (const struct batch *b = l->first; b; b = b->next) {
            lane_event(l, b, "of an earlier command, goes on: %" PRIu64 " job%s",
                       jobs_of(b), PLURAL(jobs_of(b)));
        }
        l->conf.on_recovered(l->conf.ctx);
    }
}

void lane_turn(void *lane)
{
    struct lane_batch *l = lane;
    int64_t now_ms = loop_now_ms(l->conf.loop), next_ms = INT64_MAX;
    if (l->stopped) {
        return;
    }
    recover_on(l);
    for (struct batch *b = l->first; b && !l->failed; b = b->next) {
        if (!b->busy && b->due_ms <= now_ms && (!l->recovering || b->foreign)) {
            (b->foreign ? lane_probe : step)(l, b);
        }
        if (!b->busy && b->due_ms > now_ms) {
            next_ms = MIN_OF(next_ms, b->due_ms);
        }
    }
    if (l->stop[0] && l->first) {
        next_ms = MIN_OF(next_ms, MAX_OF(l->stop_until_ms, now_ms + 1));
    }
    if (next_ms != INT64_MAX && !l->failed) {
        loop_timer_start(l->timer, next_ms - now_ms);
    }
}

void lane_kick(struct lane_batch *l)
{
    if (!l->failed) {
        loop_timer_start(l->timer, 0);
    }
}

void lane_later(struct lane_batch *l, struct batch *b, int64_t after_ms)
{
    b->due_ms = loop_now_ms(l->conf.loop) + after_ms;
}

void lane_fail(struct lane_batch *l, const struct err *err)
{
    if (!l->failed) {
        l->failed = true;
        loop_timer_stop(l->timer);
        l->conf.on_stop(l->conf.ctx, err);
    }
}

static void tell(const struct lane_batch *l, const struct batch *b,
                 void (*to)(void *ctx, const char *subject, const char *text),
                 const char *text)
{
    char subject[BATCH_ID_BYTES + 8];
    snprintf(subject, sizeof(subject), "batch %s", b->id);
    to(l->conf.ctx, subject, text);
}

void lane_event(const struct lane_batch *l, const struct batch *b, const char *fmt, ...)
{
    char text[600];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    tell(l, b, l->conf.on_event, text);
}

void lane_step(const struct lane_batch *l, const struct batch *b, const char *words)
{
    char text[PROMPT_MODEL_MAX + BATCH_REF_MAX + 100];
    uint64_t jobs = jobs_of(b);
    int n =
        snprintf(text, sizeof(text), "%s, %" PRIu64 " job%s", words, jobs, PLURAL(jobs));
    if (b->state == BATCH_SETTLED) { /* its jobs are gone */
        snprintf(text, sizeof(text), "%s, %u call%s", words, b->n, PLURAL(b->n));
    } else if (b->state == BATCH_JOURNALED) {
        snprintf(text + n, sizeof(text) - (size_t)n, " in %u call%s of '%s'", b->n,
                 PLURAL(b->n), b->model);
    } else if (b->state == BATCH_SUBMITTED) {
        snprintf(text + n, sizeof(text) - (size_t)n, ", as %s", b->remote);
    }
    tell(l, b, l->conf.on_step, text);
}

/* ---- what others tell and ask ---- */

void lane_batch_on_settle_room(struct lane_batch *l)
{
    lane_kick(l);
}

void lane_batch_on_committed(struct lane_batch *l, struct call *c)
{
    struct batch *b = c->batch;
    if (b) {
        batch_fate(b, c->index, FATE_ENDED);
        if (b->count[FATE_SETTLING] == 0) {
            lane_kick(l);
        }
    }
}

void lane_batch_drain(struct lane_batch *l)
{
    l->draining = true;
}

void lane_batch_stop(struct lane_batch *l)
{
    l->stopped = true;
}

bool lane_batch_quiet(const struct lane_batch *l)
{
    return !l->ops;
}

bool lane_batch_idle(const struct lane_batch *l)
{
    return !l->first && !l->ops && !l->recovering;
}

static bool is_polled(const struct batch *b)
{
    return batch_rules[b->state].wait == BATCH_WAITS_END;
}

unsigned lane_batch_polls(const struct lane_batch *l, struct lane_poll *ret, unsigned max)
{
    unsigned n = 0;
    for (const struct batch *b = l->first; b && n < max; b = b->next) {
        if (is_polled(b)) {
            memcpy(ret[n].id, b->id, sizeof(ret[n].id));
            ret[n++].at_ms = b->due_ms;
        }
    }
    return n;
}

void lane_batch_status(const struct lane_batch *l, struct lane_status *ret)
{
    *ret = (struct lane_status){
        .uploads = l->uploads, .creates = l->creates, .polls = l->polls};
    for (const struct batch *b = l->first; b; b = b->next) {
        uint64_t open = b->n - b->count[FATE_ENDED];
        ret->by_state[b->state]++;
        ret->calls_in_batches += open;
        ret->calls_sent += b->remote[0] ? open : 0;
        if (is_polled(b) && (ret->next_poll_ms == 0 || b->due_ms < ret->next_poll_ms)) {
            ret->next_poll_ms = b->due_ms;
        }
    }
    if (l->stop[0]) {
        ret->account_stop = l->stop;
        ret->account_stop_hint = l->stop_hint;
        ret->account_stop_code = l->stop_code;
    }
}
