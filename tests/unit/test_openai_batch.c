/* What OpenAI's replies say of files, batches and lists of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/openai_reply.h"

#include <stdio.h>

static void test_an_uploaded_file_has_id_size_and_time(void **state)
{
    (void)state;
    struct remote r;
    struct err err;
    assert_int_equal(fed(ASK_UPLOAD, 200,
                         "{\"id\":\"file-abc123\",\"object\":\"file\",\"bytes\":48211,"
                         "\"created_at\":1795245099,\"purpose\":\"batch\"}",
                         &r, &err),
                     STEP_DONE);
    assert_string_equal(r.input, "file-abc123");
    assert_true(r.sized);
    assert_int_equal(r.bytes, 48211);
    assert_int_equal(r.created_s, 1795245099);
}

#define BATCH(status, rest)                                                         \
    "{\"id\":\"batch_abc\",\"object\":\"batch\",\"errors\":null,\"input_file_id\":" \
    "\"file-abc\",\"status\":\"" status "\",\"created_at\":1795245100,"             \
    "\"metadata\":{\"offpeak_submit_key\":\"01KAJ8Z3X00000000000000000\","          \
    "\"offpeak_go\":\"2\"}," rest "}"
#define NO_FILES "\"output_file_id\":null,\"error_file_id\":null"

static void test_states_of_a_batch_that_go_on_are_waited_for(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        BATCH("validating", NO_FILES),
        BATCH("in_progress", NO_FILES),
        BATCH("finalizing", NO_FILES),
        BATCH("cancelling", NO_FILES),
        BATCH("paused_by_a_new_feature", NO_FILES),
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct remote r;
        struct err err;
        assert_int_equal(fed(ASK_BATCH, 200, bodies[i], &r, &err), STEP_WAIT);
        assert_string_equal(r.id, "batch_abc");
    }
}

static void test_a_404_is_told_from_a_batch_that_runs(void **state)
{
    (void)state;
    struct remote r;
    struct err err;
    assert_int_equal(fed(ASK_BATCH, 404, "{\"error\":{}}", &r, &err), STEP_WAIT);
    assert_string_equal(r.id, "");
}

static void test_a_completed_batch_names_its_files_and_counts(void **state)
{
    (void)state;
    struct remote r;
    struct err err;
    const char *body = BATCH("completed",
                             "\"output_file_id\":\"file-o\",\"error_file_id\":null,"
                             "\"request_counts\":{\"total\":9,\"completed\":7,"
                             "\"failed\":2}");
    assert_int_equal(fed(ASK_BATCH, 200, body, &r, &err), STEP_DONE);
    assert_int_equal(r.state, REMOTE_COMPLETED);
    assert_string_equal(r.output, "file-o");
    assert_string_equal(r.error, "");
    assert_true(r.counted);
    assert_int_equal(r.completed, 7);
    assert_int_equal(r.failed, 2);
    assert_string_equal(r.key, "01KAJ8Z3X00000000000000000");
    assert_int_equal(r.go, 2);
}

static void test_a_batch_somebody_cancelled_says_so(void **state)
{
    (void)state;
    struct remote r;
    struct err err;
    assert_int_equal(fed(ASK_BATCH, 200, BATCH("cancelled", NO_FILES), &r, &err),
                     STEP_DONE);
    assert_int_equal(r.state, REMOTE_CANCELLED);
}

static void test_every_line_failed_is_completed_without_an_output_file(void **state)
{
    (void)state;
    struct remote r;
    struct err err;
    const char *body =
        BATCH("completed", "\"output_file_id\":null,\"error_file_id\":\"file-e\"");
    assert_int_equal(fed(ASK_BATCH, 200, body, &r, &err), STEP_DONE);
    assert_string_equal(r.output, "");
    assert_string_equal(r.error, "file-e");
}

static void test_counts_may_be_missing_null_or_spelled_otherwise(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        bool counted;
    } rows[] = {
        {BATCH("expired", NO_FILES), false},
        {BATCH("expired", NO_FILES ",\"request_counts\":null"), false},
        {BATCH("expired",
               NO_FILES ",\"request_counts\":{\"completed\":null,\"failed\":1}"),
         false},
        {BATCH("expired", NO_FILES ",\"request_counts\":{\"completed\":-1,\"failed\":1}"),
         false},
        {BATCH("expired",
               NO_FILES ",\"request_counts\":{\"completed\":3.0,\"failed\":\"1\"}"),
         true},
        {BATCH("expired", NO_FILES ",\"request_counts\":{\"completed\":4,\"failed\":0}"),
         true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct remote r;
        struct err err;
        assert_int_equal(fed(ASK_BATCH, 200, rows[i].body, &r, &err), STEP_DONE);
        assert_int_equal(r.state, REMOTE_EXPIRED);
        assert_int_equal(r.counted, rows[i].counted);
        assert_int_equal(r.completed + r.failed,
                         rows[i].counted ? 4 : r.completed + r.failed);
    }
}

static void test_too_many_enqueued_tokens_is_back_pressure(void **state)
{
    (void)state;
    struct remote r;
    struct err err;
    const char *body =
        "{\"id\":\"batch_abc\",\"status\":\"failed\",\"errors\":{\"object\":\"list\",\"data\":[{"
        "\"code\":\"token_limit_exceeded\",\"message\":\"Enqueued token limit reached\","
        "\"param\":null,\"line\":null}]}}";
    assert_int_equal(fed(ASK_BATCH, 200, body, &r, &err), STEP_DONE);
    assert_int_equal(r.state, REMOTE_FAILED);
    assert_int_equal(r.fail, FAIL_OVERFLOW);
    assert_string_equal(r.why, "Enqueued token limit reached");
    remote_fini(&r);
}

static void test_errors_that_name_lines_name_them_to_us(void **state)
{
    (void)state;
    struct remote r;
    struct err err;
    const char *body =
        "{\"id\":\"batch_abc\",\"status\":\"failed\",\"errors\":{\"data\":["
        "{\"code\":\"invalid_json_line\",\"message\":\"not parseable\",\"line\":1},"
        "{\"code\":\"mismatched_model\",\"message\":\"one model per file\",\"line\":17}]}}";
    assert_int_equal(fed(ASK_BATCH, 200, body, &r, &err), STEP_DONE);
    assert_int_equal(r.fail, FAIL_LINES);
    assert_int_equal(r.lines_len, 2);
    assert_int_equal(r.lines[0].line, 1);
    assert_int_equal(r.lines[1].line, 17);
    assert_string_equal(r.lines[1].why, "one model per file");
    remote_fini(&r);
}

static void test_only_so_many_bad_lines_are_named_at_once(void **state)
{
    (void)state;
    struct remote r;
    struct err err;
    _cleanup_(buf_fini) struct buf b;
    buf_init(&b, 1 << 20);
    buf_adds(&b, "{\"id\":\"batch_abc\",\"status\":\"failed\",\"errors\":{\"data\":[");
    for (int i = 1; i <= REMOTE_LINES_MAX + 5; i++) {
        buf_addf(&b, "%s{\"code\":\"invalid\",\"line\":%d}", i > 1 ? "," : "", i);
    }
    buf_adds(&b, "]}}");
    assert_int_equal(fed(ASK_BATCH, 200, b.p, &r, &err), STEP_DONE);
    assert_int_equal(r.fail, FAIL_LINES);
    assert_int_equal(r.lines_len, REMOTE_LINES_MAX);
    assert_int_equal(r.lines[REMOTE_LINES_MAX - 1].line, REMOTE_LINES_MAX);
    remote_fini(&r);
    assert_int_equal(r.lines_len, 0);
    remote_fini(&r);
}

static void test_a_time_that_cannot_be_is_unknown(void **state)
{
    (void)state;
    static const char *const times[] = {
        "-5", "null", "\"soon\"", "9300000000000000", "9223372036854775807", "1e300"};
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        struct remote r;
        struct err err;
        char body[200];
        snprintf(body, sizeof(body), "{\"id\":\"file-a\",\"created_at\":%s}", times[i]);
        assert_int_equal(fed(ASK_UPLOAD, 200, body, &r, &err), STEP_DONE);
        assert_int_equal(r.created_s, 0);
    }
}

static void test_a_batch_that_failed_without_a_reason_says_so(void **state)
{
    (void)state;
    struct remote r;
    struct err err;
    fed(ASK_BATCH, 200, BATCH("failed", "\"x\":1"), &r, &err);
    assert_int_equal(r.fail, FAIL_OTHER);
    assert_string_equal(r.why, "the batch failed and no reason was given");
}

static void test_a_page_that_says_more_and_leads_nowhere_is_not_the_last(void **state)
{
    (void)state;
    static const char *const pages[] = {
        "{\"data\":[],\"has_more\":true}",
        "{\"data\":[{\"status\":\"completed\"}],\"has_more\":true}",
        "{\"has_more\":false}",
    };
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        struct err err;
        _cleanup_(remote_page_fini) struct remote_page p = {.n = 0};
        struct http_resp resp = reply(200, pages[i]);
        assert_int_equal(openai->feed_list(&resp, &p, &err), STEP_UNSURE);
    }
}

static void test_an_id_of_several_parts_is_an_id(void **state)
{
    (void)state;
    struct remote r;
    struct err err;
    assert_int_equal(fed(ASK_CREATE, 200, "{\"id\":\"batches/b-1\"}", &r, &err),
                     STEP_DONE);
    assert_string_equal(r.id, "batches/b-1");
    assert_int_equal(fed(ASK_UPLOAD, 200, "{\"id\":\"files/f=1\"}", &r, &err), STEP_DONE);
    assert_string_equal(r.input, "files/f=1");
}

/* Stopped, so that nothing is judged lost; but a create with such an id did happen. */
static void test_an_id_that_cannot_be_asked_for_stops_the_account(void **state)
{
    (void)state;
    static const char *const ids[] = {"\"..\"",    "\"a/../b\"", "\"a//b\"",   "\"/a\"",
                                      "\"a/\"",    "\"a?b\"",    "\"a b\"",    "7",
                                      "\"a%2fb\"", "\"a#b\"",    "\"\\u00e9\""};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        char body[200];
        struct remote r;
        struct err err;
        snprintf(body, sizeof(body), "{\"id\":%s,\"status\":\"completed\"}", ids[i]);
        assert_int_equal(fed(ASK_UPLOAD, 200, body, &r, &err), STEP_STOP);
        assert_int_equal(fed(ASK_BATCH, 200, body, &r, &err), STEP_STOP);
        assert_int_equal(err.code, ERR_TEMP);
        assert_int_equal(fed(ASK_CREATE, 200, body, &r, &err), STEP_UNSURE);
        snprintf(body, sizeof(body),
                 "{\"id\":\"b\",\"status\":\"completed\",\"output_file_id\":%s}", ids[i]);
        assert_int_equal(fed(ASK_BATCH, 200, body, &r, &err), STEP_STOP);
    }
}

