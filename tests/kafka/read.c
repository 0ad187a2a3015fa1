/* Reading: groups and their rebalances, partitions by hand, pausing, ends. */
#include "tests/kafka/kafka_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void is_silent(struct world *w, struct kafka_consumer *c, int ms)
{
    struct kafka_event e;
    int64_t end = now_ms() + ms;
    while (now_ms() < end) {
        int rc = kafka_consumer_poll(c, 50, &e, &w->err);
        if (rc == 1 && e.what == KAFKA_RECORD) {
            fail_msg("a record of partition %d came", e.partition);
        }
        assert_true(rc >= 0);
    }
}

static void an_end_names_the_position_behind_markers_and_aborted_records(void **state)
{
    struct world *w = *state;
    make_topic(w, w->topic, 1, NULL, NULL);
    put_many(w, w->topic, 0, 2);
    w->p = ready_producer(w, w->name);
    OK(w, kafka_producer_begin(w->p, &w->err));
    OK(w, put(w, w->p, w->topic, "aborted"));
    OK(w, kafka_producer_flush(w->p, CALL_MS, &w->err));
    OK(w, kafka_producer_abort(w->p, CALL_MS, &w->err));
    w->c = by_hand(w, false);
    read_from(w, w->c, w->topic, 0, KAFKA_BEGINNING);
    assert_int_equal(next_record(w, w->c).offset, 0);
    assert_int_equal(next_record(w, w->c).offset, 1);
    struct kafka_event e = await(w, w->c, KAFKA_END);
    assert_int_equal(e.offset, 5); /* 2 records, marker, aborted, marker */
}

static void an_open_transaction_holds_committed_readers_and_their_end_back(void **state)
{
    struct world *w = *state;
    int64_t first = -1, end = -1;
    make_topic(w, w->topic, 1, NULL, NULL);
    put_many(w, w->topic, 0, 2);
    w->p = ready_producer(w, w->name);
    OK(w, kafka_producer_begin(w->p, &w->err));
    OK(w, put(w, w->p, w->topic, "open"));
    OK(w, kafka_producer_flush(w->p, CALL_MS, &w->err));
    const struct kafka_place at = {w->topic, 0, 0};
    OK(w, kafka_admin_bounds(w->admin, &at, true, &first, &end, &w->err));
    assert_true(first == 0 && end == 3);
    OK(w, kafka_admin_bounds(w->admin, &at, false, &first, &end, &w->err));
    assert_true(first == 0 && end == 4);
    w->c = by_hand(w, false);
    read_from(w, w->c, w->topic, 0, 1);
    assert_true(span_is(next_record(w, w->c).value, "1"));
    assert_int_equal(await(w, w->c, KAFKA_END).offset, 3);
    OK(w, commit(w, w->p));
    struct kafka_event e = next_record(w, w->c);
    assert_true(span_is(e.value, "open") && e.offset == 3);
    assert_int_equal(await(w, w->c, KAFKA_END).offset, 5);
}

static void partitions_are_added_moved_and_removed_by_hand(void **state)
{
    struct world *w = *state;
    make_topic(w, w->topic, 2, NULL, NULL);
    put_many(w, w->topic, 0, 5);
    put_many(w, w->topic, 1, 5);
    w->c = by_hand(w, false);
    read_from(w, w->c, w->topic, 0, 3);
    assert_int_equal(next_record(w, w->c).offset, 3);
    read_from(w, w->c, w->topic, 0, 1); /* back */
    assert_int_equal(next_record(w, w->c).offset, 1);
    assert_int_equal(next_record(w, w->c).offset, 2);
    OK(w, kafka_consumer_remove(w->c, w->topic, 0, &w->err));
    read_from(w, w->c, w->topic, 1, 4);
    struct kafka_event e = next_record(w, w->c);
    assert_true(e.partition == 1 && e.offset == 4);
    is_silent(w, w->c, 300);
    OK(w, kafka_consumer_remove(w->c, w->topic, 0, &w->err)); /* twice is as good */
}

