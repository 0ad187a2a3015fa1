/*
 * scheduler.h - the scheduler role: what may run, when, on which model.
 *
 * Feeds on every jobs topic in offset order, decides with the pure admit() (scheduler/admit.h),
 * and commits per slice: the releases to `ready`, the reservations in `open`, the marks and the
 * acks, together. Reads `spend` to turn what it reserved into what was spent, and `budgets` for
 * edits. One commit in flight; parsing and hashing of a slice run on the thread pool.
 */
#ifndef OFFPEAK_SCHEDULER_SCHEDULER_H
#define OFFPEAK_SCHEDULER_SCHEDULER_H

#include "core/config.h"
#include "core/err.h"
#include "core/prices.h"
#include "core/record.h"

struct scheduler;
struct queue;
struct loop;

/* Rows flow.calls, flow.tokens, budget.default */
struct scheduler_settings {
    int64_t flow_calls;  /* released and unsettled calls per account and model, 100,000 */
    int64_t flow_tokens; /* ... and their prompt tokens */
    const char *budget_default; /* NULL, or as scheduler/budget_default.h has it */
};
extern const struct config_row scheduler_config_rows[];
extern const size_t scheduler_config_rows_len;
/* What a table of settings cannot say: ERR_USAGE names the setting. */
int scheduler_check(const struct scheduler_settings *s, struct err *err);

/* One lane's terms in this process. A lane whose prices are known lets its jobs through even when
 * this process makes no such calls (no key was given): they wait released, for one that does. */
struct scheduler_lane {
    const struct price_book *prices; /* NULL: not known here; its jobs wait, see `why` */
    const char *provider;            /* in the price book: "openai", "pool" */
    const char
        *endpoint; /* part of every cache key: origin of the base URL, "pool:name" */
    bool calls;    /* this process makes them, at that endpoint and no other */
    const char *why, *hint; /* without prices: what is missing, and what to give */
};

/* How long things are kept that the scheduler drops (scheduler/retention.h). */
struct scheduler_keep {
    bool drops;                    /* false: the worker does, here they are one process */
    int64_t retain_ms, results_ms; /* the settings `retain` and `results.keep` */
};

struct scheduler_conf {
    struct queue *queue;
    struct loop *loop;
    struct scheduler_lane lanes[LANES];
    const struct scheduler_settings *settings;
    struct scheduler_keep keep;
    bool needs_limit; /* without a limit or a budget.default a queue waits */
    void (*on_event)(void *ctx, const char *subject,
                     const char *text); /* gates closing and opening, for people */
    void (*on_stop)(void *ctx, const struct err *err);
    void *ctx;
};

/* Why a queue stands still. */
enum gate_kind { GATE_OPEN, GATE_ENDPOINT, GATE_BUDGET, GATE_PAUSE, GATE_FLOW };
struct gate {
    enum gate_kind kind;
    bool closed;           /* nothing in flight can reopen it */
    int64_t opens_wall_ms; /* start of the next period; 0: only a person can open it */
    char why[500];  /* "budget of 'search' per day: $4 spent and $0 reserved of $4 ..." */
    char hint[320]; /* the command that would open it */
};

int scheduler_create(struct scheduler **ret, const struct scheduler_conf *conf,
                     struct err *err);
int scheduler_start(struct scheduler *s, struct err *err);
/* The gate in front of one queue; GATE_OPEN when it does not wait. */
void scheduler_gate(const struct scheduler *s, const char *team, const char *feature,
                    struct gate *ret);
/* Nothing unread in any open queue and nothing being parsed or committed. */
bool scheduler_idle(const struct scheduler *s);
/* Every queue that has waiting jobs stands at a closed gate. */
bool scheduler_all_closed(const struct scheduler *s);
uint64_t scheduler_waiting(
    const struct scheduler *s); /* jobs accepted and not released */
struct scheduler *scheduler_destroy(struct scheduler *s);

#endif
