/* Nights of a lane that makes calls one by one, at a provider that does what the test says, in
 * simulated time. */
#include "tests/unit/night.h"
#include "tests/unit/phone.h"

#include "core/secret.h"
#include "worker/journal.h"
#include "worker/lane_direct.h"
#include "worker/openai.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE   INT64_C(60000)
#define JOBS_MAX 2000

struct direct_night {
    struct night *n;
    struct phone phone;
    struct direct_conf conf;
    struct loop_timer *alarm;
    const char *origin;
    enum lane lane;
    uint64_t at[JOBS_MAX];
    char questions[JOBS_MAX][24];
    uint32_t jobs, tries;
    unsigned servers; /* 0: one */
    int stops;
    struct err stop;
    char events[8192];
    size_t events_len;
    unsigned unjournaled; /* calls that left and stood in no slice */
};

/* ---- life ---- */

static void on_event(void *ctx, const char *subject, const char *text)
{
    struct direct_night *d = ctx;
    (void)subject;
    size_t left = sizeof(d->events) - d->events_len;
    int n = snprintf(d->events + d->events_len, left, "%s\n", text);
    d->events_len += MIN_OF((size_t)n, left - 1);
}

static void on_stop(void *ctx, const struct err *err)
{
    struct direct_night *d = ctx;
    d->stops++;
    d->stop = *err;
}

static int start(struct direct_night *d, struct err *err)
{
    static const char *const urls[] = {"http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1",
                                       "http://127.0.0.1:3/v1"};
    const struct lane_direct_conf conf = {
        .loop = d->n->loop,
        .queue = d->n->queue,
        .feed = d->n->feed,
        .http = &d->phone.http,
        .calls = d->n->calls,
        .settle = d->n->settle,
        .provider = &provider_openai,
        .lane = d->lane,
        .account = "acc0",
        .origin = d->origin,
        .servers = urls,
        .servers_n = d->servers ? d->servers : 1,
        .direct = &d->conf,
        .on_event = on_event,
        .on_stop = on_stop,
        .ctx = d,
    };
    assert_int_equal(lane_direct_create(&d->n->direct, &conf, err), 0);
    int rc = lane_direct_recover(d->n->direct, err);
    if (rc >= 0) {
        lane_direct_start(d->n->direct);
    }
    return rc;
}

static void start_well(struct direct_night *d)
{
    struct err err = {0};
    if (start(d, &err) < 0) {
        fail_msg("%s", err.msg);
    }
}

static void on_alarm(void *ctx)
{
    loop_stop(((struct direct_night *)ctx)->n->loop);
}

static void pass(struct direct_night *d, int64_t ms)
{
    loop_timer_start(d->alarm, ms);
    loop_run(d->n->loop);
}

static int begin(void **state)
{
    struct direct_night *d = calloc(1, sizeof(*d));
    night_falls((void **)&d->n);
    phone_open(&d->phone, d->n->loop);
    d->conf = (struct direct_conf){.concurrency = 16,
                                   .timeout_ms = 5 * MINUTE,
                                   .give_up_ms = 10 * MINUTE,
                                   .adapts = true};
    d->origin = "http://127.0.0.1:1";
    d->lane = LANE_SYNC;
    d->tries = 2;
    assert_int_equal(loop_timer_create(d->n->loop, on_alarm, d, &d->alarm), 0);
    start_well(d);
    *state = d;
    return 0;
}

static int end(void **state)
{
    struct direct_night *d = *state;
    d->n->direct = lane_direct_destroy(d->n->direct);
    phone_close(&d->phone);
    d->alarm = loop_timer_destroy(d->alarm);
    night_ends((void **)&d->n);
    free(d);
    return 0;
}

/* The process dies where it is; what is at the provider goes on, and its replies find nobody. */
static void crash(struct direct_night *d)
{
    d->n->direct = lane_direct_destroy(d->n->direct);
    phone_close(&d->phone);
    night_crash(d->n);
}

static void crash_and_go_on(struct direct_night *d)
{
    crash(d);
    start_well(d);
}

/* ---- given, when, then ---- */

static void give(struct direct_night *d, const char *question)
{
    struct err err;
    struct asked a = {.question = question, .lane = d->lane, .tries = d->tries};
    snprintf(d->questions[d->jobs], sizeof(d->questions[0]), "%s", question);
    d->at[d->jobs] = release_job(d->n, &a);
    struct call *c = call_for(d->n, d->at[d->jobs++]);
    assert_int_equal(lane_direct_add(d->n->direct, c, &err), 0);
}

