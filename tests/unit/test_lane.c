/* Nights of the batch lane at a provider that does what the test says, in simulated time. */
#include "tests/unit/desk.h"
#include "tests/unit/night.h"

#include "worker/batch.h"
#include "worker/journal.h"
#include "worker/lane_batch.h"
#include "worker/openai.h"
#include "worker/account.h"
#include "worker/spool.h"
#include <stdio.h>
#include <stdlib.h>

#define SECOND     INT64_C(1000)
#define MINUTE     (60 * SECOND)
#define CALLS_MAX  2000
#define EVENTS_MAX 16384

struct lane_night {
    struct night *n;
    struct desk desk;
    struct account account;
    struct secret *key;
    struct batch_conf conf;
    struct loop_timer *alarm;
    uint64_t at[CALLS_MAX]; /* of the jobs submitted, in order */
    uint32_t jobs;
    bool recovered;
    int stops;
    struct err stop;
    char events[EVENTS_MAX];
    size_t events_len;
    uint64_t rows_at_replan; /* journal rows when a call was given back */
    struct call *replanned[CALLS_MAX];
    uint32_t replanned_len;
    enum desk_op watched; /* what the journal said when that request left */
    char said[32];
};

/* ---- life ---- */

static void on_replan(void *ctx, struct call *c)
{
    struct lane_night *ln = ctx;
    assert_null(c->batch);
    assert_int_equal(c->state, CALL_PLANNED);
    ln->replanned[ln->replanned_len++] = c;
}

static void on_recovered(void *ctx)
{
    ((struct lane_night *)ctx)->recovered = true;
}

static void on_event(void *ctx, const char *batch, const char *text)
{
    struct lane_night *ln = ctx;
    (void)batch;
    size_t left = sizeof(ln->events) - ln->events_len;
    int n = snprintf(ln->events + ln->events_len, left, "%s\n", text);
    ln->events_len += MIN_OF((size_t)n, left - 1);
}

static void on_stop(void *ctx, const struct err *err)
{
    struct lane_night *ln = ctx;
    ln->stops++;
    ln->stop = *err;
}

static void given_key(struct lane_night *ln, const char *key, const char *url)
{
    char value[64];
    struct err err;
    const struct secret_sources from = {.env_value = value};
    snprintf(value, sizeof(value), "%s", key);
    secret_destroy(ln->key);
    assert_int_equal(secret_load(&ln->key, &from, &err), 0);
    assert_int_equal(account_init(&ln->account, url, ln->key, &err), 0);
}

static int start_lane(struct lane_night *ln, struct err *err)
{
    const struct lane_batch_conf conf = {
        .loop = ln->n->loop,
        .queue = ln->n->queue,
        .feed = ln->n->feed,
        .http = &ln->desk.http,
        .calls = ln->n->calls,
        .settle = ln->n->settle,
        .provider = &provider_openai,
        .account = &ln->account,
        .batch = &ln->conf,
        .dir = ln->n->dir,
        .on_replan = on_replan,
        .on_recovered = on_recovered,
        .on_event = on_event,
        .on_stop = on_stop,
        .ctx = ln,
    };
    ln->recovered = false;
    assert_int_equal(lane_batch_create(&ln->n->lane, &conf, err), 0);
    return lane_batch_recover(ln->n->lane, err);
}

static void begin_lane(struct lane_night *ln)
{
    struct err err;
    if (start_lane(ln, &err) < 0) {
        fail_msg("%s", err.msg);
    }
}

static void on_alarm(void *ctx)
{
    loop_stop(((struct lane_night *)ctx)->n->loop);
}

static void pass(struct lane_night *ln, int64_t ms)
{
    loop_timer_start(ln->alarm, ms);
    loop_run(ln->n->loop);
}

static int begin(void **state)
{
    struct lane_night *ln = calloc(1, sizeof(*ln));
    night_falls((void **)&ln->n);
    desk_open(&ln->desk, ln->n->loop);
    given_key(ln, "sk-test", "http://127.0.0.1:1/v1");
    ln->conf = (struct batch_conf){.poll_ms = 10 * SECOND,
                                   .absent_after_ms = 5 * MINUTE,
                                   .max_requests = 50000,
                                   .max_bytes = 1 << 20,
                                   .give_up_ms = 10 * MINUTE,
                                   .line_attempts = 3};
    assert_int_equal(loop_timer_create(ln->n->loop, on_alarm, ln, &ln->alarm), 0);
    begin_lane(ln);
    *state = ln;
    return 0;
}

