/*
 * limits.h - what stands on the budget lines, from what is committed.
 *
 * A scope is a team or team/feature; its newest edit is in force. Amounts spent stand in the
 * ledger under "scope|period|which". All read with the caller's cursor.
 */
#ifndef OFFPEAK_CLI_LIMITS_H
#define OFFPEAK_CLI_LIMITS_H

#include "core/record.h"

/* The newest edit of a scope: 1 found, 0 none. */
int limits_last(struct queue_cursor *cur, const char *scope, struct budget_edit *ret,
                struct err *err);
/* The scope behind `scope` ("" at the beginning), with its newest edit: 1, 0 none. */
int limits_next(struct queue_cursor *cur, const char *scope, struct budget_edit *ret,
                struct err *err);
/* Spent, with what is in doubt; `ret` stays as it is when there is no such line. */
int limits_spent(struct queue_cursor *cur, const char *key, struct usd_sum *ret,
                 struct err *err);

#endif
