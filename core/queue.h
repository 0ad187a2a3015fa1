/*
 * queue.h - ordered, durable topics and tables with one owner, and atomic commits.
 *
 * What it is: topics are logs of records, tables are maps of rows; both live in one store, and
 * both have partitions, numbered from 0: each is a log, or a map, of its own.
 * One store, a folder on this machine (core/queue_lmdb.c). Without a broker it is all there is.
 * With one (core/queue_kafka.c) the truth stands on the broker and the folder holds a copy of
 * what this process needs of it; it may be lost. The promises below hold either way and each
 * has a test of its name in tests/contract/.
 *
 *   one owner       A folder is owned by one process at a time (flock: it dies with its
 *                   process), with a broker each partition is. Only the owner feeds and
 *                   acknowledges; a commit by one that lost it fails and changes nothing.
 *                   Anybody may read beside it and commit records of its own kind (puts and
 *                   rows, no acks).
 *   atomic          Everything between begin and commit becomes visible together or not at all;
 *                   readers see committed records only.
 *   any order       Acks are per record, in any order; what is unacked is delivered again to
 *                   the next owner, in order, and what is acked never is.
 *   read again      Any record still in its topic can be fetched by its place.
 *   bounded         A transaction holds at most QUEUE_TX_RECORDS records or QUEUE_TX_BYTES; a
 *                   value at most QUEUE_VALUE_MAX. More is refused before anything is stored.
 *   numbered        Every commit has a number, larger than all before it; its records and rows
 *                   carry it.
 *
 * The right way to use it:
 *
 *     queue_begin(q, &tx);
 *     queue_put(tx, QUEUE_TO("results.search", 0, key), headers, value, err);
 *     queue_ack(tx, &msg.at, err);
 *     queue_commit(tx, on_commit, ctx);      // tx is gone; the callback comes once, in order
 *
 * queue_commit is asynchronous: a commit thread merges what several roles hand it into one
 * store transaction (5 ms, QUEUE_TX_RECORDS records or QUEUE_TX_BYTES, whichever is first) and
 * the callback runs on the loop. After a failed commit nothing of it is visible and the owner
 * must stop: what it holds in memory may no longer be true.
 *
 * With a broker, besides:
 *   - Ownership comes and goes (queue_broker.on_owner). On QUEUE_READY the role is made: its
 *     tables and what it is fed are here. On QUEUE_LOST it stops, commits what it can, is
 *     destroyed (feeds and cursors closed), and queue_release_ownership is called. While a role
 *     lives its partitions do not change.
 *   - A transaction that a team's topic refuses (results., dead.; ERR_INPUT, the words name the
 *     topic) is all that fails, and queue_take_back gives it back: its neighbours are stored, and
 *     nothing that was begun since fails with it. Put one team's records into it only, and nothing
 *     that others rest on. A topic that all share makes everybody wait and is tried again, which
 *     NOT_YET tells, and that it is over. After any other failure QUEUE_LOST follows.
 *   - A failure with RETRY_UNKNOWN may have happened all the same; what is read after the next
 *     QUEUE_READY says it.
 *   - A commit shows in one partition after the other: a reader that has seen it in the one may
 *     see it in the next a moment later, or when another transaction ends there.
 *   - A reader's records go out one by one, in order: after a failure the first of them may be
 *     stored. It has no feeds and no acks. What it reads it copies first, from the place it asks
 *     for to the end at that moment; at an end it asks again.
 *   - What was put is read here when the callback comes, if this role copies that topic at all.
 *   - Offsets have gaps, a topic is made when it is first put into (where that is allowed),
 *     values are bounded by the topic (8 MiB), tables are those of core/topics.h.
 *
 * Reading goes through a cursor, which owns the memory of the message it returned last (valid
 * until the next call on that cursor) and may be used on any one thread at a time. No store
 * transaction is ever left open between two calls.
 */
#ifndef OFFPEAK_CORE_QUEUE_H
#define OFFPEAK_CORE_QUEUE_H

#include "core/buf.h"
#include "core/err.h"
#include <stdbool.h>
#include <stdint.h>

#define QUEUE_TX_RECORDS   4000
#define QUEUE_TX_GROUP     16
#define QUEUE_TX_BYTES     ((size_t)8 << 20)
#define QUEUE_VALUE_MAX    ((size_t)64 << 20)
#define QUEUE_NAME_MAX     120 /* topic or table, with the NUL; A-Z a-z 0-9 . _ - */
#define QUEUE_KEY_MAX      400
#define QUEUE_TRIM_RECORDS 10000
#define QUEUE_PARTITIONS   65536 /* of a topic or table, at most */

struct queue;
struct queue_tx;
struct queue_cursor;
struct queue_feed;
struct loop;

/* What a process does with a broker. Which topics and tables that means: core/topics.h. */
enum queue_role {
    QUEUE_READER, /* a command: reads anything, puts records and rows of its own kinds */
    QUEUE_SCHEDULER, /* one of them is active: the owner of topic `leader` */
    QUEUE_WORKER,    /* owns a share of the partitions of `ready` */
    QUEUE_WHOLE,     /* one process that is all of it, alone */
};

