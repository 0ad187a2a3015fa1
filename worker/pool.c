#include "worker/pool.h"

#include "worker/pool_cost.h"
#include "worker/pool_group.h"
#include <stdlib.h>

#define BUCKETS  64 /* groups nobody has yet, by the logarithm of what they cost */
#define CUT_GAIN 2  /* what a cut wins is worth so often what is read again for it */

struct server {
    bool up;
    struct part_list parts;
    struct part *tracks[POOL_TRACKS]; /* a part each, of those; or NULL */
    struct load load;                 /* of all its parts */
};

struct pool {
    struct pool_conf conf;
    struct server *servers;
    struct part_list free[BUCKETS];
    struct roots roots;
    struct load load; /* of all that wait */
    struct pool_cost cost;
    uint64_t probe_at; /* while nobody knows what is read again: after so many calls taken
                          another track may find out */
    struct pool_counts counts;
};

/* ---- life ---- */

int pool_create(struct pool **ret, const struct pool_conf *conf, struct err *err)
{
    struct pool *p = calloc(1, sizeof(*p));
    if (!p || roots_init(&p->roots) < 0 ||
        !(p->servers = calloc(conf->servers, sizeof(*p->servers)))) {
        pool_destroy(p);
        return err_set(err, ERR_FAIL, "could not create the pool: out of memory");
    }
    p->conf = *conf;
    pool_cost_init(&p->cost);
    for (unsigned i = 0; i < conf->servers; i++) {
        p->servers[i].up = true;
    }
    *ret = p;
    return 0;
}

static void free_parts(struct part_list *l)
{
    while (l->first) {
        part_free(l->first);
    }
}

struct pool *pool_destroy(struct pool *p)
{
    if (p) {
        for (unsigned i = 0; p->servers && i < p->conf.servers; i++) {
            free_parts(&p->servers[i].parts);
        }
        for (unsigned i = 0; i < BUCKETS; i++) {
            free_parts(&p->free[i]);
        }
        roots_fini(&p->roots);
        free(p->servers);
        free(p);
    }
    return NULL;
}

/* Of all that waits, for each server. */
static uint64_t fair_share(const struct pool *p)
{
    unsigned up = 0;
    for (unsigned i = 0; i < p->conf.servers; i++) {
        up += p->servers[i].up;
    }
    return pool_cost_of(&p->cost, &p->load) / MAX_OF(up, 1u);
}

/* ---- where a part stands ---- */

static bool is_up(const struct pool *p, int server)
{
    return server != NO_HOME && p->servers[server].up;
}

static struct part_list *bucket_of(struct pool *p, const struct part *g)
{
    uint64_t w = pool_cost_of(&p->cost, &g->load);
    return &p->free[w ? 63 - __builtin_clzll(w) : 0];
}

/* The server whose list holds it, or NULL. */
static struct server *server_of(struct pool *p, const struct part *g)
{
    for (unsigned i = 0; i < p->conf.servers; i++) {
        if (g->in == &p->servers[i].parts) {
            return &p->servers[i];
        }
    }
    return NULL;
}

static void give(struct server *s, struct part *g)
{
    part_link(&s->parts, g);
    load_add(&s->load, g->load);
}

static void take_away(struct server *s, struct part *g)
{
    for (unsigned i = 0; g->begun && i < POOL_TRACKS; i++) {
        if (s->tracks[i] == g) {
            s->tracks[i] = NULL;
            g->begun = false;
        }
    }
    part_unlink(g);
    load_sub(&s->load, g->load);
}

/* A new part of a group goes where the group is; else it is free. */
static void place(struct pool *p, struct part *g)
{
    if (is_up(p, g->root->home)) {
        give(&p->servers[g->root->home], g);
    } else {
        part_link(bucket_of(p, g), g);
    }
}

static int push(struct pool *p, struct part *g, const struct waiting *w)
{
    struct server *s = server_of(p, g);
    if (part_push(g, w) < 0) {
        return -1;
    }
    load_add(&p->load, load_of(w->call));
    if (s) {
        load_add(&s->load, load_of(w->call));
    } else if (g->in != bucket_of(p, g)) {
        part_unlink(g);
        part_link(bucket_of(p, g), g);
    }
    return 0;
}

