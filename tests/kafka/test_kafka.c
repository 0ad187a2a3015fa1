/* core/kafka.h against a real broker: scripts/kafka run .../test_kafka [WORD], where WORD is part of
 * the names to run. */
#include "tests/kafka/kafka_world.h"

#include <stdio.h>
#include <stdlib.h>

#define TESTS_MAX 100

int main(int argc, char **argv)
{
    static struct CMUnitTest all[TESTS_MAX];
    const struct CMUnitTest *const parts[] = {write_tests, read_tests, admin_tests,
                                              fault_tests};
    const size_t counts[] = {write_tests_n, read_tests_n, admin_tests_n, fault_tests_n};
    size_t n = 0;
    if (!getenv("OFFPEAK_BROKERS") || !getenv("KAFKA_DIR")) {
        fprintf(stderr, "could not test Kafka: no broker\nhint: scripts/kafka run %s\n",
                argv[0]);
        return 1;
    }
    printf("librdkafka %s\n", kafka_version());
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        for (size_t k = 0; k < counts[i] && n < TESTS_MAX; k++) {
            if (argc < 2 || strstr(parts[i][k].name, argv[1])) {
                all[n++] = parts[i][k];
            }
        }
    }
    return _cmocka_run_group_tests("kafka", all, n, NULL, NULL);
}
