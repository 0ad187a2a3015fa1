/* The event loop, in real and in simulated time. */
#include "core/loop.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NIGHT INT64_C(1795227247311)

struct world {
    struct loop *loop;
    struct loop_timer *a, *b;
    struct loop_wake *wake;
    struct loop_fd *fd;
    int pipe[2];
    char story[200]; /* what happened, in order */
    int64_t at_ms;
    int count;
    pthread_t thread;
    int max_running, running;
    pthread_mutex_t lock;
};

static void note(struct world *w, const char *what)
{
    size_t n = strlen(w->story);
    snprintf(w->story + n, sizeof(w->story) - n, "%s ", what);
}

static void set_up(struct world *w, struct clock clock)
{
    struct err err;
    memset(w, 0, sizeof(*w));
    pthread_mutex_init(&w->lock, NULL);
    assert_int_equal(loop_create(&w->loop, clock, &err), 0);
}

static void tear_down(struct world *w)
{
    w->a = loop_timer_destroy(w->a);
    w->b = loop_timer_destroy(w->b);
    w->wake = loop_wake_destroy(w->wake);
    w->fd = loop_fd_destroy(w->fd);
    w->loop = loop_destroy(w->loop);
    assert_null(w->loop);
}

static void on_a(void *ctx)
{
    struct world *w = ctx;
    note(w, "a");
    w->at_ms = loop_now_ms(w->loop);
}

static void on_b(void *ctx)
{
    note(ctx, "b");
}

static void a_month_of_simulated_time_passes_at_once(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, clock_simulated(NIGHT));
    loop_timer_create(w.loop, on_a, &w, &w.a);
    loop_timer_create(w.loop, on_b, &w, &w.b);
    loop_timer_start(w.a, INT64_C(30) * 86400000);
    loop_timer_start(w.b, 1000);
    loop_run(w.loop);
    assert_string_equal(w.story, "b a ");
    assert_true(loop_simulated(w.loop));
    assert_int_equal(loop_now_ms(w.loop), INT64_C(30) * 86400000);
    assert_int_equal(loop_wall_ms(w.loop), NIGHT + INT64_C(30) * 86400000);
    tear_down(&w);
}

static void timers_of_one_instant_fire_in_the_order_they_were_started(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, clock_simulated(NIGHT));
    loop_timer_create(w.loop, on_a, &w, &w.a);
    loop_timer_create(w.loop, on_b, &w, &w.b);
    loop_timer_start(w.a, 5);
    loop_timer_start(w.b, 5);
    loop_timer_start(w.a, 5); /* moved behind b */
    loop_run(w.loop);
    assert_string_equal(w.story, "b a ");
    tear_down(&w);
}

static void a_timer_that_was_stopped_or_destroyed_stays_silent(void **state)
{
    struct clock clocks[] = {clock_simulated(NIGHT), clock_real()};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(clocks); i++) {
        struct world w;
        set_up(&w, clocks[i]);
        loop_timer_create(w.loop, on_a, &w, &w.a);
        loop_timer_create(w.loop, on_b, &w, &w.b);
        loop_timer_start(w.a, 1);
        loop_timer_start(w.b, 1);
        loop_timer_stop(w.a);
        loop_timer_stop(w.a);
        w.b = loop_timer_destroy(w.b);
        loop_run(w.loop);
        assert_string_equal(w.story, "");
        tear_down(&w);
    }
}

static void on_restart(void *ctx)
{
    struct world *w = ctx;
    if (++w->count < 1000) {
        loop_timer_start(w->a, 0);
    } else {
        w->a = loop_timer_destroy(w->a); /* from its own callback */
    }
}

static void a_timer_may_start_and_destroy_itself(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, clock_simulated(NIGHT));
    loop_timer_create(w.loop, on_restart, &w, &w.a);
    loop_timer_start(w.a, -5);
    loop_run(w.loop);
    assert_int_equal(w.count, 1000);
    assert_int_equal(loop_now_ms(w.loop), 0);
    tear_down(&w);
}

