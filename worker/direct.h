/*
 * direct.h - inside a direct lane; for worker/lane_direct.c and worker/direct_*.c only.
 *
 * A slice is calls journaled together, all of one partition of `ready` and at the same try. Each of its calls is in one state:
 *
 *   WRITING -> READY -> UNDER_WAY -> SETTLING -> ENDED
 *                ^         |  |
 *                |         |  '-> LOST -> ENDED, as a call of a new slice at the next try
 *                '- DUE <--'
 *
 *   WRITING    the commit of its slice is on its way
 *   READY      it may leave
 *   UNDER_WAY  at a server
 *   DUE        certainly not executed: waits for its time
 *   LOST       perhaps executed: waits for the commit that books it
 *   SETTLING   given to settle
 *   ENDED      nothing of it is left to do here
 *
 * A slice without a call that is not ENDED is closed: its rows go with the lane's next commit.
 * A lost call stands in two slices for a while; after a crash the higher try counts.
 *
 * One turn (direct_turn, on a timer that direct_kick starts) does whatever can be done. Requests
 * and commits outlive the lane when they must: they then find it gone and only free themselves.
 */
#ifndef OFFPEAK_WORKER_DIRECT_H
#define OFFPEAK_WORKER_DIRECT_H

#include "core/attr.h"
#include "core/failpoint.h"
#include "core/loop.h"
#include "core/queue.h"
#include "worker/cancels.h"
#include "worker/health.h"
#include "worker/lane_direct.h"
#include "worker/pace.h"
#include "worker/pool.h"
#include "worker/provider.h"
#include "worker/retry.h"

#define DIRECT_SLICE_MAX 512

enum direct_state {
    DIRECT_WRITING,
    DIRECT_READY,
    DIRECT_UNDER_WAY,
    DIRECT_DUE,
    DIRECT_LOST,
    DIRECT_SETTLING,
    DIRECT_ENDED,
    DIRECT_STATES
};

/* Perhaps executed, and its end is not stored. */
static inline bool direct_is_doubtful(enum direct_state state)
{
    return state == DIRECT_UNDER_WAY || state == DIRECT_LOST || state == DIRECT_SETTLING;
}

struct direct_call {
    struct direct_call *next; /* in a queue of its state */
    struct direct_slice *slice;
    struct call *call;
    uint64_t at; /* its leader's place in `ready` */
    enum direct_state state;
    unsigned server, track;
    bool twice;         /* its server has read its beginning on another track */
    unsigned refusals;  /* in a row */
    int64_t refused_ms; /* loop time of the first of them */
    int64_t due_ms;
    struct pace_ticket ticket;
    char *why; /* owned: of LOST */
};

struct direct_slice {
    struct direct_slice *next, *prev;
    char id[BATCH_ID_BYTES];
    uint32_t partition;      /* of `ready`: its calls and its rows stand there */
    uint32_t try_n, n, open; /* open: calls that are not ENDED */
    struct direct_call calls[];
};

struct direct_queue { /* first in, first out */
    struct direct_call *first, **tail;
    uint32_t n;
};

/* Of a server (worker/pool.h). Its calls begin alike, so the next leaves when one of them comes
 * back: a server that keeps what each of its slots read last has it there. */
struct direct_track {
    struct direct_queue ready;
    uint32_t writing, under_way;
};

struct direct_server {
    const char *base_url;
    struct pace pace;
    struct health health;
    struct direct_track tracks[POOL_TRACKS];
    uint32_t ready, writing, under_way; /* of all tracks */
    bool out;     /* it is down, and what waited for it waits for any */
    bool probing; /* it is being asked how it is */
};

/* Rows of a closed slice that are still to be deleted. */
struct direct_rows {
    struct direct_rows *next;
    char id[BATCH_ID_BYTES];
    uint32_t partition, n;
};

struct direct_entry; /* of the journal, found after a restart (direct_recover.c) */
struct direct_flight;
struct direct_commit;

struct lane_direct {
    struct lane_direct_conf conf;
    struct pool *pool;
    struct queue_cursor *cursor;
    struct loop_timer *timer;
    struct direct_server *servers;
    unsigned tracks_n; /* of each server; 1 to POOL_TRACKS */
    uint32_t on_track; /* calls under way on one of them, at most */
    struct direct_slice *slices;
    struct direct_queue again; /* READY at any server, before all others */
    struct direct_queue due, lost;
    struct direct_rows *closed;
    unsigned closed_n;
    struct direct_entry *entries;
    struct direct_flight *flights;
    struct direct_commit *commits;
    struct call **refused_calls; /* wait until their team's topics take results */
    uint32_t refused_n, refused_cap;
    int64_t commit_ms; /* how long one takes, moving average */
    struct buf text;   /* of the reply being read */
    uint64_t random;
    bool started, failed, draining;

