#include "worker/pool_group.h"

#include "worker/pool.h"
#include <stdlib.h>

#define PART_CALLS 4
#define ROOT_SLOTS 1024

struct load load_of(const struct call *c)
{
    uint32_t shared = MIN_OF(c->prompt_bytes, c->body_bytes);
    return (struct load){.bytes = c->body_bytes - shared, .calls = 1};
}

void load_add(struct load *l, struct load more)
{
    l->bytes += more.bytes;
    l->calls += more.calls;
}

void load_sub(struct load *l, struct load less)
{
    l->bytes -= less.bytes;
    l->calls -= less.calls;
}

/* ---- parts ---- */

struct part *part_new(struct root *root)
{
    struct part *g = calloc(1, sizeof(*g));
    if (g) {
        g->root = root;
        root->parts++;
    }
    return g;
}

struct part *part_free(struct part *g)
{
    if (g) {
        part_unlink(g);
        g->root->parts--;
        if (g->root->open == g) {
            g->root->open = NULL;
        }
        free(g->calls);
        free(g);
    }
    return NULL;
}

static int reserve(struct part *g, uint32_t n)
{
    if (n <= g->cap) {
        return 0;
    }
    uint32_t cap = MAX_OF(MAX_OF(n, 2 * g->cap), PART_CALLS);
    struct waiting *calls = reallocarray(g->calls, cap, sizeof(*calls));
    if (!calls) {
        return -1;
    }
    g->calls = calls;
    g->cap = cap;
    return 0;
}

/* What was handed out makes room before the array grows. */
static void close_up(struct part *g)
{
    if (g->head > 0 && g->n == g->cap) {
        memmove(g->calls, g->calls + g->head, g->load.calls * sizeof(*g->calls));
        g->n -= g->head;
        g->order -= g->head;
        g->head = 0;
    }
}

int part_push(struct part *g, const struct waiting *w)
{
    close_up(g);
    if (reserve(g, g->n + 1) < 0) {
        return -1;
    }
    g->calls[g->n++] = *w;
    load_add(&g->load, load_of(w->call));
    return 0;
}

/* How many links two calls share, from the first on: of their chains, then of their asks. */
static unsigned common(const struct waiting *a, const struct waiting *b)
{
    const struct call *x = a->call, *y = b->call;
    unsigned i = 0, j = 0, n = MIN_OF(x->chain_len, y->chain_len);
    while (i < n && x->chain[i] == y->chain[i]) {
        i++;
    }
    if (i == n && x->chain_len == y->chain_len) {
        while (j < POOL_ASK_LINKS && a->ask.links[j] == b->ask.links[j]) {
            j++;
        }
    }
    return i + j;
}

static int compare(const void *a, const void *b)
{
    const struct waiting *v = a, *w = b;
    const struct call *x = v->call, *y = w->call;
    unsigned n = MIN_OF(x->chain_len, y->chain_len), i = common(v, w);
    if (i < n) {
        return x->chain[i] < y->chain[i] ? -1 : 1;
    }
    if (x->chain_len != y->chain_len) {
        return x->chain_len < y->chain_len ? -1 : 1;
    }
    if (i - n < POOL_ASK_LINKS) {
        return v->ask.links[i - n] < w->ask.links[i - n] ? -1 : 1;
    }
    return x->jobs->at < y->jobs->at ? -1 : x->jobs->at > y->jobs->at;
}

static void sort(struct part *g)
{
    qsort(g->calls + g->head, g->load.calls, sizeof(*g->calls), compare);
    g->order = g->n;
}

struct call *part_pop(struct part *g)
{
    if (g->head == g->n) {
        return NULL;
    }
    if (g->head == g->order) {
        sort(g);
    }
    struct call *c = g->calls[g->head++].call;
    load_sub(&g->load, load_of(c));
    return c;
}

uint64_t part_beginning(const struct part *g)
{
    return g->head < g->n ? g->calls[g->head].call->prompt_bytes : 0;
}

/* Within a quarter of the piece around its end, the place where least is shared; of several the
 * one nearest to that end. */
