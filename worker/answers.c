#include "worker/answers.h"

#include "core/jtext.h"
#include <inttypes.h>
#include <stdio.h>

static void add_text(struct buf *json, const char *name, const char *value)
{
    buf_addf(json, ",\"%s\":", name);
    buf_add_json(json, span_str(value));
}

static void add_usage(struct buf *json, const struct usage *u)
{
    buf_addf(json,
             ",\"usage\":{\"input\":%" PRIu64 ",\"cache_read\":%" PRIu64
             ",\"cache_write\":%" PRIu64 ",\"output\":%" PRIu64 ",\"reasoning\":%" PRIu64
             "}",
             u->input, u->cache_read, u->cache_write, u->output, u->reasoning);
}

int answer_encode(const struct stored_answer *a, struct buf *json)
{
    if (a->stored_ms < 0 || a->expires_ms < 0) {
        return -1;
    }
    buf_addf(json, "{\"v\":1,\"stored_ms\":%" PRId64 ",\"expires_ms\":%" PRId64,
             a->stored_ms, a->expires_ms);
    add_text(json, "run", a->run);
    add_text(json, "model", a->model);
    add_text(json, "model_used", a->model_used);
    add_text(json, "request_id", a->request_id);
    add_text(json, "prices", a->prices);
    if (a->usage_known) {
        add_usage(json, &a->usage);
    } else {
        buf_adds(json, ",\"usage\":null");
    }
    buf_adds(json, ",\"body\":");
    buf_add(json, a->body.p, a->body.n);
    buf_addc(json, '}');
    return json->failed ? -1 : 0;
}

/* ---- reading ---- */

static int read_text(struct span value, char *ret, size_t size)
{
    _cleanup_(buf_fini) struct buf text;
    buf_init(&text, size - 1);
    if (jtext_string(value, &text) < 0) {
        return -1;
    }
    memcpy(ret, text.p ? text.p : "", text.n);
    ret[text.n] = '\0';
    return 0;
}

static int read_ms(struct span value, int64_t *ret)
{
    uint64_t ms;
    if (jtext_u64(value, &ms) < 0 || ms > INT64_MAX) {
        return -1;
    }
    *ret = (int64_t)ms;
    return 0;
}

static int read_usage(struct span value, struct stored_answer *a)
{
    const struct {
        const char *name;
        uint64_t *to;
    } parts[] = {
        {"input", &a->usage.input},
        {"cache_read", &a->usage.cache_read},
        {"cache_write", &a->usage.cache_write},
        {"output", &a->usage.output},
        {"reasoning", &a->usage.reasoning},
    };
    a->usage_known = jtext_type(value) == JTEXT_OBJECT;
    for (size_t i = 0; a->usage_known && i < ARRAY_LEN(parts); i++) {
        struct span part;
        if (!jtext_get(value, parts[i].name, &part) || jtext_u64(part, parts[i].to) < 0) {
            return -1;
        }
    }
    return 0;
}

static int read_member(struct span key, struct span value, struct stored_answer *a)
{
    const struct {
        const char *name;
        char *to;
        size_t size;
    } texts[] = {
        {"\"run\"", a->run, sizeof(a->run)},
        {"\"model\"", a->model, sizeof(a->model)},
        {"\"model_used\"", a->model_used, sizeof(a->model_used)},
        {"\"request_id\"", a->request_id, sizeof(a->request_id)},
        {"\"prices\"", a->prices, sizeof(a->prices)},
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (span_is(key, texts[i].name)) {
            return read_text(value, texts[i].to, texts[i].size);
        }
    }
    if (span_is(key, "\"stored_ms\"")) {
        return read_ms(value, &a->stored_ms);
    }
    if (span_is(key, "\"expires_ms\"")) {
        return read_ms(value, &a->expires_ms);
    }
    if (span_is(key, "\"usage\"")) {
        return read_usage(value, a);
    }
    if (span_is(key, "\"body\"")) {
        a->body = value;
    }
    return 0;
}

int answer_decode(struct span json, struct stored_answer *ret)
{
    struct stored_answer a = {.stored_ms = -1, .expires_ms = -1};
    struct span key, value;
    uint64_t version = 0;
    size_t at = 0;
    if (jtext_check(json, NULL) < 0 || jtext_type(json) != JTEXT_OBJECT ||
        !jtext_get(json, "v", &value) || jtext_u64(value, &version) < 0 || version != 1) {
        return -1;
    }
    while (jtext_next(json, &at, &key, &value)) {
        if (read_member(key, value, &a) < 0) {
            return -1;
        }
    }
    if (a.stored_ms < 0 || a.expires_ms < 0 || !a.body.n) {
        return -1;
    }
    *ret = a;
    return 0;
}

bool answer_counts(const struct stored_answer *a, const struct answer_want *want)
{
    return a->expires_ms > want->now_ms && a->stored_ms >= want->fresh_ms;
}

int answer_get(struct queue_cursor *c, uint32_t partition, const struct digest *key,
               const struct answer_want *want, struct stored_answer *ret, struct err *err)
{
    struct queue_msg row;
    struct stored_answer a;
    int rc = queue_table_get(c, TABLE_ANSWERS, partition, span_of(key->b, sizeof(key->b)),
                             &row, err);
    if (rc <= 0) {
        return rc;
    }
    if (answer_decode(row.value, &a) < 0 || !answer_counts(&a, want)) {
        return 0;
    }
    *ret = a;
    return 1;
}