static void test_a_page_of_the_list_is_read_with_what_is_behind_it(void **state)
{
    (void)state;
    struct err err;
    _cleanup_(remote_page_fini) struct remote_page p = {.n = 0};
    struct http_resp resp = reply(
        200,
        "{\"object\":\"list\",\"data\":[" BATCH(
            "in_progress",
            NO_FILES) ","
                      "{\"id\":\"batch_old\",\"status\":\"completed\",\"created_at\":1795000000,"
                      "\"metadata\":null}],\"has_more\":true}");
    assert_int_equal(openai->feed_list(&resp, &p, &err), STEP_DONE);
    assert_int_equal(p.n, 2);
    assert_true(p.more);
    assert_string_equal(p.v[0].key, "01KAJ8Z3X00000000000000000");
    assert_string_equal(p.v[1].id, "batch_old");
    assert_string_equal(p.v[1].key, "");
    assert_int_equal(p.v[1].created_s, 1795000000);
}

static void given_page(struct buf *b, int batches)
{
    buf_init(b, 1 << 20);
    buf_adds(b, "{\"data\":[");
    for (int i = 0; i < batches; i++) {
        buf_addf(b, "%s{\"id\":\"batch_%d\"}", i ? "," : "", i);
    }
    buf_adds(b, "]}");
}

