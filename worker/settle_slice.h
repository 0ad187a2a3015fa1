/*
 * settle_slice.h - inside settle: one slice, from its first record to its commit.
 *
 * A slice has a part for each team: a transaction of its own and the calls whose leaders are in it.
 * It is filled, sealed, waits for the commit before it, flies, and is gone. Its parts are handed over
 * together, so they are one commit; but a team's topics may refuse, and then that team's part comes
 * back whole while its neighbours are stored. It is held until the topics take it (settle_held.c).
 * For worker/settle*.c only.
 */
#ifndef OFFPEAK_WORKER_SETTLE_SLICE_H
#define OFFPEAK_WORKER_SETTLE_SLICE_H

#include "core/queue.h"
#include "worker/settle_record.h"

#define SLICE_BYTES   ((size_t)4 << 20)
#define SLICE_JOBS    330 /* enough to be committed when no commit is under way */
#define SLICE_WAITING 64  /* sealed slices; callers that mind settle_room need two */
#define SLICE_PARTS   330 /* teams in one */
#define HELD_BYTES \
    ((size_t)16 << 20) /* held for teams whose topics refuse; more is let go */
#define HELD_AGAIN 8   /* held parts that wait for their commit at once */
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

/* Bytes of a value in a team's topics. */
struct takes {
    size_t result, dead;
};

struct part {
    struct part *next;
    struct slice *slice; /* NULL: it is held */
    struct queue_tx *tx;
    size_t bytes;
    struct takes largest; /* of its values */
    struct done_list done;
    char team[TEAM_MAX + 1]; /* "": acknowledgements only */
};

struct slice {
    struct slice *next;
    struct settle *settle; /* NULL when settle is gone before the commit came */
    struct part *parts;
    unsigned parts_n, flying; /* flying: parts whose callbacks are due */
    size_t bytes;
    unsigned jobs;
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
    struct part *held;       /* of teams whose topics refuse, in order */
    size_t held_bytes;
    bool wary;              /* a team's topics have refused since the start */
    uint32_t let_go[LANES]; /* calls whose ends did not fit there */

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
/* The part to put a group of that many bytes on; seals the open slice when it does not fit. */
int settle_slice_for(struct settle *s, const char *team, size_t bytes, struct part **ret);
/* After a group was put: seals the slice when it is full, else it is committed next turn. */
void settle_slice_added(struct settle *s, struct part *part, size_t bytes);
void settle_slice_commit(struct settle *s); /* if none is in flight */
void settle_slice_seal(struct settle *s);
/* A slice of one part that was held. */
int settle_slice_again(struct settle *s, struct part *part);
struct slice *settle_slice_free(struct slice *slice);
struct part *settle_part_new(struct settle *s, const char *team);
struct part *settle_part_free(struct part *part);

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
/* Reads the record of a job again; the line is the cursor's until the next fetch. */
int settle_fetch(struct settle *s, uint64_t at, struct release *ret,
                 struct span *ret_line);

/* settle_held.c: 1 the team's topics take records, 0 nobody knows yet; negative: err says why not. */
int settle_takes(const struct settle *s, const char *team, struct takes *ret_max,
                 struct err *err);
/* Its topics refused it: it is the list's. */
void settle_hold(struct settle *s, struct part *part, const struct err *why);
/* The part to put more of a refused team on, or NULL: there is no room, it is let go. */
int settle_held_for(struct settle *s, const struct ending *e, size_t bytes,
                    const struct err *why, struct part **ret);
void settle_held_added(struct settle *s, struct part *part, size_t bytes);
/* Whose prices, and in whose name. */
struct pricing settle_pricing(const struct settle *s, enum lane lane);
/* The spend record of e alone. */
int settle_put_spend(struct settle *s, struct queue_tx *tx, const struct ending *e,
                     const char *account, struct err *err);

#endif
