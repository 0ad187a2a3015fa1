/*
 * queue_lmdb_parts.c - into how many partitions names are spread, and which of them are ours.
 *
 * What nobody assigned has one partition, and it is ours: all there is on one machine. With a broker
 * it has as many as the broker says.
 */
#include "core/queue_kafka.h"
#include <errno.h>
#include <stdlib.h>

struct assigned {
    struct assigned *next;
    char name[QUEUE_NAME_MAX]; /* topic or table */
    uint32_t partitions;
    uint32_t owned_n;
    uint32_t owned[];
};

static struct assigned *find(const struct queue *q, const char *name)
{
    struct assigned *a = q->assigned;
    while (a && strcmp(a->name, name) != 0) {
        a = a->next;
    }
    return a;
}

static bool sorted(const uint32_t *owned, size_t n, uint32_t partitions)
{
    for (size_t i = 0; i < n; i++) {
        if (owned[i] >= partitions || (i > 0 && owned[i] <= owned[i - 1])) {
            return false;
        }
    }
    return true;
}

static void forget(struct queue *q, const char *name)
{
    for (struct assigned **at = &q->assigned; *at; at = &(*at)->next) {
        if (strcmp((*at)->name, name) == 0) {
            struct assigned *gone = *at;
            *at = gone->next;
            free(gone);
            return;
        }
    }
}

int queue_assign(struct queue *q, const char *name, uint32_t partitions,
                 const uint32_t *owned, size_t n, struct err *err)
{
    if (!queue_name_ok(name) || partitions == 0 || partitions > QUEUE_PARTITIONS ||
        !sorted(owned, n, partitions)) {
        return err_set(err, ERR_INPUT, "could not assign partitions of '%s': %s", name,
                       "they are not partitions of it in order");
    }
    struct assigned *a = calloc(1, sizeof(*a) + n * sizeof(*owned));
    if (!a) {
        return store_error(q->dir, "assign partitions of", ENOMEM, err);
    }
    memcpy(a->name, name, strlen(name) + 1);
    a->partitions = partitions;
    a->owned_n = (uint32_t)n;
    if (n) {
        memcpy(a->owned, owned, n * sizeof(*owned));
    }
    forget(q, name);
    a->next = q->assigned;
    q->assigned = a;
    return 0;
}

int queue_partitions(struct queue *q, const char *name, uint32_t *ret, struct err *err)
{
    const struct assigned *a = find(q, name);
    if (!queue_name_ok(name)) {
        return err_set(err, ERR_INPUT, "could not count the partitions of '%s': %s", name,
                       "the name is not valid");
    }
    if (!a && q->link) {
        return link_partitions(q->link, name, ret, err);
    }
    *ret = a ? a->partitions : 1;
    return 0;
}

size_t queue_owned(struct queue *q, const char *name, uint32_t *ret, size_t max)
{
    const struct assigned *a = find(q, name);
    size_t n = a ? a->owned_n : 1;
    for (size_t i = 0; i < MIN_OF(n, max); i++) {
        ret[i] = a ? a->owned[i] : 0;
    }
    return MIN_OF(n, max);
}

bool parts_fed(const struct queue *q, const char *topic, uint32_t partition)
{
    const struct assigned *a = find(q, topic);
    bool ours = !a;
    for (uint32_t i = 0; a && i < a->owned_n; i++) {
        ours |= a->owned[i] == partition;
    }
    return ours;
}

void parts_fini(struct queue *q)
{
    while (q->assigned) {
        struct assigned *a = q->assigned;
        q->assigned = a->next;
        free(a);
    }
}
