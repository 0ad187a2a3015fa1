/* One line about a run under way, on terminals of every width and where there is none. */
#include "cli/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static const struct progress_view half_way = {
    .jobs = 300,
    .done = 150,
    .batches = 2,
    .next_poll_ms = 41000,
    .waiting = 20,
    .elapsed_ms = 60000,
};

static void expect(const struct progress_view *v, unsigned width, const char *want)
{
    _cleanup_(buf_fini) struct buf line;
    buf_init(&line, 1000);
    assert_int_equal(progress_text(v, width, &line), 0);
    buf_addc(&line, '\0');
    assert_string_equal(line.p, want);
}

static void without_a_terminal_everything_is_said_and_no_bar_drawn(void **state)
{
    (void)state;
    expect(&half_way, 0,
           "150 of 300 jobs done, 2 batches there, $0.00 paid, next look in 41s, "
           "20 waiting, about 60s left");
}

static void a_terminal_gets_a_bar_and_what_fits(void **state)
{
    (void)state;
    expect(&half_way, 80,
           "[########........] 150 of 300 jobs done, 2 batches there, $0.00 paid");
    expect(&half_way, 60, "[######......] 150 of 300 jobs done, 2 batches there");
    expect(&half_way, 40, "[####....] 150 of 300 jobs done");
}

static void failed_jobs_are_said_before_anything_else(void **state)
{
    (void)state;
    struct progress_view v = half_way;
    v.failed = 3;
    expect(&v, 60, "[######......] 150 of 300 jobs done, 3 failed, $0.00 paid");
}

static void the_bar_is_full_only_when_all_jobs_are_done(void **state)
{
    (void)state;
    struct progress_view v = {.jobs = 300, .done = 299, .next_poll_ms = -1};
    expect(&v, 50, "[#########.] 299 of 300 jobs done, $0.00 paid");
    v.done = 300;
    expect(&v, 50, "[##########] 300 of 300 jobs done, $0.00 paid");
}

static void no_line_is_longer_than_its_terminal(void **state)
{
    (void)state;
    struct progress_view v = half_way;
    v.failed = 12;
    for (unsigned width = 45; width < 200; width++) {
        _cleanup_(buf_fini) struct buf line;
        buf_init(&line, 1000);
        assert_int_equal(progress_text(&v, width, &line), 0);
        assert_true(line.n < width);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_terminal_everything_is_said_and_no_bar_drawn),
        cmocka_unit_test(a_terminal_gets_a_bar_and_what_fits),
        cmocka_unit_test(failed_jobs_are_said_before_anything_else),
        cmocka_unit_test(the_bar_is_full_only_when_all_jobs_are_done),
        cmocka_unit_test(no_line_is_longer_than_its_terminal),
    };
    return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
