/*
 * beat.h - what only the owner of a data folder knows, for who watches: DIR/beat.json.
 *
 * Everything that must last is in the store. When the next poll is due, which gate is closed and
 * why the account stands still is in the memory of the process at work; it writes that down once a
 * second and removes it at its end. A beat without an owner is void: a killed process left it.
 */
#ifndef OFFPEAK_CLI_BEAT_H
#define OFFPEAK_CLI_BEAT_H

#include "core/err.h"
#include "core/record.h"
#include "scheduler/scheduler.h"

#define BEAT_GATES_MAX 8
#define BEAT_POLLS_MAX 32 /* the oldest batches at the provider */

struct beat_gate {
    char queue[TEAM_MAX + FEATURE_MAX + 2];
    bool closed; /* nothing in flight can reopen it */
    char why[600], hint[1400];
};

struct beat_poll {
    char batch[32];
    int64_t at_ms;
};

struct beat {
    int64_t started_ms;                   /* wall clock, as all here */
    int64_t next_poll_ms;                 /* 0: none is due */
    uint64_t waiting;                     /* jobs that are not let through yet */
    char account[400], account_hint[300]; /* why it stands still; "" */
    struct beat_gate gates[BEAT_GATES_MAX];
    unsigned gates_n;
    struct beat_poll polls[BEAT_POLLS_MAX];
    unsigned polls_n;
};

/* Adds a gate while there is room for one; `where` ends its command (cli_where), "" when whoever
 * reads knows. An open one is left out. */
void beat_add_gate(struct beat *b, const char *team, const char *feature,
                   const struct gate *gate, const char *where);
int beat_write(const char *dir, const struct beat *b); /* -1: not written */
void beat_remove(const char *dir);
bool beat_read(const char *dir, struct beat *ret); /* false: there is none */

#endif
