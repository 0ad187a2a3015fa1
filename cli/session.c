#include "cli/session.h"

#include "cli/beat.h"
#include "cli/runs.h"
#include "cli/session_int.h"
#include "cli/waits.h"
#include "worker/batch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define TICK_MS         PROGRESS_REDRAW_MS
#define TAKE_OVER_EVERY 5 /* ticks */
#define BEAT_EVERY      5 /* ticks */
#define CALM_TICKS      2 /* in a row with nothing to do, before it counts as the end */
#define LEDGER_WAIT_MS  2000 /* for the last charges to be booked */

/* ---- opening and closing ---- */

int session_open(struct session **ret, const struct cli *c, struct err *err)
{
    struct session *s = calloc(1, sizeof(*s));
    if (!s) {
        return err_set(err, ERR_FAIL, "could not start: no memory");
    }
    s->magic = SESSION_MAGIC;
    s->cli = c;
    int rc = loop_create(&s->loop, clock_real(), err);
    if (rc >= 0) {
        rc = cli_open_queue(c, s->loop, &s->queue, err);
    }
    if (rc < 0) {
        session_close(s);
        return rc;
    }
    *ret = s;
    return 0;
}

struct queue *session_queue(struct session *s)
{
    return s->queue;
}

struct session *session_close(struct session *s)
{
    if (s) {
        queue_close(s->queue);
        if (s->loop) {
            loop_destroy(s->loop);
        }
        free(s);
    }
    return NULL;
}

/* ---- the end ---- */

void session_end(struct session *s, enum session_over over, const struct err *err)
{
    if (s->over) {
        return;
    }
    s->over = true;
    s->end->over = over;
    if (err) {
        s->end->err = *err;
    }
    loop_stop(s->loop);
}

void session_on_stop(void *ctx, const struct err *err)
{
    session_end(CAST_CTX(session, ctx, SESSION_MAGIC), SESSION_FAILED, err);
}

/* A single call whose answer is not waited for counts as in doubt, and its money as spent: true
 * when there is one, and time to wait for it. */
static bool begin_to_leave(struct session *s)
{
    char text[200];
    struct worker_status w = {0};
    int64_t wait_ms = s->cli->set->cli.stop_wait_ms;
    if (s->worker) {
        worker_status(s->worker, &w);
    }
    if (s->leave_ms || !w.doubtful || !wait_ms) {
        return false;
    }
    worker_drain(s->worker);
    s->leave_ms = loop_now_ms(s->loop) + wait_ms;
    snprintf(
        text, sizeof(text),
        "nothing more is sent; waiting for %u call%s under way, %lld s at most; once "
        "more leaves at once",
        w.doubtful, PLURAL(w.doubtful), (long long)(wait_ms + 999) / 1000);
    session_on_event(s, "interrupted", text);
    return true;
}

static void session_on_signal(void *ctx, int signo)
{
    struct session *s = CAST_CTX(session, ctx, SESSION_MAGIC);
    struct sigaction leave = {.sa_handler = SIG_DFL};
    s->end->signal = signo;
    if (!begin_to_leave(s)) {
        sigaction(SIGINT, &leave, NULL); /* the next ends the program where it stands */
        sigaction(SIGTERM, &leave, NULL);
        session_end(s, SESSION_SIGNAL, NULL);
    }
}

void session_on_step(void *ctx, const char *subject, const char *text)
{
    struct session *s = CAST_CTX(session, ctx, SESSION_MAGIC);
    progress_step(s->conf.progress, loop_now_ms(s->loop), subject, text);
}

void session_on_event(void *ctx, const char *subject, const char *text)
{
    struct session *s = CAST_CTX(session, ctx, SESSION_MAGIC);
    progress_say(s->conf.progress, loop_now_ms(s->loop), subject, text);
}

/* ---- is it over ---- */

static bool all_results(const struct session *s)
{
    return s->follow && s->submitted && s->caught_up &&
           follow_status(s->follow)->ends >= run_ends(&s->end->row);
}

