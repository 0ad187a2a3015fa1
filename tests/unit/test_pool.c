/* Which server of a pool answers which call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker/pool.h"
#include <stdio.h>
#include <stdlib.h>

struct world {
    struct call_table *calls;
    struct pool *pool;
    uint64_t next;     /* offset of the next job */
    struct call *last; /* taken, and whether twice */
    bool twice;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    assert_int_equal(call_table_create(&w->calls, NULL), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    pool_destroy(w->pool);
    call_table_destroy(w->calls);
    free(w);
    return 0;
}

static void given_pool(struct world *w, unsigned servers, uint32_t slots)
{
    const struct pool_conf conf = {.servers = servers, .slots = slots};
    assert_int_equal(pool_create(&w->pool, &conf, NULL), 0);
}

static const struct pool_ask none;

static struct call *take(struct world *w, unsigned server, unsigned track)
{
    struct call *c = pool_next(w->pool, server, track, &w->twice);
    w->last = c ? c : w->last;
    return c;
}

/* A call whose chain is the letters of `chain`; `bytes` of it are its own. */
static struct call *add_asked(struct world *w, const char *chain, uint32_t bytes,
                              const struct pool_ask *ask)
{
    struct release r = {.path = "/v1/chat/completions", .model = "m"};
    r.chain_len = (unsigned)strlen(chain);
    for (unsigned i = 0; i < r.chain_len; i++) {
        r.chain[i] = (struct prompt_link){.hash = (uint64_t)chain[i], .bytes = 1000};
    }
    r.body_len = 1000 + bytes;
    memcpy(r.key.b, &w->next, sizeof(w->next));
    struct call *c = call_new(w->calls, &r, w->next++);
    assert_non_null(c);
    assert_int_equal(pool_add(w->pool, c, ask, NULL), 0);
    return c;
}

static struct call *add_bytes(struct world *w, const char *chain, uint32_t bytes)
{
    return add_asked(w, chain, bytes, &none);
}

static void add(struct world *w, const char *chain, int n)
{
    for (int i = 0; i < n; i++) {
        add_bytes(w, chain, 100);
    }
}

/* The answer to a call with a token a byte, `cached` of its 1,000 of the beginning. */
static void answered(struct world *w, const struct call *c, bool twice, uint64_t cached,
                     uint64_t output)
{
    const struct pool_seen seen = {
        .input = c->body_bytes, .cached = cached, .output = output, .twice = twice};
    pool_learn(w->pool, c, &seen);
}

/* The root letter of the next call for that server, or '-'. */
static char next(struct world *w, unsigned server)
{
    struct call *c = take(w, server, 0);
    return c ? (char)c->chain[0] : '-';
}

/* The same on one of several tracks. */
static void assert_track(struct world *w, unsigned server, unsigned track,
                         const char *roots)
{
    for (const char *r = roots; *r; r++) {
        struct call *c = take(w, server, track);
        assert_int_equal(c ? (char)c->chain[0] : '-', *r);
    }
}

static void assert_next(struct world *w, unsigned server, const char *roots)
{
    for (const char *r = roots; *r; r++) {
        assert_int_equal(next(w, server), *r);
    }
}

static void test_an_empty_pool_has_nothing(void **state)
{
    struct world *w = *state;
    given_pool(w, 2, 4);
    assert_next(w, 0, "-");
    assert_int_equal(pool_waiting(w->pool), 0);
}

static void test_a_group_stays_together_at_one_server(void **state)
{
    struct world *w = *state;
    given_pool(w, 2, 4);
    add(w, "a", 2);
    add(w, "b", 2);
    add(w, "a", 1);
    assert_int_equal(pool_waiting(w->pool), 5);
    assert_next(w, 0, "a");
    assert_next(w, 1, "b");
    assert_next(w, 0, "aa");
    assert_next(w, 1, "b-");
    assert_int_equal(pool_waiting(w->pool), 0);
}

static void test_the_heaviest_group_is_begun_first(void **state)
{
    struct world *w = *state;
    given_pool(w, 1, 1);
    add(w, "a", 1);
    add(w, "b", 40);
    add(w, "c", 5);
    assert_int_equal(next(w, 0), 'b');
    for (int i = 0; i < 39; i++) {
        next(w, 0);
    }
    assert_next(w, 0, "ccccca-");
}

