/* Points where a test can stop the program (builds with OFFPEAK_FAILPOINTS). */
#include "core/failpoint.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef OFFPEAK_FAILPOINTS

/* Passes two points three times in a child; the wait status. */
static int status_with(const char *spec, const char *log_path)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (failpoint_arm(spec, log_path, NULL) < 0) {
            _exit(99);
        }
        for (int i = 0; i < 3; i++) {
            FAILPOINT("before");
            FAILPOINT("after");
        }
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void an_armed_point_ends_the_process_at_its_hit(void **state)
{
    (void)state;
    int killed = status_with("after:3=kill", NULL);
    assert_true(WIFSIGNALED(killed) && WTERMSIG(killed) == SIGKILL);
    int left = status_with("other=kill,before:2=exit", NULL);
    assert_true(WIFEXITED(left) && WEXITSTATUS(left) == FAILPOINT_EXIT);
}

static void points_that_are_not_armed_or_not_reached_do_nothing(void **state)
{
    (void)state;
    assert_int_equal(status_with(NULL, NULL), 0);
    assert_int_equal(status_with("", NULL), 0);
    assert_int_equal(status_with("after:4=kill,other=exit,before=sleep_1", NULL), 0);
}

static void every_hit_is_in_the_log(void **state)
{
    char path[] = "/tmp/offpeak-failpoint-XXXXXX", text[200] = {0};
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    assert_true(WIFSIGNALED(status_with("after:2=kill", path)));
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    assert_string_equal(text, "before\nafter\nbefore\nafter\n");
    close(fd);
    unlink(path);
}

static void nonsense_is_refused(void **state)
{
    const char *bad[] = {"x",
                         "=kill",
                         "x=die",
                         "x:=kill",
                         "x:b=kill",
                         "x=sleep_",
                         "x=kill,,",
                         "a=kill,a=kill,a=kill,a=kill,a=kill,a=kill,a=kill,a=kill,a=kill,"
                         "a=kill,a=kill,a=kill,a=kill,a=kill,a=kill,a=kill,a=kill"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(WEXITSTATUS(status_with(bad[i], NULL)), 99);
    }
    assert_int_equal(WEXITSTATUS(status_with(NULL, "/none/log")), 99);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_armed_point_ends_the_process_at_its_hit),
        cmocka_unit_test(points_that_are_not_armed_or_not_reached_do_nothing),
        cmocka_unit_test(every_hit_is_in_the_log),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void a_point_is_nothing(void **state)
{
    (void)state;
    FAILPOINT("anywhere");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_point_is_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
