/* Writing: transactions, what is refused, and who is fenced. */
#include "tests/kafka/kafka_world.h"
#include "tests/lib/beside.h"

#include <stdio.h>
#include <stdlib.h>

static void what_a_transaction_wrote_is_read_as_it_was(void **state)
{
    struct world *w = *state;
    _cleanup_(buf_fini) struct buf h;
    struct span v;
    make_topic(w, w->topic, 2, NULL, NULL);
    w->p = ready_producer(w, w->name);
    buf_init(&h, HEADERS_BYTES_MAX);
    headers_adds(&h, "team", "search");
    headers_add(&h, "raw", SPAN_LIT("a\0b"));
    headers_adds(&h, "empty", "");
    OK(w, kafka_producer_begin(w->p, &w->err));
    OK(w, kafka_producer_produce(w->p,
                                 &(struct kafka_record){.topic = w->topic,
                                                        .partition = 1,
                                                        .key = SPAN_LIT("key"),
                                                        .headers = buf_span(&h),
                                                        .value = SPAN_LIT("value")},
                                 &w->err));
    OK(w, commit(w, w->p));
    assert_int_equal(w->delivered, 1);
    w->c = by_hand(w, false);
    read_from(w, w->c, w->topic, 1, KAFKA_BEGINNING);
    struct kafka_event e = next_event(w, w->c);
    assert_int_equal(e.what, KAFKA_RECORD);
    assert_string_equal(e.topic, w->topic);
    assert_int_equal(e.partition, 1);
    assert_int_equal(e.offset, 0);
    assert_true(e.time_ms > 1700000000000);
    assert_true(span_is(e.key, "key") && span_is(e.value, "value"));
    assert_true(span_eq(e.headers, buf_span(&h)));
    assert_true(headers_get(e.headers, "raw", &v) && span_eq(v, SPAN_LIT("a\0b")));
    assert_false(e.headers_cut);
}

static void a_tombstone_is_not_an_empty_value_and_no_key_is_not_an_empty_key(void **state)
{
    struct world *w = *state;
    make_topic(w, w->topic, 1, NULL, NULL);
    w->p = ready_producer(w, w->name);
    OK(w, kafka_producer_begin(w->p, &w->err));
    struct kafka_record r = {.topic = w->topic, .key = SPAN_LIT("k")};
    OK(w, kafka_producer_produce(w->p, &r, &w->err));
    r = (struct kafka_record){
        .topic = w->topic, .key = SPAN_LIT(""), .value = SPAN_LIT("")};
    OK(w, kafka_producer_produce(w->p, &r, &w->err));
    OK(w, put(w, w->p, w->topic, "x"));
    OK(w, commit(w, w->p));
    w->c = by_hand(w, false);
    read_from(w, w->c, w->topic, 0, KAFKA_BEGINNING);
    struct kafka_event e = next_record(w, w->c);
    assert_true(span_is(e.key, "k") && e.value.p == NULL);
    e = next_record(w, w->c);
    assert_true(e.key.p != NULL && e.key.n == 0 && e.value.p != NULL && e.value.n == 0);
    e = next_record(w, w->c);
    assert_true(e.key.p == NULL && span_is(e.value, "x"));
}

static void a_value_of_eight_megabytes_goes_through(void **state)
{
    struct world *w = *state;
    size_t n = (size_t)8 << 20;
    char *big = malloc(n);
    assert_non_null(big);
    for (size_t i = 0; i < n; i++) {
        big[i] = (char)(i * 31 + i / 4096);
    }
    make_topic(w, w->topic, 1, "max.message.bytes", "9437184");
    w->p = ready_producer(w, w->name);
    for (int i = 0; i < 3; i++) { /* three are more than the buffer holds */
        OK(w, kafka_producer_begin(w->p, &w->err));
        OK(w, put(w, w->p, w->topic, "before"));
        OK(w,
           kafka_producer_produce(
               w->p, &(struct kafka_record){.topic = w->topic, .value = span_of(big, n)},
               &w->err));
        OK(w,
           kafka_producer_produce(
               w->p, &(struct kafka_record){.topic = w->topic, .value = span_of(big, n)},
               &w->err));
        OK(w, commit(w, w->p));
    }
    w->c = by_hand(w, false);
    read_from(w, w->c, w->topic, 0, KAFKA_BEGINNING);
    struct kafka_event e = next_record(w, w->c);
    assert_true(span_is(e.value, "before"));
    assert_true(span_eq(next_record(w, w->c).value, span_of(big, n)));
    free(big);
}

