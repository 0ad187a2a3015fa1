#include "worker/cancels.h"

#include "core/loop.h"
#include "core/queue.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>

#define WALK_STEP 500 /* calls looked at in one turn */

struct known {
    char key[TEAM_MAX + FEATURE_MAX + RUN_MAX + 3]; /* team/feature/run */
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1], run[RUN_MAX + 1];
    bool cancelled;
};

struct cancels {
    struct cancels_conf conf;
    void *runs; /* tsearch tree of struct known by key */
    size_t runs_n;
    struct queue_cursor *rows, *ready;
    struct loop_timer *look, *walk;
    bool looking; /* its timer runs */
    bool walking, failed;
};

static int known_cmp(const void *a, const void *b)
{
    return strcmp(((const struct known *)a)->key, ((const struct known *)b)->key);
}

static void fail(struct cancels *c, const struct err *err)
{
    if (!c->failed) {
        c->failed = true;
        c->walking = false;
        c->conf.on_failed(c->conf.ctx, err);
    }
}

/* ---- the runs ---- */

static int is_cancelled(struct cancels *c, struct known *k, struct err *err)
{
    int rc = run_cancelled(c->rows, k->team, k->feature, k->run, err);
    k->cancelled = rc > 0;
    return rc;
}

static int learn(struct cancels *c, const struct known *wanted, struct known **ret,
                 struct err *err)
{
    if (c->runs_n == CANCELS_RUNS_MAX) {
        tdestroy(c->runs, free);
        c->runs = NULL;
        c->runs_n = 0;
    }
    struct known *k = malloc(sizeof(*k));
    if (!k) {
        return err_set(err, ERR_FAIL, "could not remember run '%s': out of memory",
                       wanted->run);
    }
    *k = *wanted;
    int rc = is_cancelled(c, k, err);
    if (rc >= 0 && !tsearch(k, &c->runs, known_cmp)) {
        rc = err_set(err, ERR_FAIL, "could not remember run '%s': out of memory", k->run);
    }
    if (rc < 0) {
        free(k);
        return rc;
    }
    c->runs_n++;
    *ret = k;
    return 0;
}

int cancels_has(struct cancels *c, const struct release *r, struct err *err)
{
    struct known wanted = {0}, *k = NULL;
    if (!c || !r->run[0]) {
        return 0;
    }
    snprintf(wanted.key, sizeof(wanted.key), "%s/%s/%s", r->team, r->feature, r->run);
    struct known *const *found = tfind(&wanted, &c->runs, known_cmp);
    if (found) {
        return (*found)->cancelled;
    }
    snprintf(wanted.team, sizeof(wanted.team), "%s", r->team);
    snprintf(wanted.feature, sizeof(wanted.feature), "%s", r->feature);
    snprintf(wanted.run, sizeof(wanted.run), "%s", r->run);
    int rc = learn(c, &wanted, &k, err);
    return rc < 0 ? rc : k->cancelled;
}

/* ---- the calls in flight ---- */

/* 1 the job at that place is of a cancelled run; *ret its release. */
static int job_cancelled(struct cancels *c, uint64_t at, struct release *ret,
                         struct err *err)
{
    const struct queue_at record = place_at(at);
    struct queue_msg msg;
    int rc = queue_fetch(c->ready, &record, &msg, err);
    if (rc <= 0) {
        return rc;
    }
    if (release_decode(msg.headers, ret) < 0) {
        return err_set(err, ERR_VERSION, "could not read record %llu of '%s'",
                       (unsigned long long)record.offset, TOPIC_READY);
    }
    return cancels_has(c, ret, err);
}

static int end_job(struct cancels *c, uint64_t at, struct release *r)
{
    r->verdict = VERDICT_CANCELLED;
    snprintf(r->why, sizeof(r->why), "%s", CANCELLED_WHY);
    return settle_verdict(c->conf.settle, at, r);
}

/* Jobs that joined: 1 all are looked at, 0 settle has no more room, -1 stop. */
static int look_at_joiners(struct cancels *c, struct call *call, struct err *err)
{
    struct release r;
    for (struct job *before = call->jobs; before && before->next;) {
        uint64_t at = before->next->at;
        int rc = job_cancelled(c, at, &r, err);
        if (rc < 0) {
            return -1;
        }
        if (rc == 0) {
            before = before->next;
            continue;
        }
        if (!settle_room(c->conf.settle)) {
            return 0;
        }
        call_unjoin(c->conf.calls, call, before);
        if (end_job(c, at, &r) < 0) {
            return -1;
        }
    }
    return 1;
}

