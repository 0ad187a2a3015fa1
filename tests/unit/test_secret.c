/* An API key: where it comes from, what is refused, and that it stays where it is. */
#include "core/secret.h"

#include "core/buf.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CANARY "sk-canary-0123456789abcdef"

struct folder {
    char dir[64], file[100], link[100];
};

static void set_up(struct folder *f)
{
    snprintf(f->dir, sizeof(f->dir), "/tmp/offpeak-secret-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->file, sizeof(f->file), "%s/key", f->dir);
    snprintf(f->link, sizeof(f->link), "%s/link", f->dir);
}

static void tear_down(struct folder *f)
{
    unlink(f->file);
    unlink(f->link);
    rmdir(f->dir);
}

static void write_file(const struct folder *f, struct span text, mode_t mode)
{
    unlink(f->file);
    FILE *file = fopen(f->file, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text.p, 1, text.n, file), text.n);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(f->file, mode), 0);
}

static void the_nearest_source_wins(void **state)
{
    struct folder f;
    struct secret *s;
    (void)state;
    set_up(&f);
    write_file(&f, SPAN_LIT("sk-from-file\n"), 0600);
    char env[] = "sk-from-env", env2[] = "sk-from-env", empty[] = "";
    struct {
        struct secret_sources from;
        const char *key;
    } cases[] = {
        {{.key_file = f.file, .env_file = "/none", .config_file = "/none"},
         "sk-from-file"},
        {{.env_file = f.file, .env_value = env, .config_file = "/none"}, "sk-from-file"},
        {{.env_value = env2, .config_file = "/none"}, "sk-from-env"},
        {{.env_value = empty, .config_file = f.file}, "sk-from-file"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(secret_load(&s, &cases[i].from, NULL), 0);
        assert_string_equal(secret_text(s), cases[i].key);
        s = secret_destroy(s);
    }
    assert_null(secret_destroy(NULL));
    tear_down(&f);
}

static void the_origin_is_named_and_never_the_key(void **state)
{
    struct folder f;
    struct secret *s;
    char env[] = CANARY, want[200];
    (void)state;
    set_up(&f);
    write_file(&f, SPAN_LIT(CANARY), 0600);
    assert_int_equal(secret_load(&s, &(struct secret_sources){.env_value = env}, NULL),
                     0);
    assert_string_equal(secret_origin(s), "OPENAI_API_KEY");
    assert_null(secret_warning(s));
    secret_destroy(s);
    assert_int_equal(secret_load(&s, &(struct secret_sources){.key_file = f.file}, NULL),
                     0);
    snprintf(want, sizeof(want), "file '%s'", f.file);
    assert_string_equal(secret_origin(s), want);
    secret_destroy(s);
    tear_down(&f);
}

static void the_environment_forgets_the_key(void **state)
{
    static const char zeros[sizeof(CANARY)];
    struct secret *s;
    char env[] = CANARY, unused[] = CANARY, refused[] = "sk bad";
    struct err err;
    (void)state;
    assert_int_equal(secret_load(&s, &(struct secret_sources){.env_value = env}, NULL),
                     0);
    assert_memory_equal(env, zeros, sizeof(env));
    assert_string_equal(secret_text(s), CANARY);
    secret_destroy(s);
    struct secret_sources other = {.key_file = "/none", .env_value = unused};
    assert_int_equal(secret_load(&s, &other, &err), -ERR_AUTH);
    assert_memory_equal(unused, zeros, sizeof(unused));
    struct secret_sources bad = {.env_value = refused};
    assert_int_equal(secret_load(&s, &bad, &err), -ERR_AUTH);
    assert_memory_equal(refused, zeros, sizeof(refused));
}

static void blanks_around_a_key_are_dropped(void **state)
{
    struct folder f;
    struct secret *s;
    (void)state;
    set_up(&f);
    write_file(&f, SPAN_LIT(" \n" CANARY "\r\n\n"), 0600);
    assert_int_equal(secret_load(&s, &(struct secret_sources){.key_file = f.file}, NULL),
                     0);
    assert_string_equal(secret_text(s), CANARY);
    secret_destroy(s);
    tear_down(&f);
}

static void what_no_key_holds_is_refused_without_showing_it(void **state)
{
    static char big[9000];
    memset(big, 'k', sizeof(big));
    struct span cases[] = {
        SPAN_LIT(""),
        SPAN_LIT(" \n"),
        SPAN_LIT("canary one\n"),
        SPAN_LIT("canary\nsecond"),
        SPAN_LIT("canary\0x"),
        SPAN_LIT("canary\x1b[2J"),
        SPAN_LIT("canary\xc3\xa9"),
        {big, SECRET_BYTES_MAX + 1},
        {big, sizeof(big)},
    };
    struct folder f;
    (void)state;
    set_up(&f);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct secret *s;
        struct err err;
        write_file(&f, cases[i], 0600);
        assert_int_equal(
            secret_load(&s, &(struct secret_sources){.key_file = f.file}, &err),
            -ERR_AUTH);
        assert_null(strstr(err.msg, "canary"));
        assert_null(strstr(err.msg, "kkk"));
        assert_non_null(strstr(err.msg, f.file));
    }
    tear_down(&f);
}

