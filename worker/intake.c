#include "worker/intake.h"

#include "core/loop.h"
#include "worker/cancels.h"
#include "worker/repeats.h"
#include <stdio.h>
#include <stdlib.h>

#define HELD_TEAMS_MAX \
    1024 /* that are asked about again; of more, when one of these goes on */
#define HELD_JOBS_MAX 1000000 /* remembered by place; more are left */
#define ASK_AGAIN_MS  20
#define INTAKE_STEP   500 /* records taken in one turn */

/* A team whose topics refuse, and its jobs since, in order: none was looked at. */
struct held_team {
    char name[TEAM_MAX + 1];
    bool left; /* something is left for an intake that is made anew */
    uint64_t *places;
    size_t n, cap, at; /* at: all before it were taken */
};

struct intake {
    struct intake_conf conf;
    struct queue_cursor *answers;
    struct loop_timer *again; /* more is waiting than one turn takes */
    struct repeats *repeats;
    uint64_t repeated;
    uint32_t left[LANES], held;
    struct held_team *held_teams;
    size_t held_teams_n;
    struct queue_cursor *held_rows;
    bool started, failed;
    bool dry;   /* the feed had nothing more when it was asked last */
    bool woken; /* and since then something may have come */

    struct queue_cursor *past_rows;
    struct past *past; /* one for each partition owned */
    size_t past_n;
};

/* Until the end that a partition of `ready` had at the start, what was acknowledged is read beside
 * the feed: it decides what is a repeat. */
struct past {
    uint32_t partition;
    uint64_t next, end;
};

static int fail(struct intake *in, const struct err *err)
{
    if (!in->failed) {
        in->failed = true;
        in->conf.on_failed(in->conf.ctx, err);
    }
    return -1;
}

/* ---- repeats ---- */

static struct past *past_of(const struct intake *in, uint32_t partition)
{
    struct past *p = in->past;
    while (p < in->past + in->past_n && p->partition != partition) {
        p++;
    }
    return p < in->past + in->past_n ? p : NULL;
}

/* It stood there before this process took the partition over. */
static bool was_there(const struct intake *in, uint64_t at)
{
    const struct past *p = past_of(in, place_partition(at));
    return p && place_offset(at) < p->end;
}

/* Looks at what stands between the records the feed gave: all of it is acknowledged. */
static int see_past(struct intake *in, struct past *p, uint64_t before, struct err *err)
{
    if (p->next >= MIN_OF(before, p->end)) {
        return 0;
    }
    queue_read_topic(in->past_rows, TOPIC_READY, p->partition, p->next);
    while (p->next < MIN_OF(before, p->end)) {
        struct queue_msg msg;
        struct release r;
        int rc = queue_read(in->past_rows, &msg, err);
        if (rc < 0) {
            return rc;
        }
        p->next = rc ? msg.at.offset + 1 : before;
        if (rc && msg.at.offset < before && release_decode(msg.headers, &r) == 0 &&
            r.verdict != VERDICT_FLUSH) {
            repeats_see(in->repeats, p->partition, span_str(r.job));
        }
    }
    return 0;
}

static int is_repeat(struct intake *in, const struct release *r, uint64_t at,
                     struct err *err)
{
    struct past *past = past_of(in, place_partition(at));
    int rc = past ? see_past(in, past, place_offset(at), err) : 0;
    if (rc < 0) {
        return rc;
    }
    rc = repeats_see(in->repeats, place_partition(at), span_str(r->job));
    if (rc < 0) {
        return err_set(err, ERR_FAIL, "could not take job '%s': %s", r->job,
                       "its id is not readable, or there are too many queues");
    }
    return rc;
}

/* ---- one record ---- */

static int no_memory(struct err *err)
{
    return err_set(err, ERR_FAIL, "could not take a job: out of memory");
}

