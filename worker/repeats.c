#include "worker/repeats.h"

#include <stdlib.h>

struct seen {
    char *queue; /* "team.feature/partition"; NULL: empty slot */
    size_t queue_len;
    uint32_t ready;
    struct last_job last;
};

struct repeats {
    struct seen *slots; /* open addressing, linear probing; nothing is ever removed */
    size_t size, n;
};

static size_t slot_of(const struct repeats *r, uint32_t ready, struct span queue)
{
    uint64_t h =
        0xcbf29ce484222325u; /* FNV-1a: names are ours, nobody picks collisions */
    for (size_t i = 0; i < queue.n; i++) {
        h = (h ^ (uint8_t)queue.p[i]) * 0x100000001b3u;
    }
    h = (h ^ ready) * 0x100000001b3u;
    size_t at = (size_t)h & (r->size - 1);
    const struct seen *s;
    while ((s = &r->slots[at])->queue &&
           !(s->ready == ready && span_eq(span_of(s->queue, s->queue_len), queue))) {
        at = (at + 1) & (r->size - 1);
    }
    return at;
}

static int grow(struct repeats *r)
{
    if (r->n * 2 < r->size) {
        return 0;
    }
    struct repeats bigger = {.size = r->size ? r->size * 2 : 64, .n = r->n};
    bigger.slots = calloc(bigger.size, sizeof(*bigger.slots));
    if (!bigger.slots) {
        return -1;
    }
    for (size_t i = 0; i < r->size; i++) {
        const struct seen *s = &r->slots[i];
        if (s->queue) {
            bigger.slots[slot_of(&bigger, s->ready, span_of(s->queue, s->queue_len))] =
                *s;
        }
    }
    free(r->slots);
    *r = bigger;
    return 0;
}

static int remember(struct repeats *r, struct seen *slot, const struct seen *seen)
{
    char *name = r->n < REPEATS_QUEUES_MAX ? malloc(seen->queue_len + 1) : NULL;
    if (!name) {
        return -1;
    }
    memcpy(name, seen->queue, seen->queue_len);
    *slot = *seen;
    slot->queue = name;
    r->n++;
    return 0;
}

/* 1: not above the last; 0: it is the last now; -1: cannot be remembered. */
static int see(struct repeats *r, uint32_t ready, struct span queue,
               const struct last_job *job)
{
    if (grow(r) < 0) {
        return -1;
    }
    struct seen *slot = &r->slots[slot_of(r, ready, queue)];
    if (!slot->queue) {
        const struct seen seen = {.queue = (char *)(uintptr_t)queue.p,
                                  .queue_len = queue.n,
                                  .ready = ready,
                                  .last = *job};
        return remember(r, slot, &seen);
    }
    return !last_job_pass(&slot->last, job);
}

int repeats_see(struct repeats *r, uint32_t ready, struct span job_id)
{
    struct span queue;
    struct last_job job;
    return last_job_of(job_id, &queue, &job) < 0 ? -1 : see(r, ready, queue, &job);
}

int repeats_begin(struct repeats *r, uint32_t ready, struct span queue,
                  const struct last_job *last)
{
    return MIN_OF(see(r, ready, queue, last), 0);
}

struct repeats *repeats_create(void)
{
    return calloc(1, sizeof(struct repeats));
}

struct repeats *repeats_destroy(struct repeats *r)
{
    if (r) {
        for (size_t i = 0; i < r->size; i++) {
            free(r->slots[i].queue);
        }
        free(r->slots);
        free(r);
    }
    return NULL;
}
