/* The partitions of a consumer: given by a group or by hand, paused, and where they stand. */
#include "core/kafka_int.h"

#define WAKE_MS 10 /* the answer is not waited for; it may stand behind an empty fetch */

/* ---- pausing ---- */

/* Tells the library what is wanted. A partition it does not read can still be resumed (the flag
 * outlives an assignment), but only be paused once it is read. */
static int set_paused(struct kafka_consumer *c, struct kafka_spot *s, struct err *err)
{
    bool read = s->reading && c->turn == TURN_NONE;
    if (s->paused ? !read : !s->told_paused) {
        return 0;
    }
    _cleanup_(kafka_list_destroyp)
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *one =
        rd_kafka_topic_partition_list_add(list, s->topic, s->partition);
    struct kafka_fault f = {.code = s->paused
                                        ? rd_kafka_pause_partitions(c->link.rk, list)
                                        : rd_kafka_resume_partitions(c->link.rk, list)};
    f.code = f.code ? f.code : one->err;
    if (f.code && (read || f.code != RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)) {
        return kafka_fail(err, &f, NULL, "could not %s topic '%s', partition %d",
                          s->paused ? "pause" : "resume", s->topic, s->partition);
    }
    s->told_paused = s->paused;
    c->asleep |= !s->paused;
    return 0;
}

static int want_paused(struct kafka_consumer *c, const char *topic, int32_t partition,
                       bool paused, struct err *err)
{
    struct kafka_spot *s = kafka_spot_get(&c->spots, topic, partition);
    if (!s) {
        return kafka_fail_class(err, KAFKA_WRONG,
                                "could not pause topic '%s': too many partitions", topic);
    }
    if (s->paused == paused) {
        return 0;
    }
    s->paused = paused;
    return set_paused(c, s, err);
}

int kafka_consumer_pause(struct kafka_consumer *c, const char *topic, int32_t partition,
                         struct err *err)
{
    return want_paused(c, topic, partition, true, err);
}

int kafka_consumer_resume(struct kafka_consumer *c, const char *topic, int32_t partition,
                          struct err *err)
{
    return want_paused(c, topic, partition, false, err);
}

bool kafka_consumer_paused(const struct kafka_consumer *c, const char *topic,
                           int32_t partition)
{
    const struct kafka_spot *s = kafka_spot_find(&c->spots, topic, partition);
    return s && s->paused;
}

static int pause_again(struct kafka_consumer *c, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < c->spots.n; i++) {
        rc = c->spots.v[i].paused ? set_paused(c, &c->spots.v[i], err) : 0;
    }
    return rc;
}

/* ---- in a group ---- */

static void read_none(struct kafka_consumer *c)
{
    for (size_t i = 0; i < c->spots.n; i++) {
        c->spots.v[i].reading = false;
    }
}

int kafka_consumer_take(struct kafka_consumer *c, const struct kafka_place *places,
                        size_t n, struct err *err)
{
    if (c->turn != TURN_ASSIGNED) {
        return kafka_fail_class(err, KAFKA_ABORT,
                                "could not take partitions: the group has been given out "
                                "anew");
    }
    _cleanup_(kafka_list_destroyp)
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
    read_none(c);
    for (size_t i = 0; i < n; i++) {
        rd_kafka_topic_partition_list_add(list, places[i].topic, places[i].partition)
            ->offset = places[i].offset;
        struct kafka_spot *s =
            kafka_spot_get(&c->spots, places[i].topic, places[i].partition);
        if (!s) {
            return kafka_fail_class(err, KAFKA_WRONG,
                                    "could not take partitions: there are too many");
        }
        s->reading = true;
    }
    struct kafka_fault f = kafka_link_fault(&c->link, rd_kafka_assign(c->link.rk, list));
    if (f.code) {
        return kafka_fail(err, &f, NULL, "could not take partitions");
    }
    c->turn = TURN_NONE;
    return pause_again(c, err);
}

int kafka_consumer_give(struct kafka_consumer *c, struct err *err)
{
    if (c->turn == TURN_NONE) {
        return kafka_fail_class(err, KAFKA_WRONG,
                                "could not give partitions back: nobody asked for them");
    }
    bool lost = c->turn == TURN_LOST; /* given back when it was lost */
    read_none(c);
    c->turn = TURN_NONE;
    if (c->next) {
        kafka_list_destroyp(&c->list);
        c->list = TAKE_PTR(c->next);
        c->turn = TURN_ASSIGNED;
        c->told = false;
    }
    struct kafka_fault f = {.code = lost ? 0 : rd_kafka_assign(c->link.rk, NULL)};
    f = f.code ? kafka_link_fault(&c->link, f.code) : f;
    return f.code ? kafka_fail(err, &f, NULL, "could not give partitions back") : 0;
}

