#include "worker/openai.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define CONTROL_TIMEOUT_MS 60000
#define CREATE_TIMEOUT_MS  120000
#define REPLY_BYTES_MAX \
    ((size_t)8 << 20) /* a list page of 100 batches, errors included */
#define URL_BYTES_MAX     2048
#define REQUEST_BYTES_MAX 4096

/* ---- requests ---- */

void provider_request_init(struct provider_request *r)
{
    *r = (struct provider_request){.http = {.max_bytes = REPLY_BYTES_MAX}};
    buf_init(&r->url, URL_BYTES_MAX);
    buf_init(&r->json, REQUEST_BYTES_MAX);
    buf_init(&r->name, BATCH_ID_BYTES + 32);
}

void provider_request_fini(struct provider_request *r)
{
    buf_fini(&r->url);
    buf_fini(&r->json);
    buf_fini(&r->name);
}

/* How each request is made; %s is the id asked about. */
static const struct {
    enum http_method method;
    const char *before, *after;
    int64_t timeout_ms; /* 0: a transfer; only the low-speed limit ends it */
} asks[] = {
    [ASK_UPLOAD] = {HTTP_POST, "/files", "", 0},
    [ASK_CREATE] = {HTTP_POST, "/batches", "", CREATE_TIMEOUT_MS},
    [ASK_BATCH] = {HTTP_GET, "/batches/", "", CONTROL_TIMEOUT_MS},
    [ASK_LIST] = {HTTP_GET, "/batches?limit=100", "", CONTROL_TIMEOUT_MS},
    [ASK_CANCEL] = {HTTP_POST, "/batches/", "/cancel", CONTROL_TIMEOUT_MS},
    [ASK_FILE] = {HTTP_GET, "/files/", "", CONTROL_TIMEOUT_MS},
    [ASK_CONTENT] = {HTTP_GET, "/files/", "/content", 0},
    [ASK_DELETE_FILE] = {HTTP_DELETE, "/files/", "", CONTROL_TIMEOUT_MS},
};

static void create_body(const struct batch *b, struct buf *json)
{
    buf_adds(json, "{\"input_file_id\":");
    buf_add_json(json, span_str(b->file));
    buf_adds(json, ",\"endpoint\":");
    buf_add_json(json, span_str(b->path));
    buf_adds(json,
             ",\"completion_window\":\"24h\",\"metadata\":{\"offpeak_submit_key\":");
    buf_add_json(json, span_str(b->id));
    buf_addf(json, ",\"offpeak_go\":\"%llu\"}}", (unsigned long long)b->go);
}

static int openai_request(const struct provider_ask *a, struct provider_request *ret,
                          struct err *err)
{
    buf_addf(&ret->url, "%s%s%s%s", a->base_url, asks[a->ask].before,
             a->ref ? a->ref : "", asks[a->ask].after);
    if (a->ask == ASK_LIST && a->after && a->after[0]) {
        buf_addf(&ret->url, "&after=%s", a->after);
    }
    ret->http.method = asks[a->ask].method;
    ret->http.timeout_ms = asks[a->ask].timeout_ms;
    if (a->ask == ASK_UPLOAD) {
        buf_addf(&ret->name, "offpeak-%s.jsonl", a->batch->id);
        ret->http.file_path = a->path;
        ret->http.file_name = ret->name.p;
        ret->http.form_purpose = "batch";
    } else if (a->ask == ASK_CREATE) {
        create_body(a->batch, &ret->json);
        ret->http.json = buf_span(&ret->json);
    }
    if (ret->url.failed || ret->json.failed || ret->name.failed) {
        return err_set(err, ERR_FAIL, "could not build the request for '%s'",
                       a->base_url);
    }
    ret->http.url = ret->url.p;
    return 0;
}

/* A producer of ours or others may have written the request over several lines; the line ends
 * stand between JSON's values, for a string cannot hold one. */
static void add_in_one_line(struct buf *b, struct span body)
{
    size_t at = b->n;
    buf_add(b, body.p, body.n);
    for (char *c = b->failed ? NULL : b->p + at; c && c < b->p + b->n; c++) {
        if (*c == '\n' || *c == '\r') {
            *c = ' ';
        }
    }
}

static int openai_encode(uint32_t index, const char *path, struct span body,
                         struct buf *ret)
{
    buf_addf(ret, "{\"custom_id\":\"%u\",\"method\":\"POST\",\"url\":", index);
    buf_add_json(ret, span_str(path));
    buf_adds(ret, ",\"body\":");
    add_in_one_line(ret, body);
    return buf_adds(ret, "}\n");
}

