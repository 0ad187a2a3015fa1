#include "producer/table.h"

#include "core/jtext.h"
#include "producer/bare.h"
#include "producer/csv.h"
#include "producer/input.h"
#include "producer/template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WHY_BYTES 160

struct table {
    struct table_conf conf;
    char *header; /* owns what `names` point into */
    struct buf header_plain;
    struct span names[CSV_COLUMNS_MAX];
    unsigned columns;
    int id; /* column, or -1 */
    struct template *template;
    struct span fields[CSV_COLUMNS_MAX];
    struct buf plain, body;
    char why[WHY_BYTES];
};

/* ---- a row ---- */

static bool is_utf8(struct span s)
{
    while (s.n) {
        int n = (unsigned char)s.p[0] < 0x80 ? 1 : span_utf8(s);
        if (n == 0) {
            return false;
        }
        s = span_of(s.p + n, s.n - (size_t)n);
    }
    return true;
}

static const char *split(struct table *t, struct span record)
{
    const char *why = NULL;
    int n = csv_split(record, t->conf.separator, t->fields, &t->plain, &why);
    if (n < 0) {
        return why;
    }
    if ((unsigned)n != t->columns) {
        snprintf(t->why, sizeof(t->why), "it has %d field%s, and the table %u column%s",
                 n, PLURAL(n), t->columns, PLURAL(t->columns));
        return t->why;
    }
    for (int i = 0; i < n; i++) {
        if (!is_utf8(t->fields[i])) {
            snprintf(t->why, sizeof(t->why), "its field '%.*s' is not valid UTF-8",
                     (int)MIN_OF(t->names[i].n, 60), t->names[i].p);
            return t->why;
        }
    }
    return NULL;
}

static void add_row(const struct table *t, struct buf *ret)
{
    buf_adds(ret, ",\"row\":{");
    for (unsigned i = 0; i < t->columns; i++) {
        buf_adds(ret, i ? "," : "");
        buf_add_json(ret, t->names[i]);
        buf_addc(ret, ':');
        buf_add_json(ret, t->fields[i]);
    }
    buf_adds(ret, "}}");
}

/* The body, as the template says; a prompt becomes an object with that prompt. */
static void fill(struct table *t)
{
    _cleanup_(buf_fini) struct buf text;
    buf_init(&text, t->body.max);
    buf_reset(&t->body);
    if (template_is_json(t->template)) {
        template_fill(t->template, t->fields, &t->body);
        return;
    }
    template_fill(t->template, t->fields, &text);
    buf_adds(&t->body, "{\"prompt\":");
    buf_add_json(&t->body, buf_span(&text));
    buf_addc(&t->body, '}');
}

/* What the fields give, as a batch line without its last brace. */
static const char *make_line(struct table *t, struct span id, struct buf *ret)
{
    struct bare with = {.id = id, .model = t->conf.model};
    fill(t);
    struct span body = buf_span(&t->body);
    if (jtext_check(body, NULL) < 0) {
        return "it gives no valid JSON";
    }
    return bare_is(body) ? bare_wrap(body, &with, ret)
                         : "it is no request: it has neither messages, input nor prompt";
}

const char *table_line(struct table *t, struct span record, uint64_t number,
                       struct buf *ret)
{
    char digits[24];
    const char *why = split(t, record);
    snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number);
    if (!why) {
        why = make_line(t, t->id < 0 ? span_str(digits) : t->fields[t->id], ret);
    }
    if (!why) {
        add_row(t, ret);
    }
    return why ? why : ret->failed ? "it is too long" : NULL;
}

/* ---- made from the header ---- */

static int read_file(const char *path, struct buf *ret, struct err *err)
{
    _cleanup_(attr_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0 && buf_reserve(ret, 4096) == 0) {
        char chunk[4096];
        n = read(fd, chunk, sizeof(chunk));
        if (n > 0 && buf_add(ret, chunk, (size_t)n) < 0) {
            break;
        }
    }
    if (n == 0) {
        return 0;
    }
    return err_set(err, ERR_INPUT, "could not read template '%s': %s", path,
                   n < 0 ? strerror(errno) : "it is too long");
}