/* On Kafka a result and its charge are committed together, and may be seen one after the other. */
static bool all_booked(const struct session *s)
{
    const struct follow_status *f = follow_status(s->follow);
    uint64_t charged = f->by_status[STATUS_OK] + f->by_status[STATUS_FAILED];
    return s->scheduler ? scheduler_idle(s->scheduler)
                        : !s->waits || f->no_money || f->money.jobs >= charged;
}

/* The run is over; the ledger may still lack its last charges for an instant. */
static bool is_done(struct session *s, const struct worker_status *w)
{
    int64_t now = loop_now_ms(s->loop);
    if (s->conf.only_queue) {
        return s->submitted;
    }
    if (s->conf.file && !all_results(s)) {
        return false;
    }
    if (!s->conf.file) {
        return s->owner && w->idle && scheduler_idle(s->scheduler) &&
               scheduler_waiting(s->scheduler) == 0 && s->calm >= CALM_TICKS;
    }
    if (!s->all_done_ms) {
        s->all_done_ms = now;
    }
    return all_booked(s) || now - s->all_done_ms > LEDGER_WAIT_MS;
}

/* Any closed gate will do to say what everything waits for. */
static bool find_gate(struct session *s)
{
    char after[QUEUE_NAME_MAX] = "", topic[QUEUE_NAME_MAX];
    struct session_end *e = s->end;
    struct queue_cursor *cur = NULL;
    bool found = false;
    int rc = queue_cursor_open(s->queue, &cur, NULL);
    while (rc >= 0 && !found && queue_topics(cur, PREFIX_JOBS, after, topic, NULL) > 0) {
        memcpy(after, topic, sizeof(after));
        if (topic_jobs_parse(topic, e->team, e->feature) == 0) {
            scheduler_gate(s->scheduler, e->team, e->feature, &e->gate);
            found = e->gate.kind != GATE_OPEN && e->gate.closed;
        }
    }
    queue_cursor_close(cur);
    return found;
}

static bool stands_at_gate(struct session *s, const struct worker_status *w)
{
    if (!s->owner || !w->idle || s->calm < CALM_TICKS) {
        return false;
    }
    if (!s->conf.file) {
        return !s->cli->opt->wait && scheduler_all_closed(s->scheduler) && find_gate(s);
    }
    scheduler_gate(s->scheduler, s->submitting.team, s->submitting.feature,
                   &s->end->gate);
    bool can_wait = s->cli->opt->wait && s->end->gate.kind != GATE_ENDPOINT;
    return s->submitted && s->caught_up && s->end->gate.closed && !can_wait;
}

static void end_at_account(struct session *s, const struct worker_status *w)
{
    struct err err = {0};
    err_set(&err, (enum err_code)w->lane.account_stop_code, "%s", w->lane.account_stop);
    err_hint(&err, "the jobs wait; %s", w->lane.account_stop_hint);
    session_end(s, SESSION_ACCOUNT, &err);
}

static void update_row(struct session *s)
{
    if (s->submit) {
        s->end->row = *submit_row(s->submit);
    }
}

void session_step(struct session *s)
{
    struct err err = {0};
    struct worker_status w = {0};
    if (s->over) {
        return;
    }
    int rc = s->follow ? follow_step(s->follow, &err) : 0;
    if (rc < 0 && s->waits && waits_bears(s->waits, &err, loop_now_ms(s->loop))) {
        s->unread = true;
        return;
    }
    s->unread = false;
    if (rc < 0) {
        session_end(s, SESSION_FAILED, &err);
        return;
    }
    s->caught_up = rc == 0;
    if (!s->caught_up) {
        loop_timer_start(s->soon, 0);
    }
    update_row(s);
    if (s->worker) {
        worker_status(s->worker, &w);
    }
    if (is_done(s, &w)) {
        session_end(s, SESSION_DONE, NULL);
    } else if (s->leave_ms) {
        if (!w.doubtful || loop_now_ms(s->loop) >= s->leave_ms) {
            session_end(s, SESSION_SIGNAL, NULL);
        }
    } else if (w.lane.account_stop && (s->submitted || !s->conf.file)) {
        end_at_account(s, &w);
    } else if (stands_at_gate(s, &w)) {
        session_end(s, SESSION_GATE, NULL);
    }
}