/* ---- reading replies ---- */

/* Copies a string member; ret is empty when it is absent, null, of another type or too long. */
static void text(const json_t *o, const char *key, char *ret, size_t size)
{
    const char *s = json_string_value(json_object_get(o, key));
    snprintf(ret, size, "%s", s && strlen(s) < size ? s : "");
}

/* The same for words for people: cut where it must be. */
static void words(const json_t *o, const char *key, char *ret, size_t size)
{
    const char *s = json_string_value(json_object_get(o, key));
    int n = snprintf(ret, size, "%s", s ? s : "");
    (void)n;
}

/* May it stand in a path as it is? Some providers' ids have parts: "batches/b-1". */
static bool is_plain_path(const char *s)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789_-.:~=@";
    for (;;) {
        size_t n = strspn(s, allowed);
        bool dots = n <= 2 && strspn(s, ".") == n;
        if (n == 0 || dots || (s[n] != '\0' && s[n] != '/')) {
            return false;
        }
        if (s[n] == '\0') {
            return true;
        }
        s += n + 1;
    }
}

/* Empty when it is absent or null; false when there is one that could not be asked for. */
static bool id(const json_t *o, const char *key, char ret[static BATCH_REF_MAX])
{
    const json_t *v = json_object_get(o, key);
    text(o, key, ret, BATCH_REF_MAX);
    if (!v || json_is_null(v) || (json_is_string(v) && !json_string_length(v))) {
        return true;
    }
    if (ret[0] && is_plain_path(ret)) {
        return true;
    }
    ret[0] = '\0';
    return false;
}

/* A number, however it is spelled; false when it is absent, null, negative or no number. */
static bool number(const json_t *o, const char *key, uint64_t *ret)
{
    const json_t *v = json_object_get(o, key);
    if (json_is_integer(v) && json_integer_value(v) >= 0) {
        *ret = (uint64_t)json_integer_value(v);
        return true;
    }
    if (json_is_real(v) && json_real_value(v) >= 0 && json_real_value(v) < 1e15) {
        *ret = (uint64_t)json_real_value(v);
        return true;
    }
    return json_is_string(v) && span_u64(span_str(json_string_value(v)), ret) == 0;
}

static int64_t seconds(const json_t *o, const char *key)
{
    uint64_t s = 0;
    return number(o, key, &s) && s < INT64_MAX / 1000 ? (int64_t)s : 0;
}

static const struct {
    const char *word;
    enum remote_state state;
} states[] = {
    {"completed", REMOTE_COMPLETED},
    {"failed", REMOTE_FAILED},
    {"expired", REMOTE_EXPIRED},
    {"cancelled", REMOTE_CANCELLED},
}; /* validating, in_progress, finalizing, cancelling and every new word: still running */

static void read_stamp(const json_t *metadata, struct remote *r)
{
    text(metadata, "offpeak_submit_key", r->key, sizeof(r->key));
    if (r->key[0] && !number(metadata, "offpeak_go", &r->go)) {
        r->go = 1;
    }
}

static int add_line(struct remote *r, uint64_t line, const json_t *error)
{
    if (r->lines_len >= REMOTE_LINES_MAX) {
        return 0; /* the rest is named when what is left goes again */
    }
    if (!r->lines) {
        r->lines = calloc(REMOTE_LINES_MAX, sizeof(*r->lines));
        if (!r->lines) {
            return -1;
        }
    }
    r->lines[r->lines_len].line = line;
    words(error, "message", r->lines[r->lines_len].why, sizeof(r->lines[0].why));
    r->lines_len++;
    return 0;
}

/* errors.data[] of a batch that failed as a whole. */
static void read_errors(const json_t *errors, struct remote *r)
{
    size_t i;
    json_t *e;
    json_array_foreach(json_object_get(errors, "data"), i, e)
    {
        char code[64];
        uint64_t line;
        text(e, "code", code, sizeof(code));
        if (!r->why[0]) {
            words(e, "message", r->why, sizeof(r->why));
        }
        if (strcmp(code, "token_limit_exceeded") == 0) {
            r->fail = FAIL_OVERFLOW;
        } else if (number(e, "line", &line) && line > 0 && r->fail != FAIL_OVERFLOW &&
                   add_line(r, line, e) == 0) {
            r->fail = FAIL_LINES;
        }
    }
    if (r->fail == FAIL_NONE) {
        r->fail = FAIL_OTHER;
    }
    if (!r->why[0]) {
        snprintf(r->why, sizeof(r->why), "the batch failed and no reason was given");
    }
}

