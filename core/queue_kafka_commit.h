/*
 * queue_kafka_commit.h - inside a commit of the link: what one attempt knows. For
 * core/queue_kafka_commit.c, which decides, and core/queue_kafka_there.c, which does it there.
 */
#ifndef OFFPEAK_CORE_QUEUE_KAFKA_COMMIT_H
#define OFFPEAK_CORE_QUEUE_KAFKA_COMMIT_H

#include "core/queue_kafka.h"

/* A partition that the group puts into. */
struct target {
    struct store_name of;
    char topic[KAFKA_TOPIC_MAX];
    bool own;     /* its rows are applied here */
    bool seen;    /* it is copied here by filling: wait for it */
    int64_t last; /* the highest offset given to a record of ours; -1 none */
};

struct link_commit {
    struct link *l;
    struct queue_tx *group;
    uint64_t number;
    struct target *targets;
    size_t n_targets, cap_targets;
    struct ack_plan acks;
    struct queue_tx *last_jobs;   /* of a worker: stands at the end of the group */
    struct kafka_refusal refused; /* why 0: nothing was; topic "": nobody knows which */
    struct buf headers, value;
    struct queue_cursor *cursor;
    struct err *err;
};

static inline bool is_put(const struct op *op)
{
    return op->kind == OP_PUT || op->kind == OP_FORWARD || op->kind == OP_ROW ||
           op->kind == OP_ROW_DELETE;
}

/* ---- there (queue_kafka_there.c) ---- */

/* Everything into the buffers of the producer; 0, or the class of what went wrong. */
int link_produce_all(struct link_commit *c);
/* 0: it is committed there. Else the class of what went wrong, and nothing of it is; REFUSED fills
 * c->refused. REMAKE: nobody knows. */
int link_commit_there(struct link_commit *c);
/* Finds or adds; may make the topic. Fills c->refused when the broker does not let us. */
int link_target(struct link_commit *c, const struct store_name *of, size_t *ret);

#endif
