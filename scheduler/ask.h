/*
 * ask.h - what one record of a jobs topic asks for.
 *
 * ask_read is pure and runs on the thread pool: it checks the line, finds the pieces the rest
 * of the system needs (custom_id, body, path: as places within the line), and canonicalises the
 * body. A record that cannot be asked keeps its place and says why; admission rejects it and
 * its neighbours go on. Nobody downstream parses the body again to learn where it belongs.
 */
#ifndef OFFPEAK_SCHEDULER_ASK_H
#define OFFPEAK_SCHEDULER_ASK_H

#include "core/prompt.h"
#include "core/record.h"

struct ask {
    struct queue_at at;
    char job[JOB_ID_MAX];
    struct job_head head; /* custom_id is not kept here: see id_at */
    char why[WHY_MAX];    /* empty: it can be asked */
    bool bare;            /* too large to be passed on with its value */
    struct prompt prompt;
    char path[64];
    uint32_t id_at, id_len;     /* custom_id, raw JSON string; 0, 0: unreadable */
    uint32_t body_at, body_len; /* the request */
};

/* A custom_id that is longer is not echoed, and its job refused. */
#define ASK_ID_MAX 65536

/* `level` is the normalisation of the run the record belongs to. */
void ask_read(const struct queue_msg *msg, enum prompt_level level, struct ask *ret);
/* A record that is refused unread: of the queue's standing run. */
void ask_refuse(const struct queue_msg *msg, const char *why, struct ask *ret);

#endif
