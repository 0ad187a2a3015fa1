/* The states of a batch: what may follow what, and what must be true on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker/batch.h"
#include "worker/call.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Every arrow there is, written down a second time on purpose. */
static const char *const arrows[] = {
    "open > sealed",
    "sealed > journaled split dead",
    "journaled > uploaded retry split dead",
    "uploaded > submitted journaled retry split dead",
    "submitted > polling fetched expired cancelled retry split dead journaled",
    "polling > fetched expired cancelled retry split dead journaled",
    "expired > fetched dead",
    "cancelled > fetched dead",
    "fetched > polling settled",
    "retry > journaled uploaded dead",
    "split > settled",
    "dead > settled",
    "settled >",
};

static bool is_arrow(enum batch_state from, enum batch_state to)
{
    char want[32];
    snprintf(want, sizeof(want), " %s ", batch_state_name(to));
    for (size_t i = 0; i < ARRAY_LEN(arrows); i++) {
        char line[128];
        size_t n = strlen(batch_state_name(from));
        snprintf(line, sizeof(line), "%s ", arrows[i]);
        if (strncmp(line, batch_state_name(from), n) == 0 && line[n] == ' ') {
            return strstr(line + n, want) != NULL;
        }
    }
    fail_msg("no line for '%s'", batch_state_name(from));
    return false;
}

/* A batch of one call whose end is known, with all a state may ask for. */
static struct batch *given_batch_in(enum batch_state s)
{
    struct batch *b;
    struct err err;
    assert_int_equal(batch_create(&b, 4, &err), 0);
    assert_int_equal(batch_add(b, NULL, 7, &err), 0);
    snprintf(b->file, sizeof(b->file), "file-1");
    snprintf(b->remote, sizeof(b->remote), "batch_1");
    b->state = s;
    return b;
}

static void test_a_batch_takes_exactly_the_documented_arrows(void **state)
{
    (void)state;
    for (int from = 0; from < BATCH_STATES; from++) {
        for (int to = 0; to < BATCH_STATES; to++) {
            struct err err;
            struct batch *b = given_batch_in((enum batch_state)from);
            b->journal = (enum batch_state)to; /* its commit was acknowledged */
            bool want = is_arrow((enum batch_state)from, (enum batch_state)to);
            if ((batch_move(b, (enum batch_state)to, &err) == 0) != want) {
                fail_msg("%s > %s", batch_rules[from].name, batch_rules[to].name);
            }
            assert_int_equal(b->state, want ? to : from);
            batch_destroy(b);
        }
    }
}

static void test_each_state_waits_for_one_thing(void **state)
{
    (void)state;
    static const enum batch_wait waits[BATCH_STATES] = {
        [BATCH_OPEN] = BATCH_WAITS_SEAL,        [BATCH_SEALED] = BATCH_WAITS_SPOOL,
        [BATCH_JOURNALED] = BATCH_WAITS_UPLOAD, [BATCH_UPLOADED] = BATCH_WAITS_CREATE,
        [BATCH_SUBMITTED] = BATCH_WAITS_END,    [BATCH_POLLING] = BATCH_WAITS_END,
        [BATCH_EXPIRED] = BATCH_WAITS_FILES,    [BATCH_CANCELLED] = BATCH_WAITS_FILES,
        [BATCH_FETCHED] = BATCH_WAITS_MEMBERS,  [BATCH_RETRY] = BATCH_WAITS_DUE,
        [BATCH_SPLIT] = BATCH_WAITS_CHILDREN,   [BATCH_DEAD] = BATCH_WAITS_MEMBERS,
        [BATCH_SETTLED] = BATCH_WAITS_NOTHING,
    };
    for (int s = 0; s < BATCH_STATES; s++) {
        assert_int_equal(batch_rules[s].wait, waits[s]);
    }
}

