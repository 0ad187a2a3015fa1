#include "worker/settle.h"

#include "worker/settle_slice.h"
#include "core/headers.h"
#include "core/loop.h"
#include "core/prices.h"
#include <stdio.h>
#include <stdlib.h>

#define FOLLOW_STEP     1000               /* joiners settled in one turn */
#define FAILURE_COPY    ((size_t)64 << 10) /* of a refusal that joiners will get too */
#define SPEND_BYTES_MAX ((size_t)64 << 10)
#define ANSWER_BYTES    (ANSWER_BODY_MAX + 4096)

/* ---- the job's own record ---- */

int settle_fetch(struct settle *s, uint64_t at, struct release *ret,
                 struct span *ret_line)
{
    struct err err = {0};
    struct queue_msg msg;
    const struct queue_at record = place_at(at);
    int rc = queue_fetch(s->ready, &record, &msg, &err);
    if (rc > 0 && (!ret || release_decode(msg.headers, ret) == 0)) {
        *ret_line = msg.value;
        return 0;
    }
    if (rc >= 0) {
        err_set(&err, ERR_FAIL, "could not settle job %llu of '%s': its record is %s",
                (unsigned long long)record.offset, TOPIC_READY,
                rc ? "not readable" : "gone");
        err_hint(&err, "offpeak doctor");
    }
    return settle_stop(s, &err);
}

/* ---- leaders ---- */

struct leader {
    struct call *call;
    struct job *job;
    struct release release;
    struct span line;
};

static int take_leader(struct settle *s, struct call *c, struct leader *ret)
{
    c->state = CALL_SETTLING;
    ret->call = c;
    ret->job = call_pop_job(s->conf.calls, c);
    return settle_fetch(s, ret->job->at, &ret->release, &ret->line);
}

static int end_leader(struct settle *s, const struct leader *l, struct outcome *o,
                      const struct stored_answer *store, struct done *done)
{
    struct err err = {0};
    if (!done) {
        err_set(&err, ERR_FAIL, "could not settle a job: out of memory");
        return settle_stop(s, &err);
    }
    done->job = l->job;
    const struct ending e = {.at = l->job->at,
                             .release = &l->release,
                             .line = l->line,
                             .outcome = o,
                             .store = store,
                             .done = done};
    return settle_job(s, &e);
}

static struct done *done_new(struct call *c, enum joiners joiners)
{
    struct done *d = calloc(1, sizeof(*d));
    if (d) {
        d->call = c;
        d->joiners = joiners;
    }
    return d;
}

/* Joiners may come until the commit, so the failure is kept until then. */
static struct done *done_with_failure(struct call *c, const struct answer *a)
{
    struct done *d = done_new(c, JOINERS_SAME);
    if (!d || !c->reusable) {
        return d;
    }
    d->failure = *a;
    d->failure.body = a->body.n <= FAILURE_COPY ? a->body : SPAN_NONE;
    d->failure.error = a->error.n <= FAILURE_COPY ? a->error : SPAN_NONE;
    d->bytes = malloc(d->failure.body.n + d->failure.error.n + 1);
    if (!d->bytes) {
        return done_free(d);
    }
    struct span *parts[] = {&d->failure.body, &d->failure.error};
    for (size_t i = 0, at = 0; i < ARRAY_LEN(parts); i++) {
        if (parts[i]->n) {
            memcpy(d->bytes + at, parts[i]->p, parts[i]->n);
            parts[i]->p = d->bytes + at;
            at += parts[i]->n;
        }
    }
    return d;
}

