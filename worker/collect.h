/*
 * collect.h - reading the result files of a batch, a slice at a time, and keeping count.
 *
 * collect_read runs on the thread pool: it reads whole lines from the spooled output file, then
 * from the error file, checks and decodes them with the provider's decoder, and returns at most
 * COLLECT_LINES lines or COLLECT_BYTES (one longer line is taken alone, up to QUEUE_VALUE_MAX;
 * a longer one is skipped and counted). The lines borrow the reader's memory until the next
 * collect_read. Reading again from the start is harmless: what ended already is known by its
 * fate, and within one pass collect_first says whether a line's member was seen before.
 *
 * The tally at the end of a pass: which members have no line at all, and whether the provider
 * says it executed more lines than the files hold.
 */
#ifndef OFFPEAK_WORKER_COLLECT_H
#define OFFPEAK_WORKER_COLLECT_H

#include "worker/provider.h"

#define COLLECT_LINES 256
#define COLLECT_BYTES ((size_t)256 << 10)

struct collect;

struct collect_tally {
    uint64_t executed; /* of `members`, those whose line says the provider tried them */
    uint64_t lines;    /* all of them */
    uint64_t members;  /* distinct members of the batch that have a line */
    uint64_t repeated; /* further lines of a member */
    uint64_t foreign;  /* ids that no member has */
    uint64_t garbage;  /* no line of a result file, or too long */
};

/* Opens both files (a missing one is empty); `members` is the number of lines of the input. */
int collect_open(struct collect **ret, const char *dir, const char *id, uint32_t members,
                 struct err *err);
struct collect *collect_close(struct collect *c);

/* The next slice: how many lines; 0 at the end of both files. Any thread. */
int collect_read(struct collect *c, const struct provider *p, struct err *err);
const struct provider_line *collect_line(const struct collect *c, uint32_t i);

/* Counts the line; true when it is the first of a member. */
bool collect_first(struct collect *c, const struct provider_line *line);
/* Are there fewer lines than the provider says it executed (or did it not say how many)? Then
 * a member without a line may have been billed; otherwise it was certainly not executed. */
bool collect_short(const struct collect_tally *t, bool counted, uint64_t executed);
void collect_tally(const struct collect *c, struct collect_tally *ret);

#endif
