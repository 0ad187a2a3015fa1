/* Which topics there are and how far they go; the jobs. */
#include "cli/audit_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PREFIX_RESULTS "results."

void audit_logs_fini(struct audit_logs *l)
{
    free(l->v);
    *l = (struct audit_logs){0};
}

static struct audit_log *find_log(struct audit_logs *l, const char *topic, uint32_t part)
{
    for (size_t i = 0; i < l->n; i++) {
        if (l->v[i].partition == part && strcmp(l->v[i].topic, topic) == 0) {
            return &l->v[i];
        }
    }
    return NULL;
}

static struct audit_log *add_log(struct audit_logs *l, const char *topic, uint32_t part)
{
    struct audit_log *grown = realloc(l->v, (l->n + 1) * sizeof(*grown));
    if (!grown) {
        return NULL;
    }
    l->v = grown;
    struct audit_log *log = &l->v[l->n++];
    *log =
        (struct audit_log){.partition = part, .scopes = {-1, -1}, .lowest = AUDIT_NONE};
    snprintf(log->topic, sizeof(log->topic), "%s", topic);
    if (topic_jobs_parse(topic, log->team, log->feature) == 0) {
        snprintf(log->id, sizeof(log->id), "%s.%s/%u", log->team, log->feature, part);
    }
    return log;
}

/* The partition's end as it is now; of the first look it is `settled` too. */
static int look_at(struct audit *a, struct audit_log *log, bool first, struct err *err)
{
    uint64_t from = 0, end = 0;
    int rc = queue_bounds(a->cur, log->topic, log->partition, &from, &end, err);
    log->first = from;
    log->end = MAX_OF(log->end, end);
    if (first) {
        log->settled = log->end;
    }
    return rc;
}

static int look_topic(struct audit *a, struct audit_logs *l, const char *topic,
                      bool first, struct err *err)
{
    uint32_t parts = 1;
    int rc = queue_partitions(a->conf->queue, topic, &parts, err);
    for (uint32_t p = 0; rc >= 0 && p < parts; p++) {
        struct audit_log *log = find_log(l, topic, p);
        log = log ? log : add_log(l, topic, p);
        rc = log ? look_at(a, log, first, err)
                 : err_set(err, ERR_FAIL, "could not audit: out of memory");
    }
    return rc;
}

static int look_all(struct audit *a, struct audit_logs *l, const char *prefix, bool first,
                    struct err *err)
{
    char topic[QUEUE_NAME_MAX] = "";
    int rc;
    while ((rc = queue_topics(a->look, prefix, topic, topic, err)) > 0) {
        rc = look_topic(a, l, topic, first, err);
        if (rc < 0) {
            return rc;
        }
    }
    return rc;
}

/* From right to left: what a record of one topic rests on lies below the end of the next. */
static int look(struct audit *a, bool first, struct err *err)
{
    snprintf(a->spend.topic, sizeof(a->spend.topic), "%s", TOPIC_SPEND);
    int rc = look_all(a, &a->results, PREFIX_RESULTS, first, err);
    if (rc >= 0) {
        rc = look_at(a, &a->spend, first, err);
    }
    if (rc >= 0) {
        rc = look_topic(a, &a->ready, TOPIC_READY, first, err);
    }
    return rc < 0 ? rc : look_all(a, &a->jobs, PREFIX_JOBS, first, err);
}

int audit_look_first(struct audit *a, struct err *err)
{
    return look(a, true, err);
}

static int log_cmp(const void *a, const void *b)
{
    return strcmp(((const struct audit_log *)a)->id, ((const struct audit_log *)b)->id);
}

static void find_scopes(struct audit *a, struct audit_log *q)
{
    for (int s = 0; s < 2; s++) {
        char scope[TEAM_MAX + FEATURE_MAX + 2];
        snprintf(scope, sizeof(scope), "%s%s%s", q->team, s ? "/" : "",
                 s ? q->feature : "");
        for (size_t k = 0; k < a->scopes_n; k++) {
            q->scopes[s] = strcmp(a->scopes[k].scope, scope) ? q->scopes[s] : (int)k;
        }
    }
}

static void place_all(struct audit_logs *l)
{
    uint64_t base = 0;
    for (size_t i = 0; i < l->n; i++) {
        l->v[i].base = base;
        base += l->v[i].end;
    }
}

static void note_trimmed(struct audit *a, const struct audit_logs *l, const char *what)
{
    for (size_t i = 0; i < l->n; i++) {
        if (l->v[i].first > 0) {
            audit_note(a, "%s/%u is kept from offset %" PRIu64 " on: %s", l->v[i].topic,
                       l->v[i].partition, l->v[i].first, what);
        }
    }
}

int audit_look_again(struct audit *a, struct err *err)
{
    int rc = look(a, false, err);
    if (rc < 0) {
        return rc;
    }
    if (a->jobs.n) {
        qsort(a->jobs.v, a->jobs.n, sizeof(*a->jobs.v), log_cmp);
    }
    place_all(&a->jobs);
    place_all(&a->ready);
    for (size_t i = 0; i < a->jobs.n; i++) {
        find_scopes(a, &a->jobs.v[i]);
    }
    for (size_t i = 0; i < a->ready.n; i++) {
        a->ready_trimmed |= a->ready.v[i].first > 0;
    }
    note_trimmed(a, &a->jobs, "jobs are checked from there");
    note_trimmed(a, &a->ready,
                 "limits are replayed from there, without what was reserved before");
    note_trimmed(a, &a->results, "of older jobs the spend record alone is checked");
    note_trimmed(a, &(struct audit_logs){&a->spend, 1},
                 "the ledger is not derived again");
    return 0;
}