static void test_one_long_call_weighs_as_much_as_many_short_ones(void **state)
{
    struct world *w = *state;
    given_pool(w, 1, 1);
    add(w, "a", 3);
    add_bytes(w, "b", 100000);
    assert_next(w, 0, "baaa-");
}

static void test_within_a_group_calls_come_in_the_order_of_their_prefixes(void **state)
{
    struct world *w = *state;
    struct call *xs[4];
    given_pool(w, 1, 1);
    xs[0] = add_bytes(w, "ab", 1);
    xs[1] = add_bytes(w, "ac", 1);
    xs[2] = add_bytes(w, "ab", 1);
    xs[3] = add_bytes(w, "ac", 1);
    assert_ptr_equal(take(w, 0, 0), xs[0]);
    assert_ptr_equal(take(w, 0, 0), xs[2]);
    assert_ptr_equal(take(w, 0, 0), xs[1]);
    assert_ptr_equal(take(w, 0, 0), xs[3]);
}

static void test_calls_that_come_later_follow_their_group(void **state)
{
    struct world *w = *state;
    given_pool(w, 2, 4);
    add(w, "a", 1);
    assert_next(w, 1, "a-");
    add(w, "a", 2);
    assert_next(w, 0, "-"); /* little: not worth another server */
    assert_next(w, 1, "aa-");
}

static void test_an_idle_server_takes_a_whole_group_of_the_most_loaded(void **state)
{
    struct world *w = *state;
    struct pool_counts n;
    given_pool(w, 2, 2);
    add(w, "a", 1);
    add(w, "b", 1);
    assert_next(w, 0, "ab"); /* both are at home at server 0 */
    add(w, "a", 3);
    add(w, "b", 3);
    assert_next(w, 0, "a");
    assert_next(w, 1, "bbb");
    assert_next(w, 0, "aa-");
    pool_counts(w->pool, &n);
    assert_int_equal(n.moved, 1);
    assert_int_equal(n.cut, 0);
    assert_int_equal(n.taken, 8);
    assert_int_equal(n.at_home, 8);
}

static void test_nothing_is_taken_from_a_server_that_can_begin_it_at_once(void **state)
{
    struct world *w = *state;
    given_pool(w, 2, 4);
    add(w, "a", 1);
    add(w, "b", 1);
    assert_next(w, 0, "ab");
    add(w, "a", 2);
    add(w, "b", 2);
    assert_next(w, 1, "-");
}

static void test_the_only_group_left_is_cut_when_a_server_would_be_idle(void **state)
{
    struct world *w = *state;
    struct pool_counts n;
    given_pool(w, 2, 2);
    add(w, "a", 21);
    assert_next(w, 0, "a");
    assert_next(w, 1, "aaaaaaaaaa");
    assert_next(w, 0, "aaaaaaaaaa-");
    pool_counts(w->pool, &n);
    assert_int_equal(n.cut, 1);
    assert_int_equal(n.at_home, 11);
}

static void test_a_group_is_cut_where_its_halves_share_least(void **state)
{
    struct world *w = *state;
    given_pool(w, 2, 2);
    add(w, "ax", 13);
    add(w, "ay", 10);
    assert_next(w, 0, "a");
    for (int i = 0; i < 10; i++) {
        struct call *c = take(w, 1, 0);
        assert_non_null(c);
        assert_int_equal(c->chain[1], 'y');
    }
    for (int i = 0; i < 12; i++) {
        struct call *c = take(w, 0, 0);
        assert_non_null(c);
        assert_int_equal(c->chain[1], 'x');
    }
}

static void test_the_end_of_a_group_is_not_cut(void **state)
{
    struct world *w = *state;
    given_pool(w, 2, 4);
    add(w, "a", 18);
    assert_next(w, 0, "a");
    assert_next(w, 1, "-");
    assert_next(w, 0, "aaaaaaaaaaaaaaaaa");
}

