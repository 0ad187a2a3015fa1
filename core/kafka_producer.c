#include "core/kafka_int.h"

#include "core/headers.h"

#include <stdio.h>
#include <stdlib.h>

#define RECORD_BYTES_DEFAULT ((size_t)9 << 20)
#define BUFFER_BYTES         ((size_t)8 << 20) /* more than this buys no speed, only memory */
#define BUFFER_RECORDS       "10000"
#define BATCH_BYTES          524288 /* below the smallest topic: a batch counts as one message */
#define FRAME_BYTES          200 /* of a batch and of a record, generously */
#define HEADER_BYTES         10  /* its two lengths */
#define FULL_WAIT_MS         15000
#define TOPICS_MAX           4096
#define POLL_EVERY           64 /* records between two looks for deliveries */
#define LAST_WORDS_MS        1000

/* ---- the watchdog's reading ---- */

struct kafka_producer *kafka_producer_enter(struct kafka_producer *p)
{
    atomic_store(&p->busy_since_ms, kafka_now_ms());
    return p;
}

void kafka_producer_leavep(struct kafka_producer **p)
{
    atomic_store(&(*p)->busy_since_ms, 0);
}

int64_t kafka_producer_since(const struct kafka_producer *p)
{
    int64_t since = atomic_load(&p->busy_since_ms);
    return since ? MAX_OF(kafka_now_ms() - since, 0) : 0;
}

/* ---- deliveries ---- */

static struct kafka_known *find_topic(struct kafka_producer *p, const char *topic,
                                      size_t *ret_at)
{
    size_t low = 0, high = p->topics.n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = strcmp(p->topics.v[mid].name, topic);
        if (c == 0) {
            return &p->topics.v[mid];
        }
        low = c < 0 ? mid + 1 : low;
        high = c < 0 ? high : mid;
    }
    *ret_at = low;
    return NULL;
}

static void note_refusal(struct kafka_refusal *r, const char *topic, int32_t partition,
                         uint64_t tag, int code)
{
    snprintf(r->topic, sizeof(r->topic), "%s", topic);
    r->partition = partition;
    r->tag = tag;
    r->why = kafka_fault_refusal(code);
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct kafka_producer *p = ((struct kafka_link *)opaque)->owner;
    struct kafka_fault fault = kafka_link_fault(&p->link, m->err);
    struct kafka_delivery d = {
        .tag = (uint64_t)(uintptr_t)m->_private,
        .topic = rd_kafka_topic_name(m->rkt),
        .partition = m->partition,
        .offset = m->err ? KAFKA_NONE : m->offset,
        .class = m->err ? kafka_fault_class(&fault) : 0,
        .perhaps = m->err &&
                   rd_kafka_message_status(m) != RD_KAFKA_MSG_STATUS_NOT_PERSISTED,
    };
    (void)rk;
    if (!m->err) {
        kafka_link_fine(&p->link);
    } else {
        p->spent |= m->err != RD_KAFKA_RESP_ERR__PURGE_QUEUE;
        if (p->failed++ == 0 || (d.class == KAFKA_REFUSED && !p->refusal.entered)) {
            p->first = fault;
            snprintf(p->first_topic, sizeof(p->first_topic), "%s", d.topic);
        }
        if (d.class == KAFKA_REFUSED && !p->refusal.entered) {
            note_refusal(&p->refusal, d.topic, d.partition, d.tag, m->err);
            p->refusal.entered = true;
        }
    }
    if (p->delivered) {
        p->delivered(p->ctx, &d);
    }
}

const struct kafka_refusal *kafka_producer_refused(const struct kafka_producer *p)
{
    return p->refusal.why ? &p->refusal : NULL;
}

int kafka_producer_refuse(struct kafka_producer *p, const struct kafka_fault *f,
                          struct err *err)
{
    /* Its records were dropped unsent, which leaves a gap in the numbering. */
    p->spent = true;
    if (!p->refusal.entered) {
        p->refusal = (struct kafka_refusal){.entered = true};
        note_refusal(&p->refusal, p->wrote_more ? "" : p->wrote, 0, 0, f->code);
    }
    const char *topic = p->refusal.topic;
    return kafka_fail(err, f, NULL, "could not store a record in topic '%s'%s",
                      topic[0] ? topic : p->wrote, topic[0] ? "" : " or another");
}