static void end_lane(struct lane_night *ln)
{
    ln->n->lane = lane_batch_destroy(ln->n->lane);
}

static int end(void **state)
{
    struct lane_night *ln = *state;
    end_lane(ln);
    desk_close(&ln->desk);
    ln->alarm = loop_timer_destroy(ln->alarm);
    secret_destroy(ln->key);
    night_ends((void **)&ln->n);
    free(ln);
    return 0;
}

/* The process dies where it is and starts again; the desk does not notice. */
static void crash(struct lane_night *ln)
{
    end_lane(ln);
    night_crash(ln->n);
}

static void crash_and_go_on(struct lane_night *ln)
{
    crash(ln);
    begin_lane(ln);
}

/* ---- given, when, then ---- */

static void submit(struct lane_night *ln, const char *const *questions, uint32_t n)
{
    struct call *calls[CALLS_MAX];
    struct err err;
    for (uint32_t i = 0; i < n; i++) {
        struct asked a = {.question = questions[i]};
        ln->at[ln->jobs] = release_job(ln->n, &a);
        calls[i] = call_for(ln->n, ln->at[ln->jobs++]);
    }
    if (lane_batch_submit(ln->n->lane, calls, n, &err) < 0) {
        fail_msg("%s", err.msg);
    }
}

/* n questions that all differ */
static void given_batch(struct lane_night *ln, uint32_t n)
{
    static char text[CALLS_MAX][24];
    const char *questions[CALLS_MAX];
    for (uint32_t i = 0; i < n; i++) {
        snprintf(text[i], sizeof(text[i]), "question-%u", ln->jobs + i);
        questions[i] = text[i];
    }
    submit(ln, questions, n);
}

static struct lane_status status(struct lane_night *ln)
{
    struct lane_status s;
    lane_batch_status(ln->n->lane, &s);
    return s;
}

/* The state of the only batch in the journal, "none" or "many". */
static const char *journal_says(struct lane_night *ln)
{
    static char state[32];
    struct err err;
    struct queue_msg m;
    struct queue_cursor *c;
    int rows = 0;
    snprintf(state, sizeof(state), "none");
    assert_int_equal(queue_cursor_open(ln->n->queue, &c, &err), 0);
    assert_int_equal(queue_read_table(c, TABLE_BATCHES, SPAN_NONE), 0);
    while (queue_read(c, &m, &err) > 0) {
        if (m.key.n == BATCH_ID_BYTES - 1 && rows++ == 0) {
            const char *at = strstr(m.value.p, "\"state\":\"") + 9;
            snprintf(state, sizeof(state), "%.*s", (int)strcspn(at, "\""), at);
        }
    }
    queue_cursor_close(c);
    return rows > 1 ? "many" : state;
}

static void assert_event(struct lane_night *ln, const char *part)
{
    if (!strstr(ln->events, part)) {
        fail_msg("no event says '%s':\n%s", part, ln->events);
    }
}

static void assert_all_answered(struct lane_night *ln)
{
    for (uint32_t i = 0; i < ln->jobs; i++) {
        assert_result(ln->n, ln->at[i], "answer to ");
        assert_true(is_acked(ln->n, ln->at[i]));
    }
}

static void assert_over(struct lane_night *ln)
{
    assert_int_equal(ln->stops, 0);
    assert_string_equal(journal_says(ln), "none");
    assert_true(lane_batch_idle(ln->n->lane));
    assert_int_equal(call_count(ln->n->calls), ln->replanned_len);
}

/* Every job has its answer, the journal is empty, and nothing was billed twice. */
static void assert_bought_once(struct lane_night *ln)
{
    assert_over(ln);
    assert_all_answered(ln);
    assert_int_equal(ln->desk.billed, ln->jobs);
    struct spend_head heads[CALLS_MAX];
    assert_int_equal(spend_heads(ln->n, heads, CALLS_MAX), ln->jobs);
}

/* ---- the straight way ---- */

static void test_a_batch_is_bought_once_answered_and_forgotten(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 12);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], 1);
    assert_int_equal(ln->desk.asked[DESK_CREATE], 1);
    assert_int_equal(ln->desk.asked[DESK_LIST], 0);
    assert_in_range(ln->desk.asked[DESK_BATCH], 5, 8); /* a minute, every ten seconds */
    assert_int_equal(status(ln).creates, 1);
}

