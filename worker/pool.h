/*
 * pool.h - which server answers which call. Pure: no I/O, no clock, no thread.
 *
 * A server that has read a prompt's beginning keeps it for a while, so calls with one beginning
 * should meet at one server, one after the other. Calls that share a prefix root are a group, and
 * a group is in parts: one at first. A server works on several parts side by side, one on each of
 * its tracks, so that no two calls have to read the same beginning at the same moment. A track
 * that has room asks pool_next; what it has begun it ends, those next to each other that ask
 * alike (worker/pool_ask.h). Then it gets, in this order:
 *
 *   1. the next part of its server that no track works on;
 *   2. the heaviest group that nobody has yet, if the server has less than its share of all that
 *      waits: it becomes that server's for good, and calls of it that come later follow;
 *   3. a whole group that the most loaded server has not begun;
 *   4. a piece of the heaviest part of another track of its server;
 *   5. a piece of the heaviest part of the most loaded server, if its own has nothing left.
 *
 * So groups balance by themselves, whatever the servers' speeds (heaviest first: Graham, "Bounds
 * on multiprocessing timing anomalies"). Pieces cost a beginning read again, so they must win more
 * than that, as answers have told what reading and writing cost (worker/pool_cost.h); where they
 * have not yet, a single track finds out. A track for which nothing is worth it stays idle. A
 * group whose server is down goes to whoever asks next.
 *
 * Calls belong to the call table; the pool borrows those that wait and forgets one when it hands
 * it out. A group is remembered after its last call, the ROOTS_MAX most recent ones.
 */
#ifndef OFFPEAK_WORKER_POOL_H
#define OFFPEAK_WORKER_POOL_H

#include "core/err.h"
#include "worker/call.h"
#include "worker/pool_ask.h"

#define POOL_SERVERS_MAX 64
#define POOL_TRACKS      8
#define POOL_ROOTS_MAX   65536

struct pool;

struct pool_conf {
    unsigned servers; /* 1 to POOL_SERVERS_MAX; all are up at first */
    uint32_t slots;   /* calls one server works on at a time */
};

/* Totals since the start. */
struct pool_counts {
    uint64_t taken;
    uint64_t at_home; /* of them, by the server of their group */
    uint64_t moved;   /* groups that another server took over from one that was up */
    uint64_t cut;     /* pieces that another server took */
};

int pool_create(struct pool **ret, const struct pool_conf *conf, struct err *err);
/* A call that waits: a new one, or one that comes back. */
int pool_add(struct pool *p, struct call *c, const struct pool_ask *ask, struct err *err);
/* The next call for that track of that server, the caller's from here on; NULL: there is none for
 * it now. Twice: another track of the server has read its beginning. */
struct call *pool_next(struct pool *p, unsigned server, unsigned track, bool *ret_twice);

/* What the answer to a call told. */
struct pool_seen {
    uint64_t input, cached, output; /* tokens; input 0: unknown */
    bool twice;                     /* as pool_next said */
};
void pool_learn(struct pool *p, const struct call *c, const struct pool_seen *seen);
void pool_set_up(struct pool *p, unsigned server, bool up);
uint32_t pool_waiting(const struct pool *p);
void pool_counts(const struct pool *p, struct pool_counts *ret);
struct pool *pool_destroy(struct pool *p);

#endif