int kafka_producer_outcome(struct kafka_producer *p, struct err *err)
{
    struct kafka_fault f = p->first;
    if (p->failed == 0) {
        return 0;
    }
    if (p->open && !p->ended && f.code == RD_KAFKA_RESP_ERR__PURGE_QUEUE) {
        int rc = kafka_producer_end(p, kafka_now_ms() + KAFKA_LOOK_MS, err);
        if (rc < 0) { /* the transaction knows why its records were dropped */
            return rc;
        }
    }
    f.requires_abort = p->transactional;
    return kafka_link_fail(&p->link, err, &f, NULL,
                           "could not store a record in topic '%s'", p->first_topic);
}

void kafka_producer_forget(struct kafka_producer *p)
{
    p->failed = 0;
    p->first = (struct kafka_fault){0};
    p->refusal = (struct kafka_refusal){0};
    p->wrote[0] = '\0';
    p->wrote_more = p->flushed = false;
}

/* ---- opening ---- */

static int settings(rd_kafka_conf_t *c, const struct kafka_producer_conf *conf,
                    size_t record_bytes, struct err *err)
{
    bool tx = conf->transactional_id != NULL;
    char message_max[24], buffer[24], tx_ms[24];
    snprintf(message_max, sizeof(message_max), "%zu", record_bytes + BATCH_BYTES);
    snprintf(buffer, sizeof(buffer), "%zu",
             MAX_OF(BUFFER_BYTES, record_bytes + BATCH_BYTES) / 1024 + 1);
    snprintf(tx_ms, sizeof(tx_ms), "%d", KAFKA_TRANSACTION_MS);
    const struct kafka_row rows[] = {
        {"enable.idempotence", "true", false},
        /* one, or a broker that has just made a partition may take a producer's second batch and
         * never its first (Apache Kafka, KAFKA-15591) */
        {"max.in.flight.requests.per.connection", "1", false},
        {"transactional.id", conf->transactional_id, false},
        {"transaction.timeout.ms", tx ? tx_ms : NULL, false},
        /* below the transaction's, as librdkafka demands; alone, over a broker's restart */
        {"message.timeout.ms", tx ? "12000" : "120000", false},
        /* what makes a transaction take 5 ms and not 100: until the markers of the last one are
         * written the broker answers CONCURRENT_TRANSACTIONS */
        {"retry.backoff.ms", "1", false},
        {"retry.backoff.max.ms", "10", true},
        {"queue.buffering.max.messages", BUFFER_RECORDS, false},
        {"queue.buffering.max.kbytes", buffer, false},
        {"message.max.bytes", message_max, false},
        {"batch.size", "524288", false},
        {"partitioner", "murmur2_random", false},
    };
    _Static_assert(BATCH_BYTES == 524288, "batch.size says the same");
    return kafka_conf_set(c, rows, ARRAY_LEN(rows), err);
}

int kafka_producer_open(struct kafka_producer **ret,
                        const struct kafka_producer_conf *conf, struct err *err)
{
    _cleanup_(kafka_conf_destroyp) rd_kafka_conf_t *c = NULL;
    size_t most = conf->record_bytes_max ? conf->record_bytes_max : RECORD_BYTES_DEFAULT;
    if (most > KAFKA_RECORD_BYTES_MAX + BATCH_BYTES) {
        return kafka_fail_class(err, KAFKA_WRONG,
                                "could not use Kafka: records of %zu bytes are too large",
                                most);
    }
    int rc = kafka_conf_create(&c, conf->kafka, err);
    rc = rc < 0 ? rc : settings(c, conf, most, err);
    if (rc < 0) {
        return rc;
    }
    struct kafka_producer *p = calloc(1, sizeof(*p));
    if (!p) {
        return kafka_fail_class(err, KAFKA_WRONG, "could not use Kafka: out of memory");
    }
    rd_kafka_conf_set_dr_msg_cb(c, on_delivery);
    p->transactional = conf->transactional_id != NULL;
    p->record_bytes_max = most;
    p->delivered = conf->delivered;
    p->ctx = conf->ctx;
    p->link.owner = p;
    rc = kafka_link_open(&p->link, RD_KAFKA_PRODUCER, &c, conf->kafka, err);
    if (rc < 0) {
        free(p);
        return rc;
    }
    *ret = p;
    return 0;
}

