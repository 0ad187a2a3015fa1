#include "producer/retry.h"

#include <stdio.h>

#define ROW_BYTES_MAX ((size_t)8 << 10)

struct retry {
    const struct retry_conf *conf;
    struct run_row row;
    struct queue_cursor *jobs;
    char topic[QUEUE_NAME_MAX];
    size_t put;
};

static int put_row(struct retry *r, struct queue_tx *tx, struct err *err)
{
    char table[QUEUE_NAME_MAX], key[QUEUE_KEY_MAX];
    _cleanup_(buf_fini) struct buf json;
    buf_init(&json, ROW_BYTES_MAX);
    table_runs(r->conf->team, table);
    run_key(r->conf->feature, r->conf->run, key);
    if (run_row_encode(&r->row, &json) < 0) {
        return err_set(err, ERR_FAIL, "could not describe run '%s'", r->conf->run);
    }
    return queue_table_put(tx, table, 0, span_str(key), buf_span(&json), err);
}

static int fetch(struct retry *r, const struct retry_job *job, struct queue_msg *ret,
                 struct err *err)
{
    struct queue_at at = {.partition = place_partition(job->place),
                          .offset = place_offset(job->place)};
    memcpy(at.topic, r->topic, sizeof(at.topic));
    int rc = queue_fetch(r->jobs, &at, ret, err);
    if (rc == 0) {
        err_set(err, ERR_FAIL, "could not retry line %llu of run '%s': its job is gone",
                (unsigned long long)job->line, r->conf->run);
        err_hint(err, "jobs are kept for the setting 'retain'; give those lines as a new "
                      "run");
        return -ERR_FAIL;
    }
    return rc;
}

/* The job as it came, but for its attempt. */
static int put_job(struct retry *r, struct queue_tx *tx, const struct queue_msg *was,
                   struct err *err)
{
    struct job_head head;
    _cleanup_(buf_fini) struct buf block;
    buf_init(&block, QUEUE_KEY_MAX * 4);
    if (job_head_decode(was->headers, &head) < 0) {
        return err_set(err, ERR_VERSION, "could not read job %llu of '%s'",
                       (unsigned long long)was->at.offset, was->at.topic);
    }
    head.attempt = r->row.attempt;
    if (job_head_encode(&head, &block) < 0) {
        return err_set(err, ERR_FAIL, "could not retry line %llu: headers do not fit",
                       (unsigned long long)head.line);
    }
    return queue_put(tx, QUEUE_TO(r->topic, run_partition(&r->row, head.line), SPAN_NONE),
                     buf_span(&block), was->value, err);
}

/* As many as one transaction takes. */
static int put_some(struct retry *r, struct queue_tx *tx, struct err *err)
{
    struct queue_msg was;
    int rc = 0;
    while (rc >= 0 && r->put < r->conf->n) {
        rc = fetch(r, &r->conf->jobs[r->put], &was, err);
        if (rc < 0 ||
            (!queue_tx_empty(tx) && queue_tx_full(tx, was.value.n + ROW_BYTES_MAX))) {
            break;
        }
        rc = put_job(r, tx, &was, err);
        r->put++;
    }
    r->row.retrying = r->put < r->conf->n;
    return rc < 0 ? rc : put_row(r, tx, err);
}

static int append(struct retry *r, struct err *err)
{
    struct queue_tx *tx = NULL;
    uint64_t commit;
    int rc = 0;
    while (rc >= 0 && r->put < r->conf->n) {
        if (queue_begin(r->conf->queue, &tx) < 0) {
            return err_set(err, ERR_FAIL, "could not retry run '%s': out of memory",
                           r->conf->run);
        }
        rc = put_some(r, tx, err);
        if (rc < 0) {
            queue_tx_drop(tx);
        } else {
            rc = queue_commit_wait(tx, &commit, err);
        }
    }
    return rc;
}

int retry_append(const struct retry_conf *conf, struct run_row *ret_row, struct err *err)
{
    struct retry r = {.conf = conf, .row = *conf->row};
    topic_jobs(conf->team, conf->feature, r.topic);
    if (!r.row.retrying) {
        r.row.attempt = MAX_OF(r.row.attempt, 1u) + 1;
        r.row.again += conf->n;
        r.row.retried = true;
    }
    int rc = queue_cursor_open(conf->queue, &r.jobs, err);
    if (rc >= 0) {
        rc = append(&r, err);
    }
    queue_cursor_close(r.jobs);
    if (rc >= 0) {
        *ret_row = r.row;
    }
    return rc < 0 ? rc : 0;
}
