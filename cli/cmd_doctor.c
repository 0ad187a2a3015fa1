/* offpeak doctor: is everything there that a run needs. */
#include "cli/doctor.h"
#include "cli/json.h"
#include "core/clock.h"
#include "core/redact.h"
#include "core/loop.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define REACH_TIMEOUT_MS   15000
#define BOOK_AGE_WARN_DAYS 60
#define FREE_WARN_BYTES    ((uint64_t)1 << 30)
#define DAY_MS             ((int64_t)24 * 60 * 60 * 1000)
#define MEGABYTE           1000000

/* ---- telling: a line for each finding, or an item of an array ---- */

static const char *const words[] = {
    [FINDING_OK] = "ok", [FINDING_WARN] = "warn", [FINDING_FAIL] = "FAIL"};
static const char *const names[] = {
    [FINDING_OK] = "ok", [FINDING_WARN] = "warn", [FINDING_FAIL] = "fail"};

static void end_item(struct doctor *d)
{
    if (d->open) {
        fputs("\"hint\":null}", stdout);
        d->open = false;
    }
}

static void begin_item(struct doctor *d, enum finding f, const char *subject,
                       const char *text)
{
    end_item(d);
    fputs(d->items++ ? ",{" : "{", stdout);
    json_text("finding", names[f]);
    json_text("subject", subject);
    json_text("text", text);
    d->open = true;
}

void doctor_tell(struct doctor *d, enum finding f, const char *subject, const char *fmt,
                 ...)
{
    _cleanup_(buf_fini) struct buf safe;
    char text[900];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    buf_init(&safe, REDACT_LINE_MAX);
    redact(&safe, span_str(text));
    d->warned += f == FINDING_WARN;
    d->failed += f == FINDING_FAIL;
    if (d->cli->opt->json) {
        begin_item(d, f, subject, safe.p ? safe.p : "");
    } else {
        printf("%-5s %-12s %s\n", words[f], subject, safe.p ? safe.p : "");
    }
}

void doctor_hint(struct doctor *d, const char *text)
{
    if (text[0] && d->open) {
        _cleanup_(buf_fini) struct buf quoted;
        buf_init(&quoted, REDACT_LINE_MAX);
        buf_add_json(&quoted, span_str(text));
        printf("\"hint\":%s}", quoted.p ? quoted.p : "null");
        d->open = false;
    } else if (text[0]) {
        printf("      %-12s %s\n", "", text);
    }
}

void doctor_fail(struct doctor *d, const char *subject, const struct err *err)
{
    doctor_tell(d, FINDING_FAIL, subject, "%s", err->msg);
    doctor_hint(d, err->hint);
    if (!d->code) {
        d->code = (int)err->code;
    }
}

/* ---- what is on this machine ---- */

static void check_store(struct doctor *d, struct queue *q)
{
    struct err err = {0};
    struct queue_cursor *cur = NULL;
    uint64_t bytes = 0, commit = 0;
    _cleanup_(buf_fini) struct buf note;
    buf_init(&note, CLI_PATH_MAX);
    int rc = queue_cursor_open(q, &cur, &err);
    if (rc >= 0) {
        rc = queue_used_bytes(cur, &bytes, &err);
    }
    if (rc >= 0) {
        rc = queue_last_commit(cur, &commit, &err);
    }
    int owned = rc < 0 ? rc : queue_owner_read(q, &note, &err);
    queue_cursor_close(cur);
    if (owned < 0) {
        doctor_fail(d, "store", &err);
        return;
    }
    doctor_tell(d, FINDING_OK, "store", "%llu MB, %llu commits",
                (unsigned long long)bytes / MEGABYTE, (unsigned long long)commit);
    doctor_tell(d, FINDING_OK, "owner", "%s%s",
                owned ? "a process works on it for " : "nobody works on it",
                owned && note.p ? note.p : "");
}

