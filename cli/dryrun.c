#include "cli/dryrun.h"

#include "core/clock.h"
#include "core/idset.h"
#include "producer/page.h"
#include "scheduler/admit.h"
#include "worker/answers.h"

#include <stdio.h>
#include <stdlib.h>

struct work {
    const struct dryrun_conf *conf;
    struct dryrun *to;
    const char *team;
    struct scheduler_lane terms;
    int64_t now_ms;
    char day[CLOCK_DAY_TEXT];
    struct buf head;              /* of every line, as submit would write it */
    struct idset *keys;           /* cache keys seen */
    struct queue_cursor *answers; /* or NULL */
    uint32_t partitions;          /* of them */
};

static void refuse(struct work *w, uint64_t line, const char *why, const char *remedy)
{
    if (++w->to->refused <= PROGRESS_REFUSED_MAX) {
        struct refused_line l = {
            .label = w->conf->file->label, .line = line, .why = why, .remedy = remedy};
        progress_refused(w->conf->progress, &l);
    }
}

static void read_ask(struct work *w, struct span text, struct ask *ret)
{
    struct queue_msg msg = {.headers = buf_span(&w->head), .value = text};
    topic_jobs(w->team, "default", msg.at.topic);
    ask_read(&msg, w->conf->row->level, ret);
}

static bool is_reusable(const struct work *w, const struct prompt *p)
{
    const char *reuse = w->conf->row->reuse;
    return !strcmp(reuse, reuse_name(REUSE_ALWAYS)) ||
           (!strcmp(reuse, reuse_name(REUSE_DETERMINISTIC)) && p->deterministic);
}

/* 1: nothing is to be bought for this job. */
static int is_answered(struct work *w, const struct ask *a, uint64_t line,
                       struct err *err)
{
    if (!is_reusable(w, &a->prompt)) {
        return 0;
    }
    uint64_t first;
    struct digest key =
        prompt_key(w->team, w->terms.endpoint, a->path, w->conf->row->level, &a->prompt);
    int rc = idset_add(w->keys, span_of(key.b, sizeof(key.b)), line, &first, err);
    if (rc <= 0) {
        w->to->equal += rc == 0;
        return rc < 0 ? rc : 1;
    }
    if (!w->answers || w->conf->row->fresh) {
        return 0;
    }
    struct answer_want want = {.now_ms = w->now_ms, .fresh_ms = INT64_MIN};
    struct stored_answer answer;
    uint32_t partition = ready_partition(a->prompt.chain[0].hash, &key, w->partitions);
    rc = answer_get(w->answers, partition, &key, &want, &answer, err);
    w->to->hits += rc > 0;
    return rc;
}

static void add_lowest(struct work *w, const struct price_row *price,
                       const struct prompt *p)
{
    uint64_t bytes = prompt_tokens_bound(p);
    struct usage least = {.input = bytes == UINT64_MAX ? 1
                                                       : bytes / DRYRUN_BYTES_PER_TOKEN};
    struct cost cost;
    if (price_cost(price, w->conf->row->lane, &least, &cost) == 0) {
        usd_sum_add(&w->to->lowest, cost.total);
    }
}

static int take(struct work *w, const struct page_line *l, struct err *err)
{
    w->to->jobs++;
    if (l->why) {
        refuse(w, l->number, l->why, l->remedy);
        return 0;
    }
    struct ask ask;
    struct bound bound;
    char why[200];
    read_ask(w, l->text, &ask);
    if (ask.why[0]) {
        refuse(w, l->number, ask.why, NULL);
        return 0;
    }
    const struct price_row *price = price_find(w->terms.prices, w->terms.provider,
                                               span_str(ask.prompt.model), w->day);
    if (!price || admit_bound(&ask, price, w->conf->row->lane, &bound) < 0) {
        snprintf(why, sizeof(why),
                 price ? "could cost more than can be counted in model '%s'"
                       : "the price book has no row for model '%s'",
                 ask.prompt.model);
        refuse(w, l->number, why,
               "name another model, or another price book with prices.file");
        return 0;
    }
    int rc = is_answered(w, &ask, l->number, err);
    if (rc == 0) {
        w->to->distinct++;
        w->to->unlimited += !ask.prompt.has_output_limit;
        usd_sum_add(&w->to->highest, bound.usd);
        add_lowest(w, price, &ask.prompt);
    }
    return rc < 0 ? rc : 0;
}

static int take_all(struct work *w, struct page_source *from, struct err *err)
{
    _cleanup_(attr_freep) struct page *page = malloc(sizeof(*page));
    if (!page) {
        return err_set(err, ERR_FAIL, "could not read the file: no memory");
    }
    page_init(page, (size_t)w->conf->cli->set->cli.input_max_line);
    int rc = 0;
    while (rc >= 0 && !page->end) {
        page_fill(page, from);
        rc = page->rc;
        if (rc < 0) {
            *err = page->err;
        }
        for (unsigned i = 0; rc >= 0 && i < page->n; i++) {
            rc = take(w, &page->lines[i], err);
        }
    }
    page_fini(page);
    return rc;
}

static int open_work(struct work *w, struct page_source *from, struct err *err)
{
    const struct cli *c = w->conf->cli;
    struct clock clock = clock_real();
    struct job_head head = {.attempt = 1, .line = 1};
    w->team = cli_team(c);
    struct scheduler_lane lanes[LANES];
    endpoint_lanes(w->conf->endpoint, lanes);
    w->terms = lanes[w->conf->row->lane];
    w->now_ms = clock_wall_ms(&clock);
    clock_day(w->now_ms, w->day);
    buf_init(&w->head, QUEUE_KEY_MAX);
    if (job_head_encode(&head, &w->head) < 0) {
        return err_set(err, ERR_FAIL, "could not read the file: no memory");
    }
    int rc = source_open(&from->source, &w->conf->file->source, err);
    if (rc >= 0) {
        rc = idset_open(&from->ids, c->data, err);
    }
    if (rc >= 0) {
        rc = idset_open(&w->keys, c->data, err);
    }
    if (rc >= 0 && w->conf->queue) {
        rc = queue_partitions(w->conf->queue, TABLE_ANSWERS, &w->partitions, err);
        rc = rc < 0 ? rc : queue_cursor_open(w->conf->queue, &w->answers, err);
    }
    return rc;
}

int dryrun(const struct dryrun_conf *conf, struct dryrun *ret, struct err *err)
{
    *ret = (struct dryrun){0};
    struct work w = {.conf = conf, .to = ret};
    struct page_source from = {0};
    int rc = open_work(&w, &from, err);
    if (rc >= 0) {
        rc = take_all(&w, &from, err);
    }
    progress_more(conf->progress, conf->file->label, ret->refused);
    queue_cursor_close(w.answers);
    idset_close(w.keys);
    idset_close(from.ids);
    source_close(from.source);
    buf_fini(&w.head);
    return rc;
}
