/* What is known of a run before its first line is queued (submit.h). */
#include "producer/submit.h"

#include "core/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the file ---- */

static void make_digest(const struct source *s, struct submit_digest *ret)
{
    hash_hex(source_digest(s), ret->hex);
    ret->lines = source_lines(s);
    ret->blank = source_blank(s);
    ret->bytes = source_bytes(s);
}

static int no_lines(const struct source_conf *conf, struct err *err)
{
    err_set(err, ERR_INPUT, "could not read '%s': it holds no lines",
            conf->label ? conf->label : conf->paths[0]);
    err_hint(err, "write one OpenAI batch line a job; see schemas/job-line.v1.json");
    return -ERR_INPUT;
}

int submit_digest(const struct source_conf *source, struct submit_digest *ret,
                  struct err *err)
{
    struct source *s = NULL;
    struct source_line line;
    int rc = source_open(&s, source, err);
    while (rc >= 0 && (rc = source_next(s, &line, err)) > 0) {
    }
    if (rc == 0) {
        make_digest(s, ret);
        rc = ret->lines == ret->blank ? no_lines(source, err) : 0;
    }
    source_close(s);
    return rc;
}

static int copy_all(int from, int to, const char *path, struct err *err)
{
    _cleanup_(attr_freep) char *chunk = malloc(INPUT_CHUNK);
    if (!chunk) {
        return err_set(err, ERR_FAIL, "could not copy standard input: no memory");
    }
    for (;;) {
        ssize_t n = read(from, chunk, INPUT_CHUNK);
        if (n == 0) {
            return 0;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return err_set(err, ERR_INPUT, "could not read standard input: %s",
                           strerror(errno));
        }
        for (ssize_t at = 0; at < n;) {
            ssize_t wrote = write(to, chunk + at, (size_t)(n - at));
            if (wrote < 0 && errno != EINTR) {
                err_set(err, ERR_FAIL, "could not copy standard input to '%s': %s", path,
                        strerror(errno));
                err_hint(err, "make room there, or name another folder with --data");
                return -ERR_FAIL;
            }
            at += MAX_OF(wrote, 0);
        }
    }
}

int submit_copy_stdin(int fd, const char *dir, struct buf *ret, struct err *err)
{
    buf_addf(ret, "%s/input", dir);
    if (ret->failed || (mkdir(ret->p, 0700) && errno != EEXIST)) {
        return err_set(err, ERR_FAIL, "could not create '%s/input': %s", dir,
                       strerror(errno));
    }
    buf_adds(ret, "/stdin-XXXXXX");
    int to = ret->failed ? -1 : mkostemp(ret->p, O_CLOEXEC);
    if (to < 0) {
        return err_set(err, ERR_FAIL, "could not create a file in '%s/input': %s", dir,
                       strerror(errno));
    }
    int rc = copy_all(fd, to, ret->p, err);
    if (close(to) && rc == 0) {
        rc = err_set(err, ERR_FAIL, "could not copy standard input to '%s': %s", ret->p,
                     strerror(errno));
    }
    if (rc < 0) {
        unlink(ret->p);
    }
    return rc;
}

/* ---- what stands in `runs` ---- */

static int differs(const char *run, const char *what, const char *was, const char *is,
                   struct err *err)
{
    err_set(err, ERR_USAGE, "could not continue run '%s': its %s was %s, now it is %s",
            run, what, was, is);
    err_hint(err, "use --run NEW for a new run");
    return -ERR_USAGE;
}

/* What is asked now and did not hold for the lines that are queued must not seem to hold. */
static int compare_options(const struct submit_conf *c, const struct run_row *row,
                           struct err *err)
{
    char was[USD_TEXT_MAX] = "none", is[USD_TEXT_MAX];
    if (c->row.fresh && !row->fresh) {
        return differs(c->run, "--fresh", "not given", "given", err);
    }
    if (!c->row.has_max_cost ||
        (row->has_max_cost && usd_cmp(row->max_cost, c->row.max_cost) == 0)) {
        return 0;
    }
    if (row->has_max_cost) {
        usd_format(row->max_cost, was);
    }
    return differs(c->run, "--max-cost", was, usd_format(c->row.max_cost, is), err);
}

