#include "cli/daemon.h"

#include "cli/daemon_access.h"
#include "cli/daemon_folder.h"
#include "cli/daemon_reload.h"
#include "cli/notify.h"
#include "cli/probe.h"
#include "core/loop.h"

#include <signal.h>
#include <stdio.h>

#define DAEMON_MAGIC 0x4441454du /* DAEM */
#define TICK_MS      200
#define LOST_WAIT_MS 12000 /* of the 20 s in which a share must be let go */
#define CLOSE_MS     2000
/* After a role stopped the queue says in this time that its share is lost: else it is the role
 * that cannot go on. */
#define STOPPED_MS      20000
#define ACCESS_AGAIN_MS 2000 /* between two looks whether it may do its work now */

enum life { STANDBY, AT_WORK, DRAINING };

struct daemon {
    uint32_t magic;
    struct cli *cli;
    const struct daemon_role *role;
    void *ctx;
    struct loop *loop;
    struct loop_timer *tick;
    struct queue *queue; /* NULL: it may not do its work yet, and is no member */
    struct daemon_folder folder;
    struct endpoint endpoint;
    struct settings *own; /* NULL, or what the last SIGHUP loaded */
    struct probe *probe;  /* NULL: not asked for */
    struct progress progress;
    struct notify notify;

    enum life life;
    bool share;   /* ours, as the queue said last */
    bool cut_off; /* it said that the broker is out of reach */
    bool lost;    /* taken away: let go once the role is closed */
    bool reload, leave, over;
    bool stopped; /* the role cannot go on: `why` */
    int64_t deadline_ms, stopped_ms, refused_ms, notified_ms, asked_ms;
    char lacks[sizeof(((struct err *)0)->msg)]; /* what was told of last */
    struct err why, *err;                       /* err: how daemon_run ends */
};

/* ---- telling ---- */

static void say(struct daemon *d, const char *subject, const char *text)
{
    progress_say(&d->progress, loop_now_ms(d->loop), subject, text);
}

static void say_err(struct daemon *d, const char *subject, const struct err *err)
{
    struct err why = *err;
    char text[sizeof(why.msg) + sizeof(why.hint) + 16];
    daemon_access_hint(&d->cli->set->broker, d->role->access, &why);
    snprintf(text, sizeof(text), "%s%s%s", why.msg, why.hint[0] ? "; " : "", why.hint);
    say(d, subject, text);
}

static enum probe_state state_of(const struct daemon *d)
{
    if (d->leave) {
        return PROBE_ENDING;
    }
    if (!d->queue) {
        return PROBE_STARTING;
    }
    if (d->cut_off) {
        return PROBE_CUT_OFF;
    }
    return d->life == STANDBY ? PROBE_STANDBY : PROBE_AT_WORK;
}

static void tell_state(struct daemon *d)
{
    char lines[120];
    enum probe_state state = state_of(d);
    snprintf(lines, sizeof(lines), "STATUS=%s\n%s", probe_state_name(state),
             state == PROBE_ENDING     ? "STOPPING=1\n"
             : state == PROBE_STARTING ? ""
                                       : "READY=1\n");
    notify_say(&d->notify, lines);
    if (d->probe) {
        probe_beat(d->probe, state);
    }
}

static void alive(struct daemon *d)
{
    int64_t now = loop_now_ms(d->loop);
    if (d->probe) {
        probe_beat(d->probe, state_of(d));
    }
    if (d->notify.watchdog_ms && now - d->notified_ms >= d->notify.watchdog_ms) {
        d->notified_ms = now;
        notify_say(&d->notify, "WATCHDOG=1\n");
    }
}

static void on_event(void *ctx, const char *subject, const char *text)
{
    say(CAST_CTX(daemon, ctx, DAEMON_MAGIC), subject, text);
}

static void on_step(void *ctx, const char *subject, const char *text)
{
    struct daemon *d = CAST_CTX(daemon, ctx, DAEMON_MAGIC);
    progress_step(&d->progress, loop_now_ms(d->loop), subject, text);
}

/* ---- the end ---- */

static void end(struct daemon *d, const struct err *err)
{
    if (!d->over) {
        d->over = true;
        if (err) {
            *d->err = *err;
            daemon_access_hint(&d->cli->set->broker, d->role->access, d->err);
        }
        loop_stop(d->loop);
    }
}

/* ---- the role ---- */

static void on_stop(void *ctx, const struct err *err)
{
    struct daemon *d = CAST_CTX(daemon, ctx, DAEMON_MAGIC);
    d->stopped = true;
    d->stopped_ms = loop_now_ms(d->loop);
    d->why = *err;
}

static void open_role(struct daemon *d)
{
    struct err err = {0};
    const struct daemon_parts parts = {
        .cli = d->cli,
        .endpoint = &d->endpoint,
        .queue = d->queue,
        .loop = d->loop,
        .dir = d->folder.path,
        .on_event = on_event,
        .on_step = on_step,
        .on_stop = on_stop,
        .daemon = d,
    };
    d->life = AT_WORK;
    d->stopped = false;
    d->refused_ms = 0;
    if (d->role->open(d->ctx, &parts, &err) < 0) {
        on_stop(d, &err);
        say_err(d, d->role->name, &err);
    } else {
        say(d, d->role->name, "at work");
    }
    tell_state(d);
}

