#include "tests/sim/line_reader.h"

#include "tests/sim/text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK_BYTES = 1 << 16 };

struct line_reader {
    int fd;
    char *data;
    size_t cap;
    size_t from; /* what was read and not yet returned: data[from..to) */
    size_t to;
    bool at_end;
};

struct line_reader *line_reader_create(int fd)
{
    struct line_reader *r = must_calloc(1, sizeof *r);
    r->fd = fd;
    return r;
}

struct line_reader *line_reader_destroy(struct line_reader *r)
{
    if (r) {
        close(r->fd);
        free(r->data);
        free(r);
    }
    return NULL;
}

static int fill(struct line_reader *r)
{
    size_t held = r->to - r->from;
    if (held > LINE_BYTES_MAX) {
        return -1;
    }
    if (r->from) {
        memmove(r->data, r->data + r->from, held);
    }
    r->from = 0;
    r->to = held;
    if (r->cap < held + CHUNK_BYTES) {
        r->cap = 2 * (held + CHUNK_BYTES);
        r->data = must_realloc(r->data, r->cap, 1);
    }
    ssize_t n = read(r->fd, r->data + r->to, r->cap - r->to);
    r->to += n > 0 ? (size_t)n : 0;
    r->at_end = n == 0;
    return n < 0 ? -1 : 0;
}

static int take(struct line_reader *r, size_t length, size_t skip, const char **ret_line,
                size_t *ret_len)
{
    *ret_line = r->data + r->from;
    *ret_len = length;
    r->from += length + skip;
    return 1;
}

int line_reader_next(struct line_reader *r, const char **ret_line, size_t *ret_len)
{
    size_t searched = 0;
    for (;;) {
        size_t held = r->to - r->from;
        const char *start = r->data + r->from;
        const char *end =
            held > searched ? memchr(start + searched, '\n', held - searched) : NULL;
        if (end) {
            return take(r, (size_t)(end - start), 1, ret_line, ret_len);
        }
        if (r->at_end) {
            return held ? take(r, held, 0, ret_line, ret_len) : 0;
        }
        searched = held;
        if (fill(r) < 0) {
            return -1;
        }
    }
}