/* What is wrong with every row is said once, before any of them is taken. */
static int try_template(struct table *t, struct err *err)
{
    _cleanup_(buf_fini) struct buf line;
    buf_init(&line, 2 * TEMPLATE_BYTES_MAX);
    memset(t->fields, 0, sizeof(t->fields));
    const char *why = make_line(t, SPAN_LIT("1"), &line);
    if (!why) {
        return 0;
    }
    err_set(err, ERR_USAGE, "could not use template '%s': %s", t->conf.template_path,
            why);
    if (!t->conf.model && bare_is(buf_span(&t->body))) {
        err_hint(err, "--model MODEL names one for all of them");
    }
    return -ERR_USAGE;
}

static int open_template(struct table *t, struct err *err)
{
    _cleanup_(buf_fini) struct buf text;
    const struct columns columns = {t->names, t->columns};
    buf_init(&text, TEMPLATE_BYTES_MAX);
    if (!t->conf.template_path) {
        err_set(err, ERR_USAGE, "could not read table '%s': no template says what to ask",
                t->conf.label);
        err_hint(err, "--template FILE, a request with {{column}} where a field goes");
        return -ERR_USAGE;
    }
    int rc = read_file(t->conf.template_path, &text, err);
    if (rc >= 0) {
        rc = template_create(&t->template, buf_span(&text), t->conf.template_path,
                             &columns, err);
    }
    return rc < 0 ? rc : try_template(t, err);
}

static int find_id(struct table *t, struct err *err)
{
    t->id = -1;
    for (unsigned i = 0; i < t->columns; i++) {
        if (t->conf.id_column && span_is(t->names[i], t->conf.id_column)) {
            t->id = (int)i;
        }
    }
    if (t->conf.id_column && t->id < 0) {
        err_set(err, ERR_INPUT, "could not read table '%s': it has no column '%s'",
                t->conf.label, t->conf.id_column);
        err_hint(err, "its first line is: %.200s", t->header);
        return -ERR_INPUT;
    }
    return 0;
}

/* A row is an object, and its columns are called by name. */
static int check_names(const struct table *t, struct err *err)
{
    for (unsigned i = 1; i < t->columns; i++) {
        for (unsigned k = 0; k < i; k++) {
            if (span_eq(t->names[i], t->names[k])) {
                err_set(
                    err, ERR_INPUT,
                    "could not read table '%s': columns %u and %u are both called '%.*s'",
                    t->conf.label, k + 1, i + 1, (int)MIN_OF(t->names[i].n, 60),
                    t->names[i].p);
                err_hint(err, "give each column a name of its own in the first line");
                return -ERR_INPUT;
            }
        }
    }
    return 0;
}

static int read_header(struct table *t, struct span header, struct err *err)
{
    const char *why = "no memory";
    t->header = strndup(header.p, header.n);
    int n = t->header ? csv_split(span_str(t->header), t->conf.separator, t->names,
                                  &t->header_plain, &why)
                      : -1;
    if (n < 0) {
        return err_set(err, ERR_INPUT, "could not read the columns of '%s': %s",
                       t->conf.label, why);
    }
    t->columns = (unsigned)n;
    return check_names(t, err);
}

int table_create(struct table **ret, const struct table_conf *conf, struct span header,
                 struct err *err)
{
    struct table *t = calloc(1, sizeof(*t));
    if (!t) {
        return err_set(err, ERR_FAIL, "could not read table '%s': no memory",
                       conf->label);
    }
    t->conf = *conf;
    buf_init(&t->header_plain, INPUT_LINE_MAX);
    buf_init(&t->plain, (size_t)1 << 30);
    buf_init(&t->body, (size_t)1 << 30);
    int rc = read_header(t, header, err);
    rc = rc < 0 ? rc : find_id(t, err);
    rc = rc < 0 ? rc : open_template(t, err);
    if (rc < 0) {
        table_destroy(t);
        return rc;
    }
    *ret = t;
    return 0;
}

struct table *table_destroy(struct table *t)
{
    if (t) {
        template_destroy(t->template);
        buf_fini(&t->header_plain);
        buf_fini(&t->plain);
        buf_fini(&t->body);
        free(t->header);
        free(t);
    }
    return NULL;
}
