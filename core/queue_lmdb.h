/*
 * queue_lmdb.h - inside the store of core/queue.h; for core/queue_lmdb*.c and queue_kafka*.c.
 *
 * A data folder:
 *
 *     DIR/queue/       one LMDB environment: data.mdb, lock.mdb
 *     DIR/open.lock    one byte locked per process: no process opens the folder twice
 *     DIR/owner.lock   flock of the owner; its pid and note
 *     DIR/wake         datagram socket of the owner
 *
 * The environment has five databases, opened once when the queue is opened:
 *
 *     log     topic id, 0, offset                  -> record
 *     rows    table id, row key                    -> record; table 0 holds the acks
 *     names   'T' topic | 'R' table                -> struct topic_row | id
 *     meta    format, commit, ids                  -> numbers
 *     chunks  'L' log key | 'R' rows key, number   -> a part of a value above 1 MiB
 *
 * Keys are big endian, so that they sort; all else is in the machine's order, as LMDB's own
 * pages are. A partition above 0 has a name and an id of its own: "ready#3". What one program
 * does on one machine has nothing to spread and stays in partition 0.
 *
 * Threads: one commit thread opens write transactions, and with a broker the thread that fills
 * the copies; nobody else does. A read transaction lives inside one call; its handle belongs to
 * a cursor and is renewed and reset.
 *
 * With a broker the folder holds copies. A log that is a copy (TOPIC_COPY) has the broker's
 * offsets, which are not dense: what is not there is passed over, while in an embedded log a
 * missing record is damage. `meta` then also has the broker's mark and, for each table, how far
 * its copy is ("at:" and the table's name).
 *
 * Rules from LMDB's lmdb.h ("Caveats"): never open a file twice in a process, never use an
 * environment after fork, no remote file systems, no long-lived read transactions. Flags that
 * trade durability for speed are not used: with NOMETASYNC or NOSYNC a power failure loses
 * committed transactions or the file.
 */
#ifndef OFFPEAK_CORE_QUEUE_LMDB_H
#define OFFPEAK_CORE_QUEUE_LMDB_H

#include "core/loop.h"
#include "core/queue.h"
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#define QUEUE_FORMAT      1
#define QUEUE_PATH_MAX    4096
#define QUEUE_INLINE_MAX  ((size_t)1 << 20) /* a larger value is stored in chunks */
#define QUEUE_CHUNK_BYTES (((size_t)1 << 20) - 64) /* fills whole pages with its header */
#define QUEUE_MSG_MAX     (QUEUE_VALUE_MAX + ((size_t)1 << 16))
#define QUEUE_TRIM_BYTES  ((size_t)256 << 20) /* freed by one trim, at most */
#define QUEUE_WAITING_MAX 1024                /* transactions handed over; more wait */
#define QUEUE_LINGER_MS   5

#define LOG_KEY_BYTES  16
#define ROWS_KEY_BYTES (4 + QUEUE_KEY_MAX)
#define ACK_TABLE_ID   0
#define ACK_KEY_BYTES  20
#define ACK_BITS       32768
#define ACK_BYTES      (ACK_BITS / 8)

/* ---- store: the environment (queue_lmdb_store.c) ---- */

struct store {
    MDB_env *env;
    MDB_dbi log, rows, names, meta, chunks;
    uint64_t page_bytes;
    struct store_map *map;
};

struct topic_row {
    uint32_t id;
    uint32_t flags;            /* TOPIC_* */
    uint64_t first, next, low; /* first kept, next to be given, lowest unacked */
};

#define TOPIC_ACKED 1u /* an owner acknowledged a record of it, ever */
#define TOPIC_COPY  2u /* of a log on a broker: its offsets have gaps */

