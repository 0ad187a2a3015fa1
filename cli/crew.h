/*
 * crew.h - who is at work on a broker: schedulers and workers, as their groups know them.
 *
 * A process that died counts until its session is over (10 s). Whom the broker does not let see a
 * group is told CREW_UNKNOWN of it.
 */
#ifndef OFFPEAK_CLI_CREW_H
#define OFFPEAK_CLI_CREW_H

#include "cli/broker.h"

#define CREW_UNKNOWN (-1)

struct crew {
    int schedulers, workers;
};

/* ERR_TEMP when the broker does not answer. */
int crew_look(struct kafka_admin *admin, const struct broker_settings *set,
              struct crew *ret, struct err *err);
/* "2 workers, no scheduler", "workers unknown" ...: for people, in a line. */
void crew_words(const struct crew *c, struct buf *ret);
/* No scheduler, or no worker: nothing goes on. */
bool crew_lacks(const struct crew *c);
/* The commands that start who is missing: "offpeak worker --brokers LIST". */
void crew_remedy(const struct crew *c, const struct broker_settings *set,
                 struct buf *ret);

#endif
