/* Reading result files: every line once, whatever stands in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker/collect.h"
#include "worker/openai.h"
#include "worker/spool.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const id = "01KAJ8Z3X00000000000000000";

struct folder {
    char dir[64];
};

static int begin(void **state)
{
    struct folder *f = calloc(1, sizeof(*f));
    struct err err;
    snprintf(f->dir, sizeof(f->dir), "/tmp/offpeak-collect-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(spool_prepare(f->dir, &err), 0);
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct folder *f = *state;
    char path[SPOOL_PATH_MAX];
    spool_remove(f->dir, id);
    snprintf(path, sizeof(path), "%s/spool", f->dir);
    rmdir(path);
    rmdir(f->dir);
    free(f);
    return 0;
}

static void given_bytes(struct folder *f, enum spool_file file, const char *p, size_t n)
{
    struct err err;
    int fd = spool_create(f->dir, id, file, &err);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), n);
    close(fd);
}

static void given(struct folder *f, enum spool_file file, const char *text)
{
    given_bytes(f, file, text, strlen(text));
}

#define FAILED(n) \
    "{\"custom_id\":\"" n "\",\"response\":{\"status_code\":400,\"body\":{}}}\n"
#define EXPIRED(n) \
    "{\"custom_id\":\"" n "\",\"response\":null,\"error\":{\"code\":\"batch_expired\"}}\n"

/* Reads all of it: the tally, and the indices in the order they came. */
static struct collect_tally when_read(struct folder *f, uint32_t members, uint64_t *seen,
                                      size_t *ret_n)
{
    struct collect *c;
    struct err err;
    struct collect_tally t;
    int n;
    *ret_n = 0;
    assert_int_equal(collect_open(&c, f->dir, id, members, &err), 0);
    while ((n = collect_read(c, &provider_openai, &err)) > 0) {
        assert_in_range(n, 1, COLLECT_LINES);
        for (uint32_t i = 0; i < (uint32_t)n; i++) {
            if (collect_first(c, collect_line(c, i))) {
                seen[(*ret_n)++] = collect_line(c, i)->index;
            }
        }
    }
    assert_int_equal(n, 0);
    assert_int_equal(collect_read(c, &provider_openai, &err),
                     0); /* the end stays the end */
    collect_tally(c, &t);
    collect_close(c);
    return t;
}

static void test_a_byte_order_mark_hides_no_line(void **state)
{
    uint64_t seen[4];
    size_t n;
    given(*state, SPOOL_OUTPUT, "\xef\xbb\xbf" FAILED("0") FAILED("1"));
    given(*state, SPOOL_ERROR, "\xef\xbb\xbf" FAILED("2"));
    struct collect_tally t = when_read(*state, 3, seen, &n);
    assert_int_equal(n, 3);
    assert_int_equal(t.garbage, 0);
}

static void test_both_files_are_read_and_matched_by_id(void **state)
{
    uint64_t seen[8];
    size_t n;
    given(*state, SPOOL_OUTPUT, FAILED("2") FAILED("0"));
    given(*state, SPOOL_ERROR, FAILED("1"));
    struct collect_tally t = when_read(*state, 3, seen, &n);
    assert_int_equal(n, 3);
    assert_int_equal(seen[0], 2);
    assert_int_equal(seen[1], 0);
    assert_int_equal(seen[2], 1);
    assert_int_equal(t.lines, 3);
    assert_int_equal(t.members, 3);
    assert_int_equal(t.executed, 3);
}

static void test_missing_and_empty_files_have_no_lines(void **state)
{
    uint64_t seen[8];
    size_t n;
    struct collect_tally t = when_read(*state, 3, seen, &n);
    assert_int_equal(t.lines, 0);
    given(*state, SPOOL_ERROR, "");
    t = when_read(*state, 3, seen, &n);
    assert_int_equal(t.lines, 0);
}

static void test_doubles_strangers_and_garbage_are_counted_and_skipped(void **state)
{
    uint64_t seen[8];
    size_t n;
    given(*state, SPOOL_OUTPUT,
          FAILED("1") "\n{\"broken\n" FAILED("1") FAILED("3") "\r\n");
    given(*state, SPOOL_ERROR, FAILED("1") FAILED("stranger"));
    struct collect_tally t = when_read(*state, 3, seen, &n);
    assert_int_equal(n, 1);
    assert_int_equal(t.members, 1);
    assert_int_equal(t.repeated, 2);
    assert_int_equal(t.foreign, 1);
    assert_int_equal(t.garbage, 2);
    assert_int_equal(t.lines, 6);
}

static void test_a_last_line_without_a_newline_counts(void **state)
{
    uint64_t seen[8];
    size_t n;
    given_bytes(*state, SPOOL_OUTPUT, FAILED("0"), sizeof(FAILED("0")) - 2);
    when_read(*state, 3, seen, &n);
    assert_int_equal(n, 1);
}

static void test_many_lines_come_in_bounded_slices_and_none_is_lost(void **state)
{
    enum { LINES = 5000 };
    static uint64_t seen[LINES];
    size_t n;
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int i = LINES - 1; i >= 0; i--) {
        buf_addf(
            &b, "{\"custom_id\":\"%d\",\"response\":{\"status_code\":400,\"body\":{}}}\n",
            i);
    }
    assert_false(b.failed);
    given_bytes(*state, SPOOL_OUTPUT, b.p, b.n);
    struct collect_tally t = when_read(*state, LINES, seen, &n);
    assert_int_equal(n, LINES);
    assert_int_equal(seen[0], LINES - 1);
    assert_int_equal(seen[LINES - 1], 0);
    assert_int_equal(t.garbage, 0);
    buf_fini(&b);
}

