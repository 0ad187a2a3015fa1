/* Every job and every run judged, once all records were seen. */
#include "cli/audit_int.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- jobs ---- */

static const char *const verdicts[] = {
    [VERDICT_RUN] = "let through",
    [VERDICT_REJECTED] = "rejected",
    [VERDICT_CANCELLED] = "cancelled",
    [VERDICT_FLUSH] = "a flush",
};

static const char *outcome_word(const struct audit_job *j)
{
    return j->outcome < 0 ? "none" : status_name((enum status)j->outcome);
}

/* What a job must have; of the other kinds words_of says more. */
static const char *const wanted[AUDIT_KINDS] = {
    [AUDIT_JOB_LOST] = "its release, or the line that it repeats",
    [AUDIT_RELEASE_WITHOUT_JOB] = "its line in the jobs topic",
    [AUDIT_RESULT_WITHOUT_JOB] = "its line in the jobs topic",
    [AUDIT_CHARGE_WITHOUT_JOB] = "its line in the jobs topic",
    [AUDIT_RESULT_WITHOUT_RELEASE] = "its release in ready",
    [AUDIT_CHARGE_WITHOUT_RELEASE] = "its release in ready",
    [AUDIT_OPEN_WITHOUT_RELEASE] = "its release in ready",
    [AUDIT_RESULT_WITHOUT_CHARGE] = "a final spend record",
    [AUDIT_CHARGE_WITHOUT_RESULT] = "a result",
};

static void words_of_open(enum audit_kind kind, const struct audit_job *j,
                          char e[static AUDIT_TEXT_MAX], char f[static AUDIT_TEXT_MAX])
{
    char one[USD_TEXT_MAX];
    if (kind == AUDIT_OPEN_MISSING) {
        snprintf(e, AUDIT_TEXT_MAX, "%s reserved", usd_format(j->reserved, one));
        snprintf(f, AUDIT_TEXT_MAX, "nothing");
    } else if (kind == AUDIT_OPEN_SETTLED) {
        snprintf(e, AUDIT_TEXT_MAX, "nothing: it was charged at spend offset %" PRIu64,
                 j->charge);
        snprintf(f, AUDIT_TEXT_MAX, "%s reserved", usd_format(j->open_reserved, one));
    } else if (kind == AUDIT_OPEN_AMOUNT) {
        snprintf(e, AUDIT_TEXT_MAX, "%s, %u tries in doubt at most",
                 usd_format(j->open_expected, one), j->tried);
        snprintf(f, AUDIT_TEXT_MAX, "%s, %u", usd_format(j->open_reserved, one),
                 j->open_tried);
    } else if (j->has & HAS_RELEASE) {
        snprintf(e, AUDIT_TEXT_MAX, "no reservation");
        snprintf(f, AUDIT_TEXT_MAX, "one of a job that was %s", verdicts[j->verdict]);
    }
}

/* What was expected of the job, and what is there, in words. */
static void words_of(enum audit_kind kind, const struct audit_job *j,
                     char e[static AUDIT_TEXT_MAX], char f[static AUDIT_TEXT_MAX])
{
    snprintf(e, AUDIT_TEXT_MAX, "%s", wanted[kind] ? wanted[kind] : "");
    snprintf(f, AUDIT_TEXT_MAX, "none");
    if (kind == AUDIT_OUTCOME) {
        snprintf(e, AUDIT_TEXT_MAX, "%s, as its result",
                 status_name((enum status)j->status));
        snprintf(f, AUDIT_TEXT_MAX, "%s in spend", outcome_word(j));
    } else if (kind >= AUDIT_OPEN_MISSING && kind <= AUDIT_OPEN_AMOUNT) {
        words_of_open(kind, j, e, f);
    }
}

static void differ_job(struct audit *a, const struct audit_log *q, uint64_t offset,
                       const struct audit_job *j, enum audit_kind kind)
{
    char where[AUDIT_TEXT_MAX], e[AUDIT_TEXT_MAX], f[AUDIT_TEXT_MAX];
    int n = snprintf(where, sizeof(where), "job %s/%" PRIu64 "/%" PRId64, q->id, offset,
                     j->ms);
    if (j->has & HAS_RELEASE) {
        n += snprintf(where + n, sizeof(where) - (size_t)n, ", ready/%u offset %" PRIu64,
                      place_partition(j->release), place_offset(j->release));
    }
    if (j->has & HAS_RESULT) {
        n += snprintf(where + n, sizeof(where) - (size_t)n,
                      ", results.%s/0 offset %" PRIu64, q->team, j->result);
    }
    if (j->has & HAS_CHARGE) {
        snprintf(where + n, sizeof(where) - (size_t)n, ", spend/0 offset %" PRIu64,
                 j->charge);
    }
    words_of(kind, j, e, f);
    audit_differs(a, kind, where, e, f);
}

static void count_state(struct audit_counts *c, enum audit_state state)
{
    bool job = state >= STATE_WAITING;
    c->jobs += job;
    c->waiting += state == STATE_WAITING;
    c->in_flight += state == STATE_IN_FLIGHT;
    c->results += state == STATE_DONE;
    c->repeats += state == STATE_REPEAT;
}

