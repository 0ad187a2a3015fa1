/*
 * endpoint.h - where requests go, under whose key, at whose prices.
 *
 * Address: config openai.base_url (OPENAI_BASE_URL), a slash at its end makes no difference.
 * Key: core/secret.h. Prices: the price book in the program unless prices.file names another.
 * Servers of one's own: cli/servers.h. Opened once per command; owns all of them.
 */
#ifndef OFFPEAK_CLI_ENDPOINT_H
#define OFFPEAK_CLI_ENDPOINT_H

#include "cli/cli.h"
#include "cli/servers.h"
#include "core/http.h"
#include "core/prices.h"
#include "scheduler/scheduler.h"

#define PROVIDER_OPENAI "openai" /* in the price book and in records */

struct loop;

struct endpoint {
    char base_url[512]; /* without a slash at its end */
    char origin[256];
    char account[64];   /* fingerprint; "" without a key */
    struct secret *key; /* NULL: none given: no calls to a provider */
    struct price_book *prices;
    struct servers pool;
};

enum endpoint_key {
    ENDPOINT_KEY_IF_ANY,
    ENDPOINT_KEY_NEEDED, /* there must be one */
    ENDPOINT_KEY_OTHERS, /* others make the calls: ours is not asked for, nor the pool's */
};
struct endpoint_need {
    enum endpoint_key key;
    bool pool; /* servers of one's own must be given; nothing else has to be asked */
};

int endpoint_open(struct endpoint *ret, const struct cli *c,
                  const struct endpoint_need *need, struct err *err);
void endpoint_close(struct endpoint *e);
int endpoint_http(const struct endpoint *e, const struct cli *c, struct loop *loop,
                  struct http **ret, struct err *err);
/* Loads key file, prices and servers again, all or nothing. A key that came from the environment
 * is kept. */
int endpoint_reopen(struct endpoint *e, const struct cli *c, struct err *err);
/* The terms of each lane, borrowed from `e`. */
void endpoint_lanes(const struct endpoint *e, struct scheduler_lane ret[static LANES]);
/* What a worker calls, under which key, at which prices: borrowed too. */
void endpoint_worker(const struct endpoint *e, struct worker_conf *ret);

/* The price book built into the program (schemas/price-book.json). */
extern const char price_book_text[];
extern const size_t price_book_text_len;

#endif
