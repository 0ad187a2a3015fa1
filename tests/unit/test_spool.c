/* The files of a batch: what is uploaded, and what was downloaded. */
#include "tests/unit/night.h"

#include "worker/openai.h"
#include "worker/spool.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const id = "01KAJ8Z3X00000000000000000";

static struct batch *given_batch(struct night *n, const char *const *questions,
                                 uint32_t count)
{
    struct batch *b;
    struct err err;
    assert_int_equal(spool_prepare(n->dir, &err), 0);
    assert_int_equal(batch_create(&b, count, &err), 0);
    snprintf(b->id, sizeof(b->id), "%s", id);
    snprintf(b->path, sizeof(b->path), "/v1/chat/completions");
    for (uint32_t i = 0; i < count; i++) {
        struct asked a = {.question = questions[i]};
        uint64_t at = release_job(n, &a);
        assert_int_equal(batch_add(b, call_for(n, at), at, &err), 0);
    }
    return b;
}

static int when_spooled(struct night *n, const struct batch *b, uint64_t *bytes,
                        struct err *err)
{
    const atomic_bool stop = false;
    struct spool_write w = {.queue = n->queue,
                            .dir = n->dir,
                            .provider = &provider_openai,
                            .batch = b,
                            .stop = &stop};
    *err = (struct err){.code = 0};
    return spool_write(&w, bytes, err);
}

static char *content(struct night *n, enum spool_file f)
{
    char path[SPOOL_PATH_MAX];
    char *text = calloc(1, 1 << 16);
    spool_path(n->dir, id, f, path);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_true(fread(text, 1, (1 << 16) - 1, file) < (1 << 16) - 1);
    fclose(file);
    return text;
}

static void test_the_input_has_a_line_for_each_member_numbered_by_its_place(void **state)
{
    struct night *n = *state;
    struct err err;
    uint64_t bytes = 0;
    static const char *const questions[] = {"one", "two"};
    struct batch *b = given_batch(n, questions, 2);
    assert_int_equal(when_spooled(n, b, &bytes, &err), 0);
    char *text = content(n, SPOOL_INPUT);
    assert_string_equal(text,
                        "{\"custom_id\":\"0\",\"method\":\"POST\",\"url\":\"/v1/chat/"
                        "completions\",\"body\":{\"q\":\"one\"}}\n"
                        "{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"/v1/chat/"
                        "completions\",\"body\":{\"q\":\"two\"}}\n");
    assert_int_equal(bytes, strlen(text));
    free(text);
    batch_destroy(b);
}