static void on_ask(void *ctx, enum desk_op op)
{
    struct lane_night *ln = ctx;
    if (op == ln->watched && !ln->said[0]) {
        snprintf(ln->said, sizeof(ln->said), "%s", journal_says(ln));
    }
}

static void test_no_request_leaves_before_its_journal_entry(void **state)
{
    struct lane_night *ln = *state;
    static const struct {
        enum desk_op op;
        const char *says;
    } rows[] = {
        {DESK_UPLOAD, "journaled"}, {DESK_CREATE, "uploaded"}, {DESK_BATCH, "submitted"}};
    ln->desk.on_ask = on_ask;
    ln->desk.ctx = ln;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ln->watched = rows[i].op;
        ln->said[0] = '\0';
        given_batch(ln, 2);
        pass(ln, 5 * MINUTE);
        assert_string_equal(ln->said, rows[i].says);
    }
    assert_bought_once(ln);
}

static void test_a_batch_larger_than_a_slice_waits_for_room(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 1900);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
    assert_true(ln->n->rooms > 0);
}

/* ---- lost replies ---- */

static void test_a_create_whose_reply_was_lost_is_found_and_adopted(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk,
                 (struct desk_trouble){.op = DESK_CREATE, .what = DESK_LOSE_AFTER});
    given_batch(ln, 3);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.batches_len, 1);
    assert_int_equal(ln->desk.asked[DESK_DELETE], 0);
    assert_event(ln, "found what the earlier create made: 'batch_1'");
}

static void test_a_502_may_have_created_and_is_looked_for(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk, (struct desk_trouble){
                                .op = DESK_CREATE, .what = DESK_STATUS, .status = 502});
    given_batch(ln, 3);
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_DELETE], 1);
}

static void test_a_create_that_never_arrived_is_sent_again_only_without_its_input(
    void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk,
                 (struct desk_trouble){.op = DESK_CREATE, .what = DESK_LOSE_BEFORE});
    given_batch(ln, 3);
    pass(ln, 4 * MINUTE); /* looked, deleted, and waiting */
    assert_int_equal(ln->desk.asked[DESK_CREATE], 1);
    assert_int_equal(ln->desk.asked[DESK_LIST], 1);
    assert_null(ln->desk.files[0].text);
    pass(ln, 6 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_LIST], 2);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], 2);
    assert_true(ln->desk.asked_ms[DESK_CREATE] >=
                ln->desk.asked_ms[DESK_DELETE] + 5 * MINUTE);
}

static void test_a_batch_that_shows_up_late_in_the_list_is_adopted(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.lag_ms = 2 * MINUTE;
    desk_trouble(&ln->desk,
                 (struct desk_trouble){.op = DESK_CREATE, .what = DESK_LOSE_AFTER});
    given_batch(ln, 3);
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_CREATE], 1);
    assert_int_equal(ln->desk.asked[DESK_DELETE], 1);
}

static void test_a_batch_that_lost_its_input_starts_anew_and_counts_as_no_attempt(
    void **state)
{
    struct lane_night *ln = *state;
    ln->desk.lag_ms = 2 * MINUTE;
    ln->desk.read_ms = 3 * MINUTE; /* it had not read its input when we deleted it */
    for (int i = 0; i < BATCH_FAILURES_MAX + 1; i++) {
        desk_trouble(&ln->desk,
                     (struct desk_trouble){.op = DESK_CREATE, .what = DESK_LOSE_AFTER});
    }
    given_batch(ln, 3);
    pass(ln, 60 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.batches_len, BATCH_FAILURES_MAX + 2);
}

static void test_an_upload_whose_reply_was_lost_is_made_again(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk,
                 (struct desk_trouble){.op = DESK_UPLOAD, .what = DESK_LOSE_AFTER});
    given_batch(ln, 3);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], 2);
    assert_int_equal(ln->desk.asked[DESK_CREATE], 1);
}

