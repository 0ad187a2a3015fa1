/*
 * hash.h - SHA-256 (OpenSSL), and its hexadecimal form.
 *
 * For identities: cache keys, file digests, record ids. Streaming use: hash_open, hash_add any
 * number of times, hash_end once, which also frees. One hash belongs to one thread.
 */
#ifndef OFFPEAK_CORE_HASH_H
#define OFFPEAK_CORE_HASH_H

#include "core/buf.h"
#include <stdint.h>

#define HASH_BYTES 32
#define HASH_HEX   (2 * HASH_BYTES + 1)

struct hash;

struct digest {
    uint8_t b[HASH_BYTES];
};

struct hash *hash_open(void); /* never NULL: an allocation failure here aborts */
void hash_add(struct hash *h, const void *p, size_t n);
struct digest hash_end(struct hash *h); /* frees h */
struct hash *hash_drop(struct hash *h); /* frees without a result; returns NULL */
struct digest hash_of(struct span data);
struct digest hash_peek(const struct hash *h); /* the digest so far; h goes on */

const char *hash_hex(struct digest d, char ret[static HASH_HEX]);
uint64_t hash_u64(struct digest d); /* first 8 bytes, big endian */

#endif
