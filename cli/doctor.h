/*
 * doctor.h - what the files of `offpeak doctor` share.
 *
 * A check tells what it found, a line for each thing (--json: an item of `checks`); what failed also decides the exit code.
 */
#ifndef OFFPEAK_CLI_DOCTOR_H
#define OFFPEAK_CLI_DOCTOR_H

#include "cli/cli.h"
#include "cli/endpoint.h"

enum finding { FINDING_OK, FINDING_WARN, FINDING_FAIL };

struct doctor {
    const struct cli *cli;
    struct endpoint endpoint;
    int64_t wall_ms;
    unsigned warned, failed;
    int code; /* exit code of the first that failed */
    unsigned items;
    bool open; /* --json: the last item wants its hint yet */
};

PRINTF_LIKE(4, 5)
void doctor_tell(struct doctor *d, enum finding f, const char *subject, const char *fmt,
                 ...);
/* Under what was told before; "" prints nothing. */
void doctor_hint(struct doctor *d, const char *text);
void doctor_fail(struct doctor *d, const char *subject, const struct err *err);

/* The broker, the library that talks to it, and the topics there (doctor_broker.c). */
void doctor_broker(struct doctor *d);

#endif
