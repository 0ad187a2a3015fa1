#include "worker/evict.h"

#include "core/attr.h"

void evict_begin(struct evict *e, int64_t from_ms, int64_t to_ms)
{
    *e = (struct evict){.from_ms = from_ms,
                        .to_ms = MAX_OF(to_ms, from_ms + 1),
                        .oldest_ms = INT64_MAX,
                        .newest_ms = INT64_MIN};
}

static double position(const struct evict *e, int64_t ms)
{
    return (double)(ms - e->from_ms) / (double)(e->to_ms - e->from_ms) * EVICT_BUCKETS;
}

void evict_add(struct evict *e, int64_t stored_ms, uint64_t bytes)
{
    double at = position(e, stored_ms);
    int bucket = at < 0 ? 0 : at >= EVICT_BUCKETS ? EVICT_BUCKETS - 1 : (int)at;
    e->bytes[bucket] += bytes;
    e->total += bytes;
    e->oldest_ms = MIN_OF(e->oldest_ms, stored_ms);
    e->newest_ms = MAX_OF(e->newest_ms, stored_ms);
}

/* The time at `bucket` + `part`, within what was seen. The outer buckets also hold what is
 * outside the range. */
static int64_t time_at(const struct evict *e, int bucket, double part)
{
    double width = (double)(e->to_ms - e->from_ms) / EVICT_BUCKETS;
    double oldest = (double)e->oldest_ms, newest = (double)e->newest_ms + 1;
    double begin = bucket == 0 ? oldest : (double)e->from_ms + width * bucket;
    double end = bucket == EVICT_BUCKETS - 1 ? newest
                                             : (double)e->from_ms + width * (bucket + 1);
    begin = MAX_OF(begin, oldest);
    end = MIN_OF(end, newest);
    return (int64_t)(begin + (end - begin) * part) + 1;
}

int64_t evict_before(const struct evict *e, uint64_t max_bytes)
{
    if (e->total <= max_bytes) {
        return INT64_MIN;
    }
    uint64_t go = e->total - max_bytes / 10 * 9;
    for (int i = 0; i < EVICT_BUCKETS; i++) {
        if (e->bytes[i] >= go && e->bytes[i]) {
            return time_at(e, i, (double)go / (double)e->bytes[i]);
        }
        go -= e->bytes[i];
    }
    return e->newest_ms + 1;
}
