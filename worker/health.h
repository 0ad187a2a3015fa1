/*
 * health.h - is a server up, slow or gone? Pure: the caller says what happened and when.
 *
 * A server's own gauges are snapshots that read zero under load, so what counts is what happens
 * to our calls. It goes down when a connection is refused, when HEALTH_LOST_MAX replies in a row
 * are lost, or when it stalls: calls are under way and none has come back for the longer of
 * `stall_ms` and HEALTH_SLOW times the usual. While it is down it is asked how it is, at growing
 * intervals, and goes up again with the first good word.
 *
 * Times are those of the loop, in milliseconds.
 */
#ifndef OFFPEAK_WORKER_HEALTH_H
#define OFFPEAK_WORKER_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#define HEALTH_LOST_MAX  2
#define HEALTH_SLOW      8
#define HEALTH_PROBE_MS  1000
#define HEALTH_PROBE_MAX 30000

struct health {
    bool down;
    uint32_t under_way;
    unsigned lost;    /* replies in a row */
    unsigned probes;  /* in vain, since it went down */
    int64_t heard_ms; /* last reply, or when it began to work */
    int64_t usual_ms; /* moving average of a call's time; 0: none yet */
    int64_t probe_ms; /* down: when to ask next */
};

void health_sent(struct health *h, int64_t now_ms);
/* A complete reply, good or bad: somebody is there. */
void health_heard(struct health *h, int64_t now_ms, int64_t took_ms);
/* No reply. True when that made it go down. */
bool health_lost(struct health *h, int64_t now_ms, bool refused);
/* True when it is up and stalls; the caller gives its calls up and says health_set_down. */
bool health_stalls(const struct health *h, int64_t now_ms, int64_t stall_ms);
/* When it would count as stalled if nothing came; INT64_MAX: not now. */
int64_t health_stall_at(const struct health *h, int64_t stall_ms);
void health_set_down(struct health *h, int64_t now_ms);
/* What a probe said. True when it is up again. */
bool health_probed(struct health *h, int64_t now_ms, bool good);

#endif