static void test_of_two_batches_for_one_key_the_older_is_adopted(void **state)
{
    struct lane_night *ln = *state;
    struct err err;
    desk_trouble(&ln->desk,
                 (struct desk_trouble){.op = DESK_CREATE, .what = DESK_LOSE_AFTER});
    desk_trouble(&ln->desk,
                 (struct desk_trouble){
                     .op = DESK_LIST, .what = DESK_STATUS, .status = 503, .times = 3});
    given_batch(ln, 3);
    pass(ln, SECOND / 2);
    /* somebody, somehow, creates a second one with the same stamp */
    struct desk_batch twin = ln->desk.batches[0];
    snprintf(twin.id, sizeof(twin.id), "batch_2");
    twin.text = strdup(twin.text);
    ln->desk.batches[ln->desk.batches_len++] = twin;
    pass(ln, 10 * MINUTE);
    (void)err;
    assert_bought_once(ln);
    assert_false(ln->desk.batches[0].cancelled);
    assert_true(ln->desk.batches[1].cancelled);
    assert_event(ln, "a second batch 'batch_2' was found for it and cancelled");
}

/* ---- refusals ---- */

static void test_a_429_is_waited_out_as_long_as_the_server_says(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk, (struct desk_trouble){.op = DESK_CREATE,
                                                  .what = DESK_STATUS,
                                                  .status = 429,
                                                  .code = "rate_limit_exceeded",
                                                  .retry_after_ms = 40 * SECOND});
    given_batch(ln, 3);
    pass(ln, 39 * SECOND);
    assert_int_equal(ln->desk.asked[DESK_CREATE], 1);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_CREATE], 2);
    assert_int_equal(ln->desk.asked[DESK_LIST], 0); /* a 429 means not accepted */
}

static void test_a_refused_key_stops_the_account_and_its_jobs_wait(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk,
                 (struct desk_trouble){
                     .op = DESK_UPLOAD, .what = DESK_STATUS, .status = 401, .times = 6});
    given_batch(ln, 3);
    given_batch(ln, 3);
    pass(ln, 25 * SECOND);
    assert_non_null(status(ln).account_stop);
    assert_int_equal(status(ln).account_stop_code, ERR_AUTH);
    assert_in_range(ln->desk.asked[DESK_UPLOAD], 3, 4); /* two at once, then one a poll */
    pass(ln, 10 * MINUTE);
    assert_null(status(ln).account_stop);
    assert_bought_once(ln);
    assert_null(strstr(strstr(ln->events, "refuses the key") + 1,
                       "refuses the key")); /* said once */
}

static void test_a_quota_that_is_used_up_stops_buying_but_not_harvesting(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 3);
    pass(ln, 5 * SECOND);
    desk_trouble(&ln->desk, (struct desk_trouble){.op = DESK_CREATE,
                                                  .what = DESK_STATUS,
                                                  .status = 429,
                                                  .code = "insufficient_quota",
                                                  .times = 20});
    given_batch(ln, 3);
    pass(ln, 2 * MINUTE);
    assert_int_equal(status(ln).account_stop_code, ERR_TEMP);
    assert_result(ln->n, ln->at[0], "answer to ");
    assert_null(result_of(ln->n, ln->at[3]));
    pass(ln, 30 * MINUTE);
    assert_bought_once(ln);
}

static void test_a_provider_that_cannot_be_reached_is_said_so_after_a_while(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk, (struct desk_trouble){
                                .op = DESK_UPLOAD, .what = DESK_UNSENT, .times = 1000});
    given_batch(ln, 3);
    pass(ln, 9 * MINUTE);
    assert_null(status(ln).account_stop);
    pass(ln, 2 * MINUTE);
    assert_non_null(strstr(status(ln).account_stop,
                           "could not reach 'http://127.0.0.1:1': connection lost"));
    assert_int_equal(status(ln).account_stop_code, ERR_TEMP);
    ln->desk.troubles_len = 0;
    pass(ln, 5 * MINUTE);
    assert_null(status(ln).account_stop);
    assert_bought_once(ln);
}

static void test_a_refused_batch_is_tried_three_times_and_then_its_jobs_fail(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.ends[0] = ln->desk.ends[1] = ln->desk.ends[2] = DESK_FAILS;
    given_batch(ln, 3);
    pass(ln, 30 * MINUTE);
    assert_over(ln);
    assert_int_equal(ln->desk.batches_len, BATCH_FAILURES_MAX);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], BATCH_FAILURES_MAX);
    for (uint32_t i = 0; i < 3; i++) {
        assert_result(ln->n, ln->at[i], "the desk is closed"); /* the provider's words */
    }
}

