/*
 * settle_slice.h - inside settle: one slice, from its first record to its commit.
 *
 * A slice is a transaction and the calls whose leaders are in it. It is filled, sealed, waits
 * for the commit before it, flies, and is gone. For worker/settle*.c only.
 */
#ifndef OFFPEAK_WORKER_SETTLE_SLICE_H
#define OFFPEAK_WORKER_SETTLE_SLICE_H

#include "core/queue.h"
#include "worker/settle_record.h"

#define SLICE_BYTES   ((size_t)4 << 20)
#define SLICE_JOBS    330 /* enough to be committed when no commit is under way */
#define SLICE_WAITING 64  /* sealed slices; callers that mind settle_room need two */
#define SLICE_SPEND \
    4096 /* bytes of a job's records beside its result, answer and input */

/* What becomes of the jobs that joined a call. */
enum joiners {
    JOINERS_HIT,    /* they get the stored answer */
    JOINERS_SAME,   /* they fail as their leader did */
    JOINERS_REPLAN, /* they are asked on their own */
    JOINERS_AGAIN,  /* they are asked together: the call was never made */
};

/* A call whose leader is settled or about to be. */
struct done {
    struct done *next;
    struct call *call;
    struct job
        *job; /* the leader: here until the commit, so that nobody takes it again */
    enum joiners joiners;
    struct answer failure; /* JOINERS_SAME: its spans point into `bytes` */
    char *bytes;
};

struct done_list {
    struct done *first, **tail;
};

struct slice {
    struct slice *next;
    struct settle *settle; /* NULL when settle is gone before the commit came */
    struct queue_tx *tx;
    size_t bytes;
    unsigned jobs;
    struct done_list done;
};

struct settle {
    struct settle_conf conf;
    struct queue_cursor *ready, *answers;
    struct loop_timer *tick; /* next turn: commit what there is, go on with joiners */

    struct slice *open; /* being filled, or NULL */
    struct slice *waiting, **waiting_tail;
    unsigned waiting_n;
    struct slice *flight;    /* its commit is under way, or NULL */
    struct done_list follow; /* committed calls that still have joiners */

    bool full;   /* somebody may have been told that there is no room */
    bool failed; /* on_failed was called */
    struct settle_counts counts;
    struct buf head, result, spend_head, spend, answer; /* reused for every job */
};

void done_list_init(struct done_list *l);
void done_list_add(struct done_list *l, struct done *d);
struct done *done_list_pop(struct done_list *l);
struct done *done_free(struct done *d);

/* The process cannot go on: says so once, returns -1. */
int settle_stop(struct settle *s, const struct err *err);
/* The slice to put a group of that many bytes on; seals the open one when it does not fit. */
int settle_slice_for(struct settle *s, size_t bytes, struct slice **ret);
/* After a group was put: seals the slice when it is full, else it is committed next turn. */
void settle_slice_added(struct settle *s, size_t bytes);
void settle_slice_commit(struct settle *s); /* if none is in flight */
void settle_slice_seal(struct settle *s);
struct slice *settle_slice_free(struct slice *slice);

/* A commit came: settle.c goes on. */
void settle_committed(struct settle *s, struct done_list *done);

/* settle_job.c: the records of one job, on the slice that takes them. */
struct ending {
    uint64_t at; /* place in `ready` */
    const struct release *release;
    struct span line; /* the input */
    struct outcome *outcome;
    const struct stored_answer *store; /* to be stored too, or NULL */
    struct done *done; /* of a leader; the slice's once settle_job is called */
};
int settle_job(struct settle *s, const struct ending *e);
/* Whose prices, and in whose name. */
struct pricing settle_pricing(const struct settle *s, enum lane lane);
/* The spend record of e alone. */
int settle_put_spend(struct settle *s, struct queue_tx *tx, const struct ending *e,
                     const char *account, struct err *err);

#endif