static void check_data(struct doctor *d)
{
    struct stat st;
    struct err err = {0};
    char store[CLI_PATH_MAX + 32];
    const char *dir = d->cli->data;
    snprintf(store, sizeof(store), "%s/queue/data.mdb", dir);
    if (stat(store, &st)) {
        doctor_tell(d, FINDING_OK, "data folder",
                    "%s: not there yet; the first run makes it", dir);
        return;
    }
    doctor_tell(d, stat(dir, &st) == 0 && st.st_mode & 077 ? FINDING_WARN : FINDING_OK,
                "data folder", "%s%s", dir,
                st.st_mode & 077 ? ": others may look into it; chmod 700" : "");
    struct queue *q = NULL;
    if (cli_open_data(d->cli, &q, &err) < 0) {
        doctor_fail(d, "store", &err);
        return;
    }
    check_store(d, q);
    queue_close(q);
}

static void check_disk(struct doctor *d)
{
    struct statvfs fs;
    const char *dir = d->cli->data;
    if (statvfs(dir, &fs) && statvfs(".", &fs)) {
        doctor_tell(d, FINDING_WARN, "disk", "free space is unknown: %s",
                    strerror(errno));
        return;
    }
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    bool low = free_bytes < FREE_WARN_BYTES;
    doctor_tell(d, low ? FINDING_WARN : FINDING_OK, "disk", "%llu MB free%s",
                (unsigned long long)free_bytes / MEGABYTE,
                low ? ": a large run may not fit" : "");
}

/* Days since 1970-01-01 of a text that begins "2026-11-21"; -1 when it does not. */
static int64_t days_of(const char *text)
{
    uint64_t y, m, day;
    if (strlen(text) < 10 || span_u64(span_of(text, 4), &y) < 0 ||
        span_u64(span_of(text + 5, 2), &m) < 0 ||
        span_u64(span_of(text + 8, 2), &day) < 0) {
        return -1;
    }
    /* years begin in March, so that the leap day is the last one */
    int64_t year = (int64_t)y - (m <= 2);
    int64_t month = ((int64_t)m + 9) % 12;
    return year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 +
           (int64_t)day - 1 - 719468;
}

static void check_prices(struct doctor *d)
{
    const char *version = price_book_version(d->endpoint.prices);
    int64_t age = d->wall_ms / DAY_MS - days_of(version);
    if (age < 0) {
        doctor_tell(d, FINDING_WARN, "clock",
                    "it is set before the day of the price book, %s", version);
        return;
    }
    bool old = age > BOOK_AGE_WARN_DAYS;
    doctor_tell(d, old ? FINDING_WARN : FINDING_OK, "price book", "%s, %lld days old",
                version, (long long)age);
    if (old) {
        doctor_hint(
            d,
            "compare it with the provider's price page; name a newer one with prices.file");
    }
}

static void check_key(struct doctor *d)
{
    const struct secret *key = d->endpoint.key;
    if (!key && d->endpoint.pool.n) {
        doctor_tell(d, FINDING_OK, "key",
                    "there is none: only servers of your own are asked");
        return;
    }
    if (!key && cli_on_broker(d->cli)) {
        doctor_tell(d, FINDING_OK, "key", "there is none: only workers need one");
        return;
    }
    if (!key) {
        doctor_tell(d, FINDING_FAIL, "key", "there is none");
        doctor_hint(d,
                    "set OPENAI_API_KEY, or name a file that holds it with --key-file");
        d->code = d->code ? d->code : ERR_AUTH;
        return;
    }
    const char *warning = secret_warning(key);
    doctor_tell(d, warning ? FINDING_WARN : FINDING_OK, "key", "from %s, account %s%s%s",
                secret_origin(key), d->endpoint.account, warning ? "; " : "",
                warning ? warning : "");
}

static void check_pool(struct doctor *d)
{
    const struct servers *pool = &d->endpoint.pool;
    if (pool->n) {
        doctor_tell(d, FINDING_OK, "pool", "%s", pool->label);
    } else if (d->cli->set->cli.pool_servers) {
        doctor_tell(d, FINDING_WARN, "pool", "%s", pool->why);
        doctor_hint(d, pool->hint);
    }
}

/* ---- the endpoint: two lists of one entry, which cost nothing ---- */

struct visit {
    struct loop *loop;
    const char *path;
    enum http_outcome outcome;
    int status;
    char why[200];
    bool came;
};

