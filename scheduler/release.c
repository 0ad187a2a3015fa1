#include "scheduler/scheduler_int.h"

#include <stdio.h>
#include <string.h>

/* A job adds a release, a reservation, and perhaps the mark of its run. */
#define RELEASE_JOBS (QUEUE_TX_RECORDS / 3)
#define JOB_ROOM     8192 /* bytes of its records beside its value */

/* ---- filling: feed -> slice ---- */

static void on_read(void *ctx)
{
    struct scheduler *s = CAST_CTX(scheduler, ctx, SCHEDULER_MAGIC);
    s->reading->state = SLICE_READ;
    if (s->destroyed) {
        scheduler_free_if_done(s);
        return;
    }
    scheduler_soon(s);
}

static void read_work(void *ctx)
{
    struct scheduler *s = ctx;
    slice_read(s->reading);
}

/* Finds the run's level, or why the record cannot be of that run. */
static int level_of(struct scheduler *s, const struct queue_msg *msg,
                    enum prompt_level *ret, char ret_why[static WHY_MAX], struct err *err)
{
    struct job_head head;
    struct run *run;
    *ret = PROMPT_L1;
    ret_why[0] = '\0';
    if (job_head_decode(msg->headers, &head) < 0) {
        return 0; /* ask_read will say so */
    }
    int rc = runs_of(s->runs, s->rows, &msg->at, &head, &run, err);
    if (rc >= 0) {
        rc = run_takes(run, s->rows, &head, ret_why, err);
        *ret = run->row.level;
    }
    return rc;
}

/* Anybody who may make topics can make one that begins like ours. */
static bool is_stranger(struct scheduler *s, const struct queue_msg *msg)
{
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    if (topic_jobs_parse(msg->at.topic, team, feature) >= 0) {
        return false;
    }
    queue_pause(s->feed, msg->at.topic, msg->at.partition, msg->at.offset);
    s->conf.on_event(
        s->conf.ctx, msg->at.topic,
        "no queue: its name is not jobs.<team>.<feature>; what is in it stays");
    return true;
}

static int fill_one(struct scheduler *s, const struct queue_msg *msg, struct err *err)
{
    char why[WHY_MAX];
    enum prompt_level level;
    size_t max = queue_value_max(s->conf.queue, TOPIC_READY);
    int added;
    if (is_stranger(s, msg)) {
        return 0;
    }
    int rc = level_of(s, msg, &level, why, err);
    if (rc < 0) {
        return rc;
    }
    if (msg->value.n > max) {
        snprintf(why, sizeof(why),
                 "has %zu bytes, and at most %zu can be passed on: make it smaller (it "
                 "stays in '%.120s' at offset %llu)",
                 msg->value.n, max, msg->at.topic, (unsigned long long)msg->at.offset);
        added = slice_add_refused(s->reading, msg, why, true);
    } else if (why[0]) {
        added = slice_add_refused(s->reading, msg, why, false);
    } else {
        added = slice_add(s->reading, msg, level);
    }
    return added < 0 ? err_set(err, ERR_FAIL, "could not read jobs: out of memory") : 0;
}

int release_fill(struct scheduler *s, struct err *err)
{
    struct slice *slice = s->reading;
    struct queue_msg msg;
    int rc = 1;
    while (!slice_full(slice) && (rc = queue_next(s->feed, &msg, err)) > 0) {
        rc = fill_one(s, &msg, err);
        if (rc < 0) {
            return rc;
        }
    }
    s->dry = rc == 0;
    if (rc < 0 || slice->n == 0) {
        return rc;
    }
    slice->state = SLICE_READING;
    rc = loop_work(s->conf.loop, read_work, on_read, s, err);
    return rc < 0 ? rc : 1;
}

/* ---- deciding: slice -> commit ---- */

struct job {
    const struct ask *ask;
    struct run *run;
    struct waiting *queue;
    enum lane lane;
    const struct scheduler_lane *terms;
    const struct price_row *price;
    struct line_view lines[BOOKS_LINES_MAX];
    unsigned lines_n;
    char day[CLOCK_DAY_TEXT];
    struct decision decision;
};