static void a_place_that_is_not_in_the_log_is_said_of_that_partition_only(void **state)
{
    struct world *w = *state;
    make_topic(w, w->topic, 2, NULL, NULL);
    put_many(w, w->topic, 0, 3);
    put_many(w, w->topic, 1, 3);
    w->c = by_hand(w, false);
    read_from(w, w->c, w->topic, 0, 1000);
    struct kafka_event e = await(w, w->c, KAFKA_TROUBLE);
    assert_int_equal(e.class, KAFKA_GONE);
    assert_string_equal(e.topic, w->topic);
    assert_int_equal(e.partition, 0);
    read_from(w, w->c, w->topic, 1, 0);
    assert_int_equal(next_record(w, w->c).partition, 1);
    const struct kafka_place no = {w->second, 0, 0};
    IS(w, -KAFKA_REFUSED, kafka_consumer_add(w->c, &no, &w->err));
    ASSERT_SAYS(w, w->second);
}

static void trimmed_records_are_gone_and_a_reader_below_hears_of_it(void **state)
{
    struct world *w = *state;
    int64_t first = 0, end = 0;
    make_topic(w, w->topic, 1, NULL, NULL);
    put_many(w, w->topic, 0, 10);
    const struct kafka_place below = {w->topic, 0, 4};
    OK(w, kafka_admin_trim(w->admin, &below, 1, &w->err));
    OK(w, kafka_admin_bounds(w->admin, &below, false, &first, &end, &w->err));
    assert_true(first == 4 && end == 11);
    w->c = by_hand(w, false);
    read_from(w, w->c, w->topic, 0, KAFKA_BEGINNING);
    assert_int_equal(next_record(w, w->c).offset, 4);
    read_from(w, w->c, w->topic, 0, 2);
    assert_int_equal(await(w, w->c, KAFKA_TROUBLE).class, KAFKA_GONE);
}

static void a_time_stands_at_the_first_record_that_is_not_older(void **state)
{
    struct world *w = *state;
    int64_t at = -1;
    make_topic(w, w->topic, 1, NULL, NULL);
    put_many(w, w->topic, 0, 3); /* and the mark that ends their transaction */
    usleep(20000);
    put_many(w, w->topic, 0, 2);
    w->c = by_hand(w, false);
    read_from(w, w->c, w->topic, 0, 4);
    int64_t ms = next_record(w, w->c).time_ms;
    const struct kafka_place of = {w->topic, 0, 0};
    OK(w, kafka_admin_offset_at(w->admin, &of, 0, &at, &w->err));
    assert_int_equal(at, 0);
    OK(w, kafka_admin_offset_at(w->admin, &of, ms, &at, &w->err));
    assert_int_equal(at, 4);
    OK(w, kafka_admin_offset_at(w->admin, &of, ms + 3600000, &at, &w->err));
    assert_int_equal(at, 7);
    const struct kafka_place no = {w->second, 0, 0};
    assert_true(kafka_admin_offset_at(w->admin, &no, ms, &at, &w->err) < 0);
    ASSERT_SAYS(w, w->second);
}

