/*
 * import.h - a finished batch from elsewhere becomes stored answers.
 *
 * REQUESTS is the input file of an OpenAI batch, ANSWERS its output file (both may be
 * compressed). Each answer is matched to its request by custom_id, judged as the worker judges
 * its own (complete, not refused, not cut off), and stored under the key that admission will ask
 * for: so the same request is not bought again. Nothing was paid here, so nothing is booked.
 *
 * The folder's owner calls import_batch, once; answers are committed in slices as they are read.
 * What was stored stays when it ends early, and is passed over the next time. A row that is
 * there already and counts is never replaced.
 *
 * What is not taken is counted by reason. Two different requests under one custom_id make its
 * answers ambiguous, so neither is answered.
 *
 * Memory: a line of each file, one commit (QUEUE_TX_BYTES) and what core/idset.h says. On disk,
 * in the data folder and for as long as it runs, about 350 bytes for each request.
 */
#ifndef OFFPEAK_CLI_IMPORT_H
#define OFFPEAK_CLI_IMPORT_H

#include "core/err.h"
#include "core/prompt.h"
#include "core/queue.h"

#include <stdint.h>

enum import_left {
    IMPORT_STORED,     /* an answer is there already */
    IMPORT_EQUAL,      /* an earlier line answers an equal request */
    IMPORT_REPEATED,   /* its custom_id was used before */
    IMPORT_UNKNOWN,    /* no request has its custom_id */
    IMPORT_REFUSED,    /* its request could not be asked here */
    IMPORT_FAILED,     /* it is an error */
    IMPORT_INCOMPLETE, /* cut off, filtered or refused by the model */
    IMPORT_MISFIT,     /* it answers another kind of request */
    IMPORT_TOO_LARGE,
    IMPORT_BROKEN, /* no line of a batch's output file */
    IMPORT_LEFTS
};

struct import_conf {
    struct queue *queue; /* owned by this process */
    const char *dir;     /* its data folder */
    const char *requests, *answers;
    size_t max_line; /* 0: INPUT_LINE_MAX */
    const char *team, *origin, *prices;
    enum prompt_level level;
    int64_t now_ms, ttl_ms;
};

struct import_counts {
    uint64_t requests, invalid; /* of them, that could not be asked here */
    uint64_t answers, taken, left[IMPORT_LEFTS];
};

int import_batch(const struct import_conf *conf, struct import_counts *ret,
                 struct err *err);
const char *import_left_name(enum import_left l);  /* "no_request" */
const char *import_left_words(enum import_left l); /* "of no request" */

#endif
