/*
 * core/kafka.h against a real broker: test_kafka calm|faults|secure [--list | NAME]
 *
 * `calm` lives beside others on one broker, a test of `faults` stops the one it has, and `secure`
 * wants one that was made with --secure (scripts/kafka).
 */
#include "tests/kafka/kafka_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TESTS_MAX 100

static struct CMUnitTest all[TESTS_MAX];
static size_t all_n;

static void add(const struct CMUnitTest *tests, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_true(all_n < TESTS_MAX);
        all[all_n++] = tests[i];
    }
}

/* False when there is no such part. */
static bool choose(const char *part)
{
    if (strcmp(part, "calm") == 0) {
        add(read_tests, read_tests_n);
        add(write_tests, write_tests_n);
        add(admin_tests, admin_tests_n);
    } else if (strcmp(part, "faults") == 0) {
        add(fault_tests, fault_tests_n);
    } else if (strcmp(part, "secure") == 0) {
        add(secure_tests, secure_tests_n);
    }
    return all_n > 0;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3 || !choose(argv[1])) {
        fprintf(stderr, "usage: test_kafka calm|faults|secure [--list | NAME]\n");
        return 2;
    }
    if (argc == 3 && strcmp(argv[2], "--list") == 0) {
        for (size_t i = 0; i < all_n; i++) {
            puts(all[i].name);
        }
        return 0;
    }
    if (!getenv("OFFPEAK_BROKERS") || !getenv("KAFKA_DIR")) {
        fprintf(stderr,
                "could not test Kafka: no broker\nhint: scripts/kafka run %s %s\n",
                argv[0], argv[1]);
        return 1;
    }
    if (argc == 3) {
        cmocka_set_test_filter(argv[2]);
    }
    printf("librdkafka %s\n", kafka_version());
    return _cmocka_run_group_tests(argv[1], all, all_n, NULL, NULL);
}