static void real_timers_wait(void **state)
{
    struct world w;
    struct clock real = clock_real();
    (void)state;
    set_up(&w, real);
    loop_timer_create(w.loop, on_a, &w, &w.a);
    int64_t before = clock_mono_ms(&real);
    loop_timer_start(w.a, 20);
    loop_run(w.loop);
    assert_string_equal(w.story, "a ");
    assert_true(w.at_ms >= before + 20 - 1);
    assert_true(clock_wall_ms(&real) - loop_wall_ms(w.loop) < 10000);
    assert_false(loop_simulated(w.loop));
    tear_down(&w);
}

static void on_stop(void *ctx)
{
    struct world *w = ctx;
    note(w, "stop");
    loop_stop(w->loop);
}

static void a_stopped_loop_can_run_again(void **state)
{
    struct clock clocks[] = {clock_simulated(NIGHT), clock_real()};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(clocks); i++) {
        struct world w;
        set_up(&w, clocks[i]);
        loop_timer_create(w.loop, on_stop, &w, &w.a);
        loop_timer_create(w.loop, on_b, &w, &w.b);
        loop_timer_start(w.a, 1);
        loop_timer_start(w.b, 60000); /* later than any machine is busy */
        loop_run(w.loop);
        assert_string_equal(w.story, "stop ");
        if (!clocks[i].simulated) {
            loop_timer_start(w.b, 1);
        }
        loop_run(w.loop);
        assert_string_equal(w.story, "stop b ");
        tear_down(&w);
    }
}

static void on_pool(void *ctx)
{
    struct world *w = ctx;
    pthread_mutex_lock(&w->lock);
    w->running++;
    w->max_running = MAX_OF(w->max_running, w->running);
    pthread_mutex_unlock(&w->lock);
    usleep(500);
    pthread_mutex_lock(&w->lock);
    w->running--;
    pthread_mutex_unlock(&w->lock);
}

static void on_pool_done(void *ctx)
{
    struct world *w = ctx;
    w->count++;
}

static void work_is_bounded_and_all_of_it_comes_back(void **state)
{
    struct clock clocks[] = {clock_simulated(NIGHT), clock_real()};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(clocks); i++) {
        struct world w;
        struct err err;
        set_up(&w, clocks[i]);
        for (int k = 0; k < LOOP_WORK_MAX + LOOP_WORK_WAITING_MAX; k++) {
            assert_int_equal(loop_work(w.loop, on_pool, on_pool_done, &w, &err), 0);
        }
        assert_int_equal(loop_work(w.loop, on_pool, on_pool_done, &w, &err), -ERR_TEMP);
        assert_int_equal(w.count, 0);
        loop_run(w.loop);
        assert_int_equal(w.count, LOOP_WORK_MAX + LOOP_WORK_WAITING_MAX);
        assert_true(w.max_running <= LOOP_WORK_MAX);
        tear_down(&w);
    }
}

static void simulated_time_stands_while_work_is_under_way(void **state)
{
    struct world w;
    struct err err;
    (void)state;
    set_up(&w, clock_simulated(NIGHT));
    loop_timer_create(w.loop, on_a, &w, &w.a);
    loop_timer_start(w.a, 1);
    loop_work(w.loop, on_pool, on_b, &w, &err);
    loop_run(w.loop);
    assert_string_equal(w.story, "b a ");
    tear_down(&w);
}

static void work_that_is_under_way_is_awaited_by_destroy(void **state)
{
    struct world w;
    struct err err;
    (void)state;
    set_up(&w, clock_real());
    for (int k = 0; k < 3 * LOOP_WORK_MAX; k++) {
        loop_work(w.loop, on_pool, on_pool_done, &w, &err);
    }
    tear_down(&w);
    assert_int_equal(w.count, 3 * LOOP_WORK_MAX);
}

static void on_held_wake(void *ctx)
{
    note(ctx, "wake");
    loop_unhold(((struct world *)ctx)->loop);
}

static void *send_wake(void *ctx)
{
    struct world *w = ctx;
    usleep(10000);
    loop_wake_send(w->wake);
    return NULL;
}

static void a_wake_from_another_thread_ends_a_hold(void **state)
{
    struct clock clocks[] = {clock_simulated(NIGHT), clock_real()};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(clocks); i++) {
        struct world w;
        set_up(&w, clocks[i]);
        assert_int_equal(loop_wake_create(w.loop, on_held_wake, &w, &w.wake), 0);
        loop_timer_create(w.loop, on_a, &w, &w.a);
        if (clocks[i].simulated) {
            loop_timer_start(w.a, 1); /* must wait for the held thing */
        }
        loop_hold(w.loop);
        pthread_create(&w.thread, NULL, send_wake, &w);
        loop_run(w.loop);
        pthread_join(w.thread, NULL);
        assert_string_equal(w.story, clocks[i].simulated ? "wake a " : "wake ");
        tear_down(&w);
    }
}