static void test_a_create_refused_for_good_fails_with_the_providers_words(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk, (struct desk_trouble){.op = DESK_CREATE,
                                                  .what = DESK_STATUS,
                                                  .status = 400,
                                                  .code = "model_not_found",
                                                  .times = 3});
    given_batch(ln, 2);
    pass(ln, 30 * MINUTE);
    assert_over(ln);
    assert_result(ln->n, ln->at[0], "model_not_found: the desk says no");
    assert_int_equal(ln->desk.billed, 0);
}

static void test_lines_that_cannot_be_accepted_fail_alone(void **state)
{
    struct lane_night *ln = *state;
    static const char *const questions[] = {"good", "bad one", "fine", "bad two", "well"};
    ln->desk.ends[0] = DESK_FAILS_LINES;
    submit(ln, questions, 5);
    pass(ln, 10 * MINUTE);
    assert_over(ln);
    assert_result(ln->n, ln->at[0], "answer to good");
    assert_result(ln->n, ln->at[1], "this line is bad");
    assert_result(ln->n, ln->at[2], "answer to fine");
    assert_result(ln->n, ln->at[3], "this line is bad");
    assert_result(ln->n, ln->at[4], "answer to well");
    assert_int_equal(ln->desk.billed, 3);
}

/* ---- back-pressure ---- */

static void test_a_full_account_is_waited_for_and_counts_as_no_attempt(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 2); /* keeps the account busy: the other is not alone */
    pass(ln, 2 * SECOND);
    for (int i = 1; i < 5; i++) {
        ln->desk.ends[i] = DESK_OVERFLOWS;
    }
    ln->desk.batches[0].created_ms += 20 * MINUTE;
    given_batch(ln, 4);
    pass(ln, 60 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.batches_len, 6);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], 2); /* the file is still good */
}

static void test_a_batch_that_is_too_large_alone_is_split(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.ends[0] = ln->desk.ends[1] = DESK_OVERFLOWS;
    given_batch(ln, 5);
    pass(ln, 30 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.batches_len, 4);
    assert_int_equal(ln->desk.batches[2].lines, 3);
    assert_int_equal(ln->desk.batches[3].lines, 2);
}

static void test_one_call_that_never_fits_fails_at_last(void **state)
{
    struct lane_night *ln = *state;
    for (int i = 0; i < DESK_BATCHES_MAX; i++) {
        ln->desk.ends[i] = DESK_OVERFLOWS;
    }
    given_batch(ln, 1);
    pass(ln, 40 * 60 * MINUTE);
    assert_over(ln);
    assert_int_equal(ln->desk.batches_len, 20);
    assert_result(ln->n, ln->at[0], "the desk is closed");
}

static void test_a_file_the_provider_finds_too_large_is_split(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk, (struct desk_trouble){
                                .op = DESK_UPLOAD, .what = DESK_STATUS, .status = 413});
    given_batch(ln, 4);
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.batches_len, 2);
}

static void test_an_input_above_the_limit_is_split_before_it_leaves(void **state)
{
    struct lane_night *ln = *state;
    ln->conf.max_bytes = 300; /* a line has about 100 */
    given_batch(ln, 8);
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.batches_len, 4);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], 4);
}

/* ---- results ---- */

static void when_replanned(struct lane_night *ln)
{
    struct err err;
    uint32_t n = ln->replanned_len;
    ln->replanned_len = 0;
    assert_string_equal(journal_says(ln),
                        "none"); /* no job is in two journaled batches */
    assert_int_equal(lane_batch_submit(ln->n->lane, ln->replanned, n, &err), 0);
}

static void test_an_expired_batch_is_harvested_and_the_rest_goes_again(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.ends[0] = DESK_EXPIRES;
    given_batch(ln, 10);
    pass(ln, 5 * MINUTE);
    assert_over(ln);
    assert_int_equal(ln->replanned_len, 5);
    assert_int_equal(ln->desk.billed, 5);
    when_replanned(ln);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
}

static void test_a_cancelled_batch_is_harvested_too(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.ends[0] = DESK_IS_CANCELLED;
    given_batch(ln, 4);
    pass(ln, 5 * MINUTE);
    assert_int_equal(ln->replanned_len, 2);
    when_replanned(ln);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
}

