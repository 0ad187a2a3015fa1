/*
 * Things to be done later (real time), on a thread of their own, earliest first.
 */
#ifndef SIM_DELAY_H
#define SIM_DELAY_H

#include <stdbool.h>
#include <stdint.h>

struct delay;

typedef void delay_due(void *item);

/* NULL when no thread can be started. */
struct delay *delay_create(delay_due *due);

/* Calls due(item) in `us`; false when closed, then the caller does it. */
bool delay_add(struct delay *d, int64_t us, void *item);

/* Does everything that waits, now, and takes nothing more. */
void delay_close(struct delay *d);
struct delay *delay_destroy(struct delay *d);

#endif