static void drain(struct daemon *d)
{
    if (d->life != AT_WORK) {
        return;
    }
    d->life = DRAINING;
    int64_t wait_ms = d->lost ? LOST_WAIT_MS : d->cli->set->cli.stop_wait_ms;
    d->role->drain(d->ctx, wait_ms);
    d->deadline_ms = loop_now_ms(d->loop) + wait_ms + CLOSE_MS;
}

static void reload(struct daemon *d)
{
    struct err err = {0};
    d->reload = false;
    notify_say(&d->notify, "RELOADING=1\n");
    if (daemon_reload(d->cli, &d->endpoint, &d->own, &err) < 0) {
        say_err(d, "the configuration stays as it was", &err);
    } else {
        say(d, d->role->name, "configuration loaded again");
    }
    tell_state(d);
}

/* The role has finished, or its time is up: what comes next is what it was drained for. One that
 * stopped by itself is not begun again before its share was lost. */
static void close_role(struct daemon *d)
{
    d->role->close(d->ctx);
    d->life = STANDBY;
    if (d->lost) {
        d->lost = d->stopped = false;
        queue_release_ownership(d->queue);
    }
    if (d->reload) {
        reload(d);
    }
    if (d->leave) {
        end(d, NULL);
    } else if (d->share && !d->stopped) {
        open_role(d);
    } else {
        say(d, d->role->name, "standing by");
        tell_state(d);
    }
}

/* ---- becoming a member ---- */

static void on_owner(void *ctx, enum queue_ownership what, const struct err *err);

static int open_queue(struct daemon *d, struct err *err)
{
    struct queue_broker broker;
    broker_queue(&d->cli->set->broker, d->role->queue, &broker);
    broker.instance = d->folder.instance[0] ? d->folder.instance : NULL;
    broker.on_owner = on_owner;
    broker.ctx = d;
    const struct queue_conf conf = {
        .dir = d->folder.path,
        .broker = &broker,
        .loop = d->loop,
        .max_bytes = (uint64_t)d->cli->set->cli.data_max_bytes,
    };
    return queue_open(&d->queue, &conf, err);
}

/* Not before it may do all that its role needs: a member that fails at its first commit takes a
 * share that others could have worked on. Told once for each thing that lacks. */
static int begin(struct daemon *d, struct err *err)
{
    struct err why = {0};
    d->asked_ms = loop_now_ms(d->loop);
    if (daemon_access(&d->cli->set->broker, d->role->access, &why) < 0) {
        if (strcmp(d->lacks, why.msg)) {
            snprintf(d->lacks, sizeof(d->lacks), "%s", why.msg);
            say_err(d, d->role->name, &why);
        }
        tell_state(d);
        return 0;
    }
    int rc = open_queue(d, err);
    if (rc >= 0) {
        say(d, d->role->name, "waiting for its share");
        tell_state(d);
    }
    return rc;
}

static void begin_again(struct daemon *d)
{
    struct err err = {0};
    if (begin(d, &err) < 0) {
        end(d, &err);
    }
}

/* ---- what is due ---- */

/* A provider that refuses the account is asked again some time later. */
static void look_at_account(struct daemon *d)
{
    struct err err = {0};
    int64_t now = loop_now_ms(d->loop);
    if (!d->role->refused || !d->role->refused(d->ctx, &err)) {
        return;
    }
    if (!d->refused_ms) {
        d->refused_ms = now;
        say_err(d, "the jobs wait", &err);
    } else if (now - d->refused_ms >= DAEMON_ACCOUNT_MS) {
        say(d, d->role->name, "asking the provider again");
        drain(d);
    }
}

static void look_at_held(struct daemon *d)
{
    if (d->life == AT_WORK && d->role->again && d->role->again(d->ctx)) {
        say(d, d->role->name, "what was held back can go on");
        drain(d);
    }
}

/* A role stops when a commit fails; the queue then says that the share is lost. If it does not,
 * the role cannot do its work here. */
static void look_at_stop(struct daemon *d)
{
    if (d->life == AT_WORK) {
        say_err(d, d->role->name, &d->why);
        drain(d);
        close_role(d);
    } else if (loop_now_ms(d->loop) - d->stopped_ms >= STOPPED_MS) {
        end(d, &d->why);
    }
}

static void on_tick(void *ctx)
{
    struct daemon *d = CAST_CTX(daemon, ctx, DAEMON_MAGIC);
    int64_t now = loop_now_ms(d->loop);
    if (!d->queue && !d->leave && now - d->asked_ms >= ACCESS_AGAIN_MS) {
        begin_again(d);
    }
    if (d->stopped && !d->leave) {
        look_at_stop(d);
    } else if (d->life == AT_WORK) {
        look_at_account(d);
        look_at_held(d);
    }
    if (d->life == DRAINING &&
        (d->stopped || now >= d->deadline_ms || d->role->drained(d->ctx))) {
        close_role(d);
    }
    alive(d);
    if (!d->over) {
        loop_timer_start(d->tick, TICK_MS);
    }
}

