#include "worker/tidy_int.h"

#include "core/record.h"
#include "worker/answers.h"
#include <stdio.h>

#define WALKS_MAX    4  /* over `answers` in one pass */
#define ROW_OVERHEAD 96 /* of a row of `answers`, beside its value */

/* What to do with a row: 1 delete it, 0 keep it, or an error. */
typedef int (*row_fn)(struct tidy *t, const struct queue_msg *row, struct err *err);

static int walk_some(struct tidy *t, row_fn judge, struct queue_tx *tx, struct err *err)
{
    size_t bytes = 0;
    for (int i = 0; i < STEP_ROWS && bytes < STEP_BYTES; i++) {
        struct queue_msg row;
        int rc = queue_read(t->walk, &row, err);
        if (rc <= 0) {
            return rc;
        }
        bytes += row.value.n;
        rc = judge(t, &row, err);
        if (rc > 0) {
            rc = queue_table_put(tx, row.at.topic, row.key, SPAN_NONE, err);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 1;
}

/* Rows of a finished past: old, and nothing of their queue waits or is under way. */
static int is_past(struct tidy *t, const struct queue_msg *row, const char *topic,
                   struct err *err)
{
    if (row->time_ms >= t->wall_ms - t->conf.results_keep_ms) {
        return 0;
    }
    int rc = tidy_drained(t, TOPIC_READY, err);
    return rc > 0 ? tidy_drained(t, topic, err) : rc;
}

/* runs.<team>, key feature/run[/cancel] */
static int judge_run(struct tidy *t, const struct queue_msg *row, struct err *err)
{
    const char *slash = memchr(row->key.p, '/', row->key.n);
    const char *team = strchr(row->at.topic, '.');
    char feature[FEATURE_MAX + 1], topic[QUEUE_NAME_MAX];
    size_t n = slash ? (size_t)(slash - row->key.p) : 0;
    if (!team || n == 0 || n > FEATURE_MAX) {
        return 0;
    }
    snprintf(feature, sizeof(feature), "%.*s", (int)n, row->key.p);
    topic_jobs(team + 1, feature, topic);
    return is_past(t, row, topic, err);
}

/* marks, key topic/partition/run/attempt */
static int judge_mark(struct tidy *t, const struct queue_msg *row, struct err *err)
{
    const char *slash = memchr(row->key.p, '/', row->key.n);
    char topic[QUEUE_NAME_MAX];
    size_t n = slash ? (size_t)(slash - row->key.p) : 0;
    if (n == 0 || n >= sizeof(topic)) {
        return 0;
    }
    snprintf(topic, sizeof(topic), "%.*s", (int)n, row->key.p);
    return is_past(t, row, topic, err);
}

static int judge_answer(struct tidy *t, const struct queue_msg *row, struct err *err)
{
    struct stored_answer a;
    (void)err;
    if (answer_decode(row->value, &a) < 0) {
        return 1; /* it answers nobody */
    }
    if (a.expires_ms <= t->wall_ms || a.stored_ms < t->evict_before_ms) {
        return 1;
    }
    evict_add(&t->evict, a.stored_ms, row->value.n + ROW_OVERHEAD);
    return 0;
}

int tidy_runs(struct tidy *t, struct queue_tx *tx, struct err *err)
{
    if (!t->walking) {
        int rc = queue_tables(t->look, "runs.", t->name, t->name, err);
        if (rc <= 0) {
            return rc;
        }
        queue_read_table(t->walk, t->name, SPAN_NONE);
    }
    int rc = walk_some(t, judge_run, tx, err);
    t->walking = rc > 0;
    return rc < 0 ? rc : 1;
}

int tidy_marks(struct tidy *t, struct queue_tx *tx, struct err *err)
{
    if (!t->walking) {
        queue_read_table(t->walk, TABLE_MARKS, SPAN_NONE);
        t->walking = true;
    }
    return walk_some(t, judge_mark, tx, err);
}

static void begin_walk(struct tidy *t)
{
    int64_t from = t->wall_ms - MIN_OF(t->conf.cache_ttl_ms, t->wall_ms), to = t->wall_ms;
    if (t->walks > 0) { /* the range that the walk before has seen */
        from = t->evict.oldest_ms;
        to = t->evict.newest_ms;
    }
    evict_begin(&t->evict, from, to);
    queue_read_table(t->walk, TABLE_ANSWERS, SPAN_NONE);
    t->walking = true;
    t->walks++;
}

/* Walks again, now deleting, while there is more than the bound. */
int tidy_answers(struct tidy *t, struct queue_tx *tx, struct err *err)
{
    if (!t->walking) {
        begin_walk(t);
    }
    int rc = walk_some(t, judge_answer, tx, err);
    if (rc != 0) {
        return rc;
    }
    t->walking = false;
    t->evict_before_ms = INT64_MIN;
    if (t->conf.cache_max_bytes > 0 && t->walks < WALKS_MAX) {
        t->evict_before_ms = evict_before(&t->evict, (uint64_t)t->conf.cache_max_bytes);
    }
    return t->evict_before_ms > INT64_MIN;
}
