#include "cli/gates.h"

#include "cli/endpoint.h"
#include "core/clock.h"
#include "core/kafka.h"
#include "core/topics.h"
#include "scheduler/admit.h"
#include "scheduler/books.h"
#include "scheduler/flow.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PEEK_MS 3000 /* for one job to come */

struct gates {
    struct gates_conf conf;
    struct endpoint endpoint;
    struct clock clock;
    struct budget_default deflt;
    struct queue_cursor *names, *rows;
    struct kafka_consumer *peek; /* NULL: no job was looked at yet */
    /* while it looks */
    struct books *books;
    struct flow *flow;
    struct gates_view *view;
    bool no_memory;
};

/* ---- the first job that waits ---- */

/* Where a partition's first waiting job stands: 1 *ret_first, 0 none waits. */
static int find_first(struct gates *g, const char *topic, uint32_t partition,
                      uint64_t *ret_first, uint64_t *ret_n, struct err *err)
{
    char key[QUEUE_KEY_MAX];
    struct queue_msg row;
    uint64_t first, end, low = 0;
    snprintf(key, sizeof(key), "%s#%u", topic, partition);
    int rc = queue_bounds(g->rows, topic, partition, &first, &end, err);
    if (rc > 0) {
        rc = queue_table_get(g->rows, TOPICS_ACKS, 0, span_str(key), &row, err);
    }
    if (rc < 0 || (rc > 0 && span_u64(row.value, &low) < 0)) {
        return rc < 0
                   ? rc
                   : err_set(err, ERR_VERSION, "could not read row '%s' of 'acks'", key);
    }
    low = MAX_OF(low, first);
    *ret_first = low;
    *ret_n = end - MIN_OF(low, end);
    return *ret_n > 0;
}

/* Borrowed from the consumer until it is asked again: 1, 0 it is not to be had now. */
static int poll_for(struct gates *g, const struct kafka_place *at, struct queue_msg *ret,
                    struct err *err)
{
    int64_t until = clock_mono_ms(&g->clock) + PEEK_MS;
    struct kafka_event ev;
    int rc = 0;
    while (rc >= 0 && clock_mono_ms(&g->clock) < until) {
        rc = kafka_consumer_poll(g->peek, 100, &ev, err);
        if (rc <= 0 || strcmp(ev.topic, at->topic) || ev.partition != at->partition) {
            continue;
        }
        if (ev.what != KAFKA_RECORD) {
            return ev.what == KAFKA_TROUBLE ? -(int)ev.class : 0;
        }
        ret->at.partition = (uint32_t)ev.partition;
        ret->at.offset = (uint64_t)ev.offset;
        ret->time_ms = ev.time_ms;
        ret->key = ev.key;
        ret->headers = ev.headers;
        ret->value = ev.value.p ? ev.value : SPAN_LIT("");
        return 1;
    }
    return rc;
}

/* That one job and no others: a cursor would copy all that wait. */
static int peek(struct gates *g, const char *topic, uint32_t partition, uint64_t first,
                struct queue_msg *ret, struct err *err)
{
    const struct broker_settings *set = &g->conf.cli->set->broker;
    const struct kafka_conf kafka = broker_kafka(set);
    const struct kafka_consumer_conf conf = {.kafka = &kafka};
    char name[KAFKA_TOPIC_MAX];
    const struct kafka_place at = {name, (int32_t)partition, (int64_t)first};
    snprintf(name, sizeof(name), "%s%s", set->prefix, topic);
    snprintf(ret->at.topic, sizeof(ret->at.topic), "%s", topic);
    int rc = g->peek ? 0 : kafka_consumer_open(&g->peek, &conf, err);
    rc = rc < 0 ? rc : kafka_consumer_add(g->peek, &at, err);
    if (rc >= 0) {
        rc = poll_for(g, &at, ret, err);
        (void)kafka_consumer_remove(g->peek, name, (int32_t)partition, NULL);
    }
    return rc < 0 ? -(int)err->code : rc;
}

/* ---- what the scheduler says to it ---- */

struct first_job {
    const char *team, *feature;
    struct ask ask;
    struct run_row row;
    bool cancelled;
    const struct scheduler_lane *terms;
    const struct price_row *price;
    struct line_view lines[BOOKS_LINES_MAX];
    unsigned lines_n;
};

