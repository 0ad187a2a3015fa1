/*
 * retry.h - how long to wait before the same request is made again. Pure arithmetic.
 *
 * Full jitter: a random time up to base * 2^n, at most the cap, so that many workers that were
 * refused together do not come back together (AWS Architecture Blog, "Exponential Backoff And
 * Jitter"). A Retry-After of the server is a floor, believed up to RETRY_AFTER_MAX_MS, and
 * jittered upwards for the same reason. Nothing here counts attempts or gives up: whether a
 * request may be repeated at all is the caller's decision.
 */
#ifndef OFFPEAK_WORKER_RETRY_H
#define OFFPEAK_WORKER_RETRY_H

#include <stdint.h>

#define RETRY_AFTER_MAX_MS INT64_C(3600000)

struct retry_rule {
    int64_t base_ms, cap_ms;
};

/* `tries` failed before; `retry_after_ms` -1 when the server named none; `random` any 64 bits. */
int64_t retry_delay_ms(const struct retry_rule *r, unsigned tries, int64_t retry_after_ms,
                       uint64_t random);
/* For polling: a period give or take a tenth. */
int64_t retry_jitter_ms(int64_t period_ms, uint64_t random);

#endif
