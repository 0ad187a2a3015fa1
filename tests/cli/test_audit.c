/* cli/audit_charge.h, cli/audit_job.h, cli/slots.h: what an audit finds wrong with one record and
 * one job, and where it keeps them. */
#include "cli/audit_charge.h"
#include "cli/audit_job.h"
#include "cli/slots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define TEXT_MAX 8192

/* ---- a spend record ---- */

struct record {
    struct buf headers, json;
    struct queue_msg msg;
};

static struct spend plain(void)
{
    struct spend s = {.head = {.kind = SPEND_USAGE,
                               .job = "search.tags/0/17/1795279027258",
                               .run = "night",
                               .team = "search",
                               .feature = "tags",
                               .attempt = 1,
                               .try_n = 1,
                               .final = true,
                               .day = "2026-11-21",
                               .cost = usd_from_pico(100),
                               .usage = {.input = 5, .output = 2},
                               .model = "gpt-4o-mini"},
                      .cost_known = true,
                      .account = "a",
                      .prices = "b",
                      .batch = "batch_7"};
    s.charge.cost.total = usd_from_pico(100);
    s.charge.cost.input = usd_from_pico(70);
    s.charge.cost.output = usd_from_pico(30);
    s.charge.baseline = usd_from_pico(190);
    s.charge.saved_batch = usd_from_pico(100);
    s.charge.saved_prompt_cache = usd_from_pico(-10);
    return s;
}

static struct spend doubtful(uint32_t try_n)
{
    struct spend s = plain();
    s.head.kind = SPEND_IN_DOUBT;
    s.head.try_n = try_n;
    s.head.final = false;
    s.head.usage = (struct usage){0};
    s.cost_known = false;
    return s;
}

static void put(struct record *r, const struct spend *s)
{
    buf_init(&r->headers, TEXT_MAX);
    buf_init(&r->json, TEXT_MAX);
    assert_int_equal(spend_encode(s, &r->headers, &r->json, NULL), 0);
    r->msg =
        (struct queue_msg){.headers = buf_span(&r->headers), .value = buf_span(&r->json)};
}

static void drop(struct record *r)
{
    buf_fini(&r->headers);
    buf_fini(&r->json);
}

/* Writes `to` over the first `from` in the record; of the same length. */
static void overwrite(struct record *r, const char *from, const char *to)
{
    char *at = strstr(r->json.p, from);
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
}

static unsigned read_record(struct record *r, struct audit_difference *wrong)
{
    struct audit_charge c;
    return audit_charge_read(&r->msg, &c, wrong);
}

static void a_record_that_adds_up_is_found_right(void **state)
{
    (void)state;
    struct audit_difference wrong[AUDIT_CHARGE_KINDS];
    struct audit_charge c;
    struct record r;
    struct spend s = plain();
    char text[USD_TEXT_MAX];
    put(&r, &s);
    assert_int_equal(audit_charge_read(&r.msg, &c, wrong), 0);
    assert_true(c.known);
    assert_string_equal(usd_sum_picos(c.cost, text), "100");
    assert_string_equal(c.batch, "batch_7");
    assert_string_equal(c.request, "");
    assert_int_equal(c.outcome, STATUS_OK);
    drop(&r);
}

static void a_try_in_doubt_has_a_bound_and_null_costs(void **state)
{
    (void)state;
    struct audit_difference wrong[AUDIT_CHARGE_KINDS];
    struct audit_charge c;
    struct record r;
    for (uint32_t try_n = 1; try_n <= 3; try_n++) {
        char text[USD_TEXT_MAX];
        struct spend s = doubtful(try_n);
        put(&r, &s);
        assert_int_equal(audit_charge_read(&r.msg, &c, wrong), 0);
        assert_false(c.known);
        assert_string_equal(usd_sum_picos(c.doubt, text), "100");
        assert_int_equal(c.outcome, -1);
        drop(&r);
    }
}

static void one_pico_dollar_too_much_is_found(void **state)
{
    (void)state;
    struct audit_difference wrong[AUDIT_CHARGE_KINDS];
    struct record r;
    struct spend s = plain();
    put(&r, &s);
    overwrite(&r, "\"cost_input\":0.00000000007", "\"cost_input\":0.00000000008");
    assert_int_equal(read_record(&r, wrong), 1);
    assert_int_equal(wrong[0].kind, AUDIT_CHARGE_SUM);
    assert_string_equal(wrong[0].expected, "cost 0.00000000011");
    assert_string_equal(wrong[0].found, "0.0000000001");
    drop(&r);
}

