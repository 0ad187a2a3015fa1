/* The engines, the world a test lives in, and the program that tries every promise on each. */
#include "tests/contract/contract.h"
#include "tests/lib/beside.h"
#include "tests/lib/folder.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct engine engines[] = {
    {"lmdb", false, QUEUE_VALUE_MAX, 1000, 200, 6000, 40},
    {"kafka", true, (size_t)8 << 20, 12, 20, 500, 4},
};

/* ---- the world ---- */

/* One promise on one engine. */
struct trial {
    const struct engine *engine;
    const struct promise *promise;
};

static int set_up(void **state)
{
    const struct trial *trial = *state;
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->engine = trial->engine;
    w->promise = trial->promise;
    (void)snprintf(w->base, sizeof(w->base), "/tmp/offpeak-contract-XXXXXX");
    assert_non_null(mkdtemp(w->base));
    (void)snprintf(w->dir, sizeof(w->dir), "%s/data", w->base);
    (void)snprintf(w->prefix, sizeof(w->prefix), "c%s.", w->base + strlen(w->base) - 6);
    w->role = QUEUE_WHOLE;
    w->session_ms = 6000;
    *state = w;
    return 0;
}

static void run(void **state)
{
    struct world *w = *state;
    if (w->engine->broker && w->promise->not_on_broker) {
        print_message("not on a broker: %s\n", w->promise->not_on_broker);
        w->finished = true;
        skip();
    }
    w->promise->test(state);
    w->finished = true;
}

/* A test that failed half way leaves its feeds and cursors open: its queue cannot be closed. */
static int tear_down(void **state)
{
    struct world *w = *state;
    if (w->finished) {
        w->q = queue_close(w->q);
        w->loop = loop_destroy(w->loop);
    }
    if (w->engine->broker && !w->promise->not_on_broker) {
        beside_remove_topics(getenv("OFFPEAK_BROKERS"), w->prefix);
    }
    folder_remove(w->base);
    for (size_t i = 0; i < w->n_topics; i++) {
        free(w->topics[i].offsets);
    }
    free(w);
    return 0;
}

int ok_at(struct world *w, int r, const char *file, int line)
{
    if (r < 0) {
        print_error("%s:%d: %s (hint: %s)\n", file, line, w->err.msg, w->err.hint);
        fail();
    }
    return r;
}

void make_loop(struct world *w, struct clock clock)
{
    OK(w, loop_create(&w->loop, clock, &w->err));
}

/* ---- opening ---- */

static void on_owner(void *ctx, enum queue_ownership what, const struct err *err)
{
    struct world *w = ctx;
    w->ready += what == QUEUE_READY;
    w->lost += what == QUEUE_LOST;
    if (what == QUEUE_NOT_YET) {
        print_message("%s\n", err ? err->msg : "fine again");
        w->trouble = err ? *err : (struct err){0};
    }
    loop_stop(w->loop);
}

int try_open(struct world *w, struct queue **ret, bool owner)
{
    const struct queue_broker broker = {.brokers = getenv("OFFPEAK_BROKERS"),
                                        .prefix = w->prefix,
                                        .instance = w->instance[0] ? w->instance : NULL,
                                        .role = owner ? w->role : QUEUE_READER,
                                        .session_ms = w->session_ms,
                                        .on_owner = w->loop ? on_owner : NULL,
                                        .ctx = w};
    const struct queue_conf conf = {.dir = owner || !w->engine->broker ? w->dir : w->base,
                                    .broker = w->engine->broker ? &broker : NULL,
                                    .owner = owner,
                                    .loop = w->loop,
                                    .max_bytes = w->max_bytes};
    return queue_open(ret, &conf, &w->err);
}

static void on_late_owner(void *ctx)
{
    struct world *w = ctx;
    w->late = true;
    loop_stop(w->loop);
}

#define OWNER_MS 60000

