/*
 * topics.h - every topic and table there is: how it stands on a broker and who copies it.
 *
 * One table (topics.c), used by the engine that works with a broker and by `offpeak topics`.
 * A kind of topic is known by its name, or by the prefix of its names, which ends in '.'. On a
 * broker a topic is called `prefix` and its name; a table is a compacted topic, called the
 * same way, so a topic and a table cannot have one name there.
 *
 * A topic that is not in the table is a plain log of one partition; a table that is not in it
 * does not exist on a broker: topics_find returns NULL.
 *
 * Roles: the scheduler and the worker own some tables (they alone write them, and restore them
 * before they begin), are fed some topics, and follow what others write. READER is any command
 * beside them; WHOLE is one process that does everything, alone.
 */
#ifndef OFFPEAK_CORE_TOPICS_H
#define OFFPEAK_CORE_TOPICS_H

#include "core/kafka.h"
#include "core/queue.h"

#define TOPICS_PREFIX       "offpeak."
#define TOPICS_SPREAD       12 /* partitions of what workers share: fixed for life */
#define TOPICS_JOBS         3  /* partitions of a new jobs topic; it may be given more */
#define TOPICS_VALUE_MAX    ((size_t)8 << 20)
#define TOPICS_LEADER       "leader"
#define TOPICS_ACKS         "acks"
#define TOPICS_SETTINGS_MAX 8

enum topics_copy {
    COPY_NONE,
    COPY_FEED, /* what this role is fed, from the lowest unacknowledged record on */
    COPY_OWN,  /* written by this role alone: restored, then kept up by its own commits */
    COPY_FOLLOW, /* written by others: read as it grows */
};

struct topic_spec {
    const char *name; /* or prefix, ending in '.' */
    bool table;
    bool
        keyed; /* its partitions are those of `ready`: who owns one owns all of its number */
    bool
        window; /* fed or followed a piece at a time; what is done is dropped from the copy */
    int32_t partitions;  /* of a new one */
    const char *what;    /* for `offpeak topics`: who writes it, and what */
    const char *keep_ms; /* retention; "-1": its owner trims it, or it is kept */
    const char *bytes_max;
    enum topics_copy worker, scheduler, whole;
};

/* NULL when no such topic or table is known. `table` tells the two apart. */
const struct topic_spec *topics_find(bool table, const char *name);
/* What stands under this name on a broker: a table if one is called so, else a topic. */
const struct topic_spec *topics_on_broker(const char *name);
/* All of them, for whoever makes or checks them. */
const struct topic_spec *topics_all(size_t *ret_n);

/* What the role has of it on its own disk; of a name that is not known when spec is NULL. */
enum topics_copy topics_copied(const struct topic_spec *spec, enum queue_role role);
int32_t topics_partitions(const struct topic_spec *spec);
/* The largest value: what the topic takes, less what stands around it. */
size_t topics_value_max(const struct topic_spec *spec);
/* The settings of a new one: TOPICS_SETTINGS_MAX at most; how many. */
size_t topics_settings(const struct topic_spec *spec,
                       struct kafka_setting ret[static TOPICS_SETTINGS_MAX]);
/* The topic whose partitions are shared out among the processes of a role; NULL: none. */
const char *topics_shared(enum queue_role role);

#endif
