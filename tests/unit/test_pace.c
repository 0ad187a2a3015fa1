/* Minutes at a server with rate limits, on simulated time: how fast the calls go, and how many
 * are refused. */
#include "worker/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define NO_LIMITS ((struct http_limits){{-1, -1, -1}, {-1, -1, -1}})
#define MINUTE    INT64_C(60000)
#define CALLS_MAX 200000

/* ---- a server: a bucket per minute, as OpenAI's, or a window that is emptied at its end ---- */

struct server {
    bool windows; /* a full minute's worth at the start of each minute */
    bool late;    /* headers say what is left when the reply leaves, not when it came */
    double limit; /* requests a minute */
    double level;
    double others; /* requests of somebody else in a minute */
    int64_t latency_ms, at_ms;
    double token_limit, token_level, tokens; /* of a call */
};

static void pass_ms(struct server *s)
{
    s->at_ms++;
    if (s->windows) {
        s->level = s->at_ms % MINUTE == 0 ? s->limit : s->level;
    } else {
        s->level += (s->limit - s->others) / (double)MINUTE;
    }
    s->level = s->level > s->limit ? s->limit : s->level;
    s->token_level += s->token_limit / (double)MINUTE;
    s->token_level = s->token_level > s->token_limit ? s->token_limit : s->token_level;
}

static bool take(struct server *s)
{
    bool fits = s->level >= 1 && (s->token_limit == 0 || s->token_level >= s->tokens);
    s->level -= fits ? 1 : 0;
    s->token_level -= fits ? s->tokens : 0;
    return fits;
}

static struct http_limits limits_of(const struct server *s)
{
    struct http_limits l = {{(int64_t)s->limit, (int64_t)s->level, 0}, {-1, -1, -1}};
    if (s->token_limit > 0) {
        l.tokens =
            (struct http_limit){(int64_t)s->token_limit, (int64_t)s->token_level, 0};
    }
    return l;
}

/* ---- a client that always has more to ask ---- */

struct under_way {
    struct pace_ticket ticket;
    int64_t due_ms;
    bool accepted;
    struct http_limits limits;
};

struct figures {
    unsigned sent, refused;
    unsigned most_in_a_minute; /* of what was sent, in any 60 s */
};

struct client {
    struct pace pace;
    struct under_way calls[PACE_MAX];
    uint32_t n;
    int64_t *left_ms; /* of every call, in order */
    unsigned left;
};

static void collect(struct client *c, const struct server *s)
{
    for (uint32_t i = 0; i < c->n;) {
        struct under_way *u = &c->calls[i];
        if (u->due_ms > s->at_ms) {
            i++;
            continue;
        }
        struct pace_reply r = {.end = u->accepted ? PACE_ANSWERED : PACE_REFUSED,
                               .limits = s->late ? limits_of(s) : u->limits,
                               .hold_ms = u->accepted ? 0 : 1000,
                               .tokens = u->accepted ? (int64_t)s->tokens : 0};
        pace_ended(&c->pace, &u->ticket, &r, s->at_ms);
        *u = c->calls[--c->n];
    }
}

static void ask(struct client *c, struct server *s, struct figures *f)
{
    while (pace_when(&c->pace, c->n, s->at_ms) == 0) {
        assert_in_range(c->n, 0, PACE_MAX - 1);
        struct under_way *u = &c->calls[c->n++];
        u->ticket = pace_sent(&c->pace, s->at_ms);
        u->accepted = take(s);
        u->limits = limits_of(s);
        u->due_ms = s->at_ms + (u->accepted ? s->latency_ms : 5);
        f->sent++;
        f->refused += !u->accepted;
        c->left_ms[c->left++] = s->at_ms;
    }
}

static unsigned busiest_minute(const struct client *c)
{
    unsigned most = 0;
    for (unsigned from = 0, to = 0; to < c->left; to++) {
        while (c->left_ms[to] - c->left_ms[from] >= MINUTE) {
            from++;
        }
        most = MAX_OF(most, to - from + 1);
    }
    return most;
}

/* The figures of minutes `from` to `to`. */
static struct figures run(struct server *s, uint32_t concurrency, int from, int to)
{
    struct client *c = calloc(1, sizeof(*c));
    struct figures f = {0};
    c->left_ms = calloc(CALLS_MAX, sizeof(int64_t));
    pace_init(&c->pace, PACE_FIRST, concurrency, 0);
    while (s->at_ms < to * MINUTE) {
        pass_ms(s);
        collect(c, s);
        ask(c, s, &f);
        if (s->at_ms == from * MINUTE) {
            f = (struct figures){0};
            c->left = 0;
        }
    }
    f.most_in_a_minute = busiest_minute(c);
    free(c->left_ms);
    free(c);
    return f;
}

