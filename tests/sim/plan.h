/*
 * The plan of a batch: the facts of each of its lines, in file order, in a nameless file on
 * disk between validation and the lines' turns. Written once, then read once.
 */
#ifndef SIM_PLAN_H
#define SIM_PLAN_H

#include "tests/sim/ask.h"

struct plan;

/* One line. When status is not 0 the line is refused with it and `body`; otherwise `facts`,
 * `steps` and `digests` hold. Read lines are valid until the next read. */
struct plan_line {
    const char *custom_id;
    uint32_t custom_id_len;
    int status;
    const char *body;
    uint32_t body_len;
    struct ask_facts facts;
    const uint64_t *steps;
    const unsigned char *digests; /* of the inputs of an embedding */
};

/* Takes the descriptor, also when it fails. */
struct plan *plan_create(int fd);
struct plan *plan_destroy(struct plan *p);

int plan_add(struct plan *p, const struct plan_line *line);

/* Back to the first line: from writing to reading. */
int plan_rewind(struct plan *p);

/* 1 and a line, 0 at the end, -1 when the file cannot be read. */
int plan_next(struct plan *p, struct plan_line *ret_line);

#endif
