/*
 * The lines a batch has produced, on disk until the batch ends and its two files are written.
 *
 * Lines are added in the order they were answered and come out in another (seeded): OpenAI's
 * Batch guide, "the output line order may not match the input line order".
 */
#ifndef SIM_OUTBOX_H
#define SIM_OUTBOX_H

#include "tests/sim/text.h"

enum outbox_side { OUTBOX_OUTPUT, OUTBOX_ERROR, OUTBOX_SIDES };

struct outbox;

/* Takes the descriptor; NULL when it is no good. */
struct outbox *outbox_create(int fd);
struct outbox *outbox_destroy(struct outbox *o);

/* Adds one line; `line` has no line break. */
int outbox_add(struct outbox *o, enum outbox_side side, const struct text *line);

size_t outbox_count(const struct outbox *o, enum outbox_side side);

/* Writes the lines of one side to fd, shuffled. */
int outbox_publish(struct outbox *o, enum outbox_side side, uint64_t seed, int fd);

#endif
