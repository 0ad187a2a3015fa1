/*
 * call.h - the calls in flight, and the jobs that wait for each.
 *
 * A call is one request that will be paid for. Jobs that ask the same question (equal cache
 * key, both reusable) share one call: the first is its leader, the others joined. A job is
 * known here only by its place in `ready` (core/record.h); everything else about it is read again when it is
 * settled, so a job costs 16 bytes and a call about 200, and the flow cap bounds both.
 *
 * Life: intake makes a call (PLANNED); the batch lane takes it (BATCHED), or a direct lane
 * (DIRECT) does; when its answer is known it is given to settle (SETTLING) and freed with its last job. A call that the provider
 * did not execute becomes PLANNED again. Every call is in the table exactly once; every
 * unacked job delivered so far is in exactly one call or in settle's hands.
 */
#ifndef OFFPEAK_WORKER_CALL_H
#define OFFPEAK_WORKER_CALL_H

#include "core/err.h"
#include "core/record.h"
#include <stdbool.h>
#include <stdint.h>

struct batch;
struct direct_call;
struct call_table;

struct job {
    struct job *next;
    uint64_t at; /* place in `ready` */
};

enum call_state { CALL_PLANNED, CALL_BATCHED, CALL_DIRECT, CALL_SETTLING };

struct call {
    struct digest key;
    struct call *hash_next;
    struct call *all_next, **all_at; /* list of every call in the table */
    struct job *jobs, **jobs_tail;   /* leader first */
    uint32_t jobs_len;
    enum call_state state;
    enum lane lane;
    bool reusable; /* may be joined, and its answer stored */
    uint8_t chain_len;
    uint64_t chain[PROMPT_CHAIN_MAX]; /* what the plan sorts by */
    uint32_t body_bytes;
    uint32_t prompt_bytes; /* of the whole chain */
    uint32_t requests; /* it counts for in a batch: the inputs of an embedding, else 1 */
    uint64_t tokens_bound; /* prompt tokens, for the account's enqueued limit */
    uint16_t stream;       /* index into the table's (partition, path, model) */
    uint16_t unexecuted;   /* times the provider gave it back without executing it */
    uint16_t refusals;     /* times its line failed for load (429, 5xx) */
    uint16_t tries;        /* it may be made so often, each time perhaps billed */
    uint16_t try_n;        /* which of them it is at; 1 the first */
    bool
        cancelled; /* its leader's run was: it ends where that is safe (worker/cancels.h) */
    struct direct_call *direct; /* when DIRECT and journaled */
    struct batch *batch;        /* when BATCHED */
    uint32_t
        index; /* its line in that batch; when PLANNED, its place in the plan's row */
};

int call_table_create(struct call_table **ret, struct err *err);
struct call_table *call_table_destroy(
    struct call_table *t); /* frees every call and job left */

/* Makes a call for the job at `at` with its release; returns NULL when out of memory. */
struct call *call_new(struct call_table *t, const struct release *r, uint64_t at);
/* The joinable call with that key, or NULL. Of several with one key (joiners that were freed
 * as calls of their own) it is the one that was there first. */
struct call *call_find(struct call_table *t, const struct digest *key);
int call_join(struct call_table *t, struct call *c, uint64_t at);
/* True when the job at that place is in some call already (a replayed member), or was
 * popped and not freed yet. */
bool call_has_job(const struct call_table *t, uint64_t at);
struct job *call_pop_job(struct call_table *t,
                         struct call *c); /* caller frees with call_job_free */
void call_job_free(struct call_table *t, struct job *j);
struct call *call_free(struct call_table *t,
                       struct call *c); /* with its remaining jobs; returns NULL */

/* The job that joined behind `before` leaves, and is freed. */
void call_unjoin(struct call_table *t, struct call *c, struct job *before);
/* Nobody finds it any more; jobs with its key make a call of their own. */
void call_hide(struct call_table *t, struct call *c);
/* One walk over all calls there are at its beginning: the call at hand, NULL at the end; and on to
 * the next. A call may be freed at any time between. */
void call_walk_begin(struct call_table *t);
struct call *call_walk(const struct call_table *t);
void call_walk_on(struct call_table *t);

uint32_t call_count(const struct call_table *t);
uint32_t call_job_count(const struct call_table *t);
/* What may go into one batch has one number: calls of one partition of `ready`, path and model. At
 * most 1,024 of a partition, and CALL_STREAMS_MAX. */
#define CALL_STREAMS_MAX 32768
int call_stream(struct call_table *t, uint64_t at, const struct release *r,
                uint16_t *ret);
uint32_t call_stream_partition(const struct call_table *t, uint16_t stream);
const char *call_stream_path(const struct call_table *t, uint16_t stream);
const char *call_stream_model(const struct call_table *t, uint16_t stream);

#endif
