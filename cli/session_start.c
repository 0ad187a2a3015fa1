#include "cli/session_int.h"

#include "cli/runs.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- the roles, when the folder is ours ---- */

static int start_scheduler(struct session *s, struct err *err)
{
    struct scheduler_conf conf = {
        .queue = s->queue,
        .loop = s->loop,
        .settings = &s->cli->set->scheduler,
        .on_event = session_on_event,
        .on_stop = session_on_stop,
        .ctx = s,
    };
    endpoint_lanes(s->conf.endpoint, conf.lanes);
    int rc = scheduler_create(&s->scheduler, &conf, err);
    return rc < 0 ? rc : scheduler_start(s->scheduler, err);
}

static int start_worker(struct session *s, struct err *err)
{
    struct worker_conf conf = {
        .queue = s->queue,
        .loop = s->loop,
        .http = s->http,
        .settings = &s->cli->set->worker,
        .dir = s->cli->data,
        .on_step = session_on_step,
        .on_event = session_on_event,
        .on_stop = session_on_stop,
        .ctx = s,
    };
    endpoint_worker(s->conf.endpoint, &conf);
    int rc = worker_create(&s->worker, &conf, err);
    return rc < 0 ? rc : worker_start(s->worker, err);
}

int session_start_roles(struct session *s, struct err *err)
{
    int rc = endpoint_http(s->conf.endpoint, s->cli, s->loop, &s->http, err);
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

/* ---- submit ---- */

static void session_on_line(void *ctx, const char *file, uint64_t line, const char *why,
                            const char *hint)
{
    struct session *s = CAST_CTX(session, ctx, SESSION_MAGIC);
    if (++s->refused <= PROGRESS_REFUSED_MAX) {
        struct refused_line t = {.label = file, .line = line, .why = why, .remedy = hint};
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
    s->submitting = (struct submit_conf){
        .queue = s->queue,
        .loop = s->loop,
        .source = s->conf.file->source,
        .label = s->conf.file->label,
        .dir = s->cli->data,
        .team = cli_team(s->cli),
        .feature = cli_feature(s->cli),
        .run = s->conf.file->run,
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

/* A run whose lane this process knows nothing of holds everything behind it. */
static int refuse_unknown_lane(const struct session *s, const struct run_found *found,
                               const struct scheduler_lane *terms, struct err *err)
{
    err_set(err, ERR_USAGE,
            "could not add to '%s': run '%s' waits there for lane '%s', and %s",
            s->cli->data, found->run, lane_name(found->row.lane), terms->why);
    err_hint(err, "%s; or use another queue with --feature", terms->hint);
    return -ERR_USAGE;
}

/* For which endpoint was that run submitted, when not for ours? 0: for ours, nobody knows, or it
 * is not asked by this process. */
static int is_elsewhere(struct session *s, const struct run_wanted *wanted, bool released,
                        struct err *err)
{
    struct run_found found;
    struct scheduler_lane lanes[LANES];
    endpoint_lanes(s->conf.endpoint, lanes);
    int rc = run_find(s->queue, wanted, &found, err);
    const struct scheduler_lane *terms = &lanes[rc > 0 ? found.row.lane : LANE_BATCH];
    if (rc > 0 && !terms->prices && !released) {
        return refuse_unknown_lane(s, &found, terms, err);
    }
    if (rc <= 0 || !found.row.endpoint[0] || !terms->calls ||
        !strcmp(found.row.endpoint, terms->endpoint)) {
        return rc < 0 ? rc : 0;
    }
    bool pool = found.row.lane == LANE_POOL;
    err_set(err, ERR_USAGE,
            "could not add to '%s': run '%s' is under way for '%s', and the %s is "
            "'%s' now",
            s->cli->data, wanted->run, found.row.endpoint, pool ? "pool" : "base URL",
            terms->endpoint);
    err_hint(err,
             "set %s back to '%s' until it is done, or use another folder with --data",
             pool ? "pool.name" : "OPENAI_BASE_URL",
             found.row.endpoint + (pool ? strlen(ENDPOINT_POOL) : 0));
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
                 : is_elsewhere(s, &(struct run_wanted){r.team, r.feature, r.run}, true,
                                err);
    } else if (rc > 0) {
        rc = job_head_decode(msg.headers, &head) < 0
                 ? 0
                 : is_elsewhere(s,
                                &(struct run_wanted){s->submitting.team,
                                                     s->submitting.feature, head.run},
                                false, err);
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
    if (rc < 0 || s->conf.only_queue) {
        return rc;
    }
    rc = start_follow(s, &s->end->row, err);
    while (rc >= 0 && (rc = follow_step(s->follow, err)) > 0) {
    }
    s->done_at_start = rc >= 0 ? follow_status(s->follow)->results : 0;
    return rc;
}
