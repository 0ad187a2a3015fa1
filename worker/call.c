#include "worker/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_MIN 1024
#define INDEX_MIN   1024
#define POOL_CHUNK  1024
#define STREAMS_MAX 1024 /* of one partition */

/* Job nodes come from chunks and go back to a free list: a million jobs pass, few are here. */
struct chunk {
    struct chunk *next;
    struct job jobs[POOL_CHUNK];
};

struct stream {
    uint32_t partition;
    char path[64];
    char model[PROMPT_MODEL_MAX + 1];
};

struct call_table {
    struct call **buckets;
    size_t bucket_count; /* a power of two */
    struct call *all, *walk;
    uint32_t calls;

    uint64_t *index;   /* place + 1 of every job here; 0: empty. Linear probing. */
    size_t index_size; /* a power of two */
    uint32_t jobs;

    struct chunk *chunks;
    struct job *free_jobs;

    struct stream *streams;
    uint16_t stream_count, stream_room;
};

/* ---- jobs by their place in `ready` ---- */

static size_t index_home(const struct call_table *t, uint64_t entry)
{
    return (size_t)((entry * 0x9e3779b97f4a7c15u) >> 17) & (t->index_size - 1);
}

static size_t index_find(const struct call_table *t, uint64_t entry)
{
    size_t i = index_home(t, entry);
    while (t->index[i] && t->index[i] != entry) {
        i = (i + 1) & (t->index_size - 1);
    }
    return i;
}

static int index_grow(struct call_table *t)
{
    if (t->index_size && (size_t)t->jobs * 2 < t->index_size) {
        return 0;
    }
    uint64_t *old = t->index;
    size_t old_size = t->index_size;
    size_t size = old_size ? old_size * 2 : INDEX_MIN;
    uint64_t *fresh = calloc(size, sizeof(*fresh));
    if (!fresh) {
        return -1;
    }
    t->index = fresh;
    t->index_size = size;
    for (size_t i = 0; i < old_size; i++) {
        if (old[i]) {
            fresh[index_find(t, old[i])] = old[i];
        }
    }
    free(old);
    return 0;
}

/* Moves later entries of the probe run up, so that no search stops at a hole. */
static void index_remove(struct call_table *t, uint64_t entry)
{
    size_t mask = t->index_size - 1;
    size_t hole = index_find(t, entry);
    if (!t->index[hole]) {
        return;
    }
    for (size_t i = (hole + 1) & mask; t->index[i]; i = (i + 1) & mask) {
        size_t home = index_home(t, t->index[i]);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            t->index[hole] = t->index[i];
            hole = i;
        }
    }
    t->index[hole] = 0;
}

bool call_has_job(const struct call_table *t, uint64_t at)
{
    return t->index[index_find(t, at + 1)] != 0;
}

/* ---- job nodes ---- */

static int pool_grow(struct call_table *t)
{
    struct chunk *c = malloc(sizeof(*c));
    if (!c) {
        return -1;
    }
    c->next = t->chunks;
    t->chunks = c;
    for (size_t i = 0; i < POOL_CHUNK; i++) {
        c->jobs[i].next = t->free_jobs;
        t->free_jobs = &c->jobs[i];
    }
    return 0;
}

static int append_job(struct call_table *t, struct call *c, uint64_t at)
{
    if (index_grow(t) < 0 || (!t->free_jobs && pool_grow(t) < 0)) {
        return -1;
    }
    struct job *j = t->free_jobs;
    t->free_jobs = j->next;
    *j = (struct job){.at = at};
    *c->jobs_tail = j;
    c->jobs_tail = &j->next;
    c->jobs_len++;
    t->index[index_find(t, at + 1)] = at + 1;
    t->jobs++;
    return 0;
}

struct job *call_pop_job(struct call_table *t, struct call *c)
{
    (void)t;
    struct job *j = c->jobs;
    if (!j) {
        return NULL;
    }
    c->jobs = j->next;
    if (!c->jobs) {
        c->jobs_tail = &c->jobs;
    }
    c->jobs_len--;
    j->next = NULL;
    return j;
}

void call_job_free(struct call_table *t, struct job *j)
{
    if (!j) {
        return;
    }
    index_remove(t, j->at + 1);
    t->jobs--;
    j->next = t->free_jobs;
    t->free_jobs = j;
}

/* ---- calls by key ---- */

static struct call **bucket_of(const struct call_table *t, const struct digest *key)
{
    return &t->buckets[hash_u64(*key) & (t->bucket_count - 1)];
}

static int buckets_grow(struct call_table *t)
{
    if (t->bucket_count && t->calls < t->bucket_count) {
        return 0;
    }
    size_t old_count = t->bucket_count;
    struct call **old = t->buckets;
    size_t count = old_count ? old_count * 2 : BUCKETS_MIN;
    struct call **fresh = calloc(count, sizeof(struct call *));
    if (!fresh) {
        return -1;
    }
    t->buckets = fresh;
    t->bucket_count = count;
    for (size_t i = 0; i < old_count; i++) {
        for (struct call *c = old[i], *next; c; c = next) {
            next = c->hash_next;
            struct call **to = bucket_of(t, &c->key);
            c->hash_next = *to;
            *to = c;
        }
    }
    free(old);
    return 0;
}

struct call *call_find(struct call_table *t, const struct digest *key)
{
    struct call *c = *bucket_of(t, key);
    while (c && memcmp(c->key.b, key->b, sizeof(key->b)) != 0) {
        c = c->hash_next;
    }
    return c;
}

/* Only joinable calls can be found, and of one key only the first: chains stay short even when
 * a hundred thousand joiners of one refused answer become calls of their own. */
static void make_findable(struct call_table *t, struct call *c)
{
    if (c->reusable && !call_find(t, &c->key)) {
        struct call **at = bucket_of(t, &c->key);
        c->hash_next = *at;
        *at = c;
    }
}

