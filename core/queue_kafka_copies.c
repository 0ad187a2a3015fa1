/*
 * queue_kafka_copies.c - filling: what the broker gives is stored slice by slice, each with the
 * position it reaches, so that a copy goes on where it was after any crash.
 *
 * A slice is what came since the last one, LINK_SLICE_RECORDS records or LINK_WINDOW_BYTES at
 * most. Of what is fed a piece at a time the copy runs ahead of the feed by LINK_WINDOW_BYTES;
 * then its partition is paused. What is paused is remembered here: the client library does not
 * tell.
 */
#include "core/queue_kafka.h"
#include "core/headers.h"
#include <stdlib.h>

/* ---- the table, by topic and partition ---- */

static int compare(const struct link_copy *c, const char *topic, uint32_t partition)
{
    int r = strcmp(c->topic, topic);
    return r ? r : (c->of.partition > partition) - (c->of.partition < partition);
}

static size_t place_of(const struct link *l, const char *topic, uint32_t partition,
                       bool *ret_found)
{
    size_t lo = 0, hi = l->n_copies;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (compare(l->copies[mid], topic, partition) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    *ret_found = lo < l->n_copies && compare(l->copies[lo], topic, partition) == 0;
    return lo;
}

struct link_copy *link_copy_find(const struct link *l, const char *topic,
                                 uint32_t partition)
{
    bool found;
    size_t at = place_of(l, topic, partition, &found);
    return found ? l->copies[at] : NULL;
}

static int make_room(struct link *l)
{
    if (l->n_copies < l->cap_copies) {
        return 0;
    }
    size_t cap = l->cap_copies ? 2 * l->cap_copies : 64;
    if (cap > LINK_COPIES_MAX) {
        return -1;
    }
    struct link_copy **copies = realloc(l->copies, cap * sizeof(struct link_copy *));
    if (!copies) {
        return -1;
    }
    l->copies = copies;
    l->cap_copies = cap;
    return 0;
}

struct link_copy *link_copy_get(struct link *l, const struct store_name *of)
{
    char topic[KAFKA_TOPIC_MAX];
    bool found;
    link_topic(l, of->name, topic);
    size_t at = place_of(l, topic, of->partition, &found);
    if (found) {
        return l->copies[at];
    }
    struct link_copy *c = calloc(1, sizeof(*c));
    if (!c) {
        return NULL;
    }
    c->of = *of;
    memcpy(c->topic, topic, sizeof(c->topic));
    c->spec = topics_find(of->kind == 'R', of->name);
    c->how = topics_copied(c->spec, l->role);
    c->acks = of->kind == 'R' && strcmp(of->name, TOPICS_ACKS) == 0;
    pthread_mutex_lock(&l->mu);
    if (make_room(l) < 0) {
        free(TAKE_PTR(c));
    } else {
        memmove(l->copies + at + 1, l->copies + at, (l->n_copies - at) * sizeof(c));
        l->copies[at] = c;
        l->n_copies++;
    }
    pthread_mutex_unlock(&l->mu);
    return c;
}

void link_copies_forget(struct link *l)
{
    pthread_mutex_lock(&l->mu);
    for (size_t i = 0; i < l->n_copies; i++) {
        free(l->copies[i]);
    }
    l->n_copies = 0;
    pthread_mutex_unlock(&l->mu);
}

/* ---- reading ---- */

int link_copy_read(struct link *l, struct link_copy *c, struct err *err)
{
    const struct kafka_place start = {.topic = c->topic,
                                      .partition = (int32_t)c->of.partition,
                                      .offset = (int64_t)atomic_load(&c->at)};
    int r = kafka_consumer_add(l->source, &start, err);
    if (r == 0) {
        pthread_mutex_lock(&l->mu);
        c->reading = true;
        c->paused = kafka_consumer_paused(l->source, c->topic, start.partition);
        pthread_mutex_unlock(&l->mu);
        c->pending = atomic_load(&c->at);
        c->n_marks = 0;
        c->bytes = c->bytes_given = 0;
    }
    return r;
}

int link_copy_restart(struct link *l, const struct store_name *of, uint64_t from,
                      struct err *err)
{
    int more = 1;
    while (more > 0) { /* a transaction's worth goes at a time */
        int r = copy_mark(l->slice, OP_DROP, of, 0, SPAN_NONE, err);
        more = r < 0 ? r : copy_apply(l->slice, err);
    }
    if (more < 0) {
        return more;
    }
    int r = copy_mark(l->slice, of->kind == 'T' ? OP_START : OP_REACHED, of, from,
                      SPAN_NONE, err);
    return r < 0 ? r : copy_apply(l->slice, err);
}

/* ---- a slice ---- */

/* A stranger's record may have what ours never have: a key beyond all bounds, no key at all. */
static bool fits(const struct link_copy *c, struct copied *rec)
{
    if (c->of.kind == 'T') {
        rec->key.n = MIN_OF(rec->key.n, (size_t)QUEUE_KEY_MAX);
        rec->value = rec->value.p ? rec->value : SPAN_LIT("");
        return true;
    }
    return rec->key.n > 0 && rec->key.n <= QUEUE_KEY_MAX;
}

/* Anybody may sign as we do: a number that our clocks have not reached would be the last of all.
 * And what was cut off may be what says whose record it is. */
static void distrust(const struct link *l, const struct kafka_event *ev,
                     struct copied *rec)
{
    static const char cut[] = "\x0b" HEADERS_CUT "\0\x01"
                              "1";
    uint64_t now_us = (uint64_t)clock_wall_ms(&l->q->clock) * 1000;
    _Static_assert(sizeof(HEADERS_CUT) - 1 == 0x0b, "the length of its name");
    if (rec->commit > now_us + LINK_CLOCKS_US) {
        rec->commit = 0;
    }
    if (ev->headers_cut) {
        rec->headers = span_of(cut, sizeof(cut) - 1);
    }
}

static int add_record(struct link *l, struct link_copy *c, const struct kafka_event *ev,
                      struct err *err)
{
    struct copied rec = {.of = c->of,
                         .offset = (uint64_t)ev->offset,
                         .time_ms = MAX_OF(ev->time_ms, 0),
                         .key = ev->key,
                         .headers = ev->headers,
                         .value = ev->value};
    int r = 0;
    if (c->acks) {
        r = acks_restore(l, l->slice, ev, err);
    } else {
        (void)link_signed(&rec.headers, &rec.commit);
        distrust(l, ev, &rec);
        if (fits(c, &rec)) {
            r = copy_add(l->slice, &rec, err);
        }
    }
    c->pending = (uint64_t)ev->offset + 1;
    c->bytes += ev->key.n + ev->headers.n + ev->value.n;
    c->touched = true;
    return r;
}

/* What the log had at this offset is gone: it goes on with what it has now. */
static int skip_gone(struct link *l, struct link_copy *c, struct err *err)
{
    int64_t first, end;
    const struct kafka_place of = {c->topic, (int32_t)c->of.partition, 0};
    int r = kafka_admin_bounds(l->admin, &of, true, &first, &end, err);
    if (r < 0) {
        return r;
    }
    r = copy_mark(l->slice, OP_REACHED, &c->of, (uint64_t)first, SPAN_NONE, err);
    if (r == 0) {
        r = copy_apply(l->slice, err);
    }
    atomic_store(&c->at, (uint64_t)first);
    return r < 0 ? r : link_copy_read(l, c, err);
}

static int add_event(struct link *l, const struct kafka_event *ev, struct err *err)
{
    struct link_copy *c = link_copy_find(l, ev->topic, (uint32_t)ev->partition);
    if (!c || !c->reading) {
        return 0;
    }
    switch (ev->what) {
    case KAFKA_RECORD: return add_record(l, c, ev, err);
    case KAFKA_END:
        if ((uint64_t)ev->offset > c->pending) {
            c->pending = (uint64_t)ev->offset;
            c->touched = c->ended = true;
        }
        return 0;
    case KAFKA_TROUBLE:
        if (ev->class == KAFKA_GONE) {
            return skip_gone(l, c, err);
        }
        if (link_asks(l) && kafka_denied(err)) {
            return -(int)ev->class; /* a command has nobody to wait for it */
        }
        link_say(l, err);
        return 0;
    case KAFKA_ASSIGNED:
    case KAFKA_REVOKED:
    case KAFKA_LOST: break;
    }
    return 0;
}

/* How many bytes stood below an offset; a full ring gets coarser at its end. */
static void mark_window(struct link_copy *c)
{
    if (!c->spec || !c->spec->window) {
        return;
    }
    size_t last = (c->first_mark + MIN_OF(c->n_marks, (size_t)LINK_WINDOW_MARKS - 1)) %
                  LINK_WINDOW_MARKS;
    c->marks[last] = (struct link_mark){c->pending, c->bytes};
    c->n_marks = MIN_OF(c->n_marks + 1, (size_t)LINK_WINDOW_MARKS);
}

static int store_slice(struct link *l, struct err *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < l->n_copies; i++) {
        const struct link_copy *c = l->copies[i];
        if (c->touched && (c->ended || c->of.kind == 'R')) {
            r = copy_mark(l->slice, OP_REACHED, &c->of, c->pending, SPAN_NONE, err);
        }
    }
    if (r == 0) {
        r = copy_apply(l->slice, err);
    }
    if (r < 0) {
        return r;
    }
    pthread_mutex_lock(&l->mu);
    for (size_t i = 0; i < l->n_copies; i++) {
        struct link_copy *c = l->copies[i];
        if (c->touched) {
            c->touched = c->ended = false;
            atomic_store(&c->at, c->pending);
            mark_window(c);
        }
    }
    pthread_cond_broadcast(&l->moved);
    pthread_mutex_unlock(&l->mu);
    link_tell(l);
    return 0;
}

