#include "core/loop.h"

#include <stdlib.h>
#include <uv.h>

#define LOOP_SIGNALS_MAX 8

struct loop_work_item {
    uv_work_t req;
    struct loop *loop;
    loop_fn work, done;
    void *ctx;
    struct loop_work_item *next;
};

struct loop_signal {
    uv_signal_t handle;
    struct loop *loop;
    loop_signal_fn cb;
    void *ctx;
};

/* What loop_now_ms and loop_wall_ms answer until libuv's own time moves. */
struct reading {
    uint64_t seen;
    int64_t wall_ms;
};

struct loop {
    uv_loop_t uv;
    struct clock clock;
    struct reading *reading;
    bool stopping;
    uint64_t
        events; /* callbacks run: how a simulated turn knows whether anything happened */
    int holds;
    uv_async_t *keeper; /* keeps libuv running while holds > 0 */
    struct loop_signal *signals[LOOP_SIGNALS_MAX];
    int signal_count;
    int objects; /* timers, wakes and fds not yet destroyed */

    struct loop_timer *timers; /* simulated time only: those that are started */
    uint64_t timer_starts;

    int work_running, work_waiting;
    struct loop_work_item *work_first, *work_last;
};

/* ---- life ---- */

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* Every handle's memory is freed in its close callback; `owner` is the block it stands in. */
static void close_handle(uv_handle_t *handle, void *owner)
{
    handle->data = owner;
    uv_close(handle, on_closed);
}

static void on_keeper(uv_async_t *handle)
{
    (void)handle;
}

static int create_keeper(struct loop *l)
{
    l->keeper = calloc(1, sizeof(*l->keeper));
    if (!l->keeper) {
        return UV_ENOMEM;
    }
    int rc = uv_async_init(&l->uv, l->keeper, on_keeper);
    if (rc < 0) {
        free(TAKE_PTR(l->keeper));
        return rc;
    }
    uv_unref((uv_handle_t *)l->keeper);
    return 0;
}

int loop_create(struct loop **ret, struct clock clock, struct err *err)
{
    struct loop *l = calloc(1, sizeof(*l));
    struct reading *reading = calloc(1, sizeof(*reading));
    int rc = l && reading ? uv_loop_init(&l->uv) : UV_ENOMEM;
    if (rc < 0) {
        free(l);
        free(reading);
        return err_set(err, ERR_FAIL, "could not create the event loop: %s",
                       uv_strerror(rc));
    }
    l->clock = clock;
    l->reading = reading;
    rc = create_keeper(l);
    if (rc < 0) {
        loop_destroy(l);
        return err_set(err, ERR_FAIL, "could not create the event loop: %s",
                       uv_strerror(rc));
    }
    *ret = l;
    return 0;
}

struct loop *loop_destroy(struct loop *l)
{
    if (!l) {
        return NULL;
    }
    while (l->work_running > 0) {
        uv_run(&l->uv, UV_RUN_ONCE);
    }
    assert(l->objects == 0);
    for (int i = 0; i < l->signal_count; i++) {
        close_handle((uv_handle_t *)&l->signals[i]->handle, l->signals[i]);
    }
    if (l->keeper) {
        close_handle((uv_handle_t *)l->keeper, l->keeper);
    }
    while (uv_run(&l->uv, UV_RUN_DEFAULT) != 0) {
    }
    int rc = uv_loop_close(&l->uv);
    assert(rc == 0); /* a handle that nobody closed */
    (void)rc;
    free(l->reading);
    free(l);
    return NULL;
}

void *loop_uv(struct loop *l)
{
    return &l->uv;
}

void loop_hold(struct loop *l)
{
    if (l->holds++ == 0) {
        uv_ref((uv_handle_t *)l->keeper);
    }
}

void loop_unhold(struct loop *l)
{
    assert(l->holds > 0);
    l->events++;
    if (--l->holds == 0) {
        uv_unref((uv_handle_t *)l->keeper);
    }
}

/* ---- time ---- */

int64_t loop_now_ms(const struct loop *l)
{
    return l->clock.simulated ? l->clock.sim_mono_ms : (int64_t)uv_now(&l->uv);
}

int64_t loop_wall_ms(const struct loop *l)
{
    struct reading *r = l->reading;
    if (l->clock.simulated) {
        return l->clock.sim_wall_ms;
    }
    if (r->seen != uv_now(&l->uv)) {
        *r = (struct reading){uv_now(&l->uv), clock_wall_ms(&l->clock)};
    }
    return r->wall_ms;
}

bool loop_simulated(const struct loop *l)
{
    return l->clock.simulated;
}

/* ---- timers ---- */

struct loop_timer {
    uv_timer_t handle; /* real time */
    struct loop *loop;
    loop_fn cb;
    void *ctx;
    bool started; /* this and what follows: simulated time */
    int64_t due_ms;
    uint64_t order;
    struct loop_timer *next;
};