static int refuse_stream(struct intake *in, uint64_t at, struct release *r)
{
    r->verdict = VERDICT_REJECTED;
    snprintf(r->why, sizeof(r->why),
             "too_many_models: this worker has seen 1,024 models already; restart it");
    return settle_verdict(in->conf.settle, at, r);
}

static int new_call(struct intake *in, uint64_t at, struct release *r, struct err *err)
{
    uint16_t stream;
    if (call_stream(in->conf.calls, at, r, &stream) < 0) {
        return refuse_stream(in, at, r);
    }
    struct call *c = call_new(in->conf.calls, r, at);
    if (!c) {
        return no_memory(err);
    }
    return c->lane == LANE_BATCH ? plan_add(in->conf.plan, c, err)
                                 : in->conf.on_direct(in->conf.ctx, c, err);
}

static int run_reusable(struct intake *in, uint64_t at, struct release *r,
                        struct err *err)
{
    struct stored_answer stored;
    const struct answer_want want = {
        .now_ms = loop_wall_ms(in->conf.loop),
        .fresh_ms = r->fresh ? r->fresh_ms : INT64_MIN,
    };
    int rc = answer_get(in->answers, place_partition(at), &r->key, &want, &stored, err);
    if (rc != 0) {
        return rc < 0 ? rc : settle_hit(in->conf.settle, at, r, &stored);
    }
    struct call *c = call_find(in->conf.calls, &r->key);
    if (c) {
        return call_join(in->conf.calls, c, at) < 0 ? no_memory(err) : 0;
    }
    return new_call(in, at, r, err);
}

/* What an earlier owner released for another endpoint is not for ours; our own scheduler holds
 * such jobs back. */
static int check_endpoint(struct intake *in, const struct release *r, struct err *err)
{
    char table[QUEUE_NAME_MAX], key[QUEUE_KEY_MAX];
    struct queue_msg msg;
    struct run_row row = {.endpoint = ""};
    const char *ours = r->lane == LANE_POOL ? in->conf.pool : in->conf.origin;
    table_runs(r->team, table);
    run_key(r->feature, r->run, key);
    int rc = queue_table_get(in->answers, table, 0, span_str(key), &msg, err);
    if (rc > 0 && run_row_decode(msg.value, &row, NULL) < 0) {
        return 0; /* no row that says another endpoint */
    }
    if (rc < 0 || !row.endpoint[0] || strcmp(row.endpoint, ours) == 0) {
        return rc < 0 ? rc : 0;
    }
    err_set(err, ERR_USAGE,
            "could not go on with run '%s': its jobs were let through for '%s', and the "
            "base URL is '%s' now",
            r->run, row.endpoint, ours);
    err_hint(err, "set OPENAI_BASE_URL back to '%s' until they are answered",
             row.endpoint);
    return -(int)ERR_USAGE;
}

static int end_cancelled(struct intake *in, uint64_t at, struct release *r)
{
    r->verdict = VERDICT_CANCELLED;
    snprintf(r->why, sizeof(r->why), "%s", CANCELLED_WHY);
    return settle_verdict(in->conf.settle, at, r);
}

static int take_job(struct intake *in, uint64_t at, struct release *r, struct err *err)
{
    int rc = is_repeat(in, r, at, err);
    if (rc != 0) {
        in->repeated += rc > 0;
        return rc < 0 ? rc : settle_ack(in->conf.settle, at);
    }
    if (call_has_job(in->conf.calls, at)) {
        return 0;
    }
    if (r->verdict != VERDICT_RUN) {
        return settle_verdict(in->conf.settle, at, r);
    }
    rc = cancels_has(in->conf.cancels, r, err);
    if (rc != 0) {
        return rc < 0 ? rc : end_cancelled(in, at, r);
    }
    if (in->conf.without[r->lane]) {
        in->left[r->lane]++;
        return 0;
    }
    if (was_there(in, at) && (rc = check_endpoint(in, r, err)) < 0) {
        return rc;
    }
    return r->reusable ? run_reusable(in, at, r, err) : new_call(in, at, r, err);
}

