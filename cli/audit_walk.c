/*
 * audit_walk.c - ready and spend, merged as the scheduler met them.
 *
 * Releases come in the order of their commits, over all partitions of ready. Before each, the spend
 * records are applied that it had seen. What a charge does is what DESIGN says a settlement does: a
 * final one ends what is left of the reservation, a try in doubt takes its part; each counts once.
 */
#include "cli/audit_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct stream { /* one partition of ready, or spend */
    const struct audit_log *log;
    struct queue_cursor *cur;
    struct queue_msg msg; /* its next record, when `has` */
    bool has;
};

struct walk {
    struct audit *a;
    struct stream *ready; /* one a partition */
    struct stream spend;
    uint64_t seen_budgets, seen_spend;
};

static int advance(struct stream *s, struct err *err)
{
    int rc = queue_read(s->cur, &s->msg, err);
    s->has = rc > 0 && s->msg.at.offset < s->log->end;
    return rc < 0 ? rc : 0;
}

static int open_stream(struct audit *a, struct stream *s, const struct audit_log *log,
                       struct err *err)
{
    s->log = log;
    int rc = queue_cursor_open(a->conf->queue, &s->cur, err);
    if (rc >= 0) {
        rc = queue_read_topic(s->cur, log->topic, log->partition, log->first);
    }
    return rc < 0 ? rc : advance(s, err);
}

/* ---- releases ---- */

static void differ_release(struct audit *a, enum audit_kind kind, const struct release *r,
                           const struct queue_msg *msg, const char *expected,
                           const char *found)
{
    char where[AUDIT_TEXT_MAX], at[AUDIT_TEXT_MAX];
    snprintf(where, sizeof(where), "job %s, %s", r->job, audit_at(&msg->at, at));
    audit_differs(a, kind, where, expected, found);
}

/* What a release had seen never shrinks, and exists. */
static void check_seen(struct walk *w, const struct release *r,
                       const struct queue_msg *msg)
{
    char e[AUDIT_TEXT_MAX], f[AUDIT_TEXT_MAX];
    if (r->seen_budgets < w->seen_budgets || r->seen_spend < w->seen_spend) {
        snprintf(e, sizeof(e),
                 "budgets to commit %" PRIu64 ", spend to offset %" PRIu64 " at least",
                 w->seen_budgets, w->seen_spend);
    } else if (r->seen_spend > w->a->spend.end) {
        snprintf(e, sizeof(e), "spend to offset %" PRIu64 " at most", w->a->spend.end);
    } else {
        w->seen_budgets = r->seen_budgets;
        w->seen_spend = r->seen_spend;
        return;
    }
    snprintf(f, sizeof(f), "%" PRIu64 ", %" PRIu64, r->seen_budgets, r->seen_spend);
    differ_release(w->a, AUDIT_SEEN, r, msg, e, f);
}

static bool fits_job(struct audit *a, const struct audit_job *job,
                     const struct release *r, const struct queue_msg *msg, int64_t ms,
                     uint64_t run)
{
    const struct {
        const char *what;
        uint64_t of_job, of_release;
    } facts[] = {{"time", (uint64_t)job->ms, (uint64_t)ms},
                 {"run", job->run, run + 1},
                 {"attempt", job->attempt, r->attempt},
                 {"line", job->line, r->line}};
    for (unsigned i = 0; i < ARRAY_LEN(facts); i++) {
        if (facts[i].of_job != facts[i].of_release) {
            char e[64], f[64];
            snprintf(e, sizeof(e), "%s %" PRIu64, facts[i].what, facts[i].of_job);
            snprintf(f, sizeof(f), "%" PRIu64, facts[i].of_release);
            differ_release(a, AUDIT_RELEASE_OF_ANOTHER, r, msg, i == 1 ? "its run" : e,
                           i == 1 ? r->run : f);
            return false;
        }
    }
    return true;
}

static uint64_t custom_id_of(const struct release *r, struct span line)
{
    bool fits = r->id_len >= 2 && r->id_at <= line.n && r->id_len <= line.n - r->id_at;
    return fits ? audit_digest(span_of(line.p + r->id_at, r->id_len)) : 0;
}

