/*
 * failpoint.h - named points in the program where a test can stop it.
 *
 * FAILPOINT("submit.after_post") compiles to nothing unless OFFPEAK_FAILPOINTS is defined. In
 * such a build main arms points from the environment:
 *
 *     OFFPEAK_FAILPOINT="submit.after_post:2=kill,commit.before=sleep_50"
 *     OFFPEAK_FAILPOINT_LOG=/path/hits
 *
 * that is, at the second time the first point is passed the process dies by SIGKILL, as in a
 * power cut, and at the first time the second is passed it sleeps 50 ms. Actions: kill, exit
 * (status FAILPOINT_EXIT, nothing is flushed), stop (SIGSTOP, all threads, until SIGCONT),
 * sleep_MS. Every hit of any point is appended to the log as one line, so that a test can prove
 * that each was passed. Safe from any thread.
 *
 * This pair of files holds the one mutable table outside main, in such builds only.
 */
#ifndef OFFPEAK_CORE_FAILPOINT_H
#define OFFPEAK_CORE_FAILPOINT_H

#include "core/err.h"

#ifdef OFFPEAK_FAILPOINTS

#    define FAILPOINT_ARMED_MAX 16
#    define FAILPOINT_EXIT      86

#    define FAILPOINT(name) failpoint_hit(name)

void failpoint_hit(const char *name);
/* Both may be NULL. Call once, before other threads exist. */
int failpoint_arm(const char *spec, const char *log_path, struct err *err);

#else
#    define FAILPOINT(name) ((void)0)
#endif

#endif
