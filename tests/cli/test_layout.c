/* Which topics should stand on a broker, and what `offpeak topics check` says of those that do. */
#include "cli/layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define PREFIX "offpeak."

static int given_a_layout(void **state)
{
    static struct layout l;
    l = (struct layout){0};
    *state = &l;
    return 0;
}

static int it_goes(void **state)
{
    layout_fini(*state);
    return 0;
}

static struct layout_topic *the(struct layout *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++) {
        if (!strcmp(l->v[i].name, name)) {
            return &l->v[i];
        }
    }
    fail_msg("%s is not in the layout", name);
    return NULL;
}

static struct layout_topic *found(struct layout *l, const char *name, int32_t partitions)
{
    assert_int_equal(layout_found(l, PREFIX, name, partitions, NULL), 0);
    return the(l, name);
}

static enum layout_grade partitions_of(const struct layout_topic *t)
{
    struct layout_difference d;
    return layout_partitions(t, &d);
}

static struct layout_difference setting_of(const struct layout_topic *t, const char *name,
                                           const char *value)
{
    struct layout_difference d;
    const struct kafka_setting now = {name, value};
    enum layout_grade grade = layout_setting(t, &now, &d);
    assert_int_equal(grade, d.grade);
    return d;
}

/* ---- what should be there ---- */

static void the_system_has_ten_topics_and_tables_that_all_teams_share(void **state)
{
    struct layout *l = *state;
    assert_int_equal(layout_shared(l, PREFIX, NULL), 0);
    assert_int_equal(l->n, 10);
    const char *const spread[] = {PREFIX "ready", PREFIX "answers", PREFIX "batches",
                                  PREFIX "acks"};
    for (size_t i = 0; i < ARRAY_LEN(spread); i++) {
        assert_int_equal(the(l, spread[i])->partitions, 12);
    }
    assert_int_equal(the(l, PREFIX "spend")->partitions, 1);
    assert_int_equal(the(l, PREFIX "leader")->partitions, 1);
}

static void a_team_has_results_dead_letters_and_runs_and_each_feature_its_jobs(
    void **state)
{
    struct layout *l = *state;
    const struct layout_queue team = {.team = "search"};
    const struct layout_queue queue = {.team = "search", .feature = "tags"};
    assert_int_equal(layout_queue(l, PREFIX, &team, NULL), 0);
    assert_int_equal(l->n, 3);
    the(l, PREFIX "results.search");
    the(l, PREFIX "dead.search");
    assert_true(the(l, PREFIX "runs.search")->spec->table);
    assert_int_equal(layout_queue(l, PREFIX, &queue, NULL), 0);
    assert_int_equal(l->n, 4);
    assert_int_equal(the(l, PREFIX "jobs.search.tags")->partitions, 3);
}

static void a_jobs_topic_gets_the_partitions_that_were_asked_for(void **state)
{
    struct layout *l = *state;
    const struct layout_queue queue = {
        .team = "search", .feature = "tags", .partitions = 6};
    assert_int_equal(layout_queue(l, PREFIX, &queue, NULL), 0);
    assert_int_equal(the(l, PREFIX "jobs.search.tags")->partitions, 6);
    assert_int_equal(the(l, PREFIX "results.search")->partitions, 1);
}

static void who_has_a_queue_needs_what_its_team_needs(void **state)
{
    struct layout *l = *state;
    found(l, PREFIX "jobs.search.tags", 3);
    assert_int_equal(partitions_of(the(l, PREFIX "results.search")), LAYOUT_MISSING);
    assert_int_equal(partitions_of(the(l, PREFIX "runs.search")), LAYOUT_MISSING);
    assert_int_equal(partitions_of(the(l, PREFIX "jobs.search.tags")), LAYOUT_FINE);
}

/* ---- partitions ---- */

static void what_is_not_there_is_made_by_create(void **state)
{
    struct layout *l = *state;
    struct layout_difference d;
    assert_int_equal(layout_shared(l, PREFIX, NULL), 0);
    assert_int_equal(layout_partitions(the(l, PREFIX "ready"), &d), LAYOUT_MISSING);
    assert_string_equal(d.hint, "offpeak topics create");
}