static void a_link_is_followed_to_a_regular_file_only(void **state)
{
    struct folder f;
    struct secret *s;
    struct err err;
    (void)state;
    set_up(&f);
    write_file(&f, SPAN_LIT(CANARY), 0600);
    assert_int_equal(symlink(f.file, f.link), 0);
    assert_int_equal(secret_load(&s, &(struct secret_sources){.key_file = f.link}, &err),
                     0);
    secret_destroy(s);
    unlink(f.link);
    assert_int_equal(mkfifo(f.link, 0600), 0);
    const char *bad[] = {f.link, f.dir, "/dev/zero", "/none/at/all"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct secret_sources from = {.key_file = bad[i]};
        assert_int_equal(secret_load(&s, &from, &err), -ERR_AUTH);
        assert_non_null(strstr(err.msg, bad[i]));
    }
    tear_down(&f);
}

static void a_key_that_everybody_can_read_is_used_with_a_warning(void **state)
{
    struct folder f;
    struct secret *s;
    (void)state;
    set_up(&f);
    write_file(&f, SPAN_LIT(CANARY), 0644);
    assert_int_equal(secret_load(&s, &(struct secret_sources){.key_file = f.file}, NULL),
                     0);
    assert_non_null(strstr(secret_warning(s), "chmod 600"));
    secret_destroy(s);
    tear_down(&f);
}

static void without_a_key_the_hint_says_how_to_give_one(void **state)
{
    struct secret *s;
    struct err err;
    (void)state;
    assert_int_equal(secret_load(&s, &(struct secret_sources){0}, &err), -ERR_AUTH);
    assert_non_null(strstr(err.hint, "OPENAI_API_KEY"));
    assert_non_null(strstr(err.hint, "--key-file"));
}

static void the_fingerprint_tells_keys_apart_and_nothing_else(void **state)
{
    struct secret *a, *b;
    char one[] = "abc", other[] = "abd";
    (void)state;
    secret_load(&a, &(struct secret_sources){.env_value = one}, NULL);
    secret_load(&b, &(struct secret_sources){.env_value = other}, NULL);
    /* printf 'offpeak keyabc' | sha256sum */
    assert_string_equal(secret_fingerprint(a), "f70c2d0c");
    assert_string_not_equal(secret_fingerprint(a), secret_fingerprint(b));
    secret_destroy(a);
    secret_destroy(b);
}

/* The flags that the kernel keeps for the page of the key: "dd" is "not in a core file". */
static void the_key_is_left_out_of_core_files(void **state)
{
    struct secret *s;
    char env[] = CANARY, line[400];
    unsigned long low, high;
    bool inside = false, excluded = false;
    (void)state;
    secret_load(&s, &(struct secret_sources){.env_value = env}, NULL);
    FILE *maps = fopen("/proc/self/smaps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx ", &low, &high) == 2) {
            uintptr_t at = (uintptr_t)secret_text(s);
            inside = at >= low && at < high;
        } else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            excluded = strstr(line, " dd") != NULL;
        }
    }
    assert_int_equal(fclose(maps), 0);
    assert_true(excluded);
    secret_destroy(s);
}

static void a_hardened_process_leaves_no_core_file(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit;
        bool ok = secret_harden_process(NULL) == 0 && prctl(PR_GET_DUMPABLE) == 0 &&
                  getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0;
        _exit(ok ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_source_wins),
        cmocka_unit_test(the_origin_is_named_and_never_the_key),
        cmocka_unit_test(the_environment_forgets_the_key),
        cmocka_unit_test(blanks_around_a_key_are_dropped),
        cmocka_unit_test(what_no_key_holds_is_refused_without_showing_it),
        cmocka_unit_test(a_link_is_followed_to_a_regular_file_only),
        cmocka_unit_test(a_key_that_everybody_can_read_is_used_with_a_warning),
        cmocka_unit_test(without_a_key_the_hint_says_how_to_give_one),
        cmocka_unit_test(the_fingerprint_tells_keys_apart_and_nothing_else),
        cmocka_unit_test(the_key_is_left_out_of_core_files),
        cmocka_unit_test(a_hardened_process_leaves_no_core_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
