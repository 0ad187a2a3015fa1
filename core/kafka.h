/*
 * kafka.h - the only door to Apache Kafka: blocking, bounded, classed errors.
 *
 * Three nouns. A `kafka_producer` writes records, in transactions or (without a transactional
 * id) idempotently; a `kafka_consumer` reads them, as a member of a group or from partitions
 * given by hand; a `kafka_admin` looks at topics and changes them. Each is used by one thread
 * at a time and may move between threads; only kafka_producer_since may be called beside
 * another call. Every call returns within the time it was given (plus the few seconds a request
 * on the wire may take: KAFKA_SLACK_MS); nothing here sleeps on a loop or keeps a global.
 *
 * Errors: 0 or positive is good; a failure returns minus an enum kafka_class, which says what
 * to do next, and fills err with words for a person. Ask with `switch ((enum kafka_class)-rc)`.
 *
 * Writing, the one right way:
 *
 *     kafka_producer_open(&p, &conf, err);         conf.transactional_id
 *     kafka_producer_init(p, ms, err);             fences older holders of the id
 *     kafka_producer_begin(p, err);
 *     kafka_producer_produce(p, &record, err);     ... at most what one transaction may hold
 *     kafka_producer_commit(p, &commit, ms, err);  offsets with the group that owns them
 *
 *     ABORT, REFUSED, RETRY, DOWN   nothing of it will ever be visible: kafka_producer_abort
 *     anything else, or a failed abort   destroy, make anew, read back what was committed
 *
 * A record the broker refuses costs its transaction, so what can be known is checked before a
 * record enters one: the topic exists, has the partition and takes the size (looked up at the
 * first use of a topic). Such a refusal costs nothing: go on with the next record.
 * kafka_producer_refused says which topic and why.
 *
 * Reading: kafka_consumer_poll gives one event at a time; its memory is valid until the next
 * call on that consumer. In a group, ASSIGNED is answered with kafka_consumer_take and REVOKED
 * or LOST with kafka_consumer_give, now or later; until then poll gives no records (but keep
 * calling it: a member that does not poll for KAFKA_POLL_MAX_MS is thrown out).
 *
 * Units: sizes in bytes, times in ms, offsets as the broker counts them. Strings are copied
 * where they outlive the call. Sources: librdkafka, INTRODUCTION.md and rdkafka.h
 * ("Transactional producer API"); Apache Kafka, "Protocol" (error codes).
 */
#ifndef OFFPEAK_CORE_KAFKA_H
#define OFFPEAK_CORE_KAFKA_H

#include "core/buf.h"
#include "core/err.h"
#include <stdbool.h>
#include <stdint.h>

#define KAFKA_TOPIC_MAX        250 /* with the NUL */
#define KAFKA_SLACK_MS         8000
#define KAFKA_POLL_MAX_MS      300000
#define KAFKA_ADMIN_MS         15000 /* an admin call may take this long */
#define KAFKA_TRANSACTION_MS   15000 /* the broker aborts a transaction left open longer */
#define KAFKA_RECORD_BYTES_MAX ((size_t)64 << 20)
#define KAFKA_PARTITIONS_MAX   65536 /* of one consumer, in any mode */
#define KAFKA_FILE_BYTES_MAX   65536

enum kafka_class {
    KAFKA_RETRY = 1, /* the same call may work after a pause */
    KAFKA_ABORT,     /* abort the transaction and do it again */
    KAFKA_REMAKE,    /* destroy the handle, make it anew, read back what was committed */
    KAFKA_REFUSED, /* this record or topic: too large, absent, not authorised, bad name */
    KAFKA_GONE,    /* the offset asked for is not in the log (any more) */
    /* Another process uses our instance name: stop. librdkafka 2.0.2 can also say it to a static
     * member that was not polled while its session ran out, so never leave off polling. */
    KAFKA_FENCED,
    KAFKA_AUTH,  /* the broker refuses our credentials or certificate */
    KAFKA_DOWN,  /* no broker answers */
    KAFKA_WRONG, /* a setting or a use that cannot work */
};

enum kafka_note {
    KAFKA_NOTE_LOG,  /* a line of the client library */
    KAFKA_NOTE_DOWN, /* all brokers are out of reach */
    KAFKA_NOTE_AUTH, /* credentials or certificates were refused */
};

/* Comes from inside our calls, on the caller's thread. */
typedef void (*kafka_note_fn)(void *ctx, enum kafka_note note, const char *words);

