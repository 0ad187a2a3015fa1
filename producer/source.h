/*
 * source.h - the lines of a run's files as OpenAI batch lines, whatever they were written as.
 *
 * Open, source_next until it returns 0, close. Files are read one after the other; a line's
 * number counts through all of them, `file` and `file_line` say where it stands for people. Of a
 * table (.csv, .tsv, compressed or not) each row becomes a line by the template, with the row
 * itself as a last member "row"; the row with the columns' names counts as blank. A row that
 * cannot become a line says why and keeps its place.
 *
 * source_wrap makes a batch line of a request without an envelope (producer/bare.h); who judges
 * lines finds out that it is one.
 *
 * With `first`, the source ends behind that many lines that are not blank. The digest covers the
 * text up to there, and the template and what else shapes the lines: the same files asked
 * otherwise are another input. With neither template nor model it is the text's SHA-256.
 */
#ifndef OFFPEAK_PRODUCER_SOURCE_H
#define OFFPEAK_PRODUCER_SOURCE_H

#include "core/err.h"
#include "core/hash.h"
#include "producer/input.h"

#define SOURCE_FILES_MAX 1000

struct source;

/* What the lines are made with; all may be NULL. Borrowed. */
struct source_form {
    const char *template_path; /* needed for tables */
    const char *id_column;     /* of a table: the custom_id; else the line's number */
    const char *model;         /* of requests that name none */
    const char *format;        /* "csv", "tsv", "jsonl"; NULL: by the files' names */
};

struct source_conf {
    const char *const *paths; /* regular files */
    const char *label;        /* how messages name the only file; NULL: by its path */
    unsigned paths_n;
    size_t max_line; /* of a line, also of one that was made; 0: INPUT_LINE_MAX */
    uint64_t first;  /* 0 all */
    struct source_form form;
};

struct source_line {
    struct input_line
        line; /* number through all files; its text is borrowed until the next call */
    const char *file;
    uint64_t file_line;
    char why[256]; /* it cannot become a batch line; empty: it is one, or may be */
    const char *remedy;
};

int source_open(struct source **ret, const struct source_conf *conf, struct err *err);
int source_next(struct source *s, struct source_line *ret, struct err *err);
/* The line's text, a JSON object for which bare_is says yes, becomes a batch line, or `why` says
 * why not. The text is borrowed until the next call. */
void source_wrap(struct source *s, struct source_line *line);
uint64_t source_lines(const struct source *s); /* numbered so far, blank ones too */
uint64_t source_blank(const struct source *s);
uint64_t source_bytes(const struct source *s);
struct digest source_digest(const struct source *s);
struct source *source_close(struct source *s);

#endif
