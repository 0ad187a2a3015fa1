/*
 * daemon_access.h - before a daemon joins its group: may it do what its role needs?
 *
 * A broker answers a question about a topic that nobody lets us see with "not allowed", and refuses
 * a record without a key for a table: for want of permission first, for the key after that. So
 * nothing is written, and what is lacking is known before there is any work to lose. Asked are
 * the rows of cli/access.h of that role: its topics, the group, and whether it may write to the
 * tables that are its own. Of what is a team's, by the first teams that have runs: a permission that
 * lacks for one of them is that team's trouble, one that lacks for all is ours.
 *
 * What cannot be asked (permissions to trim, transactional ids) is found when it is needed.
 */
#ifndef OFFPEAK_CLI_DAEMON_ACCESS_H
#define OFFPEAK_CLI_DAEMON_ACCESS_H

#include "cli/access.h"
#include "cli/broker.h"

#define DAEMON_ACCESS_TEAMS 8

/* 0: nothing is known to lack. Else negative, and err as kafka_denied knows it names what. A broker
 * that does not answer is no reason: the daemon waits for it as for anything. */
int daemon_access(const struct broker_settings *set, enum access_role role,
                  struct err *err);

/* The hint of an error for want of a permission becomes the command that gives it; others stay. */
void daemon_access_hint(const struct broker_settings *set, enum access_role role,
                        struct err *err);

#endif