static void on_timer(uv_timer_t *handle)
{
    struct loop_timer *t = handle->data;
    t->loop->events++;
    t->cb(t->ctx);
}

int loop_timer_create(struct loop *l, loop_fn cb, void *ctx, struct loop_timer **ret)
{
    struct loop_timer *t = calloc(1, sizeof(*t));
    if (!t) {
        return -(int)ERR_FAIL;
    }
    t->loop = l;
    t->cb = cb;
    t->ctx = ctx;
    if (!l->clock.simulated) {
        uv_timer_init(&l->uv, &t->handle);
        t->handle.data = t;
    }
    l->objects++;
    *ret = t;
    return 0;
}

void loop_timer_start(struct loop_timer *t, int64_t after_ms)
{
    struct loop *l = t->loop;
    after_ms = MAX_OF(after_ms, 0);
    if (!l->clock.simulated) {
        /* 1 ms at least: libuv 1.44 would run a timer of 0 again within the same turn */
        uv_timer_start(&t->handle, on_timer, (uint64_t)MAX_OF(after_ms, 1), 0);
        return;
    }
    loop_timer_stop(t);
    t->started = true;
    t->due_ms = loop_now_ms(l) + after_ms;
    t->order = l->timer_starts++;
    t->next = l->timers;
    l->timers = t;
}

void loop_timer_stop(struct loop_timer *t)
{
    if (!t->loop->clock.simulated) {
        uv_timer_stop(&t->handle);
        return;
    }
    if (t->started) {
        struct loop_timer **at = &t->loop->timers;
        while (*at != t) {
            at = &(*at)->next;
        }
        *at = t->next;
        t->started = false;
    }
}

struct loop_timer *loop_timer_destroy(struct loop_timer *t)
{
    if (!t) {
        return NULL;
    }
    loop_timer_stop(t);
    t->loop->objects--;
    if (t->loop->clock.simulated) {
        free(t);
    } else {
        close_handle((uv_handle_t *)&t->handle, t);
    }
    return NULL;
}

/* The started timer that comes first; equal times in the order they were started. */
static struct loop_timer *first_timer(const struct loop *l)
{
    struct loop_timer *best = l->timers;
    for (struct loop_timer *t = l->timers; t; t = t->next) {
        if (t->due_ms < best->due_ms ||
            (t->due_ms == best->due_ms && t->order < best->order)) {
            best = t;
        }
    }
    return best;
}

/* Runs what is due, but not what these callbacks start: that is for the next turn. */
static bool run_due_timers(struct loop *l)
{
    uint64_t turn = l->timer_starts;
    bool ran = false;
    for (;;) {
        struct loop_timer *t = first_timer(l);
        if (!t || l->stopping || t->due_ms > loop_now_ms(l) || t->order >= turn) {
            return ran;
        }
        loop_timer_stop(t);
        ran = true;
        t->cb(t->ctx);
    }
}

/* ---- running ---- */

static void run_simulated(struct loop *l)
{
    while (!l->stopping) {
        uint64_t before = l->events;
        uv_run(&l->uv, UV_RUN_NOWAIT);
        if (l->events != before) {
            continue;
        }
        if (run_due_timers(l)) {
            continue;
        }
        if (l->holds > 0) {
            uv_run(&l->uv, UV_RUN_ONCE);
            continue;
        }
        struct loop_timer *t = first_timer(l);
        if (!t) {
            return;
        }
        clock_advance(&l->clock, t->due_ms - loop_now_ms(l));
    }
}

void loop_run(struct loop *l)
{
    if (l->clock.simulated) {
        run_simulated(l);
    } else {
        uv_update_time(&l->uv);
        uv_run(&l->uv, UV_RUN_DEFAULT);
    }
    l->stopping = false;
}

void loop_stop(struct loop *l)
{
    l->stopping = true;
    uv_stop(&l->uv);
}

/* ---- work ---- */

static void start_work(struct loop *l, struct loop_work_item *w);

static void on_work(uv_work_t *req)
{
    struct loop_work_item *w = req->data;
    w->work(w->ctx);
}

static void on_work_done(uv_work_t *req, int status)
{
    struct loop_work_item *w = req->data;
    struct loop *l = w->loop;
    (void)status; /* nobody cancels */
    l->work_running--;
    l->events++;
    struct loop_work_item *waiting = l->work_first;
    if (waiting) {
        l->work_first = waiting->next;
        l->work_waiting--;
        start_work(l, waiting);
    }
    w->done(w->ctx);
    loop_unhold(l);
    free(w);
}

static void start_work(struct loop *l, struct loop_work_item *w)
{
    l->work_running++;
    uv_queue_work(&l->uv, &w->req, on_work,
                  on_work_done); /* fails only without a callback */
}

