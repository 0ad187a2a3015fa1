/*
 * probe.h - /healthz and /readyz: is a daemon alive, and does it do what it is for.
 *
 *     GET /healthz   200 while the loop turns; 503 when it has not for PROBE_SILENCE_MS
 *     GET /readyz    200 at work or standing by for it; 503 while starting, ending, or cut off
 *
 * Both answer with one JSON object. Asked from a thread of libmicrohttpd's own, so that a loop
 * that hangs does not hang its probe. The daemon calls probe_beat at every tick. Nothing else is
 * told over this port: it needs no credentials and no protection but a private address.
 */
#ifndef OFFPEAK_CLI_PROBE_H
#define OFFPEAK_CLI_PROBE_H

#include "core/err.h"
#include <stdint.h>

#define PROBE_SILENCE_MS 30000

struct probe;

enum probe_state {
    PROBE_STARTING,
    PROBE_STANDBY,
    PROBE_AT_WORK,
    PROBE_CUT_OFF, /* from its broker */
    PROBE_ENDING,
    PROBE_STATES,
};
const char *probe_state_name(enum probe_state s);

/* `listen` is ADDRESS:PORT; port 0 takes a free one (probe_port). */
int probe_open(struct probe **ret, const char *listen, const char *role, struct err *err);
unsigned probe_port(const struct probe *p);
void probe_beat(struct probe *p, enum probe_state state);
struct probe *probe_close(struct probe *p);

#endif
