/* Any bytes as a job file: lines, requests without an envelope, or a table with its template.
 * Every line has its number and ends as a batch line that can be read, or says why not.
 *
 * The first byte says how the file is taken, one byte how long the template is; then template and
 * file. */
#include "core/jtext.h"
#include "producer/bare.h"
#include "producer/csv.h"
#include "producer/line.h"
#include "producer/source.h"
#include "tests/fuzz/file.h"

enum {
    AS_CSV = 1,
    AS_TSV = 2,
    WITH_ID = 4,
    WITH_MODEL = 8,
    FIRST_ONLY = 16,
};

/* ---- records of a table end inside it however it is cut; fields lie inside their record ---- */

static size_t end_of(const char *p, size_t n, size_t step)
{
    struct csv_scan scan = {0};
    for (size_t at = 0; at < n; at += step) {
        const char *end = csv_end(&scan, p + at, MIN_OF(step, n - at), ',');
        if (end) {
            MUST(end >= p + at && end < p + n && *end == '\n');
            return (size_t)(end - p);
        }
    }
    return n;
}

static void check_fields(struct span record)
{
    static struct span fields[CSV_COLUMNS_MAX], again[CSV_COLUMNS_MAX];
    const char *why = NULL;
    _cleanup_(buf_fini) struct buf plain, text, plain_again;
    buf_init(&plain, record.n + 1);
    buf_init(&text, 4 * record.n + 100);
    buf_init(&plain_again, 4 * record.n + 100);
    int n = csv_split(record, ',', fields, &plain, &why);
    MUST((n < 0) == (why != NULL));
    for (int i = 0; i < n; i++) {
        MUST(fuzz_within(fields[i], record) || fuzz_within(fields[i], buf_span(&plain)));
        buf_adds(&text, i ? "," : "");
        MUST(csv_add(&text, fields[i]) == 0);
    }
    if (n > 0) { /* written and read again it is the same */
        MUST(csv_split(buf_span(&text), ',', again, &plain_again, &why) == n);
        for (int i = 0; i < n; i++) {
            MUST(span_eq(fields[i], again[i]));
        }
    }
}

static void check_records(struct span file)
{
    size_t at = 0;
    while (at < file.n) {
        size_t end = end_of(file.p + at, file.n - at, file.n);
        MUST(end == end_of(file.p + at, file.n - at, 1));
        check_fields(span_of(file.p + at, end));
        at += end + 1;
    }
}

/* ---- lines ---- */

static void check_line(struct source *s, struct source_line *l, bool table)
{
    struct line_verdict v;
    if (l->why[0]) {
        MUST(l->remedy);
        return;
    }
    MUST(!table || jtext_check(l->line.text, NULL) == 0);
    line_check(&l->line, &v);
    MUST(v.ok || (v.why[0] && v.remedy));
    MUST(v.custom_id.n == 0 || fuzz_within(v.custom_id, l->line.text));
    if (v.bare) {
        source_wrap(s, l);
        MUST(l->why[0] || jtext_check(l->line.text, NULL) == 0);
        line_check(&l->line, &v);
        MUST(l->why[0] || !v.bare);
    }
}

static void check_source(const struct source_conf *conf, bool table)
{
    struct err err = {0};
    struct source *s = NULL;
    struct source_line line;
    uint64_t last = 0, n = 0;
    int rc = source_open(&s, conf, &err);
    while (rc >= 0 && (rc = source_next(s, &line, &err)) > 0) {
        MUST(line.line.number > last && line.file && line.file_line > 0);
        last = line.line.number;
        n++;
        check_line(s, &line, table);
    }
    MUST(rc == 0 || err.msg[0]);
    MUST(!s || rc < 0 || source_lines(s) - source_blank(s) == n);
    MUST(!conf->first || n <= conf->first);
    source_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const formats[] = {"jsonl", "csv", "tsv", "csv"};
    char path[FILE_PATH_MAX], template[FILE_PATH_MAX];
    struct span file = span_of(data, n);
    unsigned how = fuzz_number(&file, 1);
    struct span form = fuzz_take(&file, fuzz_number(&file, 1));
    unsigned table = how & (AS_CSV | AS_TSV);
    int fd = file_of(file.p, file.n, path), form_fd = file_of(form.p, form.n, template);
    const char *const paths[] = {path};
    const struct source_conf conf = {
        .paths = paths,
        .paths_n = 1,
        .max_line = INPUT_KEPT, /* a small buffer is made quickly */
        .first = how & FIRST_ONLY ? 2 : 0,
        .form = {.template_path = table ? template : NULL,
                 .id_column = table && how & WITH_ID ? "id" : NULL,
                 .model = how & WITH_MODEL ? "text-embedding-3-small" : NULL,
                 .format = formats[table]}};
    if (table) {
        check_records(file);
    }
    check_source(&conf, table);
    close(fd);
    close(form_fd);
    return 0;
}