int store_open(struct store *s, const char *dir, int dir_fd, struct err *err);
void store_close(struct store *s);
uint64_t store_last_txn(const struct store *s);
/* Both return a code of LMDB's or of errno. */
int store_used(const struct store *s, uint64_t *ret_bytes);
/* LMDB reports a write that was cut short as EIO: ENOSPC or EFBIG when that is why. */
int store_io_reason(const struct store *s, int dir_fd);
int store_error(const char *dir, const char *what, int rc, struct err *err);
/* Names, as they stand in `names`: kind, name, and '#' with the partition when it is not 0. No
 * character of a name sorts before '#', so partitions stand behind their name. */
#define NAME_KEY_MAX (QUEUE_NAME_MAX + 8)
struct store_name {
    char kind; /* 'T' or 'R' */
    uint32_t partition;
    char name[QUEUE_NAME_MAX];
};
static inline bool store_name_eq(const struct store_name *a, const struct store_name *b)
{
    return a->kind == b->kind && a->partition == b->partition &&
           strcmp(a->name, b->name) == 0;
}
/* Reads a key of `names`; false when it is none. */
bool store_name_read(const MDB_val *key, struct store_name *ret);

/* Names and numbers; these return LMDB's code, MDB_NOTFOUND for what is absent. */
int store_topic(const struct store *s, MDB_txn *txn, const char *name, uint32_t partition,
                struct topic_row *ret);
int store_table(const struct store *s, MDB_txn *txn, const char *name, uint32_t partition,
                uint32_t *ret_id);
/* The topic and partition of an id. */
int store_topic_of(const struct store *s, MDB_txn *txn, uint32_t id,
                   struct queue_at *ret);
/* The first record of a log at or above *offset: 0, or MDB_NOTFOUND. */
int store_log_next(const struct store *s, MDB_txn *txn, uint32_t topic, uint64_t *offset);
int store_put_name(const struct store *s, MDB_txn *txn, const struct store_name *name,
                   struct span value);
int store_number(const struct store *s, MDB_txn *txn, const char *name, uint64_t *ret);
int store_put_number(const struct store *s, MDB_txn *txn, const char *name,
                     uint64_t value);

static inline MDB_val val_of(const void *p, size_t n)
{
    return (MDB_val){.mv_size = n, .mv_data = (void *)(uintptr_t)p};
}

static inline void put_be32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> (24 - 8 * i));
    }
}

static inline void put_be64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++) {
        p[i] = (uint8_t)(v >> (56 - 8 * i));
    }
}

static inline uint64_t get_be64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

/* ---- the mapped file (queue_lmdb_map.c) ---- */

int store_map_init(struct store *s);
void store_map_fini(struct store *s);
/* Bytes that LMDB gave were read. Any thread. */
void store_touched(const struct store *s, const void *p, size_t n);

/* ---- records: their bytes (queue_lmdb_record.c) ---- */

enum rec_kind { REC_INLINE = 1, REC_CHUNKED, REC_REF };

struct rec_ref {
    uint64_t offset;
    uint32_t topic, zero;
};

struct rec_head {
    uint64_t
        sum; /* of the database key and everything behind this field, chunks included */
    uint64_t commit;
    int64_t time_ms;
    uint64_t value_bytes;
    uint32_t headers_bytes;
    uint16_t key_bytes;
    uint8_t kind;
    uint8_t zero;
};

/* Where a record stands; `chunk_tag` is 'L' or 'R'. */
struct rec_place {
    MDB_dbi dbi;
    char chunk_tag;
    struct span dbkey;
};

struct rec {
    struct rec_head head;
    struct rec_ref ref;
    struct span key, headers, value; /* value: what is stored beside the head */
};

void log_key(uint32_t topic, uint64_t offset, uint8_t ret[static LOG_KEY_BYTES]);
size_t rows_key(uint32_t table, struct span key, uint8_t ret[static ROWS_KEY_BYTES]);
struct rec_place log_place(const struct store *s,
                           const uint8_t key[static LOG_KEY_BYTES]);
struct rec_place rows_place(const struct store *s, const uint8_t *key, size_t n);

