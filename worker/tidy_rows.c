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
            rc = queue_table_put(tx, row.at.topic, row.at.partition, row.key, SPAN_NONE,
                                 err);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 1;
}

/* The parts of a key, split at its slashes; -1 when there are fewer or one is too long. */
struct parts {
    char v[3][QUEUE_NAME_MAX];
};

static int split_key(struct span key, int want, struct parts *ret)
{
    const char *p = key.p, *end = key.p + key.n;
    for (int i = 0; i < want; i++) {
        const char *slash = memchr(p, '/', (size_t)(end - p));
        size_t n = (size_t)((slash ? slash : end) - p);
        if (n == 0 || n >= QUEUE_NAME_MAX || (!slash && i + 1 < want)) {
            return -1;
        }
        memcpy(ret->v[i], p, n);
        ret->v[i][n] = '\0';
        p += n + (slash != NULL);
    }
    return 0;
}

static bool is_old(const struct tidy *t, const struct queue_msg *row)
{
    return row->time_ms < t->wall_ms - t->conf.results_keep_ms;
}

/* A mark is written with the last release of its run. So all of them are settled when what
 * `ready` still waits for is younger; and it may be forgotten when no line of the run waits
 * and none has come since. Key: topic/partition/run/attempt. */
static int judge_mark(struct tidy *t, const struct queue_msg *row, struct err *err)
{
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    char table[QUEUE_NAME_MAX], key[QUEUE_KEY_MAX];
    struct queue_msg run;
    struct parts of;
    if (!is_old(t, row) || split_key(row->key, 3, &of) < 0 ||
        topic_jobs_parse(of.v[0], team, feature) < 0) {
        return 0;
    }
    table_runs(team, table);
    run_key(feature, of.v[2], key);
    int rc = queue_table_get(t->look, table, 0, span_str(key), &run, err);
    if (rc < 0 || (rc > 0 && !is_old(t, &run))) {
        return rc < 0 ? rc : 0;
    }
    rc = tidy_waits(t, TOPIC_READY, row->time_ms, err);
    if (rc == 0) {
        rc = tidy_waits(t, of.v[0], row->time_ms, err);
    }
    return rc < 0 ? rc : !rc;
}

static int has_mark(struct tidy *t, const char *topic, const char *run, struct err *err)
{
    char prefix[QUEUE_KEY_MAX];
    struct queue_msg mark;
    int n = snprintf(prefix, sizeof(prefix), "%s/0/%s/", topic, run);
    if (n < 0 || (size_t)n >= sizeof(prefix)) {
        return 1; /* not a key of ours: leave it alone */
    }
    queue_read_table(t->look, TABLE_MARKS, 0, span_str(prefix));
    int rc = queue_read(t->look, &mark, err);
    return rc <= 0 ? rc
                   : mark.key.n > (size_t)n && memcmp(mark.key.p, prefix, (size_t)n) == 0;
}

/* A run's row is written with its last line, and goes after its marks. Key: feature/run, or
 * feature/run/cancel. */
static int judge_run(struct tidy *t, const struct queue_msg *row, struct err *err)
{
    const char *team = strchr(row->at.topic, '.');
    char topic[QUEUE_NAME_MAX];
    struct parts of;
    if (!team || !is_old(t, row) || split_key(row->key, 2, &of) < 0) {
        return 0;
    }
    topic_jobs(team + 1, of.v[0], topic);
    int rc = tidy_waits(t, topic, row->time_ms, err);
    if (rc == 0) {
        rc = has_mark(t, topic, of.v[1], err);
    }
    return rc < 0 ? rc : !rc;
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
        queue_read_table(t->walk, t->name, 0, SPAN_NONE);
    }
    int rc = walk_some(t, judge_run, tx, err);
    t->walking = rc > 0;
    return rc < 0 ? rc : 1;
}

int tidy_marks(struct tidy *t, struct queue_tx *tx, struct err *err)
{
    if (!t->walking) {
        queue_read_table(t->walk, TABLE_MARKS, 0, SPAN_NONE);
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
    t->part = 0;
    t->walks++;
}

/* The next of the partitions owned: false when all were walked. */
static bool walk_next(struct tidy *t)
{
    t->walking = t->part < t->owned_n;
    if (t->walking) {
        queue_read_table(t->walk, TABLE_ANSWERS, t->owned[t->part++], SPAN_NONE);
    }
    return t->walking;
}

/* Walks again, now deleting, while there is more than the bound. */
int tidy_answers(struct tidy *t, struct queue_tx *tx, struct err *err)
{
    if (!t->walking) {
        begin_walk(t);
        if (!walk_next(t)) {
            return 0;
        }
    }
    int rc = walk_some(t, judge_answer, tx, err);
    if (rc != 0) {
        return rc;
    }
    if (walk_next(t)) {
        return 1;
    }
    t->evict_before_ms = INT64_MIN;
    if (t->conf.cache_max_bytes > 0 && t->walks < WALKS_MAX) {
        t->evict_before_ms = evict_before(&t->evict, (uint64_t)t->conf.cache_max_bytes);
    }
    return t->evict_before_ms > INT64_MIN;
}