static void test_a_line_that_is_never_executed_fails_after_ten_goes(void **state)
{
    struct lane_night *ln = *state;
    for (int i = 0; i < DESK_BATCHES_MAX; i++) {
        ln->desk.ends[i] = DESK_EXPIRES;
    }
    given_batch(ln, 1); /* half of one is none */
    for (int go = 1; go < BATCH_AGAIN_MAX; go++) {
        pass(ln, 5 * MINUTE);
        assert_int_equal(ln->replanned_len, 1);
        when_replanned(ln);
    }
    pass(ln, 5 * MINUTE);
    assert_over(ln);
    assert_result(ln->n, ln->at[0], "batch_expired");
    assert_int_equal(ln->desk.batches_len, BATCH_AGAIN_MAX);
}

static void test_lines_refused_for_load_go_again_a_few_times(void **state)
{
    struct lane_night *ln = *state;
    static const char *const questions[] = {"patient", "hopeless", "easy"};
    desk_line(&ln->desk, "patient", DESK_BUSY, 2);
    desk_line(&ln->desk, "hopeless", DESK_BUSY, 99);
    submit(ln, questions, 3);
    pass(ln, 5 * MINUTE);
    assert_int_equal(ln->replanned_len, 2);
    when_replanned(ln);
    pass(ln, 5 * MINUTE);
    assert_int_equal(ln->replanned_len, 2);
    when_replanned(ln);
    pass(ln, 5 * MINUTE);
    assert_over(ln);
    assert_int_equal(ln->replanned_len, 0);
    assert_result(ln->n, ln->at[0], "answer to patient");
    assert_result(ln->n, ln->at[1], "\"status_code\":429");
    assert_result(ln->n, ln->at[2], "answer to easy");
}

static void test_a_refused_line_fails_at_once(void **state)
{
    struct lane_night *ln = *state;
    static const char *const questions[] = {"odd", "easy"};
    desk_line(&ln->desk, "odd", DESK_REFUSED, 1);
    submit(ln, questions, 2);
    pass(ln, 5 * MINUTE);
    assert_over(ln);
    assert_result(ln->n, ln->at[0], "\"status_code\":400");
    assert_result(ln->n, ln->at[1], "answer to easy");
}

static void test_a_line_that_comes_twice_is_charged_once_and_reported(void **state)
{
    struct lane_night *ln = *state;
    static const char *const questions[] = {"echo", "easy"};
    desk_line(&ln->desk, "echo", DESK_TWICE, 1);
    submit(ln, questions, 2);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
    assert_event(ln, "of 3 result lines 1 came twice");
}

static void test_a_missing_line_is_fetched_again_and_then_in_doubt(void **state)
{
    struct lane_night *ln = *state;
    static const char *const questions[] = {"lost", "easy"};
    desk_line(&ln->desk, "lost", DESK_OMITTED, 1);
    submit(ln, questions, 2);
    pass(ln, 5 * MINUTE);
    assert_over(ln);
    assert_int_equal(ln->desk.asked[DESK_CONTENT], 2);
    assert_result(ln->n, ln->at[1], "answer to easy");
    struct spend_head heads[4];
    assert_int_equal(spend_heads(ln->n, heads, 4), 2);
    bool first = heads[0].kind == SPEND_IN_DOUBT;
    assert_true(first ||
                heads[1].kind == SPEND_IN_DOUBT); /* it was billed: it may not go again */
    assert_int_equal(ln->replanned_len, 0);
}

static void test_without_counts_a_missing_line_is_in_doubt(void **state)
{
    struct lane_night *ln = *state;
    static const char *const questions[] = {"lost", "easy"};
    ln->desk.ends[0] = DESK_NO_COUNTS;
    desk_line(&ln->desk, "lost", DESK_OMITTED, 1);
    submit(ln, questions, 2);
    pass(ln, 5 * MINUTE);
    assert_over(ln);
    assert_int_equal(ln->replanned_len, 0);
    assert_result(ln->n, ln->at[0], "missing from the provider's result files");
}

static void test_a_download_that_was_cut_is_made_again(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk, (struct desk_trouble){.op = DESK_CONTENT, .what = DESK_CUT});
    desk_trouble(&ln->desk,
                 (struct desk_trouble){.op = DESK_CONTENT, .what = DESK_LOSE_AFTER});
    given_batch(ln, 3);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_CONTENT], 3);
}

static void test_a_new_batch_that_is_not_visible_yet_is_waited_for(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.lag_ms = 4 * MINUTE;
    given_batch(ln, 3);
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
}