/* A broker tells of a topic before all of its partitions take records, and then accepts any batch
 * of a producer as its first: the one before it, which came a moment too early, is never written
 * (Apache Kafka, KAFKA-15591). Of many partitions the last takes records late. */
static void the_first_records_of_a_topic_that_was_just_made_are_all_there(void **state)
{
    struct world *w = *state;
    enum { TOPICS = 4, PARTITIONS = 100, RECORDS = 6, BYTES = 400000 };
    static char value[BYTES];
    w->p = ready_producer(w, w->name);
    w->c = by_hand(w, false);
    for (int n = 0; n < TOPICS; n++) {
        char topic[100];
        snprintf(topic, sizeof(topic), "%s.%d", w->name, n);
        make_topic(w, topic, PARTITIONS, NULL, NULL);
        OK(w, kafka_producer_begin(w->p, &w->err));
        for (int i = 0; i < RECORDS; i++) { /* too large for one batch */
            value[0] = (char)('0' + i);
            const struct kafka_record r = {.topic = topic,
                                           .partition = PARTITIONS - 1,
                                           .value = span_of(value, sizeof(value))};
            OK(w, kafka_producer_produce(w->p, &r, &w->err));
        }
        OK(w, commit(w, w->p));
        read_from(w, w->c, topic, PARTITIONS - 1, KAFKA_BEGINNING);
        for (int i = 0; i < RECORDS; i++) {
            assert_int_equal(next_record(w, w->c).value.p[0], '0' + i);
        }
        OK(w, kafka_consumer_remove(w->c, topic, PARTITIONS - 1, &w->err));
    }
}

static void what_was_aborted_is_never_seen(void **state)
{
    struct world *w = *state;
    make_topic(w, w->topic, 1, NULL, NULL);
    w->p = ready_producer(w, w->name);
    OK(w, kafka_producer_begin(w->p, &w->err));
    OK(w, put(w, w->p, w->topic, "aborted"));
    OK(w, kafka_producer_flush(w->p, CALL_MS, &w->err)); /* it is in the log */
    OK(w, kafka_producer_abort(w->p, CALL_MS, &w->err));
    OK(w, kafka_producer_begin(w->p, &w->err));
    OK(w, put(w, w->p, w->topic, "committed"));
    OK(w, commit(w, w->p));
    w->c = by_hand(w, false);
    read_from(w, w->c, w->topic, 0, KAFKA_BEGINNING);
    assert_true(span_is(next_record(w, w->c).value, "committed"));
    w->peer = by_hand(w, true);
    read_from(w, w->peer, w->topic, 0, KAFKA_BEGINNING);
    assert_true(span_is(next_record(w, w->peer).value, "aborted"));
}

static void a_second_producer_of_the_same_id_fences_the_first(void **state)
{
    struct world *w = *state;
    make_topic(w, w->topic, 1, NULL, NULL);
    w->p = ready_producer(w, w->name);
    OK(w, kafka_producer_begin(w->p, &w->err));
    OK(w, put(w, w->p, w->topic, "zombie"));
    OK(w, kafka_producer_flush(w->p, CALL_MS, &w->err));
    w->other = ready_producer(w, w->name);
    IS(w, -KAFKA_REMAKE, commit(w, w->p));
    assert_int_equal(w->err.retry, RETRY_UNKNOWN);
    OK(w, kafka_producer_begin(w->other, &w->err));
    OK(w, put(w, w->other, w->topic, "heir"));
    OK(w, commit(w, w->other));
    w->c = by_hand(w, false);
    read_from(w, w->c, w->topic, 0, KAFKA_BEGINNING);
    assert_true(span_is(next_record(w, w->c).value, "heir"));
}

static void an_idle_zombie_is_fenced_when_it_writes(void **state)
{
    struct world *w = *state;
    make_topic(w, w->topic, 1, NULL, NULL);
    w->p = ready_producer(w, w->name);
    w->other = ready_producer(w, w->name);
    OK(w, kafka_producer_begin(w->p, &w->err)); /* is not known to the broker */
    OK(w, put(w, w->p, w->topic, "zombie"));
    IS(w, -KAFKA_REMAKE, commit(w, w->p));
}

