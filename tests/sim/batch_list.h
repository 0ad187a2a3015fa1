/*
 * All batches, newest last, behind one lock; and the condition that wakes the engine.
 *
 * Batches are never freed before the list is, so a pointer stays good without the lock; its
 * members do not (batch.h).
 */
#ifndef SIM_BATCH_LIST_H
#define SIM_BATCH_LIST_H

#include "tests/sim/batch.h"

struct batch_list;

struct batch_page {
    const char *project;
    const char *after; /* NULL: from the newest */
    int64_t limit;
    int64_t visible_since; /* batches made later than this (seconds) are not listed */
    int64_t now;
};

struct batch_list *batch_list_create(uint64_t seed);
struct batch_list *batch_list_destroy(struct batch_list *l);

void batch_list_lock(struct batch_list *l);
void batch_list_unlock(struct batch_list *l);

/* Takes the batch, which was zeroed and filled by the caller, gives it an id and shows the new
 * object. Wakes the engine. */
void batch_list_add(struct batch_list *l, struct batch *b, struct text *out);

int batch_list_show(struct batch_list *l, const char *project, const char *id,
                    struct text *out, struct problem *p);
int batch_list_page(struct batch_list *l, const struct batch_page *page, struct text *out,
                    struct problem *p);

/* Starts to cancel and shows the object. Wakes the engine. */
int batch_list_cancel(struct batch_list *l, const char *project, const char *id,
                      int64_t now_us, struct text *out, struct problem *p);

/* Tokens in batches of this project and model that are not final. Needs the lock. */
int64_t batch_list_enqueued(struct batch_list *l, const char *project,
                            const struct price_row *model);

/* The batches that are not final, at most `max`. Takes the lock. */
size_t batch_list_live(struct batch_list *l, struct batch **ret_live, size_t max);

/* Sleeps until woken, at most `us` real microseconds; false when the list is closing. */
bool batch_list_wait(struct batch_list *l, int64_t us);

/* Ends the waiting, now and later. */
void batch_list_close(struct batch_list *l);

/* For test scripts: every batch with project, state, counts and metadata. */
void batch_list_write_all(struct batch_list *l, struct text *out);
/* {"validating":0,...} */
void batch_list_write_states(struct batch_list *l, struct text *out);

#endif