/* ---- teams whose topics refuse ---- */

/* Nothing is bought for a team that could not get it. */
static int takes(const struct intake *in, const char *team, struct err *err)
{
    char topic[QUEUE_NAME_MAX];
    size_t max;
    topic_results(team, topic);
    int rc = queue_takes(in->conf.queue, topic, &max, err);
    if (rc > 0) {
        topic_dead(team, topic);
        rc = queue_takes(in->conf.queue, topic, &max, err);
    }
    return rc;
}

static struct held_team *held_team(struct intake *in, const char *team)
{
    struct held_team *t = in->held_teams;
    while (t < in->held_teams + in->held_teams_n && strcmp(t->name, team) != 0) {
        t++;
    }
    return t;
}

void intake_hold(struct intake *in, const char *team, const struct err *why, bool left)
{
    char text[sizeof(why->msg) + sizeof(why->hint) + TEAM_MAX + 40];
    struct held_team *t = held_team(in, team);
    if (t < in->held_teams + in->held_teams_n) {
        t->left |= left;
        return;
    }
    if (in->held_teams_n == HELD_TEAMS_MAX) {
        return;
    }
    in->held_teams_n++;
    *t = (struct held_team){.left = left};
    snprintf(t->name, sizeof(t->name), "%s", team);
    if (why) {
        snprintf(text, sizeof(text), "jobs of team '%s' wait: %s; %s", team, why->msg,
                 why->hint);
        in->conf.on_event(in->conf.ctx, team, text);
    }
}

static bool goes_on(const struct intake *in, const struct held_team *t)
{
    struct err aside;
    return takes(in, t->name, &aside) > 0 && !settle_holds(in->conf.settle, t->name);
}

void intake_go_on(struct intake *in)
{
    for (size_t i = in->held_teams_n; i-- > 0;) {
        struct held_team *t = &in->held_teams[i];
        char text[TEAM_MAX + 40];
        if (t->left || t->at < t->n || !goes_on(in, t)) {
            continue;
        }
        snprintf(text, sizeof(text), "jobs of team '%s' go on", t->name);
        in->conf.on_event(in->conf.ctx, t->name, text);
        free(t->places);
        *t = in->held_teams[--in->held_teams_n];
    }
}

static void hold_job(struct intake *in, struct held_team *t, uint64_t at)
{
    if (t->n == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 64;
        uint64_t *places =
            in->held < HELD_JOBS_MAX ? realloc(t->places, cap * sizeof(*places)) : NULL;
        if (!places) {
            t->left = true;
            return;
        }
        t->places = places;
        t->cap = cap;
    }
    t->places[t->n++] = at;
    in->held++;
}

/* 1 take it, 0 it waits; -1: nobody knows yet, it will be given again. */
static int may_take(struct intake *in, const struct queue_msg *msg, const char *team)
{
    struct err why = {0};
    struct held_team *t = held_team(in, team);
    bool behind = t < in->held_teams + in->held_teams_n && (t->left || t->at < t->n);
    int rc = behind ? -1 : takes(in, team, &why);
    if (rc == 0) {
        queue_pause(in->conf.feed, msg->at.topic, msg->at.partition, msg->at.offset);
        queue_resume(in->conf.feed, msg->at.topic, msg->at.partition);
        loop_timer_start(in->again, ASK_AGAIN_MS);
        return -1;
    }
    if (rc < 0) {
        intake_hold(in, team, &why, false);
        t = held_team(in, team);
        if (t < in->held_teams + in->held_teams_n) {
            hold_job(in, t, place_of(msg->at.partition, msg->at.offset));
        } else {
            in->held_teams[0].left = true; /* so many teams: found when one goes on */
        }
    }
    return rc > 0;
}

