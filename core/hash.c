#include "core/hash.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct hash {
    EVP_MD_CTX *ctx;
};

/* OpenSSL fails here only without memory or without SHA-256: nothing of ours works then. */
static void must(bool ok)
{
    if (!ok) {
        abort();
    }
}

struct hash *hash_open(void)
{
    struct hash *h = malloc(sizeof(*h));
    must(h != NULL);
    h->ctx = EVP_MD_CTX_new();
    must(h->ctx && EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) == 1);
    return h;
}

void hash_add(struct hash *h, const void *p, size_t n)
{
    if (n) {
        must(EVP_DigestUpdate(h->ctx, p, n) == 1);
    }
}

struct digest hash_end(struct hash *h)
{
    struct digest d;
    must(EVP_DigestFinal_ex(h->ctx, d.b, NULL) == 1);
    hash_drop(h);
    return d;
}

struct hash *hash_drop(struct hash *h)
{
    if (h) {
        EVP_MD_CTX_free(h->ctx);
        free(h);
    }
    return NULL;
}

struct digest hash_of(struct span data)
{
    struct digest d;
    must(EVP_Digest(data.n ? data.p : "", data.n, d.b, NULL, EVP_sha256(), NULL) == 1);
    return d;
}

struct digest hash_peek(const struct hash *h)
{
    struct digest d;
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    must(copy && EVP_MD_CTX_copy_ex(copy, h->ctx) == 1);
    must(EVP_DigestFinal_ex(copy, d.b, NULL) == 1);
    EVP_MD_CTX_free(copy);
    return d;
}

const char *hash_hex(struct digest d, char ret[static HASH_HEX])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < HASH_BYTES; i++) {
        ret[2 * i] = digits[d.b[i] >> 4];
        ret[2 * i + 1] = digits[d.b[i] & 15];
    }
    ret[HASH_HEX - 1] = '\0';
    return ret;
}

uint64_t hash_u64(struct digest d)
{
    uint64_t value = 0;
    for (size_t i = 0; i < 8; i++) {
        value = value << 8 | d.b[i];
    }
    return value;
}
