#include "cli/sink.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int sink_open(struct sink *s, const char *out, const char *errors, struct err *err)
{
    *s = (struct sink){.streaming = !strcmp(out, "-")};
    int rc = outfile_open(&s->out, out, err);
    if (rc >= 0 && errors) {
        rc = outfile_open(&s->errors, errors, err);
    }
    if (rc < 0) {
        sink_close(s);
    }
    return rc;
}

int sink_result(void *sink, const struct result_head *head, struct span line,
                struct err *err)
{
    struct sink *s = sink;
    struct outfile *to = s->errors && head->status != STATUS_OK ? s->errors : s->out;
    int rc = outfile_line(to, line, err);
    return rc >= 0 && s->streaming ? outfile_flush(to, err) : rc;
}

int sink_commit(struct sink *s, struct err *err)
{
    int rc = s->errors ? outfile_commit(s->errors, err) : 0;
    return rc < 0 ? rc : outfile_commit(s->out, err);
}

void sink_close(struct sink *s)
{
    s->out = outfile_close(s->out);
    s->errors = outfile_close(s->errors);
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    if (!a || !b || !strcmp(a, "-") || !strcmp(b, "-")) {
        return false;
    }
    if (!strcmp(a, b)) {
        return true;
    }
    return stat(a, &x) == 0 && stat(b, &y) == 0 && S_ISREG(x.st_mode) &&
           x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* What in a data folder is the program's own: writing there would replace the store. */
static const char *const own_names[] = {
    "queue", "queue.tmp", "spool", "open.lock", "owner.lock", "wake", "beat.json"};

/* `name` is what follows the data folder in a path. */
static bool is_own_name(const char *name)
{
    size_t n = strcspn(name, "/");
    for (size_t i = 0; i < ARRAY_LEN(own_names); i++) {
        if (span_is(span_of(name, n), own_names[i])) {
            return true;
        }
    }
    return false;
}

/* By the real folder of `path`, so that links and dots do not matter. */
static bool is_in_store(const char *data, const char *path)
{
    char copy[PATH_MAX], folder[PATH_MAX], real_data[PATH_MAX], whole[2 * PATH_MAX];
    snprintf(copy, sizeof(copy), "%s", path);
    if (!realpath(data, real_data) || !realpath(dirname(copy), folder)) {
        return false; /* no store yet, or no folder to write into */
    }
    snprintf(copy, sizeof(copy), "%s", path);
    snprintf(whole, sizeof(whole), "%s/%s", folder, basename(copy));
    size_t n = strlen(real_data);
    return !strncmp(whole, real_data, n) && whole[n] == '/' && is_own_name(whole + n + 1);
}

static int clash(const char *path, const char *what, struct err *err)
{
    err_set(err, ERR_USAGE, "could not write results to '%s': it is %s", path, what);
    err_hint(err, "choose another file");
    return -ERR_USAGE;
}

int sink_check(const struct sink_paths *p, struct err *err)
{
    const char *const ours[] = {p->out, p->errors};
    int rc = 0;
    if (p->errors && !p->out) {
        return err_set(err, ERR_USAGE, "could not use --errors without -o");
    }
    for (size_t i = 0; i < ARRAY_LEN(ours) && rc >= 0; i++) {
        if (!ours[i] || !strcmp(ours[i], "-")) {
            continue;
        }
        if (same_file(p->input, ours[i])) {
            return clash(ours[i], "the input itself", err);
        }
        if (is_in_store(p->data, ours[i])) {
            return clash(ours[i], "one of the data folder's own", err);
        }
        rc = outfile_check(ours[i], err);
    }
    return rc >= 0 && same_file(p->out, p->errors)
               ? clash(p->errors, "the file named by -o too", err)
               : rc;
}
