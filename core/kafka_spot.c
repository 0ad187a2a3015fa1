/* Where partitions stand; the rules of kafka_int.h. */
#include "core/kafka_int.h"

#include <stdio.h>
#include <stdlib.h>

/* Index of the first that is not below. */
static size_t spot_index(const struct kafka_spots *s, const char *topic,
                         int32_t partition, bool *ret_there)
{
    size_t low = 0, high = s->n;
    *ret_there = false;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = strcmp(s->v[mid].topic, topic);
        if (c == 0 && s->v[mid].partition == partition) {
            *ret_there = true;
            return mid;
        }
        if (c < 0 || (c == 0 && s->v[mid].partition < partition)) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct kafka_spot *kafka_spot_find(const struct kafka_spots *s, const char *topic,
                                   int32_t partition)
{
    bool there;
    size_t i = spot_index(s, topic, partition, &there);
    return there ? &s->v[i] : NULL;
}

struct kafka_spot *kafka_spot_get(struct kafka_spots *s, const char *topic,
                                  int32_t partition)
{
    bool there;
    size_t i = spot_index(s, topic, partition, &there);
    if (there) {
        return &s->v[i];
    }
    if (s->n == KAFKA_PARTITIONS_MAX || strlen(topic) >= KAFKA_TOPIC_MAX) {
        return NULL;
    }
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 16;
        struct kafka_spot *v = realloc(s->v, cap * sizeof(*v));
        if (!v) {
            return NULL;
        }
        s->v = v;
        s->cap = cap;
    }
    memmove(&s->v[i + 1], &s->v[i], (s->n - i) * sizeof(*s->v));
    s->n++;
    s->v[i] = (struct kafka_spot){.partition = partition};
    snprintf(s->v[i].topic, sizeof(s->v[i].topic), "%s", topic);
    return &s->v[i];
}

void kafka_spots_fini(struct kafka_spots *s)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->v[i].rkt) {
            rd_kafka_topic_destroy(s->v[i].rkt);
        }
    }
    free(s->v);
    *s = (struct kafka_spots){0};
}