static void savings_that_do_not_add_up_are_found(void **state)
{
    (void)state;
    struct audit_difference wrong[AUDIT_CHARGE_KINDS];
    struct record r;
    struct spend s = plain();
    put(&r, &s);
    overwrite(&r, "\"saved_prompt_cache\":-0.00000000001",
              "\"saved_prompt_cache\":-0.00000000002");
    assert_int_equal(read_record(&r, wrong), 1);
    assert_int_equal(wrong[0].kind, AUDIT_CHARGE_SAVED);
    drop(&r);
}

static void what_the_headers_say_must_stand_in_the_record(void **state)
{
    (void)state;
    static const char *const changes[][2] = {
        {"\"team\":\"search\"", "\"team\":\"sEarch\""},
        {"\"attempt\":1", "\"attempt\":2"},
        {"\"input_tokens\":5", "\"input_tokens\":6"},
        {"\"period_day\":\"2026-11-21\"", "\"period_day\":\"2026-11-22\""},
        {"\"final\":true", "\"final\":null"},
        {"\"baseline_cost\":0.00000000019", "\"baseline_cost\":null         "},
    };
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct audit_difference wrong[AUDIT_CHARGE_KINDS];
        struct record r;
        struct spend s = plain();
        put(&r, &s);
        overwrite(&r, changes[i][0], changes[i][1]);
        assert_true(read_record(&r, wrong) >= 1);
        assert_int_equal(wrong[0].kind, AUDIT_CHARGE_HEAD);
        drop(&r);
    }
}

static void an_event_id_of_another_record_is_found(void **state)
{
    (void)state;
    struct audit_difference wrong[AUDIT_CHARGE_KINDS];
    struct record r;
    struct spend s = plain();
    put(&r, &s);
    char *id = strstr(r.json.p, "\"event_id\":\"") + strlen("\"event_id\":\"");
    *id = *id == '0' ? '1' : '0';
    assert_int_equal(read_record(&r, wrong), 1);
    assert_int_equal(wrong[0].kind, AUDIT_CHARGE_ID);
    drop(&r);
}

static void what_is_no_record_is_said_to_be_broken(void **state)
{
    (void)state;
    static const char *const values[] = {"", "[]", "{", "{\"cost\":\"1\"}",
                                         "{\"cost\":1e3}"};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct audit_difference wrong[AUDIT_CHARGE_KINDS];
        struct record r;
        struct spend s = plain();
        put(&r, &s);
        r.msg.value = span_str(values[i]);
        assert_int_equal(read_record(&r, wrong), 1);
        assert_int_equal(wrong[0].kind, AUDIT_RECORD_BROKEN);
        drop(&r);
    }
}

/* ---- a job ---- */

static const struct audit_known whole = {.offset = 5,
                                         .end = 100,
                                         .frontier = 50,
                                         .ready = 100,
                                         .results = 100,
                                         .spend = 100,
                                         .mark_before = 100,
                                         .mark_after = 100};

static struct audit_job job_with(unsigned has)
{
    return (struct audit_job){.has = (uint16_t)has,
                              .verdict = VERDICT_RUN,
                              .status = STATUS_OK,
                              .outcome = STATUS_OK,
                              .release = 5,
                              .result = 5,
                              .charge = 5,
                              .reserved = usd_from_pico(9),
                              .open_reserved = usd_from_pico(9),
                              .open_expected = usd_from_pico(9)};
}

#define SETTLED (HAS_JOB | HAS_RELEASE | HAS_RESULT | HAS_CHARGE)