/* ---- what is said to it ---- */

/* Started again it would only throw the other one out in its turn. */
static void end_fenced(struct daemon *d, const struct err *err)
{
    struct err why = *err;
    why.code = ERR_USAGE;
    err_hint(&why,
             "give every %s a name and a --state folder of its own: "
             "--set kafka.instance=NAME",
             d->role->name);
    end(d, &why);
}

static void on_owner(void *ctx, enum queue_ownership what, const struct err *err)
{
    struct daemon *d = CAST_CTX(daemon, ctx, DAEMON_MAGIC);
    d->share = what == QUEUE_NOT_YET ? d->share : what == QUEUE_READY;
    d->cut_off = what == QUEUE_NOT_YET && err;
    if (err) {
        say_err(d, d->role->name, err);
    }
    switch (what) {
    case QUEUE_READY:
        if (d->life == STANDBY && !d->leave) {
            open_role(d);
        }
        return;
    case QUEUE_LOST:
        d->lost = true;
        if (d->life == STANDBY) {
            d->lost = d->stopped = false;
            queue_release_ownership(d->queue);
        } else {
            drain(d);
        }
        return;
    case QUEUE_FENCED: end_fenced(d, err); return;
    case QUEUE_NOT_YET: tell_state(d); return;
    }
}

static void on_signal(void *ctx, int signo)
{
    struct daemon *d = CAST_CTX(daemon, ctx, DAEMON_MAGIC);
    if (signo == SIGHUP) {
        d->reload = true;
    } else if (d->leave) {
        end(d, NULL); /* asked twice */
        return;
    } else {
        d->leave = true;
        tell_state(d);
    }
    if (d->life != STANDBY) {
        drain(d);
    } else if (d->leave) {
        end(d, NULL);
    } else {
        reload(d);
    }
}

/* ---- life ---- */

static int listen_for_probes(struct daemon *d, struct err *err)
{
    const char *listen = d->cli->set->cli.health_listen;
    char text[80];
    if (!listen || !listen[0]) {
        return 0;
    }
    int rc = probe_open(&d->probe, listen, d->role->name, err);
    if (rc >= 0) {
        snprintf(text, sizeof(text), "/healthz and /readyz at port %u",
                 probe_port(d->probe));
        say(d, d->role->name, text);
    }
    return rc;
}

static int start(struct daemon *d, struct err *err)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    int rc = loop_create(&d->loop, clock_real(), err);
    if (rc >= 0 && loop_timer_create(d->loop, on_tick, d, &d->tick) < 0) {
        rc = err_set(err, ERR_FAIL, "could not start: no memory");
    }
    for (size_t i = 0; rc >= 0 && i < ARRAY_LEN(signals); i++) {
        rc = loop_on_signal(d->loop, signals[i], on_signal, d, err);
    }
    if (rc >= 0) {
        rc = listen_for_probes(d, err);
    }
    return rc < 0 ? rc : begin(d, err);
}

static void fini(struct daemon *d)
{
    if (d->life != STANDBY) {
        d->role->close(d->ctx);
    }
    queue_close(d->queue);
    probe_close(d->probe);
    loop_timer_destroy(d->tick);
    if (d->loop) {
        loop_destroy(d->loop);
    }
    endpoint_close(&d->endpoint);
    daemon_folder_close(&d->folder);
    d->own = daemon_reload_forget(d->own);
}

static int check_broker(const struct cli *c, const struct daemon_role *role,
                        struct err *err)
{
    if (broker_is_set(&c->set->broker)) {
        return 0;
    }
    err_set(err, ERR_USAGE, "could not start a %s: no brokers are named", role->name);
    err_hint(err,
             "offpeak %s --brokers HOST:PORT; on one machine 'offpeak run' needs none",
             role->name);
    return -ERR_USAGE;
}

int daemon_run(struct cli *c, const struct daemon_role *role, void *ctx, struct err *err)
{
    const struct endpoint_need any = {.key = ENDPOINT_KEY_IF_ANY};
    struct daemon d = {.magic = DAEMON_MAGIC,
                       .cli = c,
                       .role = role,
                       .ctx = ctx,
                       .folder = {.lock_fd = -1},
                       .notify = notify_from(c->env.notify_socket, c->env.watchdog_usec),
                       .err = err};
    progress_init(&d.progress, c->opt->quiet, true);
    int rc = check_broker(c, role, err);
    if (rc >= 0) {
        rc = endpoint_open(&d.endpoint, c, &any, err);
    }
    if (rc >= 0) {
        rc = daemon_folder_open(&d.folder, c, role->name, err);
    }
    if (rc >= 0) {
        rc = start(&d, err);
    }
    if (rc >= 0) {
        loop_timer_start(d.tick, TICK_MS);
        loop_run(d.loop);
        rc = err->msg[0] ? -(int)err->code : 0;
    }
    fini(&d);
    return rc;
}