static void given_jobs(struct direct_night *d, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        char question[24];
        snprintf(question, sizeof(question), "question-%u", d->jobs);
        give(d, question);
    }
}

static uint32_t journal_rows(struct direct_night *d)
{
    struct err err;
    struct queue_msg m;
    struct queue_cursor *c;
    uint32_t rows = 0;
    assert_int_equal(queue_cursor_open(d->n->queue, &c, &err), 0);
    assert_int_equal(queue_read_table(c, TABLE_BATCHES, SPAN_NONE), 0);
    while (queue_read(c, &m, &err) > 0) {
        rows++;
    }
    queue_cursor_close(c);
    return rows;
}

/* How often a job stands in the journal. */
static int count_at(void *ctx, const struct journal_entry *e, struct err *err)
{
    uint64_t *want = ctx; /* the offset, then the count */
    (void)err;
    for (uint32_t i = 0; i < e->n; i++) {
        want[1] += e->at[i] == want[0];
    }
    return 0;
}

static uint64_t times_in_journal(struct direct_night *d, uint32_t job)
{
    struct err err;
    uint64_t want[2] = {d->at[job], 0};
    assert_int_equal(journal_read(d->n->queue, count_at, want, &err), 0);
    return want[1];
}

static const struct spend_head *spend_of(struct direct_night *d, size_t *ret_n)
{
    static struct spend_head heads[JOBS_MAX];
    *ret_n = spend_heads(d->n, heads, JOBS_MAX);
    return heads;
}

/* Records of that kind for the job, final or not. */
static size_t count_spend(struct direct_night *d, uint32_t job, enum spend_kind kind,
                          bool final)
{
    struct release r;
    size_t n, found = 0;
    const struct spend_head *h = spend_of(d, &n);
    release_of(d->n, d->at[job], &r);
    for (size_t i = 0; i < n; i++) {
        found += strcmp(h[i].job, r.job) == 0 && h[i].kind == kind && h[i].final == final;
    }
    return found;
}

static void assert_answered(struct direct_night *d, uint32_t job)
{
    char text[64];
    snprintf(text, sizeof(text), "answer to %s\"", d->questions[job]);
    assert_result(d->n, d->at[job], text);
    assert_true(is_acked(d->n, d->at[job]));
}

static void assert_all_answered(struct direct_night *d)
{
    for (uint32_t i = 0; i < d->jobs; i++) {
        assert_answered(d, i);
    }
}

static void assert_over(struct direct_night *d)
{
    assert_int_equal(d->stops, 0);
    assert_int_equal(d->n->stops, 0);
    assert_int_equal(journal_rows(d), 0);
    assert_true(lane_direct_idle(d->n->direct));
    assert_int_equal(call_count(d->n->calls), 0);
}

/* What was executed and is not in a usage record is covered by one in doubt. */
static void assert_all_booked(struct direct_night *d)
{
    size_t n, usage = 0, doubts = 0;
    const struct spend_head *h = spend_of(d, &n);
    for (size_t i = 0; i < n; i++) {
        usage += h[i].kind == SPEND_USAGE && !usd_is_zero(h[i].cost);
        doubts += h[i].kind == SPEND_IN_DOUBT;
    }
    assert_in_range(d->phone.executed, usage, usage + doubts);
}

/* ---- a good night ---- */

static void every_call_is_made_once_at_the_list_price(void **state)
{
    struct direct_night *d = *state;
    size_t n;
    given_jobs(d, 300);
    pass(d, MINUTE);
    assert_over(d);
    assert_all_answered(d);
    assert_int_equal(d->phone.executed, 300);
    assert_string_equal(d->phone.url, "http://127.0.0.1:1/v1/chat/completions");
    const struct spend_head *h = spend_of(d, &n);
    assert_int_equal(n, 300);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(usd_pico(h[i].cost), 120000000); /* 0.00012 */
        assert_true(h[i].final);
        assert_int_equal(h[i].try_n, 1);
    }
}

static void an_answer_on_many_lines_becomes_one_record(void **state)
{
    struct direct_night *d = *state;
    give(d, "lines");
    pass(d, MINUTE);
    char *result = result_of(d->n, d->at[0]);
    assert_null(strchr(result, '\n'));
    assert_has(result, "{\"object\": \"chat.completion\",\"model\": \"gpt-test\"");
    free(result);
}

