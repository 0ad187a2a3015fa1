#include "scheduler/runs.h"

#include "core/queue.h"

#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS_KEPT_MAX 1000

struct runs {
    void *tree; /* tsearch tree of struct run by key */
    size_t n;
};

static int run_cmp(const void *a, const void *b)
{
    return strcmp(((const struct run *)a)->key, ((const struct run *)b)->key);
}

struct runs *runs_create(void)
{
    return calloc(1, sizeof(struct runs));
}

struct runs *runs_destroy(struct runs *r)
{
    if (r) {
        tdestroy(r->tree, free);
        free(r);
    }
    return NULL;
}

static int read_row(struct queue_cursor *c, struct run *run, struct err *err)
{
    char table[QUEUE_NAME_MAX], key[QUEUE_KEY_MAX];
    struct queue_msg row;
    table_runs(run->team, table);
    run_key(run->feature, run->name, key);
    int rc = queue_table_get(c, table, 0, span_str(key), &row, err);
    struct run_row read;
    struct err aside = {0};
    if (rc > 0 && run_row_decode(row.value, &read, &aside) < 0) {
        run->broken =
            true; /* a team's clients may write there: it is for that team's runs only */
    } else if (rc > 0) {
        run->row = read;
        run->has_row = true;
        run->broken = false;
    }
    return rc;
}

/* Once cancelled, always cancelled. */
static int read_cancel(struct queue_cursor *c, struct run *run, struct err *err)
{
    int rc = run->has_row && !run->cancelled
                 ? run_cancelled(c, run->team, run->feature, run->name, err)
                 : 0;
    run->cancelled = run->cancelled || rc > 0;
    return rc;
}

static int read_mark(struct queue_cursor *c, struct run *run, struct err *err)
{
    struct queue_msg row;
    int rc = queue_table_get(c, TABLE_MARKS, 0, span_str(run->key), &row, err);
    if (rc > 0 && span_u64(row.value, &run->last_line) < 0) {
        return err_set(err, ERR_FAIL, "could not read mark '%s': it is no number",
                       run->key);
    }
    return rc;
}

static int load(struct runs *r, struct queue_cursor *c, const struct run *wanted,
                struct run **ret, struct err *err)
{
    struct run *run = malloc(sizeof(*run));
    if (!run) {
        return err_set(err, ERR_FAIL, "could not keep run '%s': out of memory",
                       wanted->name);
    }
    *run = *wanted;
    if (read_row(c, run, err) < 0 || read_cancel(c, run, err) < 0 ||
        read_mark(c, run, err) < 0 || !tsearch(run, &r->tree, run_cmp)) {
        free(run);
        return -ERR_FAIL;
    }
    r->n++;
    *ret = run;
    return 0;
}

int runs_of(struct runs *r, struct queue_cursor *c, const struct queue_at *at,
            const struct job_head *head, struct run **ret, struct err *err)
{
    struct run wanted = {0};
    snprintf(wanted.key, sizeof(wanted.key), "%s/%u/%s/%llu", at->topic, at->partition,
             head->run, (unsigned long long)head->attempt);
    struct run *const *found = tfind(&wanted, &r->tree, run_cmp);
    if (found) {
        *ret = *found;
        return 0;
    }
    if (topic_jobs_parse(at->topic, wanted.team, wanted.feature) < 0) {
        return err_set(err, ERR_FAIL, "could not tell the team of topic '%s'", at->topic);
    }
    snprintf(wanted.name, sizeof(wanted.name), "%s", head->run);
    wanted.row.level = PROMPT_L1;
    snprintf(wanted.row.reuse, sizeof(wanted.row.reuse), "always");
    return load(r, c, &wanted, ret, err);
}

