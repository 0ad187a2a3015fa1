/* offpeak cat: any topic or table, one JSON object a record. */
#include "cli/cli.h"
#include "core/headers.h"
#include "core/jtext.h"

#include <stdio.h>

#define BASE64_GROUP 3

/* ---- bytes as JSON ---- */

static bool is_utf8(struct span s)
{
    while (s.n) {
        int n = s.p[0] == '\0' ? 0 : span_utf8(s);
        if (n == 0) {
            return false;
        }
        s = span_of(s.p + n, s.n - (size_t)n);
    }
    return true;
}

static void print_base64(struct span s)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    fputs("{\"base64\":\"", stdout);
    for (size_t at = 0; at < s.n; at += BASE64_GROUP) {
        unsigned char b[BASE64_GROUP] = {0};
        size_t n = MIN_OF(s.n - at, (size_t)BASE64_GROUP);
        memcpy(b, s.p + at, n);
        unsigned bits = (unsigned)b[0] << 16 | (unsigned)b[1] << 8 | b[2];
        putchar(digits[bits >> 18]);
        putchar(digits[bits >> 12 & 63]);
        putchar(n > 1 ? digits[bits >> 6 & 63] : '=');
        putchar(n > 2 ? digits[bits & 63] : '=');
    }
    fputs("\"}", stdout);
}

static int print_text(struct span s, struct err *err)
{
    if (!is_utf8(s)) {
        print_base64(s);
        return 0;
    }
    _cleanup_(buf_fini) struct buf json;
    buf_init(&json, 6 * s.n + 2); /* \u0001 */
    if (buf_add_json(&json, s) < 0) {
        return err_set(err, ERR_FAIL, "could not print a record: no memory");
    }
    fwrite(json.p, 1, json.n, stdout);
    return 0;
}

/* JSON stays as it is, on one line: outside of strings its line ends are only space. */
static int print_value(struct span value, struct err *err)
{
    if (jtext_check(value, NULL) < 0) {
        return print_text(value, err);
    }
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        putchar(c == '\n' || c == '\r' || c == '\t' ? ' ' : c);
    }
    return 0;
}

static int print_headers(struct span block, struct err *err)
{
    struct span name, value;
    const char *comma = "";
    int rc = 0;
    putchar('{');
    for (size_t at = 0; rc >= 0 && headers_next(block, &at, &name, &value); comma = ",") {
        fputs(comma, stdout);
        rc = print_text(name, err);
        putchar(':');
        rc = rc < 0 ? rc : print_text(value, err);
    }
    putchar('}');
    return rc;
}

static int print_record(const char *kind, const struct queue_msg *m, struct err *err)
{
    char time[CLOCK_TIME_TEXT];
    printf(
        "{\"%s\":\"%s\",\"partition\":%u,\"offset\":%llu,\"commit\":%llu,\"time\":\"%s\",\"key\":",
        kind, m->at.topic, m->at.partition, (unsigned long long)m->at.offset,
        (unsigned long long)m->commit, clock_time(m->time_ms, time));
    int rc = print_text(m->key, err);
    if (rc >= 0) {
        fputs(",\"headers\":", stdout);
        rc = print_headers(m->headers, err);
    }
    if (rc >= 0) {
        fputs(",\"value\":", stdout);
        rc = print_value(m->value, err);
    }
    puts("}");
    return rc;
}

/* ---- what there is ---- */

typedef int (*names_fn)(struct queue_cursor *c, const char *prefix, const char *after,
                        char ret[static QUEUE_NAME_MAX], struct err *err);

/* 1 when `name` is one of them, 0 when not. */
static int has_name(struct queue_cursor *cur, names_fn names, const char *name,
                    struct err *err)
{
    char found[QUEUE_NAME_MAX];
    int rc = names(cur, name, "", found, err);
    return rc > 0 ? !strcmp(found, name) : rc;
}

static int print_names(struct queue_cursor *cur, names_fn names, const char *kind,
                       struct err *err)
{
    char after[QUEUE_NAME_MAX] = "", name[QUEUE_NAME_MAX];
    int rc;
    while ((rc = names(cur, "", after, name, err)) > 0) {
        printf("%s %s\n", kind, name);
        memcpy(after, name, sizeof(after));
    }
    return rc;
}

static int print_rest(struct queue_cursor *cur, const char *kind, struct err *err)
{
    struct queue_msg msg;
    int rc;
    while ((rc = queue_read(cur, &msg, err)) > 0) {
        rc = print_record(kind, &msg, err);
        if (rc < 0 || ferror(stdout)) {
            break;
        }
    }
    return rc < 0 ? rc : 0;
}

/* Partition by partition. */
static int print_all(struct queue *q, struct queue_cursor *cur, const char *name,
                     bool is_topic, struct err *err)
{
    uint32_t partitions = 0;
    int rc = queue_partitions(q, name, &partitions, err);
    for (uint32_t p = 0; p < partitions && rc >= 0 && !ferror(stdout); p++) {
        rc = is_topic ? queue_read_topic(cur, name, p, 0)
                      : queue_read_table(cur, name, p, SPAN_NONE);
        rc = rc < 0 ? rc : print_rest(cur, is_topic ? "topic" : "table", err);
    }
    return rc;
}

static int cat(struct queue *q, struct queue_cursor *cur, const char *name,
               struct err *err)
{
    int rc = has_name(cur, queue_topics, name, err);
    bool is_topic = rc > 0;
    if (rc == 0) {
        rc = has_name(cur, queue_tables, name, err);
    }
    if (rc > 0) {
        return print_all(q, cur, name, is_topic, err);
    }
    if (rc == 0) {
        err_set(err, ERR_USAGE, "could not print '%s': there is no such topic or table",
                name);
        err_hint(err, "offpeak cat lists the names");
        return -ERR_USAGE;
    }
    return rc;
}

int cmd_cat(struct cli *c, struct err *err)
{
    struct queue *q = NULL;
    struct queue_cursor *cur = NULL;
    int rc = cli_open_data(c, &q, err);
    if (rc >= 0) {
        rc = queue_cursor_open(q, &cur, err);
    }
    if (rc >= 0 && c->opt->operands_n) {
        rc = cat(q, cur, c->opt->operands[0], err);
    } else if (rc >= 0) {
        rc = print_names(cur, queue_topics, "topic", err);
        rc = rc < 0 ? rc : print_names(cur, queue_tables, "table", err);
    }
    queue_cursor_close(cur);
    queue_close(q);
    return rc;
}
