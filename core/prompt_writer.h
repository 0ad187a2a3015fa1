/*
 * prompt_writer.h - the canonical form of JSON, streamed into hashes. Internal to core/prompt*.c.
 *
 * The canonical form is JSON text without blanks: members in the order of their names' bytes,
 * strings with the fewest escapes (\" \\ \b \f \n \r \t, other controls as \u00xx), numbers as
 * an integer without trailing zeros, `e` and the power of ten ("15e-1", "2e3"; zero is "0").
 * It goes through a small buffer into one or two sinks and never exists as a whole.
 */
#ifndef OFFPEAK_CORE_PROMPT_WRITER_H
#define OFFPEAK_CORE_PROMPT_WRITER_H

#include "core/buf.h"
#include "core/hash.h"
#include "core/prompt.h"

struct writer {
    enum prompt_level level;
    struct hash *sinks[2]; /* where text goes; change them through writer_aim */
    size_t n;
    char text[4096];
    uint64_t put; /* bytes since the last writer_aim */
};

void writer_put(struct writer *w, const char *p, size_t n);
/* Hands over what is buffered and sets where the rest goes. Returns the bytes put since. */
uint64_t writer_aim(struct writer *w, struct hash *first, struct hash *second);

/* A raw JSON string (checked, with its quotes), quotes included. `exact` keeps its characters
 * as they are; else the level decides. */
void writer_string(struct writer *w, struct span raw, bool exact);

#endif