static void a_record_that_cannot_be_stored_is_refused_before_it_costs_anything(
    void **state)
{
    struct world *w = *state;
    char *big = calloc(1, 700000);
    assert_non_null(big);
    make_topic(w, w->topic, 1, "max.message.bytes", "600000");
    w->p = ready_producer(w, w->name);
    OK(w, kafka_producer_begin(w->p, &w->err));
    OK(w, put(w, w->p, w->topic, "first"));

    const struct kafka_record large = {
        .topic = w->topic, .value = span_of(big, 700000), .tag = 7};
    IS(w, -KAFKA_REFUSED, kafka_producer_produce(w->p, &large, &w->err));
    ASSERT_SAYS(w, "larger than the topic takes");
    ASSERT_SAYS(w, w->topic);
    const struct kafka_refusal *no = kafka_producer_refused(w->p);
    assert_true(no && no->why == KAFKA_TOO_LARGE && no->tag == 7 && !no->entered);

    IS(w, -KAFKA_REFUSED, put(w, w->p, w->second, "x"));
    ASSERT_SAYS(w, w->second);
    no = kafka_producer_refused(w->p);
    assert_true(no && no->why == KAFKA_NO_TOPIC && !no->entered);
    assert_string_equal(no->topic, w->second);

    IS(w, -KAFKA_REFUSED, put_to(w, w->p, w->topic, 1, "x"));
    IS(w, -KAFKA_REFUSED, put(w, w->p, "no such/name", "x"));
    OK(w, put(w, w->p, w->topic, "last"));
    OK(w, commit(w, w->p)); /* the neighbours are not touched */
    w->c = by_hand(w, false);
    read_from(w, w->c, w->topic, 0, KAFKA_BEGINNING);
    assert_true(span_is(next_record(w, w->c).value, "first"));
    assert_true(span_is(next_record(w, w->c).value, "last"));
    free(big);
}

static void a_record_the_broker_refuses_is_named_and_a_new_producer_goes_on(void **state)
{
    struct world *w = *state;
    make_topic(w, w->topic, 1, NULL, NULL);
    make_topic(w, w->second, 1, "cleanup.policy",
               "compact"); /* takes nothing without a key */
    w->p = ready_producer(w, w->name);
    OK(w, kafka_producer_begin(w->p, &w->err));
    OK(w, put(w, w->p, w->topic, "neighbour"));
    OK(w, put(w, w->p, w->second, "no key"));
    IS(w, -KAFKA_REFUSED, commit(w, w->p));
    ASSERT_SAYS(w, w->second);
    const struct kafka_refusal *no = kafka_producer_refused(w->p);
    assert_true(no && no->why == KAFKA_INVALID && no->entered);
    assert_string_equal(no->topic, w->second);
    assert_true(w->refused >= 1);

    IS(w, 1, kafka_producer_abort(w->p, CALL_MS, &w->err)); /* spent */
    IS(w, -KAFKA_REMAKE, kafka_producer_begin(w->p, &w->err));
    w->p = kafka_producer_destroy(w->p);
    w->p = ready_producer(w, w->name);
    OK(w, kafka_producer_begin(w->p, &w->err));
    OK(w, put(w, w->p, w->topic, "again"));
    OK(w, commit(w, w->p));
    w->c = by_hand(w, false);
    read_from(w, w->c, w->topic, 0, KAFKA_BEGINNING);
    assert_true(span_is(next_record(w, w->c).value, "again"));
}

static void many_small_records_never_make_a_batch_the_topic_refuses(void **state)
{
    struct world *w = *state;
    char value[1000];
    memset(value, 'x', sizeof(value));
    make_topic(w, w->topic, 1, "max.message.bytes", "600000");
    w->p = ready_producer(w, w->name);
    OK(w, kafka_producer_begin(w->p, &w->err));
    for (int i = 0; i < 4000; i++) {
        const struct kafka_record r = {.topic = w->topic,
                                       .value = span_of(value, sizeof(value))};
        OK(w, kafka_producer_produce(w->p, &r, &w->err));
    }
    OK(w, commit(w, w->p));
    assert_int_equal(w->delivered, 4000);
    IS(w, -KAFKA_WRONG, commit(w, w->p)); /* none is open */
}

static void without_transactions_a_flush_says_what_is_stored(void **state)
{
    struct world *w = *state;
    make_topic(w, w->topic, 1, NULL, NULL);
    make_topic(w, w->second, 1, "cleanup.policy", "compact");
    w->p = open_producer(w, NULL);
    for (int i = 0; i < 100; i++) {
        OK(w, put(w, w->p, w->topic, "x"));
    }
    OK(w, kafka_producer_flush(w->p, CALL_MS, &w->err));
    assert_int_equal(w->delivered, 100);
    assert_null(kafka_producer_refused(w->p));

    OK(w, put(w, w->p, w->topic, "y"));
    OK(w, put(w, w->p, w->second, "no key"));
    IS(w, -KAFKA_REFUSED, kafka_producer_flush(w->p, CALL_MS, &w->err));
    ASSERT_SAYS(w, w->second);
    assert_string_equal(kafka_producer_refused(w->p)->topic, w->second);
    assert_int_equal(w->delivered + w->refused, 102);
}