static void test_groups_of_a_server_that_is_down_go_elsewhere(void **state)
{
    struct world *w = *state;
    given_pool(w, 2, 4);
    add(w, "a", 4);
    assert_next(w, 0, "a");
    pool_set_up(w->pool, 0, false);
    assert_next(w, 0, "-");
    assert_next(w, 1, "aaa-");
    add(w, "a", 2); /* the group is at home there now */
    pool_set_up(w->pool, 0, true);
    assert_next(w, 0, "-");
    assert_next(w, 1, "aa-");
}

static void test_a_group_stays_together_when_its_server_goes_down(void **state)
{
    struct world *w = *state;
    given_pool(w, 3, 4);
    add(w, "a", 17);
    assert_next(w, 0, "a");
    answered(w, w->last, false, 1000, 100);
    assert_non_null(take(w, 0, 1)); /* now it is in two pieces */
    pool_set_up(w->pool, 0, false);
    assert_next(w, 1, "a");
    assert_next(w, 2, "-");
    assert_track(w, 1, 0, "aaaaaaaaaa");
    assert_next(w, 2, "-");
    assert_track(w, 1, 1, "aaaa-");
}

static void test_when_all_servers_are_down_calls_wait(void **state)
{
    struct world *w = *state;
    given_pool(w, 2, 4);
    pool_set_up(w->pool, 0, false);
    pool_set_up(w->pool, 1, false);
    add(w, "a", 2);
    assert_next(w, 0, "-");
    assert_next(w, 1, "-");
    pool_set_up(w->pool, 1, true);
    assert_next(w, 1, "aa-");
}

static void test_a_call_that_comes_back_goes_again(void **state)
{
    struct world *w = *state;
    given_pool(w, 2, 4);
    add(w, "a", 2);
    struct call *c = take(w, 0, 0);
    assert_int_equal(pool_add(w->pool, c, &none, NULL), 0);
    assert_int_equal(pool_waiting(w->pool), 2);
    assert_next(w, 0, "aa-");
}

static void test_one_path_is_not_another(void **state)
{
    struct world *w = *state;
    struct release r = {.path = "/v1/responses", .model = "m", .chain_len = 1};
    given_pool(w, 2, 4);
    r.chain[0].hash = 'a';
    add(w, "a", 1);
    struct call *c = call_new(w->calls, &r, w->next++);
    assert_int_equal(pool_add(w->pool, c, &none, NULL), 0);
    assert_next(w, 0, "a");
    assert_ptr_equal(take(w, 1, 0), c);
}

static void test_tracks_of_a_server_work_on_a_group_each(void **state)
{
    struct world *w = *state;
    given_pool(w, 1, 4);
    add(w, "a", 3);
    add(w, "b", 3);
    assert_track(w, 0, 0, "a");
    assert_track(w, 0, 1, "b");
    assert_track(w, 0, 0, "a");
    assert_track(w, 0, 1, "b");
    assert_track(w, 0, 0, "a");
    assert_track(w, 0, 1, "b-");
}

/* A server of its own, with an answer to a call of group `root`; what a second track of it has
 * to read again is known. */
static void given_answers(struct world *w, const char *root, uint64_t cached,
                          uint64_t output)
{
    add(w, root, 1);
    struct call *c = take(w, 0, 0);
    answered(w, c, false, 1000, output); /* its servers report */
    for (int i = 0; i < 100; i++) {
        answered(w, c, true, cached, output);
    }
}

/* Servers of four tracks, of which answers to another group have said this much. */
static void given_learned(struct world *w, unsigned servers, uint64_t cached,
                          uint64_t output)
{
    given_pool(w, servers, 4);
    given_answers(w, "z", cached, output);
}

/* A group of `n` calls, of which the first track has taken one. */
static void given_begun(struct world *w, int n)
{
    add(w, "a", n);
    assert_track(w, 0, 0, "a");
}

static void test_a_short_beginning_is_read_by_all_tracks_at_once(void **state)
{
    struct world *w = *state;
    given_pool(w, 1, 4);
    add(w, "a", 40);
    assert_track(w, 0, 0, "a");
    assert_track(w, 0, 1, "a"); /* 19 answers are worth 1,000 bytes */
    assert_false(w->twice);     /* it may not be there yet */
}

/* Six calls: too few to read 1,000 bytes once more for. */
static struct call *given_few(struct world *w)
{
    given_pool(w, 1, 4);
    add(w, "a", 6);
    return take(w, 0, 0);
}