static void look_into_journal(void *ctx, const char *question)
{
    struct direct_night *d = ctx;
    uint32_t job = 0;
    while (strcmp(d->questions[job], question) != 0) {
        job++;
    }
    d->unjournaled += times_in_journal(d, job) == 0;
}

static void no_call_leaves_before_it_stands_in_the_journal(void **state)
{
    struct direct_night *d = *state;
    d->phone.on_ask = look_into_journal;
    d->phone.ctx = d;
    phone_rule(&d->phone, (struct phone_rule){.question = "question-1",
                                              .what = PHONE_LOSE_AFTER,
                                              .times = 30});
    phone_rule(&d->phone, (struct phone_rule){.question = "question-2",
                                              .what = PHONE_STATUS,
                                              .times = 30,
                                              .status = 429});
    given_jobs(d, 100);
    pass(d, 5 * MINUTE);
    assert_true(d->phone.asked > 100);
    assert_int_equal(d->unjournaled, 0);
}

static void no_more_are_under_way_than_configured(void **state)
{
    struct direct_night *d = *state;
    given_jobs(d, 400);
    pass(d, MINUTE);
    assert_int_equal(d->phone.most_under_way, 16);
}

static void equal_questions_are_one_call(void **state)
{
    struct direct_night *d = *state;
    struct asked a = {.question = "same", .lane = LANE_SYNC, .tries = 2};
    give(d, "same");
    uint64_t second = release_job(d->n, &a);
    struct release r;
    release_of(d->n, second, &r);
    call_join(d->n->calls, call_find(d->n->calls, &r.key), second);
    pass(d, MINUTE);
    assert_int_equal(d->phone.executed, 1);
    assert_result(d->n, second, "answer to same");
}

/* ---- refused ---- */

static void what_is_refused_for_load_goes_again_and_is_no_try(void **state)
{
    static const int statuses[] = {429, 503, 529};
    struct direct_night *d = *state;
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        phone_rule(&d->phone, (struct phone_rule){.question = "question",
                                                  .what = PHONE_STATUS,
                                                  .times = 4,
                                                  .status = statuses[i]});
    }
    given_jobs(d, 20);
    pass(d, 9 * MINUTE);
    assert_over(d);
    assert_all_answered(d);
    assert_int_equal(d->phone.asked, 20 + 12);
    size_t n;
    const struct spend_head *h = spend_of(d, &n);
    assert_int_equal(n, 20);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(h[i].try_n, 1);
    }
}

static void the_time_a_refusal_names_is_waited_for_by_all(void **state)
{
    struct direct_night *d = *state;
    phone_rule(&d->phone, (struct phone_rule){.question = "question-0",
                                              .what = PHONE_STATUS,
                                              .status = 429,
                                              .retry_after_ms = 30000,
                                              .latency_ms = 1});
    given_jobs(d, 100);
    pass(d, 25000);
    unsigned asked = d->phone.asked;
    assert_in_range(asked, 1, 16);
    pass(d, 3 * MINUTE);
    assert_over(d);
    assert_all_answered(d);
}

static void what_never_left_goes_again(void **state)
{
    struct direct_night *d = *state;
    phone_rule(&d->phone, (struct phone_rule){.what = PHONE_UNSENT, .times = 40});
    given_jobs(d, 20);
    pass(d, 9 * MINUTE);
    assert_over(d);
    assert_all_answered(d);
    assert_int_equal(d->phone.executed, 20);
}

static void what_is_refused_for_good_ends_failed_and_costs_nothing(void **state)
{
    static const int statuses[] = {400, 404, 413, 422};
    struct direct_night *d = *state;
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        char name[24];
        snprintf(name, sizeof(name), "bad-%zu", i);
        phone_rule(&d->phone, (struct phone_rule){.question = "bad",
                                                  .what = PHONE_STATUS,
                                                  .status = statuses[i]});
        give(d, name);
    }
    give(d, "good");
    pass(d, MINUTE);
    assert_over(d);
    for (uint32_t i = 0; i < 4; i++) {
        assert_result(d->n, d->at[i], "\"status\":\"failed\"");
        assert_result(d->n, d->at[i], "the phone says no");
        assert_int_equal(count_spend(d, i, SPEND_USAGE, true), 1);
    }
    assert_answered(d, 4);
    assert_int_equal(d->phone.asked, 5);
}

