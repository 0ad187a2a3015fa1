/*
 * contract_peer - another process on the same folder: contract_peer VERB DIR [ARGUMENT...]
 *
 * Says on standard output what it did, one line each; ends when its standard input does.
 * Exits with the code of the error it met, after printing its words.
 */
#include "core/failpoint.h"
#include "core/queue.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define STORM_COMMITS 3 /* before it says so */

static struct queue *queue;
static bool on_broker;
static enum queue_role role = QUEUE_WHOLE;
static struct err err;

static void say(const char *line)
{
    (void)printf("%s\n", line);
    (void)fflush(stdout);
}

static int ok(int r)
{
    if (r < 0) {
        say(err.msg);
        exit((int)err.code);
    }
    return r;
}

static int number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

static void pause_ms(int ms)
{
    const struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    (void)nanosleep(&ts, NULL);
}

static void await_ownership(enum queue_ownership what)
{
    while (queue_ownership(queue, &err) != what) {
        pause_ms(1);
    }
}

static void open_queue(const char *dir, bool owner)
{
    const char *prefix = getenv("CONTRACT_PREFIX");
    const struct queue_broker broker = {.brokers = getenv("OFFPEAK_BROKERS"),
                                        .prefix = prefix,
                                        .instance = getenv("CONTRACT_INSTANCE"),
                                        .role = owner ? role : QUEUE_READER,
                                        .session_ms = 6000};
    char own[4096];
    (void)snprintf(own, sizeof(own), owner ? "%s-peer" : "/tmp", dir);
    on_broker = prefix && prefix[0];
    const struct queue_conf conf = {.dir = on_broker ? own : dir,
                                    .broker = on_broker ? &broker : NULL,
                                    .owner = owner};
    ok(queue_open(&queue, &conf, &err));
    if (owner) {
        await_ownership(QUEUE_READY);
    }
}

static enum queue_role role_called(const char *name)
{
    return strcmp(name, "worker") == 0      ? QUEUE_WORKER
           : strcmp(name, "scheduler") == 0 ? QUEUE_SCHEDULER
                                            : QUEUE_WHOLE;
}

static void wait_for_line(void)
{
    for (int c = getchar(); c != '\n' && c != EOF; c = getchar()) {
        continue;
    }
}

static struct queue_tx *begin(void)
{
    struct queue_tx *tx = NULL;
    ok(queue_begin(queue, &tx));
    return tx;
}

/* put DIR TOPIC COMMITS PREFIX: one record per commit */
static void verb_put(char **argv)
{
    open_queue(argv[2], false);
    for (int i = 0; i < number(argv[4]); i++) {
        char value[64];
        int n = snprintf(value, sizeof(value), "%s%d", argv[5], i);
        struct queue_tx *tx = begin();
        ok(queue_put(tx, QUEUE_TO(argv[3], 0, SPAN_NONE), SPAN_NONE,
                     span_of(value, (size_t)n), &err));
        ok(queue_commit_wait(tx, NULL, &err));
    }
    say("done");
}

/* nudge DIR TOPIC: a record for each byte it reads */
static void verb_nudge(char **argv)
{
    open_queue(argv[2], false);
    say("ready");
    for (int c = getchar(); c != EOF; c = getchar()) {
        struct queue_tx *tx = begin();
        ok(queue_put(tx, QUEUE_TO(argv[3], 0, SPAN_NONE), SPAN_NONE, SPAN_LIT("x"),
                     &err));
        ok(queue_commit_wait(tx, NULL, &err));
    }
}

/* own DIR NOTE: owns the folder until it is told to stop */
static void verb_own(char **argv)
{
    open_queue(argv[2], true);
    if (!on_broker) {
        ok(queue_owner_note(queue, argv[3], &err));
    }
    say("owner");
    wait_for_line();
}