struct kafka_conf {
    const char *brokers; /* host:port,...; NULL: the file names them */
    /* NULL, or a file of the client library's own key=value lines (security.*, sasl.*, ssl.*).
     * What offpeak relies on may not stand in it. Values of it appear in no message. */
    const char *file;
    const char *client_id;
    kafka_note_fn note; /* may be NULL */
    void *note_ctx;
};

struct kafka_place {
    const char *topic;
    int32_t partition;
    int64_t offset; /* or KAFKA_BEGINNING where a start is meant */
};

#define KAFKA_BEGINNING (-2)
#define KAFKA_NONE      (-1001)

/* "2.0.2" of the library in use, not the one compiled against; major << 24 | minor << 16... */
const char *kafka_version(void);
uint32_t kafka_version_number(void);
/* What a setting of the client library is with this configuration; "" when it is not set. Not
 * for passwords. */
int kafka_setting_of(const struct kafka_conf *conf, const char *name, char *ret,
                     size_t size, struct err *err);

/* Is it for want of a permission? Its hint is then of use to everybody, and may be replaced by one
 * that knows who we are. */
bool kafka_denied(const struct err *err);

/* ---- writing ---- */

struct kafka_producer;
struct kafka_group; /* who a consumer is in its group: what fences a transaction */

struct kafka_record {
    const char *topic;
    int32_t partition;
    struct span key;     /* p NULL: none */
    struct span headers; /* a block of core/headers.h; one Kafka header for each */
    struct span value;   /* p NULL: a tombstone */
    uint64_t tag;        /* given back to `delivered` */
};

struct kafka_delivery {
    uint64_t tag;
    const char *topic;
    int32_t partition;
    int64_t offset;         /* KAFKA_NONE when it was not stored, or nobody knows */
    enum kafka_class class; /* 0: stored */
    bool perhaps;           /* not known to be stored, may be all the same */
};

/* Once for every record that produce took, from inside produce, flush, commit, abort and
 * destroy. */
typedef void (*kafka_delivery_fn)(void *ctx, const struct kafka_delivery *d);

struct kafka_producer_conf {
    const struct kafka_conf *kafka;
    const char *transactional_id; /* NULL: idempotent, without transactions */
    size_t record_bytes_max;      /* larger is refused; 0: 9 MiB */
    kafka_delivery_fn delivered;  /* may be NULL */
    void *ctx;
};

/* What was refused, of the records since begin (or the last flush): the first. A transaction is not
 * told which of its topics is forbidden: with several of them `topic` is "", and one at a time has to
 * be tried. */
struct kafka_refusal {
    char topic[KAFKA_TOPIC_MAX];
    int32_t partition;
    uint64_t tag;
    enum kafka_refused_why {
        KAFKA_TOO_LARGE = 1,
        KAFKA_NO_TOPIC, /* nor such a partition */
        KAFKA_NOT_ALLOWED,
        KAFKA_INVALID, /* a compacted topic takes no record without a key, ... */
    } why;
    bool entered; /* found by the broker: the transaction is lost with it */
};

struct kafka_commit {
    const struct kafka_place *offsets; /* next offset to read, of each partition */
    size_t n;
    const struct kafka_group *group; /* needed when n > 0 */
};

int kafka_producer_open(struct kafka_producer **ret,
                        const struct kafka_producer_conf *conf, struct err *err);
/* Transactions only, once. After RETRY or DOWN it may be called again. */
int kafka_producer_init(struct kafka_producer *p, int timeout_ms, struct err *err);
int kafka_producer_begin(struct kafka_producer *p, struct err *err);
/* Copies the record into the buffer; while that is full it waits, 15 s at most. REFUSED with
 * `entered` false: the record was not taken and nothing else is touched. */
int kafka_producer_produce(struct kafka_producer *p, const struct kafka_record *record,
                           struct err *err);
/* 0: all of it is visible. A commit whose time ran out is REMAKE: it may have happened. */
int kafka_producer_commit(struct kafka_producer *p, const struct kafka_commit *commit,
                          int timeout_ms, struct err *err);
/* 0: go on with begin. 1: nothing of it will be visible, but this producer is spent (a refused
 * record put its numbering out, or no answer came): destroy it and make it anew; nothing needs
 * reading back. Negative: REMAKE as in commit. */