static int gather(struct scheduler *s, const struct ask *ask, struct job *job,
                  struct err *err)
{
    job->ask = ask;
    job->queue = backlog_get(s->backlog, ask->at.topic, ask->at.partition);
    if (!job->queue) {
        return err_set(err, ERR_FAIL, "could not keep queue '%s'", ask->at.topic);
    }
    clock_day(loop_wall_ms(s->conf.loop), job->day);
    int rc = runs_of(s->runs, s->rows, &ask->at, &ask->head, &job->run, err);
    if (rc < 0) {
        return rc;
    }
    job->lane = job->run->row.lane;
    job->terms = &s->conf.lanes[job->lane];
    job->price = job->terms->prices ? price_find(job->terms->prices, job->terms->provider,
                                                 span_str(ask->prompt.model), job->day)
                                    : NULL;
    struct payer payer = {.team = job->queue->team,
                          .feature = job->queue->feature,
                          .run = ask->head.run,
                          .day = job->day,
                          .max_cost = job->run->row.has_max_cost ? &job->run->row.max_cost
                                                                 : NULL};
    return books_lines(s->books, s->rows, &payer, job->lines, &job->lines_n, err);
}

/* Whose answers the job can share. What this process cannot send keeps its run's word. */
static const char *endpoint_of(const struct job *job)
{
    const char *own = job->run->row.endpoint;
    return job->terms->calls || !own[0] ? job->terms->endpoint : own;
}

static const char *prices_of(const struct job *job)
{
    return job->terms->prices ? price_book_version(job->terms->prices) : "";
}

static void decide(struct scheduler *s, struct job *job)
{
    struct budget_edit pause;
    struct bound bound = {0};
    bool paused = books_paused(s->books, job->queue->team, job->queue->feature, &pause);
    bool fits = true;
    if (!job->ask->why[0] && job->price &&
        admit_bound(job->ask, job->price, job->lane, &bound) >= 0) {
        fits = flow_fits(s->flow, job->ask->prompt.model, bound.input_tokens);
    }
    struct admit_in in = {.ask = job->ask,
                          .team = job->queue->team,
                          .feature = job->queue->feature,
                          .endpoint = job->run->row.endpoint,
                          .origin = endpoint_of(job),
                          .price = job->price,
                          .prices = prices_of(job),
                          .lane = job->lane,
                          .no_lane = job->terms->prices ? NULL : job->terms->why,
                          .no_lane_hint = job->terms->hint,
                          .pause = paused ? &pause : NULL,
                          .lines = job->lines,
                          .lines_n = job->lines_n,
                          .cancelled = job->run->cancelled,
                          .needs_limit = s->needs_limit,
                          .flow_fits = fits,
                          .wall_ms = loop_wall_ms(s->conf.loop)};
    admit(&in, &job->decision);
}

static bool reusable(const struct job *job)
{
    const char *reuse = job->run->row.reuse;
    return strcmp(reuse, "always") == 0 ||
           (strcmp(reuse, "deterministic") == 0 && job->ask->prompt.deterministic);
}

static void fill_prompt(const struct job *job, struct release *r)
{
    const struct prompt *p = &job->ask->prompt;
    snprintf(r->model, sizeof(r->model), "%s", p->model);
    r->key =
        prompt_key(r->team, endpoint_of(job), job->ask->path, job->run->row.level, p);
    memcpy(r->chain, p->chain, sizeof(r->chain));
    r->chain_len = p->chain_len;
    r->reserved = job->decision.bound.usd;
    r->tries = job->decision.bound.tries;
    r->input_bound = job->decision.bound.input_tokens;
    r->output_bound = job->decision.bound.output_tokens;
    r->inputs = (uint32_t)p->inputs;
    r->reusable = reusable(job);
    r->fresh = job->run->row.fresh;
    r->fresh_ms = job->run->row.started_ms;
    r->body_at = job->ask->body_at;
    r->body_len = job->ask->body_len;
    snprintf(r->path, sizeof(r->path), "%s", job->ask->path);
}

static void fill_release(struct scheduler *s, const struct job *job, struct release *r)
{
    static const enum verdict verdicts[] = {[ADMIT_RUN] = VERDICT_RUN,
                                            [ADMIT_REJECT] = VERDICT_REJECTED,
                                            [ADMIT_CANCEL] = VERDICT_CANCELLED};
    const struct ask *ask = job->ask;
    *r = (struct release){.verdict = verdicts[job->decision.kind],
                          .lane = job->lane,
                          .attempt = ask->head.attempt,
                          .line = ask->head.line,
                          .id_at = ask->id_at,
                          .id_len = ask->id_len,
                          .unlimited = job->decision.bound.unlimited,
                          .seen_budgets = books_budgets_seen(s->books),
                          .seen_spend = s->spend_next};
    snprintf(r->why, sizeof(r->why), "%s", job->decision.why);
    snprintf(r->job, sizeof(r->job), "%s", ask->job);
    snprintf(r->run, sizeof(r->run), "%s", ask->head.run);
    snprintf(r->team, sizeof(r->team), "%s", job->queue->team);
    snprintf(r->feature, sizeof(r->feature), "%s", job->queue->feature);
    snprintf(r->prices, sizeof(r->prices), "%s", prices_of(job));
    snprintf(r->day, sizeof(r->day), "%s", job->day);
    if (r->verdict == VERDICT_RUN) {
        fill_prompt(job, r);
    }
}

