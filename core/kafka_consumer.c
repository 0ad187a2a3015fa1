/* The events of a consumer: what its group says, records, ends and troubles. */
#include "core/kafka_int.h"

#include "core/headers.h"

#include <stdio.h>
#include <stdlib.h>

#define SESSION_DEFAULT_MS 10000
#define WAIT_DEFAULT_MS    100
/* What the library may hold that was not given yet. With 256 KiB of a partition and 4 MiB in a
 * fetch, this keeps a client under 12 MB at full speed. */
#define QUEUED_RECORDS 1000
#define QUEUED_KBYTES  4096
#define LEAVE_MS       2000

/* ---- rebalances ---- */

static void begin_turn(struct kafka_consumer *c, enum turn turn,
                       const rd_kafka_topic_partition_list_t *parts)
{
    kafka_list_destroyp(&c->list);
    c->list = rd_kafka_topic_partition_list_copy(parts);
    c->turn = turn;
    c->told = false;
}

/* What was lost is let go at once, whatever the caller still does with it: while librdkafka waits
 * for that it sends heartbeats without a member id (2.0.2), for which the broker fences a
 * static member. So the next assignment may come before give; it is kept until then. */
static void on_revoke(struct kafka_consumer *c, rd_kafka_t *rk,
                      const rd_kafka_topic_partition_list_t *parts)
{
    bool lost = rd_kafka_assignment_lost(rk);
    bool unheard = c->turn == TURN_LOST || (c->turn == TURN_ASSIGNED && !c->told);
    if (lost || unheard) {
        rd_kafka_assign(rk, NULL);
    }
    kafka_list_destroyp(&c->next);
    if (c->turn == TURN_ASSIGNED && !c->told) {
        c->turn = TURN_NONE;
    } else if (!unheard) {
        begin_turn(c, lost ? TURN_LOST : TURN_REVOKED, parts);
    }
}

/* Answers nothing but losses: librdkafka waits until assign is called, which take and give do. */
static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                         rd_kafka_topic_partition_list_t *parts, void *opaque)
{
    struct kafka_consumer *c = ((struct kafka_link *)opaque)->owner;
    if (c->closing || (code != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS &&
                       code != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)) {
        rd_kafka_assign(rk, NULL);
        return;
    }
    if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
        on_revoke(c, rk, parts);
    } else if (c->turn == TURN_LOST) {
        kafka_list_destroyp(&c->next);
        c->next = rd_kafka_topic_partition_list_copy(parts);
    } else {
        begin_turn(c, TURN_ASSIGNED, parts);
    }
    rd_kafka_yield(rk);
}

static int tell_turn(struct kafka_consumer *c, struct kafka_event *ret)
{
    static const enum kafka_what what[] = {
        [TURN_ASSIGNED] = KAFKA_ASSIGNED,
        [TURN_REVOKED] = KAFKA_REVOKED,
        [TURN_LOST] = KAFKA_LOST,
    };
    size_t n = (size_t)c->list->cnt;
    free(c->places);
    c->places = calloc(n + 1, sizeof(*c->places));
    if (!c->places) {
        return -KAFKA_RETRY;
    }
    for (size_t i = 0; i < n; i++) {
        c->places[i] = (struct kafka_place){c->list->elems[i].topic,
                                            c->list->elems[i].partition, KAFKA_NONE};
    }
    c->told = true;
    *ret = (struct kafka_event){.what = what[c->turn], .places = c->places, .n = n};
    return 1;
}

/* ---- opening ---- */

static int settings(rd_kafka_conf_t *c, const struct kafka_consumer_conf *conf,
                    struct err *err)
{
    char session[24], heartbeat[24], poll[24], wait[24], records[24], kbytes[24];
    int session_ms = conf->session_ms ? conf->session_ms : SESSION_DEFAULT_MS;
    snprintf(session, sizeof(session), "%d", session_ms);
    snprintf(heartbeat, sizeof(heartbeat), "%d", MAX_OF(session_ms / 4, 1));
    snprintf(poll, sizeof(poll), "%d", KAFKA_POLL_MAX_MS);
    snprintf(wait, sizeof(wait), "%d", conf->wait_ms ? conf->wait_ms : WAIT_DEFAULT_MS);
    snprintf(records, sizeof(records), "%d", QUEUED_RECORDS);
    snprintf(kbytes, sizeof(kbytes), "%d", QUEUED_KBYTES);
    const struct kafka_row rows[] = {
        {"group.id", conf->group, false},
        {"group.instance.id", conf->instance, false},
        {"session.timeout.ms", conf->group ? session : NULL, false},
        {"heartbeat.interval.ms", conf->group ? heartbeat : NULL, false},
        {"max.poll.interval.ms", conf->group ? poll : NULL, false},
        {"partition.assignment.strategy", "range", false},
        {"enable.auto.commit", "false", false},
        {"enable.auto.offset.store", "false", false},
        {"auto.offset.reset", "error", false},
        {"isolation.level", conf->uncommitted ? "read_uncommitted" : "read_committed",
         false},
        {"enable.partition.eof", "true", false},
        {"queued.max.messages.kbytes", kbytes, false},
        {"queued.min.messages", records, false},
        {"fetch.queue.backoff.ms", "10", true},
        {"fetch.message.max.bytes", "262144", false},
        {"fetch.max.bytes", "4194304", false},
        {"fetch.wait.max.ms", wait, false},
        {"fetch.error.backoff.ms", "100", false},
    };
    return kafka_conf_set(c, rows, ARRAY_LEN(rows), err);
}

