/*
 * groups.h - totals by name: by team, by feature, by model.
 *
 * At most GROUPS_MAX names are told apart; what comes later is added up under "(others)", so that
 * the groups always add up to the whole.
 */
#ifndef OFFPEAK_CLI_GROUPS_H
#define OFFPEAK_CLI_GROUPS_H

#include "cli/totals.h"

#define GROUPS_MAX     1000
#define GROUP_NAME_MAX 128

struct group {
    char name[GROUP_NAME_MAX];
    struct totals totals;
};

struct groups {
    struct group *list;
    unsigned n, cap;
};

int groups_add(struct groups *g, const char *name,
               const struct spend_line *l); /* -1: no memory */
void groups_sort(struct groups *g);         /* by name */
void groups_fini(struct groups *g);

#endif