void wait_ready(struct world *w)
{
    struct loop_timer *late = NULL;
    if (w->loop) {
        OK(w, loop_timer_create(w->loop, on_late_owner, w, &late));
        loop_timer_start(late, OWNER_MS);
        while (!w->late && queue_ownership(w->q, &w->err) != QUEUE_READY) {
            loop_run(w->loop);
        }
        loop_timer_destroy(late);
        assert_int_equal(queue_ownership(w->q, &w->err), QUEUE_READY);
        return;
    }
    for (int i = 0; queue_ownership(w->q, &w->err) != QUEUE_READY; i++) {
        if (i > OWNER_MS / 5) {
            fail_msg("no ownership: %s", w->err.msg);
        }
        sleep_ms(5);
    }
}

void open_owner_later(struct world *w)
{
    OK(w, try_open(w, &w->q, true));
}

struct queue *open_owner(struct world *w)
{
    open_owner_later(w);
    if (w->engine->broker) {
        wait_ready(w);
    }
    return w->q;
}

struct queue *open_beside(struct world *w)
{
    OK(w, try_open(w, &w->q, false));
    return w->q;
}

void close_queue(struct world *w)
{
    w->q = queue_close(w->q);
}

struct queue *reopen_owner(struct world *w)
{
    close_queue(w);
    return open_owner(w);
}

/* ---- writing ---- */

struct queue_tx *begin(struct world *w)
{
    struct queue_tx *tx = NULL;
    OK(w, queue_begin(w->q, &tx));
    return tx;
}

/* ---- which record stands where ---- */

static struct learned *learned_of(struct world *w, const char *topic)
{
    for (size_t i = 0; i < w->n_topics; i++) {
        if (strcmp(w->topics[i].topic, topic) == 0) {
            return &w->topics[i];
        }
    }
    assert_true(w->n_topics < WORLD_TOPICS);
    struct learned *l = &w->topics[w->n_topics++];
    (void)snprintf(l->topic, sizeof(l->topic), "%s", topic);
    return l;
}

/* Reads on from the last one known, so nothing that is trimmed later is missed. */
static void learn(struct world *w, struct learned *l)
{
    struct queue_cursor *c = NULL;
    struct queue_msg m;
    OK(w, queue_cursor_open(w->q, &c, &w->err));
    OK(w, queue_read_topic(c, l->topic, 0, l->n ? l->offsets[l->n - 1] + 1 : 0));
    while (OK(w, queue_read(c, &m, &w->err))) {
        if (l->n == l->cap) {
            l->cap = l->cap ? 2 * l->cap : 64;
            l->offsets = realloc(l->offsets, l->cap * sizeof(*l->offsets));
            assert_non_null(l->offsets);
        }
        l->offsets[l->n++] = m.at.offset;
    }
    queue_cursor_close(c);
}

uint64_t nth(struct world *w, const char *topic, uint64_t n)
{
    if (!w->engine->broker || n > UINT64_MAX / 2) {
        return n;
    }
    struct learned *l = learned_of(w, topic);
    if (n >= l->n) {
        learn(w, l);
    }
    if (n < l->n) {
        return l->offsets[n];
    }
    return n - l->n + (l->n ? l->offsets[l->n - 1] + 1 : 0);
}

uint64_t index_of(struct world *w, const char *topic, uint64_t offset)
{
    if (!w->engine->broker) {
        return offset;
    }
    struct learned *l = learned_of(w, topic);
    if (l->n == 0 || l->offsets[l->n - 1] < offset) {
        learn(w, l);
    }
    size_t n = l->n;
    while (n > 0 && l->offsets[n - 1] >= offset) {
        n--;
    }
    return n;
}

uint64_t commit(struct world *w, struct queue_tx *tx)
{
    uint64_t number = 0;
    OK(w, queue_commit_wait(tx, &number, &w->err));
    for (size_t i = 0; i < w->n_topics; i++) {
        learn(w, &w->topics[i]);
    }
    return number;
}

