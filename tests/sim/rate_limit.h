/*
 * Requests and tokens per minute of the synchronous lane, per project, with the numbers for
 * the x-ratelimit-* headers (OpenAI, Rate limits). Real time: a client waits by its own watch.
 * Thread-safe.
 */
#ifndef SIM_RATE_LIMIT_H
#define SIM_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct rate_limits;

struct rate_view {
    int64_t limit_requests;
    int64_t left_requests;
    int64_t reset_requests_ms;
    int64_t limit_tokens;
    int64_t left_tokens;
    int64_t reset_tokens_ms;
};

struct rate_limits *rate_limits_create(int64_t requests_per_minute,
                                       int64_t tokens_per_minute);
struct rate_limits *rate_limits_destroy(struct rate_limits *r);

/* Takes one request of `tokens`; false when the limit is reached (then nothing is taken). */
bool rate_limits_take(struct rate_limits *r, const char *project, int64_t tokens,
                      struct rate_view *ret_view);

#endif
