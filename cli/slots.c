#include "cli/slots.h"

#include "cli/scratch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN 16

struct block {
    uint64_t number; /* 1 the first; 0: nothing is here */
    char *bytes;
};

struct slots {
    struct scratch *file;
    size_t size, per_block;
    uint64_t written; /* blocks below were written, or lie in a hole of the file */
    struct block cache[SLOTS_CACHE];
};

int slots_open(struct slots **ret, const char *dir, size_t size, struct err *err)
{
    assert(size && size % ALIGN == 0 && size <= SLOTS_BLOCK);
    struct slots *s = calloc(1, sizeof(*s));
    if (!s) {
        return err_set(err, ERR_FAIL, "could not make a table on disk: out of memory");
    }
    s->size = size;
    s->per_block = SLOTS_BLOCK / size;
    int rc = scratch_open(&s->file, dir, err);
    if (rc < 0) {
        slots_close(s);
        return rc;
    }
    *ret = s;
    return 0;
}

struct slots *slots_close(struct slots *s)
{
    if (s) {
        for (unsigned i = 0; i < SLOTS_CACHE; i++) {
            free(s->cache[i].bytes);
        }
        scratch_close(s->file);
        free(s);
    }
    return NULL;
}

static int put_back(struct slots *s, const struct block *b, struct err *err)
{
    uint64_t at = (b->number - 1) * SLOTS_BLOCK;
    s->written = b->number > s->written ? b->number : s->written;
    return scratch_set(s->file, at, span_of(b->bytes, SLOTS_BLOCK), err);
}

static int load(struct slots *s, struct block *b, uint64_t number, struct err *err)
{
    int rc = b->number ? put_back(s, b, err) : 0;
    b->number = 0;
    if (rc >= 0 && !b->bytes) {
        b->bytes = aligned_alloc(ALIGN, SLOTS_BLOCK);
        rc = b->bytes ? 0
                      : err_set(err, ERR_FAIL,
                                "could not read a table on disk: "
                                "out of memory");
    }
    if (rc < 0) {
        return rc;
    }
    memset(b->bytes, 0, SLOTS_BLOCK);
    if (number <= s->written) {
        rc = scratch_get(s->file, (number - 1) * SLOTS_BLOCK, b->bytes, SLOTS_BLOCK, err);
    }
    b->number = rc < 0 ? 0 : number;
    return rc;
}

void *slots_at(struct slots *s, uint64_t number, struct err *err)
{
    if (number >= SLOTS_MAX) {
        err_set(err, ERR_FAIL,
                "could not use record %llu of a table on disk: it is beyond its maximum",
                (unsigned long long)number);
        return NULL;
    }
    uint64_t wanted = number / s->per_block + 1;
    struct block *b = &s->cache[wanted % SLOTS_CACHE];
    if (b->number != wanted && load(s, b, wanted, err) < 0) {
        return NULL;
    }
    return b->bytes + number % s->per_block * s->size;
}
