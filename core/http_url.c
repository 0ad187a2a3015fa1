/* The addresses of http.h: which may be used, and what identifies one. */
#include "core/http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <strings.h>

static CURLU *parse_url(const char *url, struct err *err)
{
    CURLU *u = curl_url();
    CURLUcode rc = u ? curl_url_set(u, CURLUPART_URL, url, 0) : CURLUE_OUT_OF_MEMORY;
    char *scheme = NULL, *user = NULL;
    const char *problem = rc ? curl_url_strerror(rc) : NULL;
    if (!problem) {
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0);
        curl_url_get(u, CURLUPART_USER, &user, 0);
        if (!scheme || (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0)) {
            problem = "it begins with neither https:// nor http://";
        } else if (user) {
            problem = "it holds a user name, and offpeak sends keys as a header only";
        }
    }
    if (problem) {
        err_set(err, ERR_USAGE, "could not use the address '%s': %s",
                user ? "scheme://USER@..." : url, problem);
        err_hint(err, "write it as https://HOST[:PORT]/PATH");
        curl_url_cleanup(u);
        u = NULL;
    }
    curl_free(scheme);
    curl_free(user);
    return u;
}

static bool host_is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    char bare[INET6_ADDRSTRLEN];
    size_t n = strlen(host);
    if (strcasecmp(host, "localhost") == 0) {
        return true;
    }
    if (inet_pton(AF_INET, host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    if (host[0] != '[' || n - 2 >= sizeof(bare)) {
        return false;
    }
    memcpy(bare, host + 1, n - 2);
    bare[n - 2] = '\0';
    return inet_pton(AF_INET6, bare, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool is_loopback(CURLU *u)
{
    char *host = NULL;
    bool answer = curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                  host_is_loopback(host);
    curl_free(host);
    return answer;
}

bool http_is_loopback(const char *url)
{
    CURLU *u = parse_url(url, NULL);
    bool answer = u && is_loopback(u);
    curl_url_cleanup(u);
    return answer;
}

int http_origin(const char *url, struct buf *ret, struct err *err)
{
    char *scheme = NULL, *host = NULL, *port = NULL;
    CURLU *u = parse_url(url, err);
    if (!u) {
        return -(int)ERR_USAGE;
    }
    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0);
    curl_url_get(u, CURLUPART_HOST, &host, 0);
    curl_url_get(u, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT);
    buf_reset(ret);
    buf_addf(ret, "%s://%s%s%s", scheme, host, port ? ":" : "", port ? port : "");
    for (size_t i = 0; i < ret->n; i++) {
        ret->p[i] = ret->p[i] >= 'A' && ret->p[i] <= 'Z' ? (char)(ret->p[i] + 32)
                                                         : ret->p[i];
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
    return ret->failed
               ? err_set(err, ERR_USAGE, "could not use the address '%s': too long", url)
               : 0;
}

int http_check_url(const char *url, bool insecure_http, struct err *err)
{
    CURLU *u = parse_url(url, err);
    if (!u) {
        return -(int)ERR_USAGE;
    }
    char *scheme = NULL;
    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0);
    bool open = scheme && strcmp(scheme, "http") == 0 && !insecure_http &&
                !is_loopback(u);
    curl_free(scheme);
    curl_url_cleanup(u);
    if (open) {
        err_set(err, ERR_USAGE,
                "could not use the address '%s': the key would travel unencrypted", url);
        err_hint(err, "use https://, or --insecure on a network you trust");
        return -(int)ERR_USAGE;
    }
    return 0;
}
