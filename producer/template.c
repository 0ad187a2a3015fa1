#include "producer/template.h"

#include "core/jtext.h"

#include <stdlib.h>

#define PIECES_MAX     1000
#define NAME_MAX_BYTES 1000

/* Text, and the column that follows it. */
struct piece {
    struct span text;
    int column; /* -1: none, the end */
};

struct template
{
    char *text;
    bool json;
    struct piece pieces[PIECES_MAX];
    unsigned n;
};

struct template *template_destroy(struct template *t)
{
    if (t) {
        free(t->text);
        free(t);
    }
    return NULL;
}

static int find_column(const struct columns *c, struct span name)
{
    for (unsigned i = 0; i < c->n; i++) {
        if (span_eq(c->names[i], name)) {
            return (int)i;
        }
    }
    return -1;
}

static int no_column(const char *label, struct span name, const struct columns *c,
                     struct err *err)
{
    _cleanup_(buf_fini) struct buf have;
    buf_init(&have, 400);
    for (unsigned i = 0; i < c->n && !have.failed; i++) {
        buf_addf(&have, "%s%.*s", i ? ", " : "", (int)MIN_OF(c->names[i].n, 60),
                 c->names[i].p);
    }
    err_set(err, ERR_INPUT, "could not use template '%s': the table has no column '%.*s'",
            label, (int)MIN_OF(name.n, 60), name.p);
    err_hint(err, "it has: %s%s", have.p ? have.p : "none", have.failed ? ", ..." : "");
    return -ERR_INPUT;
}

/* The name as it is meant: in JSON its escapes are undone. */
static int read_name(const struct template *t, struct span raw, struct buf *ret)
{
    _cleanup_(buf_fini) struct buf quoted;
    buf_init(&quoted, NAME_MAX_BYTES);
    raw = span_trim(raw);
    if (!t->json) {
        return buf_add(ret, raw.p, raw.n);
    }
    buf_addf(&quoted, "\"%.*s\"", (int)raw.n, raw.p);
    return quoted.failed ? -1 : jtext_string(buf_span(&quoted), ret);
}

static int cut(struct template *t, const char *label, const struct columns *columns,
               struct err *err)
{
    _cleanup_(buf_fini) struct buf name;
    const char *from = t->text, *open, *close;
    buf_init(&name, NAME_MAX_BYTES);
    while ((open = strstr(from, "{{")) && (close = strstr(open, "}}"))) {
        buf_reset(&name);
        if (t->n == PIECES_MAX - 1 ||
            read_name(t, span_of(open + 2, (size_t)(close - open) - 2), &name) < 0) {
            return err_set(err, ERR_INPUT, "could not use template '%s': %s", label,
                           t->n == PIECES_MAX - 1 ? "it names too many columns"
                                                  : "a column's name is too long");
        }
        int column = find_column(columns, buf_span(&name));
        if (column < 0) {
            return no_column(label, buf_span(&name), columns, err);
        }
        t->pieces[t->n++] = (struct piece){span_of(from, (size_t)(open - from)), column};
        from = close + 2;
    }
    t->pieces[t->n++] = (struct piece){span_str(from), -1};
    return 0;
}

/* A batch line is one line: between JSON's values a line end is as good as a space. */
static void join_lines(struct template *t)
{
    for (char *c = t->text; t->json && *c; c++) {
        if (*c == '\n' || *c == '\r') {
            *c = ' ';
        }
    }
}

static int check_json(const struct template *t, const char *label, struct err *err)
{
    struct err why = {0};
    if (!t->json || jtext_check(span_str(t->text), &why) >= 0) {
        return 0;
    }
    err_set(err, ERR_INPUT, "could not use template '%s': it is not valid JSON: %s",
            label, why.msg);
    err_hint(err, "put each {{column}} inside the quotes of a string");
    return -ERR_INPUT;
}

int template_create(struct template **ret, struct span text, const char *label,
                    const struct columns *columns, struct err *err)
{
    struct template *t = calloc(1, sizeof(*t));
    struct span trimmed = span_trim(text);
    if (!t || !(t->text = strndup(trimmed.p ? trimmed.p : "", trimmed.n))) {
        template_destroy(t);
        return err_set(err, ERR_FAIL, "could not read template '%s': no memory", label);
    }
    t->json = t->text[0] == '{';
    join_lines(t);
    int rc = check_json(t, label, err);
    if (rc >= 0) {
        rc = cut(t, label, columns, err);
    }
    if (rc < 0) {
        template_destroy(t);
        return rc;
    }
    *ret = t;
    return 0;
}

bool template_is_json(const struct template *t)
{
    return t->json;
}

/* As the inside of a JSON string. */
static void add_escaped(struct buf *b, struct span field)
{
    size_t at = b->n;
    if (buf_add_json(b, field) == 0) { /* "...": the quotes go */
        memmove(b->p + at, b->p + at + 1, b->n - at - 2);
        b->n -= 2;
        b->p[b->n] = '\0';
    }
}

int template_fill(const struct template *t, const struct span *fields, struct buf *ret)
{
    for (unsigned i = 0; i < t->n; i++) {
        const struct piece *piece = &t->pieces[i];
        buf_add(ret, piece->text.p, piece->text.n);
        if (piece->column < 0) {
            continue;
        }
        if (t->json) {
            add_escaped(ret, fields[piece->column]);
        } else {
            buf_add(ret, fields[piece->column].p, fields[piece->column].n);
        }
    }
    return ret->failed ? -1 : 0;
}
