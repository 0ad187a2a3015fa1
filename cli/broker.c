#include "cli/broker.h"

#include "core/topics.h"

#include <stddef.h>
#include <string.h>

#define AT(member) offsetof(struct broker_settings, member)

const struct config_row broker_rows[] = {
    {
        .key = "brokers",
        .type = CONFIG_STRING,
        .offset = AT(brokers),
        .help =
            "Kafka brokers, HOST:PORT with commas between: commands then work on Kafka "
            "instead of a data folder",
        .flag = "--brokers",
    },
    {
        .key = "kafka.file",
        .type = CONFIG_STRING,
        .offset = AT(file),
        .help =
            "file of key=value lines as librdkafka reads them, for TLS and passwords: "
            "security.*, sasl.*, ssl.*, bootstrap.servers",
    },
    {
        .key = "kafka.prefix",
        .type = CONFIG_STRING,
        .offset = AT(prefix),
        .deflt = TOPICS_PREFIX,
        .help =
            "how the names of all topics, groups and transactional ids begin; ends in "
            "a dot",
    },
    {
        .key = "kafka.instance",
        .type = CONFIG_STRING,
        .offset = AT(instance),
        .help =
            "name of this scheduler or worker among all of its kind, the same after a "
            "restart: it then gets its partitions back; without one others take them",
    },
    {
        .key = "kafka.refused_retry",
        .type = CONFIG_DURATION,
        .offset = AT(refused_retry_ms),
        .deflt = "5m",
        .min = 1000,
        .max = INT64_C(86400000),
        .help =
            "how long a worker waits before it tries a team's topic again that it may not "
            "write",
    },
};
const size_t broker_rows_len = ARRAY_LEN(broker_rows);

static bool is_name(const char *text, size_t max)
{
    const char *legal =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t n = strlen(text);
    return n > 0 && n <= max && strspn(text, legal) == n;
}

int broker_check(const struct broker_settings *s, struct err *err)
{
    const char *prefix = s->prefix;
    if (!is_name(prefix, BROKER_PREFIX_MAX) || prefix[strlen(prefix) - 1] != '.') {
        err_set(err, ERR_USAGE,
                "could not use kafka.prefix '%s': it is not a name of "
                "topics that ends in a dot",
                prefix);
        err_hint(err, "A-Z a-z 0-9 . _ -, %d at most, such as --set kafka.prefix=%s",
                 BROKER_PREFIX_MAX, TOPICS_PREFIX);
        return -ERR_USAGE;
    }
    if (s->instance && !is_name(s->instance, BROKER_INSTANCE_MAX)) {
        err_set(err, ERR_USAGE, "could not use kafka.instance '%s': it is not a name",
                s->instance);
        err_hint(err, "A-Z a-z 0-9 . _ -, %d at most, such as the name of the machine",
                 BROKER_INSTANCE_MAX);
        return -ERR_USAGE;
    }
    return 0;
}

bool broker_is_set(const struct broker_settings *s)
{
    return (s->brokers && s->brokers[0]) || (s->file && s->file[0]);
}

static const char *some(const char *text)
{
    return text && text[0] ? text : NULL;
}

struct kafka_conf broker_kafka(const struct broker_settings *s)
{
    return (struct kafka_conf){
        .brokers = some(s->brokers),
        .file = some(s->file),
        .client_id = "offpeak",
    };
}

void broker_queue(const struct broker_settings *s, enum queue_role role,
                  struct queue_broker *ret)
{
    *ret = (struct queue_broker){
        .brokers = some(s->brokers),
        .file = some(s->file),
        .prefix = s->prefix,
        .instance = some(s->instance),
        .role = role,
        .refused_ms = s->refused_retry_ms,
    };
}

const char *broker_label(const struct broker_settings *s)
{
    return some(s->brokers) ? s->brokers : s->file;
}

void broker_words(const struct broker_settings *s, bool others, struct buf *ret)
{
    if (some(s->brokers)) {
        buf_addf(ret, " --brokers %s", s->brokers);
    }
    if (some(s->file) && !others) {
        buf_addf(ret, " --set kafka.file=%s", s->file);
    }
    if (strcmp(s->prefix, TOPICS_PREFIX) != 0) {
        buf_addf(ret, " --set kafka.prefix=%s", s->prefix);
    }
}