static void test_a_long_one_is_not_begun_again_before_its_first_answer(void **state)
{
    struct world *w = *state;
    struct call *c = given_few(w);
    assert_track(w, 0, 1, "-");
    answered(w, c, false, 0, 10);
    assert_track(w, 0, 1, "a");
    assert_true(w->twice);
    assert_track(w, 0, 1, "a");
    assert_false(w->twice);
}

static void test_only_one_track_finds_out_what_reading_again_costs(void **state)
{
    struct world *w = *state;
    answered(w, given_few(w), false, 0, 10);
    struct call *probe = take(w, 0, 1);
    assert_true(w->twice);
    assert_track(w, 0, 2, "-");
    answered(w, probe, true, 1000, 10);
    assert_track(w, 0, 2, "a");
}

static void test_without_word_of_it_another_track_tries_again_later(void **state)
{
    struct world *w = *state;
    answered(w, given_few(w), false, 0, 10);
    add(w, "a", 2);
    struct call *probe = take(w, 0, 1);
    assert_track(w, 0, 2, "-");
    answered(w, probe, true, 0, 10); /* nobody ever said what came from a cache */
    assert_track(w, 0, 0, "a");
    assert_track(w, 0, 2, "-");
    assert_track(w, 0, 1, "aa");
    assert_track(w, 0, 2, "a");
}

static void test_a_beginning_that_lies_there_for_all_tracks_is_shared_to_the_last(
    void **state)
{
    struct world *w = *state;
    given_learned(w, 1, 1000, 10);
    given_begun(w, 4);
    assert_track(w, 0, 1, "a");
    assert_track(w, 0, 2, "a");
    assert_track(w, 0, 1, "-");
    assert_track(w, 0, 0, "a-");
}

static void test_what_is_read_again_must_be_won_by_answers_written_side_by_side(
    void **state)
{
    struct world *w = *state;
    given_learned(w, 1, 0, 32); /* 32 tokens: as much as to read 512 bytes */
    given_begun(w, 8);
    assert_track(w, 0, 1, "-"); /* 3 answers are less than 2,000 bytes */
    add(w, "a", 4);
    assert_track(w, 0, 1, "a");
    assert_track(w, 0, 2, "-");
}

static void test_long_answers_are_written_side_by_side(void **state)
{
    struct world *w = *state;
    given_learned(w, 1, 0, 1000);
    given_begun(w, 3);
    assert_track(w, 0, 1, "a");
}

static void test_a_server_with_its_share_leaves_groups_to_the_others(void **state)
{
    struct world *w = *state;
    given_pool(w, 2, 4);
    add(w, "a", 40);
    add(w, "b", 11);
    add(w, "c", 10);
    assert_track(w, 0, 0, "a");
    assert_track(w, 0, 1, "a");
    assert_track(w, 1, 0, "b");
    assert_track(w, 1, 1, "c");
}

static void test_calls_that_ask_alike_follow_each_other(void **state)
{
    static const struct pool_ask one = {{1, 2, 3, 4}}, other = {{1, 2, 9, 9}},
                                 far = {{7}};
    struct world *w = *state;
    struct call *xs[5];
    given_pool(w, 1, 1);
    xs[0] = add_asked(w, "a", 1, &one);
    xs[1] = add_asked(w, "a", 1, &far);
    xs[2] = add_asked(w, "a", 1, &other);
    xs[3] = add_asked(w, "a", 1, &one);
    xs[4] = add_asked(w, "a", 1, &other);
    static const int order[] = {0, 3, 2, 4, 1};
    for (int i = 0; i < 5; i++) {
        assert_ptr_equal(take(w, 0, 0), xs[order[i]]);
    }
}

/* ---- what a call asks ---- */

/* How many links the bodies share; the quotes are single here. */
static unsigned alike(const char *a, const char *b)
{
    char x[400], y[400];
    unsigned n = 0;
    snprintf(x, sizeof(x), "%s", a);
    snprintf(y, sizeof(y), "%s", b);
    for (size_t i = 0; i < sizeof(x); i++) {
        x[i] = x[i] == '\'' ? '"' : x[i];
        y[i] = y[i] == '\'' ? '"' : y[i];
    }
    struct pool_ask p = pool_ask_of(span_str(x)), q = pool_ask_of(span_str(y));
    while (n < POOL_ASK_LINKS && p.links[n] == q.links[n]) {
        n++;
    }
    return n;
}

