/*
 * contract.h - what every test of the queue's promises uses.
 *
 * A promise is one test; the engine it is tried on is a parameter (the table in contract.c). A
 * test gets a world with an empty folder, on a broker also topics of its own, and no queue; what
 * it opens in world.q is closed for it. Other processes are real: `peer_start` runs
 * contract_peer, never a fork of the test.
 *
 * Tests count the records of a topic from 0. On one machine that is their offset; on a broker
 * offsets have gaps, and the helpers translate (`nth`, `index_of`).
 */
#ifndef OFFPEAK_TESTS_CONTRACT_H
#define OFFPEAK_TESTS_CONTRACT_H

#include "core/loop.h"
#include "core/queue.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

struct engine {
    const char *name;
    bool broker;
    size_t value_max;
    int topics;  /* where a test wants many */
    int commits; /* ... of one record each, by several processes */
    int steps;   /* of a random walk */
    int deaths;
};

#define WORLD_TOPICS 16

/* Where the records of a topic stand on a broker. */
struct learned {
    char topic[QUEUE_NAME_MAX];
    uint64_t *offsets;
    size_t n, cap;
};

struct world {
    const struct engine *engine;
    const struct promise *promise;
    bool finished;
    char base[64];  /* removed at the end */
    char dir[4200]; /* the data folder; a test may change it before it opens */
    uint64_t max_bytes;
    struct loop *loop;
    struct queue *q;
    struct err err;
    /* with a broker */
    char prefix[64], instance[32];
    enum queue_role role;
    int session_ms;
    bool late, no_learning; /* its role does not copy what the test writes */
    int ready, lost;        /* how often the loop was told */
    struct err trouble;     /* what it was told last, until it was told that it is over */
    struct learned topics[WORLD_TOPICS];
    size_t n_topics;
};

struct promise {
    const char *name;
    void (*test)(void **state); /* *state is the struct world */
    const char *not_on_broker;  /* why it cannot be kept there as it is worded */
};

#define PROMISE(fn)   \
    {                 \
#        fn, fn, NULL \
    }
#define PROMISE_OF_FOLDERS(fn, why) \
    {                               \
#        fn, fn, why                \
    }

extern const struct promise write_promises[], feed_promises[], table_promises[],
    process_promises[], disk_promises[], model_promises[], broker_promises[],
    stranger_promises[]; /* each ends with a NULL name */

/* Fails the test with the words of w->err when `r` is negative; returns r. */
int ok_at(struct world *w, int r, const char *file, int line);
#define OK(w, call) ok_at((w), (call), __FILE__, __LINE__)

void make_loop(struct world *w, struct clock clock);
struct queue *open_owner(struct world *w);
struct queue *open_beside(struct world *w);
void close_queue(struct world *w);
struct queue *reopen_owner(struct world *w);
int try_open(struct world *w, struct queue **ret, bool owner);
void open_owner_later(struct world *w); /* with a broker it is not the owner yet */
void wait_ready(struct world *w);       /* until it is the owner */

struct queue_tx *begin(struct world *w);
uint64_t commit(struct world *w, struct queue_tx *tx);
void put(struct world *w, struct queue_tx *tx, const char *topic, const char *value);
/* Each in one commit of its own; put_many puts "0", "1", ... */
uint64_t put_one(struct world *w, const char *topic, const char *value);
void put_many(struct world *w, const char *topic, int n);
void ack(struct world *w, struct queue_tx *tx, const char *topic, uint64_t offset);
void ack_one(struct world *w, const char *topic, uint64_t offset);
struct queue_at at_of(struct world *w, const char *topic, uint64_t n);
/* The offset of a topic's n-th record, and back; of an offset between two, the next one. */
uint64_t nth(struct world *w, const char *topic, uint64_t n);
uint64_t index_of(struct world *w, const char *topic, uint64_t offset);

struct queue_feed *feed_on(struct world *w, const char *pattern);
void expect_next(struct world *w, struct queue_feed *f, const char *topic,
                 uint64_t offset);
void expect_nothing(struct world *w, struct queue_feed *f);
struct queue_cursor *cursor_on(struct world *w);
uint64_t end_of(struct world *w, const char *topic);
/* With a broker: closes the queue and removes its folder; rows of one key. */
void lose_folder(struct world *w);
void put_row_in(struct world *w, const char *table, uint32_t partition,
                const char *value);
void expect_row_in(struct world *w, const char *table, uint32_t partition,
                   const char *want);
/* What others commit is read at once, or with a broker a moment later. */
void wait_for_end(struct world *w, const char *topic, uint64_t n);
/* There are so many records, or more. A broker ends a transaction in one partition after the
 * other, so who has seen it in one may have to wait for the next. */
void see_end(struct world *w, const char *topic, uint64_t n);
uint64_t first_of(struct world *w, const char *topic);
uint64_t low_of(struct world *w, struct queue_feed *f, const char *topic);
void assert_span(struct span got, struct span want);
void assert_has(const char *text, const char *part);

/* ---- other processes ---- */

struct peer {
    pid_t pid;
    int in, out; /* its standard input and output */
};

/* Arguments end with NULL. */
struct peer peer_start(struct world *w, const char *verb, ...);
void peer_say(struct peer *p, const char *line);
void peer_expect(struct peer *p, const char *line); /* the next line it prints */
int peer_wait(struct peer *p);                      /* its exit status, -1 killed */
void peer_kill(struct peer *p);                     /* SIGKILL, and waits */
void sleep_ms(int ms);

#endif
