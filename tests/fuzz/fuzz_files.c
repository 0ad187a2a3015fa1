/* Any bytes as a file that people write: YAML of a configuration, settings of the Kafka client.
 * Taken, or refused with words in which no value stands. */
#include "core/config.h"
#include "core/kafka.h"
#include "scheduler/scheduler.h"
#include "tests/fuzz/file.h"

static void check_config(const char *path)
{
    struct err err = {0};
    struct scheduler_settings settings;
    const struct config_section section = {"Flow", scheduler_config_rows,
                                           scheduler_config_rows_len, &settings};
    struct config *c = NULL;
    MUST(config_create(&c, &section, 1, &err) == 0);
    MUST(config_load_file(c, path, &err) >= 0 || err.msg[0]);
    config_destroy(c);
}

static void check_client(const char *path)
{
    struct err err = {0};
    char value[100];
    const struct kafka_conf conf = {
        .brokers = "127.0.0.1:1", .file = path, .client_id = "f"};
    MUST(kafka_setting_of(&conf, "security.protocol", value, sizeof(value), &err) >= 0 ||
         err.msg[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char path[FILE_PATH_MAX];
    int fd = file_of(data, n, path);
    check_config(path);
    check_client(path);
    close(fd);
    return 0;
}