/* take DIR: becomes the owner as soon as it can */
static void verb_take(char **argv)
{
    open_queue(argv[2], false);
    say("waiting");
    while (!ok(queue_take_ownership(queue, &err))) {
        pause_ms(1);
    }
    say("owner");
    wait_for_line();
}

/* zombie DIR ROLE TOPIC: owns, and when it is told to commits a record */
static void verb_zombie(char **argv)
{
    role = role_called(argv[3]);
    open_queue(argv[2], true);
    struct queue_tx *tx = begin();
    ok(queue_put(tx, QUEUE_TO(argv[4], 0, SPAN_NONE), SPAN_NONE, SPAN_LIT("of a zombie"),
                 &err));
    say("owner");
    wait_for_line();
    say(queue_commit_wait(tx, NULL, &err) < 0 ? err.msg : "committed");
    _exit(0);
}

/* share DIR ROLE: owns what it is given until it is told to stop, and says how much */
static void verb_share(char **argv)
{
    uint32_t partitions[64];
    role = role_called(argv[3]);
    open_queue(argv[2], true);
    (void)printf("%zu\n", role == QUEUE_WORKER
                              ? queue_owned(queue, "ready", partitions, 64)
                              : (size_t)1);
    (void)fflush(stdout);
    wait_for_line();
}

static uint64_t storm_count(void)
{
    struct queue_cursor *c = NULL;
    struct queue_msg m;
    uint64_t count = 0;
    ok(queue_cursor_open(queue, &c, &err));
    if (ok(queue_table_get(c, "marks", 0, SPAN_LIT("count"), &m, &err))) {
        (void)span_u64(m.value, &count);
    }
    queue_cursor_close(c);
    return count;
}

/* storm DIR: commits three records in each of two topics and their number in a row, and acks,
 * as fast as it can until it is killed */
static void verb_storm(char **argv)
{
    char text[32];
    open_queue(argv[2], true);
    uint64_t count = storm_count();
    struct queue_feed *feed = NULL;
    ok(queue_feed_open(queue, "storm.a", &feed, &err));
    for (int commits = 0;; commits++) {
        if (commits == STORM_COMMITS) {
            say("storming");
        }
        struct queue_tx *tx = begin();
        for (int i = 0; i < 3; i++) {
            int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)count++);
            const struct span value = span_of(text, (size_t)n);
            ok(queue_put(tx, QUEUE_TO("storm.a", 0, SPAN_NONE), SPAN_NONE, value, &err));
            ok(queue_put(tx, QUEUE_TO("storm.b", 0, SPAN_NONE), SPAN_NONE, value, &err));
        }
        int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)count);
        ok(queue_table_put(tx, "marks", 0, SPAN_LIT("count"), span_of(text, (size_t)n),
                           &err));
        for (int i = 0; i < 3; i++) { /* of the commit before */
            struct queue_msg m;
            if (ok(queue_next(feed, &m, &err))) {
                ok(queue_ack(tx, &m.at, &err));
            }
        }
        ok(queue_commit_wait(tx, NULL, &err));
    }
}

/* One session of a role: commits until it is lost, or all is done. */
static void work(struct queue_feed *feed, uint64_t want)
{
    uint64_t count = storm_count();
    while (count < want && queue_ownership(queue, NULL) == QUEUE_READY) {
        struct queue_tx *tx = begin();
        struct queue_msg m;
        char text[32];
        int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)count++);
        ok(queue_put(tx, QUEUE_TO("storm.a", 0, SPAN_NONE), SPAN_NONE,
                     span_of(text, (size_t)n), &err));
        n = snprintf(text, sizeof(text), "%llu", (unsigned long long)count);
        ok(queue_table_put(tx, "marks", 0, SPAN_LIT("count"), span_of(text, (size_t)n),
                           &err));
        if (ok(queue_next(feed, &m, &err))) {
            ok(queue_ack(tx, &m.at, &err));
        }
        if (queue_commit_wait(tx, NULL, &err) < 0) {
            return;
        }
        if (count % 10 == 0) {
            (void)printf("%llu\n", (unsigned long long)count);
            (void)fflush(stdout);
        }
    }
}

