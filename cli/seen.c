#include "cli/seen.h"

#include <stdlib.h>

#define PIECE_BITS     ((uint64_t)1 << 15)
#define NAME_MAX_BYTES 128

struct stream {
    char name[NAME_MAX_BYTES];
    size_t name_n;
    uint64_t **pieces;
    size_t pieces_n;
};

struct seen {
    struct stream *streams;
    size_t n, cap;
    size_t last; /* the stream asked for last: most questions come in rows */
};

struct seen *seen_create(void)
{
    return calloc(1, sizeof(struct seen));
}

struct seen *seen_destroy(struct seen *s)
{
    if (!s) {
        return NULL;
    }
    for (size_t i = 0; i < s->n; i++) {
        for (size_t k = 0; k < s->streams[i].pieces_n; k++) {
            free(s->streams[i].pieces[k]);
        }
        free(s->streams[i].pieces);
    }
    free(s->streams);
    free(s);
    return NULL;
}

static bool is_stream(const struct stream *s, struct span name)
{
    return span_eq(span_of(s->name, s->name_n), name);
}

static struct stream *find_stream(struct seen *s, struct span name)
{
    if (s->last < s->n && is_stream(&s->streams[s->last], name)) {
        return &s->streams[s->last];
    }
    for (size_t i = 0; i < s->n; i++) {
        if (is_stream(&s->streams[i], name)) {
            s->last = i;
            return &s->streams[i];
        }
    }
    return NULL;
}

static struct stream *add_stream(struct seen *s, struct span name)
{
    if (name.n > NAME_MAX_BYTES || s->n == SEEN_STREAMS_MAX) {
        return NULL;
    }
    if (s->n == s->cap) {
        size_t cap = MAX_OF(2 * s->cap, 8);
        struct stream *grown = realloc(s->streams, cap * sizeof(*grown));
        if (!grown) {
            return NULL;
        }
        s->streams = grown;
        s->cap = cap;
    }
    struct stream *new = &s->streams[s->n++];
    *new = (struct stream){.name_n = name.n};
    memcpy(new->name, name.p, name.n);
    return new;
}

static uint64_t *find_piece(struct stream *s, size_t at)
{
    if (at >= s->pieces_n) {
        size_t n = MAX_OF(at + 1, 2 * s->pieces_n);
        uint64_t **grown = realloc(s->pieces, n * sizeof(*grown));
        if (!grown) {
            return NULL;
        }
        memset(grown + s->pieces_n, 0, (n - s->pieces_n) * sizeof(*grown));
        s->pieces = grown;
        s->pieces_n = n;
    }
    if (!s->pieces[at]) {
        s->pieces[at] = calloc(PIECE_BITS / 64, sizeof(uint64_t));
    }
    return s->pieces[at];
}

int seen_add(struct seen *s, struct span stream, uint64_t number)
{
    struct stream *in = find_stream(s, stream);
    if (!in) {
        in = add_stream(s, stream);
    }
    if (!in || number >= SEEN_MAX) {
        return -1;
    }
    uint64_t *piece = find_piece(in, (size_t)(number / PIECE_BITS));
    if (!piece) {
        return -1;
    }
    uint64_t *word = &piece[number % PIECE_BITS / 64];
    uint64_t bit = (uint64_t)1 << (number % 64);
    int is_new = (*word & bit) == 0;
    *word |= bit;
    return is_new;
}

bool seen_has(struct seen *s, struct span stream, uint64_t number)
{
    struct stream *in = find_stream(s, stream);
    size_t at = (size_t)(number / PIECE_BITS);
    if (!in || number >= SEEN_MAX || at >= in->pieces_n || !in->pieces[at]) {
        return false;
    }
    return in->pieces[at][number % PIECE_BITS / 64] >> (number % 64) & 1;
}
