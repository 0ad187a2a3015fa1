#include "worker/health.h"

#include "core/attr.h"

#define USUAL_WEIGHT 16 /* of the past, in the moving average */

void health_sent(struct health *h, int64_t now_ms)
{
    if (h->under_way++ == 0) {
        h->heard_ms = now_ms;
    }
}

void health_heard(struct health *h, int64_t now_ms, int64_t took_ms)
{
    h->under_way--;
    h->lost = 0;
    h->heard_ms = now_ms;
    h->usual_ms = h->usual_ms == 0 ? took_ms
                                   : h->usual_ms + (took_ms - h->usual_ms) / USUAL_WEIGHT;
}

void health_set_down(struct health *h, int64_t now_ms)
{
    h->down = true;
    h->probes = 0;
    h->probe_ms = now_ms + HEALTH_PROBE_MS;
}

bool health_lost(struct health *h, int64_t now_ms, bool refused)
{
    h->under_way--;
    h->lost++;
    if (h->down || (!refused && h->lost < HEALTH_LOST_MAX)) {
        return false;
    }
    health_set_down(h, now_ms);
    return true;
}

int64_t health_stall_at(const struct health *h, int64_t stall_ms)
{
    if (h->down || h->under_way == 0) {
        return INT64_MAX;
    }
    return h->heard_ms + MAX_OF(stall_ms, HEALTH_SLOW * h->usual_ms);
}

bool health_stalls(const struct health *h, int64_t now_ms, int64_t stall_ms)
{
    return now_ms >= health_stall_at(h, stall_ms);
}

bool health_probed(struct health *h, int64_t now_ms, bool good)
{
    if (good) {
        h->down = false;
        h->lost = h->probes = 0;
        h->heard_ms = now_ms;
        return true;
    }
    h->probes++;
    int64_t wait = HEALTH_PROBE_MS << MIN_OF(h->probes, 5u);
    h->probe_ms = now_ms + MIN_OF(wait, HEALTH_PROBE_MAX);
    return false;
}