static int compare_row(const struct submit_conf *c, const struct run_row *row,
                       struct err *err)
{
    if (row->lane != c->row.lane) {
        return differs(c->run, "lane", lane_name(row->lane), lane_name(c->row.lane), err);
    }
    if (strcmp(row->endpoint, c->row.endpoint)) {
        return differs(c->run, "endpoint", row->endpoint, c->row.endpoint, err);
    }
    if (strcmp(row->digest, c->row.digest)) {
        char was[320], is[320];
        snprintf(was, sizeof(was), "'%s' with SHA-256 %.8s", row->source, row->digest);
        snprintf(is, sizeof(is), "'%s' with SHA-256 %.8s", c->label, c->row.digest);
        return differs(c->run, "input", was, is, err);
    }
    return compare_options(c, row, err);
}

/* Is this run id taken by another queue: its key ends in "/run". */
static int check_table(struct queue_cursor *cur, const char *table,
                       const struct submit_conf *c, struct err *err)
{
    const char *team = strchr(table, '.') + 1;
    struct queue_msg msg;
    int rc = queue_read_table(cur, table, 0, SPAN_NONE);
    while (rc >= 0 && (rc = queue_read(cur, &msg, err)) > 0) {
        const char *slash = memchr(msg.key.p, '/', msg.key.n);
        size_t n = slash ? (size_t)(slash - msg.key.p) : 0;
        if (!slash || !span_is(span_of(slash + 1, msg.key.n - n - 1), c->run)) {
            continue;
        }
        struct span feature = span_of(msg.key.p, n);
        if (strcmp(team, c->team) || !span_is(feature, c->feature)) {
            char was[160], is[160];
            snprintf(was, sizeof(was), "'%s/%.*s'", team, (int)n, msg.key.p);
            snprintf(is, sizeof(is), "'%s/%s'", c->team, c->feature);
            return differs(c->run, "team/feature", was, is, err);
        }
    }
    return rc;
}

static int check_other_queues(struct queue_cursor *cur, const struct submit_conf *c,
                              struct err *err)
{
    char table[QUEUE_NAME_MAX] = "";
    char next[QUEUE_NAME_MAX];
    int rc;
    while ((rc = queue_tables(cur, "runs.", table, next, err)) > 0) {
        memcpy(table, next, sizeof(table));
        rc = check_table(cur, table, c, err);
        if (rc < 0) {
            return rc;
        }
    }
    return rc;
}

int submit_match(struct queue *q, const struct submit_conf *conf, enum run_match *ret,
                 struct run_row *ret_row, struct err *err)
{
    char key[QUEUE_KEY_MAX], table[QUEUE_NAME_MAX];
    run_key(conf->feature, conf->run, key);
    table_runs(conf->team, table);
    struct queue_cursor *cur = NULL;
    struct queue_msg msg;
    struct run_row row;
    int rc = queue_cursor_open(q, &cur, err);
    if (rc >= 0) {
        rc = check_other_queues(cur, conf, err);
    }
    if (rc >= 0) {
        rc = queue_table_get(cur, table, 0, span_str(key), &msg, err);
    }
    if (rc > 0) {
        rc = run_row_decode(msg.value, &row, err);
        rc = rc < 0 ? rc : compare_row(conf, &row, err);
        if (rc >= 0) {
            *ret = row.complete ? RUN_FINISHED_SUBMIT : RUN_CONTINUES;
            *ret_row = row;
        }
    } else if (rc == 0) {
        *ret = RUN_NEW;
    }
    queue_cursor_close(cur);
    return rc < 0 ? rc : 0;
}