int kafka_consumer_group(struct kafka_consumer *c, struct kafka_group **ret,
                         struct err *err)
{
    rd_kafka_consumer_group_metadata_t *who =
        c->grouped ? rd_kafka_consumer_group_metadata(c->link.rk) : NULL;
    if (!who) {
        return kafka_fail_class(err, KAFKA_WRONG,
                                "could not tell the group: this consumer is in none");
    }
    *ret = (struct kafka_group *)who;
    return 0;
}

struct kafka_group *kafka_group_destroy(struct kafka_group *group)
{
    if (group) {
        rd_kafka_consumer_group_metadata_destroy(
            (rd_kafka_consumer_group_metadata_t *)group);
    }
    return NULL;
}

/* ---- by hand ---- */

static int stop(struct kafka_spot *s, struct err *err)
{
    s->reading = false;
    if (rd_kafka_consume_stop(s->rkt, s->partition) == 0) {
        return 0;
    }
    struct kafka_fault f = {.code = rd_kafka_last_error()};
    return kafka_fail(err, &f, NULL, "could not stop reading topic '%s', partition %d",
                      s->topic, s->partition);
}

/* All partitions of a topic that was just looked up. */
static int learn_all(struct kafka_consumer *c, const struct kafka_known *known,
                     struct err *err)
{
    for (int32_t i = 0; i < known->partitions; i++) {
        struct kafka_spot *s = kafka_spot_get(&c->spots, known->name, i);
        if (!s) {
            return kafka_fail_class(err, KAFKA_WRONG,
                                    "could not read topic '%s': too many partitions",
                                    known->name);
        }
        s->rkt = s->rkt ? s->rkt : rd_kafka_topic_new(c->link.rk, known->name, NULL);
    }
    return 0;
}

int kafka_consumer_learn(struct kafka_consumer *c, const char *topic, int32_t partition,
                         struct err *err)
{
    const struct kafka_spot *s = kafka_spot_find(&c->spots, topic, partition);
    struct kafka_known known;
    if (s && s->rkt) {
        return 0;
    }
    int rc = kafka_topic_look(&c->link, topic, false, &known, err);
    if (rc < 0) {
        return rc;
    }
    rc = learn_all(c, &known, err);
    rd_kafka_topic_destroy(known.rkt);
    if (rc == 0 && (partition < 0 || partition >= known.partitions)) {
        struct kafka_fault f = {.code = RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION};
        rc = kafka_fail(err, &f, NULL, "could not read topic '%s', partition %d", topic,
                        partition);
    }
    return rc;
}

int kafka_consumer_add(struct kafka_consumer *c, const struct kafka_place *start,
                       struct err *err)
{
    if (c->grouped) {
        return kafka_fail_class(err, KAFKA_WRONG,
                                "could not read topic '%s': a group gives the partitions",
                                start->topic);
    }
    int rc = kafka_consumer_learn(c, start->topic, start->partition, err);
    if (rc < 0) {
        return rc;
    }
    struct kafka_spot *s = kafka_spot_find(&c->spots, start->topic, start->partition);
    rc = s->reading ? stop(s, err) : 0;
    if (rc < 0) {
        return rc;
    }
    if (rd_kafka_consume_start_queue(s->rkt, s->partition, start->offset, c->queue) !=
        0) {
        struct kafka_fault f = {.code = rd_kafka_last_error()};
        return kafka_fail(err, &f, NULL, "could not read topic '%s', partition %d",
                          s->topic, s->partition);
    }
    s->reading = true;
    return s->paused ? set_paused(c, s, err) : 0;
}

/* The thread that fetches from a broker sleeps for up to a second when the queue was full or its
 * partitions were paused, and nobody tells it that they are not any more (2.0.2; newer ones look
 * more often at a full queue: fetch.queue.backoff.ms). Any request to that broker wakes it, and
 * this one goes to the leaders of all that is read. What they answer is of no use. */
void kafka_consumer_wake(struct kafka_consumer *c)
{
    if (!c->asleep) {
        return;
    }
    _cleanup_(kafka_list_destroyp)
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    for (size_t i = 0; i < c->spots.n; i++) {
        const struct kafka_spot *s = &c->spots.v[i];
        if (s->reading && !s->paused) {
            rd_kafka_topic_partition_list_add(list, s->topic, s->partition)->offset =
                RD_KAFKA_OFFSET_END;
        }
    }
    if (list->cnt > 0) {
        rd_kafka_offsets_for_times(c->link.rk, list, WAKE_MS);
    }
    c->asleep = false;
    c->given = c->given_bytes = 0;
}

int kafka_consumer_remove(struct kafka_consumer *c, const char *topic, int32_t partition,
                          struct err *err)
{
    struct kafka_spot *s = kafka_spot_find(&c->spots, topic, partition);
    if (!s || c->grouped || !s->reading) {
        return 0;
    }
    return stop(s, err);
}