static void test_only_the_user_may_read_what_is_asked(void **state)
{
    struct night *n = *state;
    struct err err;
    uint64_t bytes;
    struct stat st;
    char path[SPOOL_PATH_MAX];
    static const char *const questions[] = {"one"};
    struct batch *b = given_batch(n, questions, 1);
    assert_int_equal(when_spooled(n, b, &bytes, &err), 0);
    spool_path(n->dir, id, SPOOL_INPUT, path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    batch_destroy(b);
}

static void test_writing_again_replaces_a_half_written_file(void **state)
{
    struct night *n = *state;
    struct err err;
    uint64_t bytes = 0;
    static const char *const questions[] = {"one"};
    struct batch *b = given_batch(n, questions, 1);
    int fd = spool_create(n->dir, id, SPOOL_INPUT, &err);
    assert_int_equal(write(fd, "{\"custom", 8), 8);
    close(fd);
    assert_int_equal(when_spooled(n, b, &bytes, &err), 0);
    char *text = content(n, SPOOL_INPUT);
    assert_int_equal(strlen(text), bytes);
    assert_memory_equal(text, "{\"custom_id\":\"0\"", 16);
    free(text);
    batch_destroy(b);
}

static void test_a_full_disk_is_an_error_with_a_hint_and_loses_nothing(void **state)
{
    struct night *n = *state;
    struct err err;
    uint64_t bytes;
    static const char *const questions[] = {"one"};
    struct batch *b = given_batch(n, questions, 1);
    char path[SPOOL_PATH_MAX];
    spool_path(n->dir, id, SPOOL_INPUT, path);
    assert_int_equal(symlink("/dev/full", path), 0); /* refused: nobody may redirect it */
    assert_int_equal(when_spooled(n, b, &bytes, &err), -ERR_FAIL);
    assert_non_null(strstr(err.msg, "could not write"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(when_spooled(n, b, &bytes, &err), 0);
    batch_destroy(b);
}

static void test_a_record_that_is_gone_is_named(void **state)
{
    struct night *n = *state;
    struct err err;
    uint64_t bytes;
    static const char *const questions[] = {"one"};
    struct batch *b = given_batch(n, questions, 1);
    b->ats[0] = 777;
    assert_int_equal(when_spooled(n, b, &bytes, &err), -ERR_FAIL);
    assert_non_null(strstr(err.msg, "record 777 of 'ready'"));
    batch_destroy(b);
}

static void test_a_stop_is_heard_between_two_lines(void **state)
{
    struct night *n = *state;
    struct err err;
    uint64_t bytes;
    static const char *const questions[] = {"one"};
    const atomic_bool stop = true;
    struct batch *b = given_batch(n, questions, 1);
    struct spool_write w = {n->queue, n->dir, &provider_openai, b, &stop};
    assert_int_equal(spool_write(&w, &bytes, &err), -ERR_TEMP);
    batch_destroy(b);
}

static void given_download(struct night *n, const char *text)
{
    struct err err;
    assert_int_equal(spool_prepare(n->dir, &err), 0);
    int fd = spool_create(n->dir, id, SPOOL_OUTPUT, &err);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void test_a_download_is_complete_when_it_ends_in_a_newline(void **state)
{
    struct night *n = *state;
    struct err err;
    struct spool_check check;
    given_download(n, "{}\n{}\n");
    assert_int_equal(spool_check(n->dir, id, SPOOL_OUTPUT, &check, &err), 0);
    assert_int_equal(check.bytes, 6);
    assert_true(check.ends);
    given_download(n, "{}\n{");
    assert_int_equal(spool_check(n->dir, id, SPOOL_OUTPUT, &check, &err), 0);
    assert_false(check.ends);
    assert_false(check.page);
    given_download(n, "");
    assert_int_equal(spool_check(n->dir, id, SPOOL_OUTPUT, &check, &err), 0);
    assert_true(check.ends);
    assert_false(check.page);
    given_download(n, "<html>Please sign in</html>\n");
    assert_int_equal(spool_check(n->dir, id, SPOOL_OUTPUT, &check, &err), 0);
    assert_true(check.page);
    spool_remove(n->dir, id);
    assert_false(spool_exists(n->dir, id, SPOOL_OUTPUT));
    assert_int_equal(spool_check(n->dir, id, SPOOL_OUTPUT, &check, &err), -ERR_FAIL);
}

static bool knows(void *ctx, const char *name)
{
    return strcmp(ctx, name) == 0;
}

static void test_files_of_batches_nobody_knows_are_swept_away(void **state)
{
    struct night *n = *state;
    struct err err;
    char other[] = "01KAJ8Z3X00000000000000001";
    given_download(n, "{}\n");
    close(spool_create(n->dir, other, SPOOL_ERROR, &err));
    spool_sweep(n->dir, knows, other);
    assert_false(spool_exists(n->dir, id, SPOOL_OUTPUT));
    assert_true(spool_exists(n->dir, other, SPOOL_ERROR));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, night_falls, night_ends)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_input_has_a_line_for_each_member_numbered_by_its_place),
        TEST(test_only_the_user_may_read_what_is_asked),
        TEST(test_writing_again_replaces_a_half_written_file),
        TEST(test_a_full_disk_is_an_error_with_a_hint_and_loses_nothing),
        TEST(test_a_record_that_is_gone_is_named),
        TEST(test_a_stop_is_heard_between_two_lines),
        TEST(test_a_download_is_complete_when_it_ends_in_a_newline),
        TEST(test_files_of_batches_nobody_knows_are_swept_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
