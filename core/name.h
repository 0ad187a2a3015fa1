/*
 * name.h - the names people give to teams, features and runs.
 *
 * They become parts of topic names, table keys and file names, so what they may hold is small
 * and fixed. A refusal says what is allowed. Nothing here allocates.
 */
#ifndef OFFPEAK_CORE_NAME_H
#define OFFPEAK_CORE_NAME_H

#include "core/buf.h"
#include "core/err.h"

#define NAME_TEAM_MAX 40 /* bytes of a team or feature, without NUL */
#define NAME_RUN_MAX  80

bool name_is_team(struct span name); /* [a-z0-9-]{1,40}: teams and features */
bool name_is_run(struct span name);  /* [A-Za-z0-9._-]{1,80}, but neither "." nor ".." */

/* ERR_USAGE with a message for people; `what` is "team" or "feature". */
int name_check_team(const char *what, struct span name, struct err *err);
int name_check_run(struct span name, struct err *err);

#endif
