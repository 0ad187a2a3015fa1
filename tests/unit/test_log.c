/* What is written about a night, and what never is. */
#include "core/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#define NIGHT INT64_C(1795227247311)

struct paper {
    struct log *log;
    int pipe[2];
    char text[40000];
};

static void open_paper(struct paper *p, enum log_format format, enum log_level level,
                       int64_t repeat_ms)
{
    assert_int_equal(pipe(p->pipe), 0);
    struct log_conf conf = {
        .fd = p->pipe[1], .format = format, .level = level, .repeat_ms = repeat_ms};
    assert_int_equal(log_create(&p->log, &conf, NULL), 0);
}

/* Everything that was written. */
static const char *read_paper(struct paper *p)
{
    close(p->pipe[1]);
    size_t n = 0;
    ssize_t got;
    while ((got = read(p->pipe[0], p->text + n, sizeof(p->text) - 1 - n)) > 0) {
        n += (size_t)got;
    }
    p->text[n] = '\0';
    close(p->pipe[0]);
    p->log = log_destroy(p->log);
    return p->text;
}

static void a_terminal_gets_plain_lines(void **state)
{
    struct paper p;
    (void)state;
    open_paper(&p, LOG_PLAIN, LOG_INFO, 0);
    log_line(p.log, LOG_INFO, NIGHT, "%d jobs", 7);
    log_line(p.log, LOG_WARN, NIGHT, "the key is readable");
    log_line(p.log, LOG_ERROR, NIGHT, "could not connect");
    log_line(p.log, LOG_DEBUG, NIGHT, "never seen");
    assert_string_equal(read_paper(&p), "7 jobs\nwarning: the key is readable\n"
                                        "error: could not connect\n");
}

static void a_collector_gets_logfmt(void **state)
{
    struct paper p;
    (void)state;
    open_paper(&p, LOG_LOGFMT, LOG_DEBUG, 0);
    log_line(p.log, LOG_DEBUG, NIGHT, "say \"hi\" \\ there");
    assert_string_equal(read_paper(&p), "time=2026-11-21T02:14:07.311Z level=debug "
                                        "msg=\"say \\\"hi\\\" \\\\ there\"\n");
}

static void an_error_brings_its_hint(void **state)
{
    struct err err;
    (void)state;
    err_set(&err, ERR_TEMP, "could not reach 'x'");
    err_hint(&err, "run offpeak doctor");
    struct paper p;
    open_paper(&p, LOG_PLAIN, LOG_INFO, 0);
    log_err(p.log, LOG_ERROR, NIGHT, &err);
    assert_string_equal(read_paper(&p),
                        "error: could not reach 'x'\nhint: run offpeak doctor\n");
    open_paper(&p, LOG_LOGFMT, LOG_INFO, 0);
    log_err(p.log, LOG_ERROR, NIGHT, &err);
    assert_non_null(strstr(read_paper(&p), " hint=\"run offpeak doctor\"\n"));
}

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
        assert_int_equal(log_redact(&b, span_str(cases[i].text)), 0);
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
        log_redact(&b, cases[i].text);
        assert_string_equal(b.p, cases[i].shown);
    }
}

static void what_repeats_is_written_once_and_summed_up(void **state)
{
    struct paper p;
    (void)state;
    open_paper(&p, LOG_PLAIN, LOG_INFO, 60000);
    for (int i = 0; i < 50; i++) {
        log_line(p.log, LOG_WARN, NIGHT + i * 1000, "the provider is slow");
        log_line(p.log, LOG_INFO, NIGHT + i * 1000, "step %d", i);
    }
    log_line(p.log, LOG_INFO, NIGHT + 60000, "end");
    log_flush(p.log, NIGHT + 60000, false);
    const char *text = read_paper(&p);
    assert_non_null(strstr(text, "warning: the provider is slow\nstep 0\nstep 1\n"));
    assert_non_null(
        strstr(text, "step 49\nwarning: the provider is slow (49 more in 60 s)\nend\n"));
}

static void after_the_interval_the_same_text_is_news_again(void **state)
{
    struct paper p;
    (void)state;
    open_paper(&p, LOG_PLAIN, LOG_INFO, 1000);
    log_line(p.log, LOG_INFO, NIGHT, "waiting");
    log_line(p.log, LOG_WARN, NIGHT, "waiting"); /* another level is another line */
    log_line(p.log, LOG_INFO, NIGHT + 1000, "waiting");
    log_line(p.log, LOG_INFO, NIGHT + 1500, "waiting");
    log_flush(p.log, NIGHT + 1600, true);
    assert_string_equal(read_paper(&p),
                        "waiting\nwarning: waiting\nwaiting\nwaiting (1 more in 0 s)\n");
}

static void many_texts_at_a_time_stay_bounded(void **state)
{
    struct paper p;
    (void)state;
    open_paper(&p, LOG_PLAIN, LOG_INFO, 60000);
    for (int i = 0; i < 10 * LOG_REPEATS_MAX; i++) {
        log_line(p.log, LOG_INFO, NIGHT + i, "text %d", i);
    }
    log_line(p.log, LOG_INFO, NIGHT + 1000, "text 0"); /* made room long ago: news */
    const char *text = read_paper(&p);
    assert_non_null(strstr(text, "text 319\ntext 0\n"));
}

static void a_huge_line_is_cut(void **state)
{
    static char huge[3 * LOG_LINE_MAX];
    struct paper p;
    (void)state;
    memset(huge, '\x01', sizeof(huge) - 1);
    open_paper(&p, LOG_LOGFMT, LOG_INFO, 0);
    log_line(p.log, LOG_INFO, NIGHT, "%s", huge);
    const char *text = read_paper(&p);
    assert_true(strlen(text) > LOG_LINE_MAX && strlen(text) < 3 * LOG_LINE_MAX);
    assert_string_equal(text + strlen(text) - 2, "\"\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_terminal_gets_plain_lines),
        cmocka_unit_test(a_collector_gets_logfmt),
        cmocka_unit_test(an_error_brings_its_hint),
        cmocka_unit_test(keys_are_masked_wherever_they_stand),
        cmocka_unit_test(control_characters_do_not_reach_the_terminal),
        cmocka_unit_test(what_repeats_is_written_once_and_summed_up),
        cmocka_unit_test(after_the_interval_the_same_text_is_news_again),
        cmocka_unit_test(many_texts_at_a_time_stay_bounded),
        cmocka_unit_test(a_huge_line_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
