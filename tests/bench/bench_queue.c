/*
 * bench_queue - how many records per second the embedded queue stores, passes on and reads.
 *
 *     bench_queue FOLDER [RECORDS [BYTES]]
 *
 * Three passes over RECORDS (1,000,000) records of BYTES (2,000): put them; feed on them and,
 * in one commit per slice as the scheduler does, forward and acknowledge each; feed on the
 * references and, as the worker does, put a result, a spend record and an acknowledgement for
 * each. Then it trims what is done. FOLDER must not exist; it is left for a look inside.
 */
#include "core/clock.h"
#include "core/loop.h"
#include "core/queue.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define SLICE        900
#define IN_FLIGHT    2
#define HEADER_BYTES 500 /* what admission derives */

struct bench {
    struct queue *q;
    struct loop *loop;
    struct queue_feed *feed;
    struct err err;
    uint64_t want, done, begun;
    size_t bytes;
    int in_flight;
    int (*fill)(struct bench *b, struct queue_tx *tx); /* records added, 0 at the end */
};

static char payload[1 << 20];
static char header[HEADER_BYTES];

static int ok(struct bench *b, int r)
{
    if (r < 0) {
        (void)fprintf(stderr, "%s\nhint: %s\n", b->err.msg, b->err.hint);
        exit(1);
    }
    return r;
}

static int fill_put(struct bench *b, struct queue_tx *tx)
{
    int n = 0;
    for (; n < SLICE && b->begun < b->want && !queue_tx_full(tx, b->bytes); n++) {
        int len = snprintf(payload, 32, "{\"custom_id\":\"%llu\"",
                           (unsigned long long)b->begun++);
        payload[len] = ',';
        ok(b, queue_put(tx, QUEUE_TO("jobs.bench.bench", 0, SPAN_NONE), SPAN_NONE,
                        span_of(payload, b->bytes), &b->err));
    }
    return n;
}

static int fill_forward(struct bench *b, struct queue_tx *tx)
{
    struct queue_msg m;
    int n = 0;
    for (; n < SLICE && ok(b, queue_next(b->feed, &m, &b->err)); n++) {
        ok(b, queue_forward(tx, QUEUE_TO("ready", 0, span_of(header, 32)),
                            span_of(header, HEADER_BYTES), &m.at, &b->err));
        ok(b, queue_ack(tx, &m.at, &b->err));
    }
    b->begun += (uint64_t)n;
    return n;
}

static int fill_settle(struct bench *b, struct queue_tx *tx)
{
    struct queue_msg m;
    int n = 0;
    for (; n < SLICE / 2 && ok(b, queue_next(b->feed, &m, &b->err)); n++) {
        ok(b, queue_put(tx, QUEUE_TO("results.bench", 0, m.key), SPAN_NONE,
                        span_of(payload, 600), &b->err));
        ok(b, queue_put(tx, QUEUE_TO("spend", 0, SPAN_NONE), SPAN_NONE,
                        span_of(payload, 500), &b->err));
        ok(b, queue_ack(tx, &m.at, &b->err));
    }
    b->begun += (uint64_t)n;
    return n;
}

static void on_commit(void *ctx, uint64_t number, const struct err *err);

static void pump(struct bench *b)
{
    while (b->in_flight < IN_FLIGHT) {
        struct queue_tx *tx = NULL;
        ok(b, queue_begin(b->q, &tx));
        if (b->fill(b, tx) == 0) {
            queue_tx_drop(tx);
            break;
        }
        b->in_flight++;
        queue_commit(tx, on_commit, b);
    }
    if (b->in_flight == 0) {
        loop_stop(b->loop);
    }
}

static void on_commit(void *ctx, uint64_t number, const struct err *err)
{
    struct bench *b = ctx;
    (void)number;
    if (err) {
        b->err = *err;
        ok(b, -1);
    }
    b->in_flight--;
    pump(b);
}

