#include "producer/submit.h"

#include "core/idset.h"
#include "core/loop.h"
#include "core/queue.h"
#include "producer/page.h"

#include <stdio.h>
#include <stdlib.h>

#define SUBMIT_MAGIC  0x53424d54u /* SBMT */
#define ROW_BYTES_MAX ((size_t)8 << 10)

struct submit {
    uint32_t magic;
    struct submit_conf conf;
    struct run_row row;      /* as it stands in the last commit handed over */
    char key[QUEUE_KEY_MAX]; /* of the row */
    char table[QUEUE_NAME_MAX], topic[QUEUE_NAME_MAX];
    struct page_source source;
    struct page page;
    unsigned put;             /* lines of the page already put */
    bool filled;              /* the page holds something to put */
    bool filling, committing; /* in flight: who comes back last frees a dying submit */
    bool done, dying;
};

/* ---- life ---- */

static void submit_free(struct submit *s)
{
    page_fini(&s->page);
    source_close(s->source.source);
    idset_close(s->source.ids);
    s->magic = 0;
    free(s);
}

struct submit *submit_destroy(struct submit *s)
{
    if (!s) {
        return NULL;
    }
    s->dying = s->done = true;
    atomic_store(&s->source.stop, true);
    if (!s->filling && !s->committing) {
        submit_free(s);
    }
    return NULL;
}

static void submit_finish(struct submit *s, const struct err *err)
{
    if (!s->done) {
        s->done = true;
        s->conf.on_done(s->conf.ctx, err);
    }
}

/* True when the submit was only waiting for this callback to be freed. */
static bool submit_gone(struct submit *s)
{
    if (s->dying && !s->filling && !s->committing) {
        submit_free(s);
        return true;
    }
    return s->dying;
}

const struct run_row *submit_row(const struct submit *s)
{
    return &s->row;
}

/* ---- one page after the other: read while the last one is being committed ---- */

static void submit_step(struct submit *s);

static void submit_work(void *ctx)
{
    struct submit *s = CAST_CTX(submit, ctx, SUBMIT_MAGIC);
    page_fill(&s->page, &s->source);
}

static void submit_on_filled(void *ctx)
{
    struct submit *s = CAST_CTX(submit, ctx, SUBMIT_MAGIC);
    s->filling = false;
    if (submit_gone(s)) {
        return;
    }
    if (s->page.rc < 0) {
        submit_finish(s, &s->page.err);
        return;
    }
    for (unsigned i = 0; i < s->page.n; i++) {
        const struct page_line *l = &s->page.lines[i];
        if (l->why) {
            s->conf.on_line(s->conf.ctx, l->file, l->file_line, l->why, l->remedy);
        }
    }
    s->filled = true;
    s->put = 0;
    submit_step(s);
}

static void submit_on_commit(void *ctx, uint64_t commit, const struct err *err)
{
    struct submit *s = CAST_CTX(submit, ctx, SUBMIT_MAGIC);
    (void)commit;
    s->committing = false;
    if (submit_gone(s)) {
        return;
    }
    if (err || s->row.complete) {
        submit_finish(s, err);
        return;
    }
    submit_step(s);
}

static int put_line(struct submit *s, struct queue_tx *tx, const struct page_line *l,
                    struct err *err)
{
    struct job_head head = {.attempt = 1, .line = l->number};
    snprintf(head.run, sizeof(head.run), "%s", s->conf.run);
    if (l->why) {
        snprintf(head.refused, sizeof(head.refused), "%.100s:%llu: %s; %s", l->file,
                 (unsigned long long)l->file_line, l->why, l->remedy);
        head.custom_id = l->custom_id;
    }
    _cleanup_(buf_fini) struct buf block;
    buf_init(&block, QUEUE_KEY_MAX * 4);
    if (job_head_encode(&head, &block) < 0) {
        return err_set(err, ERR_FAIL,
                       "could not enqueue line %llu of '%s': its headers do not fit",
                       (unsigned long long)l->number, s->conf.label);
    }
    return queue_put(tx, QUEUE_TO(s->topic, run_partition(&s->row, l->number), SPAN_NONE),
                     buf_span(&block), l->text, err);
}

static int put_row(struct submit *s, struct queue_tx *tx, struct err *err)
{
    _cleanup_(buf_fini) struct buf json;
    buf_init(&json, ROW_BYTES_MAX);
    if (run_row_encode(&s->row, &json) < 0) {
        return err_set(err, ERR_FAIL, "could not describe run '%s'", s->conf.run);
    }
    return queue_table_put(tx, s->table, 0, span_str(s->key), buf_span(&json), err);
}

/* The file must still be the one whose digest named the run. */
static int check_unchanged(const struct submit *s, struct err *err)
{
    char hex[HASH_HEX];
    if (!strcmp(hash_hex(s->page.digest, hex), s->row.digest)) {
        return 0;
    }
    err_set(err, ERR_INPUT, "could not finish reading '%s': it changed while it was read",
            s->conf.label);
    err_hint(
        err,
        "%llu of its lines are queued as run '%s'; give the changed file with --run NEW",
        (unsigned long long)s->row.lines, s->conf.run);
    return -ERR_INPUT;
}

