#include "tests/lib/world.h"

#include "core/headers.h"
#include "tests/lib/book.h"
#include "tests/lib/folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(int rc, const struct err *err)
{
    if (rc < 0) {
        fail_msg("%s", err->msg);
    }
}

/* ---- a worker that always answers ---- */

#define ANSWERS_MAX 256

struct world_worker {
    struct world *w;
    struct queue_feed *feed;
    struct loop_timer *timer;
    struct queue_msg taken[ANSWERS_MAX];
    struct release releases[ANSWERS_MAX];
    unsigned n, try_n; /* try_n: of the calls taken, the one that is under way */
    bool left, committing;
};

static void worker_look(void *ctx);

static void put_spend(struct world *w, struct queue_tx *tx, const struct release *r,
                      unsigned try_n)
{
    _cleanup_(buf_fini) struct buf block;
    struct err err = {0};
    bool lost = r->verdict == VERDICT_RUN && try_n <= w->doubts;
    struct spend_head h = {.kind = lost ? SPEND_IN_DOUBT : SPEND_USAGE,
                           .final = !lost || try_n == r->tries,
                           .attempt = r->attempt,
                           .try_n = try_n};
    h.cost = release_try_bound(r);
    if (!lost) {
        h.cost = usd_from_pico(usd_pico(h.cost) / 100 * w->cost_share);
        h.usage.input = r->verdict == VERDICT_RUN;
    }
    snprintf(h.job, sizeof(h.job), "%s", r->job);
    snprintf(h.run, sizeof(h.run), "%s", r->run);
    snprintf(h.team, sizeof(h.team), "%s", r->team);
    snprintf(h.feature, sizeof(h.feature), "%s", r->feature);
    snprintf(h.day, sizeof(h.day), "%s", r->day);
    buf_init(&block, HEADERS_BYTES_MAX);
    must(spend_head_encode(&h, &block), &err);
    must(queue_put(tx, QUEUE_TO(TOPIC_SPEND, 0, span_str(r->team)), buf_span(&block),
                   SPAN_LIT("{}"), &err),
         &err);
}

/* The try that ends the job: the first whose answer comes, or the last there may be. */
static unsigned last_try(const struct world *w, const struct release *r)
{
    return r->verdict == VERDICT_RUN ? MIN_OF(w->doubts + 1, r->tries) : 1;
}

/* One round of tries; true when calls are left for another. */
static bool put_round(struct world_worker *k, struct queue_tx *tx)
{
    struct err err = {0};
    bool left = false;
    for (unsigned i = 0; i < k->n; i++) {
        const struct release *r = &k->releases[i];
        unsigned last = last_try(k->w, r);
        if (k->try_n <= last && r->verdict != VERDICT_FLUSH) {
            put_spend(k->w, tx, r, k->try_n);
        }
        if (k->try_n == last) {
            must(queue_ack(tx, &k->taken[i].at, &err), &err);
        }
        left |= k->try_n < last;
    }
    k->try_n++;
    return left;
}

static void worker_committed(void *ctx, uint64_t commit, const struct err *err)
{
    struct world_worker *k = ctx;
    (void)commit;
    assert_null(err);
    k->committing = false;
    if (k->left) {
        loop_timer_start(k->timer, k->w->latency_ms);
        return;
    }
    k->n = 0;
    worker_look(k);
}

static void worker_answer(void *ctx)
{
    struct world_worker *k = ctx;
    struct queue_tx *tx;
    struct err err = {0};
    must(queue_begin(k->w->queue, &tx), &err);
    do {
        k->left = put_round(k, tx);
    } while (k->left && !k->w->apart);
    k->committing = true;
    queue_commit(tx, worker_committed, k);
}

/* Takes what is there and answers it together, `latency_ms` later. */
static void worker_look(void *ctx)
{
    struct world_worker *k = ctx;
    struct queue_msg msg;
    struct err err = {0};
    if (k->n > 0 || k->committing) {
        return;
    }
    while (k->n < ANSWERS_MAX && queue_next(k->feed, &msg, &err) > 0) {
        must(release_decode(msg.headers, &k->releases[k->n]), &err);
        k->taken[k->n++] = msg;
    }
    if (k->n > 0) {
        k->try_n = 1;
        loop_timer_start(k->timer, k->w->latency_ms);
    }
}

static void worker_begin(struct world *w)
{
    struct err err = {0};
    struct world_worker *k = calloc(1, sizeof(*k));
    assert_non_null(k);
    k->w = w;
    must(queue_feed_open(w->queue, TOPIC_READY, &k->feed, &err), &err);
    must(loop_timer_create(w->loop, worker_answer, k, &k->timer), &err);
    must(queue_watch(w->queue, worker_look, k), &err);
    w->worker = k;
    worker_look(k);
}

