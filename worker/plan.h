/*
 * plan.h - which calls go into one batch, and in what order.
 *
 * Calls are gathered per stream (partition of `ready`, so that a batch has one owner; url path and
 * model, for a provider takes one of each per batch),
 * 8 bytes a call beside struct call. A stream is sealed when what it gathered fills a batch,
 * when its partition is flushed, or `linger` after its first call. Sealing sorts by the prefix
 * chain, so that calls that share a cacheable prefix stand side by side, and cuts the row at
 * the account's limits; each piece is handed to `submit` in order. When a stream is sealed
 * because it is full, its last and incomplete piece stays and gathers on.
 *
 * plan_sort and plan_cut are the decisions, pure; struct plan holds the rows and one timer.
 * Calls belong to the call table; the plan borrows them until they are submitted. The array
 * handed to `submit` belongs to the plan and is reused after the callback.
 *
 * Limits: OpenAI Batch guide, "Batch limits": 50,000 requests and 200 MB a file, of embeddings
 * also 50,000 inputs, so a request counts as its inputs; enqueued prompt tokens per model by
 * account.
 */
#ifndef OFFPEAK_WORKER_PLAN_H
#define OFFPEAK_WORKER_PLAN_H

#include "core/err.h"
#include "worker/call.h"

#define PLAN_LINE_OVERHEAD 160 /* bytes of a batch line around its body */
#define PLAN_HURRY_MS      500

struct loop;
struct plan;

struct plan_limits {
    uint64_t requests;
    uint64_t bytes;
    uint64_t tokens; /* 0: none */
};

/* Equal prefixes adjacent; calls of one prefix in the order of their first jobs. */
void plan_sort(struct call **calls, uint32_t n);
/* The length of the first batch of a sorted row: the longest piece within the limits, at least
 * one call, for what is too large alone must be tried alone. 0 only when n is 0. */
uint32_t plan_cut(struct call *const *calls, uint32_t n,
                  const struct plan_limits *limits);

struct plan_conf {
    struct loop *loop;
    struct plan_limits limits;
    int64_t linger_ms;
    int (*submit)(void *ctx, struct call **calls, uint32_t n, struct err *err);
    void (*on_failed)(void *ctx, const struct err *err); /* submit failed in the timer */
    void *ctx;
};

int plan_create(struct plan **ret, const struct plan_conf *conf, struct err *err);
/* A planned call; it may seal its stream. */
int plan_add(struct plan *p, struct call *c, struct err *err);
/* A call that is gathered, and not submitted, is forgotten. */
void plan_remove(struct plan *p, struct call *c);
/* Nothing more is coming soon from that partition: everything gathered of it goes out. */
int plan_flush(struct plan *p, uint32_t partition, struct err *err);
/* Nobody else is on the way: what is gathered waits PLAN_HURRY_MS more at most, for calls that
 * are given back together. */
void plan_hurry(struct plan *p);
bool plan_empty(const struct plan *p);
struct plan *plan_destroy(struct plan *p);

#endif