static void a_paused_partition_is_silent_and_goes_on_where_it_stopped(void **state)
{
    struct world *w = *state;
    make_topic(w, w->topic, 2, NULL, NULL);
    put_many(w, w->topic, 0, 100);
    w->c = by_hand(w, false);
    read_from(w, w->c, w->topic, 0, KAFKA_BEGINNING);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(next_record(w, w->c).offset, i);
    }
    OK(w, kafka_consumer_pause(w->c, w->topic, 0, &w->err));
    OK(w, kafka_consumer_pause(w->c, w->topic, 0, &w->err));
    assert_true(kafka_consumer_paused(w->c, w->topic, 0));
    is_silent(w, w->c, 300);
    OK(w, kafka_consumer_resume(w->c, w->topic, 0, &w->err));
    OK(w, kafka_consumer_resume(w->c, w->topic, 0, &w->err));
    for (int i = 40; i < 100; i++) {
        assert_int_equal(next_record(w, w->c).offset, i);
    }
    OK(w, kafka_consumer_pause(w->c, w->topic, 1, &w->err)); /* before it is read */
    put_many(w, w->topic, 1, 3);
    read_from(w, w->c, w->topic, 1, 1);
    is_silent(w, w->c, 300);
    OK(w, kafka_consumer_resume(w->c, w->topic, 1, &w->err));
    assert_int_equal(next_record(w, w->c).offset, 1);
}

/* More than the client library holds at a time: it stops fetching again and again. */
static void a_reader_that_stores_what_it_reads_finds_more_when_it_comes_back(void **state)
{
    struct world *w = *state;
    static char value[1000];
    const int n = 8000, slice = 500, partitions = 2;
    int got = 0, waited = 0;
    memset(value, 'v', sizeof(value) - 1);
    make_topic(w, w->topic, partitions, NULL, NULL);
    w->p = ready_producer(w, w->name);
    OK(w, kafka_producer_begin(w->p, &w->err));
    for (int i = 0; i < n; i++) {
        OK(w, put_to(w, w->p, w->topic, i % partitions, value));
    }
    OK(w, commit(w, w->p));
    w->c = by_hand(w, false);
    for (int i = 0; i < partitions; i++) {
        read_from(w, w->c, w->topic, i, 0);
    }
    while (got < n) {
        struct kafka_event e;
        int rc = kafka_consumer_poll(w->c, 300, &e, &w->err);
        assert_true(rc >= 0);
        waited += rc == 0;
        got += rc == 1 && e.what == KAFKA_RECORD;
        if (rc == 1 && got % slice == 0) {
            usleep(20000);
        }
    }
    /* the first fetch may take so long, and a busy machine; not one of so many slices */
    assert_in_range(waited, 0, 2);
}

/* Puts one record with headers as another client may: no block of ours limits it. */
static void put_foreign(struct world *w, int n, size_t bytes)
{
    _cleanup_(buf_fini) struct buf h;
    char *value = calloc(1, bytes + 1);
    char name[32];
    assert_non_null(value);
    memset(value, 'v', bytes);
    buf_init(&h, HEADERS_BYTES_MAX);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "h%d", i);
        assert_int_equal(headers_add(&h, name, span_of(value, bytes)), 0);
    }
    const struct kafka_record r = {
        .topic = w->topic, .headers = buf_span(&h), .value = SPAN_LIT("x")};
    OK(w, kafka_producer_produce(w->p, &r, &w->err));
    free(value);
}

static void headers_fill_a_block_to_the_last_byte(void **state)
{
    struct world *w = *state;
    make_topic(w, w->topic, 1, NULL, NULL);
    w->p = open_producer(w, NULL);
    put_foreign(w, 1, HEADERS_BYTES_MAX - 5);
    put_foreign(w, 300, 5);
    OK(w, kafka_producer_flush(w->p, CALL_MS, &w->err));
    w->c = by_hand(w, false);
    read_from(w, w->c, w->topic, 0, KAFKA_BEGINNING);
    struct kafka_event e = next_record(w, w->c);
    assert_true(e.headers.n == HEADERS_BYTES_MAX && !e.headers_cut);
    e = next_record(w, w->c);
    assert_true(headers_valid(e.headers) && !e.headers_cut);
}

