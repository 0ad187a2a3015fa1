#include "core/kafka_error.h"

#include <librdkafka/rdkafka.h>
#include <stdarg.h>
#include <stdio.h>

#define E(name)  RD_KAFKA_RESP_ERR_##name
#define FENCED   "another producer has taken over, or the transaction took too long"
#define START_IT "start the broker, or check --brokers (OFFPEAK_BROKERS)"
#define TOPICS   "run: offpeak topics check"
#define ALLOW    "run: offpeak topics check --allow ROLE=USER, which names what is missing"
#define SECURITY "check security.*, sasl.* and ssl.* in the file named by kafka.file"
#define INSTANCE "stop the other process, or give this one another name"

struct row {
    int code;
    enum kafka_class class;
    enum kafka_refused_why why;
    const char *words, *hint;
};

static const struct row rows[] = {
    /* no broker answers */
    {E(_TRANSPORT), KAFKA_DOWN, 0, "no broker answers", START_IT},
    {E(_ALL_BROKERS_DOWN), KAFKA_DOWN, 0, "no broker answers", START_IT},
    {E(_RESOLVE), KAFKA_DOWN, 0, "the name of a broker is not known", START_IT},
    {E(_TIMED_OUT), KAFKA_DOWN, 0, "no broker answered in time", START_IT},
    {E(_TIMED_OUT_QUEUE), KAFKA_DOWN, 0, "no broker answered in time", START_IT},
    {E(_MSG_TIMED_OUT), KAFKA_DOWN, 0, "no broker took the record in time", START_IT},
    {E(_WAIT_COORD), KAFKA_DOWN, 0, "no broker answered in time", START_IT},
    {E(BROKER_NOT_AVAILABLE), KAFKA_DOWN, 0, "no broker answers", START_IT},
    {E(NETWORK_EXCEPTION), KAFKA_DOWN, 0, "the broker hung up", START_IT},

    /* a pause helps */
    {E(_QUEUE_FULL), KAFKA_RETRY, 0, "the buffer is full", NULL},
    {E(_IN_PROGRESS), KAFKA_RETRY, 0, "the broker is still starting", NULL},
    {E(_PREV_IN_PROGRESS), KAFKA_RETRY, 0, "an earlier call is not over", NULL},
    {E(_MAX_POLL_EXCEEDED), KAFKA_RETRY, 0, "this member was silent for too long", NULL},
    {E(REQUEST_TIMED_OUT), KAFKA_RETRY, 0, "the broker took too long", NULL},
    {E(LEADER_NOT_AVAILABLE), KAFKA_RETRY, 0, "the partition has no leader", NULL},
    {E(NOT_LEADER_FOR_PARTITION), KAFKA_RETRY, 0, "the leader has moved", NULL},
    {E(COORDINATOR_LOAD_IN_PROGRESS), KAFKA_RETRY, 0, "the broker is still loading",
     NULL},
    {E(COORDINATOR_NOT_AVAILABLE), KAFKA_RETRY, 0, "the coordinator is not there", NULL},
    {E(NOT_COORDINATOR), KAFKA_RETRY, 0, "the coordinator has moved", NULL},
    {E(NOT_CONTROLLER), KAFKA_RETRY, 0, "the controller has moved", NULL},
    {E(NOT_ENOUGH_REPLICAS), KAFKA_RETRY, 0, "too few replicas are in sync", NULL},
    {E(NOT_ENOUGH_REPLICAS_AFTER_APPEND), KAFKA_RETRY, 0, "too few replicas are in sync",
     NULL},
    {E(CONCURRENT_TRANSACTIONS), KAFKA_RETRY, 0, "the last transaction is not over yet",
     NULL},
    {E(UNSTABLE_OFFSET_COMMIT), KAFKA_RETRY, 0, "a transaction holds these offsets",
     NULL},
    {E(THROTTLING_QUOTA_EXCEEDED), KAFKA_RETRY, 0, "the broker's quota is used up", NULL},
    {E(KAFKA_STORAGE_ERROR), KAFKA_RETRY, 0, "the broker cannot use its disk", NULL},
    {E(POLICY_VIOLATION), KAFKA_REFUSED, KAFKA_INVALID,
     "a policy of the broker forbids it", NULL},

    /* again, in a new transaction */
    {E(ILLEGAL_GENERATION), KAFKA_ABORT, 0, "the group has been given out anew", NULL},
    {E(UNKNOWN_MEMBER_ID), KAFKA_ABORT, 0, "the group no longer knows this member", NULL},
    {E(REBALANCE_IN_PROGRESS), KAFKA_ABORT, 0, "the group is being given out anew", NULL},
    {E(_PURGE_QUEUE), KAFKA_ABORT, 0, "dropped with its transaction", NULL},
    {E(_PURGE_INFLIGHT), KAFKA_ABORT, 0, "dropped with its transaction", NULL},
    {E(OUT_OF_ORDER_SEQUENCE_NUMBER), KAFKA_ABORT, 0,
     "an earlier record of this producer was refused", NULL},

    /* this producer cannot go on */
    {E(_FENCED), KAFKA_REMAKE, 0, FENCED, NULL},
    {E(PRODUCER_FENCED), KAFKA_REMAKE, 0, FENCED, NULL},
    {E(INVALID_PRODUCER_EPOCH), KAFKA_REMAKE, 0, FENCED, NULL},
    {E(TRANSACTION_COORDINATOR_FENCED), KAFKA_REMAKE, 0,
     "the coordinator of transactions has moved", NULL},
    {E(UNKNOWN_PRODUCER_ID), KAFKA_REMAKE, 0, "the broker has forgotten this producer",
     NULL},
    {E(INVALID_PRODUCER_ID_MAPPING), KAFKA_REMAKE, 0,
     "the broker has forgotten this producer", NULL},
    {E(INVALID_TXN_STATE), KAFKA_REMAKE, 0, "the broker knows no such transaction", NULL},
    {E(_GAPLESS_GUARANTEE), KAFKA_REMAKE, 0, "a record was lost on the way", NULL},
    {E(_STATE), KAFKA_REMAKE, 0, "this cannot be done in this state", NULL},

    /* this record or topic */
    {E(MSG_SIZE_TOO_LARGE), KAFKA_REFUSED, KAFKA_TOO_LARGE,
     "the record is larger than the topic takes", TOPICS},
    {E(RECORD_LIST_TOO_LARGE), KAFKA_REFUSED, KAFKA_TOO_LARGE,
     "the records are larger than the topic takes", TOPICS},
    {E(INVALID_MSG_SIZE), KAFKA_REFUSED, KAFKA_TOO_LARGE, "the record is too large",
     TOPICS},
    {E(UNKNOWN_TOPIC_OR_PART), KAFKA_REFUSED, KAFKA_NO_TOPIC,
     "there is no such topic or partition", TOPICS},
    {E(_UNKNOWN_TOPIC), KAFKA_REFUSED, KAFKA_NO_TOPIC, "there is no such topic", TOPICS},
    {E(_UNKNOWN_PARTITION), KAFKA_REFUSED, KAFKA_NO_TOPIC, "there is no such partition",
     TOPICS},
    {E(TOPIC_EXCEPTION), KAFKA_REFUSED, KAFKA_NO_TOPIC, "a topic cannot be named so",
     NULL},
    {E(TOPIC_AUTHORIZATION_FAILED), KAFKA_REFUSED, KAFKA_NOT_ALLOWED,
     "not allowed for this topic", ALLOW},
    {E(INVALID_RECORD), KAFKA_REFUSED, KAFKA_INVALID,
     "the broker takes no such record (without a key, in a compacted topic?)", TOPICS},
    {E(INVALID_MSG), KAFKA_REFUSED, KAFKA_INVALID, "the broker found the record damaged",
     NULL},
    {E(INVALID_TIMESTAMP), KAFKA_REFUSED, KAFKA_INVALID,
     "the broker does not take the record's time", NULL},

    /* reading */
    {E(_AUTO_OFFSET_RESET), KAFKA_GONE, 0, "the offset is not in the log", NULL},
    {E(OFFSET_OUT_OF_RANGE), KAFKA_GONE, 0, "the offset is not in the log", NULL},
    {E(_NO_OFFSET), KAFKA_GONE, 0, "there is no such offset", NULL},
    {E(FENCED_INSTANCE_ID), KAFKA_FENCED, 0, "another process uses the same name",
     INSTANCE},

    /* who we are */
    {E(_AUTHENTICATION), KAFKA_AUTH, 0, "the broker refuses the credentials", SECURITY},
    {E(SASL_AUTHENTICATION_FAILED), KAFKA_AUTH, 0, "the broker refuses the credentials",
     SECURITY},
    {E(UNSUPPORTED_SASL_MECHANISM), KAFKA_AUTH, 0,
     "the broker does not take this sasl.mechanism", SECURITY},
    {E(ILLEGAL_SASL_STATE), KAFKA_AUTH, 0, "the broker wants another security.protocol",
     SECURITY},
    {E(_SSL), KAFKA_AUTH, 0, "TLS failed", SECURITY},
    {E(TRANSACTIONAL_ID_AUTHORIZATION_FAILED), KAFKA_AUTH, 0,
     "not allowed to use this transactional id", ALLOW},
    {E(GROUP_AUTHORIZATION_FAILED), KAFKA_AUTH, 0, "not allowed to use this group",
     ALLOW},
    {E(CLUSTER_AUTHORIZATION_FAILED), KAFKA_AUTH, 0, "not allowed on this cluster",
     ALLOW},
    {E(SECURITY_DISABLED), KAFKA_WRONG, 0, "the broker has no authorizer configured",
     NULL},

    /* cannot work */
    {E(_INVALID_ARG), KAFKA_WRONG, 0, "not a valid value", NULL},
    {E(_NOT_IMPLEMENTED), KAFKA_WRONG, 0, "the client library cannot do this", NULL},
    {E(_UNSUPPORTED_FEATURE), KAFKA_WRONG, 0, "the broker cannot do this", NULL},
    {E(UNSUPPORTED_VERSION), KAFKA_WRONG, 0, "broker and client library do not fit",
     "run: offpeak doctor"},
    {E(INVALID_CONFIG), KAFKA_WRONG, 0, "the broker does not take this setting", NULL},
    {E(INVALID_REQUEST), KAFKA_WRONG, 0, "the broker does not take this request", NULL},
    {E(INVALID_PARTITIONS), KAFKA_WRONG, 0, "not a valid number of partitions", NULL},
    {E(INVALID_REPLICATION_FACTOR), KAFKA_RETRY, 0,
     "too few brokers are up for the replicas", NULL},
    {E(INVALID_TRANSACTION_TIMEOUT), KAFKA_WRONG, 0,
     "the broker allows only shorter transactions (transaction.max.timeout.ms)", NULL},
    {E(INVALID_SESSION_TIMEOUT), KAFKA_WRONG, 0,
     "the broker does not allow this session time (group.min.session.timeout.ms)", NULL},
    {E(INCONSISTENT_GROUP_PROTOCOL), KAFKA_WRONG, 0,
     "the group is used by clients of another kind", NULL},
    {E(INVALID_GROUP_ID), KAFKA_WRONG, 0, "a group cannot be named so", NULL},
};

