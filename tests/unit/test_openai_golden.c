/* Every type of reply on file (tests/golden/openai), as the driver reads it. What answers cost
 * is told in test_prices, what their bodies say in test_openai_answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker/openai.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define GOLDEN   "tests/golden/openai/"
#define FILE_ID  "file-Kq2mX9vTnR4bLw7c"
#define BATCH_ID "batch_6a1f0c9e52d84b7710c3"
#define KEY      "3f1c0a9e52d84b77" /* the submit key its batches are stamped with */

static json_t *load(const char *name)
{
    char path[200];
    snprintf(path, sizeof(path), GOLDEN "%s", name);
    json_t *json = json_load_file(path, 0, NULL);
    if (!json) {
        fail_msg("could not read %s", path);
    }
    return json;
}

/* Feeds a file as the reply to a request; the text must outlive the reading only. */
static enum step fed(const char *name, enum ask ask, int status, struct remote *ret,
                     struct err *err)
{
    json_t *json = load(name);
    char *text = json_dumps(json, 0);
    struct http_resp resp = {.outcome = HTTP_REPLY,
                             .status = status,
                             .retry_after_ms = -1,
                             .body = span_str(text)};
    *ret = (struct remote){0};
    enum step step = provider_openai.feed(ask, &resp, ret, err);
    free(text);
    json_decref(json);
    return step;
}

/* ---- files ---- */

static const struct {
    const char *name;
    enum ask ask;
    enum step step;
    uint64_t bytes;
} files[] = {
    {"file.json", ASK_UPLOAD, STEP_DONE, 48211},
    {"file.json", ASK_FILE, STEP_DONE, 48211},
    {"file_output.json", ASK_FILE, STEP_DONE, 91844},
    {"file_error.json", ASK_UPLOAD, STEP_DONE, 48211}, /* its batch will say why */
    {"file_deleted.json", ASK_DELETE_FILE, STEP_DONE, 0},
    {"file_list.json", ASK_FILE, STEP_UNSURE, 0}, /* a list is no file */
    {"file_list_empty.json", ASK_FILE, STEP_UNSURE, 0},
};

static void files_are_read_with_id_and_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct err err;
        struct remote r;
        enum step step = fed(files[i].name, files[i].ask, 200, &r, &err);
        if (step != files[i].step || r.bytes != files[i].bytes ||
            r.sized != (files[i].bytes > 0) || (r.created_s > 0) != r.sized) {
            fail_msg("%s: step %d, %llu bytes", files[i].name, (int)step,
                     (unsigned long long)r.bytes);
        }
        remote_fini(&r);
    }
    struct err err;
    struct remote r;
    fed("file.json", ASK_UPLOAD, 200, &r, &err);
    assert_string_equal(r.input, FILE_ID);
}

/* ---- batches ---- */

static const struct {
    const char *name;
    enum step step;
    enum remote_state state;
    enum remote_fail fail;
    bool output, error;
    uint64_t executed;
} batches[] = {
    {"batch_validating.json", STEP_WAIT, REMOTE_RUNNING, FAIL_NONE, false, false, 0},
    {"batch_in_progress.json", STEP_WAIT, REMOTE_RUNNING, FAIL_NONE, false, false, 413},
    {"batch_finalizing.json", STEP_WAIT, REMOTE_RUNNING, FAIL_NONE, false, false, 1000},
    {"batch_cancelling.json", STEP_WAIT, REMOTE_RUNNING, FAIL_NONE, false, false, 413},
    {"batch_completed.json", STEP_DONE, REMOTE_COMPLETED, FAIL_NONE, true, true, 1000},
    {"batch_completed_all_failed.json", STEP_DONE, REMOTE_COMPLETED, FAIL_NONE, false,
     true, 3},
    {"batch_expired.json", STEP_DONE, REMOTE_EXPIRED, FAIL_NONE, true, true, 1000},
    {"batch_cancelled.json", STEP_DONE, REMOTE_CANCELLED, FAIL_NONE, true, false, 431},
    {"batch_failed_invalid_line.json", STEP_DONE, REMOTE_FAILED, FAIL_LINES, false, false,
     0},
    {"batch_failed_token_limit.json", STEP_DONE, REMOTE_FAILED, FAIL_OVERFLOW, false,
     false, 0},
    {"batch_failed_input_gone.json", STEP_DONE, REMOTE_FAILED, FAIL_OTHER, false, false,
     0},
    {"batch_failed_no_reason.json", STEP_DONE, REMOTE_FAILED, FAIL_OTHER, false, false,
     0},
};

static void batches_are_read_in_every_state(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(batches); i++) {
        struct err err;
        struct remote r;
        enum step step = fed(batches[i].name, ASK_BATCH, 200, &r, &err);
        if (step != batches[i].step || r.state != batches[i].state ||
            r.fail != batches[i].fail || (r.output[0] != '\0') != batches[i].output ||
            (r.error[0] != '\0') != batches[i].error ||
            r.completed + r.failed != batches[i].executed) {
            fail_msg("%s: step %d, state %d, fail %d", batches[i].name, (int)step,
                     (int)r.state, (int)r.fail);
        }
        assert_string_equal(r.id, BATCH_ID);
        assert_string_equal(r.input, FILE_ID);
        assert_string_equal(r.key, KEY);
        assert_true(r.state != REMOTE_FAILED || r.why[0]);
        remote_fini(&r);
    }
}

