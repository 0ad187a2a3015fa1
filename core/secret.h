/*
 * secret.h - an API key in memory, and nowhere else.
 *
 * The key lives on a page of its own that is locked (not swapped) and left out of core dumps,
 * and is overwritten by secret_destroy. Sources, the first that is given wins:
 *
 *     key_file (--key-file)  >  env_file (OPENAI_API_KEY_FILE)  >  env_value (OPENAI_API_KEY)
 *                            >  config_file (openai.key_file)
 *
 * env_value is the string getenv returned; secret_load overwrites it with zeros, whichever
 * source wins, so that /proc/PID/environ forgets it. main then removes the variable.
 *
 * A file may be a link (mounted secrets are) but must lead to a regular file; spaces and
 * newlines around the key are dropped, anything in it but printable ASCII is refused. Errors:
 * ERR_AUTH with a hint, never with a byte of the key.
 */
#ifndef OFFPEAK_CORE_SECRET_H
#define OFFPEAK_CORE_SECRET_H

#include "core/err.h"

#define SECRET_BYTES_MAX   2000
#define SECRET_FINGERPRINT 9 /* 8 hex digits and NUL */

struct secret;

struct secret_sources {
    const char *key_file;
    const char *env_file;
    char *env_value;
    const char *config_file;
};

int secret_load(struct secret **ret, const struct secret_sources *from, struct err *err);
struct secret *secret_destroy(struct secret *s);

const char *secret_text(const struct secret *s); /* the key: for http.h's `bearer` only */
const char *secret_origin(
    const struct secret *s); /* "OPENAI_API_KEY", "file '/run/key'" */
/* The first 8 hex digits of SHA-256("offpeak key" || key): safe to print and to store. */
const char *secret_fingerprint(const struct secret *s);
/* What main should warn about ("file 'x' can be read by every user"), or NULL. */
const char *secret_warning(const struct secret *s);

/* A zeroed page as the key's own: locked, not in core files, not in children. For whoever must
 * hold a copy (a request's header). NULL without memory; destroy wipes it and takes NULL. */
#define SECRET_PAGE_BYTES ((size_t)4096)
char *secret_page_create(void);
char *secret_page_destroy(char *page);

/* No core file, and no other process of this user may attach. 0, or ERR_FAIL. */
int secret_harden_process(struct err *err);

#endif
