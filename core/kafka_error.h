/*
 * kafka_error.h - what an error of Kafka means: one table, pure functions.
 *
 * A code is the number of Apache Kafka, "Protocol", "Error Codes", or one of the client
 * library's own (negative; rdkafka.h, rd_kafka_resp_err_t). A fault is a code with what the
 * library says beside it. The class of a fault (in this order; rdkafka.h, "Transactional
 * producer API", "Error handling"):
 *
 *   fatal            FENCED and AUTH as the table says, else REMAKE
 *   requires abort   REFUSED, AUTH and DOWN as the table says, else ABORT
 *   retriable        DOWN as the table says, else RETRY
 *   none of them     as the table says; a code it does not know is REMAKE, the safe reading
 */
#ifndef OFFPEAK_CORE_KAFKA_ERROR_H
#define OFFPEAK_CORE_KAFKA_ERROR_H

#include "core/kafka.h"

struct kafka_fault {
    int code;
    bool fatal, requires_abort, retriable;
};

enum kafka_class kafka_fault_class(const struct kafka_fault *fault);
enum kafka_refused_why kafka_fault_refusal(int code); /* 0: not a refusal of a record */

/* err: "<fmt>: <words>", the class's exit code, a hint; returns -class. `detail` are words of the
 * library for a code without a row; NULL: its name. */
int kafka_fail(struct err *err, const struct kafka_fault *fault, const char *detail,
               const char *fmt, ...) PRINTF_LIKE(4, 5);
/* A failure that comes from no code. */
int kafka_fail_class(struct err *err, enum kafka_class class, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

#endif
