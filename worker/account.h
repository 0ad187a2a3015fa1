/*
 * account.h - under whose name the lane works: base URL, key, and what tells them apart.
 *
 * The fingerprint is the first 12 hex digits of SHA-256 over origin and key: it names an
 * account in journals and records without telling its key. Two keys may belong to one account;
 * only the provider can tell, so the lane asks it (worker/recover.h).
 */
#ifndef OFFPEAK_WORKER_ACCOUNT_H
#define OFFPEAK_WORKER_ACCOUNT_H

#include "core/err.h"
#include "core/secret.h"

struct account {
    char base_url[512]; /* without a slash at its end */
    char origin[256];
    char fingerprint[64];
    const struct secret *key; /* borrowed */
};

int account_init(struct account *ret, const char *base_url, const struct secret *key,
                 struct err *err);

#endif
