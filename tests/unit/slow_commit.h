/*
 * slow_commit.h - a store that is slow or broken, for tests.
 *
 * A commit takes as long as the disk likes, so whether a role is ahead of it is luck. From
 * slow_commits(loop) on every acknowledgement waits for simulated time to pass, and simulated
 * time passes only when nobody has anything left to do: the role is always ahead. Give NULL
 * before the loop is destroyed.
 *
 * After break_commits(loop) nothing is stored any more and every commit fails, as on a full
 * disk; NULL ends that. Link with -Wl,--wrap=queue_commit.
 */
#ifndef OFFPEAK_TESTS_UNIT_SLOW_COMMIT_H
#define OFFPEAK_TESTS_UNIT_SLOW_COMMIT_H

struct loop;

void slow_commits(struct loop *loop);
void break_commits(struct loop *loop);

#endif