static int subscribe(struct kafka_consumer *c, const char *topic, struct err *err)
{
    _cleanup_(kafka_list_destroyp)
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_poll_set_consumer(c->link.rk);
    struct kafka_fault f = {.code = rd_kafka_subscribe(c->link.rk, list)};
    return f.code ? kafka_fail(err, &f, NULL, "could not subscribe to topic '%s'", topic)
                  : 0;
}

int kafka_consumer_open(struct kafka_consumer **ret,
                        const struct kafka_consumer_conf *conf, struct err *err)
{
    _cleanup_(kafka_conf_destroyp) rd_kafka_conf_t *k = NULL;
    int rc = kafka_conf_create(&k, conf->kafka, err);
    rc = rc < 0 ? rc : settings(k, conf, err);
    if (rc < 0) {
        return rc;
    }
    struct kafka_consumer *c = calloc(1, sizeof(*c));
    if (!c) {
        return kafka_fail_class(err, KAFKA_WRONG, "could not use Kafka: out of memory");
    }
    buf_init(&c->headers, HEADERS_BYTES_MAX);
    c->link.owner = c;
    c->grouped = conf->group != NULL;
    if (c->grouped) {
        rd_kafka_conf_set_rebalance_cb(k, on_rebalance);
    }
    rc = kafka_link_open(&c->link, RD_KAFKA_CONSUMER, &k, conf->kafka, err);
    if (rc == 0 && c->grouped) {
        rc = subscribe(c, conf->topic, err);
    } else if (rc == 0) {
        c->queue = rd_kafka_queue_new(c->link.rk);
    }
    if (rc < 0) {
        kafka_consumer_destroy(c);
        return rc;
    }
    *ret = c;
    return 0;
}

static void let_go(struct kafka_consumer *c)
{
    if (c->message) {
        rd_kafka_message_destroy(TAKE_PTR(c->message));
    }
}

/* Closing alone does not take a static member out of its group (KIP-345), unsubscribing does; it
 * is out once it has no id any more. */
void kafka_consumer_leave(struct kafka_consumer *c)
{
    int64_t deadline = kafka_now_ms() + LEAVE_MS;
    bool in = c->grouped && rd_kafka_unsubscribe(c->link.rk) == 0;
    c->closing = true;
    let_go(c);
    while (in && kafka_left_ms(deadline) > 0) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(c->link.rk, 10);
        if (m) {
            rd_kafka_message_destroy(m);
        }
        char *id = rd_kafka_memberid(c->link.rk);
        in = id && *id;
        rd_kafka_mem_free(c->link.rk, id);
    }
}

struct kafka_consumer *kafka_consumer_destroy(struct kafka_consumer *c)
{
    if (!c) {
        return NULL;
    }
    c->closing = true;
    let_go(c);
    for (size_t i = 0; i < c->spots.n; i++) {
        if (c->spots.v[i].reading && !c->grouped) {
            rd_kafka_consume_stop(c->spots.v[i].rkt, c->spots.v[i].partition);
        }
    }
    kafka_spots_fini(&c->spots);
    if (c->queue) {
        rd_kafka_queue_destroy(TAKE_PTR(c->queue));
    }
    kafka_list_destroyp(&c->list);
    kafka_list_destroyp(&c->next);
    free(c->places);
    buf_fini(&c->headers);
    c->places = NULL;
    if (kafka_link_close(&c->link, c->grouped)) {
        free(c);
    }
    return NULL;
}

/* ---- events ---- */

/* What other clients put there may be larger or stranger than our block: keep what fits. */
static bool translate(struct buf *block, const rd_kafka_headers_t *h)
{
    const char *name;
    const void *value;
    size_t n;
    bool cut = false;
    for (size_t i = 0; rd_kafka_header_get_all(h, i, &name, &value, &n) == 0; i++) {
        if (headers_add(block, name, span_of(value ? value : "", value ? n : 0)) < 0) {
            block->failed = false;
            cut = true;
        }
    }
    return cut;
}