static int look_kept(struct audit *a, struct audit_log *log, struct err *err)
{
    uint64_t from = 0, end = 0;
    int rc = queue_bounds(a->look, log->topic, log->partition, &from, &end, err);
    log->first = MAX_OF(log->first, rc > 0 ? from : 0);
    return rc;
}

/* What was dropped while it was read is not missed either. */
int audit_look_kept(struct audit *a, struct err *err)
{
    struct audit_logs all[] = {a->jobs, a->ready, a->results, {&a->spend, 1}};
    int rc = 0;
    for (size_t i = 0; rc >= 0 && i < ARRAY_LEN(all); i++) {
        for (size_t k = 0; rc >= 0 && k < all[i].n; k++) {
            rc = look_kept(a, &all[i].v[k], err);
        }
    }
    for (size_t i = 0; i < a->ready.n; i++) {
        a->ready_trimmed |= a->ready.v[i].first > 0;
    }
    return rc;
}

/* ---- whose job ---- */

static int id_cmp(const void *key, const void *log)
{
    return strcmp(key, ((const struct audit_log *)log)->id);
}

struct audit_log *audit_job_place(struct audit *a, const char *job, uint64_t *ret_offset,
                                  int64_t *ret_ms)
{
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    char id[TEAM_MAX + FEATURE_MAX + 16];
    struct span text = span_str(job);
    if (!a->jobs.n || job_id_parse(text, team, feature) < 0) {
        return NULL;
    }
    const char *ms = strrchr(job, '/');
    const char *offset = memrchr(job, '/', (size_t)(ms - job));
    if ((size_t)(offset - job) >= sizeof(id) || span_i64(span_str(ms + 1), ret_ms) < 0 ||
        span_u64(span_of(offset + 1, (size_t)(ms - offset - 1)), ret_offset) < 0) {
        return NULL;
    }
    snprintf(id, sizeof(id), "%.*s", (int)(offset - job), job);
    struct audit_log *q = bsearch(id, a->jobs.v, a->jobs.n, sizeof(*a->jobs.v), id_cmp);
    return q && *ret_offset < q->end ? q : NULL;
}

/* ---- jobs ---- */

/* A line that its run, attempt and partition had already: a submit that was replayed. */
static int is_repeat(struct audit *a, const struct audit_log *q, const struct job_head *h,
                     uint64_t run, bool *ret, struct err *err)
{
    char name[64];
    uint64_t at;
    int n = snprintf(name, sizeof(name), "%u/%" PRIu64 "/%" PRIu64, q->partition, run,
                     h->attempt);
    int rc = audit_name(a, NAME_LAST, span_of(name, (size_t)n), &at, err);
    uint64_t *last = rc < 0 ? NULL : slots_at(a->last, at, err);
    if (!last) {
        return -ERR_FAIL;
    }
    *ret = h->line <= *last;
    *last = MAX_OF(*last, h->line);
    return 0;
}

static void count_in_run(struct audit_run *r, const struct job_head *h, bool must)
{
    if (r->complete && h->line > r->lines) {
        return; /* of the queue's standing run */
    }
    bool later = h->attempt > 1;
    r->jobs += !later;
    r->jobs_settled += !later && must;
    r->later += later;
    r->later_settled += later && must;
}

/* Finds the run of a job; headers that cannot be true are those of the standing run. */
static int run_of_job(struct audit *a, const struct audit_log *q, struct job_head *h,
                      uint64_t *ret, struct err *err)
{
    int rc = audit_run_of(a, q->team, q->feature, h->run, ret, err);
    const struct audit_run *run = rc < 0 ? NULL : slots_at(a->run, *ret, err);
    if (!run) {
        return -ERR_FAIL;
    }
    const struct run_row row = {
        .lines = run->lines, .complete = run->complete, .attempt = run->attempt};
    if (!run->unreadable && (!run->has_row || run_row_has(&row, h))) {
        return 0;
    }
    *h = (struct job_head){0};
    return audit_run_of(a, q->team, q->feature, h->run, ret, err);
}

static int take_job(struct audit *a, struct audit_log *q, const struct queue_msg *msg,
                    struct err *err)
{
    struct job_head h = {0};
    bool repeat = false;
    uint64_t at;
    (void)job_head_decode(msg->headers, &h); /* foreign headers: of the standing run */
    int rc = run_of_job(a, q, &h, &at, err);
    if (rc >= 0 && h.run[0] && h.line > 0) {
        rc = is_repeat(a, q, &h, at, &repeat, err);
    }
    struct audit_run *run = rc < 0 ? NULL : slots_at(a->run, at, err);
    struct audit_job *job = rc < 0 ? NULL
                                   : slots_at(a->job, q->base + msg->at.offset, err);
    if (!run || !job) {
        return -ERR_FAIL;
    }
    *job = (struct audit_job){.ms = msg->time_ms,
                              .line = h.line,
                              .attempt = (uint32_t)h.attempt,
                              .run = at + 1,
                              .outcome = -1,
                              .has = (uint16_t)(HAS_JOB | (repeat ? HAS_REPEAT : 0) |
                                                (run->has_row ? HAS_ROW : 0))};
    if (run->has_row && !repeat) {
        count_in_run(run, &h, msg->at.offset < q->settled);
    }
    return 0;
}

int audit_jobs(struct audit *a, struct err *err)
{
    struct queue_msg msg;
    for (size_t i = 0; i < a->jobs.n; i++) {
        struct audit_log *q = &a->jobs.v[i];
        int rc = queue_read_topic(a->cur, q->topic, q->partition, q->first);
        while (rc >= 0 && (rc = queue_read(a->cur, &msg, err)) > 0 &&
               msg.at.offset < q->end) {
            rc = take_job(a, q, &msg, err);
            audit_progress(a, q->topic, msg.at.offset, q->end);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}
