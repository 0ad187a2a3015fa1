/*
 * books.h - the budget lines: what is spent, what is reserved, what the limit is.
 *
 * A budget line is a scope (team, team/feature, or one run) with a period (a UTC day, a UTC
 * month, or in total). Every job counts on up to seven of them. `spent` comes from the table
 * `ledger`, `reserved` is the sum of the table `open`, limits come from the table `budgets`; the
 * books hold the three in memory, exact, and write the rows that changed into the commit that
 * changed them. The scheduler is the only writer.
 *
 * A reservation is taken in memory when the decision is made and stands in `open` with the same
 * commit that releases the job; when that commit fails the process stops, so memory and store
 * never disagree for longer than a commit.
 */
#ifndef OFFPEAK_SCHEDULER_BOOKS_H
#define OFFPEAK_SCHEDULER_BOOKS_H

#include "core/clock.h"
#include "core/err.h"
#include "core/record.h"
#include "scheduler/budget_default.h"

struct books;

enum period { PERIOD_DAY, PERIOD_MONTH, PERIOD_TOTAL, PERIODS };
const char *period_name(enum period p);

#define BOOKS_LINES_MAX 7 /* two scopes with three periods each, and the run */

struct line {
    char key[QUEUE_KEY_MAX]; /* row of `ledger`: "scope|period|which" */
    struct ledger_row row;
    struct usd_sum reserved;
    uint64_t open_jobs;
    bool dirty; /* row changed since it was last written */
};

/* A line as one job meets it. */
struct line_view {
    struct line *line;
    char scope[TEAM_MAX + FEATURE_MAX + RUN_MAX + 8];
    enum period period;
    bool limited;
    bool is_run; /* a run's --max-cost: no gate */
    struct usd limit;
};

/* What makes a job count where it counts. */
struct payer {
    const char *team, *feature, *run;
    const char *day;            /* "2026-11-21" */
    const struct usd *max_cost; /* NULL: the run has none */
};

/* `deflt` is the limit of teams without one (budget.default). */
int books_create(struct books **ret, const struct budget_default *deflt, struct err *err);
struct books *books_destroy(struct books *b);

/* Reads `budgets`, then `open`; each open row is also shown to `on_open` (flow, counts). */
int books_load(struct books *b, struct queue *q,
               void (*on_open)(void *ctx, const struct open_row *row), void *ctx,
               struct err *err);
/* Reads edits made since; >0 when anything changed. */
int books_refresh_limits(struct books *b, struct queue_cursor *c, struct err *err);
uint64_t books_budgets_seen(
    const struct books *b); /* commit of the newest edit applied */

bool books_paused(const struct books *b, const char *team, const char *feature,
                  struct budget_edit *ret);
/* The lines a job counts on; lines are created (and their rows read) as needed. */
int books_lines(struct books *b, struct queue_cursor *c, const struct payer *p,
                struct line_view ret[static BOOKS_LINES_MAX], unsigned *ret_n,
                struct err *err);

void books_reserve(const struct line_view *lines, unsigned n, struct usd amount);
/* A charge of a job in `open`. A final one ends its reservation: what was reserved becomes what
 * was spent (or stays booked, in doubt). One that is not final is a try in doubt, with another to
 * come: it takes its part of the reservation, in `open` too. */
void books_settle(struct books *b, const struct line_view *lines, unsigned n,
                  struct open_row *open, const struct spend_head *spend);
/* Ledger rows that books_write would put now. */
unsigned books_dirty(const struct books *b);
/* Puts every changed ledger row into the transaction and marks it clean. */
int books_write(struct books *b, struct queue_tx *tx, struct err *err);

#endif