static void doctor_on_reply(void *ctx, const struct http_resp *resp)
{
    struct visit *v = ctx;
    v->came = true;
    v->outcome = resp->outcome;
    v->status = resp->status;
    snprintf(v->why, sizeof(v->why), "%s", resp->why);
    loop_stop(v->loop);
}

static int visit(const struct doctor *d, struct http *http, struct visit *v,
                 struct err *err)
{
    char url[600];
    snprintf(url, sizeof(url), "%s%s?limit=1", d->endpoint.base_url, v->path);
    struct http_req req = {
        .method = HTTP_GET,
        .url = url,
        .bearer = secret_text(d->endpoint.key),
        .timeout_ms = REACH_TIMEOUT_MS,
    };
    int rc = http_send(http, &req, doctor_on_reply, v, err);
    if (rc >= 0) {
        loop_run(v->loop);
    }
    return rc;
}

/* False: nobody is there, and asking for more is idle. */
static bool judge_visit(struct doctor *d, const struct visit *v)
{
    const char *url = d->endpoint.base_url;
    struct err err = {0};
    if (!v->came || v->outcome != HTTP_REPLY) {
        err_set(&err, ERR_TEMP, "could not reach '%s': %s", url, v->why);
        err_hint(&err, "check the network and OPENAI_BASE_URL");
    } else if (v->status == 401 || v->status == 403) {
        err_set(&err, ERR_AUTH, "'%s%s' refuses the key: status %d", url, v->path,
                v->status);
        err_hint(&err, "check the key, and that its project may use files and batches");
    } else if (v->status != 200) {
        err_set(&err, ERR_TEMP, "'%s%s' answered with status %d", url, v->path,
                v->status);
        err_hint(&err,
                 "a base URL ends in /v1; the provider's status page may know more");
    } else {
        doctor_tell(d, FINDING_OK, "endpoint", "%s%s answers, key accepted", url,
                    v->path);
        return true;
    }
    doctor_fail(d, "endpoint", &err);
    return v->came && v->outcome == HTTP_REPLY;
}

static void check_endpoint(struct doctor *d)
{
    static const char *const paths[] = {"/files", "/batches"};
    struct err err = {0};
    struct loop *loop = NULL;
    struct http *http = NULL;
    if (!d->endpoint.key) {
        return;
    }
    int rc = loop_create(&loop, clock_real(), &err);
    if (rc >= 0) {
        rc = endpoint_http(&d->endpoint, d->cli, loop, &http, &err);
    }
    bool there = true;
    for (size_t i = 0; rc >= 0 && there && i < ARRAY_LEN(paths); i++) {
        struct visit v = {.loop = loop, .path = paths[i]};
        rc = visit(d, http, &v, &err);
        there = rc >= 0 && judge_visit(d, &v);
    }
    if (rc < 0) {
        doctor_fail(d, "endpoint", &err);
    }
    http_destroy(http);
    if (loop) {
        loop_destroy(loop);
    }
}

int cmd_doctor(struct cli *c, struct err *err)
{
    struct clock clock = clock_real();
    struct doctor d = {.cli = c, .wall_ms = clock_wall_ms(&clock)};
    const struct endpoint_need need = {0};
    struct err why = {0};
    fputs(c->opt->json ? "{\"checks\":[" : "", stdout);
    if (cli_on_broker(c)) {
        doctor_broker(&d);
    } else {
        check_data(&d);
    }
    check_disk(&d);
    if (endpoint_open(&d.endpoint, c, &need, &why) < 0) {
        doctor_fail(&d, "endpoint", &why);
    } else {
        check_prices(&d);
        check_key(&d);
        check_pool(&d);
        fflush(stdout);
        check_endpoint(&d);
    }
    endpoint_close(&d.endpoint);
    if (c->opt->json) {
        end_item(&d);
        printf("],\"warned\":%u,\"failed\":%u,\"exit\":%d}\n", d.warned, d.failed,
               d.code);
    }
    if (!d.failed) {
        return 0;
    }
    return err_set(err, (enum err_code)d.code, "%u check%s failed", d.failed,
                   d.failed == 1 ? "" : "s");
}
