#include "scheduler/backlog.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct backlog {
    void *tree; /* tsearch tree of struct waiting by topic and partition */
};

static int waiting_cmp(const void *a, const void *b)
{
    const struct waiting *x = a, *y = b;
    int order = strcmp(x->topic, y->topic);
    return order ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

struct backlog *backlog_create(void)
{
    return calloc(1, sizeof(struct backlog));
}

struct backlog *backlog_destroy(struct backlog *b)
{
    if (b) {
        tdestroy(b->tree, free);
        free(b);
    }
    return NULL;
}

struct waiting *backlog_get(struct backlog *b, const char *topic, uint32_t partition)
{
    struct waiting key = {.partition = partition};
    snprintf(key.topic, sizeof(key.topic), "%s", topic);
    struct waiting *const *found = tfind(&key, &b->tree, waiting_cmp);
    if (found) {
        return *found;
    }
    struct waiting *w = malloc(sizeof(*w));
    if (!w || topic_jobs_parse(topic, key.team, key.feature) < 0) {
        free(w);
        return NULL;
    }
    *w = key;
    if (!tsearch(w, &b->tree, waiting_cmp)) {
        free(w);
        return NULL;
    }
    return w;
}

struct walking {
    void (*fn)(void *ctx, struct waiting *w);
    void *ctx;
};

static void visit_one(const void *node, VISIT visit, void *ctx)
{
    struct walking *w = ctx;
    if (visit == postorder || visit == leaf) {
        w->fn(w->ctx, *(struct waiting *const *)node);
    }
}

void backlog_each(const struct backlog *b, void (*fn)(void *ctx, struct waiting *w),
                  void *ctx)
{
    struct walking w = {.fn = fn, .ctx = ctx};
    twalk_r(b->tree, visit_one, &w);
}

/* ---- the partitions of one queue ---- */

static bool same_queue(const struct waiting *a, const char *team, const char *feature)
{
    return strcmp(a->feature, feature) == 0 && strcmp(a->team, team) == 0;
}

struct searching {
    const char *team, *feature;
    const struct waiting *found;
    int rank;
};

static void match(void *ctx, struct waiting *w)
{
    struct searching *s = ctx;
    int rank = 1 + w->waits + (w->waits && w->gate.closed);
    if (rank > s->rank && same_queue(w, s->team, s->feature)) {
        s->found = w;
        s->rank = rank;
    }
}

const struct waiting *backlog_find(const struct backlog *b, const char *team,
                                   const char *feature)
{
    struct searching s = {.team = team, .feature = feature};
    backlog_each(b, match, &s);
    return s.found;
}

struct asking {
    const struct waiting *w;
    const struct gate *gate;
    bool found;
};

static void meets_gate(void *ctx, struct waiting *w)
{
    struct asking *a = ctx;
    a->found |= w->gate.kind == a->gate->kind && w->gate.closed == a->gate->closed &&
                same_queue(w, a->w->team, a->w->feature);
}

bool backlog_told(const struct backlog *b, const struct waiting *w, const struct gate *g)
{
    struct asking a = {.w = w, .gate = g};
    backlog_each(b, meets_gate, &a);
    return a.found;
}

static void stands_closed(void *ctx, struct waiting *w)
{
    struct asking *a = ctx;
    a->found |= w->waits && w->gate.closed && same_queue(w, a->w->team, a->w->feature);
}

static void forget_gate(void *ctx, struct waiting *w)
{
    const struct waiting *of = ctx;
    if (!w->waits && same_queue(w, of->team, of->feature)) {
        w->gate = (struct gate){.kind = GATE_OPEN};
    }
}

bool backlog_opens(struct backlog *b, struct waiting *w)
{
    struct asking a = {.w = w};
    bool closed = w->gate.closed;
    if (w->gate.kind == GATE_OPEN) {
        return false;
    }
    w->gate = (struct gate){.kind = GATE_OPEN};
    backlog_each(b, stands_closed, &a);
    if (!closed || a.found) {
        return false;
    }
    backlog_each(b, forget_gate, w);
    return true;
}

/* ---- waking ---- */

static bool budget_wakes(const struct waiting *w, const struct backlog_news *news)
{
    if (!w->line) {
        return false; /* only an edit sets a limit, and that wakes every queue */
    }
    if (news->new_day || admit_reopens(w->line, w->limit, w->need)) {
        return true;
    }
    /* Nothing in flight any more: look once again, to say that the gate is closed now. */
    return w->line->open_jobs == 0 && !w->gate.closed;
}

bool backlog_wakes(const struct waiting *w, const struct backlog_news *news)
{
    struct budget_edit pause;
    switch (w->gate.kind) {
    case GATE_OPEN: return true;
    case GATE_ENDPOINT: return false;
    case GATE_PAUSE: return !books_paused(news->books, w->team, w->feature, &pause);
    case GATE_FLOW: return !flow_closed(news->flow, w->model);
    case GATE_BUDGET: return budget_wakes(w, news);
    }
    return true;
}