static int read_run(struct gates *g, const struct job_head *head, struct first_job *job,
                    struct err *err)
{
    char table[QUEUE_NAME_MAX], key[QUEUE_KEY_MAX];
    struct queue_msg msg;
    struct err aside = {0};
    job->row = (struct run_row){.level = PROMPT_L1};
    table_runs(job->team, table);
    run_key(job->feature, head->run, key);
    int rc = queue_table_get(g->rows, table, 0, span_str(key), &msg, err);
    if (rc > 0 && run_row_decode(msg.value, &job->row, &aside) >= 0) {
        rc = run_cancelled(g->rows, job->team, job->feature, head->run, err);
        job->cancelled = rc > 0;
    }
    return rc;
}

static int gather(struct gates *g, const struct queue_msg *msg, struct first_job *job,
                  struct scheduler_lane lanes[static LANES], struct err *err)
{
    struct job_head head;
    char day[CLOCK_DAY_TEXT];
    if (job_head_decode(msg->headers, &head) < 0) {
        return 0; /* it will be rejected */
    }
    int rc = read_run(g, &head, job, err);
    if (rc < 0) {
        return rc;
    }
    ask_read(msg, job->row.level, &job->ask);
    clock_day(clock_wall_ms(&g->clock), day);
    job->terms = &lanes[job->row.lane];
    job->price = job->terms->prices ? price_find(job->terms->prices, job->terms->provider,
                                                 span_str(job->ask.prompt.model), day)
                                    : NULL;
    const struct payer payer = {.team = job->team,
                                .feature = job->feature,
                                .run = head.run,
                                .day = day,
                                .max_cost = job->row.has_max_cost ? &job->row.max_cost
                                                                  : NULL};
    rc = books_lines(g->books, g->rows, &payer, job->lines, &job->lines_n, err);
    return rc < 0 ? rc : 1;
}

/* Prices that are not known here say nothing: the scheduler may know them. */
static bool waits(struct gates *g, const struct first_job *job, struct decision *ret)
{
    struct budget_edit pause;
    struct bound bound;
    bool paused = books_paused(g->books, job->team, job->feature, &pause);
    if (!job->price || admit_bound(&job->ask, job->price, job->row.lane, &bound) < 0) {
        return false;
    }
    const struct admit_in in = {
        .ask = &job->ask,
        .team = job->team,
        .feature = job->feature,
        .price = job->price,
        .lane = job->row.lane,
        .pause = paused ? &pause : NULL,
        .lines = job->lines,
        .lines_n = job->lines_n,
        .cancelled = job->cancelled,
        .needs_limit = !g->deflt.given,
        .flow_fits = flow_fits(g->flow, job->ask.prompt.model, bound.input_tokens),
        .wall_ms = clock_wall_ms(&g->clock),
    };
    admit(&in, ret);
    return ret->kind == ADMIT_WAIT;
}

static int decide(struct gates *g, const struct queue_msg *msg, struct gates_gate *to,
                  struct err *err)
{
    struct scheduler_lane lanes[LANES];
    struct decision decision;
    struct first_job job = {.team = to->team, .feature = to->feature};
    endpoint_lanes(&g->endpoint, lanes);
    int rc = gather(g, msg, &job, lanes, err);
    if (rc <= 0 || !waits(g, &job, &decision)) {
        return MIN_OF(rc, 0);
    }
    to->gate = decision.gate;
    to->assumed = decision.gate.kind == GATE_BUDGET && !decision.line;
    to->first = msg->at.offset;
    if (to->assumed) {
        size_t n = strlen(to->gate.why);
        snprintf(to->gate.why + n, sizeof(to->gate.why) - n,
                 ", unless the scheduler has a budget.default");
    }
    return 1;
}

/* ---- all queues ---- */

/* Of a queue's partitions one at a closed gate, if any is; else one that waits. */
static int look_at_partition(struct gates *g, const char *topic, uint32_t partition,
                             struct gates_gate *to, struct err *err)
{
    uint64_t first = 0, n = 0;
    struct queue_msg msg = {0};
    struct gates_gate found = *to;
    int rc = find_first(g, topic, partition, &first, &n, err);
    g->view->waiting += n;
    g->view->passed += first;
    if (rc <= 0 || to->gate.closed || g->view->n == GATES_SHOWN) {
        return rc;
    }
    rc = peek(g, topic, partition, first, &msg, err);
    rc = rc <= 0 ? rc : decide(g, &msg, &found, err);
    if (rc > 0 && (to->gate.kind == GATE_OPEN || found.gate.closed)) {
        *to = found;
    }
    return rc;
}