static void jobs_that_hold_together(void **state)
{
    (void)state;
    static const struct {
        unsigned has;
        enum audit_state state;
    } rows[] = {
        {0, STATE_NONE},
        {SETTLED, STATE_DONE},
        {HAS_JOB | HAS_RELEASE | HAS_OPEN, STATE_IN_FLIGHT},
        {HAS_JOB | HAS_RELEASE | HAS_OPEN | HAS_TRY, STATE_IN_FLIGHT},
        {HAS_JOB | HAS_REPEAT, STATE_REPEAT},
        {HAS_JOB | HAS_REPEAT | SETTLED, STATE_DONE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum audit_kind kinds[AUDIT_JOB_KINDS];
        unsigned n = 99;
        struct audit_job j = job_with(rows[i].has);
        assert_int_equal(audit_job_judge(&j, &whole, kinds, &n), rows[i].state);
        assert_int_equal(n, 0);
    }
}

static void jobs_that_do_not_and_what_is_wrong_with_them(void **state)
{
    (void)state;
    static const struct {
        unsigned has;
        enum audit_kind kind;
    } rows[] = {
        {HAS_JOB, AUDIT_JOB_LOST},
        {HAS_RELEASE | HAS_OPEN, AUDIT_RELEASE_WITHOUT_JOB},
        {HAS_RESULT | HAS_CHARGE, AUDIT_RESULT_WITHOUT_JOB},
        {HAS_CHARGE, AUDIT_CHARGE_WITHOUT_JOB},
        {HAS_JOB | HAS_RESULT | HAS_CHARGE, AUDIT_RESULT_WITHOUT_RELEASE},
        {HAS_JOB | HAS_RELEASE | HAS_RESULT | HAS_OPEN, AUDIT_RESULT_WITHOUT_CHARGE},
        {HAS_JOB | HAS_RELEASE | HAS_CHARGE, AUDIT_CHARGE_WITHOUT_RESULT},
        {HAS_JOB | HAS_RELEASE, AUDIT_OPEN_MISSING},
        {SETTLED | HAS_OPEN, AUDIT_OPEN_SETTLED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum audit_kind kinds[AUDIT_JOB_KINDS];
        unsigned n = 0;
        struct audit_job j = job_with(rows[i].has);
        audit_job_judge(&j, &whole, kinds, &n);
        assert_int_equal(n, 1);
        assert_int_equal(kinds[0], rows[i].kind);
    }
}

static unsigned wrong_with(const struct audit_job *j, const struct audit_known *k,
                           enum audit_kind *ret)
{
    enum audit_kind kinds[AUDIT_JOB_KINDS] = {0};
    unsigned n = 0;
    audit_job_judge(j, k, kinds, &n);
    *ret = kinds[0];
    return n;
}

static void what_came_after_the_first_look_is_evidence_only(void **state)
{
    (void)state;
    enum audit_kind kind;
    struct audit_known k = whole;
    struct audit_job j = job_with(HAS_JOB | HAS_RELEASE | HAS_RESULT | HAS_OPEN);
    k.results = 5; /* its spend record may come yet */
    assert_int_equal(wrong_with(&j, &k, &kind), 0);
    j = job_with(SETTLED | HAS_OPEN);
    k = whole;
    k.mark_before = 5; /* the charge was not applied when `open` was read */
    assert_int_equal(wrong_with(&j, &k, &kind), 0);
    j = job_with(HAS_JOB | HAS_RELEASE);
    k = whole;
    k.ready = 5; /* released after */
    assert_int_equal(wrong_with(&j, &k, &kind), 0);
}

static void what_retention_dropped_is_not_missed(void **state)
{
    (void)state;
    enum audit_kind kind;
    struct audit_known k = whole;
    struct audit_job j = job_with(HAS_RESULT | HAS_CHARGE);
    k.first = 6; /* the job itself */
    assert_int_equal(wrong_with(&j, &k, &kind), 0);
    k = whole;
    k.released_from = 6;
    j = job_with(HAS_JOB | HAS_RESULT | HAS_CHARGE);
    assert_int_equal(wrong_with(&j, &k, &kind), 0);
    k = whole;
    k.first = 1; /* a line that this one may repeat */
    j = job_with(HAS_JOB);
    j.line = 7;
    assert_int_equal(wrong_with(&j, &k, &kind), 0);
    j.line = 0; /* it names none */
    assert_int_equal(wrong_with(&j, &k, &kind), 1);
    assert_int_equal(kind, AUDIT_JOB_LOST);
    k = whole;
    k.results_trimmed = true;
    j = job_with(HAS_JOB | HAS_RELEASE | HAS_CHARGE);
    assert_int_equal(wrong_with(&j, &k, &kind), 0);
    k.results_trimmed = false;
    assert_int_equal(wrong_with(&j, &k, &kind), 1);
    assert_int_equal(kind, AUDIT_CHARGE_WITHOUT_RESULT);
}

static void reservations_are_compared_exactly(void **state)
{
    (void)state;
    enum audit_kind kind;
    struct audit_job j = job_with(HAS_JOB | HAS_RELEASE | HAS_OPEN);
    j.open_reserved = usd_from_pico(8);
    assert_int_equal(wrong_with(&j, &whole, &kind), 1);
    assert_int_equal(kind, AUDIT_OPEN_AMOUNT);
    j = job_with(HAS_JOB | HAS_RELEASE | HAS_OPEN);
    j.open_tried = 1; /* a try that no record tells of */
    assert_int_equal(wrong_with(&j, &whole, &kind), 1);
    assert_int_equal(kind, AUDIT_OPEN_AMOUNT);
    j = job_with(HAS_JOB | HAS_RELEASE | HAS_OPEN);
    j.verdict = VERDICT_REJECTED;
    assert_int_equal(wrong_with(&j, &whole, &kind), 1);
    assert_int_equal(kind, AUDIT_OPEN_WITHOUT_RELEASE);
}

static void result_and_charge_tell_one_end(void **state)
{
    (void)state;
    enum audit_kind kind;
    struct audit_job j = job_with(SETTLED);
    j.outcome = STATUS_FAILED;
    assert_int_equal(wrong_with(&j, &whole, &kind), 1);
    assert_int_equal(kind, AUDIT_OUTCOME);
}

static void every_kind_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < AUDIT_KINDS; i++) {
        assert_non_null(audit_kind_name((enum audit_kind)i));
        assert_non_null(audit_kind_sentence((enum audit_kind)i));
        for (int k = 0; k < i; k++) {
            assert_string_not_equal(audit_kind_name((enum audit_kind)i),
                                    audit_kind_name((enum audit_kind)k));
        }
    }
}

