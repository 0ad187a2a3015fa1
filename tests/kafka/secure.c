/* A broker that asks who one is: passwords, certificates, and what each may do. */
#include "tests/kafka/kafka_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* From now on the world is another user. */
static void become(struct world *w, const char *user)
{
    snprintf(w->file, sizeof(w->file), "%s/clients/%s.properties", getenv("KAFKA_DIR"),
             user);
    assert_int_equal(access(w->file, R_OK), 0);
}

struct given {
    const struct kafka_acl *acl;
    bool known;
};

static int is_given(void *ctx, const struct kafka_acl *acl)
{
    struct given *g = ctx;
    g->known |= strcmp(acl->name, g->acl->name) == 0 &&
                strcmp(acl->principal, g->acl->principal) == 0 &&
                acl->resource == g->acl->resource && acl->operation == g->acl->operation;
    return 0;
}

/* The broker answers before all of it knows. */
static void allow(struct world *w, const char *user, enum kafka_operation operation,
                  const char *topic)
{
    char principal[60];
    snprintf(principal, sizeof(principal), "User:%s", user);
    const struct kafka_acl acl = {
        .resource = KAFKA_ACL_TOPIC,
        .name = topic,
        .principal = principal,
        .operation = operation,
    };
    struct given given = {.acl = &acl};
    OK(w, kafka_admin_allow(w->admin, &acl, 1, &w->err));
    for (int64_t end = now_ms() + CALL_MS; !given.known && now_ms() < end;) {
        OK(w, kafka_admin_acls(w->admin, is_given, &given, &w->err));
    }
    assert_true(given.known);
}

/* librdkafka 2.0.2 cannot give this right. */
static void allow_transactions(struct world *w, const char *user)
{
    const char *const argv[] = {
        "scripts/kafka",    "acl",   "allow", user, "write,describe",
        "transactional-id", w->name, NULL};
    spawn(argv);
}

/* The world is team-a, which may write the first topic; the second is another team's. */
static void be_team_a(struct world *w, bool sees_second)
{
    make_topic(w, w->topic, 1, NULL, NULL);
    make_topic(w, w->second, 1, NULL, NULL);
    allow(w, "team-a", KAFKA_ACL_WRITE, w->topic);
    if (sees_second) {
        allow(w, "team-a", KAFKA_ACL_DESCRIBE, w->second);
    }
    allow_transactions(w, "team-a");
    become(w, "team-a");
    w->p = ready_producer(w, w->name);
}

static void begin_and_put(struct world *w, const char *topic)
{
    OK(w, kafka_producer_begin(w->p, &w->err));
    OK(w, put(w, w->p, topic, "x"));
}

static void start_anew(struct world *w)
{
    kafka_producer_destroy(w->p);
    w->p = ready_producer(w, w->name);
}

static void a_wrong_password_is_said_at_once_and_not_repeated(void **state)
{
    struct world *w = *state;
    char text[4300], line[4300];
    char path[] = "/tmp/offpeak-kafka-user-XXXXXX";
    int fd = mkstemp(path);
    FILE *from = fopen(w->file, "re"), *to = fdopen(fd, "w");
    assert_true(from && to);
    while (fgets(line, sizeof(line), from)) {
        bool password = strncmp(line, "sasl.password=", 14) == 0;
        fputs(password ? "sasl.password=hunter2\n" : line, to);
    }
    fclose(from);
    fclose(to);
    w->conf.file = path;
    int64_t begin = now_ms();
    w->p = open_producer(w, w->name);
    IS(w, -KAFKA_AUTH, kafka_producer_init(w->p, CALL_MS, &w->err));
    assert_true(now_ms() - begin < CALL_MS / 2);
    ASSERT_SAYS(w, "refuses the credentials");
    assert_int_equal(w->err.code, ERR_AUTH);
    assert_int_equal(w->notes_auth, 1);
    snprintf(text, sizeof(text), "%s %s %s", w->err.msg, w->err.hint, w->last_note);
    assert_null(strstr(text, "hunter2"));
    unlink(path);
}

static void a_certificate_is_as_good_as_a_password(void **state)
{
    struct world *w = *state;
    make_topic(w, w->topic, 1, NULL, NULL);
    become(w, "admin.mtls");
    w->p = ready_producer(w, w->name);
    begin_and_put(w, w->topic);
    OK(w, commit(w, w->p));
}

static void another_teams_topic_is_refused_before_it_costs_anything(void **state)
{
    struct world *w = *state;
    be_team_a(w, false);
    begin_and_put(w, w->topic);
    IS(w, -KAFKA_REFUSED, put(w, w->p, w->second, "theirs"));
    ASSERT_SAYS(w, "not allowed");
    const struct kafka_refusal *no = kafka_producer_refused(w->p);
    assert_true(no && no->why == KAFKA_NOT_ALLOWED && !no->entered);
    OK(w, commit(w, w->p));
}

