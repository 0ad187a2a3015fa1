/*
 * queue_kafka_acks.c - which records are acknowledged, as rows of table `acks`:
 *
 *     ready#3        5012            the lowest offset that is not, in decimal
 *     ready#3/0      8 bytes, bits   of the page 0 (32768 offsets): the offset of the first bit,
 *                                    big endian, and a bit for each from there on; below it all
 *                                    are acknowledged, behind the last byte none is
 *
 * A page that the low water has left is deleted. A row names its topic, so that one partition
 * of `acks` may serve several topics.
 */
#include "core/queue_kafka.h"
#include <stdio.h>

void acks_low_row(const struct ack_change *c, struct acks_row *ret)
{
    *ret = (struct acks_row){0};
    (void)snprintf(ret->key, sizeof(ret->key), "%s#%u", c->topic.name,
                   c->topic.partition);
    int n = snprintf((char *)ret->value, sizeof(ret->value), "%llu",
                     (unsigned long long)c->low);
    ret->value_bytes = (size_t)n;
}

void acks_page_row(const struct ack_change *c, const struct ack_change_page *page,
                   struct acks_row *ret)
{
    *ret = (struct acks_row){.gone = page->gone};
    (void)snprintf(ret->key, sizeof(ret->key), "%s#%u/%llu", c->topic.name,
                   c->topic.partition, (unsigned long long)page->number);
    uint64_t begin = page->number * ACK_BITS;
    uint64_t done = MIN_OF(MAX_OF(c->low, begin) - begin, (uint64_t)ACK_BITS - 8);
    size_t from = (size_t)done / 8, to = ACK_BYTES;
    while (to > from && page->bits[to - 1] == 0) {
        to--;
    }
    put_be64(ret->value, begin + 8 * from);
    memcpy(ret->value + 8, page->bits + from, to - from);
    ret->value_bytes = 8 + to - from;
}

/* "topic#partition[/page]" */
static bool parse_key(struct span key, struct store_name *ret, bool *ret_page)
{
    const char *hash = key.n ? memchr(key.p, '#', key.n) : NULL;
    size_t n = hash ? (size_t)(hash - key.p) : 0;
    uint64_t partition;
    if (n == 0 || n >= QUEUE_NAME_MAX) {
        return false;
    }
    struct span rest = span_of(hash + 1, key.n - n - 1);
    const char *slash = rest.n ? memchr(rest.p, '/', rest.n) : NULL;
    *ret_page = slash != NULL;
    rest.n = slash ? (size_t)(slash - rest.p) : rest.n;
    if (span_u64(rest, &partition) < 0 || partition >= QUEUE_PARTITIONS) {
        return false;
    }
    *ret = (struct store_name){.kind = 'T', .partition = (uint32_t)partition};
    memcpy(ret->name, key.p, n);
    return queue_name_ok(ret->name);
}

int acks_restore(struct link *l, struct queue_tx *tx, const struct kafka_event *row,
                 struct err *err)
{
    struct store_name of;
    uint64_t low;
    bool page;
    if (!parse_key(row->key, &of, &page) || !row->value.p || !link_fed(l, &of)) {
        return 0;
    }
    if (!page) {
        return span_u64(row->value, &low) < 0
                   ? 0
                   : copy_mark(tx, OP_LOW, &of, low, SPAN_NONE, err);
    }
    if (row->value.n < 8) {
        return 0;
    }
    return copy_mark(tx, OP_BITS, &of, get_be64((const uint8_t *)row->value.p),
                     span_of(row->value.p + 8, row->value.n - 8), err);
}