static void test_a_batch_that_is_gone_leaves_its_jobs_in_doubt(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 2);
    pass(ln, 20 * SECOND);
    assert_string_equal(journal_says(ln), "polling");
    desk_trouble(&ln->desk,
                 (struct desk_trouble){
                     .op = DESK_BATCH, .what = DESK_STATUS, .status = 404, .times = 999});
    pass(ln, 4 * MINUTE);
    assert_null(result_of(ln->n, ln->at[0]));
    pass(ln, 3 * MINUTE);
    assert_over(ln);
    assert_result(ln->n, ln->at[0], "the provider no longer knows batch 'batch_1'");
    struct spend_head heads[4];
    assert_int_equal(spend_heads(ln->n, heads, 4), 2);
    assert_int_equal(heads[0].kind, SPEND_IN_DOUBT);
}

/* ---- restarts ---- */

static void test_a_crash_in_any_state_buys_nothing_twice(void **state)
{
    struct lane_night *ln = *state;
    static const int64_t after_ms[] = {0,   1,   20,   49,    60,    99,
                                       120, 180, 5000, 15000, 61000, 70000};
    for (size_t i = 0; i < ARRAY_LEN(after_ms); i++) {
        given_batch(ln, 4);
        pass(ln, after_ms[i]);
        bool kept = strcmp(journal_says(ln), "none") != 0;
        crash_and_go_on(ln);
        pass(ln, 20 * MINUTE);
        assert_true(ln->recovered);
        if (!kept && !result_of(ln->n, ln->at[ln->jobs - 1])) {
            ln->jobs -= 4; /* it never left memory: intake would deliver the jobs again */
        }
    }
    assert_true(ln->jobs >= 4 * (ARRAY_LEN(after_ms) - 2));
    assert_over(ln);
    assert_all_answered(ln);
    assert_int_equal(ln->desk.billed, ln->jobs);
}

static void test_a_restart_in_uploaded_looks_before_it_creates(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.latency_ms = 10 * SECOND;
    given_batch(ln, 3);
    pass(ln, 15 * SECOND); /* the create has arrived, its reply is under way */
    assert_string_equal(journal_says(ln), "uploaded");
    assert_int_equal(ln->desk.batches_len, 1);
    crash_and_go_on(ln);
    ln->desk.latency_ms = 50;
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_CREATE], 1);
    assert_int_equal(ln->desk.asked[DESK_LIST], 1);
}

static void test_lost_result_files_are_fetched_again(void **state)
{
    struct lane_night *ln = *state;
    char id[BATCH_ID_BYTES];
    given_batch(ln, 3);
    while (strcmp(journal_says(ln), "fetched") != 0) {
        pass(ln, 1);
        assert_true(loop_now_ms(ln->n->loop) < 10 * MINUTE);
    }
    struct queue_msg m;
    struct err err;
    assert_int_equal(queue_read_table(ln->n->cursor, TABLE_BATCHES, SPAN_NONE), 0);
    assert_int_equal(queue_read(ln->n->cursor, &m, &err), 1);
    snprintf(id, sizeof(id), "%.*s", BATCH_ID_BYTES - 1, m.key.p);
    crash(ln);
    spool_remove(ln->n->dir, id);
    begin_lane(ln);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_CREATE], 1);
}

static void test_a_rotated_key_of_the_same_account_goes_on(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 3);
    pass(ln, 20 * SECOND);
    crash(ln);
    given_key(ln, "sk-rotated", "http://127.0.0.1:1/v1");
    ln->desk.key = "sk-rotated";
    begin_lane(ln);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_FILE], 1);
    assert_event(ln, "the account is the same");
}

static void test_a_key_of_another_account_buys_nothing_and_says_why(void **state)
{
    struct lane_night *ln = *state;
    char first[64];
    given_batch(ln, 3);
    pass(ln, 20 * SECOND);
    crash(ln);
    snprintf(first, sizeof(first), "%s", ln->account.fingerprint);
    given_key(ln, "sk-stranger", "http://127.0.0.1:1/v1");
    unsigned creates = ln->desk.asked[DESK_CREATE], uploads = ln->desk.asked[DESK_UPLOAD];
    begin_lane(ln);
    pass(ln, 20 * MINUTE);
    assert_int_equal(ln->stops, 1);
    assert_int_equal(ln->stop.code, ERR_AUTH);
    assert_non_null(strstr(ln->stop.msg, first));
    assert_non_null(strstr(ln->stop.msg, ln->account.fingerprint));
    assert_false(ln->recovered); /* nothing new may be planned either */
    assert_int_equal(ln->desk.asked[DESK_CREATE], creates);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], uploads);
    ln->stops = 0;
    crash(ln);
    given_key(ln, "sk-test", "http://127.0.0.1:1/v1");
    begin_lane(ln);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
}

