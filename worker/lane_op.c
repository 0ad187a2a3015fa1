/* The lane's operations: requests, commits, work on the thread pool. One per batch at a time. */
#include "worker/lane_batch_int.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define ASK_BASE_MS 500
#define ASK_CAP_MS  60000

struct lane_op {
    struct lane_op *next, *prev;
    struct lane_batch *lane; /* NULL: it is gone, nobody waits for this */
    struct batch *batch;
    enum ask ask;
    bool asking, transfer;
    int sink_fd;
    enum batch_state to; /* of a move */
    bool moving;
    lane_reply_fn on_reply;
    lane_fn on_done;
    lane_run_fn run;
    lane_worked_fn on_worked;
    struct lane_work work;
    pthread_mutex_t running; /* held by work that runs: destroy waits for it */
};

/* ---- life of an operation ---- */

static struct lane_op *op_begin(struct lane_batch *l, struct batch *b)
{
    struct lane_op *op = calloc(1, sizeof(*op));
    if (!op) {
        struct err err;
        err_set(&err, ERR_FAIL, "could not go on with batch '%s': out of memory", b->id);
        lane_fail(l, &err);
        return NULL;
    }
    pthread_mutex_init(&op->running, NULL);
    op->lane = l;
    op->batch = b;
    op->sink_fd = -1;
    op->next = l->ops;
    if (l->ops) {
        l->ops->prev = op;
    }
    l->ops = op;
    b->busy = true;
    return op;
}

/* Frees it; returns the lane when it still waits for this, with the batch no longer busy. */
static struct lane_batch *op_end(struct lane_op *op)
{
    struct lane_batch *l = op->lane;
    if (l) {
        *(op->prev ? &op->prev->next : &l->ops) = op->next;
        if (op->next) {
            op->next->prev = op->prev;
        }
        l->requests -= op->asking;
        l->transfers -= op->transfer;
        op->batch->busy = false;
    }
    attr_closep(&op->sink_fd);
    pthread_mutex_destroy(&op->running);
    free(op);
    return l;
}

void lane_abandon_ops(struct lane_batch *l)
{
    atomic_store(&l->stop_work, true);
    while (l->ops) {
        struct lane_op *op = l->ops;
        l->ops = op->next;
        pthread_mutex_lock(&op->running);
        op->lane = NULL;
        pthread_mutex_unlock(&op->running);
    }
}

/* ---- requests ---- */

static bool is_transfer(enum ask ask)
{
    return ask == ASK_UPLOAD || ask == ASK_CONTENT;
}

static bool is_buying(enum ask ask)
{
    return ask == ASK_UPLOAD || ask == ASK_CREATE;
}

bool lane_may_ask(const struct lane_batch *l, enum ask ask)
{
    if (l->draining && is_buying(ask)) {
        return false;
    }
    if (l->stop[0] && (l->stop_all || is_buying(ask))) {
        return l->requests == 0 && loop_now_ms(l->conf.loop) >= l->stop_until_ms;
    }
    return l->requests < LANE_REQUESTS_MAX &&
           (!is_transfer(ask) || l->transfers < LANE_TRANSFERS_MAX);
}

void lane_stop_account(struct lane_batch *l, struct batch *b, const struct err *why)
{
    struct err err;
    err_set(&err, why->code, "could not %s '%s': %s",
            l->heard.reply ? "work with" : "reach", l->conf.account->origin, why->msg);
    if (!l->stop[0]) {
        lane_event(l, b, "%s", err.msg);
    }
    snprintf(l->stop, sizeof(l->stop), "%.399s", err.msg);
    snprintf(l->stop_hint, sizeof(l->stop_hint), "%s", why->hint);
    l->stop_code = (int)err.code;
    l->stop_all = l->heard.status == 401 || !is_buying(l->heard.ask) || !l->heard.reply;
    l->stop_until_ms = loop_now_ms(l->conf.loop) + l->conf.batch->poll_ms;
    l->heard.useful = false;
    b->due_ms = l->stop_until_ms;
}

/* An answer that says something: what stopped the account is over, unless purchases were
 * refused and this was none. */
