#include "worker/tidy_int.h"

#include "core/record.h"
#include <stdio.h>

/* The first offset whose record is not older than `cutoff_ms`: times never fall within a topic. */
static int first_kept(struct tidy *t, const char *topic, int64_t cutoff_ms, uint64_t *ret,
                      struct err *err)
{
    struct queue_at at = {.partition = 0};
    uint64_t lo = 0, hi = 0;
    int rc = queue_bounds(t->look, topic, 0, &lo, &hi, err);
    snprintf(at.topic, sizeof(at.topic), "%s", topic);
    for (uint64_t probe = lo; rc >= 0 && lo < hi; probe = lo + (hi - lo) / 2) {
        struct queue_msg msg;
        at.offset = probe;
        rc = queue_fetch(t->look, &at, &msg, err);
        if (rc > 0 && msg.time_ms >= cutoff_ms) {
            hi = probe;
        } else {
            lo = probe + 1;
        }
    }
    *ret = lo;
    return rc < 0 ? rc : 0;
}

static int low_of(struct tidy *t, const char *topic, uint32_t partition, uint64_t *ret,
                  struct err *err)
{
    if (queue_low(t->conf.feed, topic, partition, ret) < 0) {
        return err_set(err, ERR_FAIL, "could not read the low water of '%s'", topic);
    }
    return 0;
}

int tidy_waits(struct tidy *t, const char *topic, int64_t since_ms, struct err *err)
{
    struct queue_at at = {.partition = 0};
    struct queue_msg msg;
    uint64_t first = 0, end = 0;
    int rc = queue_bounds(t->look, topic, 0, &first, &end, err);
    if (rc <= 0 || (rc = low_of(t, topic, 0, &at.offset, err)) < 0) {
        return rc;
    }
    if (at.offset >= end) {
        return 0;
    }
    snprintf(at.topic, sizeof(at.topic), "%s", topic);
    rc = queue_fetch(t->look, &at, &msg, err);
    return rc <= 0 ? rc : msg.time_ms <= since_ms;
}

/* ---- ready, and the jobs it refers to ---- */

static void note_job(struct ends *ends, const char *job)
{
    struct queue_at at;
    size_t i = 0;
    if (job_id_place(span_str(job), &at) < 0) {
        return;
    }
    while (i < ends->n && (ends->v[i].partition != at.partition ||
                           strcmp(ends->v[i].topic, at.topic) != 0)) {
        i++;
    }
    struct queue_end *end = &ends->v[i];
    if (i == ends->n) {
        *end = (struct queue_end){.partition = at.partition};
        memcpy(end->topic, at.topic, sizeof(end->topic));
        ends->n++;
    }
    end->before = MAX_OF(end->before, at.offset + 1);
}

/* The next records of `ready` that are settled and older than `retain`: 1 there are more. */
static int look_ready(struct tidy *t, uint64_t low, struct ends *ends, struct err *err)
{
    size_t bytes = 0;
    for (int i = 0; i < STEP_ROWS && bytes < STEP_BYTES; i++) {
        struct queue_msg msg;
        struct release r;
        int rc = queue_read(t->walk, &msg, err);
        if (rc <= 0 || msg.at.offset >= low ||
            msg.time_ms >= t->wall_ms - t->conf.retain_ms) {
            return rc < 0 ? rc : 0;
        }
        bytes += msg.value.n;
        ends->ready = msg.at.offset + 1;
        if (release_decode(msg.headers, &r) == 0 && r.verdict != VERDICT_FLUSH) {
            note_job(ends, r.job);
        }
    }
    return 1;
}

/* In one commit with the jobs, so that no record ever refers to one that is gone. Of a jobs
 * topic everything below goes too: it was released before, or was a repeat. With other partitions of
 * `ready` that is not known here. */
static int trim_ready(struct tidy *t, uint32_t partition, struct queue_tx *tx,
                      struct err *err)
{
    uint64_t first = 0, end = 0, low = 0;
    struct ends *ends = &t->ends;
    int rc = queue_bounds(t->look, TOPIC_READY, partition, &first, &end, err);
    if (rc <= 0 || (rc = low_of(t, TOPIC_READY, partition, &low, err)) < 0) {
        return rc;
    }
    ends->n = 0;
    ends->ready = first;
    queue_read_topic(t->walk, TOPIC_READY, partition, first);
    int more = look_ready(t, low, ends, err);
    rc = more < 0 ? more : queue_trim(tx, TOPIC_READY, partition, ends->ready, err);
    for (size_t i = 0; t->alone && i < ends->n && rc >= 0; i++) {
        const struct queue_end *e = &ends->v[i];
        rc = queue_trim(tx, e->topic, e->partition, e->before, err);
    }
    return rc < 0 ? rc : more;
}

int tidy_ready(struct tidy *t, struct queue_tx *tx, struct err *err)
{
    if (t->part == t->owned_n) {
        return 0;
    }
    int rc = trim_ready(t, t->owned[t->part], tx, err);
    t->part += rc == 0;
    return rc == 0 ? t->part < t->owned_n : rc;
}

/* ---- results and dead letters ---- */

/* On to the next topic with that prefix: what of it is older than results.keep. */
static int next_old(struct tidy *t, const char *prefix, struct err *err)
{
    int rc = queue_topics(t->look, prefix, t->name, t->name, err);
    if (rc <= 0) {
        return rc;
    }
    rc = first_kept(t, t->name, t->wall_ms - t->conf.results_keep_ms, &t->kept, err);
    t->walking = rc >= 0;
    return rc < 0 ? rc : 1;
}

static int trim_old(struct tidy *t, struct queue_tx *tx, struct err *err)
{
    int rc = queue_trim(tx, t->name, 0, t->kept, err);
    t->walking = rc > 0; /* more of this one */
    return rc < 0 ? rc : 1;
}

/* As long as a run has its row, all its results are there, from where they stood when it began:
 * whoever comes back to it, however long it took, can count them and write them. */
static int keep_of_runs(struct tidy *t, struct err *err)
{
    size_t bytes = 0;
    for (int i = 0; i < STEP_ROWS && bytes < STEP_BYTES; i++) {
        struct queue_msg msg;
        struct run_row row;
        int rc = queue_read(t->walk, &msg, err);
        if (rc <= 0) {
            t->asking = false;
            return rc < 0 ? rc : 1;
        }
        bytes += msg.value.n;
        const char *slash = memchr(msg.key.p, '/', msg.key.n);
        size_t left = slash ? msg.key.n - (size_t)(slash + 1 - msg.key.p) : 0;
        bool is_run = left > 0 &&
                      !memchr(slash + 1, '/', left); /* and no cancel of one */
        if (is_run && run_row_decode(msg.value, &row, NULL) >= 0) {
            t->kept = MIN_OF(t->kept, row.results_from);
        }
    }
    return 1;
}

int tidy_results(struct tidy *t, struct queue_tx *tx, struct err *err)
{
    if (!t->walking) {
        char table[QUEUE_NAME_MAX];
        int rc = next_old(t, "results.", err);
        if (rc > 0) {
            table_runs(t->name + strlen("results."), table);
            queue_read_table(t->walk, table, 0, SPAN_NONE);
            t->asking = true;
        }
        return rc;
    }
    return t->asking ? keep_of_runs(t, err) : trim_old(t, tx, err);
}

int tidy_dead(struct tidy *t, struct queue_tx *tx, struct err *err)
{
    return t->walking ? trim_old(t, tx, err) : next_old(t, "dead.", err);
}