static void a_call_refused_for_too_long_ends_failed_while_others_go_on(void **state)
{
    struct direct_night *d = *state;
    phone_rule(&d->phone, (struct phone_rule){.question = "poison",
                                              .what = PHONE_STATUS,
                                              .times = -1,
                                              .status = 503});
    give(d, "poison");
    for (int i = 0; i < 60; i++) {
        given_jobs(d, 1);
        pass(d, MINUTE / 2);
    }
    assert_over(d);
    assert_result(d->n, d->at[0], "\"status\":\"failed\"");
    assert_int_equal(count_spend(d, 0, SPEND_IN_DOUBT, true), 0);
}

/* ---- the account ---- */

static const char *stopped(struct direct_night *d)
{
    struct direct_status s;
    lane_direct_status(d->n->direct, &s);
    return s.account_stop;
}

static void a_refused_key_stops_the_account_and_its_calls_wait(void **state)
{
    struct direct_night *d = *state;
    phone_rule(&d->phone, (struct phone_rule){.what = PHONE_STATUS,
                                              .times = 30,
                                              .status = 401,
                                              .code = "invalid_api_key"});
    given_jobs(d, 100);
    pass(d, 5 * MINUTE);
    assert_non_null(stopped(d));
    assert_has(stopped(d), "could not work with 'http://127.0.0.1:1'");
    assert_in_range(d->phone.asked, 8, 8 + 5); /* then one a minute */
    assert_int_equal(count_records(d->n, TOPIC_SPEND), 0);
    pass(d, 30 * MINUTE);
    assert_null(stopped(d));
    assert_over(d);
    assert_all_answered(d);
}

static void a_page_that_says_no_ends_no_job(void **state)
{
    static const int statuses[] = {301, 400, 403, 404};
    struct direct_night *d = *state;
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        phone_rule(&d->phone, (struct phone_rule){.what = PHONE_STATUS,
                                                  .code = "page",
                                                  .status = statuses[i]});
    }
    given_jobs(d, 40);
    pass(d, 20 * MINUTE);
    assert_over(d);
    assert_all_answered(d);
}

/* A portal takes everything and answers nothing: what it took is booked, the rest waits. */
static void a_page_that_says_yes_stops_the_account(void **state)
{
    struct direct_night *d = *state;
    phone_rule(&d->phone, (struct phone_rule){.what = PHONE_BODY,
                                              .times = 8,
                                              .body = "<html>welcome</html>"});
    given_jobs(d, 40);
    pass(d, MINUTE / 2);
    assert_has(stopped(d), "what answers there is not the API");
    pass(d, 20 * MINUTE);
    assert_over(d);
    assert_all_answered(d);
    assert_all_booked(d);
}

static void when_nobody_answers_for_long_the_account_stands_still(void **state)
{
    struct direct_night *d = *state;
    phone_rule(&d->phone, (struct phone_rule){.what = PHONE_UNSENT, .times = -1});
    given_jobs(d, 3);
    pass(d, 9 * MINUTE);
    assert_null(stopped(d));
    pass(d, 3 * MINUTE);
    assert_has(stopped(d), "could not reach 'http://127.0.0.1:1': connection lost");
    assert_int_equal(count_records(d->n, "results.shop"), 0);
}

/* ---- lost ---- */

static void a_lost_reply_is_booked_in_doubt_and_the_call_made_again(void **state)
{
    struct direct_night *d = *state;
    phone_rule(&d->phone,
               (struct phone_rule){.question = "question-3", .what = PHONE_LOSE_AFTER});
    given_jobs(d, 10);
    pass(d, MINUTE);
    assert_over(d);
    assert_all_answered(d);
    assert_int_equal(phone_executed(&d->phone, "question-3"), 2);
    size_t n;
    const struct spend_head *h = spend_of(d, &n);
    assert_int_equal(n, 11);
    assert_int_equal(count_spend(d, 3, SPEND_IN_DOUBT, false), 1);
    assert_int_equal(count_spend(d, 3, SPEND_USAGE, true), 1);
    for (size_t i = 0; i < n; i++) {
        if (h[i].kind == SPEND_IN_DOUBT) {
            assert_int_equal(usd_pico(h[i].cost), 1000000000); /* the bound of one try */
            assert_int_equal(h[i].try_n, 1);
        }
    }
    assert_all_booked(d);
}

