/* A broker that is not there, stands still or was away: every call ends in its time. */
#include "tests/kafka/kafka_world.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static int go_on(void **state)
{
    broker_signal(SIGCONT);
    return world_teardown(state);
}

static void took(const char *what, int64_t begin, int most_ms)
{
    int64_t ms = now_ms() - begin;
    print_message("%s: %lld ms\n", what, (long long)ms);
    assert_true(ms <= most_ms);
}

static void no_broker_is_said_in_time_and_noted(void **state)
{
    struct world *w = *state;
    struct kafka_cluster cluster;
    struct kafka_event e;
    const struct kafka_place at = {"x", 0, 0};
    int64_t begin = now_ms();
    w->conf.brokers = "127.0.0.1:1"; /* nobody listens there */
    w->p = open_producer(w, w->name);
    IS(w, -KAFKA_DOWN, kafka_producer_init(w->p, 2000, &w->err));
    ASSERT_SAYS(w, "no broker");
    assert_non_null(strstr(w->err.hint, "--brokers"));
    assert_int_equal(w->notes_down, 1);
    took("init", begin, 2000 + KAFKA_SLACK_MS);
    w->p = kafka_producer_destroy(w->p);

    begin = now_ms();
    w->c = by_hand(w, false);
    assert_int_equal(kafka_consumer_poll(w->c, 500, &e, &w->err), 0);
    IS(w, -KAFKA_DOWN, kafka_consumer_add(w->c, &at, &w->err));
    took("add", begin, KAFKA_SLACK_MS);

    struct kafka_admin *a = NULL;
    int64_t first, end;
    OK(w, kafka_admin_open(&a, &w->conf, &w->err));
    begin = now_ms();
    IS(w, -KAFKA_DOWN, kafka_admin_cluster(a, &cluster, &w->err));
    took("cluster", begin, KAFKA_ADMIN_MS + KAFKA_SLACK_MS);
    begin = now_ms();
    IS(w, -KAFKA_DOWN, kafka_admin_bounds(a, &at, true, &first, &end, &w->err));
    took("bounds", begin, KAFKA_SLACK_MS);
    begin = now_ms();
    kafka_admin_destroy(a);
    w->c = kafka_consumer_destroy(w->c);
    took("destroy", begin, KAFKA_SLACK_MS);
}

static void *watch(void *arg)
{
    struct world *w = arg;
    usleep(1500000);
    int64_t since = kafka_producer_since(w->p);
    return (void *)(intptr_t)since;
}

static void a_commit_that_gets_no_answer_ends_in_its_time_and_is_not_trusted(void **state)
{
    struct world *w = *state;
    pthread_t watchdog;
    void *since = NULL;
    make_topic(w, w->topic, 1, NULL, NULL);
    w->p = ready_producer(w, w->name);
    OK(w, kafka_producer_begin(w->p, &w->err));
    OK(w, put(w, w->p, w->topic, "perhaps"));
    OK(w, kafka_producer_flush(w->p, CALL_MS, &w->err));
    assert_int_equal(kafka_producer_since(w->p), 0);
    broker_signal(SIGSTOP);
    assert_int_equal(pthread_create(&watchdog, NULL, watch, w), 0);
    int64_t begin = now_ms();
    IS(w, -KAFKA_REMAKE,
       kafka_producer_commit(w->p, &(struct kafka_commit){.n = 0}, 4000, &w->err));
    took("commit of 4 s", begin, 4000 + KAFKA_SLACK_MS);
    assert_int_equal(w->err.retry, RETRY_UNKNOWN);
    assert_int_equal(pthread_join(watchdog, &since), 0);
    assert_in_range((intptr_t)since, 1000, 3000);
    IS(w, -KAFKA_REMAKE, kafka_producer_abort(w->p, 1000, &w->err));
    IS(w, -KAFKA_REMAKE, put(w, w->p, w->topic, "x"));
    begin = now_ms();
    w->p = kafka_producer_destroy(w->p);
    took("destroy", begin, KAFKA_SLACK_MS);
    broker_signal(SIGCONT);
    w->p = ready_producer(w, w->name);
    OK(w, kafka_producer_begin(w->p, &w->err));
    OK(w, put(w, w->p, w->topic, "after"));
    OK(w, commit(w, w->p));
    w->c = by_hand(w, false);
    read_from(w, w->c, w->topic, 0, KAFKA_BEGINNING);
    struct kafka_event e = next_record(w, w->c);
    print_message("the commit without an answer %s\n",
                  span_is(e.value, "perhaps") ? "was made" : "was not made");
    while (!span_is(e.value, "after")) {
        e = next_record(w, w->c);
    }
}