static void wakes_and_signals_alone_keep_nothing_running(void **state)
{
    struct clock clocks[] = {clock_simulated(NIGHT), clock_real()};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(clocks); i++) {
        struct world w;
        struct err err;
        set_up(&w, clocks[i]);
        loop_wake_create(w.loop, on_b, &w, &w.wake);
        assert_int_equal(loop_on_signal(w.loop, SIGUSR1, NULL, NULL, &err), 0);
        loop_run(w.loop); /* returns */
        assert_string_equal(w.story, "");
        tear_down(&w);
    }
}

static void on_pipe(void *ctx)
{
    struct world *w = ctx;
    char c;
    assert_int_equal(read(w->pipe[0], &c, 1), 1);
    note(w, "pipe");
    w->fd = loop_fd_destroy(w->fd);
}

static void a_readable_descriptor_calls(void **state)
{
    struct clock clocks[] = {clock_simulated(NIGHT), clock_real()};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(clocks); i++) {
        struct world w;
        set_up(&w, clocks[i]);
        assert_int_equal(pipe(w.pipe), 0);
        assert_int_equal(loop_fd_create(w.loop, w.pipe[0], on_pipe, &w, &w.fd), 0);
        assert_int_equal(write(w.pipe[1], "x", 1), 1);
        loop_run(w.loop);
        assert_string_equal(w.story, "pipe ");
        close(w.pipe[0]);
        close(w.pipe[1]);
        tear_down(&w);
    }
}

static void a_closed_descriptor_cannot_be_watched(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, clock_real());
    assert_true(loop_fd_create(w.loop, -1, on_pipe, &w, &w.fd) < 0);
    tear_down(&w);
}

static void on_usr1(void *ctx, int signo)
{
    struct world *w = ctx;
    assert_int_equal(signo, SIGUSR1);
    note(w, "signal");
    loop_stop(w->loop);
}

static void on_raise(void *ctx)
{
    struct world *w = ctx;
    kill(getpid(), SIGUSR1);
    loop_timer_start(w->b, 10000);
}

static void a_signal_calls_on_the_loop(void **state)
{
    struct world w;
    struct err err;
    (void)state;
    set_up(&w, clock_real());
    assert_int_equal(loop_on_signal(w.loop, SIGUSR1, on_usr1, &w, &err), 0);
    loop_timer_create(w.loop, on_raise, &w, &w.a);
    loop_timer_create(w.loop, on_b, &w, &w.b);
    loop_timer_start(w.a, 1);
    loop_run(w.loop);
    assert_string_equal(w.story, "signal ");
    tear_down(&w);
}

static void nonsense_signals_are_refused(void **state)
{
    struct world w;
    struct err err;
    (void)state;
    set_up(&w, clock_real());
    assert_int_equal(loop_on_signal(w.loop, 9999, on_usr1, &w, &err), -ERR_FAIL);
    tear_down(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_month_of_simulated_time_passes_at_once),
        cmocka_unit_test(timers_of_one_instant_fire_in_the_order_they_were_started),
        cmocka_unit_test(a_timer_that_was_stopped_or_destroyed_stays_silent),
        cmocka_unit_test(a_timer_may_start_and_destroy_itself),
        cmocka_unit_test(real_timers_wait),
        cmocka_unit_test(a_stopped_loop_can_run_again),
        cmocka_unit_test(work_is_bounded_and_all_of_it_comes_back),
        cmocka_unit_test(simulated_time_stands_while_work_is_under_way),
        cmocka_unit_test(work_that_is_under_way_is_awaited_by_destroy),
        cmocka_unit_test(a_wake_from_another_thread_ends_a_hold),
        cmocka_unit_test(wakes_and_signals_alone_keep_nothing_running),
        cmocka_unit_test(a_readable_descriptor_calls),
        cmocka_unit_test(a_closed_descriptor_cannot_be_watched),
        cmocka_unit_test(a_signal_calls_on_the_loop),
        cmocka_unit_test(nonsense_signals_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
