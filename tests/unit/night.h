/*
 * night.h - a worker's surroundings, for tests: a store in a fresh folder, simulated time, a
 * feed of `ready`, an empty call table, a price book.
 *
 * A job is submitted and released in one go (release_job); what became of it is read from the
 * topics, as a team would. loop_run(n->loop) returns when nothing is left to happen.
 */
#ifndef OFFPEAK_TESTS_UNIT_NIGHT_H
#define OFFPEAK_TESTS_UNIT_NIGHT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/loop.h"
#include "core/prices.h"
#include "core/queue.h"
#include "core/record.h"
#include "worker/settle.h"

struct lane_batch;
struct lane_direct;

/* One model, priced for batches and plain calls. */
#define NIGHT_BOOK                                                                        \
    "{\"schema\":\"offpeak.price-book/1\",\"date\":\"2026-11-01\",\"currency\":\"USD\","  \
    "\"unit\":\"per 1,000,000 tokens\",\"rows\":[{\"provider\":\"openai\","               \
    "\"model\":\"gpt-test\",\"effective_from\":\"2026-01-01\",\"context_tokens\":128000," \
    "\"max_output_tokens\":4096,\"cache_min_tokens\":1024,\"source\":\"this test\","      \
    "\"tiers\":[{\"min_prompt_tokens\":0,"                                                \
    "\"standard\":{\"input\":\"1\",\"output\":\"2\"},"                                    \
    "\"batch\":{\"input\":\"0.5\",\"output\":\"1\"}}]}]}"

#define NIGHT_START_MS INT64_C(1795224000000) /* 2026-11-21 00:00 UTC */

#define NIGHT_PARTITIONS_MAX 8

struct night {
    char dir[64];
    uint32_t partitions; /* of `ready` and its tables; 0: as it is on one machine */
    uint32_t owned[NIGHT_PARTITIONS_MAX];
    uint32_t owned_n;
    struct loop *loop;
    struct queue *queue;
    struct queue_feed *feed;
    struct queue_cursor *cursor;
    struct call_table *calls;
    struct price_book *prices;
    struct settle *settle;
    struct lane_direct *direct; /* the same, of calls made one by one */
    struct lane_batch *lane;    /* when a test makes one: it hears from settle too */
    /* what settle said */
    int rooms, committed, stops;
    struct err stop;
    struct call *replanned[16];
    int replanned_n;
};

/* cmocka set-up and tear-down; *state is the struct night. The settle has a ttl of an hour. */
int night_falls(void **state);
int night_ends(void **state);
/* The process dies and comes back: everything in memory is made anew. */
void night_crash(struct night *n);
/* ... as one that owns these of so many partitions of `ready`. */
void night_owns(struct night *n, uint32_t partitions, const uint32_t *owned,
                uint32_t owned_n);

/* A job of shop/tags asking `question`; the same question has the same cache key. */
struct asked {
    const char *question;
    const char *run; /* NULL: "monday" */
    bool not_reusable, fresh;
    uint32_t inputs; /* vectors it asks for; 0: it asks for text */
    int64_t fresh_ms;
    const char *model; /* NULL: "gpt-test" */
    enum verdict verdict;
    const char *why;
    size_t line_bytes; /* 0: as short as it is */
    enum lane lane;
    uint32_t tries;     /* 0: one; each is reserved with 0.001 */
    uint64_t group;     /* of calls that begin alike; 0: like no other */
    uint32_t partition; /* of `ready` that it is released to */
};
/* Its place in `ready`. */
uint64_t release_job(struct night *n, const struct asked *a);
/* The same once more, as a scheduler that lost its memory would release it: its place. */
uint64_t release_again(struct night *n, uint64_t at);
void release_flush(struct night *n, uint32_t partition);
void release_of(struct night *n, uint64_t at, struct release *ret);
struct call *call_for(struct night *n,
                      uint64_t at); /* a new call with that job as leader */

/* An answer of 100 prompt and 10 output tokens: 0.00006 USD in a batch, 0.00012 alone. */
struct answer answer_saying(const char *body);

/* The newest result of the job released at `at` (custom_id "job-<at>"): its JSON, or NULL. */
char *result_of(struct night *n, uint64_t at);
bool has_result(struct night *n, uint64_t at);
uint64_t count_records(struct night *n, const char *topic);
/* All heads of spend records, in order; returns how many. */
size_t spend_heads(struct night *n, struct spend_head *ret, size_t max);
bool is_acked(struct night *n, uint64_t at);
bool has_answer(struct night *n, uint64_t at);
void assert_has(const char *text, const char *part);
void assert_result(struct night *n, uint64_t at, const char *part);

#endif
