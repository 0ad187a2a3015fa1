#include "producer/source.h"

#include "producer/bare.h"
#include "producer/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct source {
    struct source_conf conf;
    unsigned file; /* the one being read */
    struct input *input;
    struct table *table; /* of that file, once its header is read; NULL: lines */
    char separator;
    uint64_t lines, blank, bytes; /* of the files before it; headers are blank */
    struct hash *hash;
    struct buf made; /* the line that was made last */
};

/* ---- life ---- */

static void hash_text(struct hash *h, const char *name, const char *text)
{
    if (text) {
        hash_add(h, name, strlen(name) + 1);
        hash_add(h, text, strlen(text) + 1);
    }
}

/* The template's text counts, not its name. */
static int hash_template(struct source *s, struct err *err)
{
    const char *path = s->conf.form.template_path;
    struct input *in = NULL;
    struct input_line line;
    struct input_conf conf = {
        .path = path, .label = path, .max_line = INPUT_KEPT, .hash = s->hash};
    if (!path) {
        return 0;
    }
    hash_add(s->hash, "template", sizeof("template"));
    int rc = input_open(&in, &conf, err);
    while (rc >= 0 && (rc = input_next(in, &line, err)) > 0) {
    }
    input_close(in);
    return rc;
}

int source_open(struct source **ret, const struct source_conf *conf, struct err *err)
{
    struct source *s = calloc(1, sizeof(*s));
    if (!s) {
        return err_set(err, ERR_FAIL, "could not read '%s': no memory", conf->paths[0]);
    }
    s->conf = *conf;
    s->hash = hash_open();
    buf_init(&s->made, conf->max_line ? conf->max_line : INPUT_LINE_MAX);
    int rc = hash_template(s, err);
    if (rc < 0) {
        source_close(s);
        return rc;
    }
    hash_text(s->hash, "id", conf->form.id_column);
    hash_text(s->hash, "model", conf->form.model);
    *ret = s;
    return 0;
}

struct source *source_close(struct source *s)
{
    if (s) {
        input_close(s->input);
        table_destroy(s->table);
        hash_drop(s->hash);
        buf_fini(&s->made);
        free(s);
    }
    return NULL;
}

/* ---- one file after the other ---- */

static const char *label_of(const struct source *s)
{
    return s->conf.label ? s->conf.label : s->conf.paths[s->file];
}

static bool ends_with(struct span name, const char *end)
{
    size_t n = strlen(end);
    return name.n >= n && !strncasecmp(name.p + name.n - n, end, n);
}

/* ',' or a tab for a table, 0 for lines; by its name, without what names a compression. */
static char separator_of(const struct source *s)
{
    struct span name = span_str(s->conf.paths[s->file]);
    const char *format = s->conf.form.format;
    if (format) {
        return !strcmp(format, "csv") ? ',' : !strcmp(format, "tsv") ? '\t' : 0;
    }
    name.n -= ends_with(name, ".gz") ? 3 : ends_with(name, ".zst") ? 4 : 0;
    return ends_with(name, ".csv") ? ',' : ends_with(name, ".tsv") ? '\t' : 0;
}

static int open_file(struct source *s, struct err *err)
{
    s->separator = separator_of(s);
    struct input_conf in = {.path = s->conf.paths[s->file],
                            .label = label_of(s),
                            .max_line = s->conf.max_line,
                            .separator = s->separator,
                            .hash = s->hash};
    return input_open(&s->input, &in, err);
}

static void end_file(struct source *s)
{
    s->lines += input_lines(s->input);
    s->blank += input_blank(s->input);
    s->bytes += input_bytes(s->input);
    s->input = input_close(s->input);
    s->table = table_destroy(s->table);
    s->file++;
}

static int open_table(struct source *s, const struct input_line *header, struct err *err)
{
    struct table_conf conf = {.label = label_of(s),
                              .separator = s->separator,
                              .template_path = s->conf.form.template_path,
                              .id_column = s->conf.form.id_column,
                              .model = s->conf.form.model};
    if (header->too_long) {
        return err_set(
            err, ERR_INPUT,
            "could not read the columns of '%s': its first line has %llu bytes",
            conf.label, (unsigned long long)header->bytes);
    }
    s->blank++;
    return table_create(&s->table, &conf, header->text, err);
}

/* ---- lines ---- */

static void refuse(struct source_line *l, const char *why, const char *remedy)
{
    snprintf(l->why, sizeof(l->why), "%s", why);
    l->remedy = remedy;
}

static void use_made(struct source *s, struct source_line *l)
{
    l->line.text = buf_span(&s->made);
    l->line.bytes = s->made.n;
}

static void make_line(struct source *s, struct source_line *l)
{
    buf_reset(&s->made);
    if (l->line.too_long) {
        refuse(l, "the row is too long, or a quote in it never closes",
               "close the quote, or raise input.max_line");
        return;
    }
    const char *why = table_line(s->table, l->line.text, l->line.number, &s->made);
    if (why) {
        refuse(l, why, "correct the row");
    } else {
        use_made(s, l);
    }
}

static bool is_over(const struct source *s)
{
    return s->conf.first && source_lines(s) - source_blank(s) >= s->conf.first;
}

int source_next(struct source *s, struct source_line *ret, struct err *err)
{
    *ret = (struct source_line){0};
    while (s->file < s->conf.paths_n && !is_over(s)) {
        int rc = s->input ? 0 : open_file(s, err);
        rc = rc < 0 ? rc : input_next(s->input, &ret->line, err);
        if (rc == 0) {
            end_file(s);
            continue;
        }
        if (rc > 0 && s->separator && !s->table) {
            rc = open_table(s, &ret->line, err);
            if (rc >= 0) {
                continue;
            }
        }
        if (rc < 0) {
            return rc;
        }
        ret->file = label_of(s);
        ret->file_line = ret->line.number;
        ret->line.number += s->lines;
        if (s->table) {
            make_line(s, ret);
        }
        return 1;
    }
    return 0;
}

void source_wrap(struct source *s, struct source_line *line)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%llu", (unsigned long long)line->line.number);
    struct bare with = {.id = span_str(digits), .model = s->conf.form.model};
    buf_reset(&s->made);
    const char *why = bare_wrap(line->line.text, &with, &s->made);
    if (!why && buf_addc(&s->made, '}') < 0) {
        why = "it is too long";
    }
    if (why) {
        refuse(line, why, "correct the line, or name a model with --model");
    } else {
        use_made(s, line);
    }
}

uint64_t source_lines(const struct source *s)
{
    return s->lines + (s->input ? input_lines(s->input) : 0);
}

uint64_t source_blank(const struct source *s)
{
    return s->blank + (s->input ? input_blank(s->input) : 0);
}

uint64_t source_bytes(const struct source *s)
{
    return s->bytes + (s->input ? input_bytes(s->input) : 0);
}

struct digest source_digest(const struct source *s)
{
    return hash_peek(s->hash);
}