static void test_the_journal_is_ahead_of_memory(void **state)
{
    (void)state;
    for (int from = 0; from < BATCH_STATES; from++) {
        for (int to = 0; to < BATCH_STATES; to++) {
            struct batch *b = given_batch_in((enum batch_state)from);
            b->journal = BATCH_OPEN; /* nothing was acknowledged */
            if (batch_rules[to].durable) {
                struct err err;
                assert_true(batch_move(b, (enum batch_state)to, &err) < 0);
            }
            batch_destroy(b);
        }
    }
}

static void test_only_what_a_crash_must_remember_stands_in_the_journal(void **state)
{
    (void)state;
    static const enum batch_state memory_only[] = {BATCH_OPEN, BATCH_SEALED, BATCH_SPLIT,
                                                   BATCH_SETTLED};
    static const enum batch_state at_the_provider[] = {
        BATCH_UPLOADED, BATCH_SUBMITTED, BATCH_POLLING, BATCH_EXPIRED, BATCH_CANCELLED};
    for (int s = 0; s < BATCH_STATES; s++) {
        bool memory = false, remote = false;
        for (size_t i = 0; i < ARRAY_LEN(memory_only); i++) {
            memory |= memory_only[i] == (enum batch_state)s;
        }
        for (size_t i = 0; i < ARRAY_LEN(at_the_provider); i++) {
            remote |= at_the_provider[i] == (enum batch_state)s;
        }
        assert_int_equal(batch_rules[s].durable, !memory);
        assert_int_equal(batch_rules[s].remote, remote);
    }
}

static void test_a_refused_move_says_why_and_changes_nothing(void **state)
{
    (void)state;
    struct err err;
    struct batch *b = given_batch_in(BATCH_JOURNALED);
    b->journal = BATCH_UPLOADED;
    b->file[0] = '\0';
    assert_int_equal(batch_move(b, BATCH_UPLOADED, &err), -ERR_FAIL);
    assert_non_null(strstr(err.msg, "from journaled to uploaded: it has no input file"));
    b->state = BATCH_UPLOADED;
    b->journal = BATCH_SUBMITTED;
    b->remote[0] = '\0';
    assert_int_equal(batch_move(b, BATCH_SUBMITTED, &err), -ERR_FAIL);
    assert_int_equal(b->state, BATCH_UPLOADED);
    b->state = BATCH_SUBMITTED;
    b->journal = BATCH_POLLING;
    assert_int_equal(batch_move(b, BATCH_POLLING, &err), -ERR_FAIL);
    assert_non_null(strstr(err.msg, "the provider gave it no id"));
    batch_destroy(b);
}

static void test_a_batch_without_calls_goes_nowhere(void **state)
{
    (void)state;
    struct err err;
    struct batch *b;
    assert_int_equal(batch_create(&b, 4, &err), 0);
    assert_int_equal(batch_move(b, BATCH_SEALED, &err), -ERR_FAIL);
    assert_int_equal(batch_restore(b, BATCH_JOURNALED, &err), -ERR_VERSION);
    assert_int_equal(b->state, BATCH_OPEN);
    batch_destroy(b);
}

static void test_a_batch_is_settled_only_when_every_call_has_its_end(void **state)
{
    (void)state;
    struct err err;
    struct batch *b;
    struct call calls[3] = {0};
    assert_int_equal(batch_create(&b, 3, &err), 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(batch_add(b, &calls[i], 10 + i, &err), 0);
        assert_int_equal(calls[i].state, CALL_BATCHED);
        assert_ptr_equal(calls[i].batch, b);
        assert_int_equal(calls[i].index, i);
    }
    assert_int_equal(batch_restore(b, BATCH_FETCHED, &err), 0);
    batch_fate(b, 0, FATE_SETTLING);
    batch_fate(b, 1, FATE_AGAIN);
    batch_fate(b, 0, FATE_ENDED);
    assert_null(b->calls[0]); /* settle frees it: the batch must not hold on to it */
    assert_false(batch_done(b));
    assert_int_equal(batch_move(b, BATCH_SETTLED, &err), -ERR_FAIL);
    batch_fate(b, 2, FATE_SETTLING);
    assert_false(batch_done(b));
    batch_fate(b, 2, FATE_ENDED);
    assert_true(batch_done(b));
    assert_int_equal(batch_move(b, BATCH_SETTLED, &err), 0);
    batch_destroy(b);
}

