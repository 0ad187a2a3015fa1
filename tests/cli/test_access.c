/* Who needs which permissions on a broker, and which rules that stand are enough. */
#include "cli/access.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct access_scope search_tags = {"offpeak.", "search", "tags"};
static const struct access_scope search_all = {"offpeak.", "search", NULL};
static const struct access_scope no_team = {"offpeak.", NULL, NULL};

static struct access_rules *rules_of(const char *who, const struct access_scope *scope)
{
    static struct access_rules rules;
    struct access_who user;
    assert_int_equal(access_parse(who, &user, NULL), 0);
    assert_int_equal(access_rules(&user, scope, &rules, NULL), 0);
    return &rules;
}

static bool says(const struct access_rules *rules, const char *words)
{
    for (size_t i = 0; i < rules->n; i++) {
        _cleanup_(buf_fini) struct buf b;
        buf_init(&b, 1000);
        access_words(&rules->v[i], &b);
        if (!strcmp(b.p, words)) {
            return true;
        }
    }
    return false;
}

static void a_producer_may_put_its_jobs_and_read_no_results(void **state)
{
    (void)state;
    struct access_rules *r = rules_of("producer=search-app", &search_tags);
    assert_string_equal(r->principal, "User:search-app");
    assert_true(says(r, "write topic offpeak.jobs.search.tags"));
    assert_true(says(r, "write topic offpeak.runs.search"));
    assert_false(says(r, "read topic offpeak.results.search"));
    assert_false(says(r, "read topic offpeak.spend"));
}

static void without_a_feature_it_may_put_all_jobs_of_its_team_and_of_no_other(
    void **state)
{
    (void)state;
    struct access_rules *r = rules_of("producer=search-app", &search_all);
    assert_true(says(r, "write topic offpeak.jobs.search.*"));
    const struct kafka_acl other = {KAFKA_ACL_TOPIC, "offpeak.jobs.search2.tags", false,
                                    "User:search-app", KAFKA_ACL_WRITE};
    const struct kafka_acl own = {KAFKA_ACL_TOPIC, "offpeak.jobs.search.tags", false,
                                  "User:search-app", KAFKA_ACL_WRITE};
    bool may_own = false;
    for (size_t i = 0; i < r->n; i++) {
        assert_false(access_covers(&r->v[i], &other));
        may_own |= access_covers(&r->v[i], &own);
    }
    assert_true(may_own);
}

static void a_reader_reads_what_is_its_teams_with_groups_of_its_name(void **state)
{
    (void)state;
    struct access_rules *r = rules_of("reader=search-app", &search_all);
    assert_true(says(r, "read topic offpeak.results.search"));
    assert_true(says(r, "read group offpeak.search.*"));
    for (size_t i = 0; i < r->n; i++) {
        assert_int_equal(r->v[i].operation, KAFKA_ACL_READ);
    }
}

static void worker_and_scheduler_own_groups_and_transactional_ids_of_their_own(
    void **state)
{
    (void)state;
    struct access_rules *r = rules_of("worker=w", &no_team);
    assert_true(says(r, "read group offpeak.worker"));
    assert_true(says(r, "write transactional id offpeak.worker*"));
    assert_false(says(r, "write topic offpeak.ready"));
    r = rules_of("scheduler=s", &no_team);
    assert_true(says(r, "write topic offpeak.ready"));
    assert_false(says(r, "write topic offpeak.spend"));
}

static void spend_is_written_by_workers_and_operators_and_read_by_bi(void **state)
{
    (void)state;
    assert_true(says(rules_of("worker=w", &no_team), "write topic offpeak.spend"));
    assert_true(says(rules_of("operator=o", &no_team), "write topic offpeak.spend"));
    assert_true(says(rules_of("bi=b", &no_team), "read topic offpeak.spend"));
    assert_false(says(rules_of("bi=b", &no_team), "write topic offpeak.spend"));
}

static void a_teams_role_needs_a_team(void **state)
{
    (void)state;
    static struct access_rules rules;
    struct access_who user;
    struct err err = {0};
    assert_int_equal(access_parse("reader=x", &user, &err), 0);
    assert_int_equal(access_rules(&user, &no_team, &rules, &err), -ERR_USAGE);
    assert_string_equal(err.msg, "could not use --allow reader=User:x: it needs --team");
}

