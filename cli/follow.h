/*
 * follow.h - where one run stands, from what is committed.
 *
 * Reads results.<team> and spend from where they stood when the run began, takes what belongs to
 * the run, folds it by id and counts. It reads beside a running owner and beside nobody. Call
 * follow_step until it returns 0, and again when the queue says that something was committed.
 * Each step reads a bounded number of records.
 *
 * Of a line that was retried the result with the highest attempt counts, in place of the one
 * before. on_result, when given, gets that result of every line once: line and head are
 * borrowed. What is replaced while one follows was handed out already.
 */
#ifndef OFFPEAK_CLI_FOLLOW_H
#define OFFPEAK_CLI_FOLLOW_H

#include "cli/totals.h"
#include "core/err.h"
#include "core/queue.h"
#include "core/record.h"

#define FOLLOW_STEP 2000 /* records a step reads */

struct follow;

typedef int (*follow_fn)(void *ctx, const struct result_head *head, struct span line,
                         struct err *err);

struct follow_conf {
    struct queue *queue;
    const char *team, *feature, *run; /* borrowed */
    uint64_t results_from, spend_from;
    bool no_spend;       /* results are all that is asked for */
    follow_fn on_result; /* or NULL */
    void *ctx;
};

struct follow_status {
    uint64_t results, by_status[4]; /* lines that have one; enum status */
    uint64_t ends;                  /* results, those that were replaced too */
    uint64_t max_cost;              /* of the cancelled: for want of --max-cost */
    uint64_t unlimited; /* without an output limit of their own: bound by the model's */
    struct totals money;
    bool no_money; /* this user may not read `spend`: what it cost is not known */
};

int follow_open(struct follow **ret, const struct follow_conf *conf, struct err *err);
int follow_step(struct follow *f, struct err *err); /* 1 there is more, 0 not now */
const struct follow_status *follow_status(const struct follow *f);
struct follow *follow_close(struct follow *f);

/* All there is, then closes: for commands that do not wait. */
int follow_all(const struct follow_conf *conf, struct follow_status *ret,
               struct err *err);

#endif
