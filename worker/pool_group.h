/*
 * pool_group.h - inside the pool: groups of waiting calls, and what is remembered of them.
 *
 * A root is what calls of one group have in common, with the server it went to (`home`). The
 * calls that wait are in parts: one per root at first; a group that was cut has more. A part
 * stands in exactly one list: its server's, or one of the lists of those nobody has yet.
 * For worker/pool*.c only.
 */
#ifndef OFFPEAK_WORKER_POOL_GROUP_H
#define OFFPEAK_WORKER_POOL_GROUP_H

#include "worker/call.h"
#include "worker/pool_ask.h"

#define NO_HOME (-1)

/* What waits, or a piece of it. */
struct load {
    uint64_t bytes; /* to be read, shared prefixes aside */
    uint32_t calls;
};
struct load load_of(const struct call *c);
void load_add(struct load *l, struct load more);
void load_sub(struct load *l, struct load less);

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
    bool heard; /* a call of it was answered */
};

struct waiting {
    struct call *call;
    struct pool_ask ask;
};

struct part {
    struct part *prev, *next;
    struct part_list *in;
    struct root *root;
    struct waiting *calls;        /* calls[head..n) wait ... */
    uint32_t head, n, cap, order; /* ... of them calls[head..order) in order */
    bool begun;                   /* a track of its server works on it */
    struct load load;             /* calls[head..n) */
};

struct part *part_new(struct root *root);
struct part *part_free(struct part *g);
int part_push(struct part *g, const struct waiting *w);
/* Likes next to each other, by prefix chain and ask; those that came since the last sorting
 * after them, for sorting at every newcomer would cost more than it saves. NULL: it is empty. */
struct call *part_pop(struct part *g);
/* What a track that is new to it has to read first. */
uint64_t part_beginning(const struct part *g);
/* The last `n` or so, at most half, become a part of their own, in no list; NULL: out of memory.
 * At least two wait. */
struct part *part_cut(struct part *g, uint32_t n);

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