static void a_topic_one_may_see_but_not_write_costs_its_transaction_only(void **state)
{
    struct world *w = *state;
    be_team_a(w, true);
    begin_and_put(w, w->second);
    IS(w, -KAFKA_REFUSED, commit(w, w->p));
    const struct kafka_refusal *no = kafka_producer_refused(w->p);
    assert_true(no && no->why == KAFKA_NOT_ALLOWED && no->entered);
    assert_string_equal(no->topic, w->second);
    IS(w, 1, kafka_producer_abort(w->p, CALL_MS, &w->err));
    start_anew(w);
    begin_and_put(w, w->topic);
    OK(w, commit(w, w->p));
}

static void a_forbidden_topic_among_others_is_found_one_at_a_time(void **state)
{
    struct world *w = *state;
    be_team_a(w, true);
    begin_and_put(w, w->topic);
    OK(w, put(w, w->p, w->second, "theirs"));
    IS(w, -KAFKA_REFUSED, commit(w, w->p));
    const struct kafka_refusal *no = kafka_producer_refused(w->p);
    assert_string_equal(no->topic, ""); /* never the wrong one */
    ASSERT_SAYS(w, w->topic);
    start_anew(w);
    begin_and_put(w, w->topic);
    OK(w, commit(w, w->p));
    OK(w, kafka_producer_begin(w->p, &w->err));
    OK(w, put(w, w->p, w->second, "theirs"));
    IS(w, -KAFKA_REFUSED, commit(w, w->p));
    assert_string_equal(kafka_producer_refused(w->p)->topic, w->second);
}

/* The broker's word may come while records are still being put. */
static void a_forbidden_topic_is_told_between_two_records_too(void **state)
{
    struct world *w = *state;
    make_topic(w, w->topic, 1, NULL, NULL);
    allow(w, "team-a", KAFKA_ACL_DESCRIBE, w->topic);
    allow_transactions(w, "team-a");
    become(w, "team-a");
    w->p = ready_producer(w, w->name);
    OK(w, kafka_producer_begin(w->p, &w->err));
    int rc = 0;
    for (int i = 0; rc == 0 && i < 100; i++) {
        rc = put(w, w->p, w->topic, "theirs");
        usleep(50000);
    }
    IS(w, -KAFKA_REFUSED, rc);
    ASSERT_SAYS(w, "not allowed");
    assert_string_equal(kafka_producer_refused(w->p)->topic, w->topic);
    IS(w, 1, kafka_producer_abort(w->p, CALL_MS, &w->err));
    allow(w, "team-a", KAFKA_ACL_WRITE, w->topic);
    kafka_producer_destroy(w->p);
    w->p = ready_producer(w, w->name);
    OK(w, kafka_producer_begin(w->p, &w->err));
    OK(w, put(w, w->p, w->topic, "mine now"));
    OK(w, commit(w, w->p));
}

/* What was dropped unsent leaves a gap in the numbering of its topic, and that producer cannot go on:
 * also when the refusal comes late, into a transaction that is under way and can be aborted. */
static void a_topic_forbidden_late_in_a_transaction_spends_the_producer(void **state)
{
    struct world *w = *state;
    char third[sizeof(w->second) + 8];
    snprintf(third, sizeof(third), "%s.third", w->second);
    be_team_a(w, true);
    make_topic(w, third, 1, NULL, NULL);
    allow(w, "team-a", KAFKA_ACL_WRITE, third);
    begin_and_put(w, third); /* so that it need not be looked up in between */
    OK(w, commit(w, w->p));
    begin_and_put(w, w->topic);
    usleep(500000); /* the transaction has it by now */
    OK(w, put(w, w->p, w->second, "theirs"));
    OK(w, put(w, w->p, third, "dropped"));
    IS(w, -KAFKA_REFUSED, commit(w, w->p));
    IS(w, 1, kafka_producer_abort(w->p, CALL_MS, &w->err));
    start_anew(w);
    begin_and_put(w, third);
    OK(w, commit(w, w->p));
}

static void a_transactional_id_needs_its_own_permission(void **state)
{
    struct world *w = *state;
    become(w, "team-a");
    w->p = open_producer(w, w->name);
    IS(w, -KAFKA_AUTH, kafka_producer_init(w->p, CALL_MS, &w->err));
    ASSERT_SAYS(w, "transactional id");
}

