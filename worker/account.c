#include "worker/account.h"
#include "core/hash.h"
#include "core/http.h"

#include <stdio.h>

#define FINGERPRINT_DIGITS 12

int account_init(struct account *ret, const char *base_url, const struct secret *key,
                 struct err *err)
{
    struct account a = {.key = key};
    size_t n = strlen(base_url);
    while (n > 0 && base_url[n - 1] == '/') {
        n--;
    }
    if (n >= sizeof(a.base_url)) {
        return err_set(err, ERR_USAGE,
                       "could not use the base URL: it is longer than %zu bytes",
                       sizeof(a.base_url) - 1);
    }
    memcpy(a.base_url, base_url, n);
    _cleanup_(buf_fini) struct buf origin;
    buf_init(&origin, sizeof(a.origin));
    int rc = http_origin(a.base_url, &origin, err);
    if (rc < 0) {
        return rc;
    }
    snprintf(a.origin, sizeof(a.origin), "%s", origin.p);

    struct hash *h = hash_open();
    const char *text = secret_text(key);
    char hex[HASH_HEX];
    hash_add(h, a.origin, strlen(a.origin));
    hash_add(h, "\n", 1);
    hash_add(h, text, strlen(text));
    snprintf(a.fingerprint, sizeof(a.fingerprint), "%.*s", FINGERPRINT_DIGITS,
             hash_hex(hash_end(h), hex));
    *ret = a;
    return 0;
}
