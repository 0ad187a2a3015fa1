#include "cli/daemon.h"

struct worker_daemon {
    struct http *http;
    struct worker *worker;
    bool stopped;
};

static int worker_open(void *ctx, const struct daemon_parts *p, struct err *err)
{
    struct worker_daemon *w = ctx;
    struct worker_conf conf = {
        .queue = p->queue,
        .loop = p->loop,
        .settings = &p->cli->set->worker,
        .dir = p->dir,
        .on_step = p->on_step,
        .on_event = p->on_event,
        .on_stop = p->on_stop,
        .ctx = p->daemon,
    };
    w->stopped = false;
    int rc = endpoint_http(p->endpoint, p->cli, p->loop, &w->http, err);
    if (rc >= 0) {
        conf.http = w->http;
        endpoint_worker(p->endpoint, &conf);
        rc = worker_create(&w->worker, &conf, err);
    }
    return rc < 0 ? rc : worker_start(w->worker, err);
}

static void on_stopped(void *ctx, bool quiet)
{
    struct worker_daemon *w = ctx;
    (void)quiet; /* what was not waited for is found by the next owner */
    w->stopped = true;
}

/* Batches go on at the provider: whoever has the share next fetches them. */
static void worker_leave(void *ctx, int64_t wait_ms)
{
    struct worker_daemon *w = ctx;
    w->stopped = !w->worker || worker_stop(w->worker, wait_ms, on_stopped, w, NULL) < 0;
}

static bool worker_left(const void *ctx)
{
    const struct worker_daemon *w = ctx;
    return w->stopped;
}

static bool worker_refused(const void *ctx, struct err *err)
{
    const struct worker_daemon *w = ctx;
    struct worker_status status = {0};
    if (w->worker) {
        worker_status(w->worker, &status);
    }
    if (!status.lane.account_stop) {
        return false;
    }
    err_set(err, (enum err_code)status.lane.account_stop_code, "%s",
            status.lane.account_stop);
    err_hint(err, "%s", status.lane.account_stop_hint);
    return true;
}

/* Jobs that were held back can go on. */
static bool worker_again(const void *ctx)
{
    const struct worker_daemon *w = ctx;
    struct worker_status status = {0};
    if (w->worker) {
        worker_status(w->worker, &status);
    }
    return status.held_again;
}

static void worker_close(void *ctx)
{
    struct worker_daemon *w = ctx;
    w->worker = worker_destroy(w->worker);
    w->http = http_destroy(w->http);
}

static const struct daemon_role role = {
    .name = "worker",
    .queue = QUEUE_WORKER,
    .access = ACCESS_WORKER,
    .open = worker_open,
    .drain = worker_leave,
    .drained = worker_left,
    .again = worker_again,
    .refused = worker_refused,
    .close = worker_close,
};

int cmd_worker(struct cli *c, struct err *err)
{
    struct worker_daemon w = {0};
    return daemon_run(c, &role, &w, err);
}
