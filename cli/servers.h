/*
 * servers.h - servers of one's own: which they are, and what they cost.
 *
 * From the configuration: pool.servers (addresses, with commas between), pool.price (nobody else
 * can know it), pool.name, pool.key_file. A process that was given servers and their price can
 * make calls in the lane 'pool'; one that was not leaves such jobs alone and says what is missing.
 * Opened with the endpoint (cli/endpoint.h); owns the addresses, the key and the price book.
 *
 * An address without a path gets "/v1", as OpenAI-compatible servers have it. Plain http is fine:
 * such servers stand in one's own network, and without pool.key_file there is no key to protect.
 */
#ifndef OFFPEAK_CLI_SERVERS_H
#define OFFPEAK_CLI_SERVERS_H

#include "cli/cli.h"
#include "core/prices.h"
#include "core/record.h"

#define SERVERS_MAX          64
#define SERVERS_ENDPOINT_MAX (sizeof(ENDPOINT_POOL) + TEAM_MAX)
#define SERVERS_LABEL_MAX    160
#define SERVERS_NOTE_MAX     (SERVERS_LABEL_MAX + 16)

struct servers {
    char endpoint
        [SERVERS_ENDPOINT_MAX];   /* "pool:default", whether or not there are servers */
    unsigned n;                   /* 0: none that can be used */
    const char *url[SERVERS_MAX]; /* in byte order, no slash at the end */
    char *text;                   /* what `url` points into */
    struct secret *key;           /* for all of them; NULL: none */
    struct price_book *prices;
    char label[SERVERS_LABEL_MAX]; /* "pool:default, 4 servers at free" */
    char note[SERVERS_NOTE_MAX];   /* the label, and a digest of all that may differ */
    const char *why, *hint;        /* n 0: what is missing, and what to give */
};

enum servers_use {
    SERVERS_IF_ANY,
    SERVERS_NEEDED, /* what is missing is ERR_USAGE, not silence */
    SERVERS_OTHERS, /* others call them: their key is not asked for */
};
int servers_open(struct servers *ret, const struct cli *c, enum servers_use use,
                 struct err *err);
void servers_close(struct servers *s);

#endif