static void anothers_topic_cannot_be_read_and_one_needs_no_group_to_read(void **state)
{
    struct world *w = *state;
    struct kafka_event e;
    const struct kafka_place theirs = {w->second, 0, 0};
    make_topic(w, w->topic, 1, NULL, NULL);
    make_topic(w, w->second, 1, NULL, NULL);
    put_many(w, w->topic, 0, 1);
    allow(w, "team-a", KAFKA_ACL_READ, w->topic);
    become(w, "team-a");
    w->c = by_hand(w, false);
    IS(w, -KAFKA_REFUSED, kafka_consumer_add(w->c, &theirs, &w->err));
    ASSERT_SAYS(w, "not allowed");
    read_from(w, w->c, w->topic, 0, KAFKA_BEGINNING);
    assert_true(span_is(next_record(w, w->c).value, "0"));
    allow(w, "team-a", KAFKA_ACL_DESCRIBE, w->second);
    OK(w, kafka_consumer_add(w->c, &theirs, &w->err));
    e = await(w, w->c, KAFKA_TROUBLE);
    assert_true(e.class == KAFKA_REFUSED && strcmp(e.topic, w->second) == 0);
}

static void a_group_needs_its_own_permission(void **state)
{
    struct world *w = *state;
    struct kafka_event e;
    make_topic(w, w->topic, 1, NULL, NULL);
    allow(w, "team-a", KAFKA_ACL_READ, w->topic);
    become(w, "team-a");
    w->c = member(w, w->topic, NULL);
    IS(w, -KAFKA_AUTH, kafka_consumer_poll(w->c, CALL_MS, &e, &w->err));
    ASSERT_SAYS(w, "group");
}

static int find_mine(void *ctx, const struct kafka_acl *acl)
{
    struct world *w = ctx;
    w->delivered += strcmp(acl->name, w->topic) == 0 &&
                    strcmp(acl->principal, "User:team-a") == 0 && !acl->prefixed &&
                    acl->resource == KAFKA_ACL_TOPIC && acl->operation == KAFKA_ACL_READ;
    w->refused += strcmp(acl->name, w->name) == 0 && acl->prefixed;
    return 0;
}

static void permissions_are_given_once_and_listed(void **state)
{
    struct world *w = *state;
    const struct kafka_acl both[] = {
        {KAFKA_ACL_TOPIC, w->topic, false, "User:team-a", KAFKA_ACL_READ},
        {KAFKA_ACL_GROUP, w->name, true, "User:team-a", KAFKA_ACL_READ},
    };
    OK(w, kafka_admin_allow(w->admin, both, 2, &w->err));
    OK(w, kafka_admin_allow(w->admin, both, 2, &w->err));
    OK(w, kafka_admin_acls(w->admin, find_mine, w, &w->err));
    assert_int_equal(w->delivered, 1);
    assert_int_equal(w->refused, 1);
}

static void transactional_ids_are_allowed_where_the_library_can(void **state)
{
    struct world *w = *state;
    const struct kafka_acl acl = {KAFKA_ACL_TRANSACTIONAL_ID, w->name, true,
                                  "User:team-a", KAFKA_ACL_WRITE};
    int rc = kafka_admin_allow(w->admin, &acl, 1, &w->err);
    if (rc < 0) {
        assert_int_equal(rc, -KAFKA_WRONG);
        ASSERT_SAYS(w, "transactional ids");
        assert_non_null(strstr(w->err.hint, "kafka-acls.sh"));
        assert_true(kafka_version_number() < 0x02100000);
        return;
    }
    OK(w, kafka_admin_acls(w->admin, find_mine, w, &w->err));
    assert_int_equal(w->refused, 1);
    become(w, "team-a");
    w->p = ready_producer(w, w->name);
}

const struct CMUnitTest secure_tests[] = {
    KAFKA_TEST(a_wrong_password_is_said_at_once_and_not_repeated),
    KAFKA_TEST(a_certificate_is_as_good_as_a_password),
    KAFKA_TEST(another_teams_topic_is_refused_before_it_costs_anything),
    KAFKA_TEST(a_topic_one_may_see_but_not_write_costs_its_transaction_only),
    KAFKA_TEST(a_forbidden_topic_among_others_is_found_one_at_a_time),
    KAFKA_TEST(a_forbidden_topic_is_told_between_two_records_too),
    KAFKA_TEST(a_topic_forbidden_late_in_a_transaction_spends_the_producer),
    KAFKA_TEST(a_transactional_id_needs_its_own_permission),
    KAFKA_TEST(anothers_topic_cannot_be_read_and_one_needs_no_group_to_read),
    KAFKA_TEST(a_group_needs_its_own_permission),
    KAFKA_TEST(permissions_are_given_once_and_listed),
    KAFKA_TEST(transactional_ids_are_allowed_where_the_library_can),
};
const size_t secure_tests_n = ARRAY_LEN(secure_tests);
