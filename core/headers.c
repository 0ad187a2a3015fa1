#include "core/headers.h"

#define NAME_MAX_BYTES  255
#define VALUE_MAX_BYTES 65535
#define FRAME_BYTES     3 /* one of name length, two of value length */

int headers_add(struct buf *block, const char *name, struct span value)
{
    size_t name_n = strlen(name);
    bool fits = name_n > 0 && name_n <= NAME_MAX_BYTES && value.n <= VALUE_MAX_BYTES &&
                block->n + FRAME_BYTES + name_n + value.n <= HEADERS_BYTES_MAX;
    if (!fits || buf_reserve(block, FRAME_BYTES + name_n + value.n) < 0) {
        block->failed = true;
        return -1;
    }
    buf_addc(block, (char)name_n);
    buf_add(block, name, name_n);
    buf_addc(block, (char)(value.n >> 8));
    buf_addc(block, (char)(value.n & 0xff));
    return buf_add(block, value.p, value.n);
}

int headers_adds(struct buf *block, const char *name, const char *value)
{
    return headers_add(block, name, span_str(value));
}

bool headers_next(struct span block, size_t *at, struct span *ret_name,
                  struct span *ret_value)
{
    const unsigned char *p = (const unsigned char *)block.p;
    size_t left = block.n - *at;
    if (*at >= block.n) {
        return false;
    }
    size_t name_n = p[*at];
    if (name_n == 0 || left < FRAME_BYTES + name_n) {
        return false;
    }
    size_t value_at = *at + 1 + name_n;
    size_t value_n = (size_t)p[value_at] << 8 | p[value_at + 1];
    if (left < FRAME_BYTES + name_n + value_n) {
        return false;
    }
    *ret_name = span_of(block.p + *at + 1, name_n);
    *ret_value = span_of(block.p + value_at + 2, value_n);
    *at += FRAME_BYTES + name_n + value_n;
    return true;
}

bool headers_get(struct span block, const char *name, struct span *ret)
{
    size_t at = 0;
    struct span n, v;
    while (headers_next(block, &at, &n, &v)) {
        if (span_is(n, name)) {
            *ret = v;
            return true;
        }
    }
    return false;
}

bool headers_valid(struct span block)
{
    size_t at = 0;
    struct span n, v;
    if (block.n > HEADERS_BYTES_MAX) {
        return false;
    }
    while (headers_next(block, &at, &n, &v)) {
    }
    return at == block.n;
}
