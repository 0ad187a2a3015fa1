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

/* Its offsets begin again, its times do not; a clock that was set back is no other topic. */
static void test_a_topic_that_was_made_again_has_no_repeats_of_the_one_before(
    void **state)
{
    static const struct {
        const char *job;
        int repeat;
    } seen[] = {{"shop.tags/0/7/1000", 0}, {"shop.tags/0/8/900", 0},
                {"shop.tags/0/7/1000", 1}, {"shop.tags/0/8/900", 1},
                {"shop.tags/0/0/2000", 0}, {"shop.tags/0/1/2001", 0},
                {"shop.tags/0/0/2000", 1}, {"shop.tags/0/2/2001", 0}};
    for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
        if (repeats_see(*state, 0, span_str(seen[i].job)) != seen[i].repeat) {
            fail_msg("%zu: %s", i, seen[i].job);
        }
    }
}

static void test_a_new_owner_goes_on_where_the_last_one_was(void **state)
{
    struct last_job last;
    char text[LAST_JOB_TEXT];
    last_job_format(&(struct last_job){41, INT64_C(1795224000000)}, text);
    assert_int_equal(last_job_parse(span_str(text), &last), 0);
    assert_int_equal(repeats_begin(*state, 0, SPAN_LIT("shop.tags/0"), &last), 0);
    assert_int_equal(see(*state, "shop.tags/0", 41), 1);
    assert_int_equal(see(*state, "shop.tags/0", 42), 0);
    assert_int_equal(see(*state, "shop.tags/1", 41), 0);
}

static void test_the_place_of_a_job_is_read_from_its_id(void **state)
{
    (void)state;
    struct span queue;
    struct last_job job;
    assert_int_equal(
        last_job_of(SPAN_LIT("shop.tags/3/12345/1795224000000"), &queue, &job), 0);
    assert_true(span_is(queue, "shop.tags/3"));
    assert_int_equal(job.offset, 12345);
    assert_int_equal(job.ms, INT64_C(1795224000000));
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
                                      "shop.tags/0/1/",
                                      "shop.tags/0/1/x",
                                      "shop.tags/0/18446744073709551616/1"};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        struct span queue;
        struct last_job job;
        if (last_job_of(span_str(ids[i]), &queue, &job) != -1 ||
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
        TEST(test_a_topic_that_was_made_again_has_no_repeats_of_the_one_before),
        TEST(test_a_new_owner_goes_on_where_the_last_one_was),
        TEST(test_the_place_of_a_job_is_read_from_its_id),
        TEST(test_what_is_no_job_id_has_no_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
