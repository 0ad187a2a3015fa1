/* Results: whose they are, and that there is one of each. */
#include "cli/audit_int.h"

#include "core/jtext.h"

#include <inttypes.h>
#include <stdio.h>

#define LINE_ID_HEX 24

struct result {
    const struct queue_msg *msg;
    struct result_head head;
    char job[JOB_ID_MAX], id[64];
    struct span custom_id; /* raw */
};

static void differ(struct audit *a, enum audit_kind kind, const struct result *r,
                   const char *expected, const char *found)
{
    char where[AUDIT_TEXT_MAX], at[AUDIT_TEXT_MAX];
    snprintf(where, sizeof(where), "job %s, %s", r->job, audit_at(&r->msg->at, at));
    audit_differs(a, kind, where, expected, found);
}

/* What the line says of itself; the name of the first member that is not as its key and headers. */
static const char *not_as_head(struct result *r)
{
    struct span line = r->msg->value, id = SPAN_NONE, offpeak = SPAN_NONE, value;
    char text[JOB_ID_MAX + 32], hex[HASH_HEX];
    uint64_t attempt = 0;
    if (!jtext_get(line, "id", &id) || !jtext_get(line, "custom_id", &r->custom_id) ||
        !jtext_get(line, "offpeak", &offpeak)) {
        return "id, custom_id and offpeak";
    }
    snprintf(text, sizeof(text), "%s#%" PRIu64, r->job, r->head.attempt);
    snprintf(r->id, sizeof(r->id), "batch_req_%.*s", LINE_ID_HEX,
             hash_hex(hash_of(span_str(text)), hex));
    if (!jtext_is_string(id, r->id)) {
        return "id";
    }
    if (!jtext_get(offpeak, "job_id", &value) || !jtext_is_string(value, r->job)) {
        return "offpeak.job_id";
    }
    if (!jtext_get(offpeak, "status", &value) ||
        !jtext_is_string(value, status_name(r->head.status))) {
        return "offpeak.status";
    }
    if (!jtext_get(offpeak, "attempt", &value) || jtext_u64(value, &attempt) < 0 ||
        attempt != r->head.attempt) {
        return "offpeak.attempt";
    }
    return NULL;
}

/* A line that had no readable custom_id, or whose answer was too large, says null. */
static bool is_its_id(const struct audit_job *job, const struct result *r)
{
    return !(job->has & HAS_RELEASE) || jtext_type(r->custom_id) == JTEXT_NULL ||
           !job->custom_id || audit_digest(r->custom_id) == job->custom_id;
}

static bool fits_job(struct audit *a, const struct audit_log *q,
                     const struct audit_job *job, const struct result *r, uint64_t run)
{
    const struct result_head *h = &r->head;
    const char *what = NULL;
    if (strcmp(h->feature, q->feature) != 0) {
        what = "feature";
    } else if (job->run && job->run != run + 1) {
        what = "run";
    } else if (job->run && job->attempt != (uint32_t)h->attempt) {
        what = "attempt";
    } else if (job->run && job->line != h->line) {
        what = "line";
    } else if (!is_its_id(job, r)) {
        what = "custom_id";
    }
    if (what) {
        differ(a, AUDIT_RESULT_OF_ANOTHER, r, "that of its job", what);
    }
    return !what;
}

/* 1 the first, 0 told again. */
static int fold(struct audit *a, const struct audit_log *log, struct audit_job *job,
                const struct result *r)
{
    uint64_t digest = audit_record_digest(r->msg);
    char found[64];
    if (!(job->has & HAS_RESULT)) {
        job->has |= HAS_RESULT;
        job->result = r->msg->at.offset;
        job->result_digest = digest;
        job->status = (uint8_t)r->head.status;
        job->result_settled = r->msg->at.offset < log->settled;
        return 1;
    }
    if (job->result_digest == digest) {
        a->counts.folded++;
        return 0;
    }
    snprintf(found, sizeof(found), "another at offset %" PRIu64, job->result);
    differ(a, AUDIT_TWO_RESULTS, r, "one result", found);
    return 0;
}

static int place(struct audit *a, const struct audit_log *log, const struct result *r,
                 struct err *err)
{
    uint64_t offset, run;
    int64_t ms;
    const char *team = strchr(log->topic, '.') + 1;
    struct audit_log *q = audit_job_place(a, r->job, &offset, &ms);
    if (!q || strcmp(q->team, team) != 0) {
        differ(a, AUDIT_RESULT_WITHOUT_JOB, r, "a job of that team", "none");
        return 0;
    }
    int rc = audit_run_of(a, q->team, q->feature, r->head.run, &run, err);
    struct audit_job *job = rc < 0 ? NULL : slots_at(a->job, q->base + offset, err);
    if (!job) {
        return -ERR_FAIL;
    }
    if (job->has & HAS_JOB && job->ms != ms) {
        differ(a, AUDIT_RESULT_WITHOUT_JOB, r, "a job of that time", "none");
        return 0;
    }
    if (fold(a, log, job, r)) {
        (void)fits_job(a, q, job, r, run);
    }
    return 0;
}

static int take(struct audit *a, struct audit_log *log, const struct queue_msg *msg,
                struct err *err)
{
    struct result r = {.msg = msg};
    snprintf(r.job, sizeof(r.job), "%.*s", (int)MIN_OF(msg->key.n, sizeof(r.job) - 1),
             msg->key.p);
    log->first_commit = log->first_commit ? log->first_commit : msg->commit;
    if (result_head_decode(msg->headers, &r.head) < 0 ||
        jtext_check(msg->value, NULL) < 0) {
        differ(a, AUDIT_RECORD_BROKEN, &r, "a result", "something else");
        return 0;
    }
    const char *what = not_as_head(&r);
    if (what) {
        differ(a, AUDIT_RESULT_OF_ANOTHER, &r, "as its key and headers say", what);
        return 0;
    }
    return place(a, log, &r, err);
}

int audit_results(struct audit *a, struct err *err)
{
    struct queue_msg msg;
    for (size_t i = 0; i < a->results.n; i++) {
        struct audit_log *log = &a->results.v[i];
        int rc = queue_read_topic(a->cur, log->topic, log->partition, log->first);
        while (rc >= 0 && (rc = queue_read(a->cur, &msg, err)) > 0 &&
               msg.at.offset < log->end) {
            rc = take(a, log, &msg, err);
            audit_progress(a, log->topic, msg.at.offset, log->end);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}