static void given_long_line(struct folder *f, size_t bytes)
{
    struct buf b;
    buf_init(&b, bytes + 1024);
    buf_adds(
        &b,
        FAILED(
            "0") "{\"custom_id\":\"1\",\"response\":{\"status_code\":400,\"body\":{\"x\":\"");
    size_t at = b.n;
    assert_int_equal(buf_reserve(&b, bytes), 0);
    memset(b.p + at, 'x', bytes);
    b.n += bytes;
    buf_adds(&b, "\"}}}\n" FAILED("2"));
    assert_false(b.failed);
    given_bytes(f, SPOOL_OUTPUT, b.p, b.n);
    buf_fini(&b);
}

static void test_a_line_longer_than_a_slice_is_taken_whole(void **state)
{
    uint64_t seen[8];
    size_t n;
    given_long_line(*state, 5 * COLLECT_BYTES);
    struct collect_tally t = when_read(*state, 3, seen, &n);
    assert_int_equal(n, 3);
    assert_int_equal(t.garbage, 0);
}

static void test_a_line_that_no_record_could_hold_is_skipped_alone(void **state)
{
    uint64_t seen[8];
    size_t n;
    given_long_line(*state, QUEUE_VALUE_MAX + COLLECT_BYTES);
    struct collect_tally t = when_read(*state, 3, seen, &n);
    assert_int_equal(n, 2);
    assert_int_equal(seen[0], 0);
    assert_int_equal(seen[1], 2);
    assert_int_equal(t.garbage, 1);
    assert_int_equal(t.lines, 3);
}

static void test_a_line_is_given_up_at_the_end_of_its_file(void **state)
{
    uint64_t seen[8];
    size_t n,
        bytes = QUEUE_VALUE_MAX + COLLECT_BYTES; /* all of it was read and dropped */
    char *text = malloc(bytes);
    assert_non_null(text);
    memset(text, 'x', bytes);
    given_bytes(*state, SPOOL_OUTPUT, text, bytes); /* and no newline */
    free(text);
    given(*state, SPOOL_ERROR, FAILED("1"));
    struct collect_tally t = when_read(*state, 3, seen, &n);
    assert_int_equal(n, 1);
    assert_int_equal(seen[0], 1);
    assert_int_equal(t.garbage, 1);
    assert_int_equal(t.lines, 2);
}

static int read_all(struct folder *f, struct err *err)
{
    struct collect *c;
    int rc;
    assert_int_equal(collect_open(&c, f->dir, id, 3, err), 0);
    while ((rc = collect_read(c, &provider_openai, err)) > 0) {
    }
    collect_close(c);
    return rc;
}

/* A file that cannot be read is no empty file: its jobs would be taken for unanswered. */
static void test_a_file_that_cannot_be_read_is_an_error_that_names_it(void **state)
{
    struct folder *f = *state;
    struct err err;
    char path[SPOOL_PATH_MAX];
    given(f, SPOOL_OUTPUT, FAILED("0"));
    spool_path(f->dir, id, SPOOL_ERROR, path);
    assert_int_equal(symlink(path, path), 0); /* cannot be opened */
    assert_int_equal(read_all(f, &err), -ERR_FAIL);
    assert_non_null(strstr(err.msg, path));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0); /* can be opened, cannot be read */
    assert_int_equal(read_all(f, &err), -ERR_FAIL);
    assert_non_null(strstr(err.msg, path));
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(read_all(f, &err), 0);
}

static void test_lines_may_be_missing_only_when_the_counts_agree(void **state)
{
    (void)state;
    struct collect_tally t = {.members = 100, .executed = 50};
    assert_false(
        collect_short(&t, true, 50));         /* the rest expired: certainly not billed */
    assert_true(collect_short(&t, true, 51)); /* one that was executed has no line */
    assert_true(collect_short(&t, false, 0)); /* nobody says how many were */
}

static void test_expired_lines_do_not_hide_a_missing_answer(void **state)
{
    uint64_t seen[8];
    size_t n;
    given(*state, SPOOL_OUTPUT, FAILED("0"));
    given(*state, SPOOL_ERROR, EXPIRED("1") EXPIRED("2"));
    struct collect_tally t =
        when_read(*state, 4, seen, &n); /* line 3 was answered and is lost */
    assert_int_equal(t.members, 3);
    assert_int_equal(t.executed, 1);
    assert_true(collect_short(&t, true, 2));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_byte_order_mark_hides_no_line),
        TEST(test_both_files_are_read_and_matched_by_id),
        TEST(test_missing_and_empty_files_have_no_lines),
        TEST(test_doubles_strangers_and_garbage_are_counted_and_skipped),
        TEST(test_a_last_line_without_a_newline_counts),
        TEST(test_many_lines_come_in_bounded_slices_and_none_is_lost),
        TEST(test_a_line_longer_than_a_slice_is_taken_whole),
        TEST(test_a_line_that_no_record_could_hold_is_skipped_alone),
        TEST(test_a_line_is_given_up_at_the_end_of_its_file),
        TEST(test_a_file_that_cannot_be_read_is_an_error_that_names_it),
        TEST(test_lines_may_be_missing_only_when_the_counts_agree),
        TEST(test_expired_lines_do_not_hide_a_missing_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