/* Model and settings are in the chain; the path is not. */
static uint64_t root_hash(const struct call *c)
{
    return c->chain[0] + c->stream * UINT64_C(0x9e3779b97f4a7c15);
}

int pool_add(struct pool *p, struct call *c, const struct pool_ask *ask, struct err *err)
{
    const struct waiting w = {.call = c, .ask = *ask};
    struct root *r = roots_get(&p->roots, root_hash(c));
    if (r && !r->open && (r->open = part_new(r))) {
        place(p, r->open);
    }
    if (!r || !r->open || push(p, r->open, &w) < 0) {
        return err_set(err, ERR_FAIL,
                       "could not keep the calls that wait: out of memory");
    }
    return 0;
}

/* ---- who gets what ---- */

/* Pieces of a group that has found a server since are that one's. */
static struct part *heaviest_free(struct pool *p)
{
    for (int i = BUCKETS - 1; i >= 0; i--) {
        struct part *g;
        while ((g = p->free[i].first) && is_up(p, g->root->home)) {
            part_unlink(g);
            give(&p->servers[g->root->home], g);
        }
        if (g) {
            return g;
        }
    }
    return NULL;
}

/* Would the server then have more than its share of all that waits? By less than half of it is
 * as near as can be. */
static bool is_too_much(const struct pool *p, const struct server *s,
                        const struct part *g)
{
    return s->parts.first &&
           pool_cost_of(&p->cost, &s->load) + pool_cost_of(&p->cost, &g->load) / 2 >
               fair_share(p);
}

static struct part *adopt(struct pool *p, unsigned server)
{
    struct part *g = heaviest_free(p);
    if (!g || is_too_much(p, &p->servers[server], g)) {
        return NULL;
    }
    part_unlink(g);
    give(&p->servers[server], g);
    g->root->home = (int)server;
    return g;
}

/* The server with the most to do, if that is more than it can begin at once. */
static struct server *most_loaded(struct pool *p)
{
    struct server *most = NULL;
    for (unsigned i = 0; i < p->conf.servers; i++) {
        struct server *s = &p->servers[i];
        if (s->load.calls > p->conf.slots &&
            (!most ||
             pool_cost_of(&p->cost, &s->load) > pool_cost_of(&p->cost, &most->load))) {
            most = s;
        }
    }
    return most;
}

/* Those that are begun; at most one a track. */
static struct part *heaviest_begun(const struct pool *p, const struct server *s)
{
    struct part *most = NULL;
    for (unsigned i = 0; i < POOL_TRACKS; i++) {
        struct part *g = s->tracks[i];
        if (g && (!most || pool_cost_of(&p->cost, &g->load) >
                               pool_cost_of(&p->cost, &most->load))) {
            most = g;
        }
    }
    return most;
}

/* At most POOL_TRACKS are passed over. */
static struct part *last_unbegun(const struct server *s)
{
    struct part *g = s->parts.last;
    while (g && g->begun) {
        g = g->prev;
    }
    return g;
}

static struct part *first_unbegun(const struct server *s)
{
    struct part *g = s->parts.first;
    while (g && g->begun) {
        g = g->next;
    }
    return g;
}

/* A group costs no more to begin here than there; a piece of one that is begun there does. */
static struct part *move_unbegun(struct pool *p, unsigned to)
{
    struct server *s = &p->servers[to], *from = most_loaded(p);
    struct part *g = from && from != s ? last_unbegun(from) : NULL;
    if (!g || pool_cost_of(&p->cost, &from->load) - pool_cost_of(&p->cost, &g->load) <
                  pool_cost_of(&p->cost, &s->load)) {
        return NULL;
    }
    if (g->root->parts > 1 &&
        pool_cost_of(&p->cost, &g->load) < CUT_GAIN * part_beginning(g)) {
        return NULL;
    }
    take_away(from, g);
    give(s, g);
    if (g == g->root->open) {
        g->root->home = (int)to;
    }
    p->counts.moved++;
    return g;
}