static void make_stored(const struct settle *s, const struct release *r,
                        const struct answer *a, struct stored_answer *ret)
{
    int64_t now = loop_wall_ms(s->conf.loop);
    *ret = (struct stored_answer){
        .stored_ms = now,
        .expires_ms = s->conf.cache_ttl_ms > INT64_MAX - now ? INT64_MAX
                                                             : now + s->conf.cache_ttl_ms,
        .usage_known = a->usage_known,
        .usage = a->usage,
        .body = a->body,
    };
    snprintf(ret->run, sizeof(ret->run), "%s/%s", r->feature, r->run);
    snprintf(ret->model, sizeof(ret->model), "%s", r->model);
    snprintf(ret->model_used, sizeof(ret->model_used), "%s", a->model_used);
    snprintf(ret->request_id, sizeof(ret->request_id), "%s", a->request_id);
    snprintf(ret->prices, sizeof(ret->prices), "%s",
             price_book_version(settle_pricing(s, r->lane).book));
}

int settle_answer(struct settle *s, struct call *c, const struct answer *a,
                  const struct origin *o)
{
    struct leader l;
    struct outcome outcome;
    struct stored_answer stored;
    struct pricing p;
    if (take_leader(s, c, &l) < 0) {
        return -1;
    }
    p = settle_pricing(s, l.release.lane);
    outcome_answer(&p, &l.release, a, o->batch, &outcome);
    outcome.try_n = c->try_n;
    bool whole = a->complete && a->vectors == l.release.inputs;
    bool keep = whole && c->reusable && a->body.n && a->body.n <= ANSWER_BODY_MAX;
    if (keep) {
        make_stored(s, &l.release, a, &stored);
    }
    return end_leader(s, &l, &outcome, keep ? &stored : NULL,
                      done_new(c, keep ? JOINERS_HIT : JOINERS_REPLAN));
}

int settle_failed(struct settle *s, struct call *c, const struct answer *a,
                  const struct origin *o, bool deterministic)
{
    struct leader l;
    struct outcome outcome;
    struct pricing p;
    if (take_leader(s, c, &l) < 0) {
        return -1;
    }
    p = settle_pricing(s, l.release.lane);
    outcome_failure(&p, &l.release, a, o->batch, &outcome);
    outcome.try_n = c->try_n;
    return end_leader(s, &l, &outcome, NULL,
                      deterministic ? done_with_failure(c, a)
                                    : done_new(c, JOINERS_REPLAN));
}

int settle_in_doubt(struct settle *s, struct call *c, const char *why,
                    const struct origin *o)
{
    struct leader l;
    struct outcome outcome;
    if (take_leader(s, c, &l) < 0) {
        return -1;
    }
    outcome_doubt(&l.release, why, o->batch, &outcome);
    outcome.try_n = c->try_n;
    return end_leader(s, &l, &outcome, NULL, done_new(c, JOINERS_REPLAN));
}

int settle_cancelled(struct settle *s, struct call *c)
{
    struct leader l;
    struct outcome outcome;
    call_hide(s->conf.calls, c);
    if (take_leader(s, c, &l) < 0) {
        return -1;
    }
    l.release.verdict = VERDICT_CANCELLED;
    snprintf(l.release.why, sizeof(l.release.why), "%s", CANCELLED_WHY);
    outcome_verdict(&l.release, &outcome);
    return end_leader(s, &l, &outcome, NULL, done_new(c, JOINERS_AGAIN));
}

int settle_put_doubt(struct settle *s, struct queue_tx *tx, const struct call *c,
                     const char *why, const char *account)
{
    struct err err = {0};
    struct release r;
    struct outcome outcome;
    struct ending e = {.at = c->jobs->at, .release = &r, .outcome = &outcome};
    if (settle_fetch(s, e.at, &r, &e.line) < 0) {
        return -1;
    }
    outcome_doubt(&r, why, NULL, &outcome);
    outcome.try_n = c->try_n;
    outcome.again = true;
    return settle_put_spend(s, tx, &e, account, &err) < 0 ? settle_stop(s, &err) : 0;
}

/* ---- jobs without a call ---- */

