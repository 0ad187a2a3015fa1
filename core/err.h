/*
 * err.h - an error a person can act on.
 *
 * Functions return 0 or a positive number when they did what they were asked, a negative
 * one when not; the last parameter carries what to tell the user. The usual line is
 *
 *     return err_set(err, ERR_INPUT, "could not read '%s': %s", path, strerror(errno));
 *
 * err_set returns -code. A hint is a command to run or a change to make; it is set after the
 * message. `err` may be NULL where nobody will read it. Nothing here allocates.
 *
 * Codes are the exit codes of the program, so that main has nothing to translate; they are
 * documented in docs/CLI.md and never renumbered.
 */
#ifndef OFFPEAK_CORE_ERR_H
#define OFFPEAK_CORE_ERR_H

#include "core/attr.h"
#include <stdbool.h>

enum err_code {
    ERR_FAIL = 1,    /* something that should work did not: disk, bug, broken store */
    ERR_USAGE = 2,   /* the command line or the configuration cannot be meant */
    ERR_PARTIAL = 3, /* finished, and some jobs failed */
    ERR_AUTH = 4,    /* the provider refuses the key */
    ERR_TEMP = 5,    /* try again later: network, quota, another owner */
    ERR_INPUT = 6,   /* the input is not valid */
    ERR_VERSION = 7, /* data or schema of another version */
    ERR_GATE = 8,    /* a budget or a gate stands in the way */
};

/* What the caller may do about it. */
enum err_retry {
    RETRY_NEVER = 0, /* the same call will fail the same way */
    RETRY_LATER,     /* the same call may work after a pause */
    RETRY_UNKNOWN,   /* it may have happened: look before doing it again */
};

struct err {
    enum err_code code;
    enum err_retry retry;
    char msg[600];
    char hint[300];
};

int err_set(struct err *err, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
void err_hint(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
int err_retryable(struct err *err, enum err_retry retry); /* sets retry, returns -code */

#endif
