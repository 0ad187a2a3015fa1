/* Any bytes as a file that people write: YAML of a configuration, settings of the Kafka client, an
 * API key. Taken, or refused with words in which no key stands. */
#include "core/config.h"
#include "core/kafka.h"
#include "core/money.h"
#include "core/secret.h"
#include "tests/fuzz/file.h"

#define ROW(name_, type_, ...)                                                        \
    {                                                                                 \
        .key = "all." #name_, .type = (type_), .offset = offsetof(struct all, name_), \
        .help = "a value", __VA_ARGS__                                                \
    }

/* One of each type. */
struct all {
    const char *text;
    bool flag;
    int64_t count, wait_ms, size;
    struct usd limit;
    int word;
};

static const struct config_row rows[] = {
    ROW(text, CONFIG_STRING, .deflt = NULL),
    ROW(flag, CONFIG_BOOL, .deflt = "no"),
    ROW(count, CONFIG_INT, .deflt = "3", .min = 1, .max = 1000),
    ROW(wait_ms, CONFIG_DURATION, .deflt = "60s"),
    ROW(size, CONFIG_BYTES, .deflt = "8MiB"),
    ROW(limit, CONFIG_USD, .deflt = "2.50"),
    ROW(word, CONFIG_ENUM, .deflt = "never", .enum_names = "always|never"),
};

static void check_config(const char *path)
{
    struct err err = {0};
    struct all all = {.text = NULL};
    const struct config_section section = {"All", rows, ARRAY_LEN(rows), &all};
    struct config *c = NULL;
    MUST(config_create(&c, &section, 1, &err) == 0);
    MUST(config_load_file(c, path, &err) >= 0 || err.msg[0]);
    MUST(all.count >= 1 && all.count <= 1000 && all.wait_ms >= 0 && all.size >= 0);
    MUST(usd_cmp(all.limit, USD_ZERO) >= 0 && (all.word == 0 || all.word == 1));
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

#define KEY_MIN 8 /* a shorter one may stand in the words by chance */

static void check_key(const char *path, struct span text)
{
    struct err err = {0};
    struct secret *s = NULL;
    const struct secret_sources from = {.key_file = path};
    struct span key = span_trim(text);
    if (secret_load(&s, &from, &err) < 0) {
        MUST(err.code == ERR_AUTH && err.msg[0] && err.hint[0] && !s);
        MUST(key.n < KEY_MIN || !memmem(err.msg, strlen(err.msg), key.p, key.n));
        return;
    }
    MUST(span_is(key, secret_text(s)) && key.n <= SECRET_BYTES_MAX);
    secret_destroy(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char path[FILE_PATH_MAX];
    int fd = file_of(data, n, path);
    check_config(path);
    check_client(path);
    check_key(path, span_of(data, n));
    close(fd);
    return 0;
}
