/* core/kafka.h against a real broker: scripts/kafka run [--secure] .../test_kafka [WORD], where WORD
 * is part of the names to run. A secured broker has tests of its own. */
#include "tests/kafka/kafka_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TESTS_MAX 100

struct part {
    const struct CMUnitTest *tests;
    size_t n;
};

static bool is_secured(const char *dir)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/clients", dir);
    return access(path, R_OK) == 0;
}

int main(int argc, char **argv)
{
    static struct CMUnitTest all[TESTS_MAX];
    const struct part open[] = {{write_tests, write_tests_n},
                                {read_tests, read_tests_n},
                                {admin_tests, admin_tests_n},
                                {fault_tests, fault_tests_n}};
    const struct part secure[] = {{secure_tests, secure_tests_n}};
    size_t n = 0;
    if (!getenv("OFFPEAK_BROKERS") || !getenv("KAFKA_DIR")) {
        fprintf(stderr, "could not test Kafka: no broker\nhint: scripts/kafka run %s\n",
                argv[0]);
        return 1;
    }
    bool secured = is_secured(getenv("KAFKA_DIR"));
    const struct part *parts = secured ? secure : open;
    printf("librdkafka %s\n", kafka_version());
    for (size_t i = 0; i < (secured ? ARRAY_LEN(secure) : ARRAY_LEN(open)); i++) {
        for (size_t k = 0; k < parts[i].n && n < TESTS_MAX; k++) {
            if (argc < 2 || strstr(parts[i].tests[k].name, argv[1])) {
                all[n++] = parts[i].tests[k];
            }
        }
    }
    return _cmocka_run_group_tests("kafka", all, n, NULL, NULL);
}
