/* Names of teams, features and runs. */
#include "core/name.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

static void teams_and_features_have_small_names(void **state)
{
    const char *good[] = {"a", "search", "data-2",
                          "0", "-",      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    const char *bad[] = {
        "",    "Search",   "a.b", "a_b",
        "a b", "\xc3\xa4", "a/b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(name_is_team(span_str(good[i])));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(name_is_team(span_str(bad[i])));
    }
    assert_false(name_is_team(SPAN_LIT("a\0b")));
}

static void run_ids_may_be_file_names_but_no_folders(void **state)
{
    const char *good[] = {"nightly-1f3a.2", "A_b", ".hidden", "..."};
    const char *bad[] = {"", ".", "..", "a/b", "a b", "\xc3\xa4"};
    char eighty_one[82] = {0};
    (void)state;
    memset(eighty_one, 'r', 81);
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(name_is_run(span_str(good[i])));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(name_is_run(span_str(bad[i])));
    }
    assert_false(name_is_run(span_str(eighty_one)));
    assert_true(name_is_run(span_of(eighty_one, 80)));
}

static void a_refusal_says_what_is_allowed(void **state)
{
    struct err err;
    (void)state;
    assert_int_equal(name_check_team("feature", SPAN_LIT("Search"), &err), -ERR_USAGE);
    assert_string_equal(err.msg,
                        "could not use the feature 'Search': a feature has 1 to 40 of "
                        "a-z, 0-9 and -");
    assert_int_equal(name_check_run(SPAN_LIT("a b"), &err), -ERR_USAGE);
    assert_string_equal(err.msg,
                        "could not use the run id 'a b': a run id has 1 to 80 of a-z, "
                        "A-Z, 0-9, '.', '_' and '-'");
    assert_int_equal(name_check_team("team", SPAN_LIT("search"), &err), 0);
    assert_int_equal(name_check_run(SPAN_LIT("r1"), &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(teams_and_features_have_small_names),
        cmocka_unit_test(run_ids_may_be_file_names_but_no_folders),
        cmocka_unit_test(a_refusal_says_what_is_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