enum queue_ownership {
    QUEUE_NOT_YET, /* others own it, or it is being restored */
    QUEUE_READY,   /* its partitions are this process's, all that they need is here */
    QUEUE_LOST,    /* stop, commit what can be (it may fail), queue_release_ownership */
    QUEUE_FENCED,  /* another process has our instance name: end, with err's words */
};

/* On the loop. READY and LOST alternate; err says why it was lost (NULL: as planned). NOT_YET may come
 * at any time, and changes neither: err is what goes wrong for so long that a person should hear of
 * it, NULL that it is over. */
typedef void (*queue_owner_fn)(void *ctx, enum queue_ownership what,
                               const struct err *err);

struct queue_broker {
    const char *brokers; /* host:port,...; NULL: `file` names them */
    const char *file;    /* NULL, or settings of the client library (core/kafka.h) */
    const char *prefix;  /* of all topics, such as "offpeak." */
    const char
        *instance; /* this process among others of its role, the same after a restart;
                             NULL: one of its own, whose share goes to others at once */
    enum queue_role role;
    int session_ms; /* silent for so long, it is taken for dead; 0: 10 s */
    int64_t
        refused_ms; /* a team's topic that we may not write is tried again then; 0: 5 min */
    queue_owner_fn on_owner; /* NULL for a reader */
    void *ctx;
};

struct queue_conf {
    const char
        *dir; /* data folder; created with mode 0700 when absent. A reader of a broker
                        makes a folder of its own in it, and removes it again */
    const struct queue_broker *broker; /* NULL: everything stands in the folder */
    bool owner; /* be its owner; ERR_TEMP naming the owner's pid when there is one. With a
                   broker the role says it */
    struct loop *loop;  /* NULL for a command that only reads or uses queue_commit_wait */
    uint64_t max_bytes; /* quota of the store on disk; 0: none */
};

int queue_open(struct queue **ret, const struct queue_conf *conf, struct err *err);
/* Waits for the commits handed over; their callbacks run. Cursors, feeds and transactions are
 * closed before. */
struct queue *queue_close(struct queue *q);

/* With a broker: what on_owner was told last. Without a loop nobody is told: ask here, again and
 * again, and err is why. */
enum queue_ownership queue_ownership(struct queue *q, struct err *err);
/* The answer to QUEUE_LOST: the role is closed. Partitions go to others only now (or after 20 s,
 * when its commits fail). */
void queue_release_ownership(struct queue *q);

/* Tries to become the owner of a queue opened without: 1 yes, 0 somebody else is. */
int queue_take_ownership(struct queue *q, struct err *err);
/* A line the owner leaves for others to read: its endpoint and account. 1 found, 0 no owner. */
int queue_owner_note(struct queue *q, const char *note, struct err *err);
int queue_owner_read(struct queue *q, struct buf *ret, struct err *err);

/* ---- records ---- */

struct queue_at {
    char topic[QUEUE_NAME_MAX];
    uint32_t partition;
    uint64_t offset;
};

struct queue_msg {
    struct queue_at at; /* rows: topic is the table, offset 0 */
    uint64_t commit;
    int64_t time_ms; /* wall clock when it was handed over to be committed */
    struct span key, headers, value;
};

/* ---- writing ---- */

/* err NULL: it is stored, under that number. */
typedef void (*queue_commit_fn)(void *ctx, uint64_t commit, const struct err *err);

int queue_begin(struct queue *q, struct queue_tx **ret);
/* Where a record goes. */
struct queue_to {
    const char *topic;
    uint32_t partition;
    struct span key;
};
#define QUEUE_TO(topic, partition, key) (&(const struct queue_to){topic, partition, key})

int queue_put(struct queue_tx *tx, const struct queue_to *to, struct span headers,
              struct span value, struct err *err);
/* Would a record of ours be taken there: 1, values of up to *ret_max; 0 nobody knows yet, ask again
 * (watchers are woken); negative: the broker refuses it, err says why and what to do. Only topics of
 * one team are looked at, by who writes them: results. and dead. Never waits. */
int queue_takes(struct queue *q, const char *topic, size_t *ret_max, struct err *err);
/* The largest value that a topic takes, as far as is known. */
size_t queue_value_max(struct queue *q, const char *topic);
/* Passes a record on with new headers; its value is stored as a reference, not again. */
int queue_forward(struct queue_tx *tx, const struct queue_to *to, struct span headers,
                  const struct queue_at *from, struct err *err);
/* value.p NULL deletes the row. */
int queue_table_put(struct queue_tx *tx, const char *table, uint32_t partition,
                    struct span key, struct span value, struct err *err);
int queue_ack(struct queue_tx *tx, const struct queue_at *at, struct err *err);
/* Drops records below `before`, QUEUE_TRIM_RECORDS at most; 1 when more are left to drop. Never
 * passes an unacked record of a topic that is fed here or was ever acknowledged. */
int queue_trim(struct queue_tx *tx, const char *topic, uint32_t partition,
               uint64_t before, struct err *err);
/* ... and of them what is older than `before_ms`. A broker finds out itself what that is, later and
 * as well as it can: the next such trim says it again. */