bool intake_held_again(const struct intake *in)
{
    bool again = false;
    for (size_t i = 0; !again && i < in->held_teams_n; i++) {
        again = in->held_teams[i].left && goes_on(in, &in->held_teams[i]);
    }
    return again;
}

uint32_t intake_held(const struct intake *in)
{
    return in->held;
}

/* 0 taken, or left to wait; 1 asked too early: later. */
static int take(struct intake *in, const struct queue_msg *msg, struct err *err)
{
    struct release r;
    uint64_t at = place_of(msg->at.partition, msg->at.offset);
    if (release_decode(msg->headers, &r) < 0) {
        return err_set(err, ERR_VERSION, "could not read record %llu of '%s': %s",
                       (unsigned long long)msg->at.offset, TOPIC_READY,
                       "another version wrote it");
    }
    if (r.verdict != VERDICT_FLUSH) {
        int may = may_take(in, msg, r.team);
        if (may <= 0) {
            return may < 0;
        }
        int rc = take_job(in, at, &r, err);
        return MIN_OF(rc, 0);
    }
    int rc = plan_flush(in->conf.plan, msg->at.partition, err);
    return rc < 0 ? rc : settle_ack(in->conf.settle, at);
}

/* ---- the feed ---- */

static bool has_room(const struct intake *in)
{
    return settle_room(in->conf.settle) &&
           call_job_count(in->conf.calls) < INTAKE_JOBS_MAX;
}

/* The next job that waited: it was taken, or is gone. */
static int take_waiting(struct intake *in, struct held_team *t, struct err *err)
{
    struct queue_msg msg;
    struct release r;
    uint64_t at = t->places[t->at];
    const struct queue_at record = place_at(at);
    int rc = queue_fetch(in->held_rows, &record, &msg, err);
    if (rc < 0) {
        return rc;
    }
    t->at++;
    in->held--;
    if (rc > 0 && release_decode(msg.headers, &r) == 0) {
        rc = take_job(in, at, &r, err);
    }
    return MIN_OF(rc, 0);
}

/* Those of teams that go on: how many, or negative. */
static int pull_waiting(struct intake *in, struct err *err)
{
    int taken = 0;
    for (size_t i = 0; i < in->held_teams_n; i++) {
        struct held_team *t = &in->held_teams[i];
        if (t->at == t->n || t->left || !goes_on(in, t)) {
            continue;
        }
        for (; t->at < t->n && taken < INTAKE_STEP && has_room(in); taken++) {
            int rc = take_waiting(in, t, err);
            if (rc < 0) {
                return rc;
            }
        }
    }
    intake_go_on(in);
    return taken;
}

static void stop_at(struct intake *in, const struct err *err)
{
    if (err->msg[0]) {
        fail(in, err);
    }
    in->failed = true; /* else settle has reported it already */
}

static void pull(void *ctx)
{
    struct intake *in = ctx;
    struct err err = {0};
    if (!in->started || in->failed) {
        return;
    }
    in->woken = in->dry = false;
    int taken = pull_waiting(in, &err);
    if (taken < 0) {
        stop_at(in, &err);
        return;
    }
    for (; taken < INTAKE_STEP && has_room(in); taken++) {
        struct queue_msg msg;
        int rc = queue_next(in->conf.feed, &msg, &err);
        in->dry = rc == 0;
        if (rc > 0 && (rc = take(in, &msg, &err)) > 0) {
            return; /* the timer will ask again */
        }
        if (rc < 0) {
            stop_at(in, &err);
            return;
        }
        if (in->dry) {
            return;
        }
    }
    if (taken >= INTAKE_STEP) {
        loop_timer_start(in->again, 0);
    }
}

void intake_wake(struct intake *in)
{
    if (in->started && !in->failed) {
        in->woken = true;
        loop_timer_start(in->again, 0);
    }
}

/* ---- life ---- */