static void lists_of_batches_are_read_by_the_page(void **state)
{
    static const struct {
        const char *name;
        size_t n;
        bool more;
    } pages[] = {{"batch_list.json", 2, true}, {"batch_list_empty.json", 0, false}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        struct err err;
        struct remote_page page = {0};
        json_t *json = load(pages[i].name);
        char *text = json_dumps(json, 0);
        struct http_resp resp = {
            .outcome = HTTP_REPLY, .status = 200, .body = span_str(text)};
        assert_int_equal(provider_openai.feed_list(&resp, &page, &err), STEP_DONE);
        assert_int_equal(page.n, pages[i].n);
        assert_int_equal(page.more, pages[i].more);
        if (page.n == 2) {
            assert_string_equal(page.v[0].key, KEY);
            assert_string_equal(page.v[1].key, ""); /* somebody else's */
        }
        remote_page_fini(&page);
        free(text);
        json_decref(json);
    }
}

/* ---- errors ---- */

static const struct {
    const char *name;
    int status;
    enum step step;
    int code; /* of a stop */
} errors[] = {
    {"error_400_missing_parameter.json", 400, STEP_REJECT, 0},
    {"error_400_wrong_extension.json", 400, STEP_REJECT, 0},
    {"error_401.json", 401, STEP_STOP, ERR_AUTH},
    {"error_403.json", 403, STEP_STOP, ERR_AUTH},
    {"error_404_batch.json", 404, STEP_WAIT, 0},
    {"error_404_file.json", 404, STEP_WAIT, 0},
    {"error_404_model.json", 404, STEP_WAIT, 0},
    {"error_408.json", 408, STEP_UNSURE, 0},
    {"error_409.json", 409, STEP_UNSURE, 0},
    {"error_413.json", 413, STEP_REJECT, 0},
    {"error_422.json", 422, STEP_REJECT, 0},
    {"error_429_insufficient_quota.json", 429, STEP_STOP, ERR_TEMP},
    {"error_429_rate_limit.json", 429, STEP_RETRY, 0},
    {"error_429_resource_unavailable.json", 429, STEP_RETRY, 0},
    {"error_500.json", 500, STEP_UNSURE, 0},
    {"error_502.json", 502, STEP_UNSURE, 0},
    {"error_503.json", 503, STEP_UNSURE, 0},
    {"error_504.json", 504, STEP_UNSURE, 0},
};

static void errors_are_told_apart_by_status_and_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        struct err err = {0};
        struct remote r;
        enum step step = fed(errors[i].name, ASK_BATCH, errors[i].status, &r, &err);
        if (step != errors[i].step ||
            (errors[i].code && (int)err.code != errors[i].code) ||
            (step == STEP_STOP && !err.hint[0])) {
            fail_msg("%s: step %d, code %d", errors[i].name, (int)step, (int)err.code);
        }
        assert_null(strstr(err.msg, "cdef")); /* the end of the key that was refused */
        remote_fini(&r);
    }
}

/* ---- lines of result files ---- */

static const struct {
    const char *name;
    enum line_kind kind;
} lines[] = {
    {"line_ok.json", LINE_ANSWER},
    {"line_ok_cached.json", LINE_ANSWER},
    {"line_ok_refusal.json", LINE_ANSWER},
    {"line_ok_escaped_custom_id.json", LINE_ANSWER},
    {"line_embedding_ok.json", LINE_ANSWER},
    {"line_response_ok.json", LINE_ANSWER},
    {"line_response_failed.json", LINE_BUSY},
    {"line_error_400.json", LINE_REFUSED},
    {"line_error_429.json", LINE_BUSY},
    {"line_error_500.json", LINE_BUSY},
    {"line_expired.json", LINE_UNEXECUTED},
    {"line_cancelled.json", LINE_UNEXECUTED},
};

static void lines_are_told_apart_by_what_became_of_their_request(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct provider_line l;
        json_t *json = load(lines[i].name);
        json_object_set_new(json, "custom_id", json_string("7")); /* ours are numbers */
        char *text = json_dumps(json, 0);
        int rc = provider_openai.decode(span_str(text), &l);
        if (rc < 0 || l.index != 7 || l.kind != lines[i].kind) {
            fail_msg("%s: %d, kind %d", lines[i].name, rc, (int)l.kind);
        }
        assert_int_equal(l.answer.usage_known, lines[i].kind == LINE_ANSWER);
        free(text);
        json_decref(json);
    }
}

/* ---- all of them ---- */

static bool is_read_here(const char *name)
{
    bool found = false;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        found |= !strcmp(name, files[i].name);
    }
    for (size_t i = 0; i < ARRAY_LEN(batches); i++) {
        found |= !strcmp(name, batches[i].name);
    }
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        found |= !strcmp(name, errors[i].name);
    }
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        found |= !strcmp(name, lines[i].name);
    }
    return found || !strncmp(name, "batch_list", 10);
}

static void no_reply_on_file_goes_unread(void **state)
{
    size_t n = 0;
    json_t *expected = load("expected.json");
    DIR *dir = opendir(GOLDEN);
    assert_non_null(dir);
    (void)state;
    for (struct dirent *e; (e = readdir(dir));) {
        const char *dot = strrchr(e->d_name, '.');
        if (!dot || strcmp(dot, ".json") != 0 || !strcmp(e->d_name, "expected.json")) {
            continue;
        }
        bool elsewhere = !strncmp(e->d_name, "response_failed", 15);
        if (!elsewhere && !is_read_here(e->d_name) &&
            !json_object_get(expected, e->d_name)) {
            fail_msg("%s is read by no test", e->d_name);
        }
        n++;
    }
    assert_true(n >= 70);
    closedir(dir);
    json_decref(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_read_with_id_and_size),
        cmocka_unit_test(batches_are_read_in_every_state),
        cmocka_unit_test(lists_of_batches_are_read_by_the_page),
        cmocka_unit_test(errors_are_told_apart_by_status_and_code),
        cmocka_unit_test(lines_are_told_apart_by_what_became_of_their_request),
        cmocka_unit_test(no_reply_on_file_goes_unread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
