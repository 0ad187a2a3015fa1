#include "worker/worker.h"

#include "core/loop.h"
#include "core/queue.h"
#include "worker/account.h"
#include "worker/cancels.h"
#include "worker/intake.h"
#include "worker/openai.h"
#include "worker/plan.h"
#include "worker/settle.h"
#include "worker/tidy.h"
#include <stdio.h>
#include <stdlib.h>

#define STOP_LOOK_MS 10
#define PROVIDER     "openai" /* in the price book and in records */

struct worker {
    struct worker_conf conf;
    struct account account;
    struct queue_feed *feed;
    struct call_table *calls;
    struct settle *settle;
    struct plan *plan;
    struct cancels *cancels;
    struct lane_batch *lane; /* NULL without a key */
    struct direct_conf direct_conf[LANES];
    struct lane_direct *direct[LANES]; /* NULL: this process makes no calls in it */
    struct intake *intake;
    struct tidy *tidy;
    bool recovered, stopped;
    struct { /* of worker_stop */
        struct loop_timer *look;
        int64_t until_ms; /* loop time */
        worker_stopped_fn on_stopped;
        void *ctx;
    } stopping;
};

/* ---- what the parts say to each other ---- */

static void on_stop(void *ctx, const struct err *err)
{
    struct worker *w = ctx;
    if (!w->stopped) {
        w->stopped = true;
        w->conf.on_stop(w->conf.ctx, err);
    }
}

static void on_step(void *ctx, const char *subject, const char *text)
{
    struct worker *w = ctx;
    w->conf.on_step(w->conf.ctx, subject, text);
}

static void on_event(void *ctx, const char *subject, const char *text)
{
    struct worker *w = ctx;
    w->conf.on_event(w->conf.ctx, subject, text);
}

static void on_room(void *ctx)
{
    struct worker *w = ctx;
    if (w->lane) {
        lane_batch_on_settle_room(w->lane);
    }
    for (int i = 0; i < LANES; i++) {
        if (w->direct[i]) {
            lane_direct_on_settle_room(w->direct[i]);
        }
    }
    cancels_on_room(w->cancels);
    intake_wake(w->intake);
}

static void on_committed(void *ctx, struct call *c)
{
    struct worker *w = ctx;
    if (c->lane == LANE_BATCH) {
        lane_batch_on_committed(w->lane, c);
    } else {
        lane_direct_on_committed(w->direct[c->lane], c);
    }
}

/* A call of a lane in which calls are made one by one. */
static int on_direct(void *ctx, struct call *c, struct err *err)
{
    struct worker *w = ctx;
    return lane_direct_add(w->direct[c->lane], c, err);
}

/* From settle (a joiner on its own) and from the lane (not executed): planned again. */
static void on_replan(void *ctx, struct call *c)
{
    struct worker *w = ctx;
    struct err err = {0};
    c->state = CALL_PLANNED;
    c->batch = NULL;
    int rc = c->lane == LANE_BATCH ? plan_add(w->plan, c, &err) : on_direct(w, c, &err);
    if (rc < 0) {
        on_stop(w, &err);
    } else if (intake_dry(w->intake)) {
        plan_hurry(w->plan);
    }
}

/* A team's topics refuse what settle has for it. */
static void on_refused(void *ctx, const char *team, const struct err *why, bool gone)
{
    struct worker *w = ctx;
    intake_hold(w->intake, team, why, gone);
}

/* Calls in flight are of runs that were cancelled. */
static void on_marked(void *ctx)
{
    struct worker *w = ctx;
    if (w->lane && w->recovered) {
        lane_batch_on_cancel(w->lane);
    }
}

static int on_sealed(void *ctx, struct call **calls, uint32_t n, struct err *err)
{
    struct worker *w = ctx;
    return lane_batch_submit(w->lane, calls, n, err);
}

static void on_recovered(void *ctx)
{
    struct worker *w = ctx;
    struct err err = {0};
    w->recovered = true;
    for (int i = 0; i < LANES; i++) {
        if (w->direct[i]) {
            lane_direct_start(w->direct[i]);
        }
    }
    if (intake_start(w->intake, &err) < 0) {
        on_stop(w, &err);
    }
}

