#include "cli/infile.h"

#include "core/clock.h"
#include "core/name.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIGEST_SHOWN 8 /* hex digits of the digest in a run id */

static bool is_stdin(const char *operand)
{
    return !strcmp(operand, "-");
}

/* A pipe can be read only once: process substitution, mkfifo. */
static bool is_pipe(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISFIFO(st.st_mode);
}

/* "stdin-20261121-021407-1f3a": nobody else's, and it sorts by time. */
static void make_up_run(struct infile *f, int64_t wall_ms)
{
    char time[CLOCK_TIME_TEXT];
    unsigned char random[2] = {0};
    clock_time(wall_ms, time);
    (void)!getrandom(random, sizeof(random), 0);
    snprintf(f->run, sizeof(f->run), "stdin-%.4s%.2s%.2s-%.2s%.2s%.2s-%02x%02x", time,
             time + 5, time + 8, time + 11, time + 14, time + 17, random[0], random[1]);
}

bool infile_name(struct infile *f, const struct options *o, int64_t wall_ms)
{
    const char *operand = o->operands[0];
    *f = (struct infile){0};
    f->copied = is_stdin(operand) || is_pipe(operand);
    if (o->operands_n > 1) {
        snprintf(f->label, sizeof(f->label), "%.200s and %u more", operand,
                 o->operands_n - 1);
    } else {
        snprintf(f->label, sizeof(f->label), "%s",
                 is_stdin(operand) ? "standard input" : operand);
    }
    snprintf(f->path, sizeof(f->path), "%s", operand);
    if (o->run) {
        snprintf(f->run, sizeof(f->run), "%s", o->run);
    } else if (f->copied) {
        make_up_run(f, wall_ms);
    }
    return f->copied;
}

/* "<stem>-<digest>[-first<N>]", cut where names end and without what they may not hold. */
static void name_run(struct infile *f, uint64_t first)
{
    const char *slash = strrchr(f->path, '/');
    const char *stem = slash ? slash + 1 : f->path;
    const char *dot = strrchr(stem, '.');
    char tail[64] = "";
    if (first) {
        snprintf(tail, sizeof(tail), "-first%llu", (unsigned long long)first);
    }
    size_t stem_n = dot && dot > stem ? (size_t)(dot - stem) : strlen(stem);
    if (dot && (!strcmp(dot, ".gz") || !strcmp(dot, ".zst"))) {
        const char *inner = memrchr(stem, '.', stem_n);
        stem_n = inner && inner > stem ? (size_t)(inner - stem) : stem_n;
    }
    stem_n = MIN_OF(stem_n, RUN_MAX - DIGEST_SHOWN - 1 - strlen(tail));
    snprintf(f->run, sizeof(f->run), "%.*s-%.*s%s", (int)stem_n, stem, DIGEST_SHOWN,
             f->digest.hex, tail);
    for (char *c = f->run; *c; c++) {
        if (!isascii(*c) || (!isalnum(*c) && !strchr("._-", *c))) {
            *c = '_';
        }
    }
}

static int copy(struct infile *f, const struct cli *c, struct err *err)
{
    _cleanup_(buf_fini) struct buf path;
    _cleanup_(attr_closep) int fd = -1;
    int from = STDIN_FILENO;
    buf_init(&path, CLI_PATH_MAX - 1);
    if (!is_stdin(f->path)) {
        fd = open(f->path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            return err_set(err, ERR_INPUT, "could not read '%s': %s", f->label,
                           strerror(errno));
        }
        from = fd;
    }
    int rc = submit_copy_stdin(from, c->data, &path, err);
    if (rc >= 0) {
        snprintf(f->path, sizeof(f->path), "%s", path.p);
        f->has_copy = true;
    }
    return rc;
}

/* Only one of several files may be read but once: it would have to be copied. */
static int check_operands(const struct options *o, struct err *err)
{
    for (unsigned i = 0; o->operands_n > 1 && i < o->operands_n; i++) {
        if (is_stdin(o->operands[i]) || is_pipe(o->operands[i])) {
            err_set(err, ERR_USAGE,
                    "could not read '%s' beside other files: it is a pipe",
                    o->operands[i]);
            err_hint(err, "cat all of them into one: cat FILE... | offpeak run -");
            return -ERR_USAGE;
        }
    }
    return 0;
}

static void fill_source(struct infile *f, const struct cli *c)
{
    const struct options *o = c->opt;
    for (unsigned i = 0; i < o->operands_n; i++) {
        f->paths[i] = o->operands[i];
    }
    f->paths[0] = f->path;
    f->source = (struct source_conf){
        .paths = f->paths,
        .paths_n = o->operands_n,
        .label = o->operands_n == 1 ? f->label : NULL,
        .max_line = (size_t)c->set->cli.input_max_line,
        .first = o->first,
        .form = {.template_path = o->template,
                 .id_column = o->id_column,
                 .model = o->model,
                 .format = o->format},
    };
}

int infile_open(struct infile *f, const struct cli *c, struct err *err)
{
    int rc = check_operands(c->opt, err);
    if (rc >= 0 && f->copied) {
        rc = copy(f, c, err);
    }
    if (rc >= 0) {
        fill_source(f, c);
        rc = submit_digest(&f->source, &f->digest, err);
        if (rc < 0) {
            infile_remove_copy(f);
        }
    }
    if (rc >= 0 && !f->run[0]) {
        name_run(f, c->opt->first);
    }
    return rc;
}

void infile_remove_copy(struct infile *f)
{
    if (f->has_copy) {
        unlink(f->path);
        f->has_copy = false;
    }
}