/* As many lines of the page as one transaction takes, and the row that counts them. */
static int put_lines(struct submit *s, struct queue_tx *tx, struct err *err)
{
    struct page *page = &s->page;
    int rc = 0;
    while (rc >= 0 && s->put < page->n) {
        const struct page_line *l = &page->lines[s->put];
        if (!queue_tx_empty(tx) && queue_tx_full(tx, l->text.n + ROW_BYTES_MAX)) {
            break;
        }
        rc = put_line(s, tx, l, err);
        s->row.lines = l->number;
        s->row.refused += l->why != NULL;
        s->put++;
    }
    if (rc >= 0 && s->put == page->n) {
        s->row.lines = page->last;
        s->row.blank = page->blank;
        s->row.complete = page->end;
    }
    return rc < 0 ? rc : put_row(s, tx, err);
}

static int start_fill(struct submit *s, struct err *err)
{
    s->filled = false;
    s->filling = true;
    int rc = loop_work(s->conf.loop, submit_work, submit_on_filled, s, err);
    if (rc < 0) {
        s->filling = false;
    }
    return rc;
}

static int submit_put(struct submit *s, struct err *err)
{
    struct queue_tx *tx = NULL;
    int rc = s->page.end ? check_unchanged(s, err) : 0;
    if (rc >= 0 && queue_begin(s->conf.queue, &tx) < 0) {
        rc = err_set(err, ERR_FAIL, "could not enqueue '%s': no memory", s->conf.label);
    }
    if (rc >= 0) {
        rc = put_lines(s, tx, err);
    }
    if (rc < 0) {
        queue_tx_drop(tx);
        return rc;
    }
    s->committing = true;
    queue_commit(tx, submit_on_commit, s);
    return 0;
}

/* Puts what is filled when no commit is in flight, and fills what is put. */
static void submit_step(struct submit *s)
{
    struct err err = {0};
    int rc = 0;
    if (s->filled && !s->committing && !s->done) {
        rc = submit_put(s, &err);
    }
    bool all_put = s->put == s->page.n;
    if (rc >= 0 && all_put && !s->filling && !s->page.end && !s->done) {
        rc = start_fill(s, &err);
    }
    if (rc < 0) {
        submit_finish(s, &err);
    }
}

/* ---- start ---- */

static int mark_start(struct submit *s, struct err *err)
{
    struct queue_cursor *cur = NULL;
    char results[QUEUE_NAME_MAX];
    topic_results(s->conf.team, results);
    uint64_t first;
    int rc = queue_cursor_open(s->conf.queue, &cur, err);
    if (rc >= 0) {
        rc = queue_bounds(cur, results, 0, &first, &s->row.results_from, err);
    }
    if (rc >= 0) {
        rc = queue_bounds(cur, TOPIC_SPEND, 0, &first, &s->row.spend_from, err);
    }
    queue_cursor_close(cur);
    if (rc >= 0) {
        rc = queue_partitions(s->conf.queue, s->topic, &s->row.partitions, err);
    }
    s->row.spread = s->row.partitions > 1;
    return rc;
}

/* The row stands before the first line does. */
static int write_first_row(struct submit *s, struct err *err)
{
    struct queue_tx *tx = NULL;
    int rc = mark_start(s, err);
    if (rc >= 0 && queue_begin(s->conf.queue, &tx) < 0) {
        rc = err_set(err, ERR_FAIL, "could not begin run '%s': no memory", s->conf.run);
    }
    if (rc >= 0) {
        rc = put_row(s, tx, err);
    }
    if (rc < 0) {
        queue_tx_drop(tx);
        return rc;
    }
    s->committing = true;
    queue_commit(tx, submit_on_commit, s);
    return 0;
}

static int open_source(struct submit *s, struct err *err)
{
    int rc = source_open(&s->source.source, &s->conf.source, err);
    return rc < 0 ? rc : idset_open(&s->source.ids, s->conf.dir, err);
}

int submit_start(struct submit **ret, const struct submit_conf *conf, struct err *err)
{
    enum run_match match;
    struct run_row row;
    int rc = submit_match(conf->queue, conf, &match, &row, err);
    if (rc < 0) {
        return rc;
    }
    struct submit *s = calloc(1, sizeof(*s));
    if (!s) {
        return err_set(err, ERR_FAIL, "could not enqueue '%s': no memory", conf->label);
    }
    s->magic = SUBMIT_MAGIC;
    s->conf = *conf;
    s->row = match == RUN_NEW ? conf->row : row;
    s->row.complete = false;
    s->source.skip = s->row.lines;
    page_init(&s->page, conf->source.max_line);
    run_key(conf->feature, conf->run, s->key);
    table_runs(conf->team, s->table);
    topic_jobs(conf->team, conf->feature, s->topic);
    rc = open_source(s, err);
    if (rc >= 0) {
        rc = match == RUN_NEW ? write_first_row(s, err) : start_fill(s, err);
    }
    if (rc < 0) {
        submit_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}
