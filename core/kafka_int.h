/*
 * kafka_int.h - what the files behind kafka.h share: a handle of the client library and what it
 * said of its connection, its settings, what is known of a topic, and where partitions stand.
 *
 * Only core/kafka_*.c includes this: it is where <librdkafka/rdkafka.h> comes in.
 */
#ifndef OFFPEAK_CORE_KAFKA_INT_H
#define OFFPEAK_CORE_KAFKA_INT_H

#include "core/kafka_error.h"

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>

#define KAFKA_LOOK_MS 5000 /* what a request to find something out may take */

/* ---- time: the waits of this library are real ones ---- */

int64_t kafka_now_ms(void);
int kafka_left_ms(int64_t deadline_ms); /* 0 when it has passed */

/* ---- one handle ---- */

struct kafka_link {
    rd_kafka_t *rk;
    void *owner; /* for the callbacks of the producer and the consumer */
    kafka_note_fn note;
    void *note_ctx;
    enum kafka_class trouble; /* KAFKA_AUTH or KAFKA_DOWN since the last success, or 0 */
    char words[240];          /* ... in the library's words */
    int refusal;              /* code of the last kafka_topic_look that was REFUSED */
};

/* Names with values for rd_kafka_conf_set. */
struct kafka_row {
    const char *name, *value;
    bool may_lack; /* newer than the oldest library we run with */
};

int kafka_conf_create(rd_kafka_conf_t **ret, const struct kafka_conf *conf,
                      struct err *err);
int kafka_conf_set(rd_kafka_conf_t *c, const struct kafka_row *rows, size_t n,
                   struct err *err);
void kafka_conf_destroyp(rd_kafka_conf_t **c);
/* What a handle was made with, such as its group.id; "" when it is not set. */
void kafka_handle_setting(rd_kafka_t *rk, const char *name, char *ret, size_t size);

/* Takes *c over in any case. `owner` stays where it is as long as the link lives. */
int kafka_link_open(struct kafka_link *l, rd_kafka_type_t type, rd_kafka_conf_t **c,
                    const struct kafka_conf *conf, struct err *err);
/* True when the handle is gone. False when it did not end in time: its thread still runs and
 * may call back, so the owner must be left where it is. */
bool kafka_link_close(struct kafka_link *l, bool leave_group);
void kafka_link_fine(struct kafka_link *l); /* an answer came: forget the trouble */

struct kafka_fault kafka_fault_of(const rd_kafka_error_t *e);
/* The fatal error of the handle, else `code` as it is. */
struct kafka_fault kafka_link_fault(const struct kafka_link *l, rd_kafka_resp_err_t code);
/* kafka_fail, but silence after refused credentials is KAFKA_AUTH. */
int kafka_link_fail(const struct kafka_link *l, struct err *err,
                    const struct kafka_fault *fault, const char *detail, const char *fmt,
                    ...) PRINTF_LIKE(5, 6);

/* ---- what is known of a topic ---- */

struct kafka_known {
    char name[KAFKA_TOPIC_MAX];
    int32_t partitions;
    size_t bytes_max; /* of a message; 0: not known */
    rd_kafka_topic_t *rkt;
};

/* Asks the broker; `sizes`: also for bytes_max, where we may. ret->rkt is the caller's. */
int kafka_topic_look(struct kafka_link *l, const char *topic, bool sizes,
                     struct kafka_known *ret, struct err *err);

/* ---- where partitions stand: sorted by topic and partition ---- */

struct kafka_spot {
    char topic[KAFKA_TOPIC_MAX];
    int32_t partition;
    bool reading;
    bool paused, told_paused; /* what is wanted; what the library was told last */
    rd_kafka_topic_t *rkt;    /* by hand: kept from the first time it is read */
};

struct kafka_spots {
    struct kafka_spot *v;
    size_t n, cap;
};

struct kafka_spot *kafka_spot_find(const struct kafka_spots *s, const char *topic,
                                   int32_t partition);
/* Finds or adds; NULL when there are KAFKA_PARTITIONS_MAX or no memory. */
struct kafka_spot *kafka_spot_get(struct kafka_spots *s, const char *topic,
                                  int32_t partition);
void kafka_spots_fini(struct kafka_spots *s);

/* ---- a consumer: kafka_consumer.c gives its events, kafka_consumer_parts.c its partitions ---- */

