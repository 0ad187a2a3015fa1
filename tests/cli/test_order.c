/* cli/order.h: results come as they are done, and are wanted in the order of the lines. */
#include "cli/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct got {
    struct buf text;
    uint64_t n;
    int stop_at; /* 0: never */
};

static int take(void *ctx, uint32_t tag, struct span text, struct err *err)
{
    struct got *g = ctx;
    if (g->stop_at && ++g->n == (uint64_t)g->stop_at) {
        return err_set(err, ERR_FAIL, "enough");
    }
    buf_addf(&g->text, "%u:%.*s ", tag, (int)text.n, text.p);
    return 0;
}

static struct order *open_order(void)
{
    struct order *o = NULL;
    struct err err = {0};
    assert_int_equal(order_open(&o, "/tmp", &err), 0);
    return o;
}

static void add(struct order *o, uint64_t number, uint32_t tag, const char *text)
{
    struct err err = {0};
    assert_int_equal(order_add(o, number, tag, span_str(text), &err), 0);
}

static void texts_come_by_their_numbers(void **state)
{
    (void)state;
    struct got got = {.stop_at = 0};
    struct err err = {0};
    struct order *o = open_order();
    buf_init(&got.text, 1000);
    add(o, 30, 1, "third");
    add(o, 1, 2, "first");
    add(o, 7, 3, "");
    assert_int_equal(order_each(o, take, &got, &err), 0);
    assert_string_equal(got.text.p, "2:first 3: 1:third ");
    order_close(o);
    buf_fini(&got.text);
}

static void of_one_number_the_last_counts(void **state)
{
    (void)state;
    struct got got = {.stop_at = 0};
    struct err err = {0};
    struct order *o = open_order();
    buf_init(&got.text, 1000);
    add(o, 2, 0, "failed");
    add(o, 1, 0, "one");
    add(o, 2, 1, "retried");
    assert_int_equal(order_each(o, take, &got, &err), 0);
    assert_string_equal(got.text.p, "0:one 1:retried ");
    order_close(o);
    buf_fini(&got.text);
}

static void none_is_no_error(void **state)
{
    (void)state;
    struct got got = {.stop_at = 1};
    struct err err = {0};
    struct order *o = open_order();
    assert_int_equal(order_each(o, take, &got, &err), 0);
    assert_null(order_close(o));
    assert_null(order_close(NULL));
}

static void whoever_takes_them_may_stop(void **state)
{
    (void)state;
    struct got got = {.stop_at = 2};
    struct err err = {0};
    struct order *o = open_order();
    buf_init(&got.text, 1000);
    add(o, 1, 0, "one");
    add(o, 2, 0, "two");
    add(o, 3, 0, "three");
    assert_int_equal(order_each(o, take, &got, &err), -ERR_FAIL);
    assert_string_equal(got.text.p, "0:one ");
    order_close(o);
    buf_fini(&got.text);
}

static int check_many(void *ctx, uint32_t tag, struct span text, struct err *err)
{
    uint64_t *next = ctx, number;
    (void)err;
    assert_int_equal(tag, 9);
    assert_true(text.n > 100000);
    assert_int_equal(span_u64(span_of(text.p, 10), &number), 0);
    assert_int_equal(number, *next);
    ++*next;
    return 0;
}

/* More than a buffer holds, and each text of another size. */
static void long_texts_come_back_whole(void **state)
{
    (void)state;
    struct err err = {0};
    struct order *o = open_order();
    uint64_t next = 0;
    size_t n = 400000;
    char *text = malloc(n);
    assert_non_null(text);
    memset(text, 'x', n);
    for (int i = 49; i >= 0; i--) {
        char number[11];
        snprintf(number, sizeof(number), "%010d", i);
        memcpy(text, number, 10);
        assert_int_equal(
            order_add(o, (uint64_t)i, 9, span_of(text, 100001 + (size_t)i * 5000), &err),
            0);
    }
    assert_int_equal(order_each(o, check_many, &next, &err), 0);
    assert_int_equal(next, 50);
    free(text);
    order_close(o);
}

static int check_next(void *ctx, uint32_t tag, struct span text, struct err *err)
{
    uint64_t *next = ctx, number;
    (void)err;
    assert_int_equal(span_u64(text, &number), 0);
    assert_int_equal(number, *next);
    assert_int_equal(tag, number % 7);
    ++*next;
    return 0;
}

/* Many more than the cache holds, in an order that goes back and forth over all of them. */
static void more_texts_than_are_kept_in_memory(void **state)
{
    (void)state;
    enum { MANY = 200003, STEP = 65537 };
    struct err err = {0};
    struct order *o = open_order();
    uint64_t next = 0;
    for (uint64_t i = 0, at = 0; i < MANY; i++, at = (at + STEP) % MANY) {
        char text[24];
        snprintf(text, sizeof(text), "%llu", (unsigned long long)at);
        add(o, at, (uint32_t)(at % 7), text);
    }
    assert_int_equal(order_each(o, check_next, &next, &err), 0);
    assert_int_equal(next, MANY);
    order_close(o);
}

static void a_folder_that_is_not_there(void **state)
{
    (void)state;
    struct order *o = NULL;
    struct err err = {0};
    assert_int_equal(order_open(&o, "/nonexistent", &err), -ERR_FAIL);
    assert_string_equal(err.msg, "could not make a temporary file in the data folder: "
                                 "No such file or directory");
    assert_null(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_come_by_their_numbers),
        cmocka_unit_test(of_one_number_the_last_counts),
        cmocka_unit_test(none_is_no_error),
        cmocka_unit_test(whoever_takes_them_may_stop),
        cmocka_unit_test(long_texts_come_back_whole),
        cmocka_unit_test(more_texts_than_are_kept_in_memory),
        cmocka_unit_test(a_folder_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
