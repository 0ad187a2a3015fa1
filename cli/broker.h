/*
 * broker.h - the connection to Kafka: its settings, and how a command gets at it.
 *
 * Brokers are named by --brokers, OFFPEAK_BROKERS or `brokers`, or by bootstrap.servers in the
 * file that `kafka.file` names; where any of these is set, a command works on Kafka and not on a
 * data folder. broker_is_set asks that, broker_kafka gives what core/kafka.h wants. All texts
 * belong to the settings and live as long as they do.
 */
#ifndef OFFPEAK_CLI_BROKER_H
#define OFFPEAK_CLI_BROKER_H

#include "core/config.h"
#include "core/kafka.h"
#include "core/queue.h"

#define BROKER_PREFIX_MAX \
    80 /* with the longest of our names behind it a topic is legal */
#define BROKER_INSTANCE_MAX 80

struct broker_settings {
    const char *brokers, *file, *prefix, *instance;
    int64_t refused_retry_ms;
};

extern const struct config_row broker_rows[];
extern const size_t broker_rows_len;

/* What a table of settings cannot say: ERR_USAGE names the setting. */
int broker_check(const struct broker_settings *s, struct err *err);
bool broker_is_set(const struct broker_settings *s);
struct kafka_conf broker_kafka(const struct broker_settings *s);
/* For queue_open: a command is a QUEUE_READER; daemons add on_owner and ctx. */
void broker_queue(const struct broker_settings *s, enum queue_role role,
                  struct queue_broker *ret);
/* How messages call it: the list of brokers, or the file that names them. */
const char *broker_label(const struct broker_settings *s);
/* " --brokers LIST" and what else another command line needs to mean the same broker: for
 * `others`, who come with credentials of their own, or for the same user. */
void broker_words(const struct broker_settings *s, bool others, struct buf *ret);

#endif