static bool slice_full(const struct queue_tx *slice)
{
    return slice->n_records >= LINK_SLICE_RECORDS || slice->bytes >= LINK_WINDOW_BYTES;
}

int link_pump(struct link *l, int timeout_ms, struct err *err)
{
    bool any = false;
    while (!slice_full(l->slice)) {
        struct kafka_event ev;
        int r = kafka_consumer_poll(l->source, any ? 0 : timeout_ms, &ev, err);
        if (r > 0) {
            any = true;
            r = add_event(l, &ev, err);
        } else if (r == 0) {
            break;
        }
        if (r < 0) {
            return r;
        }
    }
    if (!any) {
        return 0;
    }
    int r = store_slice(l, err);
    return r < 0 ? r : 1;
}

/* ---- windows ---- */

/* Bytes in the copy that were not given yet, to within a slice. */
static uint64_t ahead(struct link_copy *c)
{
    uint64_t given = atomic_load(&c->given);
    while (c->n_marks > 0 && c->marks[c->first_mark].offset <= given) {
        c->bytes_given = c->marks[c->first_mark].bytes;
        c->first_mark = (c->first_mark + 1) % LINK_WINDOW_MARKS;
        c->n_marks--;
    }
    return c->bytes - c->bytes_given;
}

int link_windows(struct link *l, struct err *err)
{
    for (size_t i = 0; i < l->n_copies; i++) {
        struct link_copy *c = l->copies[i];
        bool whole = c->how == COPY_FOLLOW && l->role == QUEUE_WHOLE;
        if (!c->reading || !c->spec || !c->spec->window || whole) {
            continue;
        }
        uint64_t bytes = ahead(c);
        bool pause = c->paused ? bytes > LINK_WINDOW_BYTES / 2
                               : bytes > LINK_WINDOW_BYTES;
        if (pause == c->paused) {
            continue;
        }
        int r = pause ? kafka_consumer_pause(l->source, c->topic,
                                             (int32_t)c->of.partition, err)
                      : kafka_consumer_resume(l->source, c->topic,
                                              (int32_t)c->of.partition, err);
        if (r < 0) {
            return r;
        }
        pthread_mutex_lock(&l->mu);
        c->paused = pause;
        pthread_mutex_unlock(&l->mu);
    }
    return 0;
}

int link_drop_done(struct link *l, struct err *err)
{
    for (size_t i = 0; i < l->n_copies; i++) {
        const struct link_copy *c = l->copies[i];
        struct topic_row row;
        if (c->of.kind != 'T' || !link_drops(l, c->of.name)) {
            continue;
        }
        int r = copy_topic(l->q, &c->of, &row, err);
        bool fed = c->how == COPY_FEED;
        uint64_t done = fed ? row.low : atomic_load(&c->given);
        if (r > 0 && (fed || c->reading) && done > row.first) {
            r = copy_mark(l->slice, OP_TRIM, &c->of, done, SPAN_NONE, err);
            r = r < 0 ? r : copy_apply(l->slice, err);
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}