static void on_tidied(void *ctx)
{
    struct worker *w = ctx;
    struct err err = {0};
    int rc = 0;
    if (w->stopped) {
        return;
    }
    for (int i = 0; i < LANES && rc >= 0; i++) {
        rc = w->direct[i] ? lane_direct_recover(w->direct[i], &err) : 0;
    }
    if (rc >= 0 && w->lane) {
        rc = lane_batch_recover(w->lane, &err);
    } else if (rc >= 0) {
        on_recovered(w);
    }
    if (rc < 0) {
        on_stop(w, &err);
    }
}

static void on_queue(void *ctx)
{
    struct worker *w = ctx;
    struct err err = {0};
    settle_again(w->settle);
    for (int i = 0; i < LANES; i++) {
        if (w->direct[i] && lane_direct_go_on(w->direct[i], &err) < 0) {
            on_stop(w, &err);
        }
    }
    intake_go_on(w->intake);
    cancels_wake(w->cancels);
    intake_wake(w->intake);
}

/* ---- making the parts ---- */

static int make_settle(struct worker *w, struct err *err)
{
    const struct settle_conf conf = {
        .queue = w->conf.queue,
        .feed = w->feed,
        .loop = w->conf.loop,
        .calls = w->calls,
        .prices = w->conf.prices,
        .provider = PROVIDER,
        .account = w->account.fingerprint,
        .pool_prices = w->conf.pool.prices,
        .pool_account = w->conf.pool.endpoint,
        .cache_ttl_ms = w->conf.settings->cache_ttl_ms,
        .on_room = on_room,
        .on_committed = on_committed,
        .on_replan = on_replan,
        .on_refused = on_refused,
        .on_failed = on_stop,
        .ctx = w,
    };
    return settle_create(&w->settle, &conf, err);
}

static int make_plan(struct worker *w, struct err *err)
{
    const struct batch_conf *batch = &w->conf.settings->batch;
    const struct plan_conf conf = {
        .loop = w->conf.loop,
        .limits = lane_batch_limits(batch, &provider_openai),
        .linger_ms = batch->linger_ms,
        .submit = on_sealed,
        .on_failed = on_stop,
        .ctx = w,
    };
    return plan_create(&w->plan, &conf, err);
}

static int make_cancels(struct worker *w, struct err *err)
{
    const struct cancels_conf conf = {
        .loop = w->conf.loop,
        .queue = w->conf.queue,
        .calls = w->calls,
        .settle = w->settle,
        .plan = w->plan,
        .on_marked = on_marked,
        .on_failed = on_stop,
        .ctx = w,
    };
    return cancels_create(&w->cancels, &conf, err);
}

static int make_direct(struct worker *w, enum lane lane,
                       const struct lane_direct_conf *of, struct err *err)
{
    struct lane_direct_conf conf = *of;
    w->direct_conf[lane].give_up_ms = w->conf.settings->batch.give_up_ms;
    conf.loop = w->conf.loop;
    conf.queue = w->conf.queue;
    conf.feed = w->feed;
    conf.http = w->conf.http;
    conf.calls = w->calls;
    conf.settle = w->settle;
    conf.cancels = w->cancels;
    conf.provider = &provider_openai;
    conf.lane = lane;
    conf.direct = &w->direct_conf[lane];
    conf.on_event = on_event;
    conf.on_stop = on_stop;
    conf.ctx = w;
    return lane_direct_create(&w->direct[lane], &conf, err);
}

static int make_sync(struct worker *w, struct err *err)
{
    const char *const url = w->account.base_url;
    const struct lane_direct_conf conf = {
        .account = w->account.fingerprint,
        .origin = w->account.origin,
        .servers = &url,
        .servers_n = 1,
        .key = w->conf.key,
    };
    w->direct_conf[LANE_SYNC] = w->conf.settings->sync;
    w->direct_conf[LANE_SYNC].adapts = true;
    return w->conf.key ? make_direct(w, LANE_SYNC, &conf, err) : 0;
}

static int make_pool(struct worker *w, struct err *err)
{
    const struct worker_pool *pool = &w->conf.pool;
    const struct lane_direct_conf conf = {
        .account = pool->endpoint,
        .origin = pool->endpoint,
        .servers = pool->servers,
        .servers_n = pool->servers_n,
        .key = pool->key,
    };
    w->direct_conf[LANE_POOL] = w->conf.settings->pool;
    w->direct_conf[LANE_POOL].moves = true;
    return pool->servers_n ? make_direct(w, LANE_POOL, &conf, err) : 0;
}

