#include "tests/unit/night.h"
#include "tests/lib/folder.h"

#include "worker/answers.h"
#include "worker/lane_batch.h"
#include "worker/lane_direct.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void ok(int rc, const struct err *err)
{
    if (rc < 0) {
        fail_msg("%s (hint: %s)", err->msg, err->hint);
    }
}

/* ---- what settle says ---- */

static void on_room(void *ctx)
{
    struct night *n = ctx;
    n->rooms++;
    if (n->lane) {
        lane_batch_on_settle_room(n->lane);
    }
    if (n->direct) {
        lane_direct_on_settle_room(n->direct);
    }
}

static void on_committed(void *ctx, struct call *c)
{
    struct night *n = ctx;
    n->committed++;
    if (n->lane) {
        lane_batch_on_committed(n->lane, c);
    }
    if (n->direct) {
        lane_direct_on_committed(n->direct, c);
    }
}

static void on_replan(void *ctx, struct call *c)
{
    struct night *n = ctx;
    assert_in_range(n->replanned_n, 0, 15);
    n->replanned[n->replanned_n++] = c;
}

static void on_failed(void *ctx, const struct err *err)
{
    struct night *n = ctx;
    n->stops++;
    n->stop = *err;
}

/* ---- life ---- */

static void assign(struct night *n)
{
    static const char *const spread[] = {TOPIC_READY, TABLE_ANSWERS, TABLE_BATCHES};
    struct err err = {0};
    for (size_t i = 0; n->partitions && i < ARRAY_LEN(spread); i++) {
        ok(queue_assign(n->queue, spread[i], n->partitions, n->owned, n->owned_n, &err),
           &err);
    }
}

static void wake_up(struct night *n)
{
    struct err err = {0};
    const struct queue_conf conf = {.dir = n->dir, .owner = true, .loop = n->loop};
    ok(queue_open(&n->queue, &conf, &err), &err);
    assign(n);
    ok(queue_feed_open(n->queue, TOPIC_READY, &n->feed, &err), &err);
    ok(queue_cursor_open(n->queue, &n->cursor, &err), &err);
    ok(call_table_create(&n->calls, &err), &err);
    const struct settle_conf settle = {
        .queue = n->queue,
        .feed = n->feed,
        .loop = n->loop,
        .calls = n->calls,
        .prices = n->prices,
        .provider = "openai",
        .account = "acc0",
        .cache_ttl_ms = 3600000,
        .on_room = on_room,
        .on_committed = on_committed,
        .on_replan = on_replan,
        .on_failed = on_failed,
        .ctx = n,
    };
    ok(settle_create(&n->settle, &settle, &err), &err);
}

static void fall_asleep(struct night *n)
{
    n->settle = settle_destroy(n->settle);
    n->calls = call_table_destroy(n->calls);
    n->cursor = queue_cursor_close(n->cursor);
    n->feed = queue_feed_close(n->feed);
    n->queue = queue_close(n->queue);
}

int night_falls(void **state)
{
    struct err err = {0};
    struct night *n = calloc(1, sizeof(*n));
    assert_non_null(n);
    (void)snprintf(n->dir, sizeof(n->dir), "/tmp/offpeak-night-XXXXXX");
    assert_non_null(mkdtemp(n->dir));
    ok(loop_create(&n->loop, clock_simulated(NIGHT_START_MS), &err), &err);
    ok(price_book_parse(&n->prices, SPAN_LIT(NIGHT_BOOK), "book", &err), &err);
    wake_up(n);
    *state = n;
    return 0;
}

int night_ends(void **state)
{
    struct night *n = *state;
    fall_asleep(n);
    price_book_free(n->prices);
    loop_destroy(n->loop);
    folder_remove(n->dir);
    free(n);
    return 0;
}

void night_crash(struct night *n)
{
    fall_asleep(n);
    wake_up(n);
}

void night_owns(struct night *n, uint32_t partitions, const uint32_t *owned,
                uint32_t owned_n)
{
    assert_in_range(owned_n, 0, NIGHT_PARTITIONS_MAX);
    fall_asleep(n);
    n->partitions = partitions;
    n->owned_n = owned_n;
    memcpy(n->owned, owned, owned_n * sizeof(*owned));
    wake_up(n);
}

/* ---- releasing ---- */

static uint64_t end_of(struct night *n, const char *topic, uint32_t partition)
{
    struct err err = {0};
    uint64_t first = 0, end = 0;
    ok(queue_bounds(n->cursor, topic, partition, &first, &end, &err), &err);
    return end;
}

