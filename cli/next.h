/*
 * next.h - who works off what waits, and the command that comes next.
 *
 * In a data folder that is the process that owns it, or whoever is started next; on Kafka it is the
 * scheduler and the workers there, and what comes next is to wait for the results.
 */
#ifndef OFFPEAK_CLI_NEXT_H
#define OFFPEAK_CLI_NEXT_H

#include "cli/cli.h"

#define NEXT_MAX (CLI_PATH_MAX + 600)

enum next_who { NEXT_NOBODY, NEXT_OWNER, NEXT_DAEMONS };

/* An enum next_who, or negative. */
int next_who(const struct cli *c, struct queue *q, struct err *err);
/* "offpeak run --data DIR", or on Kafka "offpeak results --run ID --wait". */
void next_command(const struct cli *c, const char *run, char ret[static NEXT_MAX]);
/* A line for people: who takes the jobs of this run on, or what does. */
void next_say(const struct cli *c, enum next_who who, const char *run);
/* "next":...,"owner":...; run NULL: nothing comes next. */
void next_json(const struct cli *c, enum next_who who, const char *run);

#endif
