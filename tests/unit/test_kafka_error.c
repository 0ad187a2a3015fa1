/* What an error of Kafka means for what to do next. Numbers: Apache Kafka, "Protocol", "Error
 * Codes"; negative ones are librdkafka's own (rdkafka.h). */
#include "core/kafka_error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define TIMED_OUT               (-185)
#define MSG_TIMED_OUT           (-192)
#define ALL_BROKERS_DOWN        (-187)
#define FENCED                  (-144)
#define AUTO_OFFSET_RESET       (-140)
#define AUTHENTICATION          (-169)
#define UNKNOWN_TOPIC           3
#define MSG_SIZE_TOO_LARGE      10
#define UNKNOWN_MEMBER_ID       25
#define TOPIC_AUTHORIZATION     29
#define GROUP_AUTHORIZATION     30
#define OUT_OF_ORDER_SEQUENCE   45
#define INVALID_PRODUCER_EPOCH  47
#define CONCURRENT_TRANSACTIONS 51
#define TRANSACTIONAL_ID_AUTH   53
#define FENCED_INSTANCE_ID      82
#define INVALID_RECORD          87
#define NOBODY_HAS_HEARD_OF_IT  4711

static enum kafka_class plain(int code)
{
    return kafka_fault_class(&(struct kafka_fault){.code = code});
}

static enum kafka_class fatal(int code)
{
    return kafka_fault_class(&(struct kafka_fault){.code = code, .fatal = true});
}

static enum kafka_class abortable(int code)
{
    return kafka_fault_class(&(struct kafka_fault){.code = code, .requires_abort = true});
}

static enum kafka_class retriable(int code)
{
    return kafka_fault_class(&(struct kafka_fault){.code = code, .retriable = true});
}

static void each_error_says_what_to_do_next(void **state)
{
    (void)state;
    assert_int_equal(plain(CONCURRENT_TRANSACTIONS), KAFKA_RETRY);
    assert_int_equal(plain(UNKNOWN_MEMBER_ID), KAFKA_ABORT);
    assert_int_equal(plain(OUT_OF_ORDER_SEQUENCE), KAFKA_ABORT);
    assert_int_equal(plain(INVALID_PRODUCER_EPOCH), KAFKA_REMAKE);
    assert_int_equal(plain(TOPIC_AUTHORIZATION), KAFKA_REFUSED);
    assert_int_equal(plain(UNKNOWN_TOPIC), KAFKA_REFUSED);
    assert_int_equal(plain(AUTO_OFFSET_RESET), KAFKA_GONE);
    assert_int_equal(plain(FENCED_INSTANCE_ID), KAFKA_FENCED);
    assert_int_equal(plain(AUTHENTICATION), KAFKA_AUTH);
    assert_int_equal(plain(GROUP_AUTHORIZATION), KAFKA_AUTH);
    assert_int_equal(plain(ALL_BROKERS_DOWN), KAFKA_DOWN);
    assert_int_equal(plain(TIMED_OUT), KAFKA_DOWN);
}

static void an_unknown_error_ends_the_producer(void **state)
{
    (void)state;
    assert_int_equal(plain(NOBODY_HAS_HEARD_OF_IT), KAFKA_REMAKE);
    assert_int_equal(fatal(NOBODY_HAS_HEARD_OF_IT), KAFKA_REMAKE);
    assert_int_equal(abortable(NOBODY_HAS_HEARD_OF_IT), KAFKA_ABORT);
    assert_int_equal(retriable(NOBODY_HAS_HEARD_OF_IT), KAFKA_RETRY);
}

static void a_fatal_error_ends_the_producer_whatever_it_is(void **state)
{
    (void)state;
    assert_int_equal(fatal(FENCED), KAFKA_REMAKE);
    assert_int_equal(fatal(TOPIC_AUTHORIZATION), KAFKA_REMAKE);
    assert_int_equal(fatal(TIMED_OUT), KAFKA_REMAKE);
    assert_int_equal(fatal(CONCURRENT_TRANSACTIONS), KAFKA_REMAKE);
}

static void only_another_process_with_our_name_or_a_lack_of_rights_stops_us(void **state)
{
    (void)state;
    assert_int_equal(fatal(FENCED_INSTANCE_ID), KAFKA_FENCED);
    assert_int_equal(fatal(TRANSACTIONAL_ID_AUTH), KAFKA_AUTH);
}

