/* Tables set aside as they stand: open, batches, runs. They are judged once jobs are known. */
#include "cli/audit_int.h"

#include "core/jtext.h"

#include <inttypes.h>
#include <stdio.h>

#define PREFIX_RUNS     "runs."
#define BATCH_KEY_BYTES 26 /* of a batch id */

static void broken_row(struct audit *a, enum audit_kind kind, const struct queue_msg *row,
                       const char *expected, const char *found)
{
    char where[AUDIT_TEXT_MAX];
    snprintf(where, sizeof(where), "table %s/%u, row '%.*s'", row->at.topic,
             row->at.partition, (int)MIN_OF(row->key.n, 200u), row->key.p);
    audit_differs(a, kind, where, expected, found);
}

/* ---- open ---- */

static int take_open(struct audit *a, const struct queue_msg *row, struct err *err)
{
    struct audit_open *o = slots_at(a->open, a->opens, err);
    if (!o) {
        return -ERR_FAIL;
    }
    *o = (struct audit_open){.job = ""};
    if (row->key.n >= sizeof(o->job) || open_row_decode(row->value, &o->row, NULL) < 0) {
        broken_row(a, AUDIT_RECORD_BROKEN, row, "a reservation", "something else");
        return 0;
    }
    memcpy(o->job, row->key.p, row->key.n);
    a->opens++;
    return 0;
}

int audit_read_open(struct audit *a, struct err *err)
{
    struct queue_msg row;
    uint64_t commit;
    int rc = audit_read_mark(a, &a->mark_before, &commit, err);
    if (rc >= 0) {
        rc = queue_read_table(a->cur, TABLE_OPEN, 0, SPAN_NONE);
    }
    while (rc >= 0 && (rc = queue_read(a->cur, &row, err)) > 0) {
        rc = take_open(a, &row, err);
    }
    a->counts.open_rows = a->opens;
    return rc < 0 ? rc : audit_read_mark(a, &a->mark_after, &commit, err);
}

static int apply_open(struct audit *a, const struct audit_open *o, struct err *err)
{
    char where[AUDIT_TEXT_MAX];
    uint64_t offset = 0;
    int64_t ms = 0;
    struct audit_log *q = audit_job_place(a, o->job, &offset, &ms);
    struct audit_job *job = q ? slots_at(a->job, q->base + offset, err) : NULL;
    if (q && !job) {
        return -ERR_FAIL;
    }
    snprintf(where, sizeof(where), "job %s, table open", o->job);
    if (!q || (job->has & HAS_JOB && job->ms != ms)) {
        audit_differs(a, AUDIT_OPEN_WITHOUT_RELEASE, where, "a job that there is",
                      "none");
        return 0;
    }
    job->has |= HAS_OPEN;
    job->open_reserved = o->row.reserved;
    job->open_tried = (uint8_t)MIN_OF(o->row.tried, UINT8_MAX);
    if (job->has & HAS_JOB && job->attempt != (uint32_t)o->row.attempt) {
        audit_differs(a, AUDIT_OPEN_AMOUNT, where, "the job's attempt", "another");
    }
    return 0;
}

