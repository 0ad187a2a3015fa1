/*
 * queue_lmdb_plan.c - what the acks of a group will change: the low waters and the pages of the
 * bitmaps, found out before anything is stored.
 *
 * A broker must have them first. So the acks are applied in a write transaction that is thrown
 * away; the same is done again when the broker has acknowledged. In between nobody else acks.
 */
#include "core/queue_lmdb.h"
#include <errno.h>
#include <stdlib.h>

void ack_plan_fini(struct ack_plan *plan)
{
    free(TAKE_PTR(plan->topics));
    free(TAKE_PTR(plan->pages));
    plan->n_topics = plan->n_pages = plan->cap_pages = 0;
}

static int note_page(void *ctx, const struct ack_page *page, const uint8_t *bits)
{
    struct ack_plan *plan = ctx;
    size_t i = plan->n_pages;
    while (i-- > 0) {
        struct ack_change_page *p = &plan->pages[i];
        if (p->topic == page->topic && p->number == page->number) {
            break;
        }
    }
    if (i == SIZE_MAX && plan->n_pages == plan->cap_pages) {
        size_t cap = plan->cap_pages ? 2 * plan->cap_pages : 4;
        struct ack_change_page *pages = realloc(plan->pages, cap * sizeof(*pages));
        if (!pages) {
            return ENOMEM;
        }
        plan->pages = pages;
        plan->cap_pages = cap;
    }
    struct ack_change_page *p = &plan->pages[i == SIZE_MAX ? plan->n_pages++ : i];
    p->topic = page->topic;
    p->number = page->number;
    p->gone = bits == NULL;
    if (bits) {
        memcpy(p->bits, bits, ACK_BYTES);
    }
    return 0;
}

static int by_topic(const void *a, const void *b)
{
    const struct ack_change_page *x = a, *y = b;
    int r = (x->topic > y->topic) - (x->topic < y->topic);
    return r ? r : (x->number > y->number) - (x->number < y->number);
}

/* The low waters, and to each its pages. */
static int plan_topics(struct apply *a, struct ack_plan *plan)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < a->n; i++) {
        rc = ack_advance(a->s, a->txn, &a->page, &a->parts[i].row);
    }
    if (rc == 0) {
        rc = ack_flush(a->s, a->txn, &a->page);
    }
    plan->topics = rc == 0 ? calloc(a->n + 1, sizeof(*plan->topics)) : NULL;
    if (!plan->topics) {
        return apply_error(a, rc ? rc : ENOMEM);
    }
    if (plan->n_pages) {
        qsort(plan->pages, plan->n_pages, sizeof(*plan->pages), by_topic);
    }
    for (size_t i = 0; i < a->n; i++) {
        struct ack_change *t = &plan->topics[plan->n_topics++];
        *t = (struct ack_change){.topic = a->parts[i].is, .low = a->parts[i].row.low};
        while (t->first < plan->n_pages &&
               plan->pages[t->first].topic != a->parts[i].row.id) {
            t->first++;
        }
        while (t->first + t->n < plan->n_pages &&
               plan->pages[t->first + t->n].topic == a->parts[i].row.id) {
            t->n++;
        }
    }
    return 0;
}

int apply_plan_acks(struct queue *q, struct queue_tx *group, struct ack_plan *ret,
                    struct err *err)
{
    struct apply *a = apply_new(q, err);
    if (!a) {
        return store_error(q->dir, "write to", ENOMEM, err);
    }
    *ret = (struct ack_plan){0};
    a->page.changed = note_page;
    a->page.ctx = ret;
    int r = apply_begin(a, group);
    for (struct queue_tx *tx = group; r == 0 && tx; tx = tx->next) {
        r = apply_acks(a, tx);
    }
    if (r == 0) {
        r = plan_topics(a, ret);
    }
    apply_free(a);
    if (r < 0) {
        ack_plan_fini(ret);
    }
    return r;
}
