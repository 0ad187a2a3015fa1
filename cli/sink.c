#include "cli/sink.h"

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

static int clash(const char *path, const char *what, struct err *err)
{
    err_set(err, ERR_USAGE, "could not write results to '%s': it is the %s", path, what);
    err_hint(err, "choose another file");
    return -ERR_USAGE;
}

int sink_check(const char *input, const char *out, const char *errors, struct err *err)
{
    if (errors && !out) {
        return err_set(err, ERR_USAGE, "could not use --errors without -o");
    }
    if (same_file(input, out)) {
        return clash(out, "input itself", err);
    }
    if (same_file(input, errors)) {
        return clash(errors, "input itself", err);
    }
    if (same_file(out, errors)) {
        return clash(errors, "file named by -o too", err);
    }
    int rc = out ? outfile_check(out, err) : 0;
    return rc >= 0 && errors ? outfile_check(errors, err) : rc;
}
