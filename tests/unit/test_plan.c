/* Which calls go into one batch, in what order, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/loop.h"
#include "worker/plan.h"
#include <stdio.h>
#include <stdlib.h>

enum { CALLS_MAX = 600 };

struct world {
    struct loop *loop;
    struct call_table *calls;
    struct plan *plan;
    struct {
        uint64_t at[CALLS_MAX]; /* leaders, in order */
        uint32_t n;
        int64_t after_ms;
        const char *model;
    } batches[16];
    int batches_n;
    bool is_closed; /* nobody takes a batch */
    int failures;
    struct call *again; /* replanned while a batch is being sealed */
    int64_t start_ms;
};

static int on_submit(void *ctx, struct call **calls, uint32_t n, struct err *err)
{
    struct world *w = ctx;
    if (w->is_closed) {
        return err_set(err, ERR_FAIL, "the lane is closed");
    }
    assert_in_range(w->batches_n, 0, 15);
    int i = w->batches_n++;
    w->batches[i].n = n;
    w->batches[i].after_ms = loop_now_ms(w->loop) - w->start_ms;
    w->batches[i].model = call_stream_model(w->calls, calls[0]->stream);
    for (uint32_t k = 0; k < n; k++) {
        w->batches[i].at[k] = calls[k]->jobs->at;
    }
    if (w->again) {
        struct call *c = TAKE_PTR(w->again);
        assert_int_equal(plan_add(w->plan, c, err), 0);
    }
    return 0;
}

static void on_failed(void *ctx, const struct err *err)
{
    struct world *w = ctx;
    assert_string_equal(err->msg, "the lane is closed");
    w->failures++;
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    assert_int_equal(loop_create(&w->loop, clock_simulated(0), NULL), 0);
    assert_int_equal(call_table_create(&w->calls, NULL), 0);
    w->start_ms = loop_now_ms(w->loop);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    plan_destroy(w->plan);
    call_table_destroy(w->calls);
    loop_destroy(w->loop);
    free(w);
    return 0;
}

static void given_limits(struct world *w, uint64_t requests, uint64_t bytes,
                         uint64_t tokens)
{
    const struct plan_conf conf = {
        .loop = w->loop,
        .limits = {.requests = requests, .bytes = bytes, .tokens = tokens},
        .linger_ms = 30000,
        .submit = on_submit,
        .on_failed = on_failed,
        .ctx = w,
    };
    assert_int_equal(plan_create(&w->plan, &conf, NULL), 0);
}

/* A call with the prefix chain `chain` ("ab" is a, then b), 100 bytes and 10 tokens. */
static struct call *call_of(struct world *w, const char *model, const char *chain,
                            uint64_t at)
{
    struct release r = {.body_len = 100, .input_bound = 10};
    (void)snprintf(r.model, sizeof(r.model), "%s", model);
    for (; chain[r.chain_len]; r.chain_len++) {
        r.chain[r.chain_len].hash = (uint64_t)chain[r.chain_len];
    }
    struct call *c = call_new(w->calls, &r, at);
    assert_non_null(c);
    return c;
}

static void add(struct world *w, const char *model, const char *chain, uint64_t at)
{
    assert_int_equal(plan_add(w->plan, call_of(w, model, chain, at), NULL), 0);
}

static void on_alarm(void *ctx)
{
    loop_stop(ctx);
}

static void pass(struct world *w, int64_t ms)
{
    struct loop_timer *alarm;
    assert_int_equal(loop_timer_create(w->loop, on_alarm, w->loop, &alarm), 0);
    loop_timer_start(alarm, ms);
    loop_run(w->loop);
    loop_timer_destroy(alarm);
}

static void assert_batch(const struct world *w, int i, uint32_t n, ...)
{
    va_list ats;
    assert_in_range(i, 0, w->batches_n - 1);
    assert_int_equal(w->batches[i].n, n);
    va_start(ats, n);
    for (uint32_t k = 0; k < n; k++) {
        assert_int_equal(w->batches[i].at[k], va_arg(ats, int));
    }
    va_end(ats);
}

/* ---- order ---- */

