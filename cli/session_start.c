#include "cli/session_int.h"

#include "cli/runs.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define NOTE_TRIES     40 /* 25 ms apart: a new owner leaves its note at once */
#define NOTE_BYTES_MAX ((size_t)8 << 10)

/* ---- the roles, when the folder is ours ---- */

static int start_scheduler(struct session *s, struct err *err)
{
    const struct endpoint *e = s->conf.endpoint;
    const struct scheduler_lane provider = {.prices = e->prices,
                                            .provider = "openai",
                                            .endpoint = e->origin,
                                            .calls = e->key};
    const struct scheduler_lane pool = {
        .why = "no servers of your own were given",
        .hint = "--set pool.servers=URL --set pool.price=free"};
    struct scheduler_conf conf = {
        .queue = s->queue,
        .loop = s->loop,
        .lanes = {[LANE_BATCH] = provider, [LANE_SYNC] = provider, [LANE_POOL] = pool},
        .settings = &s->cli->set->scheduler,
        .on_event = session_on_event,
        .on_stop = session_on_stop,
        .ctx = s,
    };
    int rc = scheduler_create(&s->scheduler, &conf, err);
    return rc < 0 ? rc : scheduler_start(s->scheduler, err);
}

static int start_worker(struct session *s, struct err *err)
{
    struct worker_conf conf = {
        .queue = s->queue,
        .loop = s->loop,
        .http = s->http,
        .prices = s->conf.endpoint->prices,
        .base_url = s->conf.endpoint->base_url,
        .key = s->conf.endpoint->key,
        .settings = &s->cli->set->worker,
        .dir = s->cli->data,
        .on_event = session_on_event,
        .on_stop = session_on_stop,
        .ctx = s,
    };
    int rc = worker_create(&s->worker, &conf, err);
    return rc < 0 ? rc : worker_start(s->worker, err);
}

int session_start_roles(struct session *s, struct err *err)
{
    int rc = endpoint_http(s->cli, s->loop, &s->http, err);
    if (rc >= 0) {
        rc = start_scheduler(s, err);
    }
    return rc < 0 ? rc : start_worker(s, err);
}

void session_stop_roles(struct session *s)
{
    s->submit = submit_destroy(s->submit);
    s->scheduler = scheduler_destroy(s->scheduler);
    s->worker = worker_destroy(s->worker);
    s->http = http_destroy(s->http);
}

/* ---- whose folder ---- */

static int leave_note(struct session *s, struct err *err)
{
    char note[400];
    snprintf(note, sizeof(note), "%s %s", s->conf.endpoint->origin,
             s->conf.endpoint->account);
    return queue_owner_note(s->queue, note, err);
}

/* The owner works for one endpoint and one account; our lines must mean the same. */
static int compare_note(struct session *s, const char *note, struct err *err)
{
    const struct endpoint *e = s->conf.endpoint;
    char ours[400];
    snprintf(ours, sizeof(ours), "%s %s", e->origin, e->account);
    if (!strcmp(note, ours)) {
        return 0;
    }
    err_set(err, ERR_TEMP,
            "could not add to '%s': the process that owns it works for '%s', not "
            "for '%s'",
            s->cli->data, note, ours);
    err_hint(err, "wait until it has ended, or use another folder with --data");
    return -ERR_TEMP;
}

/* 1 it is ours now, 0 somebody else works there, for the same account. */
int session_take_or_join(struct session *s, struct err *err)
{
    for (int i = 0; i < NOTE_TRIES; i++) {
        int rc = queue_take_ownership(s->queue, err);
        if (rc > 0) {
            s->owner = true;
            rc = leave_note(s, err);
            return rc < 0 ? rc : 1;
        }
        _cleanup_(buf_fini) struct buf note;
        buf_init(&note, NOTE_BYTES_MAX);
        if (rc == 0) {
            rc = queue_owner_read(s->queue, &note, err);
        }
        if (rc < 0 || (rc > 0 && note.n)) {
            return rc < 0 ? rc : compare_note(s, note.p, err);
        }
        struct timespec pause = {.tv_nsec = 25 * 1000 * 1000};
        nanosleep(&pause, NULL);
    }
    return err_set(err, ERR_TEMP, "could not use '%s': another process is starting on it",
                   s->cli->data);
}

void session_try_take_over(struct session *s)
{
    struct err err = {0};
    if (s->owner) {
        return;
    }
    int rc = queue_take_ownership(s->queue, &err);
    if (rc == 0) {
        return;
    }
    if (rc > 0) {
        s->owner = true;
        session_on_event(s, NULL,
                         "the process that owned the data folder has ended; going on "
                         "in its place");
        rc = leave_note(s, &err);
    }
    rc = rc < 0 ? rc : session_start_roles(s, &err);
    if (rc < 0) {
        session_end(s, SESSION_FAILED, &err);
    }
}

/* ---- submit ---- */

static void session_on_line(void *ctx, uint64_t line, const char *why, const char *hint)
{
    struct session *s = CAST_CTX(session, ctx, SESSION_MAGIC);
    if (++s->refused <= PROGRESS_REFUSED_MAX) {
        struct refused_line t = {
            .label = s->conf.file->label, .line = line, .why = why, .remedy = hint};
        progress_refused(s->conf.progress, &t);
    }
}

