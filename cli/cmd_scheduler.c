#include "cli/daemon.h"

#include <stdio.h>

#define COMMAND_MAX 1000

struct scheduler_daemon {
    struct daemon_parts parts;
    struct scheduler *scheduler;
};

/* The command that opens the gate of a queue; "" when there is none, or no such gate. It is for
 * people, who do not come with the scheduler's credentials. */
static void find_command(const struct scheduler_daemon *s, const char *queue,
                         struct buf *ret)
{
    struct gate gate;
    char team[TEAM_MAX + 1] = "", feature[FEATURE_MAX + 1] = "";
    const char *slash = strchr(queue, '/');
    if (!slash) {
        return;
    }
    snprintf(team, sizeof(team), "%.*s", (int)(slash - queue), queue);
    snprintf(feature, sizeof(feature), "%s", slash + 1);
    scheduler_gate(s->scheduler, team, feature, &gate);
    if (gate.kind == GATE_BUDGET || gate.kind == GATE_PAUSE) {
        const struct broker_settings *set = &s->parts.cli->set->broker;
        buf_adds(ret, gate.hint);
        broker_words(set, true, ret);
        if (set->file && set->file[0]) {
            buf_adds(ret, ", with the kafka.file of an operator");
        }
    }
}

/* Nobody sums up at the end of a daemon: what to do is told with the event. */
static void on_event(void *ctx, const char *queue, const char *text)
{
    const struct scheduler_daemon *s = ctx;
    char told[sizeof(((struct gate *)0)->why) + COMMAND_MAX];
    _cleanup_(buf_fini) struct buf command;
    buf_init(&command, COMMAND_MAX);
    find_command(s, queue, &command);
    snprintf(told, sizeof(told), "%s%s%.*s", text, command.n ? "; " : "", (int)command.n,
             command.n ? command.p : "");
    s->parts.on_event(s->parts.daemon, queue, told);
}

static void on_stop(void *ctx, const struct err *err)
{
    const struct scheduler_daemon *s = ctx;
    s->parts.on_stop(s->parts.daemon, err);
}

static int scheduler_open(void *ctx, const struct daemon_parts *p, struct err *err)
{
    struct scheduler_daemon *s = ctx;
    struct scheduler_conf conf = {
        .queue = p->queue,
        .loop = p->loop,
        .settings = &p->cli->set->scheduler,
        .keep = {.drops = true,
                 .retain_ms = p->cli->set->worker.retain_ms,
                 .results_ms = p->cli->set->worker.results_keep_ms},
        .needs_limit = true,
        .on_event = on_event,
        .on_stop = on_stop,
        .ctx = s,
    };
    s->parts = *p;
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
    .access = ACCESS_SCHEDULER,
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