static void offsets_that_get_no_answer_end_in_their_time(void **state)
{
    struct world *w = *state;
    struct kafka_group *group = NULL;
    make_topic(w, w->topic, 1, NULL, NULL);
    w->c = member(w, w->topic, NULL);
    struct kafka_event e = await(w, w->c, KAFKA_ASSIGNED);
    take_all(w, w->c, &e);
    w->p = ready_producer(w, w->name);
    OK(w, kafka_consumer_group(w->c, &group, &w->err));
    OK(w, kafka_producer_begin(w->p, &w->err));
    OK(w, put(w, w->p, w->topic, "x"));
    OK(w, kafka_producer_flush(w->p, CALL_MS, &w->err));
    broker_signal(SIGSTOP);
    const struct kafka_place next = {w->topic, 0, 0};
    int64_t begin = now_ms();
    IS(w, -KAFKA_REMAKE,
       kafka_producer_commit(w->p, &(struct kafka_commit){&next, 1, group}, 3000,
                             &w->err));
    took("offsets of 3 s", begin, 3000 + KAFKA_SLACK_MS);
    kafka_group_destroy(group);
    begin = now_ms();
    w->p = kafka_producer_destroy(w->p);
    w->c = kafka_consumer_destroy(w->c);
    took("destroy of both", begin, 3000 + KAFKA_SLACK_MS);
    broker_signal(SIGCONT);
}

static void records_that_get_no_answer_each_have_their_outcome(void **state)
{
    struct world *w = *state;
    make_topic(w, w->topic, 1, NULL, NULL);
    w->p = open_producer(w, NULL);
    OK(w, put(w, w->p, w->topic, "stored"));
    OK(w, kafka_producer_flush(w->p, CALL_MS, &w->err));
    broker_signal(SIGSTOP);
    for (int i = 0; i < 50; i++) {
        OK(w, put(w, w->p, w->topic, "x"));
    }
    int64_t begin = now_ms();
    IS(w, -KAFKA_DOWN, kafka_producer_flush(w->p, 2000, &w->err));
    took("flush of 2 s", begin, 2000 + KAFKA_SLACK_MS);
    assert_int_equal(w->delivered, 1);
    assert_int_equal(w->refused, 50);
    assert_true(w->perhaps > 0);
    IS(w, -KAFKA_REMAKE, put(w, w->p, w->topic, "x"));
    broker_signal(SIGCONT);
}

static void calls_of_a_stopped_broker_end_in_their_time(void **state)
{
    struct world *w = *state;
    int64_t first, end;
    make_topic(w, w->topic, 1, NULL, NULL);
    const struct kafka_place at = {w->topic, 0, 0};
    OK(w, kafka_admin_bounds(w->admin, &at, true, &first, &end, &w->err));
    broker_signal(SIGSTOP);
    int64_t begin = now_ms();
    assert_true(kafka_admin_bounds(w->admin, &at, true, &first, &end, &w->err) < 0);
    took("bounds", begin, KAFKA_SLACK_MS);
    begin = now_ms();
    assert_true(kafka_admin_partitions(w->admin, w->topic, &w->err) < 0);
    took("partitions", begin, KAFKA_SLACK_MS);
    begin = now_ms();
    assert_true(kafka_admin_trim(w->admin, &at, 1, &w->err) < 0);
    took("trim", begin, KAFKA_ADMIN_MS + KAFKA_SLACK_MS);
    broker_signal(SIGCONT);
}