void lane_heard_well(struct lane_batch *l)
{
    l->silent_since_ms = -1;
    if (l->stop[0] && (l->stop_all || is_buying(l->heard.ask))) {
        l->stop[0] = '\0';
        l->conf.on_event(l->conf.ctx, NULL, "the provider works for this account again");
    }
}

/* No reply, or none that helps: after a while that is as good as nobody there. */
static void heard_nothing(struct lane_batch *l, struct batch *b,
                          const struct http_resp *r)
{
    struct err err;
    int64_t now_ms = loop_now_ms(l->conf.loop);
    if (l->silent_since_ms < 0) {
        l->silent_since_ms = now_ms;
    }
    if (now_ms - l->silent_since_ms < l->conf.batch->give_up_ms) {
        return;
    }
    if (r->outcome != HTTP_REPLY) {
        err_set(&err, ERR_TEMP, "%s", r->why);
        err_hint(&err, "check the network and OPENAI_BASE_URL, and run the same command "
                       "again");
    } else if (r->status >= 500) {
        err_set(&err, ERR_TEMP, "it answers nothing but HTTP %d", r->status);
        err_hint(&err, "run the same command again later");
    } else {
        err_set(&err, ERR_TEMP, "its replies are not those of the API");
        err_hint(&err,
                 "check OPENAI_BASE_URL and the proxy, and run the same command again");
    }
    lane_stop_account(l, b, &err);
}

static void on_reply(void *ctx, const struct http_resp *resp)
{
    struct lane_op *op = ctx;
    struct batch *b = op->batch;
    enum ask ask = op->ask;
    lane_reply_fn fn = op->on_reply;
    struct lane_batch *l = op_end(op);
    if (l) {
        bool reply = resp->outcome == HTTP_REPLY;
        l->heard.ask = ask;
        l->heard.reply = reply;
        l->heard.status = reply ? resp->status : 0;
        l->heard.useful = true; /* unless fn finds otherwise; b may be gone then */
        fn(l, b, resp);
        if (l->heard.useful) {
            lane_heard_well(l);
        }
        lane_kick(l);
    }
}

void lane_ask(struct lane_batch *l, struct batch *b, struct provider_ask a, int sink_fd,
              lane_reply_fn fn)
{
    struct err err;
    _cleanup_(provider_request_fini) struct provider_request r;
    provider_request_init(&r);
    a.base_url = l->conf.account->base_url;
    struct lane_op *op = op_begin(l, b);
    if (!op) {
        attr_closep(&sink_fd);
        return;
    }
    op->sink_fd = sink_fd;
    op->on_reply = fn;
    op->asking = true;
    op->ask = a.ask;
    op->transfer = is_transfer(a.ask);
    l->requests++;
    l->transfers += op->transfer;
    int rc = l->conf.provider->request(&a, &r, &err);
    if (rc >= 0) {
        r.http.bearer = secret_text(l->conf.account->key);
        r.http.sink_fd = sink_fd;
        rc = http_send(l->conf.http, &r.http, on_reply, op, &err);
    }
    if (rc < 0) {
        op_end(op);
        lane_fail(l, &err);
    }
}

void lane_ask_again(struct lane_batch *l, struct batch *b, const struct http_resp *r)
{
    const struct retry_rule rule = {MIN_OF(ASK_BASE_MS, l->conf.batch->poll_ms),
                                    MIN_OF(ASK_CAP_MS, l->conf.batch->poll_ms)};
    int64_t after_ms = r->outcome == HTTP_REPLY ? r->retry_after_ms : -1;
    int64_t wait_ms = retry_delay_ms(&rule, b->tries++, after_ms, lane_random(l));
    b->due_ms = MAX_OF(b->due_ms, loop_now_ms(l->conf.loop) + wait_ms);
    l->heard.useful = false;
    if (r->outcome != HTTP_REPLY || r->status >= 500 || r->status < 300) {
        heard_nothing(l, b, r); /* a 429 or a 404 is an answer, though no cure */
    }
}

/* ---- commits ---- */

/* A batch's way in words, told as each state is committed; why a batch goes astray is told
 * where it does, and seeing one again and again is no news. */
