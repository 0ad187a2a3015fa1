/*
 * line.h - is this a job line we can take, and if not, what should its author do.
 *
 * Pure: bytes in, verdict out. A job line is an OpenAI batch line (OpenAI Batch guide, "Preparing
 * your batch file"): custom_id, method, url and body. What the body asks is not judged here but
 * at admission, beside prices and budgets. Keys we do not know are let through: they are not sent.
 *
 * custom_id is told whenever it can be read, also of a refused line, so that its author finds the
 * line again among the results.
 */
#ifndef OFFPEAK_PRODUCER_LINE_H
#define OFFPEAK_PRODUCER_LINE_H

#include "core/buf.h"
#include "producer/input.h"

#define LINE_CUSTOM_ID_MAX 512 /* bytes, escapes undone */

struct line_verdict {
    bool ok;
    bool bare; /* not ok, but a request that lacks only its envelope (producer/bare.h) */
    struct span
        custom_id; /* raw JSON string within the line; empty when it cannot be read */
    char why[256]; /* one line; empty when ok */
    const char *remedy; /* what to do about it */
};

void line_check(const struct input_line *line, struct line_verdict *ret);

#endif
