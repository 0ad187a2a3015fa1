/*
 * pool_cost.h - inside the pool: what waiting calls will keep a server busy with, in bytes to
 * read, learnt from the answers that came. Pure.
 *
 * Reading is what the server does for all its tracks in turn. Writing an answer keeps a track, and
 * tracks write side by side, so an answer counts for as many bytes as could be read instead. And
 * what of a group's beginning must be read again by a second track of the same server is what
 * answers told: nothing where the cache is the server's (vLLM, SGLang), all of it where every slot
 * has its own (llama.cpp). For worker/pool*.c only.
 */
#ifndef OFFPEAK_WORKER_POOL_COST_H
#define OFFPEAK_WORKER_POOL_COST_H

#include "worker/call.h"
#include "worker/pool.h"
#include "worker/pool_group.h"

struct pool_cost {
    int64_t answer; /* bytes, moving average */
    bool reports;   /* servers say what came from a cache */
    bool tried;     /* a second track has read a beginning: */
    int64_t again;  /* thousandths of it that were read again, moving average */
};

void pool_cost_init(struct pool_cost *k);
void pool_cost_learn(struct pool_cost *k, const struct call *c,
                     const struct pool_seen *seen);
uint64_t pool_cost_of(const struct pool_cost *k, const struct load *l);
/* All of it as long as nobody knows. */
uint64_t pool_cost_again(const struct pool_cost *k, uint64_t beginning);
bool pool_cost_knows_again(const struct pool_cost *k);

#endif