static void test_what_does_not_fit_on_a_page_is_still_behind_it(void **state)
{
    (void)state;
    static const struct {
        int batches;
        bool more;
    } rows[] = {{0, false}, {REMOTE_PAGE_MAX, false}, {REMOTE_PAGE_MAX + 1, true}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err;
        _cleanup_(remote_page_fini) struct remote_page p = {.n = 0};
        _cleanup_(buf_fini) struct buf b;
        given_page(&b, rows[i].batches);
        struct http_resp resp = reply(200, b.p);
        assert_int_equal(openai->feed_list(&resp, &p, &err), STEP_DONE);
        assert_int_equal(p.n, MIN_OF(rows[i].batches, REMOTE_PAGE_MAX));
        assert_int_equal(p.more, rows[i].more);
    }
}

static void test_a_list_that_is_refused_is_no_empty_list(void **state)
{
    (void)state;
    static const struct {
        int status;
        enum step step;
    } rows[] = {
        {401, STEP_STOP}, {500, STEP_UNSURE}, {429, STEP_RETRY}, {400, STEP_REJECT}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err;
        _cleanup_(remote_page_fini) struct remote_page p = {.n = 0};
        struct http_resp resp = reply(rows[i].status, "{\"error\":{},\"data\":[]}");
        assert_int_equal(openai->feed_list(&resp, &p, &err), rows[i].step);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_uploaded_file_has_id_size_and_time),
        cmocka_unit_test(test_states_of_a_batch_that_go_on_are_waited_for),
        cmocka_unit_test(test_a_404_is_told_from_a_batch_that_runs),
        cmocka_unit_test(test_a_completed_batch_names_its_files_and_counts),
        cmocka_unit_test(test_a_batch_somebody_cancelled_says_so),
        cmocka_unit_test(test_every_line_failed_is_completed_without_an_output_file),
        cmocka_unit_test(test_counts_may_be_missing_null_or_spelled_otherwise),
        cmocka_unit_test(test_too_many_enqueued_tokens_is_back_pressure),
        cmocka_unit_test(test_errors_that_name_lines_name_them_to_us),
        cmocka_unit_test(test_only_so_many_bad_lines_are_named_at_once),
        cmocka_unit_test(test_a_time_that_cannot_be_is_unknown),
        cmocka_unit_test(test_a_batch_that_failed_without_a_reason_says_so),
        cmocka_unit_test(test_a_page_that_says_more_and_leads_nowhere_is_not_the_last),
        cmocka_unit_test(test_an_id_of_several_parts_is_an_id),
        cmocka_unit_test(test_an_id_that_cannot_be_asked_for_stops_the_account),
        cmocka_unit_test(test_a_page_of_the_list_is_read_with_what_is_behind_it),
        cmocka_unit_test(test_what_does_not_fit_on_a_page_is_still_behind_it),
        cmocka_unit_test(test_a_list_that_is_refused_is_no_empty_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