static uint32_t cut_at(const struct part *g, uint32_t piece)
{
    uint32_t end = g->n - piece, reach = piece / 4, best = end;
    for (uint32_t off = 0; off <= 2 * reach; off++) {
        uint32_t i = off % 2 ? end - (off + 1) / 2 : end + off / 2;
        if (common(&g->calls[i - 1], &g->calls[i]) <
            common(&g->calls[best - 1], &g->calls[best])) {
            best = i;
        }
    }
    return best;
}

struct part *part_cut(struct part *g, uint32_t n)
{
    struct part *far = part_new(g->root);
    sort(g);
    uint32_t at = cut_at(g, MAX_OF(MIN_OF(n, g->load.calls / 2), 1u));
    n = g->n - at;
    if (!far || reserve(far, n) < 0) {
        return part_free(far);
    }
    memcpy(far->calls, g->calls + at, n * sizeof(*far->calls));
    far->n = far->order = n;
    for (uint32_t i = 0; i < n; i++) {
        load_add(&far->load, load_of(far->calls[i].call));
    }
    g->n = g->order = at;
    load_sub(&g->load, far->load);
    return far;
}

/* ---- lists ---- */

void part_link(struct part_list *l, struct part *g)
{
    g->in = l;
    g->prev = l->last;
    g->next = NULL;
    *(l->last ? &l->last->next : &l->first) = g;
    l->last = g;
}

void part_unlink(struct part *g)
{
    if (g->in) {
        *(g->prev ? &g->prev->next : &g->in->first) = g->next;
        *(g->next ? &g->next->prev : &g->in->last) = g->prev;
        g->prev = g->next = NULL;
        g->in = NULL;
    }
}

/* ---- roots ---- */

int roots_init(struct roots *t)
{
    *t = (struct roots){.mask = ROOT_SLOTS - 1};
    t->slots = calloc(ROOT_SLOTS, sizeof(struct root *));
    return t->slots ? 0 : -1;
}

void roots_fini(struct roots *t)
{
    while (t->oldest) {
        struct root *r = t->oldest;
        t->oldest = r->newer;
        free(r);
    }
    free(t->slots);
    *t = (struct roots){0};
}

static void lru_remove(struct roots *t, struct root *r)
{
    *(r->older ? &r->older->newer : &t->oldest) = r->newer;
    *(r->newer ? &r->newer->older : &t->newest) = r->older;
}

static void lru_add(struct roots *t, struct root *r)
{
    r->older = t->newest;
    r->newer = NULL;
    *(t->newest ? &t->newest->newer : &t->oldest) = r;
    t->newest = r;
}

static struct root **slot_of(struct roots *t, uint64_t hash)
{
    struct root **at = &t->slots[hash & t->mask];
    while (*at && (*at)->hash != hash) {
        at = &(*at)->hash_next;
    }
    return at;
}

/* The oldest root without calls goes; when all have some, the table grows with them. */
static void forget_one(struct roots *t)
{
    struct root *r = t->oldest;
    if (r && r->parts == 0) {
        *slot_of(t, r->hash) = r->hash_next;
        lru_remove(t, r);
        free(r);
        t->n--;
    }
}

static int grow(struct roots *t)
{
    uint32_t old = t->mask + 1;
    struct root **slots = calloc((size_t)old * 2, sizeof(struct root *));
    if (!slots) {
        return -1;
    }
    free(t->slots);
    t->slots = slots;
    t->mask = old * 2 - 1;
    for (struct root *r = t->oldest; r; r = r->newer) {
        r->hash_next = slots[r->hash & t->mask];
        slots[r->hash & t->mask] = r;
    }
    return 0;
}

static struct root *add(struct roots *t, uint64_t hash)
{
    struct root *r = calloc(1, sizeof(*r));
    if (!r) {
        return NULL;
    }
    if (t->n >= POOL_ROOTS_MAX) {
        forget_one(t);
    }
    if (t->n > t->mask && grow(t) < 0) {
        free(r);
        return NULL;
    }
    r->hash = hash;
    r->home = NO_HOME;
    r->hash_next = t->slots[hash & t->mask];
    t->slots[hash & t->mask] = r;
    lru_add(t, r);
    t->n++;
    return r;
}

struct root *roots_get(struct roots *t, uint64_t hash)
{
    struct root *r = *slot_of(t, hash);
    if (r) {
        lru_remove(t, r);
        lru_add(t, r);
        return r;
    }
    return add(t, hash);
}
