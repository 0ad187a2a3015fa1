/*
 * unpack.h - the bytes of a file, unpacked when they are compressed.
 *
 * gzip and zstd are told by their first bytes, not by the name. Several members or frames in one
 * file are one text (RFC 1952, 2.2; RFC 8878, 3.1). A file that ends in the middle of one is an
 * error, never a shorter file. Memory: one chunk and the decoder's window, of zstd at most 128 MiB.
 */
#ifndef OFFPEAK_PRODUCER_UNPACK_H
#define OFFPEAK_PRODUCER_UNPACK_H

#include "core/err.h"
#include <stddef.h>
#include <stdint.h>

struct unpack;

/* Reads from fd, which stays the caller's. */
int unpack_open(struct unpack **ret, int fd, struct err *err);
/* Up to n bytes; 0 at the end. The error says what is wrong, without the file's name. */
int64_t unpack_read(struct unpack *u, char *p, size_t n, struct err *err);
struct unpack *unpack_close(struct unpack *u);

#endif