int kafka_producer_abort(struct kafka_producer *p, int timeout_ms, struct err *err);
/* Without transactions: 0 when every record since the last flush is stored. Else the class of
 * the first that is not; each record has had its `delivered`, none is left behind. */
int kafka_producer_flush(struct kafka_producer *p, int timeout_ms, struct err *err);
/* NULL when none was refused. Valid until begin or the next produce after a flush. */
const struct kafka_refusal *kafka_producer_refused(const struct kafka_producer *p);
/* How long the current call has been inside the library, 0 when none is. From any thread. */
int64_t kafka_producer_since(const struct kafka_producer *p);
/* Drops what is buffered; an open transaction is aborted by the next init or the broker. */
struct kafka_producer *kafka_producer_destroy(struct kafka_producer *p);

/* ---- reading ---- */

struct kafka_consumer;

struct kafka_consumer_conf {
    const struct kafka_conf *kafka;
    const char *group;    /* NULL: partitions by hand */
    const char *topic;    /* group: what it subscribes to */
    const char *instance; /* group: static member name; NULL: a member like any other */
    int session_ms;       /* group: how long it may be silent; 0: 10 s */
    int wait_ms;          /* an empty fetch waits this long, and END with it; 0: 100 */
    bool uncommitted;     /* also records of open and aborted transactions */
};

enum kafka_what {
    KAFKA_RECORD = 1,
    KAFKA_END,      /* nothing more at `offset` (the position) of this partition now */
    KAFKA_ASSIGNED, /* answer with take */
    KAFKA_REVOKED,  /* finish, commit, answer with give */
    KAFKA_LOST,     /* as REVOKED, but others own them already: do not commit */
    KAFKA_TROUBLE,  /* this topic or partition: `class`, err; the others go on */
};

struct kafka_event {
    enum kafka_what what;
    const char *topic; /* RECORD, END, TROUBLE */
    int32_t partition;
    int64_t offset;
    int64_t time_ms;                  /* RECORD: -1 when it has none */
    struct span key, headers, value;  /* RECORD: value.p NULL is a tombstone */
    bool headers_cut;                 /* some of its headers do not fit our block */
    enum kafka_class class;           /* TROUBLE */
    const struct kafka_place *places; /* ASSIGNED, REVOKED, LOST: offset means nothing */
    size_t n;
};

int kafka_consumer_open(struct kafka_consumer **ret,
                        const struct kafka_consumer_conf *conf, struct err *err);
/* 1 an event, 0 nothing in that time; negative: the consumer as a whole. TROUBLE fills err. */
int kafka_consumer_poll(struct kafka_consumer *c, int timeout_ms, struct kafka_event *ret,
                        struct err *err);
/* Group: reads these partitions, of those just assigned, from these offsets. */
int kafka_consumer_take(struct kafka_consumer *c, const struct kafka_place *places,
                        size_t n, struct err *err);
/* What was LOST is no longer read from then on; give says that the caller is done with it. */
int kafka_consumer_give(struct kafka_consumer *c, struct err *err);
/* By hand: looks up the topic. `add` does it too, but once something is read the answer stands
 * behind a fetch that waits for records: before many topics are read, learn them first. */
int kafka_consumer_learn(struct kafka_consumer *c, const char *topic, int32_t partition,
                         struct err *err);
/* By hand: starts to read a partition (again, at another offset), and stops. */
int kafka_consumer_add(struct kafka_consumer *c, const struct kafka_place *start,
                       struct err *err);
int kafka_consumer_remove(struct kafka_consumer *c, const char *topic, int32_t partition,
                          struct err *err);
/* A paused partition gives no events. It stays paused through rebalances and take; resumed, it
 * goes on where it stopped. Twice is as good as once. */
int kafka_consumer_pause(struct kafka_consumer *c, const char *topic, int32_t partition,
                         struct err *err);
int kafka_consumer_resume(struct kafka_consumer *c, const char *topic, int32_t partition,
                          struct err *err);
bool kafka_consumer_paused(const struct kafka_consumer *c, const char *topic,
                           int32_t partition);
/* Who this member is now; take it anew for every commit. */
int kafka_consumer_group(struct kafka_consumer *c, struct kafka_group **ret,
                         struct err *err);
struct kafka_group *kafka_group_destroy(struct kafka_group *group);
/* Group: a static member that will not come back soon gives up its place; then destroy it. */
void kafka_consumer_leave(struct kafka_consumer *c);
/* A member like any other leaves its group; a static one keeps its place for session_ms. */
struct kafka_consumer *kafka_consumer_destroy(struct kafka_consumer *c);

