#include "scheduler/flow.h"

#include "core/attr.h"
#include "core/prompt.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct model {
    char name[PROMPT_MODEL_MAX + 1];
    uint64_t calls, tokens;
    bool closed;
};

struct flow {
    struct flow_caps caps;
    void *models; /* tsearch tree of struct model by name */
    uint64_t calls;
};

static int model_cmp(const void *a, const void *b)
{
    return strcmp(((const struct model *)a)->name, ((const struct model *)b)->name);
}

struct flow *flow_create(struct flow_caps caps)
{
    struct flow *f = calloc(1, sizeof(*f));
    if (f) {
        f->caps = caps;
    }
    return f;
}

struct flow *flow_destroy(struct flow *f)
{
    if (f) {
        tdestroy(f->models, free);
        free(f);
    }
    return NULL;
}

static struct model *model_find(const struct flow *f, const char *name)
{
    struct model key;
    snprintf(key.name, sizeof(key.name), "%s", name);
    struct model *const *found = tfind(&key, &f->models, model_cmp);
    return found ? *found : NULL;
}

static struct model *model_get(struct flow *f, const char *name)
{
    struct model *m = model_find(f, name);
    if (m) {
        return m;
    }
    m = calloc(1, sizeof(*m));
    if (!m) {
        return NULL;
    }
    snprintf(m->name, sizeof(m->name), "%s", name);
    if (!tsearch(m, &f->models, model_cmp)) {
        free(m);
        return NULL;
    }
    return m;
}

static bool under(uint64_t used, uint64_t more, uint64_t cap)
{
    return cap == 0 || (more <= cap && used <= cap - more);
}

bool flow_fits(struct flow *f, const char *model, uint64_t tokens)
{
    struct model *m = model_find(f, model);
    if (!m || m->calls == 0) {
        return true;
    }
    if (!m->closed) {
        m->closed = !under(m->calls, 1, f->caps.calls) ||
                    !under(m->tokens, tokens, f->caps.tokens);
    }
    return !m->closed;
}

bool flow_closed(const struct flow *f, const char *model)
{
    const struct model *m = model_find(f, model);
    return m && m->closed;
}

int flow_add(struct flow *f, const char *model, uint64_t tokens)
{
    struct model *m = model_get(f, model);
    if (!m) {
        return -1;
    }
    m->calls++;
    m->tokens += tokens;
    f->calls++;
    return 0;
}

void flow_sub(struct flow *f, const char *model, uint64_t tokens)
{
    struct model *m = model_find(f, model);
    if (!m || m->calls == 0) {
        return;
    }
    m->calls--;
    m->tokens -= MIN_OF(tokens, m->tokens);
    f->calls--;
    bool room = under(m->calls, f->caps.calls / 4, f->caps.calls) &&
                under(m->tokens, f->caps.tokens / 4, f->caps.tokens);
    if (m->calls == 0 || room) {
        m->closed = false;
    }
}

uint64_t flow_calls(const struct flow *f)
{
    return f->calls;
}