static const struct row *row_of(int code)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].code == code) {
            return &rows[i];
        }
    }
    return NULL;
}

enum kafka_class kafka_fault_class(const struct kafka_fault *f)
{
    const struct row *row = row_of(f->code);
    enum kafka_class class = row ? row->class : KAFKA_REMAKE;
    if (f->fatal) {
        return class == KAFKA_FENCED || class == KAFKA_AUTH ? class : KAFKA_REMAKE;
    }
    if (f->requires_abort) {
        bool kept = class == KAFKA_REFUSED || class == KAFKA_AUTH || class == KAFKA_DOWN;
        return kept ? class : KAFKA_ABORT;
    }
    if (f->retriable) {
        return class == KAFKA_DOWN ? class : KAFKA_RETRY;
    }
    return class;
}

enum kafka_refused_why kafka_fault_refusal(int code)
{
    const struct row *row = row_of(code);
    return row ? row->why : 0;
}

bool kafka_denied(const struct err *err)
{
    return strcmp(err->hint, ALLOW) == 0;
}

/* What a class means for a program that ends because of it. */
static void set_class(struct err *err, enum kafka_class class)
{
    switch (class) {
    case KAFKA_RETRY:
    case KAFKA_ABORT:
    case KAFKA_DOWN:
        err->code = ERR_TEMP;
        err->retry = RETRY_LATER;
        return;
    case KAFKA_REMAKE:
        err->code = ERR_TEMP;
        err->retry = RETRY_UNKNOWN;
        return;
    case KAFKA_FENCED:
        err->code = ERR_TEMP;
        err->retry = RETRY_NEVER;
        return;
    case KAFKA_AUTH:
        err->code = ERR_AUTH;
        err->retry = RETRY_NEVER;
        return;
    case KAFKA_REFUSED:
    case KAFKA_GONE:
        err->code = ERR_FAIL;
        err->retry = RETRY_NEVER;
        return;
    case KAFKA_WRONG:
        err->code = ERR_USAGE;
        err->retry = RETRY_NEVER;
        return;
    }
}

int kafka_fail(struct err *err, const struct kafka_fault *f, const char *detail,
               const char *fmt, ...)
{
    enum kafka_class class = kafka_fault_class(f);
    const struct row *row = row_of(f->code);
    char what[300];
    va_list ap;
    if (!err) {
        return -(int)class;
    }
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    if (!row && !detail) {
        detail = rd_kafka_err2str((rd_kafka_resp_err_t)f->code);
    }
    err_set(err, ERR_FAIL, "%s: %s", what, row ? row->words : detail);
    if (row && row->hint) {
        err_hint(err, "%s", row->hint);
    }
    set_class(err, class);
    return -(int)class;
}

int kafka_fail_class(struct err *err, enum kafka_class class, const char *fmt, ...)
{
    char what[500];
    va_list ap;
    if (err) {
        va_start(ap, fmt);
        vsnprintf(what, sizeof(what), fmt, ap);
        va_end(ap);
        err_set(err, ERR_FAIL, "%s", what);
        set_class(err, class);
    }
    return -(int)class;
}
