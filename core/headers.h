/*
 * headers.h - the headers of a record: short names with byte values, as Kafka has them.
 *
 * Encoded: for each header one byte of name length, the name, two bytes (big endian) of value
 * length, the value. Numbers are decimal text. At most HEADERS_BYTES_MAX bytes; a header that
 * does not fit marks the block `failed`. Where a name stands twice the first counts. A builder appends to a buf; a reader looks names up in an encoded block.
 * Unknown names are kept and ignored, so a newer writer does not break an older reader.
 */
#ifndef OFFPEAK_CORE_HEADERS_H
#define OFFPEAK_CORE_HEADERS_H

#include "core/buf.h"
#include <stdbool.h>

#define HEADERS_BYTES_MAX 4096
/* What came with a record was more than a block holds: this header stands for all of it. */
#define HEADERS_CUT "headers.cut"

int headers_add(struct buf *block, const char *name, struct span value);
int headers_adds(struct buf *block, const char *name, const char *value);

bool headers_get(struct span block, const char *name, struct span *ret);
/* Walks the block: *at starts at 0; false at the end or on a malformed block. */
bool headers_next(struct span block, size_t *at, struct span *ret_name,
                  struct span *ret_value);
bool headers_valid(struct span block);

#endif
