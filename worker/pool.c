#include "worker/pool.h"

#include "worker/pool_group.h"
#include <stdlib.h>

#define BUCKETS   64 /* groups nobody has yet, by the logarithm of their weight */
#define CUT_TURNS 4  /* calls to a slot that are worth reading a beginning once more */

struct server {
    bool up;
    struct part_list parts;
    struct part *tracks[POOL_TRACKS]; /* what each works on, of the parts; or NULL */
    uint64_t weight;
    uint32_t calls; /* waiting, in all its parts */
};

struct pool {
    struct pool_conf conf;
    struct server *servers;
    struct part_list free[BUCKETS];
    struct roots roots;
    uint32_t waiting;
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

/* ---- where a part stands ---- */

static bool is_up(const struct pool *p, int server)
{
    return server != NO_HOME && p->servers[server].up;
}

static struct part_list *bucket_of(struct pool *p, const struct part *g)
{
    return &p->free[g->weight ? 63 - __builtin_clzll(g->weight) : 0];
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
    s->weight += g->weight;
    s->calls += part_waiting(g);
}

static void take_away(struct server *s, struct part *g)
{
    for (unsigned i = 0; g->tracks > 0 && i < POOL_TRACKS; i++) {
        if (s->tracks[i] == g) {
            s->tracks[i] = NULL;
            g->tracks--;
        }
    }
    part_unlink(g);
    s->weight -= g->weight;
    s->calls -= part_waiting(g);
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

static int push(struct pool *p, struct part *g, struct call *c)
{
    struct server *s = server_of(p, g);
    if (part_push(g, c) < 0) {
        return -1;
    }
    if (s) {
        s->weight += call_weight(c);
        s->calls++;
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

int pool_add(struct pool *p, struct call *c, struct err *err)
{
    struct root *r = roots_get(&p->roots, root_hash(c));
    if (r && !r->open && (r->open = part_new(r))) {
        place(p, r->open);
    }
    if (!r || !r->open || push(p, r->open, c) < 0) {
        return err_set(err, ERR_FAIL,
                       "could not keep the calls that wait: out of memory");
    }
    p->waiting++;
    return 0;
}

/* ---- who gets what ---- */

static struct part *heaviest_free(struct pool *p)
{
    for (int i = BUCKETS - 1; i >= 0; i--) {
        if (p->free[i].first) {
            return p->free[i].first;
        }
    }
    return NULL;
}

static struct part *adopt(struct pool *p, unsigned server)
{
    struct part *g = heaviest_free(p);
    if (g) {
        part_unlink(g);
        give(&p->servers[server], g);
        if (!is_up(p, g->root->home)) {
            g->root->home = (int)server;
        }
    }
    return g;
}

/* The server with the most to do, if that is more than it can begin at once. */
static struct server *most_loaded(struct pool *p)
{
    struct server *most = NULL;
    for (unsigned i = 0; i < p->conf.servers; i++) {
        struct server *s = &p->servers[i];
        if (s->calls > p->conf.slots && (!most || s->weight > most->weight)) {
            most = s;
        }
    }
    return most;
}

static struct part *heaviest_of(const struct server *s)
{
    struct part *most = s->parts.first;
    for (unsigned i = 0; i < POOL_TRACKS; i++) {
        struct part *g = s->tracks[i];
        if (g && g->weight > most->weight) {
            most = g;
        }
    }
    return most;
}

/* One that no track works on; at most POOL_TRACKS are passed over. */
static struct part *last_unbegun(const struct server *s)
{
    struct part *g = s->parts.last;
    while (g && g->tracks > 0) {
        g = g->prev;
    }
    return g;
}

static struct part *first_unbegun(const struct server *s)
{
    struct part *g = s->parts.first;
    while (g && g->tracks > 0) {
        g = g->next;
    }
    return g;
}

static struct part *move_group(struct pool *p, struct server *from, struct part *g,
                               unsigned to)
{
    take_away(from, g);
    give(&p->servers[to], g);
    if (g == g->root->open) {
        g->root->home = (int)to;
    }
    p->counts.moved++;
    return g;
}

static struct part *cut_group(struct pool *p, struct server *from, struct part *g,
                              unsigned to)
{
    if (part_waiting(g) < CUT_TURNS * p->conf.slots || part_waiting(g) < 2) {
        return NULL;
    }
    uint64_t weight = g->weight;
    uint32_t calls = part_waiting(g);
    struct part *far = part_cut(g);
    if (far) {
        from->weight -= weight - g->weight;
        from->calls -= calls - part_waiting(g);
        give(&p->servers[to], far);
        p->counts.cut++;
    }
    return far;
}

static struct part *steal(struct pool *p, unsigned server)
{
    struct server *from = most_loaded(p);
    struct part *g = from ? last_unbegun(from) : NULL;
    if (!from) {
        return NULL;
    }
    if (!g) {
        g = heaviest_of(from);
        if (g->weight > from->weight - g->weight) {
            return cut_group(p, from, g, server);
        }
    }
    return move_group(p, from, g, server);
}

/* What that track works on from now on, or NULL. */
static struct part *choose(struct pool *p, unsigned server, struct part *now)
{
    struct server *s = &p->servers[server];
    struct part *g = now;
    if (!g || g->tracks > 1) {
        g = first_unbegun(s);
        g = g ? g : adopt(p, server);
        g = g ? g : now;
    }
    if (!g) {
        g = s->parts.first ? heaviest_of(s) : steal(p, server);
    }
    return g;
}

static void work_on(struct part **track, struct part *g)
{
    if (*track) {
        (*track)->tracks--;
    }
    *track = g;
    if (g) {
        g->tracks++;
    }
}

struct call *pool_next(struct pool *p, unsigned server, unsigned track)
{
    struct server *s = &p->servers[server];
    struct part **at = &s->tracks[track];
    work_on(at, s->up ? choose(p, server, *at) : NULL);
    struct part *g = *at;
    if (!g) {
        return NULL;
    }
    struct call *c = part_pop(g);
    s->weight -= call_weight(c);
    s->calls--;
    p->waiting--;
    p->counts.taken++;
    p->counts.at_home += g->root->home == (int)server;
    if (part_waiting(g) == 0) {
        take_away(s, g);
        part_free(g);
    }
    return c;
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
    return p->waiting;
}

void pool_counts(const struct pool *p, struct pool_counts *ret)
{
    *ret = p->counts;
}
