#include "worker/retry.h"
#include "core/attr.h"

#define DOUBLINGS_MAX 30

int64_t retry_delay_ms(const struct retry_rule *r, unsigned tries, int64_t retry_after_ms,
                       uint64_t random)
{
    int64_t most_ms = r->base_ms;
    for (unsigned i = 0; i < tries && i < DOUBLINGS_MAX && most_ms < r->cap_ms; i++) {
        most_ms *= 2;
    }
    most_ms = MAX_OF(MIN_OF(most_ms, r->cap_ms), 1);
    int64_t wait_ms = (int64_t)(random % (uint64_t)most_ms) + 1;
    if (retry_after_ms < 0) {
        return wait_ms;
    }
    /* never before the server's time; spread over what our own rule would have spread */
    return MIN_OF(retry_after_ms, RETRY_AFTER_MAX_MS) + MIN_OF(wait_ms, r->base_ms);
}

int64_t retry_jitter_ms(int64_t period_ms, uint64_t random)
{
    int64_t spread_ms = MAX_OF(period_ms / 5, 1);
    return period_ms - spread_ms / 2 + (int64_t)(random % (uint64_t)spread_ms);
}