static void test_a_split_batch_may_leave_its_calls_to_others(void **state)
{
    (void)state;
    struct err err;
    struct batch *b = given_batch_in(BATCH_SPLIT);
    struct call c = {0};
    b->state = BATCH_OPEN;
    assert_int_equal(batch_add(b, &c, 8, &err), 0);
    b->state = BATCH_SPLIT;
    assert_int_equal(batch_move(b, BATCH_SETTLED, &err), 0);
    batch_destroy(b);
}

static void test_a_batch_that_was_put_together_takes_no_more_calls(void **state)
{
    (void)state;
    struct err err;
    struct batch *b = given_batch_in(BATCH_SEALED);
    assert_int_equal(batch_add(b, NULL, 9, &err), -ERR_FAIL);
    batch_destroy(b);
}

static void test_a_batch_holds_as_many_calls_as_it_was_made_for(void **state)
{
    (void)state;
    struct err err;
    struct batch *b;
    assert_int_equal(batch_create(&b, 0, &err), -ERR_FAIL);
    assert_int_equal(batch_create(&b, BATCH_CALLS_MAX + 1, &err), -ERR_FAIL);
    assert_int_equal(batch_create(&b, BATCH_CALLS_MAX, &err), 0);
    batch_destroy(b);
    assert_int_equal(batch_create(&b, 2, &err), 0);
    assert_int_equal(batch_add(b, NULL, 7, &err), 0);
    assert_int_equal(batch_add(b, NULL, 8, &err), 0);
    assert_int_equal(batch_add(b, NULL, 9, &err), -ERR_FAIL);
    assert_non_null(strstr(err.msg, "open with 2 of 2 calls"));
    assert_int_equal(b->n, 2);
    assert_null(batch_destroy(b));
    assert_null(batch_destroy(NULL));
}

static void test_a_member_whose_job_has_ended_has_its_end_from_the_start(void **state)
{
    (void)state;
    struct err err;
    struct batch *b;
    struct call c = {0};
    assert_int_equal(batch_create(&b, 2, &err), 0);
    assert_int_equal(batch_add(b, NULL, 7, &err), 0);
    assert_int_equal(batch_add(b, &c, 8, &err), 0);
    assert_int_equal(b->count[FATE_ENDED], 1);
    assert_int_equal(b->count[FATE_HERE], 1);
    assert_int_equal(b->ats[1], 8);
    batch_destroy(b);
}

