/* What is shown of a text, and what never is. */
#include "core/redact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void keys_are_masked_wherever_they_stand(void **state)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"Incorrect API key: sk-canary-1234_5678.", "Incorrect API key: sk-***"},
        {"Authorization: Bearer abc.def-123, next", "Authorization: Bearer ***, next"},
        {"authorization: bearer tok", "authorization: bearer ***"},
        {"x-api-key: 12345 end", "x-api-key: *** end"},
        {"https://user:pw@host/v1", "https://***@host/v1"},
        {"https://host/v1?a=b@c", "https://host/v1?a=b@c"},
        {"the task-force and disk-usage", "the task-force and disk-usage"},
        {"key=sk-abcdefghij", "key=sk-***"},
        {"'sk-proj-x1234567890' and sk-second-1", "'sk-***' and sk-***"},
        {"sk-", "sk-"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_(buf_fini) struct buf b;
        buf_init(&b, 200);
        assert_int_equal(redact(&b, span_str(cases[i].text)), 0);
        assert_string_equal(b.p, cases[i].shown);
    }
}

static void control_characters_do_not_reach_the_terminal(void **state)
{
    static const struct {
        struct span text;
        const char *shown;
    } cases[] = {
        {SPAN_LIT("a\x1b[2J\n\r\tb\x7f"), "a\\x1b[2J\\x0a\\x0d\\x09b\\x7f"},
        {SPAN_LIT("nul\0."), "nul\\x00."},
        {SPAN_LIT("caf\xc3\xa9 \xff"), "caf\xc3\xa9 \\xff"},
        {SPAN_LIT("\xc2\x9b"
                  "31m"),
         "\\xc2\\x9b31m"}, /* an 8-bit escape */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_(buf_fini) struct buf b;
        buf_init(&b, 200);
        redact(&b, cases[i].text);
        assert_string_equal(b.p, cases[i].shown);
    }
}

static void what_does_not_fit_is_cut(void **state)
{
    (void)state;
    _cleanup_(buf_fini) struct buf b;
    buf_init(&b, 8);
    assert_int_equal(redact(&b, SPAN_LIT("0123456789")), -1);
    assert_true(b.n <= 8);
    assert_memory_equal(b.p, "0123456789", b.n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_masked_wherever_they_stand),
        cmocka_unit_test(control_characters_do_not_reach_the_terminal),
        cmocka_unit_test(what_does_not_fit_is_cut),
    };
    return cmocka_run_group_tests_name("redact", tests, NULL, NULL);
}
