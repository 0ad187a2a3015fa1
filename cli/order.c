#include "cli/order.h"

#include "cli/scratch.h"
#include "core/queue.h"

#include <stdlib.h>

#define ORDER_FIRST 4096 /* entries there is room for at once */

struct entry {
    uint64_t number, at;
    uint32_t bytes, tag;
};
_Static_assert(sizeof(struct entry) == 24, "what order.h says about memory");

struct order {
    struct scratch *texts;
    struct entry *v;
    size_t n, size;
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_FAIL, "could not put the results in order: no memory");
}

int order_open(struct order **ret, const char *dir, struct err *err)
{
    struct order *o = calloc(1, sizeof(*o));
    if (!o) {
        return no_memory(err);
    }
    int rc = scratch_open(&o->texts, dir, err);
    if (rc < 0) {
        order_close(o);
        return rc;
    }
    *ret = o;
    return 0;
}

struct order *order_close(struct order *o)
{
    if (o) {
        scratch_close(o->texts);
        free(o->v);
        free(o);
    }
    return NULL;
}

static int grow(struct order *o)
{
    size_t size = o->size ? o->size + o->size / 2 : ORDER_FIRST;
    struct entry *v = reallocarray(o->v, size, sizeof(*v));
    if (!v) {
        return -1;
    }
    o->v = v;
    o->size = size;
    return 0;
}

int order_add(struct order *o, uint64_t number, uint32_t tag, struct span text,
              struct err *err)
{
    if (text.n > QUEUE_VALUE_MAX) {
        return err_set(err, ERR_FAIL,
                       "could not put the results in order: one has %zu bytes", text.n);
    }
    if (o->n == o->size && grow(o) < 0) {
        return no_memory(err);
    }
    struct entry *e = &o->v[o->n];
    *e = (struct entry){.number = number, .bytes = (uint32_t)text.n, .tag = tag};
    int rc = scratch_add(o->texts, text, &e->at, err);
    o->n += rc >= 0;
    return rc;
}

/* Texts were added at growing places: among equal numbers the last comes last. */
static int compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->number != y->number) {
        return x->number < y->number ? -1 : 1;
    }
    return (x->at > y->at) - (x->at < y->at);
}

int order_each(struct order *o, order_fn fn, void *ctx, struct err *err)
{
    _cleanup_(buf_fini) struct buf text;
    int rc = 0;
    buf_init(&text, QUEUE_VALUE_MAX);
    if (o->n) {
        qsort(o->v, o->n, sizeof(*o->v), compare);
    }
    for (size_t i = 0; rc >= 0 && i < o->n; i++) {
        const struct entry *e = &o->v[i];
        if (i + 1 < o->n && e[1].number == e->number) {
            continue;
        }
        buf_reset(&text);
        if (buf_reserve(&text, e->bytes) < 0) {
            return no_memory(err);
        }
        rc = scratch_get(o->texts, e->at, text.p, e->bytes, err);
        if (rc >= 0) {
            rc = fn(ctx, e->tag, span_of(text.p, e->bytes), err);
        }
    }
    return rc;
}
