#include "cli/endpoint.h"

#include <stdio.h>

static int open_address(struct endpoint *e, const struct cli *c, struct err *err)
{
    const char *url = c->set->cli.base_url;
    size_t n = strlen(url);
    while (n > 0 && url[n - 1] == '/') {
        n--;
    }
    if (n == 0 || n >= sizeof(e->base_url)) {
        return err_set(err, ERR_USAGE, "could not use the base URL '%.80s': it is %s",
                       url, n ? "too long" : "empty");
    }
    snprintf(e->base_url, sizeof(e->base_url), "%.*s", (int)n, url);
    _cleanup_(buf_fini) struct buf origin;
    buf_init(&origin, sizeof(e->origin) - 1);
    int rc = http_origin(e->base_url, &origin, err);
    if (rc < 0) {
        err_hint(err, "OPENAI_BASE_URL should look like https://api.openai.com/v1");
        return rc;
    }
    snprintf(e->origin, sizeof(e->origin), "%s", origin.p);
    return 0;
}

static int check_plain(const struct endpoint *e, const struct cli *c, struct err *err)
{
    if (!strncmp(e->origin, "https://", 8) || c->opt->insecure ||
        http_is_loopback(e->base_url)) {
        return 0;
    }
    err_set(err, ERR_USAGE,
            "could not use '%s': plain http would send the key unprotected", e->origin);
    err_hint(err, "use https, or --insecure if you mean it");
    return -ERR_USAGE;
}

static int open_key(struct endpoint *e, const struct cli *c, bool needed, struct err *err)
{
    struct secret_sources from = {
        .key_file = c->opt->key_file,
        .env_file = c->env.api_key_file,
        .env_value = c->env.api_key,
        .config_file = c->set->cli.key_file,
    };
    bool given = from.key_file || from.env_file || from.config_file ||
                 (from.env_value && from.env_value[0]);
    if (!given && !needed) {
        return 0;
    }
    int rc = secret_load(&e->key, &from, err);
    return rc < 0 ? rc : worker_account_fingerprint(e->base_url, e->key, e->account, err);
}

static int open_prices(struct endpoint *e, const struct cli *c, struct err *err)
{
    const char *path = c->set->cli.prices_file;
    if (path) {
        return price_book_load(&e->prices, path, err);
    }
    struct span text = span_of(price_book_text, price_book_text_len);
    return price_book_parse(&e->prices, text, "built in", err);
}

int endpoint_open(struct endpoint *ret, const struct cli *c,
                  const struct endpoint_need *need, struct err *err)
{
    *ret = (struct endpoint){0};
    bool others = need->key == ENDPOINT_KEY_OTHERS;
    enum servers_use use = others       ? SERVERS_OTHERS
                           : need->pool ? SERVERS_NEEDED
                                        : SERVERS_IF_ANY;
    int rc = open_address(ret, c, err);
    if (rc >= 0 && !others) {
        rc = open_key(ret, c, need->key == ENDPOINT_KEY_NEEDED, err);
    }
    if (rc >= 0 && (ret->key || !need->pool) && !others) {
        rc = check_plain(ret, c, err);
    }
    if (rc >= 0) {
        rc = open_prices(ret, c, err);
    }
    if (rc >= 0) {
        rc = servers_open(&ret->pool, c, use, err);
    }
    if (rc < 0) {
        endpoint_close(ret);
    }
    return rc;
}

void endpoint_close(struct endpoint *e)
{
    servers_close(&e->pool);
    e->key = secret_destroy(e->key);
    e->prices = price_book_free(e->prices);
}

int endpoint_reopen(struct endpoint *e, const struct cli *c, struct err *err)
{
    const struct endpoint_need any = {.key = ENDPOINT_KEY_IF_ANY};
    struct endpoint next;
    int rc = endpoint_open(&next, c, &any, err);
    if (rc >= 0 && !next.key && e->key) { /* the environment's string was wiped */
        rc = worker_account_fingerprint(next.base_url, e->key, next.account, err);
        next.key = rc < 0 ? NULL : TAKE_PTR(e->key);
    }
    if (rc < 0) {
        endpoint_close(&next);
        return rc;
    }
    endpoint_close(e);
    *e = next;
    return 0;
}

/* Servers without a key have none to protect: plain http reaches them on any machine. Whoever has
 * a key was checked when it was opened. */
int endpoint_http(const struct endpoint *e, const struct cli *c, struct loop *loop,
                  struct http **ret, struct err *err)
{
    const struct worker_settings *w = &c->set->worker;
    int64_t direct = w->sync.concurrency + w->pool.concurrency * (int64_t)e->pool.n;
    struct http_conf conf = {
        .user_agent = "offpeak/" OFFPEAK_VERSION,
        .ca_file = c->set->cli.ca_file,
        .proxy = c->set->cli.proxy,
        .insecure_http = c->opt->insecure || (e->pool.n && !e->pool.key),
        .connections_max = (int)(c->set->cli.connections + direct),
    };
    return http_create(ret, loop, &conf, err);
}

void endpoint_lanes(const struct endpoint *e, struct scheduler_lane ret[static LANES])
{
    ret[LANE_BATCH] = ret[LANE_SYNC] = (struct scheduler_lane){
        .prices = e->prices,
        .provider = PROVIDER_OPENAI,
        .endpoint = e->origin,
        .calls = e->key,
    };
    ret[LANE_POOL] = (struct scheduler_lane){
        .prices = e->pool.n ? e->pool.prices : NULL,
        .provider = PROVIDER_POOL,
        .endpoint = e->pool.endpoint,
        .calls = e->pool.n,
        .why = e->pool.why,
        .hint = e->pool.hint,
    };
}

void endpoint_worker(const struct endpoint *e, struct worker_conf *ret)
{
    ret->prices = e->prices;
    ret->base_url = e->base_url;
    ret->key = e->key;
    ret->pool = (struct worker_pool){
        .endpoint = e->pool.endpoint,
        .servers = e->pool.url,
        .servers_n = e->pool.n,
        .key = e->pool.key,
        .prices = e->pool.prices,
    };
}
