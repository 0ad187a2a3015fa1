/*
 * store_edit - breaks a data folder on purpose: puts records and rows that no program of ours would.
 *
 *     store-edit DIR copy TOPIC OFFSET [CHANGE...]   appends a copy; says the id of the job it names,
 *                                                    or has become
 *     store-edit DIR row TABLE KEY CHANGE...         writes a row anew, less what changed
 *     store-edit DIR new TABLE KEY VALUE
 *     store-edit DIR drop TABLE KEY
 *
 * A change: `@NAME=VALUE` of a header, `key=KEY`, or `FROM=>TO` in the value, wherever it stands.
 */
#include "core/headers.h"
#include "core/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define VALUE_MAX ((size_t)1 << 20)

static struct err err;

static int ok(int rc)
{
    if (rc < 0) {
        fprintf(stderr, "store-edit: %s\n", err.msg);
        exit(1);
    }
    return rc;
}

static void usage(void)
{
    fputs("store-edit: see the head of tests/cli/store_edit.c\n", stderr);
    exit(2);
}

/* Headers with those of `changes` in place of what stood there. */
static void change_headers(struct span old, char **changes, struct buf *ret)
{
    struct span name, value;
    for (size_t at = 0; headers_next(old, &at, &name, &value);) {
        bool replaced = false;
        for (char **c = changes; *c; c++) {
            size_t n = strcspn(*c, "=");
            replaced |= (*c)[0] == '@' && n == name.n + 1 &&
                        !memcmp(*c + 1, name.p, name.n);
        }
        if (!replaced) {
            char text[256];
            snprintf(text, sizeof(text), "%.*s", (int)name.n, name.p);
            headers_add(ret, text, value);
        }
    }
    for (char **c = changes; *c; c++) {
        char text[256];
        size_t n = strcspn(*c, "=");
        if ((*c)[0] == '@' && (*c)[n] == '=' && n < sizeof(text)) {
            snprintf(text, sizeof(text), "%.*s", (int)n - 1, *c + 1);
            headers_adds(ret, text, *c + n + 1);
        }
    }
}

static void change_value(struct span old, char **changes, struct buf *ret)
{
    buf_add(ret, old.p, old.n);
    for (char **c = changes; *c; c++) {
        const char *arrow = strstr(*c, "=>");
        _cleanup_(buf_fini) struct buf from = {0}, text = {0};
        if ((*c)[0] == '@' || !arrow) {
            continue;
        }
        buf_init(&from, VALUE_MAX);
        buf_init(&text, VALUE_MAX);
        buf_add(&from, *c, (size_t)(arrow - *c));
        buf_add(&text, ret->p, ret->n);
        buf_reset(ret);
        size_t at = 0;
        for (const char *hit; (hit = strstr(text.p + at, from.p));
             at = (size_t)(hit - text.p) + from.n) {
            buf_add(ret, text.p + at, (size_t)(hit - text.p) - at);
            buf_adds(ret, arrow + 2);
        }
        buf_adds(ret, text.p + at);
    }
}

static struct span change_key(struct span old, char **changes)
{
    for (char **c = changes; *c; c++) {
        old = strncmp(*c, "key=", 4) == 0 ? span_str(*c + 4) : old;
    }
    return old;
}

/* Of a jobs topic: the id of the last job. */
static void say_job(struct queue_cursor *cur, const char *topic)
{
    struct queue_at at = {.partition = 0};
    struct queue_msg msg;
    uint64_t first, end;
    char id[JOB_ID_MAX];
    if (strncmp(topic, PREFIX_JOBS, sizeof(PREFIX_JOBS) - 1) == 0) {
        ok(queue_bounds(cur, topic, 0, &first, &end, &err));
        at.offset = end - 1;
        snprintf(at.topic, sizeof(at.topic), "%s", topic);
        ok(queue_fetch(cur, &at, &msg, &err));
        job_id_format(&msg, id);
        puts(id);
    }
}

static void copy(struct queue_cursor *cur, struct queue_tx *tx, const char *topic,
                 const char *offset, char **changes)
{
    struct queue_at at = {.partition = 0};
    struct queue_msg msg;
    _cleanup_(buf_fini) struct buf headers, value;
    buf_init(&headers, HEADERS_BYTES_MAX);
    buf_init(&value, VALUE_MAX);
    snprintf(at.topic, sizeof(at.topic), "%s", topic);
    if (span_u64(span_str(offset), &at.offset) < 0 ||
        ok(queue_fetch(cur, &at, &msg, &err)) == 0) {
        usage();
    }
    change_headers(msg.headers, changes, &headers);
    change_value(msg.value, changes, &value);
    ok(queue_put(tx, QUEUE_TO(topic, 0, change_key(msg.key, changes)), buf_span(&headers),
                 buf_span(&value), &err));
}

static void row(struct queue_cursor *cur, struct queue_tx *tx, const char *table,
                const char *key, char **changes)
{
    struct queue_msg msg;
    _cleanup_(buf_fini) struct buf value;
    buf_init(&value, VALUE_MAX);
    if (ok(queue_table_get(cur, table, 0, span_str(key), &msg, &err)) == 0) {
        usage();
    }
    change_value(msg.value, changes, &value);
    ok(queue_table_put(tx, table, 0, change_key(span_str(key), changes), buf_span(&value),
                       &err));
}

int main(int argc, char **argv)
{
    struct queue_conf conf = {.dir = argc > 4 ? argv[1] : NULL};
    struct queue *q = NULL;
    struct queue_cursor *cur = NULL;
    struct queue_tx *tx = NULL;
    uint64_t commit;
    if (argc < 5) {
        usage();
    }
    ok(queue_open(&q, &conf, &err));
    ok(queue_cursor_open(q, &cur, &err));
    ok(queue_begin(q, &tx));
    if (strcmp(argv[2], "copy") == 0) {
        copy(cur, tx, argv[3], argv[4], argv + 5);
    } else if (strcmp(argv[2], "row") == 0) {
        row(cur, tx, argv[3], argv[4], argv + 5);
    } else if (strcmp(argv[2], "new") == 0 && argc == 6) {
        ok(queue_table_put(tx, argv[3], 0, span_str(argv[4]), span_str(argv[5]), &err));
    } else if (strcmp(argv[2], "drop") == 0) {
        ok(queue_table_put(tx, argv[3], 0, span_str(argv[4]), SPAN_NONE, &err));
    } else {
        usage();
    }
    ok(queue_commit_wait(tx, &commit, &err));
    say_job(cur, argv[3]);
    queue_cursor_close(cur);
    queue_close(q);
    return 0;
}