static void a_call_lost_at_its_last_try_ends_failed_and_stays_booked(void **state)
{
    struct direct_night *d = *state;
    phone_rule(&d->phone, (struct phone_rule){.question = "question-3",
                                              .what = PHONE_LOSE_AFTER,
                                              .times = 2});
    given_jobs(d, 10);
    pass(d, MINUTE);
    assert_over(d);
    assert_int_equal(phone_executed(&d->phone, "question-3"), 2);
    assert_result(d->n, d->at[3], "\"code\":\"in_doubt\"");
    assert_int_equal(count_spend(d, 3, SPEND_IN_DOUBT, false), 1);
    assert_int_equal(count_spend(d, 3, SPEND_IN_DOUBT, true), 1);
    assert_all_booked(d);
}

static void replies_that_may_have_cost_something_count_as_lost(void **state)
{
    static const int statuses[] = {408, 500, 502, 504};
    struct direct_night *d = *state;
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        phone_rule(&d->phone, (struct phone_rule){.question = "question",
                                                  .what = PHONE_STATUS,
                                                  .status = statuses[i]});
    }
    phone_rule(&d->phone, (struct phone_rule){.question = "question",
                                              .what = PHONE_BODY,
                                              .body = "{\"mod"});
    given_jobs(d, 5);
    pass(d, MINUTE);
    assert_over(d);
    assert_all_answered(d);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(count_spend(d, i, SPEND_IN_DOUBT, false), 1);
    }
}

static void a_call_that_takes_too_long_is_lost(void **state)
{
    struct direct_night *d = *state;
    phone_rule(&d->phone,
               (struct phone_rule){.question = "question-0", .what = PHONE_SILENT});
    given_jobs(d, 2);
    pass(d, 6 * MINUTE);
    assert_over(d);
    assert_all_answered(d);
    assert_int_equal(count_spend(d, 0, SPEND_IN_DOUBT, false), 1);
}

static void a_call_that_costs_nothing_has_as_many_tries_as_its_job_says(void **state)
{
    struct direct_night *d = *state;
    d->tries = 8;
    phone_rule(&d->phone, (struct phone_rule){.question = "question-0",
                                              .what = PHONE_LOSE_BEFORE,
                                              .times = 7});
    given_jobs(d, 2);
    pass(d, MINUTE);
    assert_over(d);
    assert_all_answered(d);
    assert_int_equal(count_spend(d, 0, SPEND_IN_DOUBT, false), 7);
}

/* ---- crashes ---- */

static void after_a_crash_calls_without_an_answer_are_booked_and_made_again(void **state)
{
    struct direct_night *d = *state;
    given_jobs(d, 100);
    pass(d, 50);
    unsigned before = d->phone.executed;
    assert_in_range(before, 9, 60);
    crash_and_go_on(d);
    uint32_t known = call_count(d->n->calls);
    assert_in_range(known, 1, 2 * 16 + 8);
    pass(d, MINUTE);
    assert_int_equal(d->stops, 0);
    assert_int_equal(journal_rows(d), 0);
    uint32_t answered = 0, doubts = 0;
    for (uint32_t i = 0; i < d->jobs; i++) {
        if (is_acked(d->n, d->at[i])) {
            assert_answered(d, i);
            answered++;
        }
        doubts += (uint32_t)count_spend(d, i, SPEND_IN_DOUBT, false);
    }
    assert_true(answered >= before);
    assert_int_equal(doubts, known);
    assert_all_booked(d);
}

static void a_second_crash_ends_what_is_at_its_last_try(void **state)
{
    struct direct_night *d = *state;
    given_jobs(d, 8);
    pass(d, 15);
    crash_and_go_on(d);
    pass(d, 15); /* booked, journaled at try 2, under way */
    assert_int_equal(d->phone.asked, 16);
    crash_and_go_on(d);
    pass(d, MINUTE);
    assert_over(d);
    assert_int_equal(d->phone.asked, 16);
    for (uint32_t i = 0; i < 8; i++) {
        assert_result(d->n, d->at[i], "\"code\":\"in_doubt\"");
        assert_int_equal(count_spend(d, i, SPEND_IN_DOUBT, false), 1);
        assert_int_equal(count_spend(d, i, SPEND_IN_DOUBT, true), 1);
    }
    assert_all_booked(d);
}

