/* What a person reads when something did not work. */
#include "core/err.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

static void a_message_is_formatted_and_the_code_comes_back_negative(void **state)
{
    struct err err;
    (void)state;
    assert_int_equal(
        err_set(&err, ERR_INPUT, "could not read '%s': line %d", "a.jsonl", 7),
        -ERR_INPUT);
    assert_string_equal(err.msg, "could not read 'a.jsonl': line 7");
    assert_string_equal(err.hint, "");
    assert_int_equal(err.code, ERR_INPUT);
    assert_int_equal(err.retry, RETRY_NEVER);
}

static void nobody_needs_to_listen(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, ERR_TEMP, "could not connect"), -ERR_TEMP);
    err_hint(NULL, "try later");
    assert_true(err_retryable(NULL, RETRY_LATER) < 0);
}

static void a_hint_and_a_retry_class_follow_the_message(void **state)
{
    struct err err;
    (void)state;
    err_set(&err, ERR_TEMP, "could not reach 'x'");
    err_hint(&err, "run offpeak %s", "doctor");
    assert_int_equal(err_retryable(&err, RETRY_LATER), -ERR_TEMP);
    assert_string_equal(err.hint, "run offpeak doctor");
    assert_int_equal(err.retry, RETRY_LATER);
}

static void a_new_message_forgets_the_old_hint(void **state)
{
    struct err err;
    (void)state;
    err_set(&err, ERR_TEMP, "first");
    err_hint(&err, "old");
    err_retryable(&err, RETRY_UNKNOWN);
    err_set(&err, ERR_FAIL, "second");
    assert_string_equal(err.hint, "");
    assert_int_equal(err.retry, RETRY_NEVER);
}

static void a_message_can_wrap_the_one_before(void **state)
{
    struct err err;
    (void)state;
    err_set(&err, ERR_FAIL, "disk full");
    err_set(&err, ERR_FAIL, "could not store 'x': %s", err.msg);
    assert_string_equal(err.msg, "could not store 'x': disk full");
}

static void a_file_name_cannot_move_the_cursor(void **state)
{
    struct err err;
    (void)state;
    err_set(&err, ERR_INPUT, "could not read '%s'", "a\x1b[2Jb\nc\x7f");
    assert_string_equal(err.msg, "could not read 'a?[2Jb?c?'");
}

static void a_long_message_is_cut_at_a_whole_character(void **state)
{
    struct err err;
    char text[3 * sizeof(err.msg)];
    (void)state;
    memset(text, 'a', sizeof(text));
    memcpy(text + sizeof(err.msg) - 3, "\xe2\x82\xac", 3); /* one byte too many */
    text[sizeof(text) - 1] = '\0';
    err_set(&err, ERR_FAIL, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 3);
    text[sizeof(text) - 1] = '\0';
    err_hint(&err, "%s", text);
    assert_int_equal(strlen(err.hint), sizeof(err.hint) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_formatted_and_the_code_comes_back_negative),
        cmocka_unit_test(nobody_needs_to_listen),
        cmocka_unit_test(a_hint_and_a_retry_class_follow_the_message),
        cmocka_unit_test(a_new_message_forgets_the_old_hint),
        cmocka_unit_test(a_message_can_wrap_the_one_before),
        cmocka_unit_test(a_file_name_cannot_move_the_cursor),
        cmocka_unit_test(a_long_message_is_cut_at_a_whole_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