int run_takes(struct run *run, struct queue_cursor *c, const struct job_head *head,
              char ret_why[static WHY_MAX], struct err *err)
{
    bool behind = run->has_row && !run->row.complete && head->line > run->row.lines;
    if (run->broken || behind || (run->has_row && !run_row_has(&run->row, head))) {
        int rc = read_row(c, run, err);
        if (rc < 0) {
            return rc;
        }
    }
    ret_why[0] = '\0';
    if (run->broken) {
        snprintf(ret_why, WHY_MAX,
                 "names run '%s', whose row in 'runs.%s' cannot be read: submit it under "
                 "another name",
                 run->name, run->team);
    } else if (run->has_row && !run_row_has(&run->row, head)) {
        snprintf(ret_why, WHY_MAX,
                 "says line %" PRIu64 ", attempt %" PRIu64
                 " of run '%s', which has %" PRIu64 " lines and %" PRIu64
                 " attempts: leave those headers out",
                 head->line, head->attempt, run->name, run->row.lines,
                 MAX_OF(run->row.attempt, 1u));
    }
    return 0;
}

bool run_repeats(const struct run *run, uint64_t line)
{
    return run->has_row && line <= run->last_line;
}

void run_mark(struct run *run, uint64_t line)
{
    if (run->has_row && line > run->last_line) {
        run->last_line = line;
        run->dirty = true;
    }
}

struct writing {
    struct queue_tx *tx;
    struct err *err;
    int rc;
};

static void write_mark(const void *node, VISIT visit, void *ctx)
{
    struct writing *w = ctx;
    struct run *run = *(struct run *const *)node;
    char text[24];
    if ((visit != postorder && visit != leaf) || !run->dirty || w->rc < 0) {
        return;
    }
    snprintf(text, sizeof(text), "%llu", (unsigned long long)run->last_line);
    w->rc = queue_table_put(w->tx, TABLE_MARKS, 0, span_str(run->key), span_str(text),
                            w->err);
    run->dirty = false;
}

int runs_write(struct runs *r, struct queue_tx *tx, struct err *err)
{
    struct writing w = {.tx = tx, .err = err};
    twalk_r(r->tree, write_mark, &w);
    return w.rc;
}

struct refreshing {
    struct queue_cursor *c;
    struct err *err;
    int rc, found;
};

static void refresh_row(const void *node, VISIT visit, void *ctx)
{
    struct refreshing *f = ctx;
    struct run *run = *(struct run *const *)node;
    bool growing = run->has_row && !run->row.complete;
    if ((visit == postorder || visit == leaf) && growing && f->rc >= 0) {
        f->rc = read_row(f->c, run, f->err);
    }
}

int runs_refresh(struct runs *r, struct queue_cursor *c, struct err *err)
{
    struct refreshing f = {.c = c, .err = err};
    twalk_r(r->tree, refresh_row, &f);
    return f.rc < 0 ? f.rc : 0;
}

static void look_cancelled(const void *node, VISIT visit, void *ctx)
{
    struct refreshing *f = ctx;
    if ((visit == postorder || visit == leaf) && f->rc >= 0) {
        f->rc = read_cancel(f->c, *(struct run *const *)node, f->err);
        f->found += f->rc > 0;
    }
}

int runs_look_cancelled(struct runs *r, struct queue_cursor *c, struct err *err)
{
    struct refreshing f = {.c = c, .err = err};
    twalk_r(r->tree, look_cancelled, &f);
    return f.rc < 0 ? f.rc : f.found;
}

struct asking {
    const char *team, *feature;
    bool filling;
};

static void look_filling(const void *node, VISIT visit, void *ctx)
{
    struct asking *a = ctx;
    const struct run *run = *(struct run *const *)node;
    if ((visit == postorder || visit == leaf) && run->has_row && !run->row.complete &&
        strcmp(run->team, a->team) == 0 && strcmp(run->feature, a->feature) == 0) {
        a->filling = true;
    }
}

bool runs_filling(const struct runs *r, const char *team, const char *feature)
{
    struct asking a = {.team = team, .feature = feature};
    twalk_r(r->tree, look_filling, &a);
    return a.filling;
}

void runs_forget(struct runs *r)
{
    tdestroy(r->tree, free);
    r->tree = NULL;
    r->n = 0;
}

void runs_trim(struct runs *r)
{
    if (r->n > RUNS_KEPT_MAX) {
        runs_forget(r);
    }
}