static void test_another_address_is_refused_with_both_named(void **state)
{
    struct lane_night *ln = *state;
    struct err err;
    given_batch(ln, 3);
    pass(ln, 20 * SECOND);
    crash(ln);
    given_key(ln, "sk-test", "http://127.0.0.1:2/v1");
    assert_int_equal(start_lane(ln, &err), -ERR_USAGE);
    assert_non_null(strstr(err.msg, "http://127.0.0.1:1"));
    assert_non_null(strstr(err.msg, "http://127.0.0.1:2"));
    pass(ln, 20 * MINUTE);
    assert_false(ln->recovered);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], 1);
}

static void test_the_lane_may_be_destroyed_with_everything_under_way(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.latency_ms = SECOND;
    for (int i = 0; i < 12; i++) {
        given_batch(ln, 3);
        pass(ln, 137 * i);
    }
    crash_and_go_on(ln);
    pass(ln, 60 * MINUTE);
    assert_over(ln);
    assert_int_equal(ln->desk.billed + 3 * 0, ln->desk.billed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_batch_is_bought_once_answered_and_forgotten),
        TEST(test_no_request_leaves_before_its_journal_entry),
        TEST(test_a_batch_larger_than_a_slice_waits_for_room),
        TEST(test_a_create_whose_reply_was_lost_is_found_and_adopted),
        TEST(test_a_502_may_have_created_and_is_looked_for),
        TEST(test_a_create_that_never_arrived_is_sent_again_only_without_its_input),
        TEST(test_a_batch_that_shows_up_late_in_the_list_is_adopted),
        TEST(test_a_batch_that_lost_its_input_starts_anew_and_counts_as_no_attempt),
        TEST(test_an_upload_whose_reply_was_lost_is_made_again),
        TEST(test_of_two_batches_for_one_key_the_older_is_adopted),
        TEST(test_a_429_is_waited_out_as_long_as_the_server_says),
        TEST(test_a_refused_key_stops_the_account_and_its_jobs_wait),
        TEST(test_a_quota_that_is_used_up_stops_buying_but_not_harvesting),
        TEST(test_a_provider_that_cannot_be_reached_is_said_so_after_a_while),
        TEST(test_a_refused_batch_is_tried_three_times_and_then_its_jobs_fail),
        TEST(test_a_create_refused_for_good_fails_with_the_providers_words),
        TEST(test_lines_that_cannot_be_accepted_fail_alone),
        TEST(test_a_full_account_is_waited_for_and_counts_as_no_attempt),
        TEST(test_a_batch_that_is_too_large_alone_is_split),
        TEST(test_one_call_that_never_fits_fails_at_last),
        TEST(test_a_file_the_provider_finds_too_large_is_split),
        TEST(test_an_input_above_the_limit_is_split_before_it_leaves),
        TEST(test_an_expired_batch_is_harvested_and_the_rest_goes_again),
        TEST(test_a_cancelled_batch_is_harvested_too),
        TEST(test_a_line_that_is_never_executed_fails_after_ten_goes),
        TEST(test_lines_refused_for_load_go_again_a_few_times),
        TEST(test_a_refused_line_fails_at_once),
        TEST(test_a_line_that_comes_twice_is_charged_once_and_reported),
        TEST(test_a_missing_line_is_fetched_again_and_then_in_doubt),
        TEST(test_without_counts_a_missing_line_is_in_doubt),
        TEST(test_a_download_that_was_cut_is_made_again),
        TEST(test_a_new_batch_that_is_not_visible_yet_is_waited_for),
        TEST(test_a_batch_that_is_gone_leaves_its_jobs_in_doubt),
        TEST(test_a_crash_in_any_state_buys_nothing_twice),
        TEST(test_a_restart_in_uploaded_looks_before_it_creates),
        TEST(test_lost_result_files_are_fetched_again),
        TEST(test_a_rotated_key_of_the_same_account_goes_on),
        TEST(test_a_key_of_another_account_buys_nothing_and_says_why),
        TEST(test_another_address_is_refused_with_both_named),
        TEST(test_the_lane_may_be_destroyed_with_everything_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