static void tell_record(struct kafka_consumer *c, const rd_kafka_message_t *m,
                        struct kafka_event *ret)
{
    rd_kafka_headers_t *h = NULL;
    rd_kafka_timestamp_type_t type;
    *ret = (struct kafka_event){
        .what = KAFKA_RECORD,
        .topic = rd_kafka_topic_name(m->rkt),
        .partition = m->partition,
        .offset = m->offset,
        .time_ms = rd_kafka_message_timestamp(m, &type),
        .key = span_of(m->key, m->key_len),
        .value = span_of(m->payload, m->len),
    };
    buf_reset(&c->headers);
    if (rd_kafka_message_headers(m, &h) == 0) {
        ret->headers_cut = translate(&c->headers, h);
    }
    ret->headers = buf_span(&c->headers);
}

static int tell_trouble(struct kafka_consumer *c, const rd_kafka_message_t *m,
                        struct kafka_event *ret, struct err *err)
{
    struct kafka_fault f = kafka_link_fault(&c->link, m->err);
    if (f.fatal || !m->rkt) {
        char group[KAFKA_TOPIC_MAX];
        kafka_handle_setting(c->link.rk, "group.id", group, sizeof(group));
        return kafka_link_fail(&c->link, err, &f, rd_kafka_message_errstr(m),
                               "could not read from Kafka%s%s%s",
                               c->grouped ? " in group '" : "", c->grouped ? group : "",
                               c->grouped ? "'" : "");
    }
    snprintf(c->name, sizeof(c->name), "%s", rd_kafka_topic_name(m->rkt));
    int rc = kafka_fail(err, &f, rd_kafka_message_errstr(m),
                        "could not read topic '%s', partition %d", c->name, m->partition);
    *ret = (struct kafka_event){
        .what = KAFKA_TROUBLE,
        .topic = c->name,
        .partition = m->partition,
        .offset = m->offset,
        .class = (enum kafka_class) - rc,
    };
    return 1;
}

/* 0 when the message is nothing to tell. */
static int tell(struct kafka_consumer *c, const rd_kafka_message_t *m,
                struct kafka_event *ret, struct err *err)
{
    if (m->err && m->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        return tell_trouble(c, m, ret, err);
    }
    kafka_link_fine(&c->link);
    if (c->turn != TURN_NONE) {
        return 0; /* fetched before the rebalance; whoever gets the partition reads it */
    }
    if (!m->err) {
        tell_record(c, m, ret);
        return 1;
    }
    *ret = (struct kafka_event){
        .what = KAFKA_END,
        .topic = rd_kafka_topic_name(m->rkt),
        .partition = m->partition,
        .offset = m->offset,
    };
    return 1;
}

/* By hand. What has given about as much as the library may hold has perhaps stopped fetching. */
static rd_kafka_message_t *take_queued(struct kafka_consumer *c, int timeout_ms)
{
    rd_kafka_message_t *m = rd_kafka_consume_queue(c->queue, timeout_ms);
    if (m) {
        c->given++;
        c->given_bytes += m->err ? 0 : m->len + m->key_len;
        c->asleep |= c->given >= QUEUED_RECORDS / 2 ||
                     c->given_bytes >= (size_t)QUEUED_KBYTES * 1024 / 2;
    }
    return m;
}

static rd_kafka_message_t *next_message(struct kafka_consumer *c, int timeout_ms)
{
    if (c->grouped) {
        return rd_kafka_consumer_poll(c->link.rk, timeout_ms);
    }
    rd_kafka_message_t *m = take_queued(c, 0);
    if (!m) {
        kafka_consumer_wake(c);
        m = timeout_ms ? take_queued(c, timeout_ms) : NULL;
    }
    if (!m) {
        rd_kafka_poll(c->link.rk, 0); /* notes: nothing else stands there */
    }
    return m;
}

int kafka_consumer_poll(struct kafka_consumer *c, int timeout_ms, struct kafka_event *ret,
                        struct err *err)
{
    int64_t deadline = timeout_ms > 0 ? kafka_now_ms() + timeout_ms : 0;
    int left = timeout_ms;
    let_go(c);
    for (;;) {
        if (c->turn != TURN_NONE && !c->told) {
            return tell_turn(c, ret);
        }
        c->message = next_message(c, left);
        if (c->message && (c->turn == TURN_NONE || c->told)) {
            int rc = tell(c, c->message, ret, err);
            if (rc != 0) {
                return rc;
            }
        }
        let_go(c);
        left = timeout_ms > 0 ? kafka_left_ms(deadline) : 0;
        if (left == 0 && (c->turn == TURN_NONE || c->told)) {
            return 0;
        }
    }
}
