/*
 * slow_commit.h - a store whose commits take a millisecond of the loop's time, for tests.
 *
 * A commit takes as long as the disk likes, so whether a role is ahead of it is luck. From
 * slow_commits(loop) on every acknowledgement waits for simulated time to pass, and simulated
 * time passes only when nobody has anything left to do: the role is always ahead. Give NULL
 * before the loop is destroyed. Link with -Wl,--wrap=queue_commit.
 */
#ifndef OFFPEAK_TESTS_UNIT_SLOW_COMMIT_H
#define OFFPEAK_TESTS_UNIT_SLOW_COMMIT_H

struct loop;

void slow_commits(struct loop *loop);

#endif
