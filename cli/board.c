#include "cli/board.h"

#include "cli/gates.h"
#include "cli/limits.h"
#include "core/clock.h"
#include "core/jtext.h"
#include "worker/journal.h"

#include <stdio.h>
#include <stdlib.h>

#define NOTE_BYTES_MAX ((size_t)8 << 10)

struct followed {
    char key[TEAM_MAX + FEATURE_MAX + RUN_MAX + 3];
    struct run_found run; /* its texts are what `follow` borrows */
    struct follow *follow;
    bool wanted; /* by the picture at hand */
};

struct board {
    struct queue *queue;
    struct queue_cursor *cur;
    struct run_wanted wanted;
    const struct cli *cli;
    struct clock clock;
    struct gates *gates; /* on Kafka; with `admin`, and when both were asked last */
    struct kafka_admin *admin;
    int64_t gates_ms;
    struct board_view view;
    struct followed followed[BOARD_RUNS];
};

/* ---- runs ---- */

/* Keeps those begun last, in order. */
static void keep_run(void *ctx, const struct run_found *run)
{
    struct board_view *v = ctx;
    unsigned at = v->runs_n;
    v->runs_all++;
    while (at > 0 && v->runs[at - 1].run.row.started_ms > run->row.started_ms) {
        at--;
    }
    if (v->runs_n == BOARD_RUNS && at == 0) {
        return;
    }
    if (v->runs_n == BOARD_RUNS) {
        memmove(v->runs, v->runs + 1, (at - 1) * sizeof(*v->runs));
        at--;
    } else {
        memmove(v->runs + at + 1, v->runs + at, (v->runs_n - at) * sizeof(*v->runs));
        v->runs_n++;
    }
    v->runs[at] = (struct board_run){.run = *run};
}

static void key_of(const struct run_found *r,
                   char ret[static TEAM_MAX + FEATURE_MAX + RUN_MAX + 3])
{
    snprintf(ret, sizeof(((struct followed *)0)->key), "%s/%s/%s", r->team, r->feature,
             r->run);
}

static struct followed *find_followed(struct board *b, const char *key)
{
    for (unsigned i = 0; i < BOARD_RUNS; i++) {
        if (b->followed[i].follow && !strcmp(b->followed[i].key, key)) {
            return &b->followed[i];
        }
    }
    return NULL;
}

static int begin_follow(struct board *b, const struct run_found *run, const char *key,
                        struct followed **ret, struct err *err)
{
    struct followed *f = b->followed;
    while (f->follow && f->wanted) {
        f++; /* there are as many places as runs in a picture */
    }
    follow_close(f->follow);
    *f = (struct followed){.run = *run, .wanted = true};
    snprintf(f->key, sizeof(f->key), "%s", key);
    struct follow_conf conf = {.queue = b->queue,
                               .team = f->run.team,
                               .feature = f->run.feature,
                               .run = f->run.run,
                               .results_from = run->row.results_from,
                               .spend_from = run->row.spend_from};
    *ret = f;
    return follow_open(&f->follow, &conf, err);
}

static bool at_gate(const struct board_view *v, const struct run_found *run)
{
    char queue[TEAM_MAX + FEATURE_MAX + 2];
    snprintf(queue, sizeof(queue), "%s/%s", run->team, run->feature);
    for (unsigned i = 0; i < v->beat.gates_n; i++) {
        if (!strcmp(v->beat.gates[i].queue, queue)) {
            return true;
        }
    }
    return false;
}

static int look_at_run(struct board *b, struct board_run *r, struct err *err)
{
    char key[sizeof(((struct followed *)0)->key)];
    key_of(&r->run, key);
    struct followed *f = find_followed(b, key);
    int rc = f ? 0 : begin_follow(b, &r->run, key, &f, err);
    while (rc >= 0 && (rc = follow_step(f->follow, err)) > 0) {
    }
    if (rc >= 0) {
        rc = run_cancelled(b->cur, r->run.team, r->run.feature, r->run.run, err);
    }
    if (rc < 0) {
        return rc;
    }
    f->wanted = true;
    r->status = *follow_status(f->follow);
    const struct run_row *row = &r->run.row;
    const struct board_view *v = &b->view;
    bool over = row->complete && r->status.ends >= run_ends(row);
    bool alone = v->remote ? crew_lacks(&v->crew) : !v->owner;
    r->state = over                           ? BOARD_OVER
               : rc > 0                       ? BOARD_CANCELLED
               : !row->complete               ? BOARD_QUEUEING
               : alone || at_gate(v, &r->run) ? BOARD_WAITS
                                              : BOARD_WORKING;
    return 0;
}

static int look_at_runs(struct board *b, struct err *err)
{
    struct board_view *v = &b->view;
    v->runs_n = v->runs_all = 0;
    for (unsigned i = 0; i < BOARD_RUNS; i++) {
        b->followed[i].wanted = false;
    }
    int rc = run_each(b->queue, &b->wanted, keep_run, v, err);
    for (unsigned i = 0; rc >= 0 && i < v->runs_n; i++) {
        char key[sizeof(((struct followed *)0)->key)];
        key_of(&v->runs[i].run, key);
        struct followed *f = find_followed(b, key);
        if (f) {
            f->wanted = true;
        }
    }
    for (unsigned i = 0; rc >= 0 && i < v->runs_n; i++) {
        rc = look_at_run(b, &v->runs[i], err);
    }
    return rc;
}

