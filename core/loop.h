/*
 * loop.h - one event loop per process (libuv), and everything that wakes it.
 *
 * Life cycle: loop_create, objects are made on it, loop_run until loop_stop, objects are
 * destroyed, loop_destroy (which runs the closing callbacks that libuv still owes).
 * Everything runs on the loop's thread except `work` functions (thread pool) and loop_wake.
 *
 * Time: loop_now_* are read once per turn. With a simulated clock the loop never sleeps: when
 * no work is in flight (loop_hold count is zero) it moves the clock to the next timer.
 *
 * What is waited for: started timers, work, holds, and (in real time) file descriptors. Wakes
 * and signals do not keep loop_run going by themselves.
 *
 * Callbacks are called exactly once per event, never from inside the call that asked for them.
 */
#ifndef OFFPEAK_CORE_LOOP_H
#define OFFPEAK_CORE_LOOP_H

#include "core/clock.h"
#include "core/err.h"
#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_timer;
struct loop_wake;

typedef void (*loop_fn)(void *ctx);
typedef void (*loop_signal_fn)(void *ctx, int signo);

int loop_create(struct loop **ret, struct clock clock, struct err *err);
struct loop *loop_destroy(struct loop *l);
void loop_run(
    struct loop *l); /* returns after loop_stop, or when nothing is left to wait for */
void loop_stop(struct loop *l);             /* from any callback of this loop */
int64_t loop_now_ms(const struct loop *l);  /* monotonic, of this turn */
int64_t loop_wall_ms(const struct loop *l); /* wall, of this turn */
bool loop_simulated(const struct loop *l);  /* no other process lives in its time */

/* A timer fires once per start; starting it again moves it. Destroy from anywhere on the loop. */
int loop_timer_create(struct loop *l, loop_fn cb, void *ctx, struct loop_timer **ret);
void loop_timer_start(struct loop_timer *t, int64_t after_ms);
void loop_timer_stop(struct loop_timer *t);
struct loop_timer *loop_timer_destroy(struct loop_timer *t);

/* Runs `work` on the thread pool, then `done` on the loop. ctx belongs to the work until done.
 * At most LOOP_WORK_MAX are in flight; more wait in order, LOOP_WORK_WAITING_MAX at most.
 * loop_destroy waits for all of it. */
#define LOOP_WORK_MAX         8
#define LOOP_WORK_WAITING_MAX 1024
int loop_work(struct loop *l, loop_fn work, loop_fn done, void *ctx, struct err *err);

/* A wake may be sent from any thread; several sends may arrive as one call. */
int loop_wake_create(struct loop *l, loop_fn cb, void *ctx, struct loop_wake **ret);
void loop_wake_send(struct loop_wake *w);
struct loop_wake *loop_wake_destroy(struct loop_wake *w);

/* Readable file descriptor (the wake-up socket of a data folder). One callback per readiness. */
struct loop_fd;
int loop_fd_create(struct loop *l, int fd, loop_fn cb, void *ctx, struct loop_fd **ret);
struct loop_fd *loop_fd_destroy(struct loop_fd *f);

int loop_on_signal(struct loop *l, int signo, loop_signal_fn cb, void *ctx,
                   struct err *err);

/* Tells a simulated clock that something real (a commit, a request) is under way. */
void loop_hold(struct loop *l);
void loop_unhold(struct loop *l);

/* For core/http.c only: the underlying uv_loop_t. */
void *loop_uv(struct loop *l);

#endif
