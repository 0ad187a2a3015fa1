/*
 * runs.h - finding a run by its id, over all queues.
 */
#ifndef OFFPEAK_CLI_RUNS_H
#define OFFPEAK_CLI_RUNS_H

#include "core/record.h"

struct run_found {
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1], run[RUN_MAX + 1];
    struct run_row row;
};

/* Which; NULL: any. With any run the one begun last is meant. */
struct run_wanted {
    const char *team, *feature, *run;
};

/* How many there are, 0 none; *ret is the one begun last. */
int run_find(struct queue *q, const struct run_wanted *wanted, struct run_found *ret,
             struct err *err);
/* Every one of them, in no order. */
typedef void (*run_fn)(void *ctx, const struct run_found *run);
int run_each(struct queue *q, const struct run_wanted *wanted, run_fn fn, void *ctx,
             struct err *err);
/* Exactly one, by its id. None and several are ERR_USAGE; the hint names the run begun last, or
 * the commands that say which: `command` is "results". */
int run_need(struct queue *q, const char *command, const struct run_wanted *wanted,
             struct run_found *ret, struct err *err);
/* The hint to an error about a run: how to find the one that was meant. */
void run_hint_last(struct queue *q, struct err *err);
/* Jobs of the run so far; all of them once row->complete. */
uint64_t run_jobs(const struct run_row *row);
/* Results it will have, those of jobs that were retried counted each time. */
uint64_t run_ends(const struct run_row *row);

#endif