int audit_apply_open(struct audit *a, struct err *err)
{
    for (uint64_t i = 0; i < a->opens; i++) {
        const struct audit_open *row = slots_at(a->open, i, err);
        struct audit_open o;
        if (!row) {
            return -ERR_FAIL;
        }
        o = *row;
        int rc = apply_open(a, &o, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* ---- batches ---- */

/* Before its answers are there no member can have a result. */
static bool is_sent_off(struct span state, bool single)
{
    static const char *const states[] = {"journaled", "uploaded", "submitted", "polling",
                                         "retry"};
    for (unsigned i = 0; i < ARRAY_LEN(states); i++) {
        if (jtext_is_string(state, states[i])) {
            return !single;
        }
    }
    return false;
}

struct entry {
    bool is_batch; /* calls made one by one have entries of another shape */
    uint64_t requests, members;
    char id[BATCH_KEY_BYTES + 1];
};

/* Whole, or deleted while it was read: entry and members come and go in one commit. */
static int end_entry(struct audit *a, uint32_t partition, struct entry *e,
                     struct err *err)
{
    struct queue_msg row;
    char expected[64], found[64];
    struct entry was = *e;
    *e = (struct entry){.id = ""};
    if (!was.id[0] || !was.is_batch || was.members == was.requests) {
        return 0;
    }
    int rc =
        queue_table_get(a->look, TABLE_BATCHES, partition, span_str(was.id), &row, err);
    if (rc > 0) {
        snprintf(expected, sizeof(expected), "%" PRIu64 " members", was.requests);
        snprintf(found, sizeof(found), "%" PRIu64, was.members);
        broken_row(a, AUDIT_BATCH_BROKEN, &row, expected, found);
    }
    return rc < 0 ? rc : 0;
}

static int begin_entry(struct audit *a, const struct queue_msg *row, struct entry *e,
                       struct err *err)
{
    struct span state = SPAN_NONE, lane = SPAN_NONE, requests;
    struct audit_batch *b = slots_at(a->batch, a->batches, err);
    if (!b) {
        return -ERR_FAIL;
    }
    bool json = jtext_check(row->value, NULL) == 0;
    if (row->key.n != BATCH_KEY_BYTES || !json) {
        broken_row(a, AUDIT_BATCH_BROKEN, row, "an entry of the journal",
                   "something else");
        return 0;
    }
    memcpy(e->id, row->key.p, row->key.n);
    bool single = jtext_get(row->value, "lane", &lane) &&
                  !jtext_is_string(lane, "batch") && !jtext_is_string(lane, "");
    e->is_batch = !single && jtext_get(row->value, "requests", &requests) &&
                  jtext_u64(requests, &e->requests) == 0;
    (void)jtext_get(row->value, "state", &state);
    *b = (struct audit_batch){.sent_off = is_sent_off(state, single),
                              .partition = row->at.partition,
                              .single = single};
    memcpy(b->id, row->key.p, row->key.n);
    snprintf(b->state, sizeof(b->state), "%.*s", (int)(state.n > 2 ? state.n - 2 : 0),
             state.n > 2 ? state.p + 1 : "");
    a->batches++;
    return 0;
}

static int add_members(struct audit *a, const struct queue_msg *row, struct entry *e,
                       struct err *err)
{
    struct span value;
    bool mine = e->id[0] && memcmp(row->key.p, e->id, BATCH_KEY_BYTES) == 0;
    if (!mine || jtext_check(row->value, NULL) < 0) {
        broken_row(a, AUDIT_BATCH_BROKEN, row, "members of the entry before it",
                   mine ? "no list" : "of another");
        return 0;
    }
    for (size_t at = 0; jtext_next(row->value, &at, NULL, &value);) {
        struct audit_member *m = slots_at(a->member, a->members, err);
        if (!m) {
            return -ERR_FAIL;
        }
        uint64_t offset;
        if (jtext_u64(value, &offset) < 0) {
            broken_row(a, AUDIT_BATCH_BROKEN, row, "offsets in ready", "something else");
            return 0;
        }
        m->place = place_of(row->at.partition, offset);
        m->batch = a->batches - 1;
        a->members++;
        e->members++;
    }
    return 0;
}

static int read_batches(struct audit *a, uint32_t partition, struct err *err)
{
    struct queue_msg row;
    struct entry e = {.id = ""};
    int rc = queue_read_table(a->cur, TABLE_BATCHES, partition, SPAN_NONE);
    while (rc >= 0 && (rc = queue_read(a->cur, &row, err)) > 0) {
        if (row.key.n > BATCH_KEY_BYTES) {
            rc = add_members(a, &row, &e, err);
        } else {
            rc = end_entry(a, partition, &e, err);
            rc = rc < 0 ? rc : begin_entry(a, &row, &e, err);
        }
    }
    return rc < 0 ? rc : end_entry(a, partition, &e, err);
}

int audit_read_batches(struct audit *a, struct err *err)
{
    uint32_t parts = 1;
    int rc = queue_partitions(a->conf->queue, TABLE_BATCHES, &parts, err);
    for (uint32_t p = 0; rc >= 0 && p < parts; p++) {
        rc = read_batches(a, p, err);
    }
    a->counts.batches = a->batches;
    a->counts.members = a->members;
    return rc;
}

static const struct audit_log *ready_of(const struct audit *a, uint64_t place)
{
    for (size_t i = 0; i < a->ready.n; i++) {
        if (a->ready.v[i].partition == place_partition(place)) {
            return place_offset(place) < a->ready.v[i].end ? &a->ready.v[i] : NULL;
        }
    }
    return NULL;
}

static void differ_member(struct audit *a, enum audit_kind kind,
                          const struct audit_batch *b, uint64_t place,
                          const struct audit_job *job)
{
    char where[AUDIT_TEXT_MAX], found[AUDIT_TEXT_MAX] = "none";
    int n = snprintf(where, sizeof(where), "batch %s (%s), ready/%u offset %" PRIu64,
                     b->id, b->state, place_partition(place), place_offset(place));
    if (job) {
        snprintf(where + n, sizeof(where) - (size_t)n, ", line %" PRIu64 " of its run",
                 job->line);
        snprintf(found, sizeof(found), "one at offset %" PRIu64 " of its results",
                 job->result);
    }
    audit_differs(a, kind, where,
                  kind == AUDIT_MEMBER_UNKNOWN ? "a job in ready"
                  : job                        ? "no result yet"
                                               : "one batch",
                  kind == AUDIT_MEMBER_TWICE ? "two" : found);
}

/* A call whose answer was lost stands in two slices for a while: as it was, and as it goes again. */
static bool goes_again(struct audit *a, uint64_t batch, const struct audit_batch *b,
                       struct err *err)
{
    const struct audit_batch *other = slots_at(a->batch, batch, err);
    return other && other->single && b->single;
}

static int apply_member(struct audit *a, const struct audit_member *m, struct err *err)
{
    const struct audit_log *ready = ready_of(a, m->place);
    struct audit_batch *slot = slots_at(a->batch, m->batch, err);
    struct audit_ready *r =
        ready && slot ? slots_at(a->in_ready, ready->base + place_offset(m->place), err)
                      : NULL;
    if (!slot || (ready && !r)) {
        return -ERR_FAIL;
    }
    struct audit_batch b = *slot;
    if (!r || !r->job) {
        differ_member(a, AUDIT_MEMBER_UNKNOWN, &b, m->place, NULL);
        return 0;
    }
    uint64_t before = r->batch, of_job = r->job - 1;
    r->batch = m->batch + 1;
    if (before && !goes_again(a, before - 1, &b, err)) {
        differ_member(a, AUDIT_MEMBER_TWICE, &b, m->place, NULL);
    }
    const struct audit_job *job = slots_at(a->job, of_job, err);
    if (!job) {
        return -ERR_FAIL;
    }
    if (b.sent_off && job->has & HAS_RESULT && job->result_settled) {
        differ_member(a, AUDIT_MEMBER_SETTLED, &b, m->place, job);
    }
    return 0;
}

int audit_apply_members(struct audit *a, struct err *err)
{
    for (uint64_t i = 0; i < a->members; i++) {
        const struct audit_member *slot = slots_at(a->member, i, err);
        if (!slot) {
            return -ERR_FAIL;
        }
        struct audit_member m = *slot;
        int rc = apply_member(a, &m, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* ---- runs ---- */

static int take_run(struct audit *a, const char *team, const struct queue_msg *row,
                    struct err *err)
{
    char key[QUEUE_KEY_MAX];
    struct run_row r;
    uint64_t at;
    snprintf(key, sizeof(key), "%.*s", (int)MIN_OF(row->key.n, sizeof(key) - 1),
             row->key.p);
    char *run = strchr(key, '/');
    if (run && strchr(run + 1, '/')) {
        return 0; /* that it was cancelled */
    }
    bool broken = !run || run_row_decode(row->value, &r, NULL) < 0;
    if (broken) {
        broken_row(a, AUDIT_RECORD_BROKEN, row, "a run", "something else");
    }
    if (!run) {
        return 0;
    }
    *run++ = '\0';
    int rc = audit_run_of(a, team, key, run, &at, err);
    struct audit_run *to = rc < 0 ? NULL : slots_at(a->run, at, err);
    if (!to) {
        return -ERR_FAIL;
    }
    if (broken) {
        to->unreadable = 1; /* its jobs were refused */
        return 0;
    }
    to->has_row = 1;
    to->complete = r.complete;
    to->retrying = r.retrying;
    to->limited = r.has_max_cost;
    to->max_cost = r.max_cost;
    to->lines = r.lines;
    to->blank = r.blank;
    to->again = r.again;
    to->attempt = r.attempt;
    a->counts.runs++;
    return 0;
}

int audit_read_runs(struct audit *a, struct err *err)
{
    char table[QUEUE_NAME_MAX] = "";
    struct queue_msg row;
    int rc;
    while ((rc = queue_tables(a->look, PREFIX_RUNS, table, table, err)) > 0) {
        rc = queue_read_table(a->cur, table, 0, SPAN_NONE);
        while (rc >= 0 && (rc = queue_read(a->cur, &row, err)) > 0) {
            rc = take_run(a, table + sizeof(PREFIX_RUNS) - 1, &row, err);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return rc;
}
