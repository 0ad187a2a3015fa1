#include "tests/unit/desk.h"

#include "core/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum desk_line_is line_is(struct desk *d, const char *question)
{
    for (unsigned i = 0; i < d->lines_len; i++) {
        if (strcmp(d->lines[i].question, question) == 0 && d->lines[i].times > 0) {
            d->lines[i].times--;
            return d->lines[i].is;
        }
    }
    return DESK_ANSWERED;
}

static void answer(struct buf *out, const char *id, const char *question)
{
    buf_addf(
        out,
        "{\"custom_id\":\"%s\",\"response\":{\"status_code\":200,\"request_id\":\"r\",\"body\":"
        "{\"model\":\"gpt-test\",\"choices\":[{\"finish_reason\":\"stop\",\"message\":{"
        "\"content\":\"answer to %s\"}}],\"usage\":{\"prompt_tokens\":100,"
        "\"completion_tokens\":10}}},\"error\":null}\n",
        id, question);
}

static void fail_line(struct buf *err, const char *id, int status)
{
    buf_addf(
        err,
        "{\"custom_id\":\"%s\",\"response\":{\"status_code\":%d,\"body\":{\"error\":{"
        "\"message\":\"no\"}}},\"error\":null}\n",
        id, status);
}

static void run_line(struct desk *d, struct desk_batch *b, json_t *line, struct buf *out,
                     struct buf *err)
{
    const char *id, *question;
    assert_int_equal(
        json_unpack(line, "{s:s,s:{s:s}}", "custom_id", &id, "body", "q", &question), 0);
    enum desk_line_is is = line_is(d, question);
    if (is == DESK_BUSY || is == DESK_REFUSED) {
        fail_line(err, id, is == DESK_BUSY ? 429 : 400);
        b->failed++;
        return;
    }
    b->completed++;
    d->billed++;
    for (int i = 0; i < (is == DESK_OMITTED ? 0 : is == DESK_TWICE ? 2 : 1); i++) {
        answer(out, id, question);
    }
}

static void skip_line(json_t *line, struct buf *err, const char *code)
{
    buf_addf(err,
             "{\"custom_id\":\"%s\",\"response\":null,\"error\":{\"code\":\"%s\"}}\n",
             json_string_value(json_object_get(line, "custom_id")), code);
}

unsigned desk_count_lines(const char *text)
{
    unsigned n = 0;
    for (; *text; text++) {
        n += *text == '\n';
    }
    return n;
}

static void store_file(struct desk *d, struct buf *text, char ret[static 32])
{
    if (text->n > 0) {
        snprintf(ret, 32, "%s", desk_add_file(d, strdup(text->p))->id);
    }
    buf_fini(text);
}

/* Runs the lines of a batch whose time has come. */
void desk_make_results(struct desk *d, struct desk_batch *b)
{
    struct buf out, err;
    bool halved = b->end == DESK_EXPIRES || b->end == DESK_IS_CANCELLED ||
                  b->end == DESK_FORGETS;
    unsigned i = 0, half = halved ? b->lines / 2 : b->lines;
    buf_init(&out, 1 << 22);
    buf_init(&err, 1 << 22);
    b->made = true;
    char *rest = b->text, *text;
    while ((text = strtok_r(rest, "\n", &rest))) {
        json_t *line = json_loads(text, 0, NULL);
        assert_non_null(line);
        if (i++ < half) {
            run_line(d, b, line, &out, &err);
        } else if (b->end != DESK_FORGETS) {
            skip_line(line, &err,
                      b->end == DESK_EXPIRES ? "batch_expired" : "batch_cancelled");
            b->failed++;
        }
        json_decref(line);
    }
    store_file(d, &out, b->output);
    store_file(d, &err, b->error);
}