/* A piece of it for that server: half of it, or less when that is enough. */
static struct part *cut(struct pool *p, struct server *from, struct part *g, unsigned to)
{
    struct load all = g->load;
    uint64_t share = MAX_OF(fair_share(p), UINT64_C(1));
    uint64_t pieces = (pool_cost_of(&p->cost, &all) + share / 2) / share;
    struct part *far = part_cut(g, (uint32_t)(all.calls / MAX_OF(pieces, UINT64_C(2))));
    if (far) {
        load_sub(&from->load, far->load);
        give(&p->servers[to], far);
    }
    return far;
}

/* May a track try what nobody knows is worth it? One at a time, and not before the group's
 * beginning lies there. */
static bool may_probe(const struct pool *p, const struct part *g)
{
    return !pool_cost_knows_again(&p->cost) && g->root->heard &&
           p->counts.taken >= p->probe_at;
}

/* Two tracks of a server share its time to read; what they win is that two answers are written
 * at once. */
static struct part *cut_own(struct pool *p, unsigned server, bool *ret_twice)
{
    struct server *s = &p->servers[server];
    struct part *g = heaviest_begun(p, s), *far;
    if (!g || g->load.calls < 2) {
        return NULL;
    }
    uint64_t again = pool_cost_again(&p->cost, part_beginning(g));
    uint64_t won = g->load.calls / 2 * (uint64_t)p->cost.answer;
    bool worth = won >= CUT_GAIN * again;
    far = worth || may_probe(p, g) ? cut(p, s, g, server) : NULL;
    if (far && !worth) {
        p->probe_at = p->counts.taken + (uint64_t)p->conf.servers * p->conf.slots;
    }
    *ret_twice = far && g->root->heard;
    return far;
}

/* Two servers do everything at once, but each reads the beginning. */
static struct part *cut_other(struct pool *p, unsigned server)
{
    struct server *from = most_loaded(p);
    struct part *g = from ? heaviest_begun(p, from) : NULL, *far;
    if (!g || g->load.calls < 2 ||
        pool_cost_of(&p->cost, &g->load) / 2 < CUT_GAIN * part_beginning(g)) {
        return NULL;
    }
    far = cut(p, from, g, server);
    p->counts.cut += far != NULL;
    return far;
}

/* What a track without a part works on from now on, or NULL. */
static struct part *choose(struct pool *p, unsigned server, bool *ret_twice)
{
    struct server *s = &p->servers[server];
    struct part *g = first_unbegun(s);
    g = g ? g : adopt(p, server);
    g = g ? g : first_unbegun(s); /* a piece may have come home */
    g = g ? g : move_unbegun(p, server);
    g = g ? g : cut_own(p, server, ret_twice);
    return g || s->parts.first ? g : cut_other(p, server);
}

struct call *pool_next(struct pool *p, unsigned server, unsigned track, bool *ret_twice)
{
    struct server *s = &p->servers[server];
    struct part *g = s->tracks[track];
    *ret_twice = false;
    if (!g && s->up && (g = choose(p, server, ret_twice))) {
        g->begun = true;
        s->tracks[track] = g;
    }
    if (!g) {
        return NULL;
    }
    struct call *c = part_pop(g);
    load_sub(&s->load, load_of(c));
    load_sub(&p->load, load_of(c));
    p->counts.taken++;
    p->counts.at_home += g->root->home == (int)server;
    if (g->load.calls == 0) {
        take_away(s, g);
        part_free(g);
    }
    return c;
}

void pool_learn(struct pool *p, const struct call *c, const struct pool_seen *seen)
{
    struct root *r = roots_get(&p->roots, root_hash(c));
    if (r) {
        r->heard = true;
    }
    pool_cost_learn(&p->cost, c, seen);
}

/* ---- servers come and go ---- */

void pool_set_up(struct pool *p, unsigned server, bool up)
{
    struct server *s = &p->servers[server];
    s->up = up;
    while (!up && s->parts.first) {
        struct part *g = s->parts.first;
        take_away(s, g);
        part_link(bucket_of(p, g), g);
    }
}

uint32_t pool_waiting(const struct pool *p)
{
    return p->load.calls;
}

void pool_counts(const struct pool *p, struct pool_counts *ret)
{
    *ret = p->counts;
}