/* What the engine does, in small: after whatever class, until it is committed. */
static int commit_at_last(struct world *w, const char *value)
{
    int64_t end = now_ms() + 60000;
    int remakes = 0;
    for (int rc = -1; rc != 0;) {
        assert_true(now_ms() < end);
        if (!w->p) {
            w->p = open_producer(w, w->name);
            remakes++;
            if (kafka_producer_init(w->p, 5000, &w->err) < 0) {
                w->p = kafka_producer_destroy(w->p);
                continue;
            }
        }
        rc = kafka_producer_begin(w->p, &w->err);
        rc = rc < 0 ? rc : put(w, w->p, w->topic, value);
        rc = rc < 0 ? rc
                    : kafka_producer_commit(w->p, &(struct kafka_commit){.n = 0}, 10000,
                                            &w->err);
        if (rc < 0 &&
            (rc == -KAFKA_REMAKE || kafka_producer_abort(w->p, 5000, &w->err) != 0)) {
            w->p = kafka_producer_destroy(w->p);
        }
    }
    return remakes;
}

static void *restart_broker(void *arg)
{
    const char *const kill[] = {"scripts/kafka", "kill", NULL};
    const char *const up[] = {"scripts/kafka", "up", NULL};
    struct world *w = arg;
    spawn(kill);
    usleep(7000000); /* longer than the session */
    spawn(up);
    atomic_store(&w->restarted, true);
    return NULL;
}

/* A member that polls all the time, as it must. True for a record of this value. */
static bool poll_member(struct world *w, const char *value)
{
    struct kafka_event e;
    int rc = kafka_consumer_poll(w->peer, 50, &e, &w->err);
    if (rc == 1 && e.what == KAFKA_ASSIGNED) {
        take_all(w, w->peer, &e);
    } else if (rc == 1 && (e.what == KAFKA_REVOKED || e.what == KAFKA_LOST)) {
        rc = kafka_consumer_give(w->peer, &w->err);
    } else if (rc == 1 && e.what == KAFKA_RECORD) {
        return span_is(e.value, value);
    }
    if (rc == -KAFKA_FENCED || rc == -KAFKA_REMAKE) {
        fail_msg("%s", w->err.msg);
    }
    return false;
}

static void a_broker_that_was_killed_and_came_back_is_used_again(void **state)
{
    struct world *w = *state;
    pthread_t restart;
    make_topic(w, w->topic, 1, NULL, NULL);
    w->p = ready_producer(w, w->name);
    commit_at_last(w, "before");
    w->c = by_hand(w, false);
    read_from(w, w->c, w->topic, 0, KAFKA_BEGINNING);
    w->peer = member(w, w->topic, "one");
    assert_true(span_is(next_record(w, w->c).value, "before"));
    while (!poll_member(w, "before")) {
    }
    OK(w, kafka_producer_begin(w->p, &w->err));
    OK(w, put(w, w->p, w->topic, "lost or not"));
    OK(w, kafka_producer_flush(w->p, CALL_MS, &w->err));
    assert_int_equal(pthread_create(&restart, NULL, restart_broker, w), 0);
    while (!atomic_load(&w->restarted)) {
        poll_member(w, "after");
    }
    assert_int_equal(pthread_join(restart, NULL), 0);
    int rc = kafka_producer_commit(w->p, &(struct kafka_commit){.n = 0}, 10000, &w->err);
    print_message("a commit over the restart: %d %s\n", rc, rc < 0 ? w->err.msg : "");
    if (rc < 0) {
        w->p = kafka_producer_destroy(w->p);
    }
    int64_t begin = now_ms();
    int remakes = commit_at_last(w, "after");
    print_message("went on after %lld ms, %d remakes\n", (long long)(now_ms() - begin),
                  remakes);
    while (!span_is(next_record(w, w->c).value, "after")) {
    }
    bool seen = false;
    for (int64_t end = now_ms() + 60000; !seen && now_ms() < end;) {
        seen = poll_member(w, "after");
    }
    assert_true(seen);
}

#define FAULT_TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, go_on)

const struct CMUnitTest fault_tests[] = {
    FAULT_TEST(no_broker_is_said_in_time_and_noted),
    FAULT_TEST(a_commit_that_gets_no_answer_ends_in_its_time_and_is_not_trusted),
    FAULT_TEST(offsets_that_get_no_answer_end_in_their_time),
    FAULT_TEST(records_that_get_no_answer_each_have_their_outcome),
    FAULT_TEST(calls_of_a_stopped_broker_end_in_their_time),
    FAULT_TEST(a_broker_that_was_killed_and_came_back_is_used_again),
};
const size_t fault_tests_n = ARRAY_LEN(fault_tests);
