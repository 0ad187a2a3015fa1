/*
 * lane_direct.h - a direct lane: calls made one by one, answers go to settle.
 *
 * Two of them may live in a worker: `sync`, the provider's own endpoint, and `pool`, servers of
 * one's own. They differ in data only: servers, account, concurrency. Which server gets which
 * call is worker/pool.h; how many at a time is worker/pace.h; what a reply means is
 * worker/provider.h.
 *
 * Such a call cannot be looked up afterwards: when its reply is lost, nobody can tell whether it
 * was made. So before any call of a slice may leave, the slice stands in the journal; slices are
 * small, just ahead of the free slots. After a crash every call of a slice that has no result is
 * in doubt. A call in doubt is booked first, at the bound of one try, and only then made again,
 * within the tries that its job has reserved; after the last it ends failed. What was refused for
 * load, or never left, was not made: it goes again later and counts as no try (DESIGN: 7.3).
 *
 * Life: create, recover (reads the journal), start, add; what a lane has done is read with
 * lane_direct_status. lane_direct_stop before destroy leaves in the journal only what is under
 * way.
 */
#ifndef OFFPEAK_WORKER_LANE_DIRECT_H
#define OFFPEAK_WORKER_LANE_DIRECT_H

#include "core/err.h"
#include "worker/call.h"
#include "worker/settle.h"

struct lane_direct;
struct http;
struct queue;
struct queue_feed;
struct loop;
struct provider;
struct secret;

/* Settings of one lane; rows in worker/worker_conf.c. */
struct direct_conf {
    int64_t concurrency; /* calls under way at one server, at most */
    int64_t timeout_ms;  /* of one call */
    int64_t give_up_ms;  /* http.give_up: how long nobody may answer */
    bool adapts;         /* concurrency is found out, from few on */
    bool moves;          /* servers come and go: calls of one that is down go to others */
    int64_t stall_ms;    /* such a server may be silent so long with calls under way */
};

struct lane_direct_conf {
    struct loop *loop;
    struct queue *queue;
    struct queue_feed *feed; /* of `ready`: to know what is acked */
    struct http *http;
    struct call_table *calls;
    struct settle *settle;
    struct cancels *cancels; /* NULL: nothing is ever cancelled */
    const struct provider *provider;
    enum lane lane;
    const char *account, *origin; /* in the journal: whose, and where */
    const char *const *servers;   /* base URLs */
    unsigned servers_n;           /* at most POOL_SERVERS_MAX */
    const struct secret *key;     /* for all of them, or NULL */
    const struct direct_conf *direct;
    void (*on_event)(void *ctx, const char *subject, const char *text); /* for people */
    void (*on_stop)(void *ctx, const struct err *err); /* the journal says stop */
    void *ctx;
};

struct direct_status {
    uint32_t waiting, ready, under_way; /* not journaled; journaled; at a server */
    uint32_t doubtful; /* perhaps made, the end not stored: in doubt if it ended now */
    uint64_t sent, refused, lost; /* requests, and of them: for load, without a reply */
    const char
        *account_stop; /* NULL, or why the account's work stands still (the lane's) */
    const char *account_stop_hint; /* what to do about it */
    int account_stop_code;         /* ERR_AUTH or ERR_TEMP */
};

int lane_direct_create(struct lane_direct **ret, const struct lane_direct_conf *conf,
                       struct err *err);
/* Registers what the journal holds of this lane as calls; also on an empty journal, before any
 * job is taken. ERR_USAGE when it was begun elsewhere. Nothing leaves before start. */
int lane_direct_recover(struct lane_direct *l, struct err *err);
void lane_direct_start(struct lane_direct *l);
/* A call of this lane that waits: the lane's from here on. */
int lane_direct_add(struct lane_direct *l, struct call *c, struct err *err);
/* The queue has news: calls whose teams could not get the answer may be made now. */
int lane_direct_go_on(struct lane_direct *l, struct err *err);
bool lane_direct_idle(const struct lane_direct *l);
/* Nothing more leaves from here on; what is under way is waited for. */
void lane_direct_drain(struct lane_direct *l);
/* No call is under way or has an end that is not stored. */
bool lane_direct_quiet(const struct lane_direct *l, uint32_t held);
void lane_direct_status(const struct lane_direct *l, struct direct_status *ret);
void lane_direct_on_settle_room(struct lane_direct *l);
/* The call's end is committed; it is freed after this. */
void lane_direct_on_committed(struct lane_direct *l, struct call *c);
/* The process ends well: hands over a commit by which only calls under way stay in doubt. */
void lane_direct_stop(struct lane_direct *l);
struct lane_direct *lane_direct_destroy(struct lane_direct *l);

#endif
