/* What tells one account from another without telling its key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker/account.h"

#include <stdio.h>
#include <string.h>

static struct account account_of(const char *url, const char *text)
{
    char value[64];
    struct secret *key = NULL;
    struct account a;
    struct err err;
    const struct secret_sources from = {.env_value = value};
    (void)snprintf(value, sizeof(value), "%s", text);
    assert_int_equal(secret_load(&key, &from, &err), 0);
    assert_int_equal(account_init(&a, url, key, &err), 0);
    assert_ptr_equal(a.key, key);
    secret_destroy(key);
    a.key = NULL;
    return a;
}

static void test_a_base_url_may_end_in_slashes(void **state)
{
    (void)state;
    struct account a = account_of("https://api.openai.com/v1", "sk-1");
    struct account b = account_of("https://api.openai.com/v1//", "sk-1");
    assert_string_equal(a.base_url, "https://api.openai.com/v1");
    assert_string_equal(b.base_url, a.base_url);
    assert_string_equal(a.origin, "https://api.openai.com");
    assert_string_equal(a.fingerprint, b.fingerprint);
}

static void test_key_and_address_make_the_account_and_the_path_does_not(void **state)
{
    (void)state;
    struct account a = account_of("https://api.openai.com/v1", "sk-1");
    struct account path = account_of("https://api.openai.com/v2", "sk-1");
    struct account key = account_of("https://api.openai.com/v1", "sk-2");
    struct account host = account_of("https://eu.api.openai.com/v1", "sk-1");
    assert_string_equal(a.fingerprint, path.fingerprint);
    assert_string_not_equal(a.fingerprint, key.fingerprint);
    assert_string_not_equal(a.fingerprint, host.fingerprint);
}

/* Journals of other versions carry it: it may not change. SHA-256 by coreutils. */
static void test_a_fingerprint_is_twelve_digits_of_a_hash(void **state)
{
    (void)state;
    struct account a = account_of("https://api.openai.com/v1", "sk-1");
    assert_string_equal(a.fingerprint, "78c02509c788");
    assert_null(strstr(a.fingerprint, "sk-1"));
}

static void test_an_address_that_is_none_or_too_long_is_refused(void **state)
{
    (void)state;
    struct account a;
    struct err err;
    struct secret *key = NULL;
    char value[] = "sk-1", url[600] = "http://h/";
    const struct secret_sources from = {.env_value = value};
    assert_int_equal(secret_load(&key, &from, &err), 0);
    assert_true(account_init(&a, "api.openai.com", key, &err) < 0);
    assert_true(account_init(&a, "", key, &err) < 0);
    memset(url + 9, 'a', sizeof(a.base_url) - 1 - 9);
    assert_int_equal(account_init(&a, url, key, &err), 0);
    url[sizeof(a.base_url) - 1] = 'a';
    assert_int_equal(account_init(&a, url, key, &err), -ERR_USAGE);
    assert_non_null(strstr(err.msg, "longer than 511 bytes"));
    secret_destroy(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_base_url_may_end_in_slashes),
        cmocka_unit_test(test_key_and_address_make_the_account_and_the_path_does_not),
        cmocka_unit_test(test_a_fingerprint_is_twelve_digits_of_a_hash),
        cmocka_unit_test(test_an_address_that_is_none_or_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