/* steady DIR COUNT: puts numbered records, each with the number in a row and an ack of an earlier
 * one, through whatever happens to the broker */
static void verb_steady(char **argv)
{
    const uint64_t want = (uint64_t)number(argv[3]);
    open_queue(argv[2], true);
    for (;;) {
        enum queue_ownership now = queue_ownership(queue, &err);
        if (now == QUEUE_READY && storm_count() >= want) {
            break;
        }
        if (now == QUEUE_READY) {
            struct queue_feed *feed = NULL;
            ok(queue_feed_open(queue, "storm.a", &feed, &err));
            work(feed, want);
            queue_feed_close(feed);
        } else if (now == QUEUE_LOST) {
            (void)printf("lost: %s\n", err.msg);
            (void)fflush(stdout);
            queue_release_ownership(queue);
        }
        pause_ms(20);
    }
    say("done");
}

/* away DIR: owns, and when it is told to commits a record of a topic that it has not used: when
 * nobody answers it loses its ownership, and gets it back when told to go on */
static void verb_away(char **argv)
{
    open_queue(argv[2], true);
    for (int go_on = 0; go_on < 2; go_on++) {
        say("owner");
        wait_for_line();
        struct queue_tx *tx = begin();
        ok(queue_put(tx, QUEUE_TO("results.new", 0, SPAN_NONE), SPAN_NONE, SPAN_LIT("x"),
                     &err));
        say(queue_commit_wait(tx, NULL, &err) < 0 ? "failed" : "committed");
        if (go_on) {
            return;
        }
        await_ownership(QUEUE_LOST);
        say("lost");
        queue_release_ownership(queue);
        await_ownership(QUEUE_READY);
    }
}

/* fill DIR BYTES: puts until its files may not grow any more, then once more */
static void verb_fill(char **argv)
{
    const struct rlimit limit = {(rlim_t)number(argv[3]), (rlim_t)number(argv[3])};
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    static char value[64 * 1024];
    int r = 0, commits = 0;
    open_queue(argv[2], true);
    (void)sigaction(SIGXFSZ, &ignore, NULL);
    (void)setrlimit(RLIMIT_FSIZE, &limit);
    for (; r == 0 && commits < 10000; commits++) {
        struct queue_tx *tx = begin();
        ok(queue_put(tx, QUEUE_TO("t", 0, SPAN_NONE), SPAN_NONE,
                     span_of(value, sizeof(value)), &err));
        r = queue_commit_wait(tx, NULL, &err);
    }
    (void)printf("%d %s\n", commits - 1, err.msg);
    struct queue_tx *tx = begin();
    ok(queue_put(tx, QUEUE_TO("t", 0, SPAN_NONE), SPAN_NONE, SPAN_LIT("small"), &err));
    say(queue_commit_wait(tx, NULL, &err) < 0 ? err.msg : "written after all");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int argc;
        void (*run)(char **argv);
    } verbs[] = {{"put", 6, verb_put},       {"own", 4, verb_own},
                 {"take", 3, verb_take},     {"zombie", 5, verb_zombie},
                 {"share", 4, verb_share},   {"storm", 3, verb_storm},
                 {"steady", 4, verb_steady}, {"fill", 4, verb_fill},
                 {"away", 3, verb_away},     {"nudge", 4, verb_nudge}};
#ifdef OFFPEAK_FAILPOINTS
    ok(failpoint_arm(getenv("OFFPEAK_FAILPOINT"), NULL, &err));
#endif
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (argc == verbs[i].argc && strcmp(argv[1], verbs[i].name) == 0) {
            verbs[i].run(argv);
            queue_close(queue);
            return 0;
        }
    }
    say("usage: contract_peer put|own|take|storm|fill DIR ...");
    return ERR_USAGE;
}