/* Where a rebalance stands. It is told once, and answered by take or give. */
enum turn { TURN_NONE, TURN_ASSIGNED, TURN_REVOKED, TURN_LOST };

struct kafka_consumer {
    struct kafka_link link;
    bool grouped, closing;
    enum turn turn;
    bool told;
    struct kafka_place *places; /* of the turn; they point into list */
    rd_kafka_topic_partition_list_t *list;
    rd_kafka_topic_partition_list_t *next; /* assigned before a loss was answered */
    struct kafka_spots spots;
    rd_kafka_queue_t *queue;     /* by hand: what all partitions are read into */
    size_t given, given_bytes;   /* by hand: since the library was woken last */
    bool asleep;                 /* by hand: it may have stopped fetching */
    rd_kafka_message_t *message; /* what the last event points into */
    struct buf headers;
    char name[KAFKA_TOPIC_MAX]; /* the topic of a trouble */
};

/* Makes the library look whether it may fetch, if it may have stopped. */
void kafka_consumer_wake(struct kafka_consumer *c);

/* ---- a producer: kafka_producer.c has its records, kafka_producer_tx.c its transactions ---- */

struct known_topics {
    struct kafka_known *v; /* sorted by name */
    size_t n, cap;
};

struct kafka_producer {
    struct kafka_link link;
    bool transactional, open,
        ended;  /* ended: an EndTxn went out whose outcome is unknown */
    bool spent; /* its numbering is out: make it anew */
    size_t record_bytes_max;
    kafka_delivery_fn delivered;
    void *ctx;
    struct known_topics topics;
    unsigned since_poll;
    uint64_t failed;          /* records not stored, since begin or flush */
    struct kafka_fault first; /* why the first of them was not */
    char first_topic[KAFKA_TOPIC_MAX];
    struct kafka_refusal refusal;
    char wrote[KAFKA_TOPIC_MAX]; /* the topic of all records since begin; "": none yet */
    bool wrote_more;             /* ... and others */
    bool flushed;                /* the next produce begins a new count */
    _Atomic int64_t busy_since_ms;
};

/* Around each public call: when it began, for the watchdog. */
struct kafka_producer *kafka_producer_enter(struct kafka_producer *p);
void kafka_producer_leavep(struct kafka_producer **p);
/* What the deliveries said already: a transaction with a lost record cannot be committed. */
int kafka_producer_outcome(struct kafka_producer *p, struct err *err);
/* Asks for the end of the open transaction; or why it cannot be committed any more. */
int kafka_producer_end(struct kafka_producer *p, int64_t deadline_ms, struct err *err);
/* The transaction was refused for a topic, which it may know. */
int kafka_producer_refuse(struct kafka_producer *p, const struct kafka_fault *f,
                          struct err *err);
void kafka_producer_forget(struct kafka_producer *p);

/* ---- an admin request: init, send, wait; fini frees the reply ---- */

struct kafka_admin {
    struct kafka_link link; /* reads uncommitted */
    struct kafka_link
        committed;          /* made when first asked for: only a handle has a level */
    struct kafka_conf conf; /* strings copied */
};

struct kafka_request {
    struct kafka_admin *a;
    rd_kafka_queue_t *q;
    rd_kafka_AdminOptions_t *options;
    rd_kafka_event_t *reply;
};

void kafka_request_init(struct kafka_request *r, struct kafka_admin *a,
                        rd_kafka_admin_op_t op);
/* Waits for the reply of a request that was sent; `object` is what it is about. */
int kafka_request_wait(struct kafka_request *r, const char *what, const char *object,
                       struct err *err);
void kafka_request_finip(struct kafka_request *r);
/* One object of the request was refused. */
int kafka_refused(struct err *err, int code, const char *detail, const char *what,
                  const char *object);

/* ---- offsets by time (kafka_offsets.c) ---- */

/* The first offset of that time or later, -1 when there is none; `time` is in ms, or one of the two
 * that stand for the beginning and the end (RD_KAFKA_OFFSET_*). */
int kafka_find_offset(struct kafka_link *l, const struct kafka_place *of, int64_t time,
                      int64_t *ret, struct err *err);

void kafka_list_destroyp(rd_kafka_topic_partition_list_t **list);

#endif