static void worker_end(struct world *w)
{
    struct world_worker *k = w->worker;
    queue_unwatch(w->queue, worker_look, k);
    queue_feed_close(k->feed);
    loop_timer_destroy(k->timer);
    free(k);
    w->worker = NULL;
}

/* ---- the world ---- */

static void on_event(void *ctx, const char *subject, const char *text)
{
    struct world *w = ctx;
    snprintf(w->last_event, sizeof(w->last_event), "%s: %s", subject, text);
    w->events++;
}

static void on_stop(void *ctx, const struct err *err)
{
    struct world *w = ctx;
    w->stopped = *err;
    loop_stop(w->loop);
}

static void own_all(struct world *w)
{
    uint32_t owned[WORLD_PARTITIONS_MAX];
    struct err err = {0};
    for (uint32_t p = 0; p < w->ready; p++) {
        owned[p] = p;
    }
    if (w->ready) {
        must(queue_assign(w->queue, TOPIC_READY, w->ready, owned, w->ready, &err), &err);
    }
}

static void open_all(struct world *w)
{
    struct err err = {0};
    struct queue_conf conf = {.dir = w->dir, .owner = true, .loop = w->loop};
    must(queue_open(&w->queue, &conf, &err), &err);
    own_all(w);
    struct scheduler_conf s = {.queue = w->queue,
                               .loop = w->loop,
                               .settings = &w->settings,
                               .keep = w->keep,
                               .needs_limit = w->needs_limit,
                               .on_event = on_event,
                               .on_stop = on_stop,
                               .ctx = w};
    memcpy(s.lanes, w->lanes, sizeof(s.lanes));
    must(scheduler_create(&w->scheduler, &s, &err), &err);
    must(scheduler_start(w->scheduler, &err), &err);
    worker_begin(w);
}

static void close_all(struct world *w)
{
    worker_end(w);
    w->scheduler = scheduler_destroy(w->scheduler);
    w->queue = queue_close(w->queue);
}