    char stop[400]; /* why the account's work stands still; empty: it does not */
    char stop_hint[300];
    int stop_code;
    int64_t stop_until_ms; /* then one call may try */
    int64_t
        silent_since_ms; /* first request without an answer; -1: the last one had one */
    uint64_t sent, refused, lost_n;
};

/* ---- lane_direct.c ---- */
void direct_turn(void *lane);
void direct_kick(struct lane_direct *l);
void direct_fail(struct lane_direct *l, const struct err *err); /* on_stop, once */
void direct_event(const struct lane_direct *l, const char *fmt, ...) PRINTF_LIKE(2, 3);
uint64_t direct_random(struct lane_direct *l);
void direct_queue_init(struct direct_queue *q);
void direct_queue_add(struct direct_queue *q, struct direct_call *d);
struct direct_call *direct_queue_pop(struct direct_queue *q);
void direct_ready_add(struct direct_server *s, struct direct_call *d);
/* Of the track with the fewest calls under way, less than `most`, that has one; or NULL. */
struct direct_call *direct_ready_pop(struct direct_server *s, uint32_t most);
/* Nothing more of it; may close its slice. */
void direct_end(struct lane_direct *l, struct direct_call *d);

/* May it be given calls? */
bool direct_is_up(const struct lane_direct *l, const struct direct_server *s);

/* ---- direct_slice.c: slices and their rows ---- */
struct direct_slice *direct_slice_new(struct lane_direct *l, uint32_t partition,
                                      uint32_t try_n);
/* A slice holds at most DIRECT_SLICE_MAX. _put: of what its rows say already; _add: a call that is
 * to leave for that server once they are written. */
struct direct_call *direct_slice_put(struct direct_slice *s, struct call *c);
void direct_slice_add(struct lane_direct *l, struct direct_slice *s, struct call *c,
                      unsigned server, unsigned track);
void direct_slice_free(struct direct_slice *s);
int direct_begin(struct lane_direct *l, struct queue_tx **ret);
/* Commits tx with the rows of `s`, and deletes those of closed slices; once that is
 * acknowledged, the calls of `s` are READY. Takes both; s may be NULL. */
void direct_write(struct lane_direct *l, struct direct_slice *s, struct queue_tx *tx);
/* Journals what free slots will want next. */
void direct_journal(struct lane_direct *l);
/* Books what was lost, and journals it at its next try. */
void direct_book(struct lane_direct *l);
/* Deletes rows of closed slices when no other commit will soon. */
void direct_sweep(struct lane_direct *l);
void direct_abandon_commits(struct lane_direct *l);

/* ---- direct_send.c ---- */
/* Sends what may leave; the loop time when more may, INT64_MAX unknown. */
int64_t direct_send(struct lane_direct *l);
void direct_abandon_flights(struct lane_direct *l);
/* Nobody waits any longer for the replies of that server: they count as lost. */
void direct_give_up(struct lane_direct *l, unsigned server);
/* GET `url`; the reply is a probe of that server. */
void direct_ask(struct lane_direct *l, unsigned server, const char *url);

/* ---- direct_reply.c ---- */
void direct_heard(struct lane_direct *l, struct direct_call *d,
                  const struct http_resp *resp);
/* Perhaps executed: to be booked, then made again if a try is left. */
void direct_lost(struct lane_direct *l, struct direct_call *d, const char *why);
/* No answer from anybody: after http.give_up the account stands still. */
void direct_silence(struct lane_direct *l, bool replied, const char *why);

/* ---- direct_health.c ---- */
/* Servers that stall, are gone or may be back; the loop time when to look again. */
int64_t direct_health(struct lane_direct *l);
void direct_probed(struct lane_direct *l, unsigned server, const struct http_resp *resp);

/* ---- direct_recover.c ---- */
/* Books what was in doubt after a crash, as far as settle has room. */
void direct_go_on(struct lane_direct *l);
void direct_entries_free(struct lane_direct *l);
int direct_row_encode(const struct lane_direct *l, const struct direct_slice *s,
                      uint32_t n, struct buf *json);

#endif
