/*
 * explain.h - everything the store knows about one job.
 *
 * explain_find looks a job up by its id, or by its custom_id (in one run, or wherever it was given
 * last), and gathers: its line, the question it asks, where it stands, its result, and every
 * charge. Records are copied; explain_fini frees them. Reading a whole store takes as long as its
 * topics are: seconds for a million jobs.
 */
#ifndef OFFPEAK_CLI_EXPLAIN_H
#define OFFPEAK_CLI_EXPLAIN_H

#include "cli/beat.h"
#include "cli/cli.h"
#include "core/buf.h"
#include "scheduler/ask.h"
#include "worker/answers.h"
#include "worker/batch.h"

#define EXPLAIN_CHARGES_MAX 32

enum explain_state {
    EXPLAIN_WAITS,   /* in its queue */
    EXPLAIN_PLANNED, /* let through, for no call yet */
    EXPLAIN_BATCHED, /* in a batch, or a slice of calls made one by one */
    EXPLAIN_ENDED
};

struct explain_wanted {
    const char *name; /* a job id or a custom_id */
    const char *run, *team, *feature;
};

struct explain {
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    struct ask ask;  /* id, head (run, line, attempt), question, places */
    struct buf line; /* as it was queued */
    unsigned others; /* more jobs have that custom_id */
    bool has_row;
    struct run_row row; /* of its run */
    struct digest key;  /* cache key */
    enum explain_state state;
    bool has_gate;
    struct beat_gate gate; /* of EXPLAIN_WAITS */
    bool owner;            /* somebody works on it */
    char batch[BATCH_ID_BYTES], batch_state[16];
    bool reserved_now;
    struct usd reserved;
    struct result_head result; /* of EXPLAIN_ENDED */
    struct buf result_line;
    bool has_answer; /* its question has a stored answer: */
    char answer_run[FEATURE_MAX + RUN_MAX + 2];
    int64_t answer_ms;
    struct buf charges[EXPLAIN_CHARGES_MAX]; /* spend records, raw JSON */
    unsigned charges_n;
};

int explain_find(const struct cli *c, struct queue *q,
                 const struct explain_wanted *wanted, struct explain *ret,
                 struct err *err);
void explain_fini(struct explain *e);

#endif
