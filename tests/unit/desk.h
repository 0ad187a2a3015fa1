/*
 * desk.h - a provider in memory, for tests of the batch lane: the twin of core/http.c.
 *
 * It keeps files and batches as OpenAI does, answers each line "answer to <question>" with 100
 * prompt and 10 output tokens, and does what the test tells it: one-shot trouble per operation
 * (desk_trouble), how the nth batch ends (desk.ends), what becomes of the line of a question
 * (desk_line). Replies take desk.latency_ms of loop time. A batch runs for desk.batch_ms after
 * its creation, and fails when its input was deleted within desk.read_ms.
 */
#ifndef OFFPEAK_TESTS_UNIT_DESK_H
#define OFFPEAK_TESTS_UNIT_DESK_H

#include "core/http.h"
#include "core/loop.h"

#define DESK_FILES_MAX    256
#define DESK_BATCHES_MAX  64
#define DESK_TROUBLES_MAX 32
#define DESK_LINES_MAX    8

enum desk_op {
    DESK_UPLOAD,
    DESK_CREATE,
    DESK_BATCH,
    DESK_LIST,
    DESK_CANCEL,
    DESK_FILE,
    DESK_CONTENT,
    DESK_DELETE,
    DESK_OPS
};

enum desk_do {
    DESK_NOTHING,
    DESK_LOSE_BEFORE, /* the request never arrives; the caller cannot know */
    DESK_LOSE_AFTER,  /* done, and the reply is lost */
    DESK_UNSENT,      /* the provider cannot be reached */
    DESK_STATUS,      /* refused with `status` and `code` */
    DESK_CUT,         /* a file that ends in the middle of a line */
};

struct desk_trouble {
    enum desk_op op;
    enum desk_do what;
    int status;
    const char *code;
    int64_t retry_after_ms;
    int times; /* how often; 0 once */
};

enum desk_end {
    DESK_COMPLETES,
    DESK_EXPIRES,         /* the second half of its lines is not executed */
    DESK_IS_CANCELLED,    /* the same; asked to cancel, it has done the first half */
    DESK_OVERFLOWS,       /* token_limit_exceeded */
    DESK_FAILS,           /* without naming lines */
    DESK_FAILS_LINES,     /* names the lines of questions that begin with "bad" */
    DESK_FAILS_ELSEWHERE, /* names a line that is not in its input */
    DESK_FAILS_LATE,      /* when its lines are executed: its files are there */
    DESK_FORGETS,   /* expires; the second half has no lines, and no counts either */
    DESK_NO_COUNTS, /* completes, and does not say how many lines it executed */
};

enum desk_line_is { DESK_ANSWERED, DESK_OMITTED, DESK_BUSY, DESK_REFUSED, DESK_TWICE };

struct desk_file {
    char id[32];
    char *text; /* NULL: deleted */
    int64_t deleted_ms;
};

struct desk_batch {
    char id[32], input[32], key[64], go[16];
    char output[32], error[32];
    char *text; /* its input, as read when it was created */
    enum desk_end end;
    int64_t created_ms, visible_ms;
    bool cancelled, made; /* made: its files are */
    unsigned lines, completed, failed;
};

struct desk {
    struct http http; /* first */
    struct loop *loop;
    int64_t latency_ms, batch_ms, lag_ms, read_ms;
    int64_t start_wall_ms; /* wall time when loop time was 0 */
    struct desk_file files[DESK_FILES_MAX];
    struct desk_batch batches[DESK_BATCHES_MAX];
    unsigned files_len, batches_len;
    enum desk_end ends[DESK_BATCHES_MAX]; /* of the nth batch created */
    struct desk_trouble troubles[DESK_TROUBLES_MAX];
    unsigned troubles_len;
    struct {
        char question[32];
        enum desk_line_is is;
        int times;
    } lines[DESK_LINES_MAX];
    unsigned lines_len;
    unsigned asked[DESK_OPS];
    int64_t asked_ms[DESK_OPS];             /* when last */
    unsigned most_requests, most_transfers; /* under way at once */
    unsigned billed;                        /* lines answered, in all */
    const char *key; /* the key it knows; another one sees nothing of it */
    void (*on_ask)(void *ctx, enum desk_op op); /* while the request stands at the door */
    void *ctx;
    struct desk_ask *asks; /* replies under way */
};

void desk_open(struct desk *d, struct loop *loop);
void desk_close(struct desk *d); /* replies under way get theirs, as core/http.h says */
void desk_trouble(struct desk *d, struct desk_trouble t);
void desk_line(struct desk *d, const char *question, enum desk_line_is is, int times);

/* Inside the desk. */
struct desk_file *desk_add_file(struct desk *d, char *text); /* takes text */
unsigned desk_count_lines(const char *text);
void desk_make_results(struct desk *d, struct desk_batch *b); /* desk_lines.c */

#endif
