#include "cli/servers.h"

#include "core/hash.h"
#include "core/http.h"
#include "core/name.h"

#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_PATH "/v1"
#define PRICE_SHOWN  60 /* bytes of pool.price in a label */

/* ---- addresses ---- */

static struct span trimmed(struct span s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s = span_of(s.p + 1, s.n - 1);
    }
    while (s.n && strchr(" \t/", s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

/* Puts one address behind those that are there; `*at` is where it may stand. */
static int add_server(struct servers *s, struct span given, char **at, bool insecure,
                      struct err *err)
{
    char *url = *at;
    memcpy(url, given.p, given.n);
    url[given.n] = '\0';
    _cleanup_(buf_fini) struct buf origin;
    buf_init(&origin, CONFIG_VALUE_MAX);
    int rc = http_origin(url, &origin, err);
    rc = rc < 0 ? rc : http_check_url(url, insecure, err);
    if (rc < 0) {
        err_hint(err, "--set pool.servers=http://HOST:8000/v1,http://HOST2:8000/v1");
        return rc;
    }
    const char *host = strstr(url, "://");
    if (host && !strchr(host + 3, '/')) {
        memcpy(url + given.n, DEFAULT_PATH, sizeof(DEFAULT_PATH));
    }
    s->url[s->n++] = url;
    *at = url + strlen(url) + 1;
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_twice(struct servers *s, struct err *err)
{
    qsort(s->url, s->n, sizeof(s->url[0]), by_text);
    for (unsigned i = 1; i < s->n; i++) {
        if (!strcmp(s->url[i - 1], s->url[i])) {
            return err_set(err, ERR_USAGE,
                           "could not use pool.servers: '%s' stands there twice",
                           s->url[i]);
        }
    }
    return 0;
}

static int read_list(struct servers *s, const char *list, bool insecure, struct err *err)
{
    size_t room = strlen(list) + SERVERS_MAX * sizeof(DEFAULT_PATH) + 1;
    struct span rest = span_str(list);
    s->text = malloc(room);
    if (!s->text) {
        return err_set(err, ERR_FAIL, "could not keep the servers: no memory");
    }
    char *at = s->text;
    while (rest.n) {
        const char *comma = memchr(rest.p, ',', rest.n);
        size_t n = comma ? (size_t)(comma - rest.p) : rest.n;
        struct span one = trimmed(span_of(rest.p, n));
        if (one.n && s->n == SERVERS_MAX) {
            return err_set(err, ERR_USAGE,
                           "could not use pool.servers: it names more than %d",
                           SERVERS_MAX);
        }
        int rc = one.n ? add_server(s, one, &at, insecure, err) : 0;
        if (rc < 0) {
            return rc;
        }
        rest = span_of(rest.p + n + (comma != NULL), rest.n - n - (comma != NULL));
    }
    return check_twice(s, err);
}

/* ---- all of it ---- */

/* Two processes whose notes are the same ask the same servers and book the same prices. */
static void make_note(struct servers *s, const struct cli_settings *set)
{
    char hex[HASH_HEX], limits[64];
    struct hash *sum = hash_open();
    for (unsigned i = 0; i < s->n; i++) {
        hash_add(sum, s->url[i], strlen(s->url[i]) + 1);
    }
    snprintf(limits, sizeof(limits), "%lld,%lld", (long long)set->pool_context_tokens,
             (long long)set->pool_output_tokens);
    hash_add(sum, limits, strlen(limits) + 1);
    hash_add(sum, set->pool_price, strlen(set->pool_price) + 1);
    if (s->key) {
        const char *print = secret_fingerprint(s->key);
        hash_add(sum, print, strlen(print));
    }
    snprintf(s->label, sizeof(s->label), "%s, %u server%s at %.*s", s->endpoint, s->n,
             s->n == 1 ? "" : "s", PRICE_SHOWN, set->pool_price);
    snprintf(s->note, sizeof(s->note), "%s, %.8s", s->label,
             hash_hex(hash_end(sum), hex));
}

static int open_prices(struct servers *s, const struct cli_settings *set, struct err *err)
{
    const struct price_pool pool = {
        .price = set->pool_price,
        .context_tokens = (uint64_t)set->pool_context_tokens,
        .output_tokens_max = (uint64_t)set->pool_output_tokens,
    };
    return price_book_pool(&s->prices, &pool, err);
}

static int open_key(struct servers *s, const struct cli_settings *set, struct err *err)
{
    const struct secret_sources from = {.config_file = set->pool_key_file};
    return set->pool_key_file ? secret_load(&s->key, &from, err) : 0;
}

static int open_all(struct servers *s, const struct cli *c, enum servers_use use,
                    struct err *err)
{
    const struct cli_settings *set = &c->set->cli;
    int rc = open_prices(s, set, err);
    if (rc >= 0 && use != SERVERS_OTHERS) {
        rc = open_key(s, set, err);
    }
    if (rc >= 0) {
        rc = read_list(s, set->pool_servers, c->opt->insecure || !s->key, err);
    }
    if (rc >= 0) {
        make_note(s, set);
    }
    return rc;
}

/* What is missing before a pool can be used; false: nothing. */
static bool lacks(struct servers *s, const struct cli_settings *set)
{
    if (!set->pool_servers ||
        strspn(set->pool_servers, " \t,") == strlen(set->pool_servers)) {
        s->why = "no servers were given";
        s->hint = "--set pool.servers=http://HOST:8000/v1,... names them, and "
                  "--set pool.price=free says that they cost nothing";
    } else if (!set->pool_price || !set->pool_price[0]) {
        s->why = "nobody said what its servers cost";
        s->hint = "--set pool.price=free, or --set pool.price=INPUT/CACHED/OUTPUT in USD "
                  "per million tokens";
    }
    return s->why;
}

int servers_open(struct servers *ret, const struct cli *c, enum servers_use use,
                 struct err *err)
{
    bool needed = use == SERVERS_NEEDED;
    const struct cli_settings *set = &c->set->cli;
    *ret = (struct servers){0};
    int rc = name_check_team("pool.name", span_str(set->pool_name), err);
    if (rc < 0) {
        return rc;
    }
    snprintf(ret->endpoint, sizeof(ret->endpoint), ENDPOINT_POOL "%s", set->pool_name);
    if (lacks(ret, set)) {
        if (needed) {
            err_set(err, ERR_USAGE, "could not use lane 'pool': %s", ret->why);
            err_hint(err, "%s", ret->hint);
        }
        return needed ? -(int)ERR_USAGE : 0;
    }
    return open_all(ret, c, use, err);
}

void servers_close(struct servers *s)
{
    s->key = secret_destroy(s->key);
    s->prices = price_book_free(s->prices);
    free(s->text);
    s->text = NULL;
    s->n = 0;
}