static const struct audit_log *results_of(const struct audit *a, const char *team)
{
    for (size_t i = 0; i < a->results.n; i++) {
        if (strcmp(strchr(a->results.v[i].topic, '.') + 1, team) == 0) {
            return &a->results.v[i];
        }
    }
    return NULL;
}

/* In one partition of ready a queue's releases stand in the order of its jobs, so what is left of
 * them is whole; spread over several it need not be. */
static uint64_t released_from(const struct audit *a, const struct audit_log *q)
{
    if (!a->ready_trimmed) {
        return 0;
    }
    return a->ready.n == 1 ? q->lowest : AUDIT_NONE;
}

static uint64_t settled_of(const struct audit *a, uint64_t place)
{
    for (size_t i = 0; i < a->ready.n; i++) {
        if (a->ready.v[i].partition == place_partition(place)) {
            return a->ready.v[i].settled;
        }
    }
    return 0;
}

static struct audit_known known_of(const struct audit *a, const struct audit_log *q)
{
    const struct audit_log *results = results_of(a, q->team);
    return (struct audit_known){.first = q->first,
                                .end = q->end,
                                .frontier = q->frontier,
                                .released_from = released_from(a, q),
                                .spend_trimmed = a->spend.first > 0,
                                .results = results ? results->settled : 0,
                                .spend = a->spend.settled,
                                .mark_before = a->mark_before,
                                .mark_after = a->mark_after};
}

static int judge_queue(struct audit *a, struct audit_log *q, struct err *err)
{
    const struct audit_log *results = results_of(a, q->team);
    struct audit_known k = known_of(a, q);
    for (k.offset = 0; k.offset < q->end; k.offset++) {
        enum audit_kind kinds[AUDIT_JOB_KINDS];
        unsigned n;
        const struct audit_job *j = slots_at(a->job, q->base + k.offset, err);
        if (!j) {
            return -ERR_FAIL;
        }
        k.ready = settled_of(a, j->release);
        k.results_trimmed =
            results && results->first > 0 &&
            (!results->first_commit || j->charge_commit < results->first_commit);
        count_state(&q->counts, audit_job_judge(j, &k, kinds, &n));
        for (unsigned i = 0; i < n; i++) {
            differ_job(a, q, k.offset, j, kinds[i]);
        }
        audit_progress(a, q->topic, k.offset, q->end);
    }
    return 0;
}

static int judge_jobs(struct audit *a, struct err *err)
{
    for (size_t i = 0; i < a->jobs.n; i++) {
        struct audit_log *q = &a->jobs.v[i];
        int rc = judge_queue(a, q, err);
        if (rc < 0) {
            return rc;
        }
        a->counts.jobs += q->counts.jobs;
        a->counts.results += q->counts.results;
        a->counts.waiting += q->counts.waiting;
        a->counts.in_flight += q->counts.in_flight;
        a->counts.repeats += q->counts.repeats;
        a->counts.queues++;
        if (a->conf->on_queue) {
            a->conf->on_queue(a->conf->ctx, q->id, &q->counts);
        }
    }
    return 0;
}

/* ---- runs ---- */

static void compare_run(struct audit *a, const struct audit_run *r, const char *what,
                        uint64_t counted, uint64_t least, uint64_t most)
{
    char where[AUDIT_TEXT_MAX], e[64], f[64];
    if (counted < least || counted > most) {
        snprintf(where, sizeof(where), "run %s, table runs", r->name);
        snprintf(e, sizeof(e), "%" PRIu64 " %s", counted < least ? least : most, what);
        snprintf(f, sizeof(f), "%" PRIu64, counted);
        audit_differs(a, AUDIT_RUN_COUNT, where, e, f);
    }
}

static bool is_trimmed(const struct audit *a, const struct audit_run *r)
{
    char queue[AUDIT_RUN_MAX];
    for (size_t i = 0; i < a->jobs.n; i++) {
        const struct audit_log *q = &a->jobs.v[i];
        int n = snprintf(queue, sizeof(queue), "%s/%s/", q->team, q->feature);
        if (q->first > 0 && strncmp(r->name, queue, (size_t)n) == 0) {
            return true;
        }
    }
    return false;
}

/* The row counts what its commit enqueued; a retry counts what it is about to. Where jobs were
 * dropped it may count more than there are. */
static int judge_runs(struct audit *a, struct err *err)
{
    for (uint64_t i = 0; i < a->named[NAME_RUN]; i++) {
        const struct audit_run *r = slots_at(a->run, i, err);
        if (!r) {
            return -ERR_FAIL;
        }
        if (!r->has_row) {
            continue;
        }
        bool trimmed = is_trimmed(a, r);
        compare_run(a, r, "jobs", r->lines - r->blank, r->jobs_settled,
                    trimmed ? AUDIT_NONE : r->jobs);
        if (!r->retrying) {
            compare_run(a, r, "jobs tried again", r->again, r->later_settled,
                        trimmed ? AUDIT_NONE : r->later);
        }
    }
    return 0;
}

int audit_end(struct audit *a, struct err *err)
{
    int rc = judge_jobs(a, err);
    return rc < 0 ? rc : judge_runs(a, err);
}