static void a_crash_before_the_booking_is_booked_once(void **state)
{
    struct direct_night *d = *state;
    given_jobs(d, 8);
    pass(d, 15);
    crash(d);
    start_well(d); /* registered, not booked yet: the lane has had no turn */
    crash_and_go_on(d);
    pass(d, MINUTE);
    assert_over(d);
    assert_all_answered(d);
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(count_spend(d, i, SPEND_IN_DOUBT, false), 1);
    }
}

/* Its slice has others under way, so it stands in two slices for a while. */
static void of_two_slices_with_one_call_the_higher_try_counts(void **state)
{
    struct direct_night *d = *state;
    phone_rule(&d->phone, (struct phone_rule){.question = "question-0",
                                              .what = PHONE_LOSE_AFTER,
                                              .latency_ms = 5});
    phone_rule(&d->phone, (struct phone_rule){.question = "question",
                                              .what = PHONE_ANSWERS,
                                              .times = -1,
                                              .latency_ms = 3000});
    given_jobs(d, 8);
    pass(d, 1000);
    assert_int_equal(times_in_journal(d, 0), 2);
    crash_and_go_on(d);
    pass(d, MINUTE);
    assert_over(d);
    assert_result(d->n, d->at[0], "\"code\":\"in_doubt\"");
    assert_int_equal(count_spend(d, 0, SPEND_IN_DOUBT, false), 1);
    assert_int_equal(count_spend(d, 0, SPEND_IN_DOUBT, true), 1);
    for (uint32_t i = 1; i < 8; i++) {
        assert_answered(d, i);
        assert_int_equal(count_spend(d, i, SPEND_IN_DOUBT, false), 1);
    }
    assert_all_booked(d);
}

static void after_a_good_end_only_calls_under_way_are_in_doubt(void **state)
{
    struct direct_night *d = *state;
    d->conf.concurrency = 4;
    crash_and_go_on(d);
    phone_rule(&d->phone, (struct phone_rule){.question = "question",
                                              .what = PHONE_ANSWERS,
                                              .times = -1,
                                              .latency_ms = 3000});
    given_jobs(d, 20);
    pass(d, 1000);
    assert_int_equal(d->phone.under_way, 4);
    lane_direct_stop(d->n->direct);
    crash_and_go_on(d);
    assert_int_equal(call_count(d->n->calls), 4);
    pass(d, MINUTE);
    assert_int_equal(journal_rows(d), 0);
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(count_spend(d, i, SPEND_IN_DOUBT, false),
                         phone_executed(&d->phone, d->questions[i]) > 1);
    }
}

static void calls_under_way_at_another_address_are_not_made_here(void **state)
{
    struct direct_night *d = *state;
    struct err err;
    given_jobs(d, 8);
    pass(d, 15);
    crash(d);
    d->origin = "https://other.example";
    assert_int_equal(start(d, &err), -(int)ERR_USAGE);
    assert_has(err.msg, "http://127.0.0.1:1");
    assert_has(err.msg, "https://other.example");
    pass(d, MINUTE);
    assert_int_equal(d->phone.asked, 8);
    crash(d);
    d->origin = "http://127.0.0.1:1";
    start_well(d);
    pass(d, MINUTE);
    assert_over(d);
    assert_all_answered(d);
}

static void rows_of_another_lane_are_left_as_they_are(void **state)
{
    struct direct_night *d = *state;
    given_jobs(d, 8);
    pass(d, 15);
    uint32_t rows = journal_rows(d);
    crash(d);
    d->lane = LANE_POOL;
    start_well(d);
    assert_int_equal(call_count(d->n->calls), 0);
    pass(d, MINUTE);
    assert_int_equal(journal_rows(d), rows);
    assert_int_equal(d->phone.asked, 8);
}

/* ---- servers that come and go ---- */

static void given_three_servers(struct direct_night *d)
{
    d->servers = 3;
    d->conf.moves = true;
    d->conf.adapts = false;
    d->conf.concurrency = 4;
    d->conf.stall_ms = 30000;
    d->tries = 8;
    crash_and_go_on(d);
}

