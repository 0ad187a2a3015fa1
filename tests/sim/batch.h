/*
 * A batch: its states, times and counts, and the Batch object that clients see.
 *
 * State moves only through batch_move, along the transitions of the table in batch.c (OpenAI
 * Batch API reference, "The Batch object"). Timestamps are written by it.
 * A batch is shared between the server and the engine: both hold the lock of its list
 * (batch_list.h) while they touch it, except for `work`, which is the engine's alone, and for
 * the members above the line, which never change after it was made.
 */
#ifndef SIM_BATCH_H
#define SIM_BATCH_H

#include "tests/sim/faults.h"
#include "tests/sim/file_store.h"
#include "tests/sim/prices.h"

enum batch_state {
    BATCH_VALIDATING,
    BATCH_FAILED,
    BATCH_IN_PROGRESS,
    BATCH_FINALIZING,
    BATCH_COMPLETED,
    BATCH_EXPIRED,
    BATCH_CANCELLING,
    BATCH_CANCELLED,
    BATCH_STATES
};

enum {
    BATCH_LINES_MAX = 50000,
    BATCH_ERRORS_MAX = 20, /* the object lists no more; the rest would repeat them */
    BATCH_WINDOW_S = 24 * 60 * 60,
};

struct batch_error {
    char code[64];
    char message[256];
    int64_t line; /* 0: null */
};

struct batch_errors {
    struct batch_error list[BATCH_ERRORS_MAX];
    int n;
};

struct batch_work; /* engine.c */

struct batch {
    char id[ID_MAX];
    char project[PROJECT_MAX];
    char endpoint[40];
    char input_file_id[ID_MAX];
    char *metadata; /* JSON text, or NULL */
    int64_t output_expires_s;
    int64_t hidden_until;
    struct fault fault; /* what becomes of it, by the fault script */

    /* ---- under the lock from here ---- */
    enum batch_state state;
    int64_t at_us[BATCH_STATES]; /* when it came to each state; 0: never */
    int64_t expires_us;
    const struct price_row *model; /* NULL until validated */
    int64_t enqueued_tokens;
    int64_t total;
    int64_t completed;
    int64_t failed;
    struct usage used;
    struct batch_errors errors;
    char output_file_id[ID_MAX];
    char error_file_id[ID_MAX];
    struct batch_work *work;
};

const char *batch_state_name(enum batch_state state);
bool batch_is_final(enum batch_state state);

/* False when the transition is not allowed; then nothing changes. */
bool batch_move(struct batch *b, enum batch_state to, int64_t now_us);

/* Adds to the list while there is room. line 0: the batch as a whole. */
void batch_errors_add(struct batch_errors *e, int64_t line, const char *code,
                      const char *message);

/* Appends the Batch object. */
void batch_write(const struct batch *b, struct text *out);

#endif