/* ---- batches ---- */

/* Only the owner knows. */
static int64_t next_poll(const struct board_view *v, const char *batch)
{
    for (unsigned i = 0; i < v->beat.polls_n; i++) {
        if (!strcmp(v->beat.polls[i].batch, batch)) {
            return v->beat.polls[i].at_ms;
        }
    }
    return 0;
}

/* A slice of single calls stands there until the last of them has ended. */
static void take_slice(struct board_view *v, enum lane lane, struct span row)
{
    struct span value;
    uint64_t calls;
    if (jtext_get(row, "requests", &value) && span_u64(value, &calls) == 0) {
        v->single[lane] += calls;
    }
}

static int take_batch(struct board *b, const struct queue_msg *msg, struct err *err)
{
    struct board_view *v = &b->view;
    struct batch row = {.n = 0};
    enum batch_state state;
    uint32_t calls;
    int rc = journal_decode(msg->value, &row, &state, &calls, err);
    if (rc < 0 || v->batches_all++ >= BOARD_BATCHES) {
        return rc;
    }
    struct board_batch *to = &v->batches[v->batches_n++];
    bool before = v->has_beat && msg->time_ms < v->beat.started_ms;
    *to = (struct board_batch){.state = state,
                               .created_ms = row.created_ms,
                               .calls = calls,
                               .due_ms = state == BATCH_RETRY ? row.due_wall_ms : 0};
    to->recovery = state == BATCH_UPLOADED && (row.deleting || before);
    to->poll_ms = next_poll(v, row.id);
    snprintf(to->id, sizeof(to->id), "%s", row.id);
    snprintf(to->model, sizeof(to->model), "%s", row.model);
    snprintf(to->why, sizeof(to->why), "%s", row.why);
    return 0;
}

static int take_entry(struct board *b, const struct queue_msg *msg, struct err *err)
{
    enum lane lane;
    bool members = memchr(msg->key.p, '/', msg->key.n);
    if (members || journal_lane(msg->value, &lane) < 0) {
        return 0;
    }
    if (lane == LANE_BATCH) {
        return take_batch(b, msg, err);
    }
    take_slice(&b->view, lane, msg->value);
    return 0;
}

static int look_at_batches(struct board *b, struct err *err)
{
    struct queue_msg msg;
    uint32_t partitions = 0;
    b->view.batches_n = b->view.batches_all = 0;
    memset(b->view.single, 0, sizeof(b->view.single));
    int rc = queue_partitions(b->queue, TABLE_BATCHES, &partitions, err);
    for (uint32_t p = 0; p < partitions && rc >= 0; p++) {
        rc = queue_read_table(b->cur, TABLE_BATCHES, p, SPAN_NONE);
        while (rc >= 0 && (rc = queue_read(b->cur, &msg, err)) > 0) {
            rc = take_entry(b, &msg, err);
        }
    }
    return rc;
}

/* ---- money ---- */

static void add_limit(struct board_view *v, const struct budget_edit *e,
                      const char *period, bool has, struct usd limit)
{
    if (v->limits_n == BOARD_LIMITS) {
        return;
    }
    struct board_limit *l = &v->limits[v->limits_n++];
    *l = (struct board_limit){.period = period, .limited = has, .paused = e->paused};
    snprintf(l->scope, sizeof(l->scope), "%s", e->scope);
    usd_sum_add(&l->limit, limit);
}

static int look_at_limits(struct board *b, struct err *err)
{
    struct board_view *v = &b->view;
    struct budget_edit e = {0};
    char day[CLOCK_DAY_TEXT], key[QUEUE_KEY_MAX];
    clock_day(v->wall_ms, day);
    v->limits_n = 0;
    int rc;
    while ((rc = limits_next(b->cur, e.scope, &e, err)) > 0) {
        bool only_paused = e.paused && !e.has_day && !e.has_month;
        if (e.has_day) {
            add_limit(v, &e, "day", true, e.day);
        }
        if (e.has_month) {
            add_limit(v, &e, "month", true, e.month);
        }
        if (e.has_total || only_paused) {
            add_limit(v, &e, "total", e.has_total, e.total);
        }
    }
    for (unsigned i = 0; rc >= 0 && i < v->limits_n; i++) {
        struct board_limit *l = &v->limits[i];
        int n = !strcmp(l->period, "day") ? 10 : !strcmp(l->period, "month") ? 7 : 0;
        snprintf(key, sizeof(key), "%s|%s|%.*s", l->scope, l->period, n, day);
        rc = limits_spent(b->cur, key, &l->spent, err);
    }
    return rc;
}

