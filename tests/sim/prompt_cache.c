#include "tests/sim/prompt_cache.h"

#include "tests/sim/ask.h"

#include <pthread.h>
#include <stdlib.h>

enum { SETS = 1 << 16, WAYS = 4 };

struct entry {
    uint64_t hash; /* 0: free */
    int64_t ready_us;
    int64_t expires_us;
};

struct prompt_cache {
    pthread_mutex_t lock;
    int64_t ttl_us;
    int64_t ready_us;
    struct entry sets[SETS][WAYS];
};

struct prompt_cache *prompt_cache_create(int64_t ttl_us, int64_t ready_us)
{
    struct prompt_cache *c = must_calloc(1, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    c->ttl_us = ttl_us;
    c->ready_us = ready_us;
    return c;
}

struct prompt_cache *prompt_cache_destroy(struct prompt_cache *c)
{
    if (c) {
        pthread_mutex_destroy(&c->lock);
        free(c);
    }
    return NULL;
}

/* The entry of this hash, or the one to give up for it. */
static struct entry *find(struct prompt_cache *c, uint64_t hash)
{
    struct entry *set = c->sets[hash % SETS];
    struct entry *oldest = set;
    for (int i = 0; i < WAYS; i++) {
        if (set[i].hash == hash) {
            return &set[i];
        }
        if (set[i].expires_us < oldest->expires_us) {
            oldest = &set[i];
        }
    }
    return oldest;
}

/* Refreshes or makes the entry; true when the request can read it. */
static bool touch_step(struct prompt_cache *c, uint64_t hash, int64_t started_us)
{
    struct entry *e = find(c, hash);
    bool alive = e->hash == hash && e->expires_us > started_us;
    bool readable = alive && e->ready_us <= started_us;
    if (!alive) {
        *e = (struct entry){.hash = hash, .ready_us = started_us + c->ready_us};
    }
    e->expires_us = started_us + c->ttl_us;
    return readable;
}

static int64_t tokens_at(uint32_t n_steps)
{
    return n_steps ? ASK_CACHE_MIN_TOKENS + (int64_t)ASK_CACHE_STEP_TOKENS * (n_steps - 1)
                   : 0;
}

struct cache_use prompt_cache_touch(struct prompt_cache *c, const uint64_t *steps,
                                    uint32_t n_steps, int64_t started_us)
{
    uint32_t readable = 0;
    pthread_mutex_lock(&c->lock);
    for (uint32_t i = 0; i < n_steps; i++) {
        bool hit = touch_step(c, steps[i], started_us);
        readable += hit && readable == i;
    }
    pthread_mutex_unlock(&c->lock);
    return (struct cache_use){
        .read_tokens = tokens_at(readable),
        .written_tokens = tokens_at(n_steps) - tokens_at(readable),
    };
}