static void commit(struct queue_tx *tx)
{
    struct err err = {0};
    uint64_t number;
    ok(queue_commit_wait(tx, &number, &err), &err);
}

/* {"custom_id":"job-N","body":{"q":"..."}} on jobs.shop.tags */
static void submit(struct night *n, const struct asked *a, uint64_t at, struct release *r)
{
    struct err err = {0};
    struct queue_tx *tx = NULL;
    _cleanup_(buf_fini) struct buf line;
    buf_init(&line, (size_t)80 << 20);
    buf_adds(&line, "{\"custom_id\":");
    r->id_at = (uint32_t)line.n;
    buf_addf(&line, "\"job-%llu\"", (unsigned long long)at);
    r->id_len = (uint32_t)line.n - r->id_at;
    buf_adds(&line, ",\"body\":");
    r->body_at = (uint32_t)line.n;
    buf_addf(&line, "{\"q\":\"%s\"}", a->question ? a->question : "");
    r->body_len = (uint32_t)line.n - r->body_at;
    while (line.n < a->line_bytes) {
        buf_addc(&line, ' ');
    }
    buf_addc(&line, '}');
    ok(queue_begin(n->queue, &tx), &err);
    ok(queue_put(tx, QUEUE_TO("jobs.shop.tags", 0, SPAN_NONE), SPAN_NONE, buf_span(&line),
                 &err),
       &err);
    commit(tx);
}

static void describe(struct night *n, const struct asked *a, struct release *r)
{
    r->verdict = a->verdict;
    (void)snprintf(r->why, sizeof(r->why), "%s", a->why ? a->why : "");
    (void)snprintf(r->run, sizeof(r->run), "%s", a->run ? a->run : "monday");
    (void)snprintf(r->model, sizeof(r->model), "%s", a->model ? a->model : "gpt-test");
    (void)snprintf(r->team, sizeof(r->team), "shop");
    (void)snprintf(r->feature, sizeof(r->feature), "tags");
    (void)snprintf(r->path, sizeof(r->path), "/v1/chat/completions");
    (void)snprintf(r->prices, sizeof(r->prices), "%s", price_book_version(n->prices));
    clock_day(loop_wall_ms(n->loop), r->day);
    r->attempt = 1;
    r->line = 1;
    r->key = hash_of(span_str(a->question ? a->question : ""));
    r->chain[0] = (struct prompt_link){.hash = a->group ? a->group : hash_u64(r->key),
                                       .bytes = 100};
    r->chain_len = 1;
    r->lane = a->lane;
    r->tries = a->tries ? a->tries : 1;
    r->reserved = usd_from_pico(1000000000 * (int64_t)r->tries); /* 0.001 a try */
    r->input_bound = 200;
    r->output_bound = 20;
    r->inputs = a->inputs;
    r->reusable = !a->not_reusable;
    r->fresh = a->fresh;
    r->fresh_ms = a->fresh_ms;
}

static uint64_t forward(struct night *n, const struct release *r, uint32_t partition,
                        uint64_t job)
{
    struct err err = {0};
    struct queue_tx *tx = NULL;
    struct queue_at at = {.topic = "jobs.shop.tags", .offset = job};
    uint64_t place = place_of(partition, end_of(n, TOPIC_READY, partition));
    _cleanup_(buf_fini) struct buf head;
    buf_init(&head, RELEASE_BYTES_MAX);
    ok(release_encode(r, &head, &err), &err);
    ok(queue_begin(n->queue, &tx), &err);
    if (r->verdict == VERDICT_FLUSH) {
        ok(queue_put(tx, QUEUE_TO(TOPIC_READY, partition, SPAN_NONE), buf_span(&head),
                     SPAN_NONE, &err),
           &err);
    } else {
        ok(queue_forward(tx, QUEUE_TO(TOPIC_READY, partition, SPAN_NONE), buf_span(&head),
                         &at, &err),
           &err);
        ok(queue_ack(tx, &at, &err), &err);
    }
    commit(tx);
    return place;
}

