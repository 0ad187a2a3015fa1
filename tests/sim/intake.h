/*
 * Intake: the validation of a batch's input file (OpenAI Batch guide, "Prepare your batch
 * file"), a slice of lines at a time. What is wrong with the file as a whole goes to a list of
 * errors and fails the batch; what is wrong with one request becomes a refused line of the
 * plan. The rest of the plan holds the facts of each request.
 */
#ifndef SIM_INTAKE_H
#define SIM_INTAKE_H

#include "tests/sim/batch.h"
#include "tests/sim/plan.h"

struct intake;

/* Takes the descriptor of the input; the plan and the batch are borrowed. */
struct intake *intake_create(int input_fd, struct plan *plan, const struct batch *batch,
                             int64_t max_lines);
struct intake *intake_destroy(struct intake *in);

/* Reads at most n lines: 1 when there may be more, 0 at the end of the file. */
int intake_step(struct intake *in, int n);

/* After the end. */
const struct batch_errors *intake_errors(const struct intake *in);
int64_t intake_lines(const struct intake *in);
int64_t intake_tokens(const struct intake *in);
/* The model that all lines name; NULL when none of them names one that exists. */
const struct price_row *intake_model(const struct intake *in);

#endif
