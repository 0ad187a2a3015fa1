/*
 * access.h - who needs which permissions on a broker: one table.
 *
 * A user of the broker has a role: what a process of offpeak does, or what a team's own clients
 * do. access_rules expands the rows of a role into the permissions of one user (struct
 * kafka_acl), for the prefix of the topics and, where the role is a team's, for that team.
 * access_command writes one as a command of the broker's own script, for what our client library
 * or our user may not do. Pure functions; the caller owns all memory.
 *
 * Only what is needed is allowed; what is allowed to read, write or delete may be described too
 * (Apache Kafka, "Authorization and ACLs": implied operations).
 */
#ifndef OFFPEAK_CLI_ACCESS_H
#define OFFPEAK_CLI_ACCESS_H

#include "core/kafka.h"

#define ACCESS_RULES_MAX 40 /* of one user */
#define ACCESS_USER_MAX  200

enum access_role {
    ACCESS_WORKER,
    ACCESS_SCHEDULER,
    ACCESS_PRODUCER, /* a team's: puts jobs */
    ACCESS_READER,   /* a team's: reads results */
    ACCESS_BI,       /* reads spend */
    ACCESS_OPERATOR, /* makes topics, sets budgets, cancels and retries */
};
#define ACCESS_ROLES 6

struct access_who {
    enum access_role role;
    char principal[ACCESS_USER_MAX]; /* "User:alice" */
};

/* Whose topics: team and feature as the role needs them, else NULL. */
struct access_scope {
    const char *prefix, *team, *feature;
};

struct access_rules {
    struct kafka_acl v[ACCESS_RULES_MAX]; /* names and principal point into this struct */
    char names[ACCESS_RULES_MAX][KAFKA_TOPIC_MAX];
    char principal[ACCESS_USER_MAX];
    size_t n;
};

const char *access_role_name(enum access_role role);
/* "worker=offpeak-worker": a user without a kind is a User. ERR_USAGE. */
int access_parse(const char *text, struct access_who *ret, struct err *err);
/* ERR_USAGE when a team's role is given without a team. */
int access_rules(const struct access_who *who, const struct access_scope *scope,
                 struct access_rules *ret, struct err *err);
/* Does a rule that stands allow what is needed, perhaps with more. */
bool access_covers(const struct kafka_acl *has, const struct kafka_acl *needed);
/* "write topic offpeak.jobs.search.*" */
void access_words(const struct kafka_acl *acl, struct buf *ret);
void access_command(const struct kafka_acl *acl, const char *brokers, struct buf *ret);

/* ---- on the broker (access_make.c): minus an enum err_code ---- */

enum access_state {
    ACCESS_LACKS,
    ACCESS_HAS,
    ACCESS_UNKNOWN, /* this client library can neither list nor give it */
};

/* Fills the state of each rule. */
int access_look(struct kafka_admin *admin, const struct access_rules *rules,
                enum access_state ret[static ACCESS_RULES_MAX], struct err *err);
/* Allows all that the library can give. */
int access_allow(struct kafka_admin *admin, const struct access_rules *rules,
                 struct err *err);

#endif