/* False when an id in it could not be asked for. */
static bool read_batch(const json_t *o, struct remote *r)
{
    bool usable = id(o, "id", r->id);
    usable = id(o, "input_file_id", r->input) && usable;
    usable = id(o, "output_file_id", r->output) && usable;
    usable = id(o, "error_file_id", r->error) && usable;
    read_stamp(json_object_get(o, "metadata"), r);
    r->created_s = seconds(o, "created_at");
    words(o, "status", r->state_text, sizeof(r->state_text));
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        if (strcmp(r->state_text, states[i].word) == 0) {
            r->state = states[i].state;
        }
    }
    const json_t *counts = json_object_get(o, "request_counts");
    r->counted = number(counts, "completed", &r->completed) &&
                 number(counts, "failed", &r->failed);
    if (r->state == REMOTE_FAILED) {
        read_errors(json_object_get(o, "errors"), r);
    }
    return usable;
}

static bool read_file(const json_t *o, struct remote *r)
{
    r->created_s = seconds(o, "created_at");
    r->sized = number(o, "bytes", &r->bytes);
    return id(o, "id", r->input);
}

/* ---- verdicts ---- */

/* Codes with which the whole account stands still until a person acts (error codes guide). */
static const char *const quota_codes[] = {"insufficient_quota",
                                          "billing_hard_limit_reached",
                                          "billing_not_active", "account_deactivated"};

