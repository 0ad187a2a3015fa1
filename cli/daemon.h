/*
 * daemon.h - one role on a broker, for as long as it is wanted: `offpeak worker`, `offpeak scheduler`.
 *
 * A daemon asks whether it may do what its role needs (cli/daemon_access.h), again and again until it
 * may, then opens the queue in its role and waits to be given its share. Given it, it opens the
 * role; when the share is taken away (others join, a broker was out of reach, a commit failed) it
 * lets the role finish what is under way, closes it, and lets go. So a role lives with one share
 * and never sees it change. The life of a daemon:
 *
 *     STANDBY --share given--> AT_WORK --taken away, or told to--> DRAINING --closed--> STANDBY
 *
 * SIGTERM and SIGINT drain and end it (twice: at once), SIGHUP drains, loads the configuration,
 * the key and the prices again, and goes on; what cannot be loaded is told and the old stays. An
 * account that its provider refuses is tried again every DAEMON_ACCOUNT_MS.
 *
 * Its folder holds a copy of what the broker has and the files of batches under way; it may be
 * lost. Named with --state it is kept, with a name of its own among the others (kafka.instance):
 * such a daemon has its share back at once after a restart. Without, the folder is removed at the
 * end and its share goes to others.
 *
 * Told: to people on standard error; to a service manager (cli/notify.h); over HTTP (cli/probe.h).
 */
#ifndef OFFPEAK_CLI_DAEMON_H
#define OFFPEAK_CLI_DAEMON_H

#include "cli/access.h"
#include "cli/endpoint.h"

#define DAEMON_ACCOUNT_MS (5 * 60 * 1000)

struct daemon;

/* What a role is to its daemon. ctx is the command's; the parts below are the daemon's. */
struct daemon_parts {
    const struct cli *cli;
    const struct endpoint *endpoint;
    struct queue *queue;
    struct loop *loop;
    const char *dir;
    void (*on_event)(void *ctx, const char *subject, const char *text);
    void (*on_step)(void *ctx, const char *subject, const char *text);
    void (*on_stop)(void *ctx, const struct err *err);
    void *daemon; /* the ctx of these three */
};

struct daemon_role {
    const char *name;
    enum queue_role queue;
    enum access_role access;
    int (*open)(void *ctx, const struct daemon_parts *parts, struct err *err);
    void (*drain)(void *ctx, int64_t wait_ms); /* nothing new is begun */
    bool (*drained)(const void *ctx);
    bool (*again)(const void *ctx); /* it should be opened anew; or NULL */
    bool (*refused)(const void *ctx, struct err *err); /* the account; or NULL */
    void (*close)(void *ctx); /* also of what was never opened, or half */
};

/* Until it is told to end, or cannot go on. */
int daemon_run(struct cli *c, const struct daemon_role *role, void *ctx, struct err *err);

#endif