/* ---- slots ---- */

#define MANY 300000 /* of 32 bytes: several times what is kept in memory */

static void slots_keep_what_was_written_and_are_zero_elsewhere(void **state)
{
    (void)state;
    struct slots *s = NULL;
    struct err err = {0};
    assert_int_equal(slots_open(&s, "/tmp", 32, &err), 0);
    for (uint64_t i = 0; i < MANY; i += 3) {
        uint64_t *record = slots_at(s, i, &err);
        assert_non_null(record);
        record[0] = i;
        record[3] = ~i;
    }
    for (uint64_t i = MANY; i-- > 0;) {
        const uint64_t *record = slots_at(s, i, &err);
        assert_non_null(record);
        assert_int_equal(record[0], i % 3 ? 0 : i);
        assert_int_equal(record[3], i % 3 ? 0 : ~i);
    }
    uint64_t *far = slots_at(s, (uint64_t)1 << 32, &err);
    assert_non_null(far);
    assert_int_equal(far[0], 0);
    assert_null(slots_at(s, SLOTS_MAX, &err));
    slots_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_that_adds_up_is_found_right),
        cmocka_unit_test(a_try_in_doubt_has_a_bound_and_null_costs),
        cmocka_unit_test(one_pico_dollar_too_much_is_found),
        cmocka_unit_test(savings_that_do_not_add_up_are_found),
        cmocka_unit_test(what_the_headers_say_must_stand_in_the_record),
        cmocka_unit_test(an_event_id_of_another_record_is_found),
        cmocka_unit_test(what_is_no_record_is_said_to_be_broken),
        cmocka_unit_test(jobs_that_hold_together),
        cmocka_unit_test(jobs_that_do_not_and_what_is_wrong_with_them),
        cmocka_unit_test(what_came_after_the_first_look_is_evidence_only),
        cmocka_unit_test(what_retention_dropped_is_not_missed),
        cmocka_unit_test(reservations_are_compared_exactly),
        cmocka_unit_test(result_and_charge_tell_one_end),
        cmocka_unit_test(every_kind_has_a_name_of_its_own),
        cmocka_unit_test(slots_keep_what_was_written_and_are_zero_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
