/*
 * budget_default.h - the setting budget.default: the limit of teams that have none of their own.
 *
 * "25/day", "300/month", "1000/total" (USD), or "none": no limit is meant. Unset says nothing: where
 * a limit is needed, queues then wait for one (scheduler/admit.h). It counts on the same lines as a
 * limit that was set, those of the team; a team that was given any limit has none of it.
 */
#ifndef OFFPEAK_SCHEDULER_BUDGET_DEFAULT_H
#define OFFPEAK_SCHEDULER_BUDGET_DEFAULT_H

#include "core/err.h"
#include "core/record.h"

struct budget_default {
    bool given;              /* "none" is, too */
    struct budget_edit edit; /* as if it had been set: limits only */
};

/* `text` NULL or "": not given. ERR_USAGE when it is none of the above. */
int budget_default_parse(const char *text, struct budget_default *ret, struct err *err);
/* Whose limits hold for a scope with that newest edit (NULL: it has none): the edit, or for a team
 * without a limit the default; NULL: nobody's. */
const struct budget_edit *budget_default_for(const struct budget_default *d,
                                             const char *scope,
                                             const struct budget_edit *edit);
bool budget_edit_limits(const struct budget_edit *edit);

#endif
