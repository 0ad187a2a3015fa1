/*
 * retry.h - jobs of a run that ended without an answer are queued again.
 *
 * Each is put once more on its jobs topic, with the line it stands for, the bytes it came with, and
 * the next attempt; the results of a line with the highest attempt are the ones that count. The
 * run's row says in the first commit how many there are and in the last that all of them are
 * queued. A retry that was killed is given again: what it queued before counts as a repeat, for
 * lines of one attempt come in order (DESIGN: repeats).
 *
 * It blocks, in transactions of its own, beside a running owner or beside nobody.
 */
#ifndef OFFPEAK_PRODUCER_RETRY_H
#define OFFPEAK_PRODUCER_RETRY_H

#include "core/err.h"
#include "core/record.h"

struct retry_job {
    uint64_t line;  /* of the run's file */
    uint64_t place; /* in the jobs topic (core/record.h) */
};

struct retry_conf {
    struct queue *queue;
    const char *team, *feature, *run;
    const struct run_row *row;    /* as it stands */
    const struct retry_job *jobs; /* by line */
    size_t n;
};

/* *ret_row: as it stands afterwards. */
int retry_append(const struct retry_conf *conf, struct run_row *ret_row, struct err *err);

#endif
