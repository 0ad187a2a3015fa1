#include "cli/order.h"

#include "cli/scratch.h"
#include "cli/slots.h"
#include "core/queue.h"

#include <stdlib.h>

/* Of the text with a number; all zero: there is none. */
struct entry {
    uint64_t behind; /* where it begins in the file, plus 1 */
    uint32_t bytes, tag;
};
_Static_assert(sizeof(struct entry) % 16 == 0, "a size that slots.h takes");

struct order {
    struct scratch *texts;
    struct slots *entries; /* by number */
    uint64_t end;          /* behind the highest number */
};

int order_open(struct order **ret, const char *dir, struct err *err)
{
    struct order *o = calloc(1, sizeof(*o));
    if (!o) {
        return err_set(err, ERR_FAIL, "could not put the results in order: no memory");
    }
    int rc = scratch_open(&o->texts, dir, err);
    if (rc >= 0) {
        rc = slots_open(&o->entries, dir, sizeof(struct entry), err);
    }
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
        slots_close(o->entries);
        free(o);
    }
    return NULL;
}

int order_add(struct order *o, uint64_t number, uint32_t tag, struct span text,
              struct err *err)
{
    uint64_t at;
    if (text.n > QUEUE_VALUE_MAX) {
        return err_set(err, ERR_FAIL,
                       "could not put the results in order: one has %zu bytes", text.n);
    }
    int rc = scratch_add(o->texts, text, &at, err);
    struct entry *e = rc < 0 ? NULL : slots_at(o->entries, number, err);
    if (!e) {
        return -ERR_FAIL;
    }
    *e = (struct entry){.behind = at + 1, .bytes = (uint32_t)text.n, .tag = tag};
    o->end = MAX_OF(o->end, number + 1);
    return 0;
}

int order_each(struct order *o, order_fn fn, void *ctx, struct err *err)
{
    _cleanup_(buf_fini) struct buf text;
    int rc = 0;
    buf_init(&text, QUEUE_VALUE_MAX);
    for (uint64_t number = 0; rc >= 0 && number < o->end; number++) {
        const struct entry *e = slots_at(o->entries, number, err);
        if (!e) {
            return -ERR_FAIL;
        }
        if (!e->behind) {
            continue;
        }
        buf_reset(&text);
        if (buf_reserve(&text, e->bytes) < 0) {
            return err_set(err, ERR_FAIL,
                           "could not put the results in order: no memory");
        }
        rc = scratch_get(o->texts, e->behind - 1, text.p, e->bytes, err);
        if (rc >= 0) {
            rc = fn(ctx, e->tag, span_of(text.p, e->bytes), err);
        }
    }
    return rc;
}