#define LONG "0123456789012345678901234567890123456789012345678901234567890123456789"
#define USER(text) \
    "{'messages':[{'role':'system','content':'s'},{'role':'user','content':'" text "'}]}"

static void test_what_calls_ask_is_compared_from_its_beginning(void **state)
{
    (void)state;
    assert_int_equal(alike(USER("a"), USER("b")), 0);
    assert_int_equal(alike(USER(LONG "a"), USER(LONG "b")), 1);
    assert_int_equal(alike(USER(LONG LONG LONG LONG "a"), USER(LONG LONG LONG LONG "b")),
                     2);
    assert_int_equal(alike(USER(LONG), USER(LONG)), POOL_ASK_LINKS);
}

static void test_other_paths_ask_as_well(void **state)
{
    (void)state;
    assert_int_equal(alike("{'input':'" LONG "a'}", "{'input':'" LONG "b'}"), 1);
    assert_int_equal(alike("{'input':[{'role':'user','content':'x'}]}",
                           "{'input':[{'role':'user','content':'y'}]}"),
                     0);
    assert_int_equal(alike("{'input':['x','y']}", "{'input':['z','y']}"), POOL_ASK_LINKS);
    assert_int_equal(alike("{'model':'x'}", "{'model':'y'}"), POOL_ASK_LINKS);
}

static void test_groups_not_yet_begun_are_moved_before_others(void **state)
{
    struct world *w = *state;
    struct pool_counts n;
    given_pool(w, 2, 2);
    add(w, "a", 1);
    add(w, "b", 1);
    add(w, "c", 1);
    assert_track(w, 0, 0, "abc"); /* all are at home at server 0 */
    add(w, "a", 2);
    add(w, "b", 2);
    add(w, "c", 2);
    assert_track(w, 0, 0, "a");
    assert_track(w, 0, 1, "b");
    assert_track(w, 1, 0, "cc");
    pool_counts(w->pool, &n);
    assert_int_equal(n.moved, 1);
}

static void test_of_groups_under_way_a_piece_of_the_heaviest_is_taken_if_worth_it(
    void **state)
{
    struct world *w = *state;
    struct pool_counts n;
    given_pool(w, 3, 2);
    add(w, "a", 1);
    add(w, "b", 1);
    assert_track(w, 0, 0, "ab"); /* both are at home at server 0 */
    add(w, "a", 21);
    add(w, "b", 4);
    assert_track(w, 0, 0, "a");
    assert_track(w, 0, 1, "b");
    assert_track(w, 1, 0, "aaaaaa");
    assert_track(w, 2, 0, "-"); /* 7 more are not worth a third beginning */
    pool_counts(w->pool, &n);
    assert_int_equal(n.cut, 1);
    assert_int_equal(n.moved, 0);
    assert_track(w, 0, 0, "aaaaaaaaaaaaaa");
    assert_track(w, 0, 1, "bbb-");
}

static void test_tracks_of_a_server_that_is_down_have_nothing(void **state)
{
    struct world *w = *state;
    given_learned(w, 2, 1000, 10);
    given_begun(w, 4);
    assert_track(w, 0, 3, "a");
    pool_set_up(w->pool, 0, false);
    assert_track(w, 0, 0, "-");
    assert_track(w, 0, 3, "-");
    assert_track(w, 1, 2, "aa-");
}

/* Many groups of all sizes on servers of different speed: each call comes once, groups stay
 * together, and nobody is idle while another has a round of work to spare. */
