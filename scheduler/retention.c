#include "scheduler/retention.h"

#include "core/last_job.h"
#include "core/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where a pass stands: of each queue its partitions one by one, then its runs. */
enum at { AT_QUEUE, AT_OPEN, AT_MARKS, AT_RUNS };

struct retention {
    struct queue *queue;
    struct queue_feed *feed;
    struct scheduler_keep keep;
    struct queue_cursor *walk,
        *look;       /* a position kept between steps; single questions */
    int64_t wall_ms; /* when the pass began */
    enum at at;
    char topic[QUEUE_NAME_MAX];
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    uint32_t partition, partitions;
    char prefix[QUEUE_KEY_MAX]; /* of the rows that are walked */
    uint64_t below;             /* of the partition: all below is done with */
    int64_t oldest_ms;          /* its oldest job that is not: */
    int64_t queue_oldest_ms;    /* ... of all partitions so far */
    bool dropped;
};

int retention_create(struct retention **ret, struct queue *q, struct queue_feed *feed,
                     const struct scheduler_keep *keep, struct err *err)
{
    struct retention *r = calloc(1, sizeof(*r));
    if (!r) {
        return err_set(err, ERR_FAIL, "could not make the scheduler: out of memory");
    }
    r->queue = q;
    r->feed = feed;
    r->keep = *keep;
    int rc = queue_cursor_open(q, &r->walk, err);
    if (rc >= 0) {
        rc = queue_cursor_open(q, &r->look, err);
    }
    if (rc < 0) {
        retention_destroy(r);
        return rc;
    }
    *ret = r;
    return 0;
}

struct retention *retention_destroy(struct retention *r)
{
    if (r) {
        queue_cursor_close(r->walk);
        queue_cursor_close(r->look);
        free(r);
    }
    return NULL;
}

void retention_begin(struct retention *r, int64_t wall_ms)
{
    r->wall_ms = wall_ms;
    r->at = AT_QUEUE;
    r->topic[0] = '\0';
}

void retention_skip(struct retention *r)
{
    r->at = AT_QUEUE;
}

bool retention_dropped(struct retention *r)
{
    bool dropped = r->dropped;
    r->dropped = false;
    return dropped;
}

/* ---- rows ---- */

/* 1 delete it, 0 keep it, or an error. */
typedef int (*row_fn)(struct retention *r, const struct queue_msg *row, struct err *err);

static bool begins(const struct queue_msg *row, const char *prefix)
{
    size_t n = strlen(prefix);
    return row->key.n >= n && memcmp(row->key.p, prefix, n) == 0;
}

static void begin_rows(struct retention *r, enum at at, const char *table)
{
    r->at = at;
    queue_read_table(r->walk, table, 0, span_str(r->prefix));
}