int world_setup(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    memset(w, 0, sizeof(*w));
    w->latency_ms = HOUR_MS;
    w->cost_share = 50;
    w->settings.flow_calls = 100000;
    snprintf(w->dir, sizeof(w->dir), "/dev/shm/offpeak-world-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    must(price_book_parse(&w->prices, SPAN_LIT(TEST_BOOK), "test", &err), &err);
    struct price_pool pool = {
        .price = "1/1/1", .context_tokens = 100000, .output_tokens_max = 1000};
    must(price_book_pool(&w->pool_prices, &pool, &err), &err);
    w->lanes[LANE_BATCH] = w->lanes[LANE_SYNC] =
        (struct scheduler_lane){.prices = w->prices,
                                .provider = "openai",
                                .endpoint = WORLD_ORIGIN,
                                .calls = true};
    w->lanes[LANE_POOL] = (struct scheduler_lane){.prices = w->pool_prices,
                                                  .provider = PROVIDER_POOL,
                                                  .endpoint = WORLD_POOL,
                                                  .calls = true};
    must(loop_create(&w->loop, clock_simulated(WORLD_START_MS), &err), &err);
    open_all(w);
    return 0;
}

void world_restart(struct world *w)
{
    close_all(w);
    open_all(w);
}

int world_teardown(void **state)
{
    struct world *w = *state;
    close_all(w);
    loop_destroy(w->loop);
    price_book_free(w->pool_prices);
    price_book_free(w->prices);
    folder_remove(w->dir);
    return 0;
}

static void time_is_up(void *ctx)
{
    loop_stop(ctx);
}

void world_pass(struct world *w, int64_t ms)
{
    struct loop_timer *until;
    assert_int_equal(loop_timer_create(w->loop, time_is_up, w->loop, &until), 0);
    loop_timer_start(until, ms);
    loop_run(w->loop);
    loop_timer_destroy(until);
    if (w->stopped.msg[0]) {
        fail_msg("the scheduler stopped: %s", w->stopped.msg);
    }
}

/* ---- what is given ---- */

static struct queue_tx *begin(struct world *w)
{
    struct queue_tx *tx;
    assert_int_equal(queue_begin(w->queue, &tx), 0);
    return tx;
}

static void on_given(void *ctx, uint64_t number, const struct err *err)
{
    (void)ctx;
    (void)number;
    assert_null(err);
}

/* Stored before any time passes: a commit under way holds the simulated clock. */
static void commit(struct queue_tx *tx)
{
    queue_commit(tx, on_given, NULL);
}

/* A line whose bound is exactly `bound` tokens: the output limit fills it up. */
static void job_line(struct buf *line, unsigned n, unsigned bound)
{
    char body[400];
    struct prompt p;
    struct err err = {0};
    for (unsigned limit = bound;;) {
        snprintf(body, sizeof(body),
                 "{\"model\":\"m\",\"max_tokens\":%04u,\"messages\":[{\"role\":\"user\","
                 "\"content\":\"question %u\"}]}",
                 limit, n);
        /* JSON knows no leading zeros: they become spaces, so the length stays the same. */
        char *digits = strstr(body, "max_tokens\":") + strlen("max_tokens\":");
        for (; *digits == '0' && digits[1] >= '0' && digits[1] <= '9'; digits++) {
            *digits = ' ';
        }
        must(prompt_read(PROMPT_CHAT, span_str(body), PROMPT_L1, &p, &err), &err);
        uint64_t total = prompt_tokens_bound(&p) + p.output_limit;
        if (total == bound) {
            break;
        }
        assert_true(total > bound && limit >= total - bound);
        limit -= (unsigned)(total - bound);
    }
    buf_addf(
        line,
        "{\"custom_id\":\"c%u\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\","
        "\"body\":%s}",
        n, body);
}

void world_submit(struct world *w, const char *queue, const char *run, unsigned first,
                  unsigned last, unsigned bound)
{
    char topic[QUEUE_NAME_MAX];
    const struct run_row row = {.spread = w->jobs > 1, .partitions = w->jobs};
    struct err err = {0};
    struct queue_tx *tx = begin(w);
    snprintf(topic, sizeof(topic), "jobs.%s", queue);
    for (unsigned n = first; n <= last; n++) {
        _cleanup_(buf_fini) struct buf block, line;
        struct job_head head = {.line = n};
        snprintf(head.run, sizeof(head.run), "%s", run);
        buf_init(&block, HEADERS_BYTES_MAX);
        buf_init(&line, 4096);
        must(job_head_encode(&head, &block), &err);
        job_line(&line, n, bound);
        must(queue_put(tx, QUEUE_TO(topic, run_partition(&row, n), SPAN_NONE),
                       buf_span(&block), buf_span(&line), &err),
             &err);
    }
    commit(tx);
}

static void put_row(struct world *w, const char *queue, const char *run,
                    const struct run_row *row)
{
    _cleanup_(buf_fini) struct buf json;
    char topic[QUEUE_NAME_MAX], table[QUEUE_NAME_MAX], key[QUEUE_KEY_MAX];
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    struct err err = {0};
    struct queue_tx *tx = begin(w);
    snprintf(topic, sizeof(topic), "jobs.%s", queue);
    must(topic_jobs_parse(topic, team, feature), &err);
    table_runs(team, table);
    run_key(feature, run, key);
    buf_init(&json, 8192);
    must(run_row_encode(row, &json), &err);
    must(queue_table_put(tx, table, 0, span_str(key), buf_span(&json), &err), &err);
    commit(tx);
}

void world_run_row(struct world *w, const char *queue, const char *run, unsigned lines,
                   unsigned max_cost)
{
    struct run_row row = {.level = PROMPT_L1, .lines = lines, .complete = true};
    snprintf(row.reuse, sizeof(row.reuse), "always");
    row.has_max_cost = max_cost > 0;
    row.max_cost = usd_from_pico(max_cost * MICRO);
    put_row(w, queue, run, &row);
}

void world_lane_row(struct world *w, const char *queue, const char *run, unsigned lines,
                    enum lane lane, const char *endpoint)
{
    struct run_row row = {
        .level = PROMPT_L1, .lines = lines, .complete = true, .lane = lane};
    snprintf(row.reuse, sizeof(row.reuse), "always");
    snprintf(row.endpoint, sizeof(row.endpoint), "%s", endpoint);
    put_row(w, queue, run, &row);
}

void world_budget(struct world *w, const char *scope, unsigned edit,
                  struct world_limits limits)
{
    _cleanup_(buf_fini) struct buf json;
    char key[QUEUE_KEY_MAX];
    struct err err = {0};
    struct budget_edit b = {.edit = edit, .paused = limits.paused};
    struct queue_tx *tx = begin(w);
    snprintf(b.scope, sizeof(b.scope), "%s", scope);
    b.has_day = limits.day > 0;
    b.day = usd_from_pico(limits.day * MICRO);
    b.has_month = limits.month > 0;
    b.month = usd_from_pico(limits.month * MICRO);
    b.has_total = limits.total > 0;
    b.total = usd_from_pico(limits.total * MICRO);
    budget_key(scope, edit, key);
    buf_init(&json, 4096);
    must(budget_edit_encode(&b, &json), &err);
    must(queue_table_put(tx, TABLE_BUDGETS, 0, span_str(key), buf_span(&json), &err),
         &err);
    commit(tx);
}

/* ---- folding ---- */

static bool in_scope(const char *scope, const char *team, const char *feature)
{
    char both[TEAM_MAX + FEATURE_MAX + 2];
    snprintf(both, sizeof(both), "%s/%s", team, feature);
    return strcmp(scope, team) == 0 || strcmp(scope, both) == 0;
}

/* What a job has reserved still. */
struct held {
    char job[JOB_ID_MAX];
    int64_t left; /* pico-dollars */
};

struct folding {
    struct fold fold;
    struct held *held;
    size_t held_n;
    const char *scope;
    struct queue_cursor *spend;
    struct queue_msg next; /* the spend record that comes next */
    bool has_next;
};

static void next_spend(struct folding *f)
{
    struct err err = {0};
    f->has_next = queue_read(f->spend, &f->next, &err) > 0;
}

static struct held *held_by(struct folding *f, const char *job)
{
    for (size_t i = 0; i < f->held_n; i++) {
        if (strcmp(f->held[i].job, job) == 0) {
            return &f->held[i];
        }
    }
    return NULL;
}

static void settle_one(struct folding *f, const struct spend_head *h)
{
    struct held *held = held_by(f, h->job);
    if (!held || !in_scope(f->scope, h->team, h->feature)) {
        return;
    }
    int64_t freed = h->final ? held->left : usd_pico(h->cost);
    held->left -= freed;
    f->fold.reserved_pico -= freed;
    f->fold.settled += h->final;
    if (h->kind == SPEND_IN_DOUBT) {
        f->fold.in_doubt_pico += usd_pico(h->cost);
    } else {
        f->fold.spent_pico += usd_pico(h->cost);
    }
}

/* Settlements that the scheduler had applied before it made a release. */
static void settle_before(struct folding *f, uint64_t offset)
{
    struct spend_head h;
    while (f->has_next && f->next.at.offset < offset) {
        assert_int_equal(spend_head_decode(f->next.headers, &h), 0);
        settle_one(f, &h);
        next_spend(f);
    }
}

static void hold(struct folding *f, const struct release *r)
{
    f->held = realloc(f->held, (f->held_n + 1) * sizeof(*f->held));
    assert_non_null(f->held);
    struct held *held = &f->held[f->held_n++];
    snprintf(held->job, sizeof(held->job), "%s", r->job);
    held->left = usd_pico(r->reserved);
    f->fold.reserved_pico += held->left;
}

static void fold_release(struct folding *f, const struct release *r)
{
    switch (r->verdict) {
    case VERDICT_RUN:
        f->fold.released++;
        hold(f, r);
        break;
    case VERDICT_REJECTED: f->fold.rejected++; break;
    case VERDICT_CANCELLED: f->fold.cancelled++; break;
    case VERDICT_FLUSH: break;
    }
    int64_t now = f->fold.spent_pico + f->fold.in_doubt_pico + f->fold.reserved_pico;
    f->fold.peak_pico = MAX_OF(f->fold.peak_pico, now);
}

struct fold world_fold(struct world *w, const char *scope)
{
    struct folding f = {.scope = scope};
    struct queue_cursor *ready;
    struct queue_msg msg;
    struct release r;
    struct err err = {0};
    must(queue_cursor_open(w->queue, &ready, &err), &err);
    must(queue_cursor_open(w->queue, &f.spend, &err), &err);
    queue_read_topic(ready, TOPIC_READY, 0, 0);
    queue_read_topic(f.spend, TOPIC_SPEND, 0, 0);
    next_spend(&f);
    while (queue_read(ready, &msg, &err) > 0) {
        must(release_decode(msg.headers, &r), &err);
        f.fold.flushes += r.verdict == VERDICT_FLUSH;
        if (r.verdict != VERDICT_FLUSH && in_scope(scope, r.team, r.feature)) {
            settle_before(&f, r.seen_spend);
            fold_release(&f, &r);
        }
    }
    settle_before(&f, UINT64_MAX);
    free(f.held);
    queue_cursor_close(f.spend);
    queue_cursor_close(ready);
    return f.fold;
}

struct gate world_gate(const struct world *w, const char *team, const char *feature)
{
    struct gate g;
    scheduler_gate(w->scheduler, team, feature, &g);
    return g;
}