static void fill(struct audit_job *job, const struct release *r,
                 const struct queue_msg *msg, int64_t ms, uint64_t run)
{
    if (!(job->has & HAS_JOB)) {
        job->ms = ms;
        job->run = run + 1;
        job->attempt = (uint32_t)r->attempt;
        job->line = r->line;
        job->outcome = -1;
    }
    job->has |= HAS_RELEASE;
    job->verdict = (uint8_t)r->verdict;
    job->release = place_of(msg->at.partition, msg->at.offset);
    job->day = audit_day(r->day);
    job->reserved = job->held = job->open_expected = r->reserved;
    job->custom_id = custom_id_of(r, msg->value);
}

static int place_release(struct walk *w, const struct audit_log *log,
                         const struct queue_msg *msg, const struct release *r,
                         struct err *err)
{
    struct audit *a = w->a;
    uint64_t offset, run;
    int64_t ms;
    struct audit_log *q = audit_job_place(a, r->job, &offset, &ms);
    if (!q) {
        differ_release(a, AUDIT_RELEASE_WITHOUT_JOB, r, msg, "a job that there is",
                       "none");
        return 0;
    }
    int rc = audit_run_of(a, q->team, q->feature, r->run, &run, err);
    struct audit_job *job = rc < 0 ? NULL : slots_at(a->job, q->base + offset, err);
    struct audit_ready *in = job ? slots_at(a->in_ready, log->base + msg->at.offset, err)
                                 : NULL;
    if (!in) {
        return -ERR_FAIL;
    }
    in->job = q->base + offset + 1;
    if (job->has & HAS_RELEASE) {
        a->counts.folded++;
        return 0;
    }
    if (job->has & HAS_JOB && !fits_job(a, job, r, msg, ms, run)) {
        return 0;
    }
    fill(job, r, msg, ms, run);
    q->lowest = MIN_OF(q->lowest, offset);
    q->frontier = MAX_OF(q->frontier, offset + 1);
    a->counts.releases += r->verdict == VERDICT_RUN;
    return r->verdict == VERDICT_RUN ? audit_book_release(a, q, r, msg, run, err) : 0;
}

/* ---- charges ---- */

static void differ_charge(struct audit *a, enum audit_kind kind,
                          const struct spend_head *h, const struct queue_msg *msg,
                          const char *expected, const char *found)
{
    char where[AUDIT_TEXT_MAX], at[AUDIT_TEXT_MAX];
    snprintf(where, sizeof(where), "job %s, %s", h->job, audit_at(&msg->at, at));
    audit_differs(a, kind, where, expected, found);
}

/* One that is not final: a try in doubt, or a correction. 1 the first time. */
static int first_time(struct audit *a, const struct spend_head *h,
                      const struct queue_msg *msg, struct err *err)
{
    char name[JOB_ID_MAX + 64], found[64];
    uint64_t at, digest = audit_record_digest(msg);
    int n = snprintf(name, sizeof(name), "%s#%" PRIu64 "#%d#%u", h->job, h->attempt,
                     (int)h->kind, (unsigned)h->try_n);
    int is_new = audit_name(a, NAME_TRY, span_of(name, (size_t)n), &at, err);
    struct audit_try *try = is_new < 0 ? NULL : slots_at(a->tries, at, err);
    if (!try) {
        return -ERR_FAIL;
    }
    if (is_new) {
        *try = (struct audit_try){.digest = digest, .place = msg->at.offset};
    } else if (try->digest == digest) {
        a->counts.folded++;
    } else {
        snprintf(found, sizeof(found), "another at offset %" PRIu64, try->place);
        differ_charge(a, AUDIT_TRIED_TWICE, h, msg, "one record of a try", found);
    }
    return is_new;
}

/* The one that ends the job. 1 the first time. */
static int first_final(struct audit *a, struct audit_job *job,
                       const struct audit_charge *c, const struct queue_msg *msg)
{
    uint64_t digest = audit_record_digest(msg);
    char found[64];
    if (!(job->has & HAS_CHARGE)) {
        job->has |= HAS_CHARGE;
        job->charge = msg->at.offset;
        job->charge_digest = digest;
        job->charge_commit = msg->commit;
        job->outcome = (int8_t)c->outcome;
        return 1;
    }
    if (job->charge_digest == digest) {
        a->counts.folded++;
        return 0;
    }
    snprintf(found, sizeof(found), "another at offset %" PRIu64, job->charge);
    differ_charge(a, AUDIT_CHARGED_TWICE, &c->head, msg, "one final record", found);
    return 0;
}