/* `rec` gives commit, time, kind REC_REF or not, key, headers and value. LMDB's code. */
int rec_write(const struct store *s, MDB_txn *txn, const struct rec_place *at,
              const struct rec *rec);
int rec_delete(const struct store *s, MDB_txn *txn, const struct rec_place *at,
               size_t *ret_bytes);
int rec_delete_chunks(const struct store *s, MDB_txn *txn, const struct rec_place *at);
/* Both return what is wrong with the record, NULL if nothing. */
const char *rec_parse(MDB_val data, struct rec *ret);
const char *rec_append_value(const struct store *s, MDB_txn *txn,
                             const struct rec_place *at, const struct rec *rec,
                             struct buf *out);

/* ---- acks: bitmaps of 32768 offsets in table 0 (queue_lmdb_acks.c) ---- */

struct ack_page { /* the page a write transaction works on */
    bool loaded, dirty, stored;
    uint32_t topic;
    uint64_t number;
    uint8_t bits[ACK_BYTES];
    /* Told of every page that is written, or dropped (bits NULL); may be NULL. LMDB's code. */
    int (*changed)(void *ctx, const struct ack_page *page, const uint8_t *bits);
    void *ctx;
};

void ack_key(uint32_t topic, uint64_t number, uint8_t ret[static ACK_KEY_BYTES]);
uint32_t ack_next_zero(const uint8_t bits[static ACK_BYTES], uint32_t from);
int ack_set(const struct store *s, MDB_txn *txn, struct ack_page *page, uint32_t topic,
            uint64_t offset);
int ack_advance(const struct store *s, MDB_txn *txn, struct ack_page *page,
                struct topic_row *row);
int ack_flush(const struct store *s, MDB_txn *txn, struct ack_page *page);
/* The first unacked offset at or above `from`. */
int ack_skip(const struct store *s, MDB_txn *txn, const struct topic_row *row,
             uint64_t from, uint64_t *ret);

/* ---- transactions: what was collected (queue_lmdb_tx.c) ---- */

enum op_kind {
    OP_PUT,
    OP_FORWARD,
    OP_ROW,
    OP_ROW_DELETE,
    OP_ACK,
    OP_TRIM,
    /* of a copy only (queue_lmdb_copy.c) */
    OP_COPY,    /* a record at its offset */
    OP_REACHED, /* there is nothing more below `offset` */
    OP_START,   /* an empty log that begins at `offset` */
    OP_DROP,    /* some of its records or rows go */
    OP_LOW,     /* the lowest unacknowledged offset, as it stands in table `acks` */
    OP_BITS,    /* the acknowledged ones from `offset` on, up to the end of the page */
};

struct op {
    enum op_kind kind;
    bool guard; /* trim: somebody here feeds on the topic */
    uint32_t name;
    uint32_t key_bytes, headers_bytes;
    size_t at, value_bytes; /* key, headers, value stand in the arena from `at` */
    uint64_t offset;        /* ack, trim, copies */
    struct rec_ref ref;
    uint64_t commit; /* of a copy: who wrote it gave it this number, */
    int64_t time_ms; /* ... and the broker this time; trim: what is older, 0 all */
};

struct tx_name {
    struct store_name is;
    size_t part; /* while it is applied: index into struct apply */
};

struct queue_tx {
    struct queue *q;
    struct buf arena;
    struct op *ops;
    struct tx_name *names;
    size_t n_ops, cap_ops, n_names, cap_names;
    size_t n_records, n_acks, bytes;
    int64_t time_ms;
    unsigned epoch; /* of the queue when it was begun */
    bool copied;    /* came from a broker; made by copy_begin */
    /* once handed over */
    struct queue_tx *next;
    queue_commit_fn cb;
    void *ctx;
    bool waited; /* by queue_commit_wait, which frees it */
    bool done, failed;
    bool
        refused; /* by a topic that concerns its team alone: still whole, with its failure */
    struct err failure;
    uint64_t commit;
};

void tx_empty(struct queue_tx *tx); /* gives its memory back, keeps the object */

