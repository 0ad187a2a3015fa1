/*
 * The work of a batch: what the engine holds while a batch is alive. Plan, outbox, progress.
 * Used by the engine's thread only; no lock.
 *
 * Life cycle: created when the batch is first seen, `check` until the input is read, `run` as
 * lines fall due, `give_up` for the lines that will not run, `publish` once, destroyed when
 * the batch is final.
 */
#ifndef SIM_BATCH_WORK_H
#define SIM_BATCH_WORK_H

#include "tests/sim/intake.h"
#include "tests/sim/sim.h"

struct batch_work {
    struct sim *sim;
    const struct batch *batch;
    struct intake *intake;
    struct plan *plan;
    struct outbox *outbox;
    int64_t lines;
    int64_t done; /* lines run or given up */
    int64_t completed;
    int64_t failed;
    struct usage used;
    int64_t started_us;
    int64_t duration_us;
    bool is_broken; /* the disk failed: the batch fails */
    bool was_published;
    char output_file_id[ID_MAX];
    char error_file_id[ID_MAX];
};

/* NULL when the input is gone or the disk fails; *ret_why is the code for the batch's error. */
struct batch_work *batch_work_create(struct sim *sim, const struct batch *batch,
                                     const char **ret_why);
struct batch_work *batch_work_destroy(struct batch_work *w);

/* Reads up to n lines of input: 1 when there may be more. */
int batch_work_check(struct batch_work *w, int n);

/* From checking to running, at this moment. */
void batch_work_start(struct batch_work *w, int64_t now_us);

/* How many lines have ended by now, and when the next will. */
int64_t batch_work_due(const struct batch_work *w, int64_t now_us);
int64_t batch_work_next_us(const struct batch_work *w);

/* Runs lines until `goal` are done, at most n of them. */
void batch_work_run(struct batch_work *w, int64_t goal, int n);

/* The rest of the lines as error lines with this code. */
void batch_work_give_up(struct batch_work *w, const char *code, const char *message);

/* Makes the output and the error file; their ids are in *w (empty: no such file). */
void batch_work_publish(struct batch_work *w);

#endif
