/*
 * signals.h - Ctrl-C and SIGTERM as something to wait for, for commands without a loop.
 *
 * Between signals_take and signals_give they come through a descriptor that poll knows and end
 * nothing by themselves: so a command tidies up before it goes.
 */
#ifndef OFFPEAK_CLI_SIGNALS_H
#define OFFPEAK_CLI_SIGNALS_H

#include "core/err.h"
#include <signal.h>

struct signals {
    int fd; /* -1: not taken */
    sigset_t before;
};
#define SIGNALS_NONE ((struct signals){.fd = -1})

int signals_take(struct signals *ret, struct err *err);
/* The exit code of the one that came, negative; 0 none has. */
int signals_came(const struct signals *s);
void signals_give(struct signals *s);

#endif