static void offsets_are_committed_with_the_records_or_not_at_all(void **state)
{
    struct world *w = *state;
    make_topic(w, w->topic, 1, NULL, NULL);
    put_many(w, w->topic, 0, 5);
    make_topic(w, w->second, 1, NULL, NULL);
    w->c = member(w, w->topic, NULL);
    struct kafka_event e = await(w, w->c, KAFKA_ASSIGNED);
    take_all(w, w->c, &e);
    assert_int_equal(beside_committed(w->conf.brokers, w->name, w->topic, 0),
                     BESIDE_NONE);

    w->p = ready_producer(w, w->name);
    for (int i = 0; i < 2; i++) {
        struct kafka_group *group = NULL;
        const struct kafka_place next = {w->topic, 0, i == 0 ? 4 : 3};
        OK(w, kafka_consumer_group(w->c, &group, &w->err));
        OK(w, kafka_producer_begin(w->p, &w->err));
        OK(w, put(w, w->p, w->second, "x"));
        const struct kafka_commit all = {.offsets = &next, .n = 1, .group = group};
        if (i == 0) {
            IS(w, -KAFKA_WRONG,
               kafka_producer_commit(w->p, &(struct kafka_commit){&next, 1, NULL},
                                     CALL_MS, &w->err));
            OK(w, kafka_producer_abort(w->p, CALL_MS, &w->err));
        } else {
            OK(w, kafka_producer_commit(w->p, &all, CALL_MS, &w->err));
        }
        kafka_group_destroy(group);
    }
    assert_int_equal(beside_committed(w->conf.brokers, w->name, w->topic, 0), 3);
}

/* The broker compares the generation of the group: this is what fences a worker's zombie. */
static void a_member_that_lost_its_group_cannot_commit(void **state)
{
    struct world *w = *state;
    make_topic(w, w->topic, 1, NULL, NULL);
    w->c = member(w, w->topic, NULL);
    struct kafka_event e = await(w, w->c, KAFKA_ASSIGNED);
    take_all(w, w->c, &e);
    struct kafka_group *old = NULL;
    OK(w, kafka_consumer_group(w->c, &old, &w->err));
    w->c = kafka_consumer_destroy(w->c); /* leaves: the broker forgets the member */
    w->p = ready_producer(w, w->name);
    OK(w, kafka_producer_begin(w->p, &w->err));
    OK(w, put(w, w->p, w->topic, "zombie"));
    const struct kafka_place next = {w->topic, 0, 0};
    IS(w, -KAFKA_ABORT,
       kafka_producer_commit(w->p, &(struct kafka_commit){&next, 1, old}, CALL_MS,
                             &w->err));
    IS(w, 0, kafka_producer_abort(w->p, CALL_MS, &w->err));
    kafka_group_destroy(old);
    OK(w, kafka_producer_begin(w->p, &w->err));
    OK(w, put(w, w->p, w->topic, "after"));
    OK(w, commit(w, w->p));
}

const struct CMUnitTest write_tests[] = {
    KAFKA_TEST(what_a_transaction_wrote_is_read_as_it_was),
    KAFKA_TEST(a_tombstone_is_not_an_empty_value_and_no_key_is_not_an_empty_key),
    KAFKA_TEST(a_value_of_eight_megabytes_goes_through),
    KAFKA_TEST(the_first_records_of_a_topic_that_was_just_made_are_all_there),
    KAFKA_TEST(what_was_aborted_is_never_seen),
    KAFKA_TEST(a_second_producer_of_the_same_id_fences_the_first),
    KAFKA_TEST(an_idle_zombie_is_fenced_when_it_writes),
    KAFKA_TEST(a_record_that_cannot_be_stored_is_refused_before_it_costs_anything),
    KAFKA_TEST(a_record_the_broker_refuses_is_named_and_a_new_producer_goes_on),
    KAFKA_TEST(many_small_records_never_make_a_batch_the_topic_refuses),
    KAFKA_TEST(without_transactions_a_flush_says_what_is_stored),
    KAFKA_TEST(offsets_are_committed_with_the_records_or_not_at_all),
    KAFKA_TEST(a_member_that_lost_its_group_cannot_commit),
};
const size_t write_tests_n = ARRAY_LEN(write_tests);