static void headers_of_other_clients_are_kept_as_far_as_they_fit(void **state)
{
    struct world *w = *state;
    char path[] = "/tmp/offpeak-kafka-record-XXXXXX";
    char long_name[400], big[3000], bigger[3000], b[300];
    struct span v;
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, "x", 1) == 1);
    close(fd);
    memset(long_name, 'n', sizeof(long_name));
    memcpy(long_name + 300, "=v", 3);
    memset(big, 'b', sizeof(big));
    memcpy(big, "big=", 4);
    big[sizeof(big) - 1] = '\0';
    memcpy(bigger, big, sizeof(big));
    memcpy(bigger, "too=", 4);
    snprintf(b, sizeof(b), "%s", w->conf.brokers);
    make_topic(w, w->topic, 1, NULL, NULL);
    const char *const kcat[] = {
        "kcat", "-P", "-b", b,      "-t", w->topic, "-p", "0",    "-H", long_name,
        "-H",   big,  "-H", bigger, "-H", "team=a", "-H", "none", path, NULL};
    spawn(kcat);
    unlink(path);
    w->c = by_hand(w, false);
    read_from(w, w->c, w->topic, 0, KAFKA_BEGINNING);
    struct kafka_event e = next_record(w, w->c);
    assert_true(e.headers_cut && headers_valid(e.headers));
    assert_true(headers_get(e.headers, "team", &v) && span_is(v, "a"));
    assert_true(headers_get(e.headers, "big", &v) && v.n == 2995);
    assert_true(headers_get(e.headers, "none", &v) && v.n == 0);
    assert_false(headers_get(e.headers, "too", &v));
}

static void two_members_share_a_topic_and_each_is_told(void **state)
{
    struct world *w = *state;
    make_topic(w, w->topic, 4, NULL, NULL);
    w->c = member(w, w->topic, NULL);
    struct kafka_event e = await(w, w->c, KAFKA_ASSIGNED);
    assert_int_equal(e.n, 4);
    take_all(w, w->c, &e);
    w->peer = member(w, w->topic, NULL);
    bool revoked = false, first = false, second = false;
    int64_t end = now_ms() + CALL_MS;
    while (!(first && second) && now_ms() < end) {
        if (kafka_consumer_poll(w->c, 50, &e, &w->err) == 1) {
            if (e.what == KAFKA_REVOKED) {
                assert_int_equal(e.n, 4);
                OK(w, kafka_consumer_give(w->c, &w->err));
                revoked = true;
            } else if (e.what == KAFKA_ASSIGNED) {
                assert_int_equal(e.n, 2);
                take_all(w, w->c, &e);
                first = true;
            }
        }
        if (kafka_consumer_poll(w->peer, 50, &e, &w->err) == 1 &&
            e.what == KAFKA_ASSIGNED) {
            assert_int_equal(e.n, 2);
            take_all(w, w->peer, &e);
            second = true;
        }
    }
    assert_true(revoked && first && second);
}

/* The caller stops, commits and only then lets go: until then nobody else gets them. */
static void partitions_are_kept_until_they_are_given_and_no_record_comes_meanwhile(
    void **state)
{
    struct world *w = *state;
    struct kafka_event e;
    make_topic(w, w->topic, 2, NULL, NULL);
    put_many(w, w->topic, 0, 50);
    w->c = member(w, w->topic, NULL);
    e = await(w, w->c, KAFKA_ASSIGNED);
    is_silent(w, w->c, 200); /* not taken yet */
    take_all(w, w->c, &e);
    struct kafka_event again = e;
    IS(w, -KAFKA_ABORT, kafka_consumer_take(w->c, again.places, 0, &w->err));
    IS(w, -KAFKA_WRONG, kafka_consumer_give(w->c, &w->err));
    assert_int_equal(next_record(w, w->c).offset, 0);
    w->peer = member(w, w->topic, NULL);
    await(w, w->c, KAFKA_REVOKED);
    for (int64_t end = now_ms() + 1500; now_ms() < end;) {
        is_silent(w, w->c, 50);
        assert_int_equal(kafka_consumer_poll(w->peer, 50, &e, &w->err), 0);
    }
    OK(w, kafka_consumer_give(w->c, &w->err));
    for (;;) {
        int rc = kafka_consumer_poll(w->peer, 50, &e, &w->err);
        if (rc == 1 && e.what == KAFKA_ASSIGNED) {
            break;
        }
        (void)kafka_consumer_poll(w->c, 50, &e, &w->err);
    }
}