static void session_on_submitted(void *ctx, const struct err *err)
{
    struct session *s = CAST_CTX(session, ctx, SESSION_MAGIC);
    if (err) {
        session_end(s, SESSION_FAILED, err);
        return;
    }
    char subject[RUN_MAX + 8], text[64];
    s->submitted = true;
    infile_remove_copy(s->conf.file);
    uint64_t jobs = run_jobs(submit_row(s->submit));
    snprintf(subject, sizeof(subject), "run '%s'", s->submitting.run);
    snprintf(text, sizeof(text), "%" PRIu64 " job%s queued", jobs, jobs == 1 ? "" : "s");
    session_on_event(s, subject, text);
    progress_more(s->conf.progress, s->conf.file->label, s->refused);
    session_step(s);
}

static void fill_submit_conf(struct session *s)
{
    const struct options *o = s->cli->opt;
    s->submitting = (struct submit_conf){
        .queue = s->queue,
        .loop = s->loop,
        .path = s->conf.file->path,
        .label = s->conf.file->label,
        .dir = s->cli->data,
        .team = o->team ? o->team : "default",
        .feature = o->feature ? o->feature : "default",
        .run = s->conf.file->run,
        .first = o->first,
        .max_line = (size_t)s->cli->set->cli.input_max_line,
        .row = s->conf.row,
        .on_line = session_on_line,
        .on_done = session_on_submitted,
        .ctx = s,
    };
}

static int start_follow(struct session *s, const struct run_row *row, struct err *err)
{
    struct follow_conf conf = {
        .queue = s->queue,
        .team = s->submitting.team,
        .feature = s->submitting.feature,
        .run = s->submitting.run,
        .results_from = row->results_from,
        .spend_from = row->spend_from,
        .on_result = s->conf.on_result,
        .ctx = s->conf.ctx,
    };
    return follow_open(&s->follow, &conf, err);
}

/* For which endpoint was that run submitted, when not for ours? 0: for ours, or nobody knows. */
static int is_elsewhere(struct session *s, const char *team, const char *feature,
                        const char *run, struct err *err)
{
    struct run_wanted wanted = {.team = team, .feature = feature, .run = run};
    struct run_found found;
    int rc = run_find(s->queue, &wanted, &found, err);
    if (rc <= 0 || !found.row.endpoint[0] ||
        !strcmp(found.row.endpoint, s->conf.endpoint->origin)) {
        return rc < 0 ? rc : 0;
    }
    err_set(err, ERR_USAGE,
            "could not add to '%s': run '%s' is under way for '%s', and the base URL is "
            "'%s' now",
            s->cli->data, run, found.row.endpoint, s->conf.endpoint->origin);
    err_hint(err,
             "set OPENAI_BASE_URL back to '%s' until it is done, or use another "
             "folder with --data",
             found.row.endpoint);
    return -ERR_USAGE;
}

/* The first record that waits there: whose run is it? */
static int check_waiting(struct session *s, const char *topic, struct err *err)
{
    struct queue_feed *feed = NULL;
    struct queue_msg msg;
    struct release r;
    struct job_head head;
    int rc = queue_feed_open(s->queue, topic, &feed, err);
    if (rc >= 0) {
        rc = queue_next(feed, &msg, err);
    }
    if (rc > 0 && !strcmp(topic, TOPIC_READY)) {
        rc = release_decode(msg.headers, &r) < 0
                 ? 0
                 : is_elsewhere(s, r.team, r.feature, r.run, err);
    } else if (rc > 0) {
        rc = job_head_decode(msg.headers, &head) < 0
                 ? 0
                 : is_elsewhere(s, s->submitting.team, s->submitting.feature, head.run,
                                err);
    }
    queue_feed_close(feed);
    return rc < 0 ? rc : 0;
}

/* Lines for one endpoint do not queue behind lines for another. */
static int check_queue(struct session *s, struct err *err)
{
    char topic[QUEUE_NAME_MAX];
    if (!s->owner) {
        return 0; /* the owner works for ours */
    }
    topic_jobs(s->submitting.team, s->submitting.feature, topic);
    int rc = check_waiting(s, TOPIC_READY, err);
    return rc < 0 ? rc : check_waiting(s, topic, err);
}

/* What is asked now against what stands there, then the lines that are not queued yet. */
int session_start_run(struct session *s, struct err *err)
{
    enum run_match match;
    fill_submit_conf(s);
    int rc = submit_match(s->queue, &s->submitting, &match, &s->end->row, err);
    s->end->lines_before = rc >= 0 && match != RUN_NEW ? s->end->row.lines : 0;
    if (rc >= 0 && match == RUN_FINISHED_SUBMIT) {
        s->submitted = true;
        infile_remove_copy(s->conf.file);
    } else if (rc >= 0) {
        rc = check_queue(s, err);
        rc = rc < 0 ? rc : submit_start(&s->submit, &s->submitting, err);
        s->end->row = s->submit ? *submit_row(s->submit) : s->conf.row;
    }
    if (rc >= 0) {
        rc = start_follow(s, &s->end->row, err);
    }
    while (rc >= 0 && (rc = follow_step(s->follow, err)) > 0) {
    }
    s->done_at_start = rc >= 0 ? follow_status(s->follow)->results : 0;
    return rc;
}