/* ---- what people see ---- */

static uint64_t at_provider(const struct lane_status *lane)
{
    uint64_t n = 0;
    for (int i = 0; i < BATCH_STATES; i++) {
        n += batch_rules[i].wait == BATCH_WAITS_END ? lane->by_state[i] : 0;
    }
    return n;
}

static uint64_t jobs_of_file(const struct session *s)
{
    const struct submit_digest *d = s->conf.file ? &s->conf.file->digest : NULL;
    return d ? d->lines - d->blank : 0;
}

/* Jobs that are asked again: the result they have will be replaced. */
static uint64_t again_waiting(const struct session *s)
{
    uint64_t ends = follow_status(s->follow)->ends, all = run_ends(&s->end->row);
    return all > ends ? MIN_OF(all - ends, s->end->row.again) : 0;
}

static void show(struct session *s, const struct worker_status *w)
{
    const struct follow_status *status = s->follow ? follow_status(s->follow) : NULL;
    int64_t now = loop_now_ms(s->loop);
    struct progress_view v = {
        .jobs = jobs_of_file(s),
        .done_at_start = s->done_at_start,
        .batches = at_provider(&w->lane),
        .waiting = s->scheduler ? scheduler_waiting(s->scheduler)
                   : s->waits   ? waits_jobs(s->waits)
                                : 0,
        .next_poll_ms = w->lane.next_poll_ms ? MAX_OF(w->lane.next_poll_ms - now, 0) : -1,
        .elapsed_ms = now - s->started_ms,
    };
    if (status) {
        v.done = status->results - MIN_OF(status->results, again_waiting(s));
        v.failed = status->results - status->by_status[STATUS_OK];
        v.spent = status->money.cost;
        v.no_money = status->no_money;
    } else {
        v.done = w->hits + w->joined + w->paid + w->failed + w->rejected + w->cancelled;
        v.failed = w->failed + w->rejected + w->cancelled;
        v.jobs = v.done + v.waiting + w->jobs;
    }
    progress_show(s->conf.progress, now, &v);
}

/* On Kafka: why nothing comes; a gate that stays closed ends it, as in a folder. */
static void look_what_it_waits_for(struct session *s)
{
    int64_t now = loop_now_ms(s->loop);
    if (!s->submitted || s->over || s->leave_ms || s->unread) {
        return;
    }
    waits_look(s->waits, follow_status(s->follow)->ends, now);
    const struct gate *gate = s->cli->opt->wait ? NULL : waits_gate(s->waits, now);
    if (gate) {
        s->end->gate = *gate;
        session_end(s, SESSION_GATE, NULL);
    }
}

static void session_on_tick(void *ctx)
{
    struct session *s = CAST_CTX(session, ctx, SESSION_MAGIC);
    struct worker_status w = {0};
    s->ticks++;
    if (s->waits) {
        look_what_it_waits_for(s);
    } else if (s->ticks % TAKE_OVER_EVERY == 0 && !s->conf.only_queue) {
        session_try_take_over(s);
    }
    if (s->worker) {
        worker_status(s->worker, &w);
        bool calm = w.idle &&
                    (scheduler_idle(s->scheduler) || scheduler_all_closed(s->scheduler));
        s->calm = calm ? s->calm + 1 : 0;
    }
    if (s->worker && s->ticks % BEAT_EVERY == 1) {
        session_beat(s, &w);
    }
    session_step(s);
    if (!s->over) {
        show(s, &w);
        loop_timer_start(s->tick, TICK_MS);
    }
}

static void session_on_soon(void *ctx)
{
    session_step(CAST_CTX(session, ctx, SESSION_MAGIC));
}

static void session_on_change(void *ctx)
{
    struct session *s = CAST_CTX(session, ctx, SESSION_MAGIC);
    loop_timer_start(s->soon, 0);
}

/* ---- running ---- */

