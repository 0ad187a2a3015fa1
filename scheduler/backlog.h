/*
 * backlog.h - the queues, and the gate in front of each.
 *
 * A queue is one jobs topic. When its next job has to wait, delivery of the whole topic is
 * paused at that job (the jobs stay in the topic, unacknowledged, at no cost in memory) and the
 * queue remembers what it waits for. One timer serves every gate that opens with a new day.
 */
#ifndef OFFPEAK_SCHEDULER_BACKLOG_H
#define OFFPEAK_SCHEDULER_BACKLOG_H

#include "core/err.h"
#include "scheduler/admit.h"
#include "scheduler/flow.h"

struct backlog;
struct queue_feed;

struct waiting {
    char topic[QUEUE_NAME_MAX];
    uint32_t partition;
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    bool waits;
    struct gate gate;        /* valid while it waits */
    const struct line *line; /* budget gate: the full line */
    struct usd limit, need;
    char model[PROMPT_MODEL_MAX + 1]; /* flow gate: the full model */
};

struct backlog *backlog_create(void); /* NULL: out of memory */
struct backlog *backlog_destroy(struct backlog *b);

/* The queue of a topic; made when it is new. NULL: out of memory or no jobs topic. */
struct waiting *backlog_get(struct backlog *b, const char *topic, uint32_t partition);
const struct waiting *backlog_find(const struct backlog *b, const char *team,
                                   const char *feature);
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
