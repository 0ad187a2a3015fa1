/*
 * pool.h - which server answers which call. Pure: no I/O, no clock, no thread.
 *
 * A server that has read a prompt's beginning keeps it for a while, so calls with one beginning
 * should meet at one server, one after the other. Calls that share a prefix root are a group. A
 * server works on several side by side, one on each of its tracks, so that no two calls have to
 * read the same beginning at the same moment. A track with room asks pool_next, and gets, in
 * this order:
 *
 *   1. the rest of the group it works on, in the order of the prefix chain;
 *   2. the next group of its server that no track works on;
 *   3. the heaviest group that nobody has yet: it becomes that server's for good, and calls of
 *      it that come later follow;
 *   4. a share in the group of another track, the one with most calls; it changes over to 2 or 3
 *      as soon as there is one;
 *   5. a whole group of the most loaded server, if that one has more waiting than it can begin
 *      at once: the last it would begin, else the heaviest;
 *   6. the far half of that one if it is most of what is left there, cut where the two halves
 *      share least.
 *
 * So groups balance by themselves, whatever the servers' speeds (heaviest first: Graham, "Bounds
 * on multiprocessing timing anomalies"), and a prefix is read twice only where a server would be
 * idle otherwise. A group whose server is down goes to whoever asks next.
 *
 * Calls belong to the call table; the pool borrows those that wait and forgets one when it hands
 * it out. A group is remembered after its last call, the ROOTS_MAX most recent ones.
 */
#ifndef OFFPEAK_WORKER_POOL_H
#define OFFPEAK_WORKER_POOL_H

#include "core/err.h"
#include "worker/call.h"

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
    uint64_t cut;     /* groups cut in two */
};

int pool_create(struct pool **ret, const struct pool_conf *conf, struct err *err);
/* A call that waits: a new one, or one that comes back. */
int pool_add(struct pool *p, struct call *c, struct err *err);
/* The next call for that track of that server, the caller's from here on; NULL: the server has
 * none on any track, and gets none from others now. */
struct call *pool_next(struct pool *p, unsigned server, unsigned track);
void pool_set_up(struct pool *p, unsigned server, bool up);
uint32_t pool_waiting(const struct pool *p);
void pool_counts(const struct pool *p, struct pool_counts *ret);
struct pool *pool_destroy(struct pool *p);

#endif
