/* The engines, the world a test lives in, and the program that tries every promise on each. */
#include "tests/contract/contract.h"
#include "tests/lib/folder.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct engine engines[] = {{"lmdb", queue_open}};

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
    *state = w;
    return 0;
}

static void run(void **state)
{
    struct world *w = *state;
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
    folder_remove(w->base);
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

static struct queue *open_as(struct world *w, bool owner)
{
    const struct queue_conf conf = {
        .dir = w->dir, .owner = owner, .loop = w->loop, .max_bytes = w->max_bytes};
    OK(w, w->engine->open(&w->q, &conf, &w->err));
    return w->q;
}

struct queue *open_owner(struct world *w)
{
    return open_as(w, true);
}

struct queue *open_beside(struct world *w)
{
    return open_as(w, false);
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

uint64_t commit(struct world *w, struct queue_tx *tx)
{
    uint64_t number = 0;
    OK(w, queue_commit_wait(tx, &number, &w->err));
    return number;
}

void put(struct world *w, struct queue_tx *tx, const char *topic, const char *value)
{
    OK(w, queue_put(tx, topic, 0, SPAN_NONE, SPAN_NONE, span_str(value), &w->err));
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

struct queue_at at_of(const char *topic, uint64_t offset)
{
    struct queue_at at = {.offset = offset};
    (void)snprintf(at.topic, sizeof(at.topic), "%s", topic);
    return at;
}

void ack(struct world *w, struct queue_tx *tx, const char *topic, uint64_t offset)
{
    const struct queue_at at = at_of(topic, offset);
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
    assert_int_equal(m.at.offset, offset);
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
    return end;
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

static int try_all(const struct engine *engine)
{
    static const struct promise *const groups[] = {write_promises,   feed_promises,
                                                   table_promises,   model_promises,
                                                   process_promises, disk_promises};
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
    return _cmocka_run_group_tests(engine->name, tests, n, NULL, NULL);
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    for (size_t i = 0; i < ARRAY_LEN(engines); i++) {
        failed += try_all(&engines[i]);
    }
    return failed;
}