static void an_abort_keeps_its_reason_when_the_same_again_cannot_work(void **state)
{
    (void)state;
    assert_int_equal(abortable(MSG_SIZE_TOO_LARGE), KAFKA_REFUSED);
    assert_int_equal(abortable(TOPIC_AUTHORIZATION), KAFKA_REFUSED);
    assert_int_equal(abortable(MSG_TIMED_OUT), KAFKA_DOWN);
    assert_int_equal(abortable(GROUP_AUTHORIZATION), KAFKA_AUTH);
    assert_int_equal(abortable(UNKNOWN_MEMBER_ID), KAFKA_ABORT);
    assert_int_equal(abortable(INVALID_PRODUCER_EPOCH), KAFKA_ABORT);
}

static void an_abort_comes_before_a_retry(void **state)
{
    const struct kafka_fault both = {
        .code = UNKNOWN_MEMBER_ID, .requires_abort = true, .retriable = true};
    (void)state;
    assert_int_equal(kafka_fault_class(&both), KAFKA_ABORT);
}

static void a_refusal_says_why(void **state)
{
    (void)state;
    assert_int_equal(kafka_fault_refusal(MSG_SIZE_TOO_LARGE), KAFKA_TOO_LARGE);
    assert_int_equal(kafka_fault_refusal(UNKNOWN_TOPIC), KAFKA_NO_TOPIC);
    assert_int_equal(kafka_fault_refusal(TOPIC_AUTHORIZATION), KAFKA_NOT_ALLOWED);
    assert_int_equal(kafka_fault_refusal(INVALID_RECORD), KAFKA_INVALID);
    assert_int_equal(kafka_fault_refusal(TIMED_OUT), 0);
    assert_int_equal(kafka_fault_refusal(NOBODY_HAS_HEARD_OF_IT), 0);
}

static void the_message_says_what_failed_why_and_what_to_run(void **state)
{
    struct err err = {0};
    (void)state;
    int rc = kafka_fail(&err, &(struct kafka_fault){.code = ALL_BROKERS_DOWN}, NULL,
                        "could not read topic '%s'", "ready");
    assert_int_equal(rc, -KAFKA_DOWN);
    assert_string_equal(err.msg, "could not read topic 'ready': no broker answers");
    assert_string_equal(err.hint,
                        "start the broker, or check --brokers (OFFPEAK_BROKERS)");
    assert_int_equal(err.code, ERR_TEMP);
    assert_int_equal(err.retry, RETRY_LATER);
}

static void the_exit_code_follows_the_class(void **state)
{
    struct err err = {0};
    (void)state;
    kafka_fail(&err, &(struct kafka_fault){.code = AUTHENTICATION}, NULL, "x");
    assert_int_equal(err.code, ERR_AUTH);
    kafka_fail(&err, &(struct kafka_fault){.code = MSG_SIZE_TOO_LARGE}, NULL, "x");
    assert_int_equal(err.code, ERR_FAIL);
    kafka_fail(&err, &(struct kafka_fault){.code = FENCED, .fatal = true}, NULL, "x");
    assert_int_equal(err.code, ERR_TEMP);
    assert_int_equal(err.retry, RETRY_UNKNOWN);
    assert_int_equal(kafka_fail(NULL, &(struct kafka_fault){.code = FENCED}, NULL, "x"),
                     -KAFKA_REMAKE);
}

static void an_error_without_words_of_ours_has_the_librarys(void **state)
{
    struct err err = {0};
    (void)state;
    kafka_fail(&err, &(struct kafka_fault){.code = NOBODY_HAS_HEARD_OF_IT},
               "its own words", "could not do it");
    assert_string_equal(err.msg, "could not do it: its own words");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_error_says_what_to_do_next),
        cmocka_unit_test(an_unknown_error_ends_the_producer),
        cmocka_unit_test(a_fatal_error_ends_the_producer_whatever_it_is),
        cmocka_unit_test(only_another_process_with_our_name_or_a_lack_of_rights_stops_us),
        cmocka_unit_test(an_abort_keeps_its_reason_when_the_same_again_cannot_work),
        cmocka_unit_test(an_abort_comes_before_a_retry),
        cmocka_unit_test(a_refusal_says_why),
        cmocka_unit_test(the_message_says_what_failed_why_and_what_to_run),
        cmocka_unit_test(the_exit_code_follows_the_class),
        cmocka_unit_test(an_error_without_words_of_ours_has_the_librarys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