static void test_a_long_night_gives_every_call_once_and_keeps_groups_together(
    void **state)
{
    enum { SERVERS = 8, GROUPS = 60 };
    struct world *w = *state;
    struct pool_counts n;
    uint32_t all = 0;
    given_pool(w, SERVERS, 4);
    for (int g = 0; g < GROUPS; g++) {
        char root[2] = {(char)('!' + g), '\0'};
        int calls = 1 + (g * 37) % 97;
        add(w, root, calls);
        all += (uint32_t)calls;
    }
    uint64_t *seen = calloc(w->next, sizeof(*seen));
    for (unsigned turn = 0; pool_waiting(w->pool) > 0; turn++) {
        for (unsigned s = 0; s < SERVERS; s++) {
            unsigned pace = 1 + s % 3, track = turn / pace % POOL_TRACKS;
            struct call *c = turn % pace == 0 ? take(w, s, track) : NULL;
            if (c) {
                assert_int_equal(seen[c->jobs->at]++, 0);
            }
        }
    }
    free(seen);
    pool_counts(w->pool, &n);
    assert_int_equal(n.taken, all);
    assert_true(n.at_home * 100 >= all * 90);
}

static void test_more_groups_than_are_remembered_are_served_all_the_same(void **state)
{
    struct world *w = *state;
    uint32_t n = POOL_ROOTS_MAX + 1000, got = 0;
    given_pool(w, 2, 4);
    for (uint32_t i = 0; i < n; i++) {
        struct release r = {.path = "/p", .model = "m", .chain_len = 1};
        r.chain[0].hash = UINT64_C(0x9e3779b97f4a7c15) * (i + 1);
        memcpy(r.key.b, &i, sizeof(i));
        assert_int_equal(pool_add(w->pool, call_new(w->calls, &r, i), &none, NULL), 0);
    }
    while (take(w, got % 2, 0)) {
        got++;
    }
    assert_int_equal(got, n);
    for (uint32_t i = 0; i < 2000; i++) { /* forgets the oldest, one by one */
        struct release r = {.path = "/p", .model = "m", .chain_len = 1};
        r.chain[0].hash = UINT64_C(0x9e3779b97f4a7c15) * (n + i + 1);
        assert_int_equal(pool_add(w->pool, call_new(w->calls, &r, n + i), &none, NULL),
                         0);
        assert_non_null(take(w, 0, 0));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_an_empty_pool_has_nothing),
        TEST(test_a_group_stays_together_at_one_server),
        TEST(test_the_heaviest_group_is_begun_first),
        TEST(test_one_long_call_weighs_as_much_as_many_short_ones),
        TEST(test_within_a_group_calls_come_in_the_order_of_their_prefixes),
        TEST(test_calls_that_come_later_follow_their_group),
        TEST(test_an_idle_server_takes_a_whole_group_of_the_most_loaded),
        TEST(test_nothing_is_taken_from_a_server_that_can_begin_it_at_once),
        TEST(test_the_only_group_left_is_cut_when_a_server_would_be_idle),
        TEST(test_a_group_is_cut_where_its_halves_share_least),
        TEST(test_the_end_of_a_group_is_not_cut),
        TEST(test_groups_of_a_server_that_is_down_go_elsewhere),
        TEST(test_a_group_stays_together_when_its_server_goes_down),
        TEST(test_when_all_servers_are_down_calls_wait),
        TEST(test_a_call_that_comes_back_goes_again),
        TEST(test_one_path_is_not_another),
        TEST(test_tracks_of_a_server_work_on_a_group_each),
        TEST(test_a_short_beginning_is_read_by_all_tracks_at_once),
        TEST(test_a_long_one_is_not_begun_again_before_its_first_answer),
        TEST(test_only_one_track_finds_out_what_reading_again_costs),
        TEST(test_without_word_of_it_another_track_tries_again_later),
        TEST(test_a_beginning_that_lies_there_for_all_tracks_is_shared_to_the_last),
        TEST(test_what_is_read_again_must_be_won_by_answers_written_side_by_side),
        TEST(test_long_answers_are_written_side_by_side),
        TEST(test_a_server_with_its_share_leaves_groups_to_the_others),
        TEST(test_calls_that_ask_alike_follow_each_other),
        TEST(test_what_calls_ask_is_compared_from_its_beginning),
        TEST(test_other_paths_ask_as_well),
        TEST(test_groups_not_yet_begun_are_moved_before_others),
        TEST(test_of_groups_under_way_a_piece_of_the_heaviest_is_taken_if_worth_it),
        TEST(test_tracks_of_a_server_that_is_down_have_nothing),
        TEST(test_a_long_night_gives_every_call_once_and_keeps_groups_together),
        TEST(test_more_groups_than_are_remembered_are_served_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