static void a_pause_survives_a_rebalance(void **state)
{
    struct world *w = *state;
    struct kafka_event e;
    make_topic(w, w->topic, 2, NULL, NULL);
    put_many(w, w->topic, 0, 3);
    put_many(w, w->topic, 1, 3);
    w->c = member(w, w->topic, NULL);
    e = await(w, w->c, KAFKA_ASSIGNED);
    take_all(w, w->c, &e);
    for (int i = 0; i < 6; i++) {
        next_record(w, w->c);
    }
    OK(w, kafka_consumer_pause(w->c, w->topic, 0, &w->err));
    OK(w, kafka_consumer_pause(w->c, w->topic, 1, &w->err));
    w->peer = member(w, w->topic, NULL);
    await(w, w->c, KAFKA_REVOKED);
    OK(w, kafka_consumer_give(w->c, &w->err));
    OK(w, kafka_consumer_resume(w->c, w->topic, 1, &w->err)); /* while nobody reads it */
    w->peer = kafka_consumer_destroy(w->peer);
    for (;;) { /* the peer's leaving may take one more round */
        e = next_event(w, w->c);
        if (e.what == KAFKA_REVOKED || e.what == KAFKA_LOST) {
            OK(w, kafka_consumer_give(w->c, &w->err));
        } else if (e.what == KAFKA_ASSIGNED) {
            size_t n = e.n;
            take_all(w, w->c, &e);
            if (n == 2) {
                break;
            }
        }
    }
    assert_true(kafka_consumer_paused(w->c, w->topic, 0));
    for (int i = 0; i < 3; i++) {
        e = next_record(w, w->c);
        assert_true(e.partition == 1 && e.offset == i);
    }
    is_silent(w, w->c, 300);
    OK(w, kafka_consumer_resume(w->c, w->topic, 0, &w->err));
    e = next_record(w, w->c);
    assert_true(e.partition == 0 && e.offset == 0);
}

static void a_static_member_restarts_into_its_own_partitions_undisturbed(void **state)
{
    struct world *w = *state;
    struct kafka_event e;
    make_topic(w, w->topic, 2, NULL, NULL);
    w->c = member(w, w->topic, "one");
    e = await(w, w->c, KAFKA_ASSIGNED);
    take_all(w, w->c, &e);
    w->peer = member(w, w->topic, "two");
    await(w, w->c, KAFKA_REVOKED);
    OK(w, kafka_consumer_give(w->c, &w->err));
    bool mine = false, theirs = false;
    int32_t of_one = -1;
    while (!mine || !theirs) {
        if (kafka_consumer_poll(w->c, 50, &e, &w->err) == 1 && e.what == KAFKA_ASSIGNED) {
            assert_int_equal(e.n, 1);
            of_one = e.places[0].partition;
            take_all(w, w->c, &e);
            mine = true;
        }
        if (kafka_consumer_poll(w->peer, 50, &e, &w->err) == 1 &&
            e.what == KAFKA_ASSIGNED) {
            take_all(w, w->peer, &e);
            theirs = true;
        }
    }
    w->c = kafka_consumer_destroy(w->c);
    int64_t begin = now_ms();
    w->c = member(w, w->topic, "one");
    e = await(w, w->c, KAFKA_ASSIGNED);
    print_message("back after %lld ms\n", (long long)(now_ms() - begin));
    assert_true(now_ms() - begin < 5500); /* the session is 6 s */
    assert_true(e.n == 1 && e.places[0].partition == of_one);
    take_all(w, w->c, &e);
    for (int i = 0; i < 20; i++) {
        if (kafka_consumer_poll(w->peer, 20, &e, &w->err) == 1) {
            assert_true(e.what == KAFKA_END);
        }
    }
}