static void what_says_where_equal_requests_meet_has_its_partitions_for_life(void **state)
{
    struct layout *l = *state;
    struct layout_difference d;
    assert_int_equal(partitions_of(found(l, PREFIX "answers", 12)), LAYOUT_FINE);
    assert_int_equal(layout_partitions(found(l, PREFIX "answers", 24), &d), LAYOUT_FATAL);
    assert_string_equal(d.is, "24");
    assert_string_equal(d.should, "12");
    assert_non_null(strstr(d.words, "for life"));
    assert_non_null(strstr(d.hint, "kafka.prefix"));
    assert_int_equal(partitions_of(found(l, PREFIX "ready", 3)), LAYOUT_FATAL);
    assert_int_equal(partitions_of(found(l, PREFIX "batches", 11)), LAYOUT_FATAL);
    assert_int_equal(partitions_of(found(l, PREFIX "acks", 1)), LAYOUT_FATAL);
}

static void what_has_one_order_has_one_partition_for_life(void **state)
{
    struct layout *l = *state;
    assert_int_equal(partitions_of(found(l, PREFIX "spend", 1)), LAYOUT_FINE);
    assert_int_equal(partitions_of(found(l, PREFIX "spend", 3)), LAYOUT_FATAL);
    assert_int_equal(partitions_of(found(l, PREFIX "results.search", 2)), LAYOUT_FATAL);
}

static void jobs_may_have_any_number_of_partitions_unless_one_is_asked_for(void **state)
{
    struct layout *l = *state;
    const struct layout_queue six = {
        .team = "search", .feature = "tags", .partitions = 6};
    struct layout_difference d;
    assert_int_equal(partitions_of(found(l, PREFIX "jobs.search.tags", 5)), LAYOUT_FINE);
    assert_int_equal(layout_queue(l, PREFIX, &six, NULL), 0);
    struct layout_topic *jobs = the(l, PREFIX "jobs.search.tags");
    assert_int_equal(layout_partitions(jobs, &d), LAYOUT_FATAL);
    assert_string_equal(d.hint,
                        "kafka-topics.sh --alter --topic offpeak.jobs.search.tags "
                        "--partitions 6 adds them");
    jobs->found = 8;
    assert_int_equal(partitions_of(jobs), LAYOUT_NOTE);
}

static void what_is_not_ours_is_left_alone(void **state)
{
    struct layout *l = *state;
    struct layout_topic *other = found(l, PREFIX "somebody", 7);
    assert_int_equal(partitions_of(other), LAYOUT_NOTE);
    assert_int_equal(setting_of(other, "retention.ms", "1").grade, LAYOUT_FINE);
}

/* ---- settings ---- */

static void a_shorter_life_than_is_needed_is_wrong_and_a_longer_one_is_not(void **state)
{
    struct layout *l = *state;
    struct layout_topic *results = found(l, PREFIX "results.search", 1);
    assert_int_equal(setting_of(results, "retention.ms", "2592000000").grade,
                     LAYOUT_FINE);
    assert_int_equal(setting_of(results, "retention.ms", "86400000").grade, LAYOUT_WRONG);
    assert_int_equal(setting_of(results, "retention.ms", "5184000000").grade,
                     LAYOUT_NOTE);
    assert_int_equal(setting_of(results, "retention.ms", "-1").grade, LAYOUT_NOTE);
}

static void jobs_and_ready_must_not_expire_by_time(void **state)
{
    struct layout *l = *state;
    struct layout_difference d =
        setting_of(found(l, PREFIX "jobs.search.tags", 3), "retention.ms", "604800000");
    assert_int_equal(d.grade, LAYOUT_WRONG);
    assert_string_equal(d.is, "604800000");
    assert_string_equal(d.should, "-1");
    d = setting_of(found(l, PREFIX "ready", 12), "retention.bytes", "1000000");
    assert_int_equal(d.grade, LAYOUT_WRONG);
}