void put(struct world *w, struct queue_tx *tx, const char *topic, const char *value)
{
    OK(w,
       queue_put(tx, QUEUE_TO(topic, 0, SPAN_NONE), SPAN_NONE, span_str(value), &w->err));
    if (w->engine->broker && !w->no_learning && w->n_topics < WORLD_TOPICS) {
        (void)learned_of(w, topic);
    }
}

uint64_t put_one(struct world *w, const char *topic, const char *value)
{
    struct queue_tx *tx = begin(w);
    put(w, tx, topic, value);
    return commit(w, tx);
}

void put_many(struct world *w, const char *topic, int n)
{
    struct queue_tx *tx = begin(w);
    for (int i = 0; i < n; i++) {
        char value[16];
        (void)snprintf(value, sizeof(value), "%d", i);
        if (queue_tx_full(tx, sizeof(value))) {
            commit(w, tx);
            tx = begin(w);
        }
        put(w, tx, topic, value);
    }
    commit(w, tx);
}

struct queue_at at_of(struct world *w, const char *topic, uint64_t n)
{
    struct queue_at at = {.offset = nth(w, topic, n)};
    (void)snprintf(at.topic, sizeof(at.topic), "%s", topic);
    return at;
}

void ack(struct world *w, struct queue_tx *tx, const char *topic, uint64_t offset)
{
    const struct queue_at at = at_of(w, topic, offset);
    OK(w, queue_ack(tx, &at, &w->err));
}

void ack_one(struct world *w, const char *topic, uint64_t offset)
{
    struct queue_tx *tx = begin(w);
    ack(w, tx, topic, offset);
    commit(w, tx);
}

/* ---- reading ---- */

struct queue_feed *feed_on(struct world *w, const char *pattern)
{
    struct queue_feed *f = NULL;
    OK(w, queue_feed_open(w->q, pattern, &f, &w->err));
    return f;
}

void expect_next(struct world *w, struct queue_feed *f, const char *topic,
                 uint64_t offset)
{
    struct queue_msg m;
    assert_int_equal(OK(w, queue_next(f, &m, &w->err)), 1);
    assert_string_equal(m.at.topic, topic);
    assert_int_equal(index_of(w, topic, m.at.offset), offset);
}

void expect_nothing(struct world *w, struct queue_feed *f)
{
    struct queue_msg m;
    assert_int_equal(OK(w, queue_next(f, &m, &w->err)), 0);
}

struct queue_cursor *cursor_on(struct world *w)
{
    struct queue_cursor *c = NULL;
    OK(w, queue_cursor_open(w->q, &c, &w->err));
    return c;
}

uint64_t end_of(struct world *w, const char *topic)
{
    uint64_t first = 0, end = 0;
    struct queue_cursor *c = cursor_on(w);
    OK(w, queue_bounds(c, topic, 0, &first, &end, &w->err));
    queue_cursor_close(c);
    return index_of(w, topic, end);
}

void see_end(struct world *w, const char *topic, uint64_t n)
{
    for (int i = 0; w->engine->broker && i < 6000 && end_of(w, topic) < n; i++) {
        sleep_ms(10);
    }
    assert_true(end_of(w, topic) >= n);
}

void wait_for_end(struct world *w, const char *topic, uint64_t n)
{
    see_end(w, topic, n);
    assert_int_equal(end_of(w, topic), n);
}

uint64_t first_of(struct world *w, const char *topic)
{
    uint64_t first = 0, end = 0;
    struct queue_cursor *c = cursor_on(w);
    OK(w, queue_bounds(c, topic, 0, &first, &end, &w->err));
    queue_cursor_close(c);
    return index_of(w, topic, first);
}

uint64_t low_of(struct world *w, struct queue_feed *f, const char *topic)
{
    uint64_t low = 0;
    assert_int_equal(queue_low(f, topic, 0, &low), 0);
    return index_of(w, topic, low);
}