static int look_at_queue(struct gates *g, const char *topic, struct gates_gate *found,
                         struct err *err)
{
    uint32_t partitions = 0;
    int rc = queue_partitions(g->conf.queue, topic, &partitions, err);
    for (uint32_t p = 0; p < partitions && rc >= 0; p++) {
        rc = look_at_partition(g, topic, p, found, err);
    }
    if (rc >= 0 && found->gate.kind != GATE_OPEN) {
        g->view->gates[g->view->n++] = *found;
    }
    return rc;
}

static bool is_wanted(const char *wanted, const char *name)
{
    return !wanted || !strcmp(wanted, name);
}

static int look_at_queues(struct gates *g, struct err *err)
{
    char after[QUEUE_NAME_MAX] = "", topic[QUEUE_NAME_MAX];
    int rc = 1;
    for (unsigned n = 0; rc > 0 && n < GATES_QUEUES;) {
        struct gates_gate found = {.first = 0};
        rc = queue_topics(g->names, PREFIX_JOBS, after, topic, err);
        memcpy(after, topic, sizeof(after));
        if (rc <= 0 || topic_jobs_parse(topic, found.team, found.feature) < 0 ||
            !is_wanted(g->conf.team, found.team) ||
            !is_wanted(g->conf.feature, found.feature)) {
            continue;
        }
        n++;
        rc = look_at_queue(g, topic, &found, err);
        rc = rc < 0 ? rc : 1;
    }
    return MIN_OF(rc, 0);
}

static void on_open(void *ctx, const struct open_row *row)
{
    struct gates *g = ctx;
    g->no_memory |= flow_add(g->flow, row->model, row->tokens) < 0;
}

static int read_books(struct gates *g, struct err *err)
{
    const struct scheduler_settings *set = &g->conf.cli->set->scheduler;
    g->no_memory = false;
    g->flow = flow_create(
        (struct flow_caps){(uint64_t)set->flow_calls, (uint64_t)set->flow_tokens});
    int rc = g->flow ? books_create(&g->books, &g->deflt, err) : -ERR_FAIL;
    rc = rc < 0 ? rc : books_load(g->books, g->conf.queue, on_open, g, err);
    if (!g->flow || g->no_memory) {
        rc = err_set(err, ERR_FAIL, "could not look at the gates: no memory");
    }
    return rc;
}

int gates_look(struct gates *g, struct gates_view *ret, struct err *err)
{
    struct err aside = {0};
    *ret = (struct gates_view){0};
    g->view = ret;
    int rc = read_books(g, &aside);
    rc = rc < 0 ? rc : look_at_queues(g, &aside);
    g->books = books_destroy(g->books);
    g->flow = flow_destroy(g->flow);
    if (rc < 0 && kafka_denied(&aside)) {
        *ret = (struct gates_view){.hidden = true};
        return 0;
    }
    if (rc < 0) {
        *err = aside;
    }
    return rc;
}

void gates_beat(const struct gates_view *v, const struct cli *c, struct beat *ret)
{
    _cleanup_(buf_fini) struct buf where;
    buf_init(&where, CLI_PATH_MAX);
    cli_where(c, &where);
    *ret = (struct beat){.waiting = v->waiting};
    for (unsigned i = 0; i < v->n; i++) {
        const struct gates_gate *g = &v->gates[i];
        beat_add_gate(ret, g->team, g->feature, &g->gate, where.n ? where.p : "");
    }
}

int gates_open(struct gates **ret, const struct gates_conf *conf, struct err *err)
{
    const struct endpoint_need need = {.key = ENDPOINT_KEY_OTHERS};
    struct gates *g = calloc(1, sizeof(*g));
    if (!g) {
        return err_set(err, ERR_FAIL, "could not look at the gates: no memory");
    }
    g->conf = *conf;
    g->clock = clock_real();
    int rc = endpoint_open(&g->endpoint, conf->cli, &need, err);
    if (rc >= 0) {
        rc = budget_default_parse(conf->cli->set->scheduler.budget_default, &g->deflt,
                                  err);
    }
    if (rc >= 0) {
        rc = queue_cursor_open(conf->queue, &g->names, err);
    }
    if (rc >= 0) {
        rc = queue_cursor_open(conf->queue, &g->rows, err);
    }
    if (rc < 0) {
        gates_close(g);
        return rc;
    }
    *ret = g;
    return 0;
}

struct gates *gates_close(struct gates *g)
{
    if (g) {
        kafka_consumer_destroy(g->peek);
        queue_cursor_close(g->rows);
        queue_cursor_close(g->names);
        endpoint_close(&g->endpoint);
        free(g);
    }
    return NULL;
}