static void a_table_must_be_compacted_and_only_that(void **state)
{
    struct layout *l = *state;
    struct layout_topic *open = found(l, PREFIX "open", 1);
    assert_int_equal(setting_of(open, "cleanup.policy", "compact").grade, LAYOUT_FINE);
    assert_int_equal(setting_of(open, "cleanup.policy", "delete").grade, LAYOUT_WRONG);
    assert_int_equal(setting_of(open, "cleanup.policy", "compact,delete").grade,
                     LAYOUT_WRONG);
    assert_int_equal(setting_of(open, "delete.retention.ms", "1000").grade, LAYOUT_WRONG);
    assert_int_equal(setting_of(open, "retention.ms", "1000").grade, LAYOUT_FINE);
}

static void smaller_records_than_are_allowed_are_wrong(void **state)
{
    struct layout *l = *state;
    struct layout_topic *ready = found(l, PREFIX "ready", 12);
    assert_int_equal(setting_of(ready, "max.message.bytes", "1048588").grade,
                     LAYOUT_WRONG);
    assert_int_equal(setting_of(ready, "max.message.bytes", "16777216").grade,
                     LAYOUT_NOTE);
    assert_int_equal(setting_of(ready, "message.timestamp.type", "CreateTime").grade,
                     LAYOUT_WRONG);
    assert_int_equal(setting_of(ready, "segment.bytes", "1048576").grade, LAYOUT_FINE);
}

/* ---- as commands ---- */

static void what_create_would_do_is_a_command_of_the_brokers_scripts(void **state)
{
    struct layout *l = *state;
    _cleanup_(buf_fini) struct buf b;
    buf_init(&b, 4096);
    struct layout_topic *open = found(l, PREFIX "open", 1);
    layout_make_command(open, "k:9092", &b);
    assert_string_equal(
        b.p, "kafka-topics.sh --bootstrap-server k:9092 --create --if-not-exists "
             "--topic offpeak.open --partitions 1 --config "
             "message.timestamp.type=LogAppendTime --config "
             "max.message.bytes=1048588 --config cleanup.policy=compact --config "
             "delete.retention.ms=604800000 --config "
             "min.cleanable.dirty.ratio=0.1\n");
    buf_reset(&b);
    const struct layout_difference wrong[] = {
        setting_of(open, "cleanup.policy", "delete"),
        setting_of(open, "max.message.bytes", "20000000"),
        setting_of(open, "delete.retention.ms", "1"),
    };
    layout_repair_command(open, wrong, ARRAY_LEN(wrong), "k:9092", &b);
    assert_string_equal(b.p,
                        "kafka-configs.sh --bootstrap-server k:9092 --alter "
                        "--entity-type topics --entity-name offpeak.open --add-config "
                        "cleanup.policy=compact,delete.retention.ms=604800000\n");
}

static void times_and_sizes_are_shown_as_people_say_them(void **state)
{
    char text[LAYOUT_TEXT_MAX];
    (void)state;
    layout_show_time("2592000000", text);
    assert_string_equal(text, "30 days");
    layout_show_time("-1", text);
    assert_string_equal(text, "for ever");
    layout_show_bytes("8454144", text);
    assert_string_equal(text, "8 MiB");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, given_a_layout, it_goes)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_system_has_ten_topics_and_tables_that_all_teams_share),
        CASE(a_team_has_results_dead_letters_and_runs_and_each_feature_its_jobs),
        CASE(a_jobs_topic_gets_the_partitions_that_were_asked_for),
        CASE(who_has_a_queue_needs_what_its_team_needs),
        CASE(what_is_not_there_is_made_by_create),
        CASE(what_says_where_equal_requests_meet_has_its_partitions_for_life),
        CASE(what_has_one_order_has_one_partition_for_life),
        CASE(jobs_may_have_any_number_of_partitions_unless_one_is_asked_for),
        CASE(what_is_not_ours_is_left_alone),
        CASE(a_shorter_life_than_is_needed_is_wrong_and_a_longer_one_is_not),
        CASE(jobs_and_ready_must_not_expire_by_time),
        CASE(a_table_must_be_compacted_and_only_that),
        CASE(smaller_records_than_are_allowed_are_wrong),
        CASE(what_create_would_do_is_a_command_of_the_brokers_scripts),
        CASE(times_and_sizes_are_shown_as_people_say_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