/* What `fates` says of call 0 of a batch of one, tried in a process of its own. */
static bool survives(const enum call_fate *fates, int n)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct err err;
        struct batch *b;
        struct call c = {0};
        (void)freopen("/dev/null", "w", stderr); /* the assertion's words */
        (void)sigaction(SIGABRT, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
        bool made = batch_create(&b, 1, &err) == 0 && batch_add(b, &c, 7, &err) == 0;
        for (int i = 0; made && i < n; i++) {
            batch_fate(b, 0, fates[i]);
        }
        batch_destroy(b);
        _exit(made ? 0 : 2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFEXITED(status);
}

static void test_a_fate_is_never_taken_back(void **state)
{
    (void)state;
    static const struct {
        enum call_fate fates[2];
        int n;
        bool may;
    } rows[] = {
        {{FATE_SETTLING}, 1, true},
        {{FATE_AGAIN}, 1, true},
        {{FATE_ENDED}, 1, true},
        {{FATE_SETTLING, FATE_ENDED}, 2, true},
        {{FATE_HERE}, 1, false},
        {{FATE_SETTLING, FATE_HERE}, 2, false},
        {{FATE_SETTLING, FATE_AGAIN},
         2,
         false}, /* it would be answered and asked again */
        {{FATE_AGAIN, FATE_SETTLING}, 2, false}, /* another batch has it */
        {{FATE_AGAIN, FATE_ENDED}, 2, false},
        {{FATE_ENDED, FATE_AGAIN}, 2, false}, /* it would be bought twice */
        {{FATE_ENDED, FATE_SETTLING}, 2, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (survives(rows[i].fates, rows[i].n) != rows[i].may) {
            fail_msg("row %zu", i);
        }
    }
}

static void test_only_states_of_the_journal_can_be_restored(void **state)
{
    (void)state;
    for (int s = 0; s < BATCH_STATES; s++) {
        struct err err;
        struct batch *b = given_batch_in(BATCH_OPEN);
        int rc = batch_restore(b, (enum batch_state)s, &err);
        assert_int_equal(rc, batch_rules[s].durable ? 0 : -ERR_VERSION);
        if (rc == 0) {
            assert_int_equal(b->state, s);
            assert_int_equal(b->journal, s);
        }
        batch_destroy(b);
    }
}

static void test_ids_sort_by_time_and_differ_by_chance(void **state)
{
    (void)state;
    const uint8_t low[BATCH_RANDOM_BYTES] = {0};
    uint8_t high[BATCH_RANDOM_BYTES];
    char a[BATCH_ID_BYTES], b[BATCH_ID_BYTES], c[BATCH_ID_BYTES];
    memset(high, 0xff, sizeof(high));
    batch_id_format(1795262400000, high, a);
    batch_id_format(1795262400001, low, b);
    batch_id_format(1795262400001, high, c);
    assert_int_equal(strlen(a), 26);
    assert_string_equal(a, "01M7YZMHG0ZZZZZZZZZZZZZZZZ");
    assert_string_equal(b, "01M7YZMHG10000000000000000");
    assert_true(strcmp(a, b) < 0);
    assert_string_not_equal(b, c);
    high[9] = 0xfe; /* the last bit counts */
    batch_id_format(1795262400001, high, b);
    assert_string_not_equal(b, c);
    const uint8_t each[BATCH_RANDOM_BYTES] = {0x01, 0x23, 0x45, 0x67, 0x89,
                                              0xab, 0xcd, 0xef, 0x5a, 0xa5};
    batch_id_format(1795262400001, each, b);
    assert_string_equal(b + 10, "04HMASW9NF6YYPN5"); /* base 32 as Crockford wrote it */
}

static void test_a_state_is_known_by_its_name(void **state)
{
    (void)state;
    enum batch_state s;
    for (int i = 0; i < BATCH_STATES; i++) {
        assert_int_equal(batch_state_parse(batch_state_name((enum batch_state)i), &s), 0);
        assert_int_equal(s, i);
    }
    assert_int_equal(batch_state_parse("lost", &s), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_batch_takes_exactly_the_documented_arrows),
        cmocka_unit_test(test_each_state_waits_for_one_thing),
        cmocka_unit_test(test_the_journal_is_ahead_of_memory),
        cmocka_unit_test(test_only_what_a_crash_must_remember_stands_in_the_journal),
        cmocka_unit_test(test_a_refused_move_says_why_and_changes_nothing),
        cmocka_unit_test(test_a_batch_is_settled_only_when_every_call_has_its_end),
        cmocka_unit_test(test_a_split_batch_may_leave_its_calls_to_others),
        cmocka_unit_test(test_a_batch_that_was_put_together_takes_no_more_calls),
        cmocka_unit_test(test_a_batch_without_calls_goes_nowhere),
        cmocka_unit_test(test_a_batch_holds_as_many_calls_as_it_was_made_for),
        cmocka_unit_test(test_a_member_whose_job_has_ended_has_its_end_from_the_start),
        cmocka_unit_test(test_a_fate_is_never_taken_back),
        cmocka_unit_test(test_only_states_of_the_journal_can_be_restored),
        cmocka_unit_test(test_ids_sort_by_time_and_differ_by_chance),
        cmocka_unit_test(test_a_state_is_known_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
