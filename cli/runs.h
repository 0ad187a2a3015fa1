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

/* 1 found, 0 none. `team` and `run` NULL: any; with any run the one begun last. */
int run_find(struct queue *q, const char *team, const char *run, struct run_found *ret,
             struct err *err);
/* ERR_USAGE, with a hint that names the run begun last. */
int run_need(struct queue *q, const char *team, const char *run, struct run_found *ret,
             struct err *err);
/* Jobs of the run so far; all of them once row->complete. */
uint64_t run_jobs(const struct run_row *row);

#endif
