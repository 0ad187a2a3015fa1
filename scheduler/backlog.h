/*
 * backlog.h - the queues, and the gate in front of each.
 *
 * A queue is one jobs topic; each of its partitions has its own place here, for in each jobs are let
 * through strictly in order. When the next job of one has to wait, delivery of it is paused at that job
 * (the jobs stay in the topic, unacknowledged, at no cost in memory) and it remembers what it waits for.
 * A gate is the whole queue's: people are told once, by the first partition that meets it.
 * One timer serves every gate that opens with a new day.
 */
#ifndef OFFPEAK_SCHEDULER_BACKLOG_H
#define OFFPEAK_SCHEDULER_BACKLOG_H

#include "core/err.h"
#include "scheduler/admit.h"
#include "scheduler/flow.h"

struct backlog;
struct queue_feed;

struct waiting { /* a partition of a queue */
    char topic[QUEUE_NAME_MAX];
    uint32_t partition;
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    bool waits;
    uint64_t repeats;        /* lines that came before, left out and not told yet */
    struct gate gate;        /* valid while it waits */
    const struct line *line; /* budget gate: the full line; NULL: none has a limit */
    struct usd limit, need;
    char model[PROMPT_MODEL_MAX + 1]; /* flow gate: the full model */
};

struct backlog *backlog_create(void); /* NULL: out of memory */
struct backlog *backlog_destroy(struct backlog *b);

/* Made when it is new. NULL: out of memory or no jobs topic. */
struct waiting *backlog_get(struct backlog *b, const char *topic, uint32_t partition);
/* Of a queue's partitions one that waits, at a closed gate if any does; else any, or NULL. */
const struct waiting *backlog_find(const struct backlog *b, const char *team,
                                   const char *feature);
/* Has a partition of w's queue met such a gate already? */
bool backlog_told(const struct backlog *b, const struct waiting *w, const struct gate *g);
/* A job of w passes: true when its queue stood at a closed gate, and no partition does any more. */
bool backlog_opens(struct backlog *b, struct waiting *w);
void backlog_each(const struct backlog *b, void (*fn)(void *ctx, struct waiting *w),
                  void *ctx);

/* What a waiting queue needs to know to go on. */
struct backlog_news {
    const struct books *books;
    const struct flow *flow;
    bool new_day;
};
/* Is there a reason to look at the queue's next job again? Pure. */
bool backlog_wakes(const struct waiting *w, const struct backlog_news *news);

#endif
