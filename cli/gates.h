/*
 * gates.h - on a broker: which queues have jobs that wait, and behind which gate.
 *
 * The scheduler alone decides; a reader decides again by the same rules (scheduler/admit.h) over
 * what stands there: the first job that waits, its run, the budgets, the ledger and what is
 * reserved. What only the scheduler's own configuration says, a reader takes from its own: price
 * book, budget.default, flow. Where that may be another, the gate is `assumed`.
 *
 * gates_open once, gates_look for every picture: of at most GATES_QUEUES queues, by name. Memory:
 * the budget lines, and one job. Whoever may not read the budgets sees no gates: `hidden`.
 */
#ifndef OFFPEAK_CLI_GATES_H
#define OFFPEAK_CLI_GATES_H

#include "cli/beat.h"
#include "cli/cli.h"
#include "scheduler/scheduler.h"

#define GATES_QUEUES 200
#define GATES_SHOWN  BEAT_GATES_MAX

struct gates_gate {
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    struct gate gate;
    bool assumed; /* the scheduler may have been given a budget.default */
    uint64_t
        first; /* the job that waits first: as long as it is the same, nothing moved */
};

struct gates_view {
    uint64_t waiting; /* jobs that are not let through yet */
    uint64_t
        passed; /* places before them, of all queues: a number that grows when any is */
    struct gates_gate gates[GATES_SHOWN];
    unsigned n;
    bool hidden;
};

/* Which queues; NULL: any. Borrowed. */
struct gates_conf {
    const struct cli *cli;
    struct queue *queue;
    const char *team, *feature;
};

struct gates;

int gates_open(struct gates **ret, const struct gates_conf *conf, struct err *err);
int gates_look(struct gates *g, struct gates_view *ret, struct err *err);
/* The same as what an owner leaves of it, with the end that commands need. */
void gates_beat(const struct gates_view *v, const struct cli *c, struct beat *ret);
struct gates *gates_close(struct gates *g);

#endif