static int make_lane(struct worker *w, struct err *err)
{
    if (!w->conf.key) {
        return 0;
    }
    const struct lane_batch_conf conf = {
        .loop = w->conf.loop,
        .queue = w->conf.queue,
        .feed = w->feed,
        .http = w->conf.http,
        .calls = w->calls,
        .settle = w->settle,
        .cancels = w->cancels,
        .provider = &provider_openai,
        .account = &w->account,
        .batch = &w->conf.settings->batch,
        .dir = w->conf.dir,
        .on_replan = on_replan,
        .on_recovered = on_recovered,
        .on_step = on_step,
        .on_event = on_event,
        .on_stop = on_stop,
        .ctx = w,
    };
    return lane_batch_create(&w->lane, &conf, err);
}

static int make_intake(struct worker *w, struct err *err)
{
    const struct intake_conf conf = {
        .loop = w->conf.loop,
        .queue = w->conf.queue,
        .feed = w->feed,
        .calls = w->calls,
        .settle = w->settle,
        .cancels = w->cancels,
        .plan = w->plan,
        .on_direct = on_direct,
        .origin = w->account.origin,
        .pool = w->conf.pool.endpoint,
        .without = {[LANE_BATCH] = !w->lane,
                    [LANE_SYNC] = !w->direct[LANE_SYNC],
                    [LANE_POOL] = !w->direct[LANE_POOL]},
        .on_event = on_event,
        .on_failed = on_stop,
        .ctx = w,
    };
    return intake_create(&w->intake, &conf, err);
}

static int make_tidy(struct worker *w, struct err *err)
{
    const struct worker_settings *settings = w->conf.settings;
    const struct tidy_conf conf = {
        .loop = w->conf.loop,
        .queue = w->conf.queue,
        .feed = w->feed,
        .settle = w->settle,
        .retain_ms = settings->retain_ms,
        .results_keep_ms = settings->results_keep_ms,
        .cache_ttl_ms = settings->cache_ttl_ms,
        .cache_max_bytes = settings->cache_max_bytes,
        .on_first = on_tidied,
        .on_failed = on_stop,
        .ctx = w,
    };
    return tidy_create(&w->tidy, &conf, err);
}

static int make_feed(struct worker *w, struct err *err)
{
    return queue_feed_open(w->conf.queue, TOPIC_READY, &w->feed, err);
}

static int make_account(struct worker *w, struct err *err)
{
    return w->conf.key ? account_init(&w->account, w->conf.base_url, w->conf.key, err)
                       : 0;
}

static int make_calls(struct worker *w, struct err *err)
{
    return call_table_create(&w->calls, err);
}

int worker_create(struct worker **ret, const struct worker_conf *conf, struct err *err)
{
    static int (*const make[])(struct worker *, struct err *) = {
        make_account, make_feed, make_calls, make_settle, make_plan, make_cancels,
        make_lane,    make_sync, make_pool,  make_intake, make_tidy,
    };
    struct worker *w = calloc(1, sizeof(*w));
    int rc = 0;
    if (!w) {
        return err_set(err, ERR_FAIL, "could not create the worker: out of memory");
    }
    w->conf = *conf;
    for (size_t i = 0; i < ARRAY_LEN(make) && rc >= 0; i++) {
        rc = make[i](w, err);
    }
    if (rc < 0) {
        worker_destroy(w);
        return rc;
    }
    *ret = w;
    return 0;
}

int worker_start(struct worker *w, struct err *err)
{
    if (queue_watch(w->conf.queue, on_queue, w) < 0) {
        return err_set(err, ERR_FAIL, "could not start the worker: %s",
                       "too many watchers of the queue");
    }
    tidy_start(w->tidy);
    return 0;
}

void worker_drain(struct worker *w)
{
    if (w->lane) {
        lane_batch_drain(w->lane);
    }
    for (int i = 0; i < LANES; i++) {
        if (w->direct[i]) {
            lane_direct_drain(w->direct[i]);
        }
    }
}

/* ---- stopping ---- */

/* Nothing is under way whose end would be news. */
static bool is_quiet(const struct worker *w)
{
    bool quiet = settle_idle(w->settle) && (!w->lane || lane_batch_quiet(w->lane));
    for (int i = 0; i < LANES && quiet; i++) {
        quiet = !w->direct[i] ||
                lane_direct_quiet(w->direct[i], settle_held(w->settle, (enum lane)i));
    }
    return quiet && !w->stopped;
}