void assert_span(struct span got, struct span want)
{
    assert_int_equal(got.n, want.n);
    if (want.n) {
        assert_memory_equal(got.p, want.p, want.n);
    }
}

void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part)) {
        fail_msg("'%s' is not in '%s'", part, text);
    }
}

/* ---- other processes ---- */

void sleep_ms(int ms)
{
    const struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    (void)nanosleep(&ts, NULL);
}

struct peer peer_start(struct world *w, const char *verb, ...)
{
    char *argv[16] = {(char *)(uintptr_t)CONTRACT_PEER, (char *)(uintptr_t)verb, w->dir};
    struct peer p;
    int in[2], out[2], n = 3;
    va_list args;
    va_start(args, verb);
    while ((argv[n] = va_arg(args, char *))) {
        assert_true(++n < (int)ARRAY_LEN(argv));
    }
    va_end(args);
    assert_int_equal(setenv("CONTRACT_PREFIX", w->engine->broker ? w->prefix : "", 1), 0);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, out[1], STDOUT_FILENO);
    assert_int_equal(posix_spawn(&p.pid, CONTRACT_PEER, &files, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&files);
    (void)close(in[0]);
    (void)close(out[1]);
    p.in = in[1];
    p.out = out[0];
    return p;
}

void peer_say(struct peer *p, const char *line)
{
    assert_int_equal(write(p->in, line, strlen(line)), strlen(line));
    assert_int_equal(write(p->in, "\n", 1), 1);
}

void peer_expect(struct peer *p, const char *line)
{
    char got[1024];
    size_t n = 0;
    while (n + 1 < sizeof(got) && read(p->out, got + n, 1) == 1 && got[n] != '\n') {
        n++;
    }
    got[n] = '\0';
    assert_has(got, line);
}

int peer_wait(struct peer *p)
{
    int status = 0;
    char rest[256];
    (void)close(p->in);
    while (read(p->out, rest, sizeof(rest)) >
           0) { /* it may still have something to say */
    }
    (void)close(p->out);
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void peer_kill(struct peer *p)
{
    assert_int_equal(kill(p->pid, SIGKILL), 0);
    (void)peer_wait(p);
}

/* ---- the program ---- */

#define PROMISES_MAX 128

static int run_or_list(const struct engine *engine, bool list)
{
    static const struct promise none[] = {{0}};
    const struct promise *const groups[] = {
        process_promises, /* who runs them side by side begins with those that wait longest */
        engine->broker ? broker_promises : disk_promises,
        engine->broker ? stranger_promises : none,
        feed_promises,
        write_promises,
        table_promises,
        model_promises,
    };
    struct CMUnitTest tests[PROMISES_MAX];
    struct trial trials[PROMISES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
        for (const struct promise *p = groups[i]; p->name; p++) {
            assert(n < PROMISES_MAX);
            trials[n] = (struct trial){engine, p};
            tests[n] = (struct CMUnitTest){p->name, run, set_up, tear_down, &trials[n]};
            n++;
        }
    }
    for (size_t i = 0; list && i < n; i++) {
        (void)puts(tests[i].name);
    }
    return list ? 0 : _cmocka_run_group_tests(engine->name, tests, n, NULL, NULL);
}

/* test_queue_contract ENGINE [PROMISE | --list]; kafka: OFFPEAK_BROKERS says where it is. */
int main(int argc, char **argv)
{
    const bool list = argc > 2 && strcmp(argv[2], "--list") == 0;
    if (argc > 2 && !list) {
        cmocka_set_test_filter(argv[2]);
    }
    for (size_t i = 0; i < ARRAY_LEN(engines) && argc > 1; i++) {
        if (strcmp(engines[i].name, argv[1]) == 0) {
            return run_or_list(&engines[i], list);
        }
    }
    (void)fprintf(stderr, "usage: test_queue_contract lmdb|kafka [PROMISE | --list]\n");
    return 2;
}