void call_hide(struct call_table *t, struct call *c)
{
    struct call **at = bucket_of(t, &c->key);
    while (*at && *at != c) {
        at = &(*at)->hash_next;
    }
    if (*at) {
        *at = c->hash_next;
    }
}

static void unlink_call(struct call_table *t, struct call *c)
{
    call_hide(t, c);
    if (t->walk == c) {
        t->walk = c->all_next;
    }
    *c->all_at = c->all_next;
    if (c->all_next) {
        c->all_next->all_at = c->all_at;
    }
}

static void link_call(struct call_table *t, struct call *c)
{
    c->all_next = t->all;
    c->all_at = &t->all;
    if (t->all) {
        t->all->all_at = &c->all_next;
    }
    t->all = c;
    make_findable(t, c);
}

static void describe(struct call *c, const struct release *r)
{
    c->key = r->key;
    c->lane = r->lane;
    c->tries = (uint16_t)MIN_OF(MAX_OF(r->tries, 1u), (uint32_t)UINT16_MAX);
    c->try_n = 1;
    c->reusable = r->reusable;
    c->chain_len = (uint8_t)MIN_OF(r->chain_len, (unsigned)PROMPT_CHAIN_MAX);
    for (unsigned i = 0; i < c->chain_len; i++) {
        c->chain[i] = r->chain[i].hash;
    }
    c->prompt_bytes = c->chain_len ? r->chain[c->chain_len - 1].bytes : 0;
    c->body_bytes = r->body_len;
    c->tokens_bound = r->input_bound;
    c->requests = MAX_OF(r->inputs, 1u);
}

struct call *call_new(struct call_table *t, const struct release *r, uint64_t at)
{
    struct call *c = calloc(1, sizeof(*c));
    if (!c) {
        return NULL;
    }
    c->jobs_tail = &c->jobs;
    describe(c, r);
    if (call_stream(t, at, r, &c->stream) < 0 || buckets_grow(t) < 0 ||
        append_job(t, c, at) < 0) {
        free(c);
        return NULL;
    }
    link_call(t, c);
    t->calls++;
    return c;
}

int call_join(struct call_table *t, struct call *c, uint64_t at)
{
    return append_job(t, c, at);
}

void call_unjoin(struct call_table *t, struct call *c, struct job *before)
{
    struct job *j = before->next;
    before->next = j->next;
    if (!j->next) {
        c->jobs_tail = &before->next;
    }
    c->jobs_len--;
    call_job_free(t, j);
}

void call_walk_begin(struct call_table *t)
{
    t->walk = t->all;
}

struct call *call_walk(const struct call_table *t)
{
    return t->walk;
}

void call_walk_on(struct call_table *t)
{
    if (t->walk) {
        t->walk = t->walk->all_next;
    }
}

struct call *call_free(struct call_table *t, struct call *c)
{
    if (c) {
        while (c->jobs) {
            call_job_free(t, call_pop_job(t, c));
        }
        unlink_call(t, c);
        t->calls--;
        free(c);
    }
    return NULL;
}

uint32_t call_count(const struct call_table *t)
{
    return t->calls;
}

uint32_t call_job_count(const struct call_table *t)
{
    return t->jobs;
}

/* ---- streams ---- */

static struct stream *stream_new(struct call_table *t)
{
    if (t->stream_count == t->stream_room) {
        uint16_t room = t->stream_room ? 2 * t->stream_room : 16;
        struct stream *streams = NULL;
        if (t->stream_count < CALL_STREAMS_MAX) {
            streams = realloc(t->streams, room * sizeof(*streams));
        }
        if (!streams) {
            return NULL;
        }
        t->streams = streams;
        t->stream_room = room;
    }
    return &t->streams[t->stream_count];
}

int call_stream(struct call_table *t, uint64_t at, const struct release *r, uint16_t *ret)
{
    uint32_t partition = place_partition(at), beside = 0;
    for (uint16_t i = 0; i < t->stream_count; i++) {
        const struct stream *s = &t->streams[i];
        if (s->partition != partition) {
            continue;
        }
        if (strcmp(s->model, r->model) == 0 && strcmp(s->path, r->path) == 0) {
            *ret = i;
            return 0;
        }
        beside++;
    }
    struct stream *s = beside < STREAMS_MAX ? stream_new(t) : NULL;
    if (!s) {
        return -1;
    }
    s->partition = partition;
    snprintf(s->path, sizeof(s->path), "%s", r->path);
    snprintf(s->model, sizeof(s->model), "%s", r->model);
    *ret = t->stream_count++;
    return 0;
}

uint32_t call_stream_partition(const struct call_table *t, uint16_t stream)
{
    return t->streams[stream].partition;
}

const char *call_stream_path(const struct call_table *t, uint16_t stream)
{
    return t->streams[stream].path;
}

const char *call_stream_model(const struct call_table *t, uint16_t stream)
{
    return t->streams[stream].model;
}

/* ---- life ---- */

int call_table_create(struct call_table **ret, struct err *err)
{
    struct call_table *t = calloc(1, sizeof(*t));
    if (!t || buckets_grow(t) < 0 || index_grow(t) < 0) {
        call_table_destroy(t);
        return err_set(err, ERR_FAIL,
                       "could not create the table of calls: out of memory");
    }
    *ret = t;
    return 0;
}

struct call_table *call_table_destroy(struct call_table *t)
{
    if (!t) {
        return NULL;
    }
    for (struct call *c = t->all, *next; c; c = next) {
        next = c->all_next;
        free(c);
    }
    for (struct chunk *c = t->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(t->buckets);
    free(t->index);
    free(t->streams);
    free(t);
    return NULL;
}