static int put_open(const struct job *job, struct queue_tx *tx, struct err *err)
{
    _cleanup_(buf_fini) struct buf json;
    struct open_row open = {.attempt = job->ask->head.attempt,
                            .reserved = job->decision.bound.usd,
                            .tokens = job->decision.bound.input_tokens,
                            .on_run = job->run->row.has_max_cost};
    snprintf(open.team, sizeof(open.team), "%s", job->queue->team);
    snprintf(open.feature, sizeof(open.feature), "%s", job->queue->feature);
    snprintf(open.run, sizeof(open.run), "%s", job->ask->head.run);
    snprintf(open.model, sizeof(open.model), "%s", job->ask->prompt.model);
    snprintf(open.day, sizeof(open.day), "%s", job->day);
    buf_init(&json, 4096);
    int rc = open_row_encode(&open, &json);
    if (rc < 0) {
        return err_set(err, ERR_FAIL, "could not reserve for '%s': row too large",
                       job->ask->job);
    }
    return queue_table_put(tx, TABLE_OPEN, 0, span_str(job->ask->job), buf_span(&json),
                           err);
}

static int reserve(struct scheduler *s, const struct job *job, struct queue_tx *tx,
                   struct err *err)
{
    books_reserve(job->lines, job->lines_n, job->decision.bound.usd);
    if (flow_add(s->flow, job->ask->prompt.model, job->decision.bound.input_tokens) < 0) {
        return err_set(err, ERR_FAIL, "could not count what is in flight: out of memory");
    }
    return put_open(job, tx, err);
}

static struct span root_key(const struct release *r, char ret[static 8])
{
    uint64_t root = r->chain_len ? r->chain[0].hash : 0;
    for (int i = 0; i < 8; i++) {
        ret[i] = (char)(root >> (56 - 8 * i));
    }
    return span_of(ret, 8);
}

static int pass_on(const struct ask *ask, const struct queue_to *to, struct span headers,
                   struct queue_tx *tx, struct err *err)
{
    return ask->bare ? queue_put(tx, to, headers, SPAN_NONE, err)
                     : queue_forward(tx, to, headers, &ask->at, err);
}

static int release(struct scheduler *s, const struct job *job, struct queue_tx *tx,
                   struct err *err)
{
    _cleanup_(buf_fini) struct buf block;
    struct release r;
    char key[8];
    fill_release(s, job, &r);
    uint32_t partition = release_partition(&r, s->partitions);
    buf_init(&block, RELEASE_BYTES_MAX);
    int rc = release_encode(&r, &block, err);
    if (rc >= 0) {
        rc = pass_on(job->ask, QUEUE_TO(TOPIC_READY, partition, root_key(&r, key)),
                     buf_span(&block), tx, err);
    }
    if (rc >= 0 && r.verdict == VERDICT_RUN) {
        rc = reserve(s, job, tx, err);
    }
    if (rc >= 0) {
        rc = queue_ack(tx, &job->ask->at, err);
    }
    if (rc >= 0) {
        run_mark(job->run, job->ask->head.line);
        s->unflushed[partition] = true;
    }
    return rc;
}

static void tell(struct scheduler *s, const struct waiting *w, const char *text)
{
    char subject[TEAM_MAX + FEATURE_MAX + 2];
    snprintf(subject, sizeof(subject), "%s/%s", w->team, w->feature);
    s->conf.on_event(s->conf.ctx, subject, text);
}

/* The queue waits at this job: what was read of it behind the job will be delivered again. */
static void hold(struct scheduler *s, const struct job *job)
{
    struct waiting *w = job->queue;
    const struct decision *d = &job->decision;
    bool news = d->gate.kind != GATE_FLOW && !backlog_told(s->backlog, w, &d->gate);
    w->waits = true;
    w->gate = d->gate;
    w->line = d->line;
    w->limit = d->limit;
    w->need = d->bound.usd;
    snprintf(w->model, sizeof(w->model), "%s", job->ask->prompt.model);
    queue_pause(s->feed, w->topic, w->partition, job->ask->at.offset);
    slice_drop_topic(s->deciding, w->topic, w->partition);
    slice_drop_topic(s->reading, w->topic, w->partition);
    if (news) {
        tell(s, w, d->gate.why);
    }
}

