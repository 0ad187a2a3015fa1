/*
 * What a request is answered with: a text, a file, an error, or a closed connection.
 * reply_done frees what was not sent.
 */
#ifndef SIM_REPLY_H
#define SIM_REPLY_H

#include "tests/sim/problem.h"
#include "tests/sim/rate_limit.h"

struct MHD_Connection;

struct reply {
    int status;
    struct text body;
    int fd; /* the body when >= 0 */
    int64_t fd_bytes;
    const char *content_type;
    int retry_after_s; /* 0: none */
    bool has_rates;
    struct rate_view rates;
    int64_t cut_bytes; /* >= 0: only so much of the body, then hang up */
    bool hang_up;      /* close without a word */
    uint64_t request_id;
};

struct reply reply_empty(void);
void reply_done(struct reply *r);

/* Turns the reply into the error, dropping what was in it. */
void reply_fail(struct reply *r, const struct problem *p);

/* Queues it; 1 when the connection goes on, 0 when it must be closed. */
int reply_send(struct reply *r, struct MHD_Connection *connection);

#endif