uint64_t release_job(struct night *n, const struct asked *a)
{
    struct err err = {0};
    struct release r = {0};
    struct queue_msg msg;
    struct queue_at at = {.topic = "jobs.shop.tags",
                          .offset = end_of(n, "jobs.shop.tags", 0)};
    uint64_t place = place_of(a->partition, end_of(n, TOPIC_READY, a->partition));
    submit(n, a, place, &r);
    ok(queue_fetch(n->cursor, &at, &msg, &err), &err);
    job_id_format(&msg, r.job);
    describe(n, a, &r);
    return forward(n, &r, a->partition, at.offset);
}

uint64_t release_again(struct night *n, uint64_t at)
{
    struct release r;
    struct queue_at job;
    release_of(n, at, &r);
    assert_int_equal(job_id_place(span_str(r.job), &job), 0);
    return forward(n, &r, place_partition(at), job.offset);
}

void release_flush(struct night *n, uint32_t partition)
{
    struct release r = {.verdict = VERDICT_FLUSH};
    forward(n, &r, partition, 0);
}

static bool fetch(struct night *n, uint64_t place, struct queue_msg *ret)
{
    struct err err = {0};
    const struct queue_at at = place_at(place);
    int rc = queue_fetch(n->cursor, &at, ret, &err);
    ok(rc, &err);
    return rc > 0;
}

void release_of(struct night *n, uint64_t at, struct release *ret)
{
    struct queue_msg msg;
    assert_true(fetch(n, at, &msg));
    assert_int_equal(release_decode(msg.headers, ret), 0);
}

struct call *call_for(struct night *n, uint64_t at)
{
    struct release r;
    release_of(n, at, &r);
    struct call *c = call_new(n->calls, &r, at);
    assert_non_null(c);
    return c;
}

struct answer answer_saying(const char *body)
{
    return (struct answer){.http_status = 200,
                           .body = span_str(body),
                           .request_id = "req_1",
                           .model_used = "gpt-test-2026-01-01",
                           .usage_known = true,
                           .usage = {.input = 100, .output = 10},
                           .complete = true};
}

/* ---- reading ---- */

char *result_of(struct night *n, uint64_t at)
{
    struct err err = {0};
    struct queue_msg msg;
    struct release r;
    char *found = NULL;
    release_of(n, at, &r);
    queue_read_topic(n->cursor, "results.shop", 0, 0);
    while (queue_read(n->cursor, &msg, &err) > 0) {
        if (span_is(msg.key, r.job)) {
            free(found);
            found = strndup(msg.value.p, msg.value.n);
        }
    }
    return found;
}

bool has_result(struct night *n, uint64_t at)
{
    char *result = result_of(n, at);
    bool is_there = result != NULL;
    free(result);
    return is_there;
}

uint64_t count_records(struct night *n, const char *topic)
{
    struct err err = {0};
    struct queue_msg msg;
    uint64_t count = 0;
    queue_read_topic(n->cursor, topic, 0, 0);
    while (queue_read(n->cursor, &msg, &err) > 0) {
        count++;
    }
    return count;
}

size_t spend_heads(struct night *n, struct spend_head *ret, size_t max)
{
    struct err err = {0};
    struct queue_msg msg;
    size_t count = 0;
    queue_read_topic(n->cursor, TOPIC_SPEND, 0, 0);
    while (queue_read(n->cursor, &msg, &err) > 0) {
        assert_true(count < max);
        assert_int_equal(spend_head_decode(msg.headers, &ret[count++]), 0);
    }
    return count;
}

bool is_acked(struct night *n, uint64_t at)
{
    struct err err = {0};
    struct queue_feed *feed = NULL;
    struct queue_msg msg;
    bool unacked = false;
    ok(queue_feed_open(n->queue, TOPIC_READY, &feed, &err), &err);
    while (queue_next(feed, &msg, &err) > 0) {
        unacked = unacked || place_of(msg.at.partition, msg.at.offset) == at;
    }
    queue_feed_close(feed);
    return !unacked;
}

bool has_answer(struct night *n, uint64_t at)
{
    struct err err = {0};
    struct queue_msg row;
    struct release r;
    release_of(n, at, &r);
    return queue_table_get(n->cursor, TABLE_ANSWERS, place_partition(at),
                           span_of(r.key.b, sizeof(r.key.b)), &row, &err) > 0;
}

void assert_has(const char *text, const char *part)
{
    if (!text || !strstr(text, part)) {
        fail_msg("'%s' is not in: %s", part, text ? text : "(nothing)");
    }
}

void assert_result(struct night *n, uint64_t at, const char *part)
{
    char *result = result_of(n, at);
    assert_has(result, part);
    free(result);
}