/* ---- how fast ---- */

static void at_least(const struct figures *f, double per_minute, int minutes, int percent)
{
    double got = (double)(f->sent - f->refused) / minutes;
    if (got * 100 < per_minute * percent) {
        fail_msg("%.1f calls a minute of %.1f", got, per_minute);
    }
}

static void at_most_refused(const struct figures *f, int percent)
{
    if (f->refused * 100 > f->sent * (unsigned)percent) {
        fail_msg("%u of %u calls were refused", f->refused, f->sent);
    }
}

static void five_hundred_a_minute_are_used_and_hardly_one_is_refused(void **state)
{
    /* slow answers are found out slowly: with each window twice as many are under way */
    static const struct {
        int64_t latency_ms;
        int from;
    } rows[] = {{5, 1}, {150, 1}, {2000, 1}, {20000, 4}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (int full = 0; full < 2; full++) {
            for (int late = 0; late < 2; late++) {
                struct server s = {.limit = 500,
                                   .level = full ? 500 : 0,
                                   .late = late,
                                   .latency_ms = rows[i].latency_ms};
                struct figures f = run(&s, 200, rows[i].from, rows[i].from + 5);
                at_most_refused(&f, 1);
                at_least(&f, 500, 5, 95);
            }
        }
    }
}

static void no_minute_holds_more_requests_than_the_limit(void **state)
{
    static const double limits[] = {60, 500, 3000};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct server s = {.limit = limits[i], .level = limits[i], .latency_ms = 50};
        struct figures f = run(&s, 200, 0, 3);
        assert_in_range(f.most_in_a_minute, 1, limits[i] + PACE_FIRST);
        s = (struct server){.limit = limits[i], .level = limits[i], .latency_ms = 50};
        f = run(&s, 200, 1, 3);
        assert_in_range(f.most_in_a_minute, 1, limits[i]);
    }
}

static void a_limit_that_is_counted_by_the_minute_is_used_as_well(void **state)
{
    struct server s = {.windows = true, .limit = 500, .level = 500, .latency_ms = 100};
    (void)state;
    struct figures f = run(&s, 200, 1, 6);
    at_most_refused(&f, 1);
    at_least(&f, 500, 5, 95);
}

static void what_others_use_is_left_to_them(void **state)
{
    struct server s = {.limit = 500, .level = 500, .others = 250, .latency_ms = 500};
    (void)state;
    struct figures f = run(&s, 200, 3, 8);
    at_most_refused(&f, 5);
    at_least(&f, 250, 5, 85);
}

static void three_a_minute_are_three_a_minute(void **state)
{
    struct server s = {.limit = 3, .level = 3, .latency_ms = 100};
    (void)state;
    struct figures f = run(&s, 64, 4, 24);
    at_most_refused(&f, 1);
    at_least(&f, 3, 20, 95);
}

static void tokens_a_minute_count_as_well(void **state)
{
    struct server s = {.limit = 10000,
                       .level = 10000,
                       .latency_ms = 800,
                       .token_limit = 60000,
                       .token_level = 60000,
                       .tokens = 200};
    (void)state;
    struct figures f = run(&s, 200, 1, 5);
    at_most_refused(&f, 1);
    at_least(&f, 300, 4, 95);
}

/* ---- how many at a time ---- */

static void answer(struct pace *p, enum pace_end end)
{
    struct pace_ticket t = pace_sent(p, 1);
    pace_ended(p, &t, &(struct pace_reply){.end = end, .limits = NO_LIMITS}, 1);
}

static void slots_double_until_the_first_refusal(void **state)
{
    struct pace p;
    (void)state;
    pace_init(&p, PACE_FIRST, 200, 0);
    assert_int_equal(p.slots, 8);
    for (int i = 0; i < 8; i++) {
        answer(&p, PACE_ANSWERED);
    }
    assert_int_equal(p.slots, 16);
    for (int i = 0; i < 16; i++) {
        answer(&p, PACE_ANSWERED);
    }
    assert_int_equal(p.slots, 32);
    answer(&p, PACE_REFUSED);
    assert_int_equal(p.slots, 16);
}

static void then_they_grow_by_one_a_window(void **state)
{
    struct pace p;
    (void)state;
    pace_init(&p, 16, 200, 0);
    answer(&p, PACE_REFUSED);
    assert_int_equal(p.slots, 8);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(p.slots, 8);
        answer(&p, PACE_ANSWERED);
    }
    assert_int_equal(p.slots, 9);
    for (int i = 0; i < 9; i++) {
        answer(&p, PACE_ANSWERED);
    }
    assert_int_equal(p.slots, 10);
}