static void test_calls_with_one_prefix_stand_side_by_side(void **state)
{
    struct world *w = *state;
    struct call *row[] = {
        call_of(w, "m", "ba", 0), call_of(w, "m", "aa", 1), call_of(w, "m", "bb", 2),
        call_of(w, "m", "ab", 3), call_of(w, "m", "ba", 4), call_of(w, "m", "a", 5),
    };
    const uint64_t want[] = {5, 1, 3, 0, 4, 2};
    plan_sort(row, 6);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(row[i]->jobs->at, want[i]);
    }
}

static void test_calls_of_one_prefix_keep_the_order_of_their_jobs(void **state)
{
    struct world *w = *state;
    struct call *row[] = {call_of(w, "m", "a", 9), call_of(w, "m", "a", 2),
                          call_of(w, "m", "a", 5)};
    plan_sort(row, 3);
    assert_int_equal(row[0]->jobs->at, 2);
    assert_int_equal(row[1]->jobs->at, 5);
    assert_int_equal(row[2]->jobs->at, 9);
}

/* ---- cuts ---- */

static void row_of_ten(struct world *w, struct call *ret[static 10])
{
    for (uint64_t i = 0; i < 10; i++) {
        ret[i] = call_of(w, "m", "a", i);
    }
}

static void test_a_batch_ends_at_the_first_limit_it_meets(void **state)
{
    struct world *w = *state;
    const uint64_t line = 100 + PLAN_LINE_OVERHEAD;
    struct call *row[10];
    row_of_ten(w, row);
    const struct {
        struct plan_limits limits;
        uint32_t n;
    } cases[] = {
        {{.requests = 4, .bytes = 100000}, 4},
        {{.requests = 10, .bytes = 100000}, 10},
        {{.requests = 50, .bytes = 3 * line}, 3},
        {{.requests = 50, .bytes = 3 * line - 1}, 2},
        {{.requests = 50, .bytes = 100000, .tokens = 60}, 6},
        {{.requests = 50, .bytes = 100000, .tokens = 59}, 5},
        {{.requests = 50, .bytes = 100000, .tokens = 0}, 10},
        {{.requests = 4, .bytes = 3 * line, .tokens = 20}, 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(plan_cut(row, 10, &cases[i].limits), cases[i].n);
    }
    assert_int_equal(plan_cut(row, 0, &cases[0].limits), 0);
}

static void test_a_call_above_every_limit_goes_alone(void **state)
{
    struct world *w = *state;
    struct call *row[2] = {call_of(w, "m", "a", 0), call_of(w, "m", "a", 1)};
    const struct plan_limits tiny = {.requests = 5, .bytes = 10, .tokens = 1};
    assert_int_equal(plan_cut(row, 2, &tiny), 1);
    row[1]->tokens_bound = UINT64_MAX; /* a bound nobody can compute */
    const struct plan_limits tokens = {.requests = 5, .bytes = 100000, .tokens = 1000};
    assert_int_equal(plan_cut(row, 2, &tokens), 1);
    assert_int_equal(plan_cut(row + 1, 1, &tokens), 1);
}

/* ---- when ---- */

static void test_a_full_batch_goes_at_once(void **state)
{
    struct world *w = *state;
    given_limits(w, 3, 100000, 0);
    add(w, "m", "b", 0);
    add(w, "m", "a", 1);
    assert_int_equal(w->batches_n, 0);
    add(w, "m", "b", 2);
    assert_int_equal(w->batches_n, 1);
    assert_batch(w, 0, 3, 1, 0, 2);
    assert_true(plan_empty(w->plan));
}

static void test_what_is_not_full_goes_after_the_linger(void **state)
{
    struct world *w = *state;
    given_limits(w, 100, 100000, 0);
    add(w, "m", "a", 0);
    add(w, "m", "a", 1);
    assert_false(plan_empty(w->plan));
    loop_run(w->loop);
    assert_int_equal(w->batches_n, 1);
    assert_batch(w, 0, 2, 0, 1);
    assert_int_equal(w->batches[0].after_ms, 30000);
    assert_true(plan_empty(w->plan));
}

static void test_each_stream_waits_from_its_own_first_call(void **state)
{
    struct world *w = *state;
    given_limits(w, 100, 100000, 0);
    add(w, "m", "a", 0);
    pass(w, 10000);
    add(w, "n", "a", 1);
    pass(w, 10000);
    add(w, "m", "a", 2); /* rides along: it is not the first */
    pass(w, 9999);
    assert_int_equal(w->batches_n, 0);
    loop_run(w->loop);
    assert_int_equal(w->batches_n, 2);
    assert_batch(w, 0, 2, 0, 2);
    assert_int_equal(w->batches[0].after_ms, 30000);
    assert_batch(w, 1, 1, 1);
    assert_int_equal(w->batches[1].after_ms, 40000);
    add(w, "m", "a", 3); /* long after the first */
    loop_run(w->loop);
    assert_int_equal(w->batches[2].after_ms, 70000);
}

static void test_a_batch_nobody_takes_is_said_so_once(void **state)
{
    struct world *w = *state;
    given_limits(w, 100, 100000, 0);
    add(w, "m", "a", 0);
    add(w, "n", "a", 1);
    w->is_closed = true;
    loop_run(w->loop);
    assert_int_equal(w->failures, 1);
    struct err err;
    struct call *c = call_of(w, "o", "a", 2);
    c->tokens_bound = 0;
    assert_int_equal(plan_add(w->plan, c, &err), 0);
    assert_int_equal(plan_flush(w->plan, 0, &err), -ERR_FAIL);
    assert_string_equal(err.msg, "the lane is closed");
}

static void test_in_a_hurry_what_is_gathered_goes_soon(void **state)
{
    struct world *w = *state;
    given_limits(w, 100, 100000, 0);
    add(w, "m", "a", 0);
    plan_hurry(w->plan);
    add(w, "m", "a", 1);
    assert_int_equal(w->batches_n, 0);
    loop_run(w->loop);
    assert_batch(w, 0, 2, 0, 1);
    assert_int_equal(w->batches[0].after_ms, PLAN_HURRY_MS);
}

static void test_a_flush_sends_everything(void **state)
{
    struct world *w = *state;
    given_limits(w, 100, 100000, 0);
    add(w, "m", "a", 0);
    add(w, "n", "a", 1);
    assert_int_equal(plan_flush(w->plan, 0, NULL), 0);
    assert_int_equal(w->batches_n, 2);
    assert_int_equal(w->batches[0].after_ms, 0);
    assert_true(plan_empty(w->plan));
    assert_int_equal(plan_flush(w->plan, 0, NULL), 0);
    assert_int_equal(w->batches_n, 2);
}

static void test_an_embedding_counts_as_its_inputs(void **state)
{
    struct world *w = *state;
    given_limits(w, 100, 1000000, 0);
    for (uint64_t at = 0; at < 5; at++) { /* 40 inputs each: two fit, a third does not */
        struct call *c = call_of(w, "m", "a", at);
        c->requests = 40;
        assert_int_equal(plan_add(w->plan, c, NULL), 0);
    }
    loop_run(w->loop);
    assert_int_equal(w->batches_n, 3);
    assert_batch(w, 0, 2, 0, 1);
    assert_batch(w, 1, 2, 2, 3);
    assert_batch(w, 2, 1, 4);
}

static void test_models_never_share_a_batch(void **state)
{
    struct world *w = *state;
    given_limits(w, 2, 100000, 0);
    add(w, "m", "a", 0);
    add(w, "n", "a", 1);
    add(w, "m", "a", 2);
    assert_int_equal(w->batches_n, 1);
    assert_string_equal(w->batches[0].model, "m");
    assert_batch(w, 0, 2, 0, 2);
    loop_run(w->loop);
    assert_int_equal(w->batches_n, 2);
    assert_string_equal(w->batches[1].model, "n");
}

static void test_what_overflows_a_full_batch_gathers_on(void **state)
{
    struct world *w = *state;
    given_limits(w, 100, 3 * (100 + PLAN_LINE_OVERHEAD), 0);
    for (uint64_t i = 0; i < 4; i++) {
        add(w, "m", "a", i);
    }
    assert_int_equal(w->batches_n, 1);
    assert_batch(w, 0, 3, 0, 1, 2);
    add(w, "m", "a", 4);
    loop_run(w->loop);
    assert_int_equal(w->batches_n, 2);
    assert_batch(w, 1, 2, 3, 4);
}

static void test_a_huge_call_does_not_break_up_its_neighbours(void **state)
{
    struct world *w = *state;
    given_limits(w, 100, 1000, 0);
    struct call *huge = call_of(w, "m", "z", 0);
    huge->body_bytes = 5000;
    assert_int_equal(plan_add(w->plan, huge, NULL), 0);
    assert_int_equal(w->batches_n, 1); /* alone, at once */
    add(w, "m", "a", 1);
    add(w, "m", "a", 2);
    assert_int_equal(w->batches_n, 1);
    loop_run(w->loop);
    assert_batch(w, 1, 2, 1, 2);
}

static void test_of_several_pieces_each_goes_and_the_last_gathers_on(void **state)
{
    struct world *w = *state;
    given_limits(w, 100, 1000, 0);
    add(w, "m", "z", 0);
    add(w, "m", "a", 1);
    pass(w, 10000);
    struct call *huge = call_of(w, "m", "k", 2); /* between the two */
    huge->body_bytes = 5000;
    assert_int_equal(plan_add(w->plan, huge, NULL), 0);
    assert_int_equal(w->batches_n, 2);
    assert_batch(w, 0, 1, 1);
    assert_batch(w, 1, 1, 2);
    assert_false(plan_empty(w->plan));
    loop_run(w->loop);
    assert_int_equal(w->batches_n, 3);
    assert_batch(w, 2, 1, 0);
    assert_int_equal(w->batches[2].after_ms, 40000);
    assert_true(plan_empty(w->plan));
}

static void test_enough_prompt_tokens_fill_a_batch_too(void **state)
{
    struct world *w = *state;
    given_limits(w, 100, 100000, 25);
    add(w, "m", "a", 0);
    add(w, "m", "a", 1);
    assert_int_equal(w->batches_n, 0);
    add(w, "m", "a", 2);
    assert_int_equal(w->batches_n, 1);
    assert_batch(w, 0, 2, 0, 1);
    loop_run(w->loop);
    assert_batch(w, 1, 1, 2);
}

static void test_hundreds_of_calls_gather_and_none_is_lost(void **state)
{
    struct world *w = *state;
    given_limits(w, CALLS_MAX, 1000000, 0);
    for (uint64_t i = 0; i < CALLS_MAX; i++) {
        add(w, "m", i % 2 ? "a" : "b", i);
    }
    assert_int_equal(w->batches_n, 1);
    assert_int_equal(w->batches[0].n, CALLS_MAX);
    for (uint64_t i = 0; i < CALLS_MAX / 2; i++) {
        assert_int_equal(w->batches[0].at[i], 2 * i + 1);
        assert_int_equal(w->batches[0].at[CALLS_MAX / 2 + i], 2 * i);
    }
}

static void test_a_call_may_be_planned_again_while_a_batch_is_sealed(void **state)
{
    struct world *w = *state;
    given_limits(w, 2, 100000, 0);
    w->again = call_of(w, "m", "a", 7);
    add(w, "m", "a", 0);
    add(w, "m", "a", 1);
    assert_int_equal(w->batches_n, 1);
    loop_run(w->loop);
    assert_int_equal(w->batches_n, 2);
    assert_batch(w, 1, 1, 7);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_calls_with_one_prefix_stand_side_by_side),
        TEST(test_calls_of_one_prefix_keep_the_order_of_their_jobs),
        TEST(test_a_batch_ends_at_the_first_limit_it_meets),
        TEST(test_a_call_above_every_limit_goes_alone),
        TEST(test_a_full_batch_goes_at_once),
        TEST(test_what_is_not_full_goes_after_the_linger),
        TEST(test_each_stream_waits_from_its_own_first_call),
        TEST(test_a_batch_nobody_takes_is_said_so_once),
        TEST(test_in_a_hurry_what_is_gathered_goes_soon),
        TEST(test_a_flush_sends_everything),
        TEST(test_an_embedding_counts_as_its_inputs),
        TEST(test_models_never_share_a_batch),
        TEST(test_what_overflows_a_full_batch_gathers_on),
        TEST(test_a_huge_call_does_not_break_up_its_neighbours),
        TEST(test_of_several_pieces_each_goes_and_the_last_gathers_on),
        TEST(test_enough_prompt_tokens_fill_a_batch_too),
        TEST(test_hundreds_of_calls_gather_and_none_is_lost),
        TEST(test_a_call_may_be_planned_again_while_a_batch_is_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
