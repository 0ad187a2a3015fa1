/*
 * notify.h - what a service manager is told: started, at work, stopping, still alive.
 *
 * One datagram of KEY=VALUE lines to the socket that NOTIFY_SOCKET names; nothing where it names
 * none. Source: systemd, sd_notify(3), "Standalone Implementations".
 */
#ifndef OFFPEAK_CLI_NOTIFY_H
#define OFFPEAK_CLI_NOTIFY_H

#include <stdint.h>

struct notify {
    const char *socket;  /* NOTIFY_SOCKET, or NULL */
    int64_t watchdog_ms; /* it wants to hear of us this often; 0: it does not */
};

/* From the environment; the strings stay where they are. */
struct notify notify_from(const char *socket, const char *watchdog_usec);
void notify_say(const struct notify *n, const char *lines);

#endif
