/* Which run is meant by `--run ID`, with and without --team and --feature. */
#include "cli/runs.h"

#include "core/queue.h"
#include "tests/lib/folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

struct folder {
    char dir[32];
    struct queue *queue;
    struct run_found found;
    struct err err;
};

static int given_folder(void **state)
{
    struct folder *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    snprintf(f->dir, sizeof(f->dir), "/tmp/offpeak-runs-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    struct queue_conf conf = {.dir = f->dir, .owner = true};
    assert_int_equal(queue_open(&f->queue, &conf, &f->err), 0);
    *state = f;
    return 0;
}

static int folder_goes(void **state)
{
    struct folder *f = *state;
    queue_close(f->queue);
    folder_remove(f->dir);
    free(f);
    return 0;
}

static void given_run(struct folder *f, const char *team, const char *feature,
                      const char *run, int64_t started_ms)
{
    char table[QUEUE_NAME_MAX], key[QUEUE_KEY_MAX];
    struct queue_tx *tx = NULL;
    uint64_t commit;
    _cleanup_(buf_fini) struct buf json;
    struct run_row row = {
        .lane = LANE_BATCH, .started_ms = started_ms, .reuse = "always"};
    buf_init(&json, 4096);
    table_runs(team, table);
    run_key(feature, run, key);
    assert_int_equal(run_row_encode(&row, &json), 0);
    assert_int_equal(queue_begin(f->queue, &tx), 0);
    assert_int_equal(
        queue_table_put(tx, table, 0, span_str(key), buf_span(&json), &f->err), 0);
    assert_int_equal(queue_commit_wait(tx, &commit, &f->err), 0);
}

static int asked_for(struct folder *f, const char *team, const char *feature,
                     const char *run)
{
    struct run_wanted wanted = {.team = team, .feature = feature, .run = run};
    f->err = (struct err){0};
    return run_need(f->queue, "results", &wanted, &f->found, &f->err);
}

static void expect(const struct folder *f, const char *team, const char *feature)
{
    assert_string_equal(f->found.team, team);
    assert_string_equal(f->found.feature, feature);
}

static void an_id_alone_is_enough_where_it_is_the_only_one(void **state)
{
    struct folder *f = *state;
    given_run(f, "shop", "tags", "night-1", 1000);
    given_run(f, "shop", "tags", "night-2", 2000);
    assert_int_equal(asked_for(f, NULL, NULL, "night-1"), 1);
    expect(f, "shop", "tags");
}

static void one_id_in_two_features_must_be_told_apart(void **state)
{
    struct folder *f = *state;
    given_run(f, "shop", "tags", "night", 1000);
    given_run(f, "shop", "titles", "night", 2000);
    assert_int_equal(asked_for(f, NULL, NULL, "night"), -ERR_USAGE);
    assert_string_equal(f->err.msg, "could not choose run 'night': 2 queues have one");
    assert_string_equal(f->err.hint,
                        "say which: offpeak results --run night --team shop --feature "
                        "titles, or --team shop --feature tags");
    assert_int_equal(asked_for(f, "shop", NULL, "night"), -ERR_USAGE);

    assert_int_equal(asked_for(f, NULL, "tags", "night"), 1);
    expect(f, "shop", "tags");
    assert_int_equal(asked_for(f, "shop", "titles", "night"), 1);
    expect(f, "shop", "titles");
}

static void one_id_in_two_teams_is_told_apart_by_the_team(void **state)
{
    struct folder *f = *state;
    given_run(f, "shop", "tags", "night", 2000);
    given_run(f, "ads", "tags", "night", 1000);
    assert_int_equal(asked_for(f, NULL, "tags", "night"), -ERR_USAGE);
    assert_int_equal(asked_for(f, "ads", NULL, "night"), 1);
    expect(f, "ads", "tags");
}

static void of_many_the_two_begun_last_are_named(void **state)
{
    struct folder *f = *state;
    given_run(f, "a", "one", "night", 3000);
    given_run(f, "b", "two", "night", 1000);
    given_run(f, "c", "three", "night", 2000);
    assert_int_equal(asked_for(f, NULL, NULL, "night"), -ERR_USAGE);
    assert_string_equal(f->err.msg, "could not choose run 'night': 3 queues have one");
    assert_string_equal(f->err.hint,
                        "say which: offpeak results --run night --team a --feature one, "
                        "or --team c --feature three");
}

static void the_hint_to_a_wrong_id_names_the_run_begun_last(void **state)
{
    struct folder *f = *state;
    given_run(f, "shop", "tags", "night-2", 2000);
    given_run(f, "ads", "tags", "night-1", 1000);
    assert_int_equal(asked_for(f, NULL, NULL, "nigth-1"), -ERR_USAGE);
    assert_string_equal(f->err.msg, "could not find run 'nigth-1'");
    assert_string_equal(
        f->err.hint,
        "the run begun last is --run night-2; offpeak cat runs.shop lists them");
    assert_int_equal(asked_for(f, NULL, "titles", "night-1"), -ERR_USAGE);
    assert_string_equal(f->err.msg, "could not find run 'night-1' of '*/titles'");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, given_folder, folder_goes)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_id_alone_is_enough_where_it_is_the_only_one),
        TEST(one_id_in_two_features_must_be_told_apart),
        TEST(one_id_in_two_teams_is_told_apart_by_the_team),
        TEST(of_many_the_two_begun_last_are_named),
        TEST(the_hint_to_a_wrong_id_names_the_run_begun_last),
    };
    return cmocka_run_group_tests_name("runs", tests, NULL, NULL);
}