static bool is_quota(const char *code)
{
    for (size_t i = 0; i < ARRAY_LEN(quota_codes); i++) {
        if (strcmp(code, quota_codes[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* A refusal of the key is not quoted: such messages may repeat parts of it. */
static enum step stop_for_key(int status, const char *code, struct err *err)
{
    bool known = status == 403; /* whose key it is; what it may do is another matter */
    err_set(err, ERR_AUTH, "the provider refuses the %s: HTTP %d%s%s",
            known ? "account" : "key", status, code[0] ? ", " : "", code);
    err_hint(err, "%s and run the same command again",
             known ? "see what its project and region allow, or use another key,"
                   : "set OPENAI_API_KEY (or --key-file)");
    return STEP_STOP;
}

static enum step stop_for_quota(const char *why, struct err *err)
{
    err_set(err, ERR_TEMP, "the account's quota is used up: %s", why);
    err_hint(err, "raise the quota at the provider and run the same command again");
    return STEP_STOP;
}

/* A redirect, a proxy's page: whoever answers knows nothing of our jobs, so they wait. */
static enum step stop_for_stranger(int status, struct err *err)
{
    err_set(err, ERR_TEMP, "somebody else answers there: HTTP %d", status);
    err_hint(err, "check OPENAI_BASE_URL and the proxy, and run the same command again");
    return STEP_STOP;
}

static enum step by_status(const struct http_resp *resp, struct remote *r,
                           struct err *err)
{
    json_t *o = json_loadb(resp->body.p ? resp->body.p : "", resp->body.n, 0, NULL);
    const json_t *e = json_object_get(o, "error");
    bool is_page = !json_is_object(o); /* of a proxy, of another program on that port */
    bool is_stranger = resp->status < 400 || !json_is_object(e);
    char code[64], why[200];
    text(e, "code", code, sizeof(code));
    words(e, "message", why, sizeof(why));
    json_decref(o);
    err_set(err, ERR_FAIL, "the provider answered HTTP %d%s%s%s%s", resp->status,
            code[0] ? " " : "", code, why[0] ? ": " : "", why);
    snprintf(r->why, sizeof(r->why), "%.299s", err->msg);
    switch (resp->status) {
    case 401:
    case 403: return stop_for_key(resp->status, code, err);
    case 402: return stop_for_quota(why, err);
    case 404: return is_page ? stop_for_stranger(404, err) : STEP_WAIT;
    case 413: r->fail = FAIL_TOO_LARGE; return STEP_REJECT;
    case 429: return is_quota(code) ? stop_for_quota(why, err) : STEP_RETRY;
    case 408:
    case 409: return STEP_UNSURE;
    }
    if (resp->status >= 500) {
        return STEP_UNSURE;
    }
    if (is_stranger) {
        return stop_for_stranger(resp->status, err);
    }
    r->fail = FAIL_OTHER;
    return is_quota(code) ? stop_for_quota(why, err) : STEP_REJECT;
}

enum step openai_verdict(const struct http_resp *resp, struct remote *r, struct err *err)
{
    switch (resp->outcome) {
    case HTTP_UNSENT: err_set(err, ERR_TEMP, "%s", resp->why); return STEP_RETRY;
    case HTTP_UNKNOWN: err_set(err, ERR_TEMP, "%s", resp->why); return STEP_UNSURE;
    case HTTP_REPLY: break;
    }
    return resp->status >= 200 && resp->status < 300 ? STEP_DONE
                                                     : by_status(resp, r, err);
}

static enum step unreadable(struct err *err)
{
    err_set(err, ERR_TEMP, "the provider's reply could not be read");
    return STEP_UNSURE;
}

/* Going on would lose what was paid for, and asking again would give the same id. */
static enum step stop_for_id(struct err *err)
{
    err_set(err, ERR_TEMP,
            "the provider uses an id that cannot be asked for: longer than %d bytes, or "
            "with characters that do not belong into a URL",
            BATCH_REF_MAX - 1);
    err_hint(err, "check OPENAI_BASE_URL and the proxy, and run the same command again");
    return STEP_STOP;
}

static enum step feed_object(enum ask ask, const json_t *o, struct remote *r,
                             struct err *err)
{
    if (ask == ASK_DELETE_FILE) {
        return STEP_DONE;
    }
    bool file = ask == ASK_UPLOAD || ask == ASK_FILE;
    bool usable = file ? read_file(o, r) : read_batch(o, r);
    if (!usable && ask != ASK_CREATE) { /* that one happened: it must be looked for */
        return stop_for_id(err);
    }
    if (file) {
        return r->input[0] ? STEP_DONE : unreadable(err);
    }
    if (!r->id[0]) {
        return unreadable(err);
    }
    return ask == ASK_BATCH && r->state == REMOTE_RUNNING ? STEP_WAIT : STEP_DONE;
}

static enum step openai_feed(enum ask ask, const struct http_resp *resp,
                             struct remote *ret, struct err *err)
{
    enum step step = openai_verdict(resp, ret, err);
    if (step != STEP_DONE || ask == ASK_CONTENT) {
        return step;
    }
    json_t *o = json_loadb(resp->body.p ? resp->body.p : "", resp->body.n, 0, NULL);
    step = json_is_object(o) ? feed_object(ask, o, ret, err) : unreadable(err);
    json_decref(o);
    return step;
}

static enum step read_page(const json_t *o, struct remote_page *ret, struct err *err)
{
    const json_t *data = json_object_get(o, "data");
    if (!json_is_array(data)) {
        return unreadable(err);
    }
    ret->v = calloc(REMOTE_PAGE_MAX, sizeof(*ret->v));
    if (!ret->v) {
        return unreadable(err);
    }
    size_t i;
    json_t *e;
    json_array_foreach(data, i, e)
    {
        if (ret->n < REMOTE_PAGE_MAX && !read_batch(e, &ret->v[ret->n++])) {
            return stop_for_id(err);
        }
    }
    ret->more = json_is_true(json_object_get(o, "has_more")) ||
                json_array_size(data) > REMOTE_PAGE_MAX;
    bool leads_on = ret->n > 0 && ret->v[ret->n - 1].id[0];
    return ret->more && !leads_on ? unreadable(err) : STEP_DONE;
}

static enum step openai_feed_list(const struct http_resp *resp, struct remote_page *ret,
                                  struct err *err)
{
    struct remote none = {0};
    enum step step = openai_verdict(resp, &none, err);
    if (step != STEP_DONE) {
        return step;
    }
    json_t *o = json_loadb(resp->body.p ? resp->body.p : "", resp->body.n, 0, NULL);
    step = read_page(o, ret, err);
    json_decref(o);
    return step;
}

void remote_fini(struct remote *r)
{
    free(r->lines);
    r->lines = NULL;
    r->lines_len = 0;
}

void remote_page_fini(struct remote_page *p)
{
    for (size_t i = 0; i < p->n; i++) {
        remote_fini(&p->v[i]);
    }
    free(p->v);
    *p = (struct remote_page){0};
}

const struct provider provider_openai = {
    .name = "openai",
    .batch_bytes_max = UINT64_C(200) * 1000 * 1000,
    .batch_calls_max = 50000,
    .encode = openai_encode,
    .request = openai_request,
    .feed = openai_feed,
    .feed_list = openai_feed_list,
    .decode = openai_line_decode,
    .call = openai_call,
    .reply = openai_reply,
};
