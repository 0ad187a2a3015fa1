/*
 * asked.h - what a line of a batch's input file asks, as admission will see it here.
 *
 * Pure. The key is the one under which its answer will be looked for: scope is the team, the
 * endpoint the origin of the base URL, and the line is read by the scheduler's own words
 * (scheduler/ask.h), so that both always agree.
 */
#ifndef OFFPEAK_CLI_ASKED_H
#define OFFPEAK_CLI_ASKED_H

#include "core/buf.h"
#include "core/err.h"
#include "core/prompt.h"

struct asked_for {
    const char *team, *origin;
    enum prompt_level level;
};

struct asked {
    bool valid; /* it could be asked here; else nothing but the id may be known */
    enum prompt_path path;
    uint64_t inputs; /* vectors asked for */
    uint64_t root;   /* of its prefix chain */
    struct digest key;
    char model[PROMPT_MODEL_MAX + 1];
};

/* ret_id: the custom_id as a raw JSON string within the line, or empty. */
int asked_read(const struct asked_for *by, struct span line, struct asked *ret,
               struct span *ret_id, struct err *err);

#endif
