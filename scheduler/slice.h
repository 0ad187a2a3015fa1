/*
 * slice.h - some jobs, copied out of the feed and read on the thread pool.
 *
 * At most SLICE_JOBS jobs or SLICE_BYTES (one job may be larger: it is a slice of its own). The
 * loop fills it, a pool thread reads it, the loop decides over it; it belongs to one of them at
 * a time. Two slices exist: one is read while the other is decided.
 */
#ifndef OFFPEAK_SCHEDULER_SLICE_H
#define OFFPEAK_SCHEDULER_SLICE_H

#include "core/queue.h"
#include "scheduler/ask.h"

#define SLICE_JOBS  512
#define SLICE_BYTES ((size_t)4 << 20)

enum slice_state { SLICE_EMPTY, SLICE_READING, SLICE_READ };

struct slice {
    enum slice_state state;
    unsigned n, next; /* jobs in it; the first one not decided yet */
    size_t bytes;
    struct slice_raw {
        struct queue_msg msg; /* spans point into `copy` */
        char *copy;
        enum prompt_level level;
        char *why;    /* it is refused unread, or NULL */
        bool bare;    /* ... and without its value, which was not copied */
        bool dropped; /* its queue was paused before it: it will be delivered again */
    } raw[SLICE_JOBS];
    struct ask *asks; /* SLICE_JOBS of them */
};

struct slice *slice_create(void); /* NULL: out of memory */
struct slice *slice_destroy(struct slice *s);
bool slice_full(const struct slice *s);
int slice_add(struct slice *s, const struct queue_msg *msg, enum prompt_level level);
/* A record that is refused without being read; `bare`: its value stays where it is. */
int slice_add_refused(struct slice *s, const struct queue_msg *msg, const char *why,
                      bool bare);
void slice_read(void *slice); /* on a pool thread */
/* Drops what is left of one queue in the slice. */
void slice_drop_topic(struct slice *s, const char *topic, uint32_t partition);
void slice_clear(struct slice *s);

#endif