/* What the charge takes off the reservation. */
static struct usd take_held(struct audit *a, struct audit_job *job,
                            const struct spend_head *h)
{
    bool above = usd_cmp(h->cost, job->held) > 0;
    struct usd held = h->final || above ? job->held : h->cost;
    if (above && job->has & HAS_RELEASE) {
        if (a->above_bound++ == 0) {
            snprintf(a->above_first, sizeof(a->above_first), "%s", h->job);
        }
    }
    job->held = usd_from_pico(usd_pico(job->held) - usd_pico(held));
    if (!h->final && h->try_n <= job->open_tried) {
        above = usd_cmp(h->cost, job->open_expected) > 0;
        job->open_expected =
            usd_from_pico(above ? 0 : usd_pico(job->open_expected) - usd_pico(h->cost));
    }
    job->tried = (uint8_t)MIN_OF(MAX_OF(job->tried, h->try_n), UINT8_MAX);
    return held;
}

static void check_charge(struct audit *a, const struct audit_job *job,
                         const struct audit_charge *c, const struct queue_msg *msg,
                         uint64_t run)
{
    const struct spend_head *h = &c->head;
    const char *what = NULL;
    if (job->run && job->run != run + 1) {
        what = "run";
    } else if (job->run && job->attempt != (uint32_t)h->attempt) {
        what = "attempt";
    } else if (job->has & HAS_RELEASE && h->day[0] && job->day != audit_day(h->day)) {
        what = "day";
    }
    if (what) {
        differ_charge(a, AUDIT_CHARGE_HEAD, h, msg, "that of its job", what);
    }
    if (h->kind == SPEND_CORRECTION && !(job->has & (HAS_CHARGE | HAS_TRY))) {
        differ_charge(a, AUDIT_CORRECTION_ALONE, h, msg, "a charge before it", "none");
    }
}

static void add_up(struct audit *a, const struct audit_charge *c)
{
    a->counts.charges++;
    a->counts.corrections += c->head.kind == SPEND_CORRECTION;
    a->counts.in_doubt += c->head.kind == SPEND_IN_DOUBT;
    usd_sum_add_sum(&a->counts.paid, c->cost);
    usd_sum_add_sum(&a->counts.in_doubt_usd, c->doubt);
}

/* Where the job of a charge stands. */
struct place {
    struct audit_log *queue;
    uint64_t offset;
    int64_t ms;
};

/* A charge counts while its job is open: when it reserved something, and was not settled. A job
 * that was not let through names no model. */
static int settle(struct audit *a, const struct place *at, const struct audit_charge *c,
                  const struct queue_msg *msg, struct err *err)
{
    const struct spend_head *h = &c->head;
    struct audit_booking booking = {
        .queue = at->queue, .offset = msg->at.offset, .head = h};
    int rc =
        audit_run_of(a, at->queue->team, at->queue->feature, h->run, &booking.run, err);
    struct audit_job *job = rc < 0 ? NULL
                                   : slots_at(a->job, at->queue->base + at->offset, err);
    if (!job) {
        return -ERR_FAIL;
    }
    if (job->has & HAS_JOB && job->ms != at->ms) {
        differ_charge(a, AUDIT_CHARGE_WITHOUT_JOB, h, msg, "a job of that time", "none");
        return 0;
    }
    check_charge(a, job, c, msg, booking.run);
    bool was_open = !(job->has & HAS_CHARGE);
    int tried = job->tried;
    rc = h->final ? first_final(a, job, c, msg) : first_time(a, h, msg, err);
    if (rc <= 0) {
        return rc;
    }
    add_up(a, c);
    job->has = (uint16_t)(job->has | (h->final ? 0 : HAS_TRY));
    bool again = !h->final && h->kind == SPEND_IN_DOUBT && (int)h->try_n > tried;
    if (h->model[0] && was_open && (h->final || again)) {
        booking.held = take_held(a, job, h);
        rc = audit_book_charge(a, &booking, err);
    }
    return rc >= 0 && a->conf->invoice ? audit_invoice_charge(a, c, err) : rc;
}