/* ---- applying (queue_lmdb_apply.c): the only code that changes the store ---- */

/* A topic or table that a group touches, with its numbers as of now. */
struct part {
    struct store_name is;
    bool dirty, acked, trimmed; /* acked, trimmed: by this group */
    uint64_t trimmed_to;
    int64_t trimmed_ms; /* ... and what is older than this; 0: of any age */
    uint32_t id;        /* of a table */
    struct topic_row row;
};

struct apply {
    struct queue *q;
    const struct store *s;
    MDB_txn *txn;
    struct part *parts;
    size_t n, cap;
    uint64_t commit, ids, last;
    bool new_ids, more; /* more: OP_DROP has left some */
    struct ack_page page;
    struct err *err;
};

/* Applies the list as one write transaction and commits it; every tx gets its number. With a
 * broker it was committed there before, and the number is given. */
int apply_group(struct queue *q, struct queue_tx *group, struct err *err);
struct apply *apply_new(struct queue *q, struct err *err);
int apply_begin(struct apply *a, const struct queue_tx *group);
int apply_acks(struct apply *a, struct queue_tx *tx); /* and nothing else of it */
int apply_error(struct apply *a, int rc);
void apply_free(struct apply *a); /* what is not committed by now never will be */
int apply_copy_op(struct apply *a, const struct queue_tx *tx, const struct op *op,
                  struct part *p); /* queue_lmdb_copy.c; LMDB's code */

/* ---- what acks will change (queue_lmdb_plan.c) ---- */

struct ack_change {
    struct store_name topic;
    uint64_t low;    /* the lowest unacknowledged offset then */
    size_t first, n; /* pages */
};
struct ack_change_page {
    uint32_t topic;
    uint64_t number;
    bool gone;
    uint8_t bits[ACK_BYTES];
};
struct ack_plan {
    struct ack_change *topics;
    struct ack_change_page *pages;
    size_t n_topics, n_pages, cap_pages;
};
int apply_plan_acks(struct queue *q, struct queue_tx *group, struct ack_plan *ret,
                    struct err *err);
void ack_plan_fini(struct ack_plan *plan);

/* ---- copies of what stands on a broker (queue_lmdb_copy.c) ---- */

/* One record or row as the broker has it. */
struct copied {
    struct store_name of;
    uint64_t offset, commit;
    int64_t time_ms;
    struct span key, headers, value; /* value.p NULL: a row that is gone */
};

int copy_begin(struct queue *q, struct queue_tx **ret);
int copy_add(struct queue_tx *tx, const struct copied *c, struct err *err);
/* kind: OP_REACHED, OP_START, OP_DROP, OP_LOW; `value` with OP_BITS. */
int copy_mark(struct queue_tx *tx, enum op_kind kind, const struct store_name *of,
              uint64_t offset, struct span value, struct err *err);
/* Stores it and empties tx for the next; 1 when OP_DROP has left some. */
int copy_apply(struct queue_tx *tx, struct err *err);
void copy_clear(struct queue_tx *tx); /* forgets what was collected */
/* How far the copy is: the offset to go on with. 1, or 0 when there is none. */
int copy_position(struct queue *q, const struct store_name *of, uint64_t *ret,
                  struct err *err);
int copy_topic(struct queue *q, const struct store_name *of, struct topic_row *ret,
               struct err *err); /* 1, 0 none */
#define COPY_AT_MAX (NAME_KEY_MAX + 4)
void copy_at_key(const struct store_name *of, char ret[static COPY_AT_MAX]);

/* ---- the queue ---- */

#define QUEUE_MAGIC 0x71756575u

struct watcher {
    void (*cb)(void *ctx);
    void *ctx;
};