int queue_trim_old(struct queue_tx *tx, const char *topic, uint32_t partition,
                   uint64_t before, int64_t before_ms, struct err *err);
/* Records (puts, forwards, rows) and acks (with trims) are counted apart. What belongs together
 * is a group of at most QUEUE_TX_GROUP records and as many acks: ask once before it, and all
 * of it fits when the answer is no. The first group fits always, even two values of the
 * largest size. */
bool queue_tx_full(const struct queue_tx *tx, size_t more_bytes);
bool queue_tx_empty(const struct queue_tx *tx);
void queue_commit(struct queue_tx *tx, queue_commit_fn cb, void *ctx);
/* Inside the callback of a transaction that a team's topic refused: it, whole, to be committed again
 * or dropped. Else NULL. */
struct queue_tx *queue_take_back(struct queue *q);
/* Blocks until it is stored (or not); needs no loop. */
int queue_commit_wait(struct queue_tx *tx, uint64_t *ret_commit, struct err *err);
struct queue_tx *queue_tx_drop(struct queue_tx *tx);

/* ---- partitions ----
 * Topics and tables that are spread alike (`ready`, `answers`, `batches`) are assigned alike. What
 * nobody assigned has one partition, and it is ours: so it is on one machine. A role asks once, when
 * it is made: while it lives its partitions do not change. */

/* How many a topic or table has; one that a broker does not have yet, how many it will get. */
int queue_partitions(struct queue *q, const char *name, uint32_t *ret, struct err *err);
/* Those that feeds here give, lowest first, `max` at most: how many. */
size_t queue_owned(struct queue *q, const char *name, uint32_t *ret, size_t max);
/* From now on it has so many, and of them `owned`, in order, are ours. While nothing feeds on it. */
int queue_assign(struct queue *q, const char *name, uint32_t partitions,
                 const uint32_t *owned, size_t n, struct err *err);

/* ---- feeding the owner: unacked records, in order, round robin over topics ---- */

/* `pattern` is a topic name, or a prefix that ends in '.' (new topics join by themselves). */
int queue_feed_open(struct queue *q, const char *pattern, struct queue_feed **ret,
                    struct err *err);
/* 1 a record, 0 nothing now. An ack counts once it is committed. */
int queue_next(struct queue_feed *f, struct queue_msg *ret, struct err *err);
/* Stops delivery of a topic; resumed, it starts again at `offset`. Negative: no such topic. */
int queue_pause(struct queue_feed *f, const char *topic, uint32_t partition,
                uint64_t offset);
int queue_resume(struct queue_feed *f, const char *topic, uint32_t partition);
/* Lowest unacked offset of a topic (its end when all are acked). */
int queue_low(struct queue_feed *f, const char *topic, uint32_t partition, uint64_t *ret);
/* Was that record acknowledged, in a committed transaction: 1 yes (also when it was trimmed), 0 no. */
int queue_acked(struct queue_feed *f, const struct queue_at *at, struct err *err);
struct queue_feed *queue_feed_close(struct queue_feed *f);

/* ---- reading beside the owner ---- */

int queue_cursor_open(struct queue *q, struct queue_cursor **ret, struct err *err);
struct queue_cursor *queue_cursor_close(struct queue_cursor *c);
int queue_read_topic(struct queue_cursor *c, const char *topic, uint32_t partition,
                     uint64_t from);
int queue_read_table(struct queue_cursor *c, const char *table, uint32_t partition,
                     struct span from_key);
/* 1 found, 0 at the end (more may come), gone, or absent. */
int queue_read(struct queue_cursor *c, struct queue_msg *ret, struct err *err);
int queue_fetch(struct queue_cursor *c, const struct queue_at *at, struct queue_msg *ret,
                struct err *err);
int queue_table_get(struct queue_cursor *c, const char *table, uint32_t partition,
                    struct span key, struct queue_msg *ret, struct err *err);
/* The first name behind `after` ("" at the beginning) that begins with `prefix`: 1, 0 no more. */
int queue_topics(struct queue_cursor *c, const char *prefix, const char *after,
                 char ret[static QUEUE_NAME_MAX], struct err *err);
int queue_tables(struct queue_cursor *c, const char *prefix, const char *after,
                 char ret[static QUEUE_NAME_MAX], struct err *err);
/* First offset kept and end (next to be given): 1; both 0 for a topic that is not there: 0. */
int queue_bounds(struct queue_cursor *c, const char *topic, uint32_t partition,
                 uint64_t *ret_first, uint64_t *ret_end, struct err *err);
int queue_last_commit(struct queue_cursor *c, uint64_t *ret, struct err *err);
/* Bytes of the store in use, for quotas and doctor. */
int queue_used_bytes(struct queue_cursor *c, uint64_t *ret, struct err *err);

/* ---- waking ---- */

/* cb runs on the loop after commits, ours or another process's; several may arrive as one. */
#define QUEUE_WATCHERS_MAX 8
int queue_watch(struct queue *q, void (*cb)(void *ctx), void *ctx);
void queue_unwatch(struct queue *q, void (*cb)(void *ctx), void *ctx);

#endif