/* The next rows of that prefix: 1 there are more. */
static int walk_some(struct retention *r, row_fn judge, struct queue_tx *tx,
                     struct err *err)
{
    for (int i = 0; i < RETENTION_ROWS; i++) {
        struct queue_msg row;
        int rc = queue_read(r->walk, &row, err);
        if (rc <= 0 || !begins(&row, r->prefix)) {
            return MIN_OF(rc, 0);
        }
        rc = judge(r, &row, err);
        if (rc > 0) {
            r->dropped = true;
            rc = queue_table_put(tx, row.at.topic, 0, row.key, SPAN_NONE, err);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 1;
}

/* Untouched for results.keep, and before the oldest job that is not done with was put. */
static bool is_over(const struct retention *r, const struct queue_msg *row,
                    int64_t oldest_ms)
{
    return row->time_ms < r->wall_ms - r->keep.results_ms && row->time_ms < oldest_ms;
}

/* ---- jobs ---- */

/* The oldest job that waits to be let through, as far as it is here. */
static int look_waiting(struct retention *r, struct err *err)
{
    struct queue_msg msg;
    queue_read_topic(r->look, r->topic, r->partition, r->below);
    int rc = queue_read(r->look, &msg, err);
    r->oldest_ms = rc > 0 ? msg.time_ms : INT64_MAX;
    return MIN_OF(rc, 0);
}

/* What is let through while its rows are walked stands above the low water that is read now. */
static int begin_partition(struct retention *r, struct err *err)
{
    snprintf(r->prefix, sizeof(r->prefix), "%s.%s/%u/", r->team, r->feature,
             r->partition);
    r->below = 0;
    (void)queue_low(r->feed, r->topic, r->partition,
                    &r->below); /* not fed yet: stays 0 */
    int rc = look_waiting(r, err);
    begin_rows(r, AT_OPEN, TABLE_OPEN);
    return rc;
}

static int judge_open(struct retention *r, const struct queue_msg *row, struct err *err)
{
    struct span queue;
    struct last_job job;
    (void)err;
    if (last_job_of(row->key, &queue, &job) == 0) {
        r->below = MIN_OF(r->below, job.offset);
        r->oldest_ms = MIN_OF(r->oldest_ms, job.ms);
    }
    return 0;
}

static int end_partition(struct retention *r, struct queue_tx *tx, struct err *err)
{
    int64_t old_ms = r->wall_ms - r->keep.retain_ms;
    int rc = r->below ? queue_trim_old(tx, r->topic, r->partition, r->below, old_ms, err)
                      : 0;
    r->queue_oldest_ms = MIN_OF(r->queue_oldest_ms, r->oldest_ms);
    snprintf(r->prefix, sizeof(r->prefix), "%s/%u/", r->topic, r->partition);
    begin_rows(r, AT_MARKS, TABLE_MARKS);
    return MIN_OF(rc, 0);
}

/* ---- marks and runs ---- */

/* The run's name: what stands up to the next slash. */
static bool take_run(struct span rest, char ret[static RUN_MAX + 1])
{
    const char *slash = rest.n ? memchr(rest.p, '/', rest.n) : NULL;
    size_t n = slash ? (size_t)(slash - rest.p) : rest.n;
    if (n == 0 || n > RUN_MAX) {
        return false;
    }
    memcpy(ret, rest.p, n);
    ret[n] = '\0';
    return true;
}

static struct span behind(const struct retention *r, const struct queue_msg *row)
{
    size_t n = strlen(r->prefix);
    return span_of(row->key.p + n, row->key.n - n);
}

/* Key: topic/partition/run/attempt. It stays with a run that was heard of since. */
static int judge_mark(struct retention *r, const struct queue_msg *row, struct err *err)
{
    char run[RUN_MAX + 1], table[QUEUE_NAME_MAX], key[QUEUE_KEY_MAX];
    struct queue_msg of;
    if (!is_over(r, row, r->oldest_ms) || !take_run(behind(r, row), run)) {
        return 0;
    }
    table_runs(r->team, table);
    run_key(r->feature, run, key);
    int rc = queue_table_get(r->look, table, 0, span_str(key), &of, err);
    return rc > 0 ? is_over(r, &of, r->oldest_ms) : rc < 0 ? rc : 1;
}

static int has_mark(struct retention *r, const char *run, struct err *err)
{
    int rc = 0;
    for (uint32_t p = 0; p < r->partitions && rc == 0; p++) {
        char prefix[QUEUE_KEY_MAX];
        struct queue_msg mark;
        snprintf(prefix, sizeof(prefix), "%s/%u/%s/", r->topic, p, run);
        queue_read_table(r->look, TABLE_MARKS, 0, span_str(prefix));
        rc = queue_read(r->look, &mark, err);
        rc = rc > 0 ? begins(&mark, prefix) : rc;
    }
    return rc;
}

/* Key: feature/run, or feature/run/cancel. */
static int judge_run(struct retention *r, const struct queue_msg *row, struct err *err)
{
    char run[RUN_MAX + 1];
    if (!is_over(r, row, r->queue_oldest_ms) || !take_run(behind(r, row), run)) {
        return 0;
    }
    int rc = has_mark(r, run, err);
    return rc < 0 ? rc : !rc;
}

static int next_partition(struct retention *r, struct err *err)
{
    char table[QUEUE_NAME_MAX];
    if (++r->partition < r->partitions) {
        return begin_partition(r, err);
    }
    table_runs(r->team, table);
    snprintf(r->prefix, sizeof(r->prefix), "%s/", r->feature);
    begin_rows(r, AT_RUNS, table);
    return 0;
}

/* ---- the pass ---- */

/* 1, or 0: that was the last queue. */
static int next_queue(struct retention *r, struct err *err)
{
    int rc = queue_topics(r->look, PREFIX_JOBS, r->topic, r->topic, err);
    if (rc <= 0 || topic_jobs_parse(r->topic, r->team, r->feature) < 0) {
        return rc;
    }
    rc = queue_partitions(r->queue, r->topic, &r->partitions, err);
    r->partition = 0;
    r->queue_oldest_ms = INT64_MAX;
    if (rc >= 0) {
        rc = begin_partition(r, err);
    }
    return rc < 0 ? rc : 1;
}

int retention_step(struct retention *r, struct queue_tx *tx, struct err *err)
{
    int rc = 0;
    switch (r->at) {
    case AT_QUEUE: return next_queue(r, err);
    case AT_OPEN:
        rc = walk_some(r, judge_open, tx, err);
        rc = rc ? rc : end_partition(r, tx, err);
        break;
    case AT_MARKS:
        rc = walk_some(r, judge_mark, tx, err);
        rc = rc ? rc : next_partition(r, err);
        break;
    case AT_RUNS:
        rc = walk_some(r, judge_run, tx, err);
        r->at = rc == 0 ? AT_QUEUE : r->at;
        break;
    }
    return rc < 0 ? rc : 1;
}
