/*
 * queue_kafka.h - inside the link between the store of core/queue.h and a broker; for
 * core/queue_kafka*.c, and what core/queue_lmdb*.c calls of it.
 *
 * Every read of the program goes to the store (queue_lmdb.h). With a broker the store is a copy,
 * and the link does what else there is to do:
 *
 *   writing    (queue_kafka_commit.c, on the commit thread) a group of transactions becomes one
 *              transaction of the broker; only when that was acknowledged are its rows and acks
 *              applied here. Its records come back by filling, where they are copied.
 *   filling    (queue_kafka_copies.c, on the link's own thread) reads what is copied, committed
 *              records only, into the store, at the broker's offsets.
 *   ownership  (queue_kafka_session.c, the same thread) a member of the role's group. After an
 *              assignment it restores (queue_kafka_restore.c): the copies must pass the end that
 *              uncommitted records have then, for an entry whose transaction is still closing
 *              must not be missed. Then the loop is told.
 *   reading    (queue_kafka_reader.c) a command has no group and no thread: before its cursors
 *              answer, what is asked for is copied up to the end it has now.
 *
 * A session is the time between an assignment and its end. Everything that may no longer be
 * true ends it: a revocation, a commit of unknown outcome, a broker that is away. Then the role
 * is told, stops, and calls queue_release_ownership; the producer is destroyed, made anew, and
 * what was committed is read back before the next session begins.
 *
 * Threads: `mu` guards what both threads and the loop look at. `commit_mu` is held by a commit
 * for as long as it uses the producer, and by the link's thread to replace it. No two locks are
 * held at once but commit_mu and then mu.
 */
#ifndef OFFPEAK_CORE_QUEUE_KAFKA_H
#define OFFPEAK_CORE_QUEUE_KAFKA_H

#include "core/queue_lmdb.h"
#include "core/topics.h"

#define LINK_WINDOW_BYTES \
    ((size_t)4 << 20) /* spooled beyond what was given; then pause */
#define LINK_WINDOW_MARKS  64
#define LINK_COPIES_MAX    65536
#define LINK_SLICE_RECORDS 1000
#define LINK_COMMIT_MS     20000 /* a commit may take this long */
#define LINK_COMMIT_TRIES  3
#define LINK_SEEN_MS       30000 /* waited for, at most, until a commit's records are here */
#define LINK_INIT_MS       10000
#define LINK_LEAVE_MS      20000 /* the role's time to stop after a revocation */
#define LINK_FENCED_TRIES  10    /* by our own former self: joins in a row */
#define LINK_TOPICS_MS     5000  /* between two looks for new topics */
#define LINK_AGAIN_MS      50    /* ... when one is known to be coming */
#define LINK_PAUSE_MS      1000  /* before the next try, after a failure */
#define LINK_STUCK_MS      60000 /* a call of the client library that is this old is stuck */
#define LINK_TROUBLE_MS    10000 /* a failure that lasts so long is told to people */
#define LINK_READ_MS       30000 /* a command waits for the broker this long */
#define LINK_CLOCKS_US \
    ((uint64_t)86400000000)  /* clocks of writers differ by a day at most */
#define LINK_TAKES_MAX 65536 /* topics of teams that are looked after */
#define LINK_REFUSED_MS \
    300000 /* what was refused is tried again then, if nothing else says so */
#define LINK_TRIMS_TURN 8       /* partitions the broker drops from, between two slices */
#define LINK_KEPT_MS    3600000 /* between two words on a trim that is forbidden */
#define LINK_REFUSED_FIRST_MS \
    INT64_C(500) /* refused by a topic that all share: the first pause */
#define LINK_REFUSED_MOST_MS 60000 /* ... and the longest */
#define LINK_FRESH_MS        100   /* rows just read are not asked for again */

enum link_state {
    LINK_AWAY,     /* nothing is assigned */
    LINK_ASSIGNED, /* what is assigned must be restored */
    LINK_RESTORING,
    LINK_HERE,    /* the role may work */
    LINK_LEAVING, /* the role must stop */
    LINK_OUT,     /* fenced: the process must end */
};

/* One partition of a topic or table that is copied here. */
struct link_copy {
    struct store_name of;
    char topic[KAFKA_TOPIC_MAX]; /* its name on the broker */
    const struct topic_spec *spec;
    enum topics_copy how;
    uint64_t target;        /* the copy must pass this before the role begins */
    _Atomic uint64_t at;    /* all below it is in the store */
    _Atomic uint64_t given; /* of what is fed: all below it was given */
    bool acks;              /* its rows are acknowledgements, not rows */
    bool reading, paused;
    /* Followed a piece at a time, guarded by mu: somebody reads it, from `given` on; and that is
     * to be done yet. */
    bool asked, wanted;
    int64_t fresh_ms;            /* a reader's: good until then */
    bool touched, ended;         /* by the slice that is being collected */
    uint64_t pending;            /* `at` once that is stored */
    uint64_t bytes, bytes_given; /* spooled in this session, and of them given */
    struct link_mark {
        uint64_t offset, bytes;
    } marks[LINK_WINDOW_MARKS]; /* how many bytes stood below an offset; a ring */
    size_t first_mark, n_marks;
};

