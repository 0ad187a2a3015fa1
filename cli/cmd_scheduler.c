#include "cli/daemon.h"

struct scheduler_daemon {
    struct scheduler *scheduler;
};

static int scheduler_open(void *ctx, const struct daemon_parts *p, struct err *err)
{
    struct scheduler_daemon *s = ctx;
    struct scheduler_conf conf = {
        .queue = p->queue,
        .loop = p->loop,
        .settings = &p->cli->set->scheduler,
        .on_event = p->on_event,
        .on_stop = p->on_stop,
        .ctx = p->daemon,
    };
    endpoint_lanes(p->endpoint, conf.lanes);
    int rc = scheduler_create(&s->scheduler, &conf, err);
    return rc < 0 ? rc : scheduler_start(s->scheduler, err);
}

/* What it has not committed is decided again by the next: there is nothing to wait for. */
static void scheduler_drain(void *ctx, int64_t wait_ms)
{
    (void)ctx;
    (void)wait_ms;
}

static bool scheduler_drained(const void *ctx)
{
    (void)ctx;
    return true;
}

static void scheduler_close(void *ctx)
{
    struct scheduler_daemon *s = ctx;
    s->scheduler = scheduler_destroy(s->scheduler);
}

static const struct daemon_role role = {
    .name = "scheduler",
    .queue = QUEUE_SCHEDULER,
    .open = scheduler_open,
    .drain = scheduler_drain,
    .drained = scheduler_drained,
    .close = scheduler_close,
};

int cmd_scheduler(struct cli *c, struct err *err)
{
    struct scheduler_daemon s = {0};
    return daemon_run(c, &role, &s, err);
}