struct kafka_producer *kafka_producer_destroy(struct kafka_producer *p)
{
    if (!p) {
        return NULL;
    }
    if (p->link.rk) {
        rd_kafka_purge(p->link.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                       RD_KAFKA_PURGE_F_NON_BLOCKING);
        rd_kafka_flush(p->link.rk, LAST_WORDS_MS);
    }
    for (size_t i = 0; i < p->topics.n; i++) {
        rd_kafka_topic_destroy(p->topics.v[i].rkt);
    }
    free(p->topics.v);
    p->topics = (struct known_topics){0};
    p->delivered = NULL;
    if (kafka_link_close(&p->link, false)) {
        free(p);
    }
    return NULL;
}

/* ---- records ---- */

static int learn_topic(struct kafka_producer *p, const char *topic, size_t at,
                       struct kafka_known **ret, struct err *err)
{
    struct known_topics *t = &p->topics;
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 16;
        struct kafka_known *v = cap <= TOPICS_MAX ? realloc(t->v, cap * sizeof(*v))
                                                  : NULL;
        if (!v) {
            return kafka_fail_class(err, KAFKA_WRONG,
                                    "could not write to topic '%s': too many topics",
                                    topic);
        }
        t->v = v;
        t->cap = cap;
    }
    struct kafka_known known;
    int rc = kafka_topic_look(&p->link, topic, true, &known, err);
    if (rc < 0) {
        return rc;
    }
    memmove(&t->v[at + 1], &t->v[at], (t->n - at) * sizeof(*t->v));
    t->v[at] = known;
    t->n++;
    *ret = &t->v[at];
    return 0;
}

/* A topic may have grown partitions since we looked. */
static int relearn_topic(struct kafka_producer *p, struct kafka_known *known,
                         struct err *err)
{
    struct kafka_known now;
    int rc = kafka_topic_look(&p->link, known->name, true, &now, err);
    if (rc < 0) {
        return rc;
    }
    rd_kafka_topic_destroy(known->rkt);
    *known = now;
    return 0;
}

static int refuse(struct kafka_producer *p, const struct kafka_record *r, int code,
                  struct err *err)
{
    struct kafka_fault f = {.code = code};
    if (!p->refusal.entered) {
        note_refusal(&p->refusal, r->topic, r->partition, r->tag, code);
    }
    return kafka_fail(err, &f, NULL, "could not write to topic '%s', partition %d",
                      r->topic, r->partition);
}

static int find_or_learn(struct kafka_producer *p, const struct kafka_record *r,
                         struct kafka_known **ret, struct err *err)
{
    size_t at = 0;
    int rc = 0;
    struct kafka_known *known = find_topic(p, r->topic, &at);
    if (!known) {
        rc = learn_topic(p, r->topic, at, &known, err);
    } else if (r->partition >= known->partitions) {
        rc = relearn_topic(p, known, err);
    }
    if (rc == -KAFKA_REFUSED && !p->refusal.entered) {
        note_refusal(&p->refusal, r->topic, r->partition, r->tag, p->link.refusal);
    }
    *ret = known;
    return rc;
}

static rd_kafka_headers_t *translate(struct span block)
{
    rd_kafka_headers_t *h = NULL;
    struct span name, value;
    size_t at = 0;
    while (headers_next(block, &at, &name, &value)) {
        if (!h) {
            h = rd_kafka_headers_new(8);
        }
        rd_kafka_header_add(h, name.p, (ssize_t)name.n, value.p, (ssize_t)value.n);
    }
    return h;
}

static size_t message_bytes(const struct kafka_record *r)
{
    size_t n = FRAME_BYTES + r->key.n + r->value.n + r->headers.n;
    struct span name, value;
    size_t at = 0;
    while (headers_next(r->headers, &at, &name, &value)) {
        n += HEADER_BYTES;
    }
    return n;
}

static int check_record(struct kafka_producer *p, const struct kafka_record *r,
                        rd_kafka_topic_t **ret, struct err *err)
{
    struct kafka_known *known = NULL;
    int rc = find_or_learn(p, r, &known, err);
    if (rc < 0) {
        return rc;
    }
    if (r->partition < 0 || r->partition >= known->partitions) {
        return refuse(p, r, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, err);
    }
    size_t n = message_bytes(r);
    size_t most = known->bytes_max ? known->bytes_max : SIZE_MAX;
    if (n > most ||
        most < BATCH_BYTES) { /* it may have been made larger since we looked */
        rc = relearn_topic(p, known, err);
        most = known->bytes_max ? known->bytes_max : SIZE_MAX;
    }
    if (rc < 0) {
        return rc;
    }
    if (n > MIN_OF(most, p->record_bytes_max) || most < BATCH_BYTES) {
        return refuse(p, r, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, err);
    }
    *ret = known->rkt;
    return 0;
}