static int look_at_call(struct cancels *c, struct call *call, struct err *err)
{
    struct release r;
    if (call->state == CALL_SETTLING || !call->jobs) {
        return 1;
    }
    int done = look_at_joiners(c, call, err);
    if (done <= 0) {
        return done;
    }
    int rc = job_cancelled(c, call->jobs->at, &r, err);
    if (rc <= 0) {
        return rc < 0 ? -1 : 1;
    }
    call->cancelled = true;
    if (call->state != CALL_PLANNED || call->lane != LANE_BATCH) {
        return 1;
    }
    if (!settle_room(c->conf.settle)) {
        return 0;
    }
    plan_remove(c->conf.plan, call);
    return settle_cancelled(c->conf.settle, call) < 0 ? -1 : 1;
}

static void on_walk(void *ctx)
{
    struct cancels *c = ctx;
    struct err err = {0};
    struct call *call = NULL;
    for (int i = 0; i < WALK_STEP && c->walking; i++) {
        call = call_walk(c->conf.calls);
        if (!call) {
            c->walking = false;
            break;
        }
        int done = look_at_call(c, call, &err);
        if (done < 0) {
            c->walking = false;
            if (err.msg[0]) { /* else settle has told why */
                fail(c, &err);
            }
            return;
        }
        if (done == 0) {
            return; /* goes on with the same call when there is room */
        }
        call_walk_on(c->conf.calls);
    }
    c->conf.on_marked(c->conf.ctx);
    if (c->walking) {
        loop_timer_start(c->walk, 0);
    }
}

void cancels_on_room(struct cancels *c)
{
    if (c->walking) {
        loop_timer_start(c->walk, 0);
    }
}

/* ---- looking ---- */

struct looking {
    struct cancels *c;
    struct err err;
    int rc, found;
};

static void look_at_run(const void *node, VISIT visit, void *ctx)
{
    struct looking *l = ctx;
    struct known *k = *(struct known *const *)node;
    if ((visit == postorder || visit == leaf) && !k->cancelled && l->rc >= 0) {
        l->rc = is_cancelled(l->c, k, &l->err);
        l->found += l->rc > 0;
    }
}

static void on_look(void *ctx)
{
    struct cancels *c = ctx;
    struct looking l = {.c = c};
    c->looking = false;
    twalk_r(c->runs, look_at_run, &l);
    if (l.rc < 0) {
        fail(c, &l.err);
    } else if (l.found && !c->failed) {
        c->walking = true;
        call_walk_begin(c->conf.calls);
        loop_timer_start(c->walk, 0);
    }
}

void cancels_wake(struct cancels *c)
{
    if (!c->looking && !c->failed) {
        c->looking = true;
        loop_timer_start(c->look, CANCELS_LOOK_MS);
    }
}

bool cancels_idle(const struct cancels *c)
{
    return !c->walking;
}

/* ---- life ---- */

int cancels_create(struct cancels **ret, const struct cancels_conf *conf, struct err *err)
{
    struct cancels *c = calloc(1, sizeof(*c));
    if (!c || loop_timer_create(conf->loop, on_look, c, &c->look) < 0 ||
        loop_timer_create(conf->loop, on_walk, c, &c->walk) < 0) {
        cancels_destroy(c);
        return err_set(err, ERR_FAIL, "could not watch for cancelled runs: %s",
                       "out of memory");
    }
    c->conf = *conf;
    int rc = queue_cursor_open(conf->queue, &c->rows, err);
    if (rc >= 0) {
        rc = queue_cursor_open(conf->queue, &c->ready, err);
    }
    if (rc < 0) {
        cancels_destroy(c);
        return rc;
    }
    *ret = c;
    return 0;
}

struct cancels *cancels_destroy(struct cancels *c)
{
    if (c) {
        tdestroy(c->runs, free);
        queue_cursor_close(c->rows);
        queue_cursor_close(c->ready);
        loop_timer_destroy(c->look);
        loop_timer_destroy(c->walk);
        free(c);
    }
    return NULL;
}