static void on_look(void *ctx)
{
    struct worker *w = ctx;
    bool quiet = is_quiet(w);
    if (!quiet && !w->stopped && loop_now_ms(w->conf.loop) < w->stopping.until_ms) {
        loop_timer_start(w->stopping.look, STOP_LOOK_MS);
        return;
    }
    w->stopping.on_stopped(w->stopping.ctx, quiet);
}

int worker_stop(struct worker *w, int64_t wait_ms, worker_stopped_fn on_stopped,
                void *ctx, struct err *err)
{
    assert(!w->stopping.look);
    if (loop_timer_create(w->conf.loop, on_look, w, &w->stopping.look) < 0) {
        return err_set(err, ERR_FAIL, "could not stop the worker: out of memory");
    }
    w->stopping.until_ms = loop_now_ms(w->conf.loop) + wait_ms;
    w->stopping.on_stopped = on_stopped;
    w->stopping.ctx = ctx;
    queue_unwatch(w->conf.queue, on_queue, w);
    w->tidy = tidy_destroy(w->tidy);
    intake_stop(w->intake);
    worker_drain(w);
    if (w->lane) {
        lane_batch_stop(w->lane);
    }
    loop_timer_start(w->stopping.look, 0);
    return 0;
}

/* ---- what others may know ---- */

static void add_direct(struct worker_status *s, struct direct_status *to,
                       const struct lane_direct *l)
{
    lane_direct_status(l, to);
    s->doubtful += to->doubtful;
    if (to->account_stop && !s->lane.account_stop) {
        s->lane.account_stop = to->account_stop;
        s->lane.account_stop_hint = to->account_stop_hint;
        s->lane.account_stop_code = to->account_stop_code;
    }
}

void worker_status(const struct worker *w, struct worker_status *ret)
{
    struct settle_counts n;
    settle_counts(w->settle, &n);
    *ret = (struct worker_status){
        .calls = call_count(w->calls),
        .jobs = call_job_count(w->calls),
        .hits = n.hits,
        .joined = n.joined,
        .paid = n.paid,
        .failed = n.failed,
        .rejected = n.rejected,
        .cancelled = n.cancelled,
        .repeats = intake_repeats(w->intake),
        .held = intake_held(w->intake),
        .held_again = intake_held_again(w->intake),
        .idle = w->recovered && cancels_idle(w->cancels) && intake_idle(w->intake) &&
                settle_idle(w->settle) && plan_empty(w->plan) &&
                (!w->lane || lane_batch_idle(w->lane)),
    };
    if (w->lane) {
        lane_batch_status(w->lane, &ret->lane);
    }
    for (int i = 0; i < LANES; i++) {
        ret->left[i] = intake_left(w->intake, (enum lane)i);
        if (w->direct[i]) {
            ret->idle = ret->idle && lane_direct_idle(w->direct[i]);
            add_direct(ret, i == LANE_SYNC ? &ret->sync : &ret->pool, w->direct[i]);
        }
    }
}

unsigned worker_polls(const struct worker *w, struct lane_poll *ret, unsigned max)
{
    return w->lane ? lane_batch_polls(w->lane, ret, max) : 0;
}

int worker_account_fingerprint(const char *base_url, const struct secret *key,
                               char ret[static 64], struct err *err)
{
    struct account account;
    int rc = account_init(&account, base_url, key, err);
    if (rc >= 0) {
        snprintf(ret, 64, "%s", account.fingerprint);
    }
    return rc;
}

struct worker *worker_destroy(struct worker *w)
{
    if (w) {
        loop_timer_destroy(w->stopping.look);
        queue_unwatch(w->conf.queue, on_queue, w);
        tidy_destroy(w->tidy);
        intake_destroy(w->intake);
        for (int i = 0; i < LANES; i++) {
            if (w->direct[i]) {
                lane_direct_stop(w->direct[i]);
            }
            lane_direct_destroy(w->direct[i]);
        }
        lane_batch_destroy(w->lane);
        cancels_destroy(w->cancels);
        plan_destroy(w->plan);
        settle_destroy(w->settle);
        call_table_destroy(w->calls);
        queue_feed_close(w->feed);
        free(w);
    }
    return NULL;
}
