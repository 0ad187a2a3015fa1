/*
 * daemon_folder.h - where a daemon keeps its copies and spool files, and under which name.
 *
 * With a folder of the user's (--state) it is kept, and so is the name in its file `instance`,
 * made once, unless kafka.instance gives one. Without, it is a folder of its own below the state
 * folder, removed at the end; those that a killed daemon left are removed by the next one.
 */
#ifndef OFFPEAK_CLI_DAEMON_FOLDER_H
#define OFFPEAK_CLI_DAEMON_FOLDER_H

#include "cli/broker.h"
#include "cli/cli.h"

struct daemon_folder {
    char path[CLI_PATH_MAX];
    char instance[BROKER_INSTANCE_MAX + 1]; /* "": a member like any other */
    int lock_fd;                            /* of a folder of its own; -1 */
};

/* `c->data` is the state folder, `role` "worker". */
int daemon_folder_open(struct daemon_folder *ret, const struct cli *c, const char *role,
                       struct err *err);
void daemon_folder_close(struct daemon_folder *f);

#endif