static void a_server_that_refuses_is_left_until_it_is_back(void **state)
{
    struct direct_night *d = *state;
    given_three_servers(d);
    phone_rule(&d->phone,
               (struct phone_rule){.host = ":2/", .what = PHONE_UNSENT, .times = 9});
    given_jobs(d, 200);
    pass(d, MINUTE / 6);
    assert_all_answered(d);
    assert_has(d->events, "'http://127.0.0.1:2/v1' is down");
    assert_null(strstr(d->events, "there again"));
    pass(d, 3 * MINUTE);
    assert_has(d->events, "'http://127.0.0.1:2/v1' is there again");
    assert_in_range(d->phone.probes, 1, 9);
    unsigned probes = d->phone.probes;
    given_jobs(d, 100);
    pass(d, MINUTE);
    assert_over(d);
    assert_all_answered(d);
    assert_int_equal(d->phone.probes, probes);
    assert_int_equal(d->phone.executed, 300);
}

static void calls_at_a_server_that_falls_silent_go_elsewhere(void **state)
{
    struct direct_night *d = *state;
    given_three_servers(d);
    phone_rule(&d->phone, (struct phone_rule){.question = "question",
                                              .host = ":3/",
                                              .what = PHONE_SILENT,
                                              .times = 4});
    given_jobs(d, 100);
    pass(d, 25000);
    assert_int_equal(d->phone.under_way, 4);
    pass(d, 10000);
    assert_has(d->events, "'http://127.0.0.1:3/v1' is down");
    assert_all_answered(d);
    uint32_t doubts = 0;
    for (uint32_t i = 0; i < d->jobs; i++) {
        doubts += (uint32_t)count_spend(d, i, SPEND_IN_DOUBT, false);
    }
    assert_int_equal(doubts, 4);
    pass(d, 10 * MINUTE); /* the replies that nobody waits for */
    assert_over(d);
}

static void when_every_server_is_down_for_long_the_lane_says_so(void **state)
{
    struct direct_night *d = *state;
    given_three_servers(d);
    phone_rule(&d->phone, (struct phone_rule){.what = PHONE_UNSENT, .times = -1});
    given_jobs(d, 20);
    pass(d, 9 * MINUTE);
    assert_null(stopped(d));
    pass(d, 3 * MINUTE);
    assert_has(stopped(d), "could not reach");
    assert_int_equal(d->phone.executed, 0);
    d->phone.rules_len = 0;
    pass(d, 5 * MINUTE);
    assert_over(d);
    assert_all_answered(d);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_call_is_made_once_at_the_list_price),
        TEST(an_answer_on_many_lines_becomes_one_record),
        TEST(no_call_leaves_before_it_stands_in_the_journal),
        TEST(no_more_are_under_way_than_configured),
        TEST(equal_questions_are_one_call),
        TEST(what_is_refused_for_load_goes_again_and_is_no_try),
        TEST(the_time_a_refusal_names_is_waited_for_by_all),
        TEST(what_never_left_goes_again),
        TEST(what_is_refused_for_good_ends_failed_and_costs_nothing),
        TEST(a_call_refused_for_too_long_ends_failed_while_others_go_on),
        TEST(a_refused_key_stops_the_account_and_its_calls_wait),
        TEST(a_page_that_says_no_ends_no_job),
        TEST(a_page_that_says_yes_stops_the_account),
        TEST(when_nobody_answers_for_long_the_account_stands_still),
        TEST(a_lost_reply_is_booked_in_doubt_and_the_call_made_again),
        TEST(a_call_lost_at_its_last_try_ends_failed_and_stays_booked),
        TEST(replies_that_may_have_cost_something_count_as_lost),
        TEST(a_call_that_takes_too_long_is_lost),
        TEST(a_call_that_costs_nothing_has_as_many_tries_as_its_job_says),
        TEST(after_a_crash_calls_without_an_answer_are_booked_and_made_again),
        TEST(a_second_crash_ends_what_is_at_its_last_try),
        TEST(a_crash_before_the_booking_is_booked_once),
        TEST(of_two_slices_with_one_call_the_higher_try_counts),
        TEST(after_a_good_end_only_calls_under_way_are_in_doubt),
        TEST(calls_under_way_at_another_address_are_not_made_here),
        TEST(rows_of_another_lane_are_left_as_they_are),
        TEST(a_server_that_refuses_is_left_until_it_is_back),
        TEST(calls_at_a_server_that_falls_silent_go_elsewhere),
        TEST(when_every_server_is_down_for_long_the_lane_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