static rd_kafka_resp_err_t hand_over(struct kafka_producer *p,
                                     const struct kafka_record *r, rd_kafka_topic_t *rkt)
{
    int64_t deadline = 0;
    rd_kafka_headers_t *h = translate(r->headers);
    for (;;) {
        rd_kafka_resp_err_t e = rd_kafka_producev(
            p->link.rk, RD_KAFKA_V_RKT(rkt), RD_KAFKA_V_PARTITION(r->partition),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(r->key.p, r->key.n),
            RD_KAFKA_V_VALUE((void *)(uintptr_t)r->value.p, r->value.n),
            RD_KAFKA_V_OPAQUE((void *)(uintptr_t)r->tag), RD_KAFKA_V_HEADERS(h),
            RD_KAFKA_V_END);
        if (!e) {
            return e;
        }
        int64_t now = kafka_now_ms();
        deadline = deadline ? deadline : now + FULL_WAIT_MS;
        if (e != RD_KAFKA_RESP_ERR__QUEUE_FULL || now >= deadline) {
            if (h) {
                rd_kafka_headers_destroy(h);
            }
            return e;
        }
        rd_kafka_poll(p->link.rk, 20);
    }
}

static void note_written(struct kafka_producer *p, const char *topic)
{
    if (!p->wrote[0]) {
        snprintf(p->wrote, sizeof(p->wrote), "%s", topic);
    }
    p->wrote_more |= strcmp(p->wrote, topic) != 0;
}

/* A transaction that cannot be committed any more takes no record: say why it cannot. */
static int not_taken(struct kafka_producer *p, const struct kafka_record *r,
                     rd_kafka_resp_err_t e, struct err *err)
{
    struct kafka_fault f = kafka_link_fault(&p->link, e);
    if (!f.fatal && p->open) {
        rd_kafka_flush(p->link.rk, LAST_WORDS_MS); /* those it had taken were dropped */
        int rc = kafka_producer_outcome(p, err);
        if (rc < 0) {
            return rc;
        }
        f.requires_abort = true;
    }
    if (e == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        f.code = RD_KAFKA_RESP_ERR__MSG_TIMED_OUT;
    }
    return kafka_link_fail(&p->link, err, &f, NULL, "could not write to topic '%s'",
                           r->topic);
}

int kafka_producer_produce(struct kafka_producer *p, const struct kafka_record *record,
                           struct err *err)
{
    rd_kafka_topic_t *rkt = NULL;
    _cleanup_(kafka_producer_leavep) struct kafka_producer *in = kafka_producer_enter(p);
    (void)in;
    if (p->flushed) {
        kafka_producer_forget(p);
    }
    if (p->transactional ? !p->open || p->ended : p->spent) {
        return kafka_fail_class(
            err, KAFKA_REMAKE, "could not write to topic '%s': %s", record->topic,
            p->spent ? "this producer is spent" : "no transaction is open");
    }
    if (!headers_valid(record->headers)) {
        return kafka_fail_class(err, KAFKA_WRONG,
                                "could not write to topic '%s': its headers are damaged",
                                record->topic);
    }
    int rc = check_record(p, record, &rkt, err);
    if (rc < 0) {
        return rc;
    }
    note_written(p, record->topic);
    rd_kafka_resp_err_t e = hand_over(p, record, rkt);
    if (e) {
        return not_taken(p, record, e, err);
    }
    if (++p->since_poll >= POLL_EVERY) {
        p->since_poll = 0;
        rd_kafka_poll(p->link.rk, 0);
    }
    return 0;
}

int kafka_producer_flush(struct kafka_producer *p, int timeout_ms, struct err *err)
{
    _cleanup_(kafka_producer_leavep) struct kafka_producer *in = kafka_producer_enter(p);
    (void)in;
    if (rd_kafka_flush(p->link.rk, timeout_ms) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        p->spent = true;
        rd_kafka_purge(p->link.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_flush(p->link.rk, LAST_WORDS_MS);
        if (p->first.code == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
            p->first.code == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT) {
            p->first.code = RD_KAFKA_RESP_ERR__MSG_TIMED_OUT;
        }
    }
    p->flushed = !p->transactional;
    return kafka_producer_outcome(p, err);
}
