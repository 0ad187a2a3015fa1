/*
 * queue_kafka_trim.c - what the broker drops: trims that were applied here.
 *
 * Best effort: the broker is asked when there is time, a few partitions at a time, and what it
 * does not do the next trim of that partition says again. Only that it is forbidden is told.
 */
#include "core/queue_kafka.h"
#include <stdlib.h>

struct link_trim {
    struct link_trim *next;
    char topic[KAFKA_TOPIC_MAX];
    int32_t partition;
    uint64_t below;
    int64_t older_ms; /* only what is older than this; 0: of any age */
};

void link_trimmed(struct link *l, const struct part *trimmed)
{
    struct link_trim *t = calloc(1, sizeof(*t));
    if (!t) {
        return; /* the next trim says it again */
    }
    link_topic(l, trimmed->is.name, t->topic);
    t->partition = (int32_t)trimmed->is.partition;
    t->below = trimmed->trimmed_to;
    t->older_ms = trimmed->trimmed_ms;
    pthread_mutex_lock(&l->mu);
    t->next = l->trims;
    l->trims = t;
    pthread_mutex_unlock(&l->mu);
}

static struct link_trim *next_trim(struct link *l)
{
    pthread_mutex_lock(&l->mu);
    struct link_trim *t = l->trims;
    if (t) {
        l->trims = t->next;
    }
    pthread_mutex_unlock(&l->mu);
    return t;
}

/* Lowers *below to the first record that is not older. 1 when something is left to drop. */
static int look_old(struct link *l, struct kafka_place *below, int64_t older_ms,
                    struct err *err)
{
    int64_t young = 0, first = 0, end = 0;
    int r = kafka_admin_offset_at(l->admin, below, older_ms, &young, err);
    if (r == 0) {
        r = kafka_admin_bounds(l->admin, below, false, &first, &end, err);
    }
    below->offset = MIN_OF(below->offset, young);
    return r < 0 ? r : below->offset > first;
}

static int trim(struct link *l, const struct link_trim *t, struct err *err)
{
    struct kafka_place below = {t->topic, t->partition, (int64_t)t->below};
    int r = t->older_ms ? look_old(l, &below, t->older_ms, err) : 1;
    return r <= 0 ? r : kafka_admin_trim(l->admin, &below, 1, err);
}

static void say_forbidden(struct link *l, const struct err *err)
{
    int64_t now = link_now_ms();
    if (l->kept_ms == 0 || now - l->kept_ms >= LINK_KEPT_MS) {
        l->kept_ms = now;
        link_say(l, err);
    }
}

void link_trim_some(struct link *l)
{
    struct link_trim *t;
    int r = 0;
    for (int i = 0; i < LINK_TRIMS_TURN && r == 0 && (t = next_trim(l)); i++) {
        struct err err = {0};
        r = trim(l, t, &err);
        if (r == -(int)KAFKA_REFUSED) {
            say_forbidden(l, &err);
            r = 0; /* others may be allowed */
        }
        free(t);
    }
}

void link_trims_forget(struct link *l)
{
    struct link_trim *t;
    while ((t = next_trim(l))) {
        free(t);
    }
}