int settle_verdict(struct settle *s, uint64_t at, const struct release *r)
{
    struct outcome outcome;
    struct ending e = {.at = at, .release = r, .outcome = &outcome};
    if (settle_fetch(s, at, NULL, &e.line) < 0) {
        return -1;
    }
    outcome_verdict(r, &outcome);
    return settle_job(s, &e);
}

static int hit(struct settle *s, uint64_t at, const struct release *r,
               const struct stored_answer *a, bool flight)
{
    struct outcome outcome;
    struct pricing p = settle_pricing(s, r->lane);
    struct ending e = {.at = at, .release = r, .outcome = &outcome};
    if (settle_fetch(s, at, NULL, &e.line) < 0) {
        return -1;
    }
    outcome_hit(&p, r, a, flight, &outcome);
    return settle_job(s, &e);
}

int settle_hit(struct settle *s, uint64_t at, const struct release *r,
               const struct stored_answer *a)
{
    return hit(s, at, r, a, false);
}

int settle_ack(struct settle *s, uint64_t at)
{
    struct err err = {0};
    struct part *part = NULL;
    const struct queue_at record = place_at(at);
    if (settle_slice_for(s, "", 0, &part) < 0) {
        return -1;
    }
    if (queue_ack(part->tx, &record, &err) < 0) {
        return settle_stop(s, &err);
    }
    settle_slice_added(s, part, 0);
    return 0;
}

/* ---- joiners ---- */

static int replan(struct settle *s, uint64_t at, const struct release *r)
{
    struct err err = {0};
    struct call *c = call_new(s->conf.calls, r, at);
    if (!c) {
        err_set(&err, ERR_FAIL, "could not plan job '%s' again: out of memory", r->job);
        return settle_stop(s, &err);
    }
    s->conf.on_replan(s->conf.ctx, c);
    return 0;
}

static int follow_hit(struct settle *s, uint64_t at, const struct release *r)
{
    static const struct answer_want any = {.now_ms = INT64_MIN, .fresh_ms = INT64_MIN};
    struct err err = {0};
    struct stored_answer a;
    int rc = answer_get(s->answers, place_partition(at), &r->key, &any, &a, &err);
    if (rc < 0) {
        return settle_stop(s, &err);
    }
    return rc ? hit(s, at, r, &a, true) : replan(s, at, r);
}

static int follow_failure(struct settle *s, uint64_t at, const struct release *r,
                          struct span line, const struct done *d)
{
    struct outcome outcome;
    struct ending e = {.at = at, .release = r, .line = line, .outcome = &outcome};
    outcome_same_failure(&d->failure, &outcome);
    return settle_job(s, &e);
}

static int follow_again(struct settle *s, uint64_t at, const struct release *r)
{
    struct err err = {0};
    struct call *c = r->reusable ? call_find(s->conf.calls, &r->key) : NULL;
    if (!c) {
        return replan(s, at, r);
    }
    if (call_join(s->conf.calls, c, at) < 0) {
        err_set(&err, ERR_FAIL, "could not plan job '%s' again: out of memory", r->job);
        return settle_stop(s, &err);
    }
    return 0;
}

/* The first job that joined the call. */
static int follow(struct settle *s, struct done *d)
{
    struct release r;
    struct span line;
    struct job *j = call_pop_job(s->conf.calls, d->call);
    uint64_t at = j->at;
    call_job_free(s->conf.calls, j);
    if (settle_fetch(s, at, &r, &line) < 0) {
        return -1;
    }
    switch (d->joiners) {
    case JOINERS_HIT: return follow_hit(s, at, &r);
    case JOINERS_SAME: return follow_failure(s, at, &r, line, d);
    case JOINERS_REPLAN: return replan(s, at, &r);
    case JOINERS_AGAIN: return follow_again(s, at, &r);
    }
    return -1;
}