/* What a team's topic takes. */
struct link_takes {
    char topic[QUEUE_NAME_MAX];
    size_t max; /* bytes of a value */
    bool known, refused;
    bool small;         /* refused: because it takes small records only */
    bool absent;        /* refused: because it is not there */
    unsigned refused_n; /* so often */
    struct err why;
    int64_t looked_ms, until_ms; /* until_ms: then it is tried again */
};

struct link_assigned {
    uint32_t *v; /* partitions of the shared topic, in order */
    size_t n;
};

struct link_trim;

struct link {
    struct queue *q;
    enum queue_role role;
    char *brokers, *file, *prefix, *instance; /* instance NULL: a member like any other */
    char name
        [96]; /* of this writer: it stands on its records, and is its transactional id */
    char group[QUEUE_NAME_MAX + 32];
    char shared[KAFKA_TOPIC_MAX];
    int session_ms;
    int64_t refused_ms;
    queue_owner_fn on_owner;
    void *owner_ctx;
    struct kafka_conf kafka;

    pthread_mutex_t mu;
    pthread_cond_t moved; /* state, copies, stop */
    pthread_t thread;
    bool started, stop;
    enum link_state state;
    bool planned;              /* LEAVING: the role may still commit */
    struct err why;            /* LEAVING, OUT */
    bool failed;               /* a commit ended the session */
    bool released;             /* the role has let go */
    bool look_again;           /* there is a new topic */
    struct err trouble;        /* not told yet, if it has a code */
    bool fine;                 /* nor that it is over */
    struct link_copy **copies; /* sorted; changed by the link's thread only */
    size_t n_copies, cap_copies;
    struct link_assigned owned;
    struct link_trim *trims; /* what the broker is to drop yet */
    struct link_takes *takes;
    size_t n_takes, cap_takes;

    enum queue_ownership told; /* the loop's */
    struct loop_wake *wake;

    /* the link's thread */
    struct kafka_consumer *member, *source;
    struct kafka_admin *admin;
    struct queue_tx *slice;
    int64_t leave_ms, topics_ms, fine_ms, retry_ms, stuck_ms;
    int64_t kept_ms; /* told then that nothing may be dropped; 0: not yet */
    bool answer;     /* the group waits for our answer to a revocation */
    bool astray;     /* taken for dead, and not assigned anything since */
    unsigned fenced; /* so often meanwhile */
    bool logs;       /* RESTORING: the tables are done */

    /* the commit */
    pthread_mutex_t commit_mu;
    struct kafka_producer *producer;
    struct kafka_group *member_of;
    struct kafka_admin *commit_admin;
    struct link_commit *commit; /* while there is one */
    uint64_t last_number;
    char (*known)[KAFKA_TOPIC_MAX]; /* topics that are known to be there */
    size_t n_known, cap_known;

    /* a reader's cursors; they share its source, slice and admin */
    pthread_mutex_t read_mu;
    int64_t names_ms;
};

/* ---- called by the store; `l` may be NULL where it says so ---- */

int link_open(struct queue *q, const struct queue_broker *conf, struct err *err);
struct link *link_close(struct link *l);
/* On the commit thread: the group is committed there and applied here, or nothing of it is; but those
 * that a team's topic refuses (tx->refused, with its own failure) are left out, and stand first in
 * the group then. */
int link_commit(struct link *l, struct queue_tx **group, struct err *err);
/* May we write there? In a transaction that is aborted in any case. commit_mu held; 0, or the class. */
int link_may_write(struct link *l, const char *topic, uint32_t partition,
                   struct err *err);
void link_delivered(struct link *l, const struct kafka_delivery *d);
/* All below `next` was given, by a feed or by a cursor. */
void link_given_to(struct link *l, const struct queue_at *next, bool fed);
static inline void link_given(struct link *l, const struct queue_at *next, bool fed)
{
    if (l) {
        link_given_to(l, next, fed);
    }
}
/* What is done with is dropped from the copy long before the broker may forget it. */
bool link_drops(const struct link *l, const char *topic);
/* May that be put: 0, or an error; NULL is good. */
int link_may_put(const struct link *l, const struct store_name *to, size_t value_bytes,
                 struct err *err);

/* A reader: copies up to the present end, from `from` on; others and NULL: nothing to do. */
int link_refresh(struct link *l, const struct store_name *of, uint64_t from,
                 struct err *err);
int link_refresh_row(struct link *l, const struct store_name *of, struct err *err);
int link_refresh_names(struct link *l, struct err *err);
/* A role reads there what is copied a piece at a time: it begins, or (`at_end`) has found
 * nothing, perhaps because nobody had asked for it yet. */
void link_want(struct link *l, const struct queue_at *from, bool at_end);
/* How many partitions a name has: 0, or an error. */
int link_partitions(struct link *l, const char *name, uint32_t *ret, struct err *err);
bool link_asks(const struct link *l); /* the broker is asked for bounds, not the store */
/* 1; 0 no such topic. */
int link_bounds(struct link *l, const struct store_name *of, uint64_t *ret_first,
                uint64_t *ret_end, struct err *err);