/* Its session is longer than this test waits for anything. */
static struct kafka_consumer *lasting_member(struct world *w, const char *instance)
{
    struct kafka_consumer *c = NULL;
    const struct kafka_consumer_conf conf = {.kafka = &w->conf,
                                             .group = w->name,
                                             .topic = w->topic,
                                             .instance = instance,
                                             .session_ms = 3 * CALL_MS};
    OK(w, kafka_consumer_open(&c, &conf, &w->err));
    return c;
}

static void a_static_member_that_leaves_is_succeeded_at_once(void **state)
{
    struct world *w = *state;
    make_topic(w, w->topic, 1, NULL, NULL);
    w->c = lasting_member(w, "one");
    struct kafka_event e = await(w, w->c, KAFKA_ASSIGNED);
    take_all(w, w->c, &e);
    kafka_consumer_leave(w->c);
    w->c = kafka_consumer_destroy(w->c);
    w->peer = lasting_member(w, "two");
    e = await(w, w->peer, KAFKA_ASSIGNED);
    assert_int_equal(e.n, 1);
    take_all(w, w->peer, &e);
}

static void a_second_process_of_the_same_name_stops_the_first(void **state)
{
    struct world *w = *state;
    struct kafka_event e;
    make_topic(w, w->topic, 1, NULL, NULL);
    w->c = member(w, w->topic, "same");
    e = await(w, w->c, KAFKA_ASSIGNED);
    take_all(w, w->c, &e);
    w->peer = member(w, w->topic, "same");
    await(w, w->peer, KAFKA_ASSIGNED);
    int rc = 0;
    for (int64_t end = now_ms() + CALL_MS; rc != -KAFKA_FENCED && now_ms() < end;) {
        rc = kafka_consumer_poll(w->c, 100, &e, &w->err);
        if (rc == 1 && (e.what == KAFKA_LOST || e.what == KAFKA_REVOKED)) {
            OK(w, kafka_consumer_give(w->c, &w->err));
        }
    }
    assert_int_equal(rc, -KAFKA_FENCED);
    ASSERT_SAYS(w, "same name");
}

const struct CMUnitTest read_tests[] = {
    KAFKA_TEST(an_end_names_the_position_behind_markers_and_aborted_records),
    KAFKA_TEST(an_open_transaction_holds_committed_readers_and_their_end_back),
    KAFKA_TEST(partitions_are_added_moved_and_removed_by_hand),
    KAFKA_TEST(a_place_that_is_not_in_the_log_is_said_of_that_partition_only),
    KAFKA_TEST(trimmed_records_are_gone_and_a_reader_below_hears_of_it),
    KAFKA_TEST(a_time_stands_at_the_first_record_that_is_not_older),
    KAFKA_TEST(a_paused_partition_is_silent_and_goes_on_where_it_stopped),
    KAFKA_TEST(a_reader_that_stores_what_it_reads_finds_more_when_it_comes_back),
    KAFKA_TEST(headers_fill_a_block_to_the_last_byte),
    KAFKA_TEST(headers_of_other_clients_are_kept_as_far_as_they_fit),
    KAFKA_TEST(two_members_share_a_topic_and_each_is_told),
    KAFKA_TEST(partitions_are_kept_until_they_are_given_and_no_record_comes_meanwhile),
    KAFKA_TEST(a_pause_survives_a_rebalance),
    KAFKA_TEST(a_static_member_restarts_into_its_own_partitions_undisturbed),
    KAFKA_TEST(a_static_member_that_leaves_is_succeeded_at_once),
    KAFKA_TEST(a_second_process_of_the_same_name_stops_the_first),
};
const size_t read_tests_n = ARRAY_LEN(read_tests);