int loop_work(struct loop *l, loop_fn work, loop_fn done, void *ctx, struct err *err)
{
    if (l->work_waiting >= LOOP_WORK_WAITING_MAX) {
        return err_set(err, ERR_TEMP,
                       "could not start work: %d pieces are waiting already",
                       l->work_waiting);
    }
    struct loop_work_item *w = calloc(1, sizeof(*w));
    if (!w) {
        return err_set(err, ERR_FAIL, "could not start work: out of memory");
    }
    *w = (struct loop_work_item){.loop = l, .work = work, .done = done, .ctx = ctx};
    w->req.data = w;
    loop_hold(l);
    if (l->work_running < LOOP_WORK_MAX) {
        start_work(l, w);
        return 0;
    }
    if (l->work_first) {
        l->work_last->next = w;
    } else {
        l->work_first = w;
    }
    l->work_last = w;
    l->work_waiting++;
    return 0;
}

/* ---- wakes ---- */

struct loop_wake {
    uv_async_t handle;
    struct loop *loop;
    loop_fn cb;
    void *ctx;
};

static void on_wake(uv_async_t *handle)
{
    struct loop_wake *w = handle->data;
    w->loop->events++;
    w->cb(w->ctx);
}

int loop_wake_create(struct loop *l, loop_fn cb, void *ctx, struct loop_wake **ret)
{
    struct loop_wake *w = calloc(1, sizeof(*w));
    if (!w) {
        return -(int)ERR_FAIL;
    }
    w->loop = l;
    w->cb = cb;
    w->ctx = ctx;
    if (uv_async_init(&l->uv, &w->handle, on_wake) < 0) {
        free(w);
        return -(int)ERR_FAIL;
    }
    w->handle.data = w;
    uv_unref((uv_handle_t *)&w->handle);
    l->objects++;
    *ret = w;
    return 0;
}

void loop_wake_send(struct loop_wake *w)
{
    uv_async_send(&w->handle);
}

struct loop_wake *loop_wake_destroy(struct loop_wake *w)
{
    if (w) {
        w->loop->objects--;
        close_handle((uv_handle_t *)&w->handle, w);
    }
    return NULL;
}

/* ---- file descriptors ---- */

struct loop_fd {
    uv_poll_t handle;
    struct loop *loop;
    loop_fn cb;
    void *ctx;
};

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct loop_fd *f = handle->data;
    (void)status; /* the reader finds the error when it reads */
    (void)events;
    f->loop->events++;
    f->cb(f->ctx);
}

int loop_fd_create(struct loop *l, int fd, loop_fn cb, void *ctx, struct loop_fd **ret)
{
    struct loop_fd *f = calloc(1, sizeof(*f));
    if (!f) {
        return -(int)ERR_FAIL;
    }
    f->loop = l;
    f->cb = cb;
    f->ctx = ctx;
    if (uv_poll_init(&l->uv, &f->handle, fd) < 0) {
        free(f);
        return -(int)ERR_FAIL;
    }
    f->handle.data = f;
    l->objects++;
    if (uv_poll_start(&f->handle, UV_READABLE, on_readable) < 0) {
        loop_fd_destroy(f);
        return -(int)ERR_FAIL;
    }
    *ret = f;
    return 0;
}

struct loop_fd *loop_fd_destroy(struct loop_fd *f)
{
    if (f) {
        f->loop->objects--;
        uv_poll_stop(&f->handle);
        close_handle((uv_handle_t *)&f->handle, f);
    }
    return NULL;
}

/* ---- signals ---- */

static void on_signal(uv_signal_t *handle, int signo)
{
    struct loop_signal *s = handle->data;
    s->loop->events++;
    s->cb(s->ctx, signo);
}

int loop_on_signal(struct loop *l, int signo, loop_signal_fn cb, void *ctx,
                   struct err *err)
{
    struct loop_signal *s = NULL;
    int rc = l->signal_count < LOOP_SIGNALS_MAX ? 0 : UV_ENOSPC;
    if (rc == 0) {
        s = calloc(1, sizeof(*s));
        rc = s ? uv_signal_init(&l->uv, &s->handle) : UV_ENOMEM;
    }
    if (rc == 0) {
        s->loop = l;
        s->cb = cb;
        s->ctx = ctx;
        s->handle.data = s;
        l->signals[l->signal_count++] = s;
        uv_unref((uv_handle_t *)&s->handle);
        rc = uv_signal_start(&s->handle, on_signal, signo);
    } else {
        free(s);
    }
    if (rc < 0) {
        return err_set(err, ERR_FAIL, "could not watch for signal %d: %s", signo,
                       uv_strerror(rc));
    }
    return 0;
}