static const char *const told[BATCH_STATES] = {
    [BATCH_JOURNALED] = "recorded",
    [BATCH_UPLOADED] = "uploaded",
    [BATCH_SUBMITTED] = "submitted",
    [BATCH_FETCHED] = "results fetched",
};

static void tell(const struct lane_batch *l, const struct batch *b)
{
    if (told[b->state]) {
        lane_step(l, b, told[b->state]);
    }
}

static void on_commit(void *ctx, uint64_t commit, const struct err *failure)
{
    struct lane_op *op = ctx;
    struct batch *b = op->batch;
    lane_fn fn = op->on_done;
    bool moving = op->moving;
    enum batch_state to = op->to;
    struct lane_batch *l = op_end(op);
    (void)commit;
    if (!l) {
        return;
    }
    struct err err;
    if (!failure && moving) {
        b->journal = to;
        if (batch_move(b, to, &err) < 0) {
            failure = &err;
        } else {
            FAILPOINT(batch_rules[to].point);
            tell(l, b);
        }
    }
    if (failure) {
        lane_fail(l, failure);
        return;
    }
    if (fn) {
        fn(l, b);
    }
    lane_kick(l);
}

void lane_commit(struct lane_batch *l, struct batch *b, struct queue_tx *tx, lane_fn fn)
{
    struct lane_op *op = op_begin(l, b);
    if (!op) {
        queue_tx_drop(tx);
        return;
    }
    op->on_done = fn;
    queue_commit(tx, on_commit, op);
}

/* A transaction with the row in that state, and the members when they go with it. */
static struct queue_tx *row_tx(struct lane_batch *l, struct batch *b,
                               enum batch_state state)
{
    struct err err;
    struct queue_tx *tx = NULL;
    int rc = queue_begin(l->conf.queue, &tx);
    if (rc < 0) {
        err_set(&err, ERR_FAIL,
                "could not write the journal of batch '%s': out of memory", b->id);
    } else {
        rc = journal_put(tx, b, state, &err);
    }
    if (rc >= 0 && b->journal == BATCH_OPEN) {
        rc = journal_put_members(tx, b, &err);
    }
    if (rc < 0) {
        queue_tx_drop(tx);
        lane_fail(l, &err);
        return NULL;
    }
    return tx;
}

void lane_save(struct lane_batch *l, struct batch *b, lane_fn fn)
{
    struct queue_tx *tx = row_tx(l, b, b->state);
    if (tx) {
        lane_commit(l, b, tx, fn);
    }
}

void lane_move(struct lane_batch *l, struct batch *b, enum batch_state to, lane_fn fn)
{
    struct queue_tx *tx = row_tx(l, b, to);
    struct lane_op *op = tx ? op_begin(l, b) : NULL;
    if (!op) {
        queue_tx_drop(tx);
        return;
    }
    op->moving = true;
    op->to = to;
    op->on_done = fn;
    b->tries = 0;
    b->due_ms = 0;
    queue_commit(tx, on_commit, op);
}

/* ---- work ---- */

static void on_run(void *ctx)
{
    struct lane_op *op = ctx;
    pthread_mutex_lock(&op->running);
    if (op->lane) {
        op->work.rc = op->run(&op->work);
    }
    pthread_mutex_unlock(&op->running);
}

static void on_ran(void *ctx)
{
    struct lane_op *op = ctx;
    struct batch *b = op->batch;
    struct lane_work work = op->work;
    lane_worked_fn fn = op->on_worked;
    struct lane_batch *l = op_end(op);
    if (l) {
        fn(l, b, &work);
        lane_kick(l);
    }
}

bool lane_do_work(struct lane_batch *l, struct batch *b, lane_run_fn run,
                  lane_worked_fn fn)
{
    struct err err;
    struct lane_op *op = op_begin(l, b);
    if (!op) {
        return false;
    }
    op->run = run;
    op->on_worked = fn;
    op->work = (struct lane_work){.lane = l, .batch = b};
    if (loop_work(l->conf.loop, on_run, on_ran, op, &err) < 0) {
        op_end(op); /* the pool is full of other work: look again soon */
        lane_later(l, b, ASK_BASE_MS);
        return false;
    }
    return true;
}
