/* Has this job been seen on `ready` before? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker/repeats.h"

#include <stdio.h>

static int begin(void **state)
{
    *state = repeats_create();
    return *state ? 0 : -1;
}

static int end(void **state)
{
    *state = repeats_destroy(*state);
    return *state ? -1 : 0;
}

static int see(struct repeats *r, const char *queue, uint64_t offset)
{
    char id[200];
    (void)snprintf(id, sizeof(id), "%s/%llu/1795224000000", queue,
                   (unsigned long long)offset);
    return repeats_see(r, 0, span_str(id));
}

static void test_only_what_is_above_the_last_one_of_its_queue_is_new(void **state)
{
    assert_int_equal(see(*state, "shop.tags/0", 0), 0);
    assert_int_equal(see(*state, "shop.tags/0", 0), 1);
    assert_int_equal(see(*state, "shop.tags/0", 1), 0);
    assert_int_equal(see(*state, "shop.tags/0", 7),
                     0); /* those between ended otherwise */
    assert_int_equal(see(*state, "shop.tags/0", 5), 1);
    assert_int_equal(see(*state, "shop.tags/0", 7), 1);
    assert_int_equal(see(*state, "shop.tags/0", 8), 0);
}

static void test_each_partition_of_each_queue_counts_for_itself(void **state)
{
    static const char *const queues[] = {"shop.tags/0", "shop.tags/1", "shop.tag/0",
                                         "bank.tags/0", "shop.tags/10"};
    for (size_t i = 0; i < ARRAY_LEN(queues); i++) {
        assert_int_equal(see(*state, queues[i], 3), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(queues); i++) {
        assert_int_equal(see(*state, queues[i], 3), 1);
        assert_int_equal(see(*state, queues[i], 4), 0);
    }
}

static void test_thousands_of_queues_are_told_apart(void **state)
{
    char queue[64];
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 5000; i++) {
            (void)snprintf(queue, sizeof(queue), "team-%u.feature/%u", i / 7, i % 7);
            assert_int_equal(see(*state, queue, 100 + i), round);
        }
    }
}

static void test_the_number_of_queues_is_bounded(void **state)
{
    char queue[64];
    for (unsigned i = 0; i < REPEATS_QUEUES_MAX; i++) {
        (void)snprintf(queue, sizeof(queue), "shop.tags/%u", i);
        assert_int_equal(see(*state, queue, 0), 0);
    }
    assert_int_equal(see(*state, "one.too/many", 0), -1);
    assert_int_equal(see(*state, "shop.tags/65535", 1), 0); /* those known go on */
}

static void test_the_place_of_a_job_is_read_from_its_id(void **state)
{
    (void)state;
    struct span queue;
    uint64_t offset;
    assert_int_equal(
        repeats_place(SPAN_LIT("shop.tags/3/12345/1795224000000"), &queue, &offset), 0);
    assert_true(span_is(queue, "shop.tags/3"));
    assert_int_equal(offset, 12345);
}

static void test_what_is_no_job_id_has_no_place(void **state)
{
    static const char *const ids[] = {"",
                                      "/",
                                      "//",
                                      "shop.tags",
                                      "12/5",
                                      "shop.tags/0/x/1",
                                      "shop.tags/0//1",
                                      "shop.tags/0/-1/1",
                                      "shop.tags/0/18446744073709551616/1"};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        struct span queue;
        uint64_t offset;
        if (repeats_place(span_str(ids[i]), &queue, &offset) != -1 ||
            repeats_see(*state, 0, span_str(ids[i])) != -1) {
            fail_msg("accepted: '%s'", ids[i]);
        }
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_only_what_is_above_the_last_one_of_its_queue_is_new),
        TEST(test_each_partition_of_each_queue_counts_for_itself),
        TEST(test_thousands_of_queues_are_told_apart),
        TEST(test_the_number_of_queues_is_bounded),
        TEST(test_the_place_of_a_job_is_read_from_its_id),
        TEST(test_what_is_no_job_id_has_no_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
