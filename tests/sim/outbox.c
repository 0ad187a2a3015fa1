#include "tests/sim/outbox.h"

#include "tests/sim/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { COPY_BYTES = 1 << 18 };

struct place {
    int64_t offset;
    size_t length;
};

struct side {
    struct place *lines;
    size_t n;
    size_t cap;
};

struct outbox {
    FILE *spool;
    int64_t end;
    struct side sides[OUTBOX_SIDES];
};

struct outbox *outbox_create(int fd)
{
    FILE *spool = fd < 0 ? NULL : fdopen(fd, "w+e");
    if (!spool) {
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    struct outbox *o = must_calloc(1, sizeof *o);
    o->spool = spool;
    return o;
}

struct outbox *outbox_destroy(struct outbox *o)
{
    if (o) {
        (void)fclose(o->spool);
        for (int i = 0; i < OUTBOX_SIDES; i++) {
            free(o->sides[i].lines);
        }
        free(o);
    }
    return NULL;
}

int outbox_add(struct outbox *o, enum outbox_side side, const struct text *line)
{
    struct side *s = &o->sides[side];
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 256;
        s->lines = must_realloc(s->lines, s->cap, sizeof *s->lines);
    }
    if (fwrite(line->data, line->len, 1, o->spool) != 1 || fputc('\n', o->spool) == EOF) {
        return -1;
    }
    s->lines[s->n++] = (struct place){o->end, line->len + 1};
    o->end += (int64_t)line->len + 1;
    return 0;
}

size_t outbox_count(const struct outbox *o, enum outbox_side side)
{
    return o->sides[side].n;
}

static void shuffle(struct side *s, uint64_t seed)
{
    for (size_t i = s->n; i > 1; i--) {
        size_t k = (size_t)rng_below(&seed, i);
        struct place other = s->lines[k];
        s->lines[k] = s->lines[i - 1];
        s->lines[i - 1] = other;
    }
}

static int write_all(int fd, const char *at, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, at, n);
        if (done < 0) {
            return -1;
        }
        at += done;
        n -= (size_t)done;
    }
    return 0;
}

/* Fills `gather` with the line at `from`; the buffer is written out when it is full. */
static int copy_line(struct outbox *o, struct place from, struct text *gather, int fd)
{
    if (gather->len + from.length > COPY_BYTES) {
        if (write_all(fd, gather->data, gather->len) < 0) {
            return -1;
        }
        text_clear(gather);
    }
    char *to = text_room(gather, from.length);
    ssize_t n = pread(fileno(o->spool), to, from.length, from.offset);
    gather->len += from.length;
    return n == (ssize_t)from.length ? 0 : -1;
}

int outbox_publish(struct outbox *o, enum outbox_side side, uint64_t seed, int fd)
{
    struct side *s = &o->sides[side];
    struct text gather = {0};
    int rc = fflush(o->spool) == 0 ? 0 : -1;
    shuffle(s, seed);
    for (size_t i = 0; i < s->n && rc == 0; i++) {
        rc = copy_line(o, s->lines[i], &gather, fd);
    }
    if (rc == 0 && gather.len) {
        rc = write_all(fd, gather.data, gather.len);
    }
    text_done(&gather);
    return rc;
}