static void refusals_of_one_window_halve_once(void **state)
{
    struct pace p;
    struct pace_ticket t[8], later;
    const struct pace_reply refused = {.end = PACE_REFUSED, .limits = NO_LIMITS};
    (void)state;
    pace_init(&p, 8, 200, 0);
    for (int i = 0; i < 8; i++) {
        t[i] = pace_sent(&p, 0);
    }
    for (int i = 0; i < 8; i++) {
        pace_ended(&p, &t[i], &refused, 10);
    }
    assert_int_equal(p.slots, 4);
    later = pace_sent(&p, 20);
    pace_ended(&p, &later, &refused, 30);
    assert_int_equal(p.slots, 2);
}

static void never_more_than_configured_and_never_none(void **state)
{
    struct pace p;
    (void)state;
    pace_init(&p, PACE_FIRST, 5, 0);
    assert_int_equal(p.slots, 5);
    for (int i = 0; i < 100; i++) {
        answer(&p, PACE_ANSWERED);
    }
    assert_int_equal(p.slots, 5);
    for (int i = 0; i < 100; i++) {
        answer(&p, PACE_REFUSED);
    }
    assert_int_equal(p.slots, 1);
    assert_int_equal(pace_when(&p, 0, 5), 0);
    assert_int_equal(pace_when(&p, 1, 5), INT64_MAX);
}

static void a_lost_reply_says_nothing_about_load(void **state)
{
    struct pace p;
    (void)state;
    pace_init(&p, 32, 200, 0);
    answer(&p, PACE_LOST);
    assert_int_equal(p.slots, 32);
}

static void nothing_leaves_before_the_server_said(void **state)
{
    struct pace p;
    (void)state;
    pace_init(&p, PACE_FIRST, 200, 0);
    struct pace_ticket t = pace_sent(&p, 100);
    struct pace_reply r = {.end = PACE_REFUSED, .limits = NO_LIMITS, .hold_ms = 2500};
    pace_ended(&p, &t, &r, 200);
    assert_int_equal(pace_when(&p, 0, 200), 2700);
    assert_int_equal(pace_when(&p, 0, 2699), 2700);
    assert_int_equal(pace_when(&p, 0, 2700), 0);
}

static void what_is_kept_ready_follows_slots_and_rate(void **state)
{
    struct pace p;
    (void)state;
    pace_init(&p, 100, 200, 0);
    assert_int_equal(pace_ahead(&p), 100);
    struct pace_ticket t = pace_sent(&p, 0);
    struct pace_reply r = {.end = PACE_ANSWERED, .limits = NO_LIMITS};
    r.limits.requests = (struct http_limit){600, 599, 100};
    pace_ended(&p, &t, &r, 10);
    assert_in_range(pace_ahead(&p), 9, 11);
}

/* Headers are outside bytes. */
static void no_header_stops_the_calls_for_good(void **state)
{
    static const int64_t odd[] = {-1, 0, 1, 7, INT64_MAX};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        for (size_t k = 0; k < ARRAY_LEN(odd); k++) {
            struct pace p;
            pace_init(&p, PACE_FIRST, 200, 0);
            for (int64_t now = 0; now < 20 * MINUTE; now += 100) {
                int64_t when = pace_when(&p, 0, now);
                assert_true(when <= now + MINUTE + 2000);
                if (when == 0) {
                    struct pace_ticket t = pace_sent(&p, now);
                    struct pace_reply r = {.end = PACE_ANSWERED, .tokens = odd[k]};
                    r.limits.requests = (struct http_limit){odd[i], odd[k], odd[i]};
                    r.limits.tokens = (struct http_limit){odd[k], odd[i], -1};
                    pace_ended(&p, &t, &r, now + 30);
                }
            }
            assert_true(p.sent >= 10);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_hundred_a_minute_are_used_and_hardly_one_is_refused),
        cmocka_unit_test(no_minute_holds_more_requests_than_the_limit),
        cmocka_unit_test(a_limit_that_is_counted_by_the_minute_is_used_as_well),
        cmocka_unit_test(what_others_use_is_left_to_them),
        cmocka_unit_test(three_a_minute_are_three_a_minute),
        cmocka_unit_test(tokens_a_minute_count_as_well),
        cmocka_unit_test(slots_double_until_the_first_refusal),
        cmocka_unit_test(then_they_grow_by_one_a_window),
        cmocka_unit_test(refusals_of_one_window_halve_once),
        cmocka_unit_test(never_more_than_configured_and_never_none),
        cmocka_unit_test(a_lost_reply_says_nothing_about_load),
        cmocka_unit_test(nothing_leaves_before_the_server_said),
        cmocka_unit_test(what_is_kept_ready_follows_slots_and_rate),
        cmocka_unit_test(no_header_stops_the_calls_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
