#include "cli/groups.h"

#include <stdio.h>
#include <stdlib.h>

static struct group *find(struct groups *g, const char *name)
{
    for (unsigned i = 0; i < g->n; i++) {
        if (!strcmp(g->list[i].name, name)) {
            return &g->list[i];
        }
    }
    return NULL;
}

static struct group *make(struct groups *g, const char *name)
{
    if (g->n == g->cap) {
        unsigned cap = MAX_OF(2 * g->cap, 16u);
        struct group *grown = realloc(g->list, cap * sizeof(*grown));
        if (!grown) {
            return NULL;
        }
        g->list = grown;
        g->cap = cap;
    }
    struct group *new = &g->list[g->n++];
    *new = (struct group){0};
    snprintf(new->name, sizeof(new->name), "%s", name);
    return new;
}

int groups_add(struct groups *g, const char *name, const struct spend_line *l)
{
    static const char others[] = "(others)";
    struct group *in = find(g, name);
    if (!in && g->n >= GROUPS_MAX) {
        in = find(g, others);
        name = others;
    }
    if (!in) {
        in = make(g, name);
    }
    if (!in) {
        return -1;
    }
    totals_add(&in->totals, l);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct group *)a)->name, ((const struct group *)b)->name);
}

void groups_sort(struct groups *g)
{
    if (g->n) {
        qsort(g->list, g->n, sizeof(*g->list), by_name);
    }
}

void groups_fini(struct groups *g)
{
    free(g->list);
    *g = (struct groups){0};
}
