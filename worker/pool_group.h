/*
 * pool_group.h - inside the pool: groups of waiting calls, and what is remembered of them.
 *
 * A root is what calls of one group have in common, with the server it went to (`home`). The
 * calls that wait are in parts: usually one per root; a group that was cut has two. A part
 * stands in exactly one list: its server's, or one of the lists of those nobody has yet.
 * For worker/pool*.c only.
 */
#ifndef OFFPEAK_WORKER_POOL_GROUP_H
#define OFFPEAK_WORKER_POOL_GROUP_H

#include "worker/call.h"

#define NO_HOME (-1)

struct part_list {
    struct part *first, *last;
};

struct root {
    struct root *hash_next;
    struct root *older, *newer; /* by last use */
    uint64_t hash;
    int home;          /* server, or NO_HOME */
    struct part *open; /* takes the calls that come next, or NULL */
    uint32_t parts;
};

struct part {
    struct part *prev, *next;
    struct part_list *in;
    struct root *root;
    struct call **calls;          /* calls[head..n) wait ... */
    uint32_t head, n, cap, order; /* ... of them calls[head..order) in order */
    uint32_t tracks;              /* of its server, that work on it */
    uint64_t weight;              /* of what waits */
};

/* What a call is expected to keep a server busy with, its shared prefix aside; in bytes. */
uint64_t call_weight(const struct call *c);

struct part *part_new(struct root *root);
struct part *part_free(struct part *g);
int part_push(struct part *g, struct call *c);
/* In the order of the prefix chain, those that came since the last sorting after it: sorting
 * for every newcomer would cost more than it saves. NULL when it is empty. */
struct call *part_pop(struct part *g);
uint32_t part_waiting(const struct part *g);
/* The far half becomes a part of its own, in no list; NULL: out of memory. At least two wait. */
struct part *part_cut(struct part *g);

void part_link(struct part_list *l, struct part *g); /* at the end */
void part_unlink(struct part *g);

/* Roots by hash, the least recently used first to be forgotten. */
struct roots {
    struct root **slots;
    uint32_t mask, n;
    struct root *oldest, *newest;
};
int roots_init(struct roots *t);
void roots_fini(struct roots *t); /* frees the roots; parts are the pool's */
/* Found or made; NULL: out of memory. */
struct root *roots_get(struct roots *t, uint64_t hash);

#endif
