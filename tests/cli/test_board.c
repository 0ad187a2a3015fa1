/* The picture that `offpeak watch` draws, on terminals of any width. */
#include "cli/board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const struct board_view *a_busy_night(void)
{
    static struct board_view v = {.data = "/var/lib/offpeak",
                                  .wall_ms = 1795279634000,
                                  .owner = true,
                                  .has_beat = true};
    v.runs_n = v.runs_all = v.limits_n = 1;
    v.batches_n = v.batches_all = 2;
    v.beat = (struct beat){.next_poll_ms = v.wall_ms + 12000, .waiting = 9, .gates_n = 1};
    v.beat.gates[0].closed = true;
    snprintf(v.beat.gates[0].queue, sizeof(v.beat.gates[0].queue), "search/tags");
    snprintf(
        v.beat.gates[0].why, sizeof(v.beat.gates[0].why),
        "budget of 'search' per day: $4 spent and $0 reserved of $4, the next job may "
        "cost $0.2: \xc3\xa9\xc3\xa8 and more words than any narrow terminal is wide");
    snprintf(v.beat.gates[0].hint, sizeof(v.beat.gates[0].hint),
             "offpeak budget set search --limit USD --per day");
    v.runs[0].state = BOARD_WAITS;
    v.runs[0].run.row.lines = 400;
    v.runs[0].status.results = 120;
    v.runs[0].status.by_status[STATUS_OK] = 117;
    snprintf(v.runs[0].run.run, sizeof(v.runs[0].run.run),
             "products-of-the-whole-catalogue-of-the-winter-1f3a90c2");
    v.batches[0] = (struct board_batch){.state = BATCH_RETRY,
                                        .created_ms = v.wall_ms - 130000,
                                        .due_ms = v.wall_ms + 3000,
                                        .calls = 40};
    snprintf(v.batches[0].id, sizeof(v.batches[0].id), "01M7ZG2FJK9B5ERHDX8XHT8MAN");
    snprintf(v.batches[0].model, sizeof(v.batches[0].model), "gpt-4o-mini");
    snprintf(v.batches[0].why, sizeof(v.batches[0].why), "too many tokens enqueued");
    v.batches[1] = (struct board_batch){.state = BATCH_POLLING,
                                        .created_ms = v.wall_ms - 7000,
                                        .poll_ms = v.wall_ms + 46000,
                                        .calls = 50000};
    snprintf(v.batches[1].id, sizeof(v.batches[1].id), "01M7ZG2GQJ4QY0N0F9Z6AEB2S7");
    snprintf(v.batches[1].model, sizeof(v.batches[1].model), "gpt-4.1-mini");
    v.single[LANE_SYNC] = 12;
    v.single[LANE_POOL] = 3000;
    v.limits[0] =
        (struct board_limit){.scope = "search", .period = "day", .limited = true};
    return &v;
}

static unsigned characters(struct span s)
{
    unsigned n = 0;
    for (size_t i = 0; i < s.n; i++) {
        n += (s.p[i] & 0xc0) != 0x80;
    }
    return n;
}

static void picture(unsigned width, bool colour, struct buf *ret)
{
    buf_init(ret, (size_t)1 << 20);
    assert_int_equal(board_text(a_busy_night(), width, colour, ret), 0);
    buf_addc(ret, '\0');
}

static void no_line_is_wider_than_the_terminal(void **state)
{
    (void)state;
    for (unsigned width = 20; width <= 200; width++) {
        _cleanup_(buf_fini) struct buf page;
        picture(width, false, &page);
        for (const char *at = page.p, *end; (end = strchr(at, '\n')); at = end + 1) {
            unsigned n = characters(span_of(at, (size_t)(end - at)));
            if (n > width) {
                fail_msg("%u columns: a line of %u: '%.*s'", width, n, (int)(end - at),
                         at);
            }
        }
    }
}

static void sixty_columns_show_every_number(void **state)
{
    (void)state;
    static const char *const there[] = {"120/400",
                                        "waits",
                                        "retry",
                                        "2m",
                                        "40",
                                        "gpt-4o-mini",
                                        "46s 50000",
                                        "gpt-4.1-mini",
                                        "again in 3s",
                                        "next poll in 12s",
                                        "search/day",
                                        "9 jobs are not let through",
                                        "up to 12 sync, up to 3000 pool"};
    _cleanup_(buf_fini) struct buf page;
    picture(60, false, &page);
    for (size_t i = 0; i < ARRAY_LEN(there); i++) {
        if (!strstr(page.p, there[i])) {
            fail_msg("no '%s' in:\n%s", there[i], page.p);
        }
    }
}

static void escapes_stand_there_only_with_colour(void **state)
{
    (void)state;
    _cleanup_(buf_fini) struct buf plain, colour;
    picture(80, false, &plain);
    picture(80, true, &colour);
    assert_null(strchr(plain.p, '\033'));
    assert_non_null(strchr(colour.p, '\033'));
}

static void a_pipe_gets_it_all_in_one_line(void **state)
{
    (void)state;
    _cleanup_(buf_fini) struct buf text;
    buf_init(&text, (size_t)1 << 16);
    assert_int_equal(board_line(a_busy_night(), &text), 0);
    buf_addc(&text, '\0');
    assert_null(strchr(text.p, '\n'));
    assert_non_null(strstr(text.p, "120 of 400 done, 3 not ok"));
    assert_non_null(strstr(text.p, "2 batches, 1 to be tried again"));
    assert_non_null(strstr(text.p, "waits: search/tags"));
}

static void a_batch_has_its_age_and_when_it_is_asked_after_next(void **state)
{
    (void)state;
    static const char *const there[] = {
        "batch                      state      age poll calls model",
        "01M7ZG2FJK9B5ERHDX8XHT8MAN retry       2m    -    40 gpt-4o-mini",
        "01M7ZG2GQJ4QY0N0F9Z6AEB2S7 polling     7s  46s 50000 gpt-4.1-mini",
    };
    _cleanup_(buf_fini) struct buf page;
    picture(80, false, &page);
    for (size_t i = 0; i < ARRAY_LEN(there); i++) {
        if (!strstr(page.p, there[i])) {
            fail_msg("no '%s' in:\n%s", there[i], page.p);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_line_is_wider_than_the_terminal),
        cmocka_unit_test(sixty_columns_show_every_number),
        cmocka_unit_test(a_batch_has_its_age_and_when_it_is_asked_after_next),
        cmocka_unit_test(escapes_stand_there_only_with_colour),
        cmocka_unit_test(a_pipe_gets_it_all_in_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