static void what_is_no_role_or_names_nobody_is_refused(void **state)
{
    (void)state;
    struct access_who user;
    const char *const bad[] = {"", "worker", "worker=", "boss=x", "=x", "Worker=x"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(access_parse(bad[i], &user, NULL), -ERR_USAGE);
    }
    assert_int_equal(access_parse("bi=Group:finance", &user, NULL), 0);
    assert_string_equal(user.principal, "Group:finance");
}

static void a_wider_rule_is_enough_and_a_narrower_one_is_not(void **state)
{
    (void)state;
    const char *me = "User:w";
    const struct kafka_acl needed = {KAFKA_ACL_TOPIC, "offpeak.runs.", true, me,
                                     KAFKA_ACL_READ};
    const struct {
        struct kafka_acl has;
        bool enough;
    } cases[] = {
        {{KAFKA_ACL_TOPIC, "offpeak.runs.", true, me, KAFKA_ACL_READ}, true},
        {{KAFKA_ACL_TOPIC, "offpeak.", true, me, KAFKA_ACL_READ}, true},
        {{KAFKA_ACL_TOPIC, "*", false, me, KAFKA_ACL_READ}, true},
        {{KAFKA_ACL_TOPIC, "offpeak.", true, "User:*", KAFKA_ACL_READ}, true},
        {{KAFKA_ACL_TOPIC, "offpeak.", true, me, KAFKA_ACL_ALL}, true},
        {{KAFKA_ACL_TOPIC, "offpeak.runs.search", false, me, KAFKA_ACL_READ}, false},
        {{KAFKA_ACL_TOPIC, "offpeak.runs.", false, me, KAFKA_ACL_READ}, false},
        {{KAFKA_ACL_TOPIC, "offpeak.runs.", true, "User:x", KAFKA_ACL_READ}, false},
        {{KAFKA_ACL_TOPIC, "offpeak.runs.", true, me, KAFKA_ACL_WRITE}, false},
        {{KAFKA_ACL_GROUP, "offpeak.runs.", true, me, KAFKA_ACL_READ}, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(access_covers(&cases[i].has, &needed), cases[i].enough);
    }
}

static void who_may_write_may_describe(void **state)
{
    (void)state;
    const struct kafka_acl needed = {KAFKA_ACL_TOPIC, "offpeak.spend", false, "User:w",
                                     KAFKA_ACL_DESCRIBE};
    struct kafka_acl has = needed;
    has.operation = KAFKA_ACL_WRITE;
    assert_true(access_covers(&has, &needed));
    has.operation = KAFKA_ACL_CREATE;
    assert_false(access_covers(&has, &needed));
}

static void a_command_holds_whatever_a_certificate_is_called(void **state)
{
    (void)state;
    _cleanup_(buf_fini) struct buf b;
    buf_init(&b, 1000);
    const struct kafka_acl acl = {KAFKA_ACL_TRANSACTIONAL_ID, "offpeak.worker", true,
                                  "User:CN=o'brien, O=us", KAFKA_ACL_WRITE};
    access_command(&acl, "k:9092", &b);
    assert_string_equal(
        b.p, "kafka-acls.sh --bootstrap-server k:9092 --add --allow-principal "
             "'User:CN=o'\\''brien, O=us' --operation Write "
             "--transactional-id offpeak.worker --resource-pattern-type prefixed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_producer_may_put_its_jobs_and_read_no_results),
        cmocka_unit_test(
            without_a_feature_it_may_put_all_jobs_of_its_team_and_of_no_other),
        cmocka_unit_test(a_reader_reads_what_is_its_teams_with_groups_of_its_name),
        cmocka_unit_test(
            worker_and_scheduler_own_groups_and_transactional_ids_of_their_own),
        cmocka_unit_test(spend_is_written_by_workers_and_operators_and_read_by_bi),
        cmocka_unit_test(a_teams_role_needs_a_team),
        cmocka_unit_test(what_is_no_role_or_names_nobody_is_refused),
        cmocka_unit_test(a_wider_rule_is_enough_and_a_narrower_one_is_not),
        cmocka_unit_test(who_may_write_may_describe),
        cmocka_unit_test(a_command_holds_whatever_a_certificate_is_called),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