static int take_charge(struct audit *a, const struct queue_msg *msg, struct err *err)
{
    struct audit_difference wrong[AUDIT_CHARGE_KINDS];
    struct audit_charge c = {.known = false};
    struct place place;
    char at[AUDIT_TEXT_MAX];
    unsigned n = audit_charge_read(msg, &c, wrong);
    for (unsigned i = 0; i < n; i++) {
        if (wrong[i].kind == AUDIT_RECORD_BROKEN) {
            audit_differs(a, wrong[i].kind, audit_at(&msg->at, at), wrong[i].expected,
                          wrong[i].found);
            return 0;
        }
        differ_charge(a, wrong[i].kind, &c.head, msg, wrong[i].expected, wrong[i].found);
    }
    place.queue = audit_job_place(a, c.head.job, &place.offset, &place.ms);
    if (!place.queue || strcmp(place.queue->team, c.head.team) != 0 ||
        strcmp(place.queue->feature, c.head.feature) != 0) {
        differ_charge(a, AUDIT_CHARGE_WITHOUT_JOB, &c.head, msg, "a job of its queue",
                      "none");
        return 0;
    }
    return settle(a, &place, &c, msg, err);
}

/* Charges below `before`. */
static int apply_spend(struct walk *w, uint64_t before, struct err *err)
{
    struct stream *s = &w->spend;
    int rc = 0;
    while (rc >= 0 && s->has && s->msg.at.offset < before) {
        rc = take_charge(w->a, &s->msg, err);
        audit_progress(w->a, TOPIC_SPEND, s->msg.at.offset, s->log->end);
        if (rc >= 0) {
            rc = advance(s, err);
        }
    }
    return rc;
}

/* ---- merging ---- */

static int open_streams(struct walk *w, struct err *err)
{
    const struct audit_logs *ready = &w->a->ready;
    w->ready = calloc(ready->n + 1, sizeof(*w->ready));
    if (!w->ready) {
        return err_set(err, ERR_FAIL, "could not audit: out of memory");
    }
    int rc = open_stream(w->a, &w->spend, &w->a->spend, err);
    for (size_t i = 0; rc >= 0 && i < ready->n; i++) {
        rc = open_stream(w->a, &w->ready[i], &ready->v[i], err);
    }
    return rc;
}

static void close_streams(struct walk *w)
{
    for (size_t i = 0; w->ready && i < w->a->ready.n; i++) {
        queue_cursor_close(w->ready[i].cur);
    }
    queue_cursor_close(w->spend.cur);
    free(w->ready);
}

static struct stream *next_stream(const struct walk *w)
{
    struct stream *first = NULL;
    for (size_t i = 0; i < w->a->ready.n; i++) {
        struct stream *s = &w->ready[i];
        if (s->has && (!first || s->msg.commit < first->msg.commit)) {
            first = s;
        }
    }
    return first;
}

static int take_release(struct walk *w, struct stream *s, struct err *err)
{
    struct release r;
    char at[AUDIT_TEXT_MAX];
    audit_progress(w->a, TOPIC_READY, s->msg.at.offset, s->log->end);
    if (release_decode(s->msg.headers, &r) < 0) {
        audit_differs(w->a, AUDIT_RECORD_BROKEN, audit_at(&s->msg.at, at), "a release",
                      "headers of another version");
        return 0;
    }
    if (r.verdict == VERDICT_FLUSH) {
        return 0;
    }
    check_seen(w, &r, &s->msg);
    int rc = apply_spend(w, r.seen_spend, err);
    return rc < 0 ? rc : place_release(w, s->log, &s->msg, &r, err);
}

static void note_bounds(struct audit *a)
{
    if (a->above_bound) {
        audit_note(a,
                   "%" PRIu64 " charge%s above what was reserved, the first of job %s: "
                   "check the price book",
                   a->above_bound, a->above_bound == 1 ? " is" : "s are", a->above_first);
    }
}

int audit_walk(struct audit *a, struct err *err)
{
    struct walk w = {.a = a};
    struct stream *s;
    int rc = open_streams(&w, err);
    while (rc >= 0 && (s = next_stream(&w))) {
        rc = take_release(&w, s, err);
        if (rc >= 0) {
            rc = advance(s, err);
        }
    }
    if (rc >= 0) {
        rc = apply_spend(&w, AUDIT_NONE, err);
    }
    close_streams(&w);
    note_bounds(a);
    return rc;
}