static void reserve(struct board_view *v, const struct open_row *row)
{
    char feature[TEAM_MAX + FEATURE_MAX + 2];
    snprintf(feature, sizeof(feature), "%s/%s", row->team, row->feature);
    usd_sum_add(&v->reserved, row->reserved);
    v->open_jobs++;
    for (unsigned i = 0; i < v->limits_n; i++) {
        struct board_limit *l = &v->limits[i];
        if (!strcmp(l->scope, row->team) || !strcmp(l->scope, feature)) {
            usd_sum_add(&l->reserved, row->reserved);
        }
    }
}

static int look_at_open(struct board *b, struct err *err)
{
    struct board_view *v = &b->view;
    struct queue_msg msg;
    struct open_row row;
    v->reserved = (struct usd_sum){0};
    v->open_jobs = 0;
    int rc = queue_read_table(b->cur, TABLE_OPEN, 0, SPAN_NONE);
    while (rc >= 0 && v->open_jobs < BOARD_OPEN_ROWS &&
           (rc = queue_read(b->cur, &msg, err)) > 0) {
        rc = open_row_decode(msg.value, &row, err);
        if (rc >= 0) {
            reserve(v, &row);
        }
    }
    v->open_more = v->open_jobs == BOARD_OPEN_ROWS;
    return rc;
}

/* ---- the picture ---- */

/* On Kafka: who is at work, and what the scheduler would say. */
static int look_at_crew(struct board *b, struct err *err)
{
    struct board_view *v = &b->view;
    struct gates_view gates;
    int64_t now = clock_mono_ms(&b->clock);
    if (b->gates_ms && now - b->gates_ms < BOARD_GATES_MS) {
        return 0;
    }
    b->gates_ms = now;
    int rc = crew_look(b->admin, &b->cli->set->broker, &v->crew, err);
    rc = rc < 0 ? rc : gates_look(b->gates, &gates, err);
    if (rc < 0) {
        return rc;
    }
    v->hidden = gates.hidden;
    gates_beat(&gates, b->cli, &v->beat);
    return 0;
}

static int look_at_owner(struct board *b, struct err *err)
{
    struct board_view *v = &b->view;
    if (v->remote) {
        return look_at_crew(b, err);
    }
    _cleanup_(buf_fini) struct buf note;
    buf_init(&note, NOTE_BYTES_MAX);
    int rc = queue_owner_read(b->queue, &note, err);
    v->owner = rc > 0;
    v->has_beat = v->owner && beat_read(v->data, &v->beat);
    if (!v->has_beat) {
        v->beat = (struct beat){0};
    }
    return rc;
}

int board_look(struct board *b, struct err *err)
{
    static int (*const looks[])(struct board *, struct err *) = {
        look_at_owner, look_at_runs, look_at_batches, look_at_limits, look_at_open};
    int rc = 0;
    b->view.wall_ms = clock_wall_ms(&b->clock);
    for (size_t i = 0; i < ARRAY_LEN(looks) && rc >= 0; i++) {
        struct err why = {0};
        rc = looks[i](b, &why);
        if (rc < 0 && b->view.remote && kafka_denied(&why)) {
            b->view.hidden = true; /* the rest can be shown */
            rc = 0;
        } else if (rc < 0) {
            *err = why;
        }
    }
    return rc < 0 ? rc : 0;
}

const struct board_view *board_view(const struct board *b)
{
    return &b->view;
}

static int open_remote(struct board *b, struct err *err)
{
    const struct kafka_conf kafka = broker_kafka(&b->cli->set->broker);
    const struct gates_conf gates = {.cli = b->cli,
                                     .queue = b->queue,
                                     .team = b->wanted.team,
                                     .feature = b->wanted.feature};
    int rc = gates_open(&b->gates, &gates, err);
    if (rc >= 0 && kafka_admin_open(&b->admin, &kafka, err) < 0) {
        rc = -(int)err->code;
    }
    return rc;
}

int board_open(struct board **ret, const struct board_conf *conf, struct err *err)
{
    bool remote = cli_on_broker(conf->cli);
    const char *data = remote ? broker_label(&conf->cli->set->broker) : conf->cli->data;
    struct board *b = calloc(1, sizeof(*b));
    if (!b) {
        return err_set(err, ERR_FAIL, "could not watch '%s': no memory", data);
    }
    b->cli = conf->cli;
    b->queue = conf->queue;
    b->wanted = conf->wanted;
    b->clock = clock_real();
    b->view.data = data;
    b->view.remote = remote;
    b->view.broker = &conf->cli->set->broker;
    int rc = queue_cursor_open(b->queue, &b->cur, err);
    if (rc >= 0 && remote) {
        rc = open_remote(b, err);
    }
    if (rc < 0) {
        board_close(b);
        return rc;
    }
    *ret = b;
    return 0;
}

struct board *board_close(struct board *b)
{
    if (b) {
        for (unsigned i = 0; i < BOARD_RUNS; i++) {
            follow_close(b->followed[i].follow);
        }
        queue_cursor_close(b->cur);
        gates_close(b->gates);
        kafka_admin_destroy(b->admin);
        free(b);
    }
    return NULL;
}