static int decide_one(struct scheduler *s, const struct ask *ask, struct queue_tx *tx,
                      struct err *err)
{
    struct job job;
    int rc = gather(s, ask, &job, err);
    if (rc < 0) {
        return rc;
    }
    if (run_repeats(job.run, ask->head.line)) {
        job.queue->repeats++;
        return queue_ack(tx, &ask->at, err);
    }
    decide(s, &job);
    if (job.decision.kind == ADMIT_WAIT) {
        hold(s, &job);
        return 0;
    }
    if (backlog_opens(s->backlog, job.queue)) {
        tell(s, job.queue, "the gate is open again");
    }
    return release(s, &job, tx, err);
}

/* On a broker a job goes on with all its bytes. */
static size_t room_for(const struct slice_raw *raw)
{
    return raw->msg.value.n + JOB_ROOM;
}

static int decide_slice(struct scheduler *s, struct queue_tx *tx, struct err *err)
{
    struct slice *slice = s->deciding;
    unsigned first = slice->next;
    int rc = 0;
    while (rc >= 0 && slice->next < MIN_OF(slice->n, first + RELEASE_JOBS)) {
        unsigned i = slice->next;
        if (!queue_tx_empty(tx) && queue_tx_full(tx, room_for(&slice->raw[i]))) {
            break;
        }
        slice->next++;
        if (!slice->raw[i].dropped) {
            rc = decide_one(s, &slice->asks[i], tx, err);
        }
    }
    if (rc >= 0) {
        rc = runs_write(s->runs, tx, err);
    }
    return rc;
}

static void swap_slices(struct scheduler *s)
{
    struct slice *read = s->reading;
    s->reading = s->deciding;
    s->deciding = read;
}

int release_decide(struct scheduler *s, struct err *err)
{
    if (s->deciding->next == s->deciding->n) {
        slice_clear(s->deciding);
        if (s->reading->state != SLICE_READ) {
            return 0;
        }
        swap_slices(s);
    }
    struct queue_tx *tx;
    if (queue_begin(s->conf.queue, &tx) < 0) {
        return err_set(err, ERR_FAIL, "could not begin a commit: out of memory");
    }
    int rc = decide_slice(s, tx, err);
    if (rc < 0 || queue_tx_empty(tx)) {
        queue_tx_drop(tx);
        return rc < 0 ? rc : 1;
    }
    scheduler_commit(s, tx);
    return 1;
}

/* ---- what was left out ---- */

static void tell_repeats(void *ctx, struct waiting *w)
{
    char text[100];
    if (w->repeats) {
        snprintf(text, sizeof(text),
                 "%llu repeated line%s left out: their run had them before",
                 (unsigned long long)w->repeats, w->repeats == 1 ? "" : "s");
        w->repeats = 0;
        tell(ctx, w, text);
    }
}

void release_tell_repeats(struct scheduler *s)
{
    backlog_each(s->backlog, tell_repeats, s);
}

/* ---- flush ---- */

static void look_filling(void *ctx, struct waiting *w)
{
    struct scheduler *s = ctx;
    if (!w->waits && runs_filling(s->runs, w->team, w->feature)) {
        s->filling = true;
    }
}

/* One on each partition that got work since its last. */
static int put_flushes(struct scheduler *s, struct queue_tx *tx, struct err *err)
{
    _cleanup_(buf_fini) struct buf block;
    struct release flush = {.verdict = VERDICT_FLUSH};
    buf_init(&block, RELEASE_BYTES_MAX);
    int rc = release_encode(&flush, &block, err);
    for (uint32_t p = 0; p < s->partitions && rc >= 0; p++) {
        if (s->unflushed[p]) {
            s->unflushed[p] = false;
            rc = queue_put(tx, QUEUE_TO(TOPIC_READY, p, SPAN_NONE), buf_span(&block),
                           SPAN_NONE, err);
        }
    }
    return rc;
}

int release_flush(struct scheduler *s, struct err *err)
{
    struct queue_tx *tx;
    if (!scheduler_unflushed(s)) {
        return 0;
    }
    int rc = runs_refresh(s->runs, s->rows, err);
    s->filling = false;
    backlog_each(s->backlog, look_filling, s);
    if (rc < 0 || s->filling) {
        return rc; /* more lines are coming; batch.linger covers a producer that stalls */
    }
    if (queue_begin(s->conf.queue, &tx) < 0) {
        return err_set(err, ERR_FAIL, "could not begin a commit: out of memory");
    }
    rc = put_flushes(s, tx, err);
    if (rc < 0) {
        queue_tx_drop(tx);
        return rc;
    }
    scheduler_commit(s, tx);
    return 1;
}
