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
 *
 * What workers share has beside its low water the last job of each jobs partition that stands
 * below it (core/last_job.h), for whoever owns it next and has nothing from before:
 *
 *     ready#3:shop.tags/0    17/1795279027258
 *
 * They are rows like any other: put by the commit that moves the low water, kept in the copy.
 */
#include "core/queue_kafka.h"
#include "core/headers.h"
#include "core/last_job.h"
#include <search.h>
#include <stdio.h>
#include <stdlib.h>

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

/* "topic#partition[/page|:queue]" */
enum row_kind { ROW_LOW, ROW_PAGE, ROW_LAST };

static bool parse_key(struct span key, struct store_name *ret, enum row_kind *ret_kind)
{
    const char *hash = key.n ? memchr(key.p, '#', key.n) : NULL;
    size_t n = hash ? (size_t)(hash - key.p) : 0;
    uint64_t partition;
    if (n == 0 || n >= QUEUE_NAME_MAX) {
        return false;
    }
    struct span rest = span_of(hash + 1, key.n - n - 1);
    size_t digits = 0;
    while (digits < rest.n && rest.p[digits] != '/' && rest.p[digits] != ':') {
        digits++;
    }
    *ret_kind = digits == rest.n ? ROW_LOW : rest.p[digits] == '/' ? ROW_PAGE : ROW_LAST;
    rest.n = digits;
    if (span_u64(rest, &partition) < 0 || partition >= QUEUE_PARTITIONS) {
        return false;
    }
    *ret = (struct store_name){.kind = 'T', .partition = (uint32_t)partition};
    memcpy(ret->name, key.p, n);
    return queue_name_ok(ret->name);
}

static int restore_last(struct queue_tx *tx, const struct kafka_event *row,
                        struct err *err)
{
    const struct copied c = {
        .of = {.kind = 'R', .name = TOPICS_ACKS, .partition = (uint32_t)row->partition},
        .time_ms = MAX_OF(row->time_ms, 0),
        .key = row->key,
        .value = row->value};
    return row->key.n > QUEUE_KEY_MAX ? 0 : copy_add(tx, &c, err);
}

int acks_restore(struct link *l, struct queue_tx *tx, const struct kafka_event *row,
                 struct err *err)
{
    struct store_name of;
    enum row_kind kind;
    uint64_t low;
    if (!parse_key(row->key, &of, &kind) || !row->value.p || !link_fed(l, &of)) {
        return 0;
    }
    switch (kind) {
    case ROW_LAST: return restore_last(tx, row, err);
    case ROW_LOW:
        return span_u64(row->value, &low) < 0
                   ? 0
                   : copy_mark(tx, OP_LOW, &of, low, SPAN_NONE, err);
    case ROW_PAGE: break;
    }
    if (row->value.n < 8) {
        return 0;
    }
    return copy_mark(tx, OP_BITS, &of, get_be64((const uint8_t *)row->value.p),
                     span_of(row->value.p + 8, row->value.n - 8), err);
}

/* ---- the last jobs below the low water ---- */

struct last { /* of one jobs partition */
    char queue[QUEUE_NAME_MAX];
    struct last_job job;
};

struct lasts {
    struct queue_cursor *cursor;
    const struct store_name *topic;
    void *tree; /* tsearch tree of struct last */
    struct queue_tx *tx;
    struct err *err;
    int r;
};

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct last *)a)->queue, ((const struct last *)b)->queue);
}

static void last_key(const struct store_name *topic, const char *queue,
                     char ret[static QUEUE_KEY_MAX])
{
    (void)snprintf(ret, QUEUE_KEY_MAX, "%s#%u:%s", topic->name, topic->partition, queue);
}

/* As it stands in the table; one that never was begins with this job. */
static int last_begin(struct lasts *all, struct last *l)
{
    char key[QUEUE_KEY_MAX];
    struct queue_msg row;
    struct last_job before;
    last_key(all->topic, l->queue, key);
    int r = queue_table_get(all->cursor, TOPICS_ACKS,
                            (uint32_t)link_acks_partition(all->topic), span_str(key),
                            &row, all->err);
    if (r > 0 && last_job_parse(row.value, &before) == 0) {
        l->job = before;
    }
    return MIN_OF(r, 0);
}

static int last_add(struct lasts *all, const struct last *job)
{
    struct last *const *found = tfind(job, &all->tree, compare);
    struct last *l = found ? *found : malloc(sizeof(*l));
    if (!l) {
        return err_set(all->err, ERR_FAIL, "could not acknowledge: out of memory");
    }
    if (!found) {
        *l = *job;
        if (!tsearch(l, &all->tree, compare)) {
            free(l);
            return err_set(all->err, ERR_FAIL, "could not acknowledge: out of memory");
        }
        int r = last_begin(all, l);
        if (r < 0) {
            return r;
        }
    }
    (void)last_job_pass(&l->job, &job->job);
    return 0;
}

/* The jobs that stand from `from` to `low`. They are here: what is fed is trimmed below its low
 * water only. */
static int read_lasts(struct lasts *all, uint64_t from, uint64_t low)
{
    struct queue_msg msg;
    int r = queue_read_topic(all->cursor, all->topic->name, all->topic->partition, from);
    while (r >= 0 && (r = queue_read(all->cursor, &msg, all->err)) > 0 &&
           msg.at.offset < low) {
        struct last l;
        struct span id, queue;
        if (headers_get(msg.headers, "job", &id) &&
            last_job_of(id, &queue, &l.job) == 0 && queue.n < sizeof(l.queue)) {
            memcpy(l.queue, queue.p, queue.n);
            l.queue[queue.n] = '\0';
            r = last_add(all, &l);
        }
    }
    return MIN_OF(r, 0);
}

static void put_last(const void *node, VISIT visit, void *ctx)
{
    struct lasts *all = ctx;
    char key[QUEUE_KEY_MAX], value[LAST_JOB_TEXT];
    if (all->r < 0 || (visit != postorder && visit != leaf)) {
        return;
    }
    const struct last *l = *(struct last *const *)node;
    last_key(all->topic, l->queue, key);
    last_job_format(&l->job, value);
    all->r = queue_table_put(all->tx, TOPICS_ACKS,
                             (uint32_t)link_acks_partition(all->topic), span_str(key),
                             span_str(value), all->err);
}

static int put_lasts(struct link *l, const struct ack_change *c, struct lasts *all)
{
    struct topic_row row;
    int r = copy_topic(l->q, &c->topic, &row, all->err);
    if (r > 0 && row.low < c->low) {
        r = read_lasts(all, row.low, c->low);
    }
    all->r = MIN_OF(r, 0);
    twalk_r(all->tree, put_last, all);
    tdestroy(all->tree, free);
    all->tree = NULL;
    return all->r;
}

int acks_last_jobs(struct link *l, const struct ack_plan *acks,
                   struct queue_cursor *cursor, struct queue_tx *tx, struct err *err)
{
    struct lasts all = {.cursor = cursor, .tx = tx, .err = err};
    int r = 0;
    for (size_t i = 0; r == 0 && i < acks->n_topics; i++) {
        const struct topic_spec *spec = topics_find(false, acks->topics[i].topic.name);
        all.topic = &acks->topics[i].topic;
        r = spec && spec->keyed ? put_lasts(l, &acks->topics[i], &all) : 0;
    }
    return r;
}
