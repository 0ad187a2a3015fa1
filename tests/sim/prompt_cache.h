/*
 * The vendor's prompt cache (OpenAI, Prompt caching): prefixes of at least 1,024 tokens in
 * steps of 128, alive for a while after their last use, and readable only some time after the
 * request that first wrote them began. So requests that start together do not help each other.
 *
 * Bounded: when a set is full the entry that expires first makes room, as under load.
 * Thread-safe. Times are simulated microseconds.
 */
#ifndef SIM_PROMPT_CACHE_H
#define SIM_PROMPT_CACHE_H

#include <stdint.h>

struct prompt_cache;

struct cache_use {
    int64_t read_tokens;
    int64_t written_tokens;
};

struct prompt_cache *prompt_cache_create(int64_t ttl_us, int64_t ready_us);
struct prompt_cache *prompt_cache_destroy(struct prompt_cache *c);

/* A request with these prefix steps (ask.h) starts: what it can read, and what it leaves. */
struct cache_use prompt_cache_touch(struct prompt_cache *c, const uint64_t *steps,
                                    uint32_t n_steps, int64_t started_us);

#endif
