/*
 * provider.h - a provider's batch API, as translation only.
 *
 * A provider is a table of pure functions: what bytes a line of the input is, which request
 * moves a batch on, what a reply means, what a line of a result file says. No function here does
 * I/O, reads a clock, sleeps, logs, or keeps anything. The lane (worker/lane_batch.h) asks,
 * sends, waits and decides; a new provider is one more table and nothing else.
 *
 * Verdicts of a reply (enum step):
 *   DONE     it happened; `remote` says what
 *   WAIT     known and not finished, or (with an empty remote id) not known: not visible yet, or
 *            gone; the caller knows how long to believe which
 *   RETRY    certainly not accepted; the same request may be made again later
 *   UNSURE   it may have happened; only a request that may be repeated is made again
 *   REJECT   refused for good; err says it in the provider's words, remote.fail why
 *   STOP     the account cannot work now (key, quota); err.code is ERR_AUTH or ERR_TEMP
 *
 * A reply is outside bytes: numbers may be null, absent or of another type, states may be new (an
 * unknown one is still running), ids may hold anything (one that could not stand in a URL stops
 * the account: going on would lose what it stands for).
 */
#ifndef OFFPEAK_WORKER_PROVIDER_H
#define OFFPEAK_WORKER_PROVIDER_H

#include "core/http.h"
#include "worker/batch.h"
#include "worker/settle.h"

enum step { STEP_DONE, STEP_WAIT, STEP_RETRY, STEP_UNSURE, STEP_REJECT, STEP_STOP };

enum ask {
    ASK_UPLOAD, /* the input file */
    ASK_CREATE, /* the batch of an uploaded file */
    ASK_BATCH,  /* how is it */
    ASK_LIST,   /* one page, newest first */
    ASK_CANCEL,
    ASK_FILE,    /* is it there: tells whether the account is the one that made it */
    ASK_CONTENT, /* a result file, into a sink */
    ASK_DELETE_FILE
};

struct provider_ask {
    enum ask ask;
    const char *base_url;
    const char *ref;           /* id of the batch or file asked about */
    const char *after;         /* list: id of the last one seen, "" the first page */
    const struct batch *batch; /* upload and create: what it is stamped with */
    const char *path;          /* upload: the spool file */
};

/* Owns the texts that `http` points into. */
struct provider_request {
    struct http_req http;
    struct buf url, json, name;
};
void provider_request_init(struct provider_request *r);
void provider_request_fini(struct provider_request *r);

enum remote_state {
    REMOTE_RUNNING,
    REMOTE_COMPLETED,
    REMOTE_FAILED,
    REMOTE_EXPIRED,
    REMOTE_CANCELLED
};

enum remote_fail {
    FAIL_NONE,
    FAIL_OVERFLOW,  /* too much work enqueued at the account: not this batch's fault */
    FAIL_TOO_LARGE, /* the batch itself */
    FAIL_LINES,     /* `lines` names the ones that cannot be accepted */
    FAIL_OTHER
};

#define REMOTE_LINES_MAX 1000

struct remote_line {
    uint64_t line; /* 1-based, of the input file */
    char why[200];
};

/* What a reply says about a batch (or, after ASK_UPLOAD and ASK_FILE, about a file). */
struct remote {
    char id[BATCH_REF_MAX];
    char input[BATCH_REF_MAX], output[BATCH_REF_MAX], error[BATCH_REF_MAX];
    char key[BATCH_ID_BYTES]; /* our stamp: submit key ... */
    uint64_t go;              /* ... and go; 0 when it carries none */
    enum remote_state state;
    char state_text[32]; /* in the provider's word */
    bool counted;
    uint64_t completed, failed;
    int64_t created_s; /* 0 unknown */
    bool sized;
    uint64_t bytes; /* of a file */
    enum remote_fail fail;
    char why[300];
    struct remote_line *lines;
    size_t lines_len;
};
void remote_fini(struct remote *r);

#define REMOTE_PAGE_MAX 100

struct remote_page {
    struct remote *v; /* newest first */
    size_t n;
    bool more;
};
void remote_page_fini(struct remote_page *p);

enum line_kind {
    LINE_ANSWER,    /* a paid answer */
    LINE_REFUSED,   /* the same request would be refused again */
    LINE_BUSY,      /* refused for load or by a failure of theirs: may go again */
    LINE_FAILED,    /* it was executed, perhaps billed, and failed: not made again */
    LINE_UNEXECUTED /* expired or cancelled before it was tried */
};

struct provider_line {
    uint64_t index; /* which line of the input it answers */
    enum line_kind kind;
    struct answer answer; /* spans point into the line */
};

/* ---- one call by itself (the direct lanes) ---- */

struct provider_call {
    const char *base_url, *path;
    struct span body; /* borrowed until the request is sent */
};

enum reply_kind {
    REPLY_ANSWER,  /* a paid answer */
    REPLY_REFUSED, /* the same request would be refused again */
    REPLY_FAILED,  /* executed, perhaps billed, and failed: not made again */
    REPLY_BUSY,    /* certainly not executed: it may go again */
    REPLY_LOST,    /* it may have been executed and billed */
    REPLY_STOP     /* the account cannot work now; err.code is ERR_AUTH or ERR_TEMP */
};

struct provider {
    const char *name;
    uint64_t batch_bytes_max; /* of the input file */
    uint64_t batch_calls_max;
    /* Appends one line of the input file. */
    int (*encode)(uint32_t index, const char *path, struct span body, struct buf *ret);
    int (*request)(const struct provider_ask *a, struct provider_request *ret,
                   struct err *err);
    /* ret is initialised by the caller to zero and needs remote_fini. */
    enum step (*feed)(enum ask ask, const struct http_resp *resp, struct remote *ret,
                      struct err *err);
    enum step (*feed_list)(const struct http_resp *resp, struct remote_page *ret,
                           struct err *err);
    /* -1: the line is not one of a result file. */
    int (*decode)(struct span line, struct provider_line *ret);
    int (*call)(const struct provider_call *c, struct provider_request *ret,
                struct err *err);
    /* The spans of the answer point into `text`, where the body is put on one line. */
    enum reply_kind (*reply)(const struct http_resp *resp, struct buf *text,
                             struct answer *ret, struct err *err);
};

#endif
