/* A set of ids on disk: what it answers, what it leaves behind, and what it says when it cannot. */
#include "core/idset.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct world {
    char dir[64];
    struct idset *set;
    struct err err;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    (void)snprintf(w->dir, sizeof(w->dir), "/tmp/offpeak-idset-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    assert_int_equal(idset_open(&w->set, w->dir, &w->err), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    w->set = idset_close(w->set);
    assert_int_equal(rmdir(w->dir), 0); /* fails if anything was left behind */
    free(w);
    return 0;
}

static int add(struct world *w, struct span id, uint64_t value, uint64_t *ret_first)
{
    int r = idset_add(w->set, id, value, ret_first, &w->err);
    if (r < 0) {
        fail_msg("%s", w->err.msg);
    }
    return r;
}

static int files_in(const char *dir)
{
    int n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
        n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    }
    (void)closedir(d);
    return n;
}

static void the_second_time_it_names_the_line_of_the_first(void **state)
{
    struct world *w = *state;
    uint64_t first = 0;
    assert_int_equal(add(w, SPAN_LIT("request-1"), 17, &first), 1);
    assert_int_equal(add(w, SPAN_LIT("request-2"), 18, &first), 1);
    assert_int_equal(add(w, SPAN_LIT("request-1"), 99, &first), 0);
    assert_int_equal(first, 17);
    assert_int_equal(add(w, SPAN_LIT("request-1"), 100, &first), 0);
    assert_int_equal(first, 17);
}

static void any_bytes_are_an_id(void **state)
{
    struct world *w = *state;
    uint64_t first = 0;
    assert_int_equal(add(w, SPAN_NONE, 1, &first), 1);
    assert_int_equal(add(w, SPAN_LIT("\0"), 2, &first), 1);
    assert_int_equal(add(w, SPAN_LIT("\0\0"), 3, &first), 1);
    assert_int_equal(add(w, SPAN_LIT("a\0b"), 4, &first), 1);
    assert_int_equal(add(w, SPAN_LIT("a"), 5, &first), 1);
    assert_int_equal(add(w, SPAN_LIT("a\0b"), 6, &first), 0);
    assert_int_equal(first, 4);
    assert_int_equal(add(w, SPAN_NONE, 7, &first), 0);
    assert_int_equal(first, 1);
}

static void long_ids_that_differ_in_the_last_byte_are_two(void **state)
{
    struct world *w = *state;
    char id[100 * 1024];
    uint64_t first = 0;
    const size_t sizes[] = {IDSET_KEY_MAX, IDSET_KEY_MAX + 1, sizeof(id)};
    memset(id, 'x', sizeof(id));
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        assert_int_equal(add(w, span_of(id, sizes[i]), i, &first), 1);
        id[sizes[i] - 1] = 'y';
        assert_int_equal(add(w, span_of(id, sizes[i]), 100 + i, &first), 1);
        assert_int_equal(add(w, span_of(id, sizes[i]), 7, &first), 0);
        assert_int_equal(first, 100 + i);
        id[sizes[i] - 1] = 'x';
    }
}

/* Numbers in an order that looks random but visits each once. */
static size_t shuffled(size_t i, size_t n)
{
    return i * 7919 % n; /* a prime that divides no n used here */
}

static void it_knows_every_id_of_many_batches(void **state)
{
    struct world *w = *state;
    const size_t n = 5 * IDSET_BATCH + 3;
    uint64_t first = 0;
    char id[32];
    for (size_t i = 0; i < n; i++) {
        int len = snprintf(id, sizeof(id), "id-%zu", shuffled(i, n));
        assert_int_equal(add(w, span_of(id, (size_t)len), i, &first), 1);
    }
    for (size_t i = 0; i < n; i++) {
        int len = snprintf(id, sizeof(id), "id-%zu", shuffled(i, n));
        assert_int_equal(add(w, span_of(id, (size_t)len), 0, &first), 0);
        assert_int_equal(first, i);
    }
}

static void its_file_has_no_name_while_it_is_in_use(void **state)
{
    struct world *w = *state;
    uint64_t first;
    add(w, SPAN_LIT("a"), 1, &first);
    assert_int_equal(files_in(w->dir), 0);
}

static void two_sets_in_one_folder_do_not_meet(void **state)
{
    struct world *w = *state;
    struct idset *other = NULL;
    uint64_t first;
    assert_int_equal(idset_open(&other, w->dir, &w->err), 0);
    assert_int_equal(add(w, SPAN_LIT("a"), 1, &first), 1);
    assert_int_equal(idset_add(other, SPAN_LIT("a"), 2, &first, &w->err), 1);
    other = idset_close(other);
    assert_null(other);
}

static void a_folder_that_is_not_there_is_an_error_with_words(void **state)
{
    (void)state;
    struct idset *set = NULL;
    struct err err = {0};
    assert_int_equal(idset_open(&set, "/nonexistent/folder", &err), -ERR_FAIL);
    assert_null(set);
    assert_non_null(strstr(err.msg, "No such file or directory"));
    assert_string_not_equal(err.hint, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_second_time_it_names_the_line_of_the_first,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(any_bytes_are_an_id, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_ids_that_differ_in_the_last_byte_are_two,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_knows_every_id_of_many_batches, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(its_file_has_no_name_while_it_is_in_use, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(two_sets_in_one_folder_do_not_meet, set_up,
                                        tear_down),
        cmocka_unit_test(a_folder_that_is_not_there_is_an_error_with_words),
    };
    return cmocka_run_group_tests_name("a set of ids on disk", tests, NULL, NULL);
}
