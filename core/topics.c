/* topics.c - the table of topics and tables. */
#include "core/topics.h"

#define DAYS_30  "2592000000"
#define FOREVER  "-1"
#define LARGE    "8454144" /* TOPICS_VALUE_MAX, and 64 KiB for key, headers and framing */
#define ORDINARY "1048588" /* the broker's own default */

/* A tombstone must outlive every copy that has not seen it: see the age of copies in
 * queue_kafka_restore.c. */
#define TOMBSTONES_MS "604800000"

/* clang-format off */
static const struct topic_spec specs[] = {
    {"jobs.", false, false, true, TOPICS_JOBS,
     "the jobs of one feature, as they were put", FOREVER, LARGE,
     COPY_NONE, COPY_FEED, COPY_FEED},
    {"ready", false, true, false, TOPICS_SPREAD,
     "jobs let through by the scheduler, for the workers", FOREVER, LARGE,
     COPY_FEED, COPY_NONE, COPY_FEED},
    {"results.", false, false, false, 1,
     "a team's results", DAYS_30, LARGE,
     COPY_NONE, COPY_NONE, COPY_FOLLOW},
    {"spend", false, false, true, 1,
     "what every call has cost", FOREVER, ORDINARY,
     COPY_NONE, COPY_FOLLOW, COPY_FOLLOW},
    {"dead.", false, false, false, 1,
     "a team's jobs that failed, for operators", DAYS_30, LARGE,
     COPY_NONE, COPY_NONE, COPY_FOLLOW},
    {TOPICS_LEADER, false, false, false, 1,
     "its owner is the active scheduler; it holds nothing", DAYS_30, ORDINARY,
     COPY_NONE, COPY_NONE, COPY_NONE},
    {"budgets", true, false, false, 1,
     "limits and pauses, by people", FOREVER, ORDINARY,
     COPY_NONE, COPY_FOLLOW, COPY_FOLLOW},
    {"open", true, false, false, 1,
     "the scheduler's reservations", FOREVER, ORDINARY,
     COPY_NONE, COPY_OWN, COPY_OWN},
    {"ledger", true, false, false, 1,
     "the scheduler's sums", FOREVER, ORDINARY,
     COPY_NONE, COPY_OWN, COPY_OWN},
    {"marks", true, false, false, 1,
     "how far the scheduler is", FOREVER, ORDINARY,
     COPY_NONE, COPY_OWN, COPY_OWN},
    {"answers", true, true, false, TOPICS_SPREAD,
     "the workers' answers, to be used again", FOREVER, LARGE,
     COPY_OWN, COPY_NONE, COPY_OWN},
    {"batches", true, true, false, TOPICS_SPREAD,
     "the workers' journal of batches", FOREVER, LARGE,
     COPY_OWN, COPY_NONE, COPY_OWN},
    {TOPICS_ACKS, true, true, false, TOPICS_SPREAD,
     "which records are done", FOREVER, ORDINARY,
     COPY_OWN, COPY_OWN, COPY_OWN},
    {"runs.", true, false, false, 1,
     "a team's runs, by its submit", FOREVER, ORDINARY,
     COPY_FOLLOW, COPY_FOLLOW, COPY_FOLLOW},
};
/* clang-format on */

static bool is_called(const struct topic_spec *s, const char *name)
{
    size_t n = strlen(s->name);
    return s->name[n - 1] == '.' ? strncmp(name, s->name, n) == 0
                                 : strcmp(name, s->name) == 0;
}

const struct topic_spec *topics_find(bool table, const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
        if (specs[i].table == table && is_called(&specs[i], name)) {
            return &specs[i];
        }
    }
    return NULL;
}

const struct topic_spec *topics_on_broker(const char *name)
{
    const struct topic_spec *spec = topics_find(true, name);
    return spec ? spec : topics_find(false, name);
}

const struct topic_spec *topics_all(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(specs);
    return specs;
}

enum topics_copy topics_copied(const struct topic_spec *spec, enum queue_role role)
{
    switch (role) {
    case QUEUE_READER: return COPY_NONE;
    case QUEUE_WORKER: return spec ? spec->worker : COPY_NONE;
    case QUEUE_SCHEDULER: return spec ? spec->scheduler : COPY_NONE;
    case QUEUE_WHOLE: return spec ? spec->whole : COPY_FOLLOW;
    }
    return COPY_NONE;
}

int32_t topics_partitions(const struct topic_spec *spec)
{
    return spec ? spec->partitions : 1;
}

size_t topics_value_max(const struct topic_spec *spec)
{
    const size_t around = 65536; /* key, headers, framing */
    uint64_t bytes = 0;
    (void)span_u64(span_str(spec ? spec->bytes_max : LARGE), &bytes);
    return (size_t)bytes - around;
}

size_t topics_settings(const struct topic_spec *spec,
                       struct kafka_setting ret[static TOPICS_SETTINGS_MAX])
{
    const char *keep = spec ? spec->keep_ms : DAYS_30;
    const char *bytes = spec ? spec->bytes_max : LARGE;
    size_t n = 0;
    ret[n++] = (struct kafka_setting){"message.timestamp.type", "LogAppendTime"};
    ret[n++] = (struct kafka_setting){"max.message.bytes", bytes};
    if (spec && spec->table) {
        ret[n++] = (struct kafka_setting){"cleanup.policy", "compact"};
        ret[n++] = (struct kafka_setting){"delete.retention.ms", TOMBSTONES_MS};
        ret[n++] = (struct kafka_setting){"min.cleanable.dirty.ratio", "0.1"};
    } else {
        ret[n++] = (struct kafka_setting){"cleanup.policy", "delete"};
        ret[n++] = (struct kafka_setting){"retention.ms", keep};
        ret[n++] = (struct kafka_setting){"retention.bytes", "-1"};
    }
    return n;
}

const char *topics_shared(enum queue_role role)
{
    switch (role) {
    case QUEUE_READER: return NULL;
    case QUEUE_WORKER: return "ready";
    case QUEUE_SCHEDULER:
    case QUEUE_WHOLE: return TOPICS_LEADER;
    }
    return NULL;
}