static void pass(struct bench *b, const char *name, const char *feed,
                 int (*fill)(struct bench *b, struct queue_tx *tx))
{
    const struct clock real = clock_real();
    int64_t begin = clock_mono_ms(&real);
    struct queue_cursor *c = NULL;
    struct rusage use;
    uint64_t used = 0;
    b->begun = 0;
    b->fill = fill;
    if (feed) {
        ok(b, queue_feed_open(b->q, feed, &b->feed, &b->err));
    }
    pump(b);
    loop_run(b->loop);
    b->feed = queue_feed_close(b->feed);
    int64_t ms = MAX_OF(clock_mono_ms(&real) - begin, 1);
    ok(b, queue_cursor_open(b->q, &c, &b->err));
    ok(b, queue_used_bytes(c, &used, &b->err));
    queue_cursor_close(c);
    (void)getrusage(RUSAGE_SELF, &use);
    (void)printf(
        "%-22s %9llu records %7.1f s %9.0f records/s  store %6.2f GiB  rss %ld MiB\n",
        name, (unsigned long long)b->begun, (double)ms / 1000,
        (double)b->begun * 1000 / (double)ms, (double)used / (1 << 30),
        use.ru_maxrss / 1024);
}

static int fill_trim(struct bench *b, struct queue_tx *tx)
{
    static const char *const topics[] = {"jobs.bench.bench", "ready"};
    struct queue_cursor *c = NULL;
    uint64_t first = 0, end = 0, before = b->begun;
    ok(b, queue_cursor_open(b->q, &c, &b->err));
    for (size_t i = 0; i < ARRAY_LEN(topics) && b->in_flight == 0; i++) {
        ok(b, queue_bounds(c, topics[i], 0, &first, &end, &b->err));
        if (first < end) {
            ok(b, queue_trim(tx, topics[i], 0, end, &b->err));
            b->begun += MIN_OF(end - first, (uint64_t)QUEUE_TRIM_RECORDS);
            break;
        }
    }
    queue_cursor_close(c);
    return (int)(b->begun - before);
}

static void read_all(struct bench *b, const char *topic)
{
    const struct clock real = clock_real();
    int64_t begin = clock_mono_ms(&real);
    struct queue_cursor *c = NULL;
    struct queue_msg m;
    uint64_t n = 0;
    ok(b, queue_cursor_open(b->q, &c, &b->err));
    ok(b, queue_read_topic(c, topic, 0, 0));
    while (ok(b, queue_read(c, &m, &b->err))) {
        n++;
    }
    queue_cursor_close(c);
    int64_t ms = MAX_OF(clock_mono_ms(&real) - begin, 1);
    (void)printf("read %-17s %9llu records %7.1f s %9.0f records/s\n", topic,
                 (unsigned long long)n, (double)ms / 1000, (double)n * 1000 / (double)ms);
}

int main(int argc, char **argv)
{
    struct bench b = {.want = 1000000, .bytes = 2000};
    if (argc < 2) {
        (void)fprintf(stderr, "usage: bench_queue FOLDER [RECORDS [BYTES]]\n");
        return ERR_USAGE;
    }
    b.want = argc > 2 ? strtoull(argv[2], NULL, 10) : b.want;
    b.bytes = argc > 3 ? strtoull(argv[3], NULL, 10) : b.bytes;
    if (b.bytes < 64 || b.bytes > sizeof(payload)) {
        (void)fprintf(stderr, "BYTES must be 64 to %zu\n", sizeof(payload));
        return ERR_USAGE;
    }
    memset(payload, 'x', sizeof(payload));
    memset(header, 'h', sizeof(header));
    ok(&b, loop_create(&b.loop, clock_real(), &b.err));
    const struct queue_conf conf = {.dir = argv[1], .owner = true, .loop = b.loop};
    ok(&b, queue_open(&b.q, &conf, &b.err));
    pass(&b, "put", NULL, fill_put);
    read_all(&b, "jobs.bench.bench");
    pass(&b, "feed, forward, ack", "jobs.", fill_forward);
    read_all(&b, "ready");
    pass(&b, "feed, settle, ack", "ready", fill_settle);
    pass(&b, "trim", NULL, fill_trim);
    b.q = queue_close(b.q);
    b.loop = loop_destroy(b.loop);
    return 0;
}