struct commits { /* the commit thread and its two lists (queue_lmdb_commit.c) */
    pthread_mutex_t mu;
    pthread_cond_t work, room, finished;
    pthread_t thread;
    bool started, stop;
    struct queue_tx *waiting, **waiting_end;
    struct queue_tx *done, **done_end;
    size_t n_waiting, n_records, n_bytes;
    bool busy;   /* a group is being committed */
    bool hurry;  /* somebody blocks in queue_commit_wait */
    bool failed; /* nothing is written any more; with a broker, in this epoch */
    struct err failure;
    int64_t linger_ms, checked_ms;
    struct loop_wake *wake;
};

struct queue {
    uint32_t magic;
    char *dir;
    int dir_fd, open_fd, owner_fd;
    uint64_t max_bytes;
    struct store store;
    struct loop *loop;
    struct clock clock;
    struct commits commits;

    struct link *link; /* to a broker, or NULL (queue_kafka.h) */
    /* A transaction begun in an earlier epoch fails: ownership was lost since, or one before
     * it was refused. Without a broker it is always 0. */
    atomic_uint epoch;

    pthread_mutex_t peek_mu;
    struct queue_cursor *peek; /* for questions asked while a transaction is collected */

    struct queue_tx *refused; /* whose callback runs now */
    struct queue_feed *feeds;
    struct assigned *assigned;
    atomic_size_t n_users; /* cursors, feeds and transactions still open */

    atomic_bool owner;
    int wake_fd, send_fd; /* bound by the owner; for sending to it */
    struct loop_fd *wake_watch;
    struct loop_timer *poll;
    uint64_t seen_txn;
    struct watcher watchers[QUEUE_WATCHERS_MAX];
};

bool queue_name_ok(const char *name);
int64_t queue_time_ms(const struct queue *q);

int tx_add_copied(struct queue_tx *tx, enum op_kind kind, const struct copied *c,
                  struct err *err);

int commits_init(struct queue *q, struct err *err);
bool commits_idle(
    struct queue *q); /* nothing was handed over that is not done; any thread */
/* From now on transactions begun before fail with these words; any thread. */
void commits_fail(struct queue *q, const struct err *err);
/* The thread ends with what was handed over. The link's own thread, which helps it with that, may
 * still ask; once that has ended, too: fini. */
void commits_stop(struct queue *q);
void commits_fini(struct queue *q);

int owner_take(struct queue *q, struct err *err);    /* 1 taken, 0 held by another */
int owner_require(struct queue *q, struct err *err); /* ERR_TEMP when held by another */
void owner_fini(struct queue *q);
void owner_wake(struct queue *q); /* tells the owner in another process; any thread */
void watch_notify(struct queue *q);
void watch_fini(struct queue *q);

/* ---- reading (queue_lmdb_read.c) ---- */

enum read_mode { READ_NONE, READ_TOPIC, READ_TABLE };

struct queue_cursor {
    struct queue *q;
    MDB_txn *txn;
    MDB_cursor *rows;
    struct buf buf; /* of the message returned last */
    enum read_mode mode;
    char name[QUEUE_NAME_MAX];
    uint32_t partition;
    uint64_t offset;
    char row[QUEUE_KEY_MAX];
    size_t row_bytes;
    bool past_row; /* `row` itself was returned already */
    bool asked;    /* a reader of a broker has asked it at this end */
};

int read_begin(struct queue_cursor *c, struct err *err);
void read_end(struct queue_cursor *c);
int read_error(const struct queue_cursor *c, int rc, struct err *err);
/* Copies out a record between `first` and `next`, references resolved. 1 or an error. */
int read_log_record(struct queue_cursor *c, const struct queue_at *at,
                    const struct topic_row *row, struct queue_msg *ret, struct err *err);

/* ---- partitions (queue_lmdb_parts.c) ---- */

/* Do feeds give that partition? What nobody assigned is fed as it is found. */
bool parts_fed(const struct queue *q, const char *topic, uint32_t partition);
void parts_fini(struct queue *q);

/* ---- feeding (queue_lmdb_feed.c) ---- */

bool feed_covers(const struct queue *q, const char *topic);

#endif