static int start_loop(struct session *s, struct err *err)
{
    s->started_ms = loop_now_ms(s->loop);
    if (loop_timer_create(s->loop, session_on_tick, s, &s->tick) < 0 ||
        loop_timer_create(s->loop, session_on_soon, s, &s->soon) < 0 ||
        queue_watch(s->queue, session_on_change, s) < 0) {
        return err_set(err, ERR_FAIL, "could not start: no memory");
    }
    int rc = loop_on_signal(s->loop, SIGINT, session_on_signal, s, err);
    return rc < 0 ? rc : loop_on_signal(s->loop, SIGTERM, session_on_signal, s, err);
}

static int open_waits(struct session *s, struct err *err)
{
    const struct waits_conf conf = {.cli = s->cli,
                                    .queue = s->queue,
                                    .team = cli_team(s->cli),
                                    .feature = cli_feature(s->cli),
                                    .say = session_on_event,
                                    .ctx = s};
    return waits_open(&s->waits, &conf, err);
}

/* Who does the work: this process, the owner of the folder, or on Kafka others. */
static int find_owner(struct session *s, struct err *err)
{
    if (cli_on_broker(s->cli)) {
        return s->conf.only_queue ? 0 : open_waits(s, err);
    }
    return s->conf.only_queue ? session_check_owner(s, err)
                              : session_take_or_join(s, err);
}

static int start_all(struct session *s, struct err *err)
{
    bool only_queue = s->conf.only_queue;
    int rc = find_owner(s, err);
    if (rc >= 0 && s->conf.file) {
        rc = session_start_run(s, err);
        s->caught_up = true;
    }
    if (rc >= 0 && (only_queue ? s->submitted : all_results(s))) {
        s->end->was_finished = true;
        session_end(s, SESSION_DONE, NULL);
        return 0;
    }
    if (rc >= 0 && s->owner) {
        rc = session_start_roles(s, err);
    }
    if (rc >= 0 && !s->owner && !only_queue && !s->waits) {
        session_on_event(s, NULL,
                         "another process works on this data folder; following it");
    }
    return rc < 0 ? rc : start_loop(s, err);
}

/* Of all that this process settled, whatever run it belongs to. */
static void fill_without_run(struct follow_status *to, const struct worker_status *w)
{
    to->by_status[STATUS_FAILED] = w->failed;
    to->by_status[STATUS_REJECTED] = w->rejected;
    to->by_status[STATUS_CANCELLED] = w->cancelled;
    to->by_status[STATUS_OK] = w->hits + w->joined + w->paid;
    to->results = to->by_status[STATUS_OK] + w->failed + w->rejected + w->cancelled;
    to->money.calls = w->paid;
    to->money.hits = w->hits;
    to->money.joined = w->joined;
}

static void fill_end(struct session *s)
{
    struct worker_status w = {0};
    update_row(s);
    if (s->follow) {
        s->end->status = *follow_status(s->follow);
    }
    if (s->worker) {
        worker_status(s->worker, &w);
        s->end->batches = at_provider(&w.lane);
        s->end->doubtful = w.doubtful;
        memcpy(s->end->left, w.left, sizeof(w.left));
    }
    if (!s->follow) {
        fill_without_run(&s->end->status, &w);
    }
    s->end->submitted = s->submitted;
}

int session_run(struct session *s, const struct session_conf *conf,
                struct session_end *ret, struct err *err)
{
    *ret = (struct session_end){.over = SESSION_FAILED};
    s->conf = *conf;
    s->end = ret;
    int rc = start_all(s, err);
    if (rc >= 0 && !s->over) {
        loop_timer_start(s->tick, 0);
        loop_run(s->loop);
    }
    progress_clear(s->conf.progress);
    fill_end(s);
    session_stop_roles(s);
    if (s->owner) {
        beat_remove(s->cli->data);
    }
    queue_unwatch(s->queue, session_on_change, s);
    s->tick = loop_timer_destroy(s->tick);
    s->soon = loop_timer_destroy(s->soon);
    s->follow = follow_close(s->follow);
    s->waits = waits_close(s->waits);
    return rc < 0 ? rc : 0;
}
