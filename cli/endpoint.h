/*
 * endpoint.h - where requests go, under whose key, at whose prices.
 *
 * Address: config openai.base_url (OPENAI_BASE_URL), a slash at its end makes no difference.
 * Key: core/secret.h. Prices: the price book in the program unless prices.file names another.
 * Opened once per command; owns the secret and the book.
 */
#ifndef OFFPEAK_CLI_ENDPOINT_H
#define OFFPEAK_CLI_ENDPOINT_H

#include "cli/cli.h"
#include "core/http.h"
#include "core/prices.h"

struct loop;

struct endpoint {
    char base_url[512]; /* without a slash at its end */
    char origin[256];
    char account[64];   /* fingerprint; "" without a key */
    struct secret *key; /* NULL: none given */
    struct price_book *prices;
};

/* The address and the prices; the key too unless `key_optional` and there is none. */
int endpoint_open(struct endpoint *ret, const struct cli *c, bool key_optional,
                  struct err *err);
void endpoint_close(struct endpoint *e);
int endpoint_http(const struct cli *c, struct loop *loop, struct http **ret,
                  struct err *err);

/* The price book built into the program (schemas/price-book.json). */
extern const char price_book_text[];
extern const size_t price_book_text_len;

#endif