/* ---- what the broker drops (queue_kafka_trim.c) ---- */

/* A trim was applied here: the broker's turn. */
void link_trimmed(struct link *l, const struct part *trimmed);
/* Some of what was asked for, LINK_TRIMS_TURN at most; best effort. The link's thread. */
void link_trim_some(struct link *l);
void link_trims_forget(struct link *l);

/* ---- names (queue_kafka_names.c) ---- */

void link_topic(const struct link *l, const char *name, char ret[static KAFKA_TOPIC_MAX]);
/* Our name and kind of a topic of the broker; false: none of ours. */
bool link_name(const struct link *l, const char *topic, struct store_name *ret);
int32_t link_acks_partition(const struct store_name *topic);
/* The topic is there, or is made. On the commit thread. */
int link_ensure(struct link *l, const struct store_name *of, struct err *err);
/* It is asked for again: it is not there any more. */
void link_forget(struct link *l, const char *topic);

/* Headers that every record of ours has at its end: commit number and writer. */
int link_sign(struct buf *block, uint64_t commit, const char *writer);
/* Cuts them off; false when there are none. */
bool link_signed(struct span *block, uint64_t *ret_commit);

/* ---- copies (queue_kafka_copies.c) ---- */

struct link_copy *link_copy_find(const struct link *l, const char *topic,
                                 uint32_t partition);
/* Finds or adds. The link's thread. */
struct link_copy *link_copy_get(struct link *l, const struct store_name *of);
void link_copies_forget(struct link *l);
/* Begins to read at its position, or goes on. */
int link_copy_read(struct link *l, struct link_copy *c, struct err *err);
/* Stores what comes within the time: 1 something did, 0 nothing. */
int link_pump(struct link *l, int timeout_ms, struct err *err);
/* Of what is fed a piece at a time, what is done goes. */
int link_drop_done(struct link *l, struct err *err);
/* Pauses what is too far ahead, resumes what is not any more. */
int link_windows(struct link *l, struct err *err);
/* All of a copy goes; it begins again at `from`. */
int link_copy_restart(struct link *l, const struct store_name *of, uint64_t from,
                      struct err *err);

/* ---- restoring (queue_kafka_restore.c) ---- */

/* Finds what is copied and its ends; `tables`: those, else the rest. Reading begins. */
int link_restore_begin(struct link *l, bool tables, struct err *err);
/* Followed a piece at a time: from where it is read. */
bool link_is_piecemeal(const struct link *l, const struct link_copy *c);
int link_begin_asked(struct link *l, struct err *err);
bool link_restored(const struct link *l);
int link_restore_end(struct link *l, struct err *err);
int link_find_new(struct link *l, struct err *err);
/* Where the copy of a partition begins or goes on, checked against the broker's bounds. */
int link_place_copy(struct link *l, struct link_copy *c, struct err *err);

/* ---- what teams' topics take (queue_kafka_takes.c) ---- */

/* Is it a topic whose refusal concerns its team alone? */
bool link_may_refuse(const struct link *l, const char *topic);
/* Looks at what was asked for. The link's thread. */
void link_takes_look(struct link *l);
void link_takes_refused(struct link *l, const char *topic, enum kafka_refused_why why,
                        const struct err *err);

/* ---- acknowledgements as rows (queue_kafka_acks.c) ---- */

struct acks_row {
    char key[QUEUE_KEY_MAX];
    uint8_t value[8 + ACK_BYTES];
    size_t value_bytes;
    bool gone;
};
void acks_low_row(const struct ack_change *c, struct acks_row *ret);
void acks_page_row(const struct ack_change *c, const struct ack_change_page *page,
                   struct acks_row *ret);
/* Puts into `tx` the rows of the last jobs below the low waters that move. */
int acks_last_jobs(struct link *l, const struct ack_plan *acks,
                   struct queue_cursor *cursor, struct queue_tx *tx, struct err *err);
/* Into a copy's transaction. 0 also when it is none of ours. */
int acks_restore(struct link *l, struct queue_tx *tx, const struct kafka_event *row,
                 struct err *err);

/* ---- the session (queue_kafka_session.c) ---- */

/* One turn of the link's thread. */
void link_session_turn(struct link *l);
void link_session_end(struct link *l);
/* The producer's session is over; on the commit thread. */
void link_session_failed(struct link *l, const struct err *why);
/* Makes the producer and takes its id; commit_mu held. */
int link_producer_make(struct link *l, struct err *err);

/* ---- the whole (queue_kafka.c) ---- */

int64_t link_now_ms(void);
void link_state(struct link *l, enum link_state state);
void link_tell(struct link *l); /* wakes the loop */
void link_say(struct link *l, const struct err *trouble);
void link_say_fine(struct link *l); /* the trouble is over */
bool link_fed(const struct link *l, const struct store_name *of);

#endif