static void follow_some(struct settle *s)
{
    for (int i = 0; i < FOLLOW_STEP && s->follow.first && settle_room(s); i++) {
        struct done *d = s->follow.first;
        if (follow(s, d) < 0) {
            return;
        }
        if (!d->call->jobs) {
            call_free(s->conf.calls, d->call);
            done_free(done_list_pop(&s->follow));
        }
    }
    if (s->follow.first && settle_room(s)) {
        loop_timer_start(s->tick, 0);
    }
}

void settle_committed(struct settle *s, struct done_list *done)
{
    for (struct done *d; (d = done_list_pop(done));) {
        s->conf.on_committed(s->conf.ctx, d->call);
        call_job_free(s->conf.calls, TAKE_PTR(d->job));
        d->call->batch = NULL;
        if (d->call->jobs) {
            done_list_add(&s->follow, d);
        } else {
            call_free(s->conf.calls, d->call);
            done_free(d);
        }
    }
    settle_slice_commit(s);
    settle_again(s); /* what had no room before */
    follow_some(s);
    if (s->open && !s->flight) {
        loop_timer_start(s->tick, 0);
    }
    if (s->full && settle_room(s)) {
        s->full = false;
        s->conf.on_room(s->conf.ctx);
    }
}

static void on_tick(void *ctx)
{
    struct settle *s = ctx;
    if (s->failed) {
        return;
    }
    follow_some(s);
    if (!s->flight) {
        settle_slice_seal(s);
    }
}

/* ---- life ---- */

bool settle_room(const struct settle *s)
{
    return !s->failed && s->waiting_n == 0;
}

bool settle_idle(const struct settle *s)
{
    return !s->open && !s->waiting && !s->flight && !s->follow.first;
}

void settle_counts(const struct settle *s, struct settle_counts *ret)
{
    *ret = s->counts;
}

static void init(struct settle *s, const struct settle_conf *conf)
{
    s->conf = *conf;
    s->waiting_tail = &s->waiting;
    done_list_init(&s->follow);
    buf_init(&s->head, HEADERS_BYTES_MAX);
    buf_init(&s->result, QUEUE_VALUE_MAX);
    buf_init(&s->spend_head, HEADERS_BYTES_MAX);
    buf_init(&s->spend, SPEND_BYTES_MAX);
    buf_init(&s->answer, ANSWER_BYTES);
}

int settle_create(struct settle **ret, const struct settle_conf *conf, struct err *err)
{
    struct settle *s = calloc(1, sizeof(*s));
    if (!s) {
        return err_set(err, ERR_FAIL, "could not create settle: out of memory");
    }
    init(s, conf);
    if (loop_timer_create(conf->loop, on_tick, s, &s->tick) < 0) {
        settle_destroy(s);
        return err_set(err, ERR_FAIL, "could not create settle: out of memory");
    }
    int rc = queue_cursor_open(conf->queue, &s->ready, err);
    if (rc >= 0) {
        rc = queue_cursor_open(conf->queue, &s->answers, err);
    }
    if (rc < 0) {
        settle_destroy(s);
        return rc;
    }
    *ret = s;
    return 0;
}

/* What was not committed is dropped: it is unacked and will be delivered again. */
struct settle *settle_destroy(struct settle *s)
{
    if (!s) {
        return NULL;
    }
    settle_slice_free(s->open);
    while (s->waiting) {
        struct slice *slice = s->waiting;
        s->waiting = slice->next;
        settle_slice_free(slice);
    }
    while (s->held) {
        struct part *part = s->held;
        s->held = part->next;
        settle_part_free(part);
    }
    if (s->flight) {
        s->flight->settle = NULL;
    }
    for (struct done *d; (d = done_list_pop(&s->follow));) {
        done_free(d);
    }
    queue_cursor_close(s->ready);
    queue_cursor_close(s->answers);
    loop_timer_destroy(s->tick);
    struct buf *bufs[] = {&s->head, &s->result, &s->spend_head, &s->spend, &s->answer};
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++) {
        buf_fini(bufs[i]);
    }
    free(s);
    return NULL;
}
