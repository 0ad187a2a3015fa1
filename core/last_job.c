#include "core/last_job.h"

#include "core/attr.h"
#include <inttypes.h>
#include <stdio.h>

int last_job_of(struct span id, struct span *ret_queue, struct last_job *ret)
{
    const char *ms = id.n ? memrchr(id.p, '/', id.n) : NULL;
    const char *offset = ms ? memrchr(id.p, '/', (size_t)(ms - id.p)) : NULL;
    size_t before = offset ? (size_t)(offset - id.p) : 0;
    if (!offset || last_job_parse(span_of(offset + 1, id.n - before - 1), ret) < 0) {
        return -1;
    }
    *ret_queue = span_of(id.p, before);
    return 0;
}

bool last_job_pass(struct last_job *last, const struct last_job *job)
{
    if (job->offset <= last->offset && job->ms <= last->ms) {
        return false;
    }
    last->offset = job->offset;
    last->ms = MAX_OF(last->ms, job->ms);
    return true;
}

void last_job_format(const struct last_job *j, char ret[static LAST_JOB_TEXT])
{
    (void)snprintf(ret, LAST_JOB_TEXT, "%" PRIu64 "/%" PRId64, j->offset, j->ms);
}

int last_job_parse(struct span text, struct last_job *ret)
{
    const char *slash = text.n ? memchr(text.p, '/', text.n) : NULL;
    size_t n = slash ? (size_t)(slash - text.p) : 0;
    struct last_job j;
    if (!slash || span_u64(span_of(text.p, n), &j.offset) < 0 ||
        span_i64(span_of(slash + 1, text.n - n - 1), &j.ms) < 0) {
        return -1;
    }
    *ret = j;
    return 0;
}
