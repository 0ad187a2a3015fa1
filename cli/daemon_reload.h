/*
 * daemon_reload.h - SIGHUP: configuration, key file, prices and servers are loaded again.
 *
 * All or nothing: what is loaded is whole before the old goes. The connection to the broker, and
 * what the environment and the command line said, stay as they were.
 */
#ifndef OFFPEAK_CLI_DAEMON_RELOAD_H
#define OFFPEAK_CLI_DAEMON_RELOAD_H

#include "cli/endpoint.h"

/* `own`: what the last reload made, NULL after the start; c->set and `e` point into it from then on. */
int daemon_reload(struct cli *c, struct endpoint *e, struct settings **own,
                  struct err *err);
struct settings *daemon_reload_forget(struct settings *own);

#endif
