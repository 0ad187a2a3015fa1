#include "scheduler/slice.h"

#include <stdlib.h>
#include <string.h>

struct slice *slice_create(void)
{
    struct slice *s = calloc(1, sizeof(*s));
    if (s) {
        s->asks = calloc(SLICE_JOBS, sizeof(*s->asks));
    }
    if (s && !s->asks) {
        free(s);
        return NULL;
    }
    return s;
}

void slice_clear(struct slice *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        free(s->raw[i].copy);
        free(s->raw[i].why);
        s->raw[i].copy = s->raw[i].why = NULL;
    }
    s->n = s->next = 0;
    s->bytes = 0;
    s->state = SLICE_EMPTY;
}

struct slice *slice_destroy(struct slice *s)
{
    if (s) {
        slice_clear(s);
        free(s->asks);
        free(s);
    }
    return NULL;
}

bool slice_full(const struct slice *s)
{
    return s->n == SLICE_JOBS || s->bytes >= SLICE_BYTES;
}

/* A tombstone has no value at all, and memcpy takes no NULL. */
static void copy_in(char *to, struct span from)
{
    if (from.n) {
        memcpy(to, from.p, from.n);
    }
}

int slice_add(struct slice *s, const struct queue_msg *msg, enum prompt_level level)
{
    struct slice_raw *raw = &s->raw[s->n];
    size_t need = msg->headers.n + msg->value.n;
    char *copy = malloc(need + 1);
    if (!copy) {
        return -1;
    }
    copy_in(copy, msg->headers);
    copy_in(copy + msg->headers.n, msg->value);
    raw->msg = *msg;
    raw->msg.key = SPAN_NONE;
    raw->msg.headers = span_of(copy, msg->headers.n);
    raw->msg.value = span_of(copy + msg->headers.n, msg->value.n);
    raw->copy = copy;
    raw->level = level;
    raw->dropped = raw->bare = false;
    s->n++;
    s->bytes += need;
    return 0;
}

int slice_add_refused(struct slice *s, const struct queue_msg *msg, const char *why,
                      bool bare)
{
    struct queue_msg shown = *msg;
    char *words = strdup(why);
    if (bare) {
        shown.value = SPAN_NONE;
    }
    if (!words || slice_add(s, &shown, PROMPT_L1) < 0) {
        free(words);
        return -1;
    }
    s->raw[s->n - 1].why = words;
    s->raw[s->n - 1].bare = bare;
    return 0;
}

void slice_read(void *slice)
{
    struct slice *s = slice;
    for (unsigned i = 0; i < s->n; i++) {
        const struct slice_raw *raw = &s->raw[i];
        if (raw->why) {
            ask_refuse(&raw->msg, raw->why, &s->asks[i]);
        } else {
            ask_read(&raw->msg, raw->level, &s->asks[i]);
        }
        s->asks[i].bare = raw->bare;
    }
}

void slice_drop_topic(struct slice *s, const char *topic, uint32_t partition)
{
    for (unsigned i = s->next; i < s->n; i++) {
        const struct queue_at *at = &s->raw[i].msg.at;
        if (at->partition == partition && strcmp(at->topic, topic) == 0) {
            s->raw[i].dropped = true;
        }
    }
}