/* The last jobs as of the low water; what is acknowledged below it need not be here. */
static int begin_repeats(struct intake *in, uint32_t partition, struct err *err)
{
    char prefix[32];
    struct queue_msg row;
    struct last_job last;
    int rc;
    size_t n = (size_t)snprintf(prefix, sizeof(prefix), "%s#%u:", TOPIC_READY, partition);
    queue_read_table(in->past_rows, TABLE_ACKS, partition, span_str(prefix));
    while ((rc = queue_read(in->past_rows, &row, err)) > 0 && row.key.n > n &&
           memcmp(row.key.p, prefix, n) == 0) {
        struct span queue = span_of(row.key.p + n, row.key.n - n);
        if (last_job_parse(row.value, &last) == 0 &&
            repeats_begin(in->repeats, partition, queue, &last) < 0) {
            return no_memory(err);
        }
    }
    return MIN_OF(rc, 0);
}

static int begin_past(struct intake *in, struct past *p, struct err *err)
{
    uint64_t low = 0, first = 0;
    int rc = queue_bounds(in->past_rows, TOPIC_READY, p->partition, &first, &p->end, err);
    if (rc > 0 && queue_low(in->conf.feed, TOPIC_READY, p->partition, &low) < 0) {
        rc = err_set(err, ERR_FAIL, "could not read '%s'", TOPIC_READY);
    }
    p->next = MAX_OF(low, first);
    return rc < 0 ? rc : begin_repeats(in, p->partition, err);
}

int intake_start(struct intake *in, struct err *err)
{
    uint32_t owned[READY_PARTITIONS_MAX];
    in->past_n = queue_owned(in->conf.queue, TOPIC_READY, owned, READY_PARTITIONS_MAX);
    in->past = calloc(in->past_n + 1, sizeof(*in->past));
    if (!in->past) {
        return no_memory(err);
    }
    for (size_t i = 0; i < in->past_n; i++) {
        in->past[i].partition = owned[i];
        int rc = begin_past(in, &in->past[i], err);
        if (rc < 0) {
            return rc;
        }
    }
    in->started = true;
    intake_wake(in);
    return 0;
}

int intake_create(struct intake **ret, const struct intake_conf *conf, struct err *err)
{
    struct intake *in = calloc(1, sizeof(*in));
    if (in) {
        in->conf = *conf;
        in->repeats = repeats_create();
        in->held_teams = calloc(HELD_TEAMS_MAX, sizeof(*in->held_teams));
    }
    if (!in || !in->repeats || !in->held_teams ||
        loop_timer_create(conf->loop, pull, in, &in->again) < 0) {
        intake_destroy(in);
        return err_set(err, ERR_FAIL, "could not create the intake: out of memory");
    }
    int rc = queue_cursor_open(conf->queue, &in->answers, err);
    if (rc >= 0) {
        rc = queue_cursor_open(conf->queue, &in->past_rows, err);
    }
    if (rc >= 0) {
        rc = queue_cursor_open(conf->queue, &in->held_rows, err);
    }
    if (rc < 0) {
        intake_destroy(in);
        return rc;
    }
    *ret = in;
    return 0;
}

void intake_stop(struct intake *in)
{
    in->started = false;
}

bool intake_idle(const struct intake *in)
{
    return in->started && in->dry && !in->woken;
}

bool intake_dry(const struct intake *in)
{
    return in->dry;
}

uint32_t intake_left(const struct intake *in, enum lane lane)
{
    return in->left[lane];
}

uint64_t intake_repeats(const struct intake *in)
{
    return in->repeated;
}

struct intake *intake_destroy(struct intake *in)
{
    if (in) {
        queue_cursor_close(in->answers);
        queue_cursor_close(in->past_rows);
        queue_cursor_close(in->held_rows);
        free(in->past);
        for (size_t i = 0; i < in->held_teams_n; i++) {
            free(in->held_teams[i].places);
        }
        free(in->held_teams);
        repeats_destroy(in->repeats);
        loop_timer_destroy(in->again);
        free(in);
    }
    return NULL;
}
