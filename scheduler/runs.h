/*
 * runs.h - the runs whose lines are being admitted, and how far each came.
 *
 * Two things about a run decide over its lines: its row in `runs.<team>` (limit, reuse, level,
 * freshness, whether more lines will come; beside it, that it was cancelled) and its mark: the last line admitted from one
 * partition and attempt. A line not above its mark is a repeat of a submit that was replayed;
 * it is acknowledged and counted, never run. Marks are written in the commit that releases.
 *
 * Records that name no known run (any Kafka client may write them) belong to the queue's
 * standing run: default options, no limit, no marks.
 */
#ifndef OFFPEAK_SCHEDULER_RUNS_H
#define OFFPEAK_SCHEDULER_RUNS_H

#include "core/err.h"
#include "core/record.h"

struct runs;
struct queue_cursor;
struct queue_tx;

struct run {
    char key[QUEUE_KEY_MAX]; /* of its mark: topic/partition/run/attempt */
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1], name[RUN_MAX + 1];
    bool has_row, cancelled;
    bool broken; /* it has a row that nobody can read */
    struct run_row row;
    uint64_t last_line;
    bool dirty;
};

struct runs *runs_create(void); /* NULL: out of memory */
struct runs *runs_destroy(struct runs *r);

/* The run of a record; read from the tables when it is not known yet. */
int runs_of(struct runs *r, struct queue_cursor *c, const struct queue_at *at,
            const struct job_head *head, struct run **ret, struct err *err);
/* Can the record be the run's? 0, why not in `ret_why`; its row is read again to be sure. */
int run_takes(struct run *run, struct queue_cursor *c, const struct job_head *head,
              char ret_why[static WHY_MAX], struct err *err);
bool run_repeats(const struct run *run, uint64_t line);
void run_mark(struct run *run, uint64_t line);
int runs_write(struct runs *r, struct queue_tx *tx, struct err *err);

/* Looks which of the known runs were cancelled since: how many. */
int runs_look_cancelled(struct runs *r, struct queue_cursor *c, struct err *err);
/* Reads the rows of runs that were not complete again. */
int runs_refresh(struct runs *r, struct queue_cursor *c, struct err *err);
/* More lines of that queue's runs are on their way. */
bool runs_filling(const struct runs *r, const char *team, const char *feature);
/* Forgets everything that can be read again, when there is much of it. Only between commits. */
void runs_trim(struct runs *r);
void runs_forget(struct runs *r);

#endif