/* ---- looking after topics ---- */

struct kafka_admin;

struct kafka_setting {
    const char *name, *value;
};

struct kafka_cluster {
    char cluster_id[64];
    int32_t controller, brokers;
    char first[256]; /* host:port of one broker, as it calls itself */
};

enum kafka_resource {
    KAFKA_ACL_TOPIC,
    KAFKA_ACL_GROUP,
    KAFKA_ACL_TRANSACTIONAL_ID,
    KAFKA_ACL_CLUSTER, /* name "kafka-cluster" */
};

enum kafka_operation {
    KAFKA_ACL_READ,
    KAFKA_ACL_WRITE,
    KAFKA_ACL_CREATE,
    KAFKA_ACL_DELETE,
    KAFKA_ACL_DESCRIBE,
    KAFKA_ACL_DESCRIBE_CONFIGS,
    KAFKA_ACL_ALTER_CONFIGS,
    KAFKA_ACL_IDEMPOTENT_WRITE,
    KAFKA_ACL_ALL,
};

/* Who may do what: allowed, from any host. */
struct kafka_acl {
    enum kafka_resource resource;
    const char *name;
    bool prefixed;         /* name is the beginning of names */
    const char *principal; /* "User:alice" */
    enum kafka_operation operation;
};

/* A negative answer stops the walk and is returned. */
typedef int (*kafka_topic_fn)(void *ctx, const char *topic, int32_t partitions);
typedef int (*kafka_setting_fn)(void *ctx, const struct kafka_setting *setting,
                                bool is_default);
typedef int (*kafka_acl_fn)(void *ctx, const struct kafka_acl *acl);

int kafka_admin_open(struct kafka_admin **ret, const struct kafka_conf *conf,
                     struct err *err);
struct kafka_admin *kafka_admin_destroy(struct kafka_admin *a);

int kafka_admin_cluster(struct kafka_admin *a, struct kafka_cluster *ret,
                        struct err *err);
/* Topics we may see whose names begin with `prefix`, in any order. */
int kafka_admin_topics(struct kafka_admin *a, const char *prefix, kafka_topic_fn fn,
                       void *ctx, struct err *err);
/* Number of partitions; 0: no such topic. */
int kafka_admin_partitions(struct kafka_admin *a, const char *topic, struct err *err);
/* 1 created, 0 it was there (as it is: nothing of it is changed). Replicas: the broker's default. */
int kafka_admin_create(struct kafka_admin *a, const char *topic, int32_t partitions,
                       const struct kafka_setting *settings, size_t n, struct err *err);
int kafka_admin_settings(struct kafka_admin *a, const char *topic, kafka_setting_fn fn,
                         void *ctx, struct err *err);
/* Changes these and keeps the others. Reads first and writes all: two at a time may lose one. */
int kafka_admin_set(struct kafka_admin *a, const char *topic,
                    const struct kafka_setting *settings, size_t n, struct err *err);
/* Drops the records below each offset. */
int kafka_admin_trim(struct kafka_admin *a, const struct kafka_place *below, size_t n,
                     struct err *err);
/* The first offset and the one behind the last. `committed`: behind the last that no open
 * transaction holds back. */
int kafka_admin_bounds(struct kafka_admin *a, const struct kafka_place *of,
                       bool committed, int64_t *ret_first, int64_t *ret_end,
                       struct err *err);
/* How many are in that group now; one that died counts until its session is over. */
int kafka_admin_members(struct kafka_admin *a, const char *group, struct err *err);
/* The first offset whose record was stored at that time or later; the end when there is none. */
int kafka_admin_offset_at(struct kafka_admin *a, const struct kafka_place *of,
                          int64_t time_ms, int64_t *ret, struct err *err);
/* False for TRANSACTIONAL_ID where the library is too old: 2.0.2 neither gives nor lists it. */
bool kafka_knows_resource(enum kafka_resource resource);
/* Adding what is there already is good. A resource that the library does not know is WRONG. */
int kafka_admin_allow(struct kafka_admin *a, const struct kafka_acl *acls, size_t n,
                      struct err *err);
/* Those that struct kafka_acl can say and the library can read (2.0.2: no transactional ids). */
int kafka_admin_acls(struct kafka_admin *a, kafka_acl_fn fn, void *ctx, struct err *err);

#endif
