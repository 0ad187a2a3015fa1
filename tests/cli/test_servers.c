/* Servers of one's own, as the configuration names them. */
#include "cli/servers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

struct desk {
    struct settings set;
    struct options opt;
    struct cli cli;
    struct servers servers;
    struct err err;
};

static int setup(void **state)
{
    static struct desk d;
    d = (struct desk){
        .set.cli = {.pool_servers = "http://gpu1:8000/v1",
                    .pool_price = "free",
                    .pool_name = "default",
                    .pool_context_tokens = 131072,
                    .pool_output_tokens = 4096},
    };
    d.cli = (struct cli){.opt = &d.opt, .set = &d.set};
    *state = &d;
    return 0;
}

static int teardown(void **state)
{
    struct desk *d = *state;
    servers_close(&d->servers);
    return 0;
}

static int open_needed(struct desk *d)
{
    servers_close(&d->servers);
    return servers_open(&d->servers, &d->cli, SERVERS_NEEDED, &d->err);
}

static void expect_refused(struct desk *d, const char *msg)
{
    assert_int_equal(open_needed(d), -ERR_USAGE);
    assert_string_equal(d->err.msg, msg);
}

static void servers_are_told_with_commas_between(void **state)
{
    struct desk *d = *state;
    d->set.cli.pool_servers = " http://gpu2:8000/v1/ ,http://gpu1:8000/v1,, "
                              "https://gpu3.example/llm/v1,";
    assert_int_equal(open_needed(d), 0);
    assert_int_equal(d->servers.n, 3);
    assert_string_equal(d->servers.url[0], "http://gpu1:8000/v1"); /* in byte order */
    assert_string_equal(d->servers.url[1], "http://gpu2:8000/v1");
    assert_string_equal(d->servers.url[2], "https://gpu3.example/llm/v1");
    assert_string_equal(d->servers.endpoint, "pool:default");
    assert_string_equal(d->servers.label, "pool:default, 3 servers at free");
    assert_non_null(d->servers.prices);
    assert_null(d->servers.key);
}

static void an_address_without_a_path_means_v1(void **state)
{
    struct desk *d = *state;
    d->set.cli.pool_servers = "http://gpu1:8000,http://[::1]:8001/";
    assert_int_equal(open_needed(d), 0);
    assert_string_equal(d->servers.url[0], "http://[::1]:8001/v1");
    assert_string_equal(d->servers.url[1], "http://gpu1:8000/v1");
}

static void what_is_missing_is_said(void **state)
{
    struct desk *d = *state;
    d->set.cli.pool_servers = NULL;
    expect_refused(d, "could not use lane 'pool': no servers were given");
    assert_non_null(strstr(d->err.hint, "pool.servers="));
    d->set.cli.pool_servers = " , ";
    expect_refused(d, "could not use lane 'pool': no servers were given");
    d->set.cli.pool_servers = "http://gpu1:8000";
    d->set.cli.pool_price = NULL;
    expect_refused(d, "could not use lane 'pool': nobody said what its servers cost");
    assert_non_null(strstr(d->err.hint, "pool.price=free"));
}

static void without_need_nothing_has_to_be_said(void **state)
{
    struct desk *d = *state;
    d->set.cli.pool_price = NULL;
    assert_int_equal(servers_open(&d->servers, &d->cli, SERVERS_IF_ANY, &d->err), 0);
    assert_int_equal(d->servers.n, 0);
    assert_string_equal(d->servers.why, "nobody said what its servers cost");
    assert_string_equal(d->servers.endpoint, "pool:default");
}

static void what_is_said_must_be_right_whoever_asks(void **state)
{
    struct desk *d = *state;
    d->set.cli.pool_price = "cheap";
    assert_int_equal(servers_open(&d->servers, &d->cli, SERVERS_IF_ANY, &d->err),
                     -ERR_USAGE);
    assert_non_null(strstr(d->err.msg, "could not use pool.price 'cheap'"));
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const wrong[] = {
        "gpu1:8000", "ftp://gpu1/v1",
        "http://",   "http://gpu1:99999/v1",
        "gpu1",      "http://gpu1:8000/v1,nonsense",
    };
    struct desk *d = *state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        d->set.cli.pool_servers = wrong[i];
        if (open_needed(d) != -ERR_USAGE) {
            fail_msg("'%s' was taken for addresses", wrong[i]);
        }
        assert_non_null(strstr(d->err.hint, "pool.servers="));
    }
}

static void one_server_stands_there_once(void **state)
{
    struct desk *d = *state;
    d->set.cli.pool_servers = "http://b:1/v1,http://a:1,http://b:1";
    expect_refused(d, "could not use pool.servers: 'http://b:1/v1' stands there twice");
}

static void there_are_at_most_sixty_four(void **state)
{
    struct desk *d = *state;
    char list[4000] = "";
    size_t n = 0;
    for (unsigned i = 0; i < SERVERS_MAX; i++) {
        n += (size_t)snprintf(list + n, sizeof(list) - n, "http://gpu%u,", i);
    }
    d->set.cli.pool_servers = list;
    assert_int_equal(open_needed(d), 0);
    assert_int_equal(d->servers.n, SERVERS_MAX);
    snprintf(list + n, sizeof(list) - n, "http://one-more");
    expect_refused(d, "could not use pool.servers: it names more than 64");
}

static void a_pools_name_is_a_name(void **state)
{
    struct desk *d = *state;
    d->set.cli.pool_name = "night-2";
    assert_int_equal(open_needed(d), 0);
    assert_string_equal(d->servers.endpoint, "pool:night-2");
    d->set.cli.pool_name = "Night pool";
    assert_int_equal(open_needed(d), -ERR_USAGE);
    assert_non_null(strstr(d->err.msg, "pool.name 'Night pool'"));
}

static void given_key_file(struct desk *d, char path[static 32])
{
    snprintf(path, 32, "/tmp/offpeak-key-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "sk-pool-1\n", 10), 10);
    close(fd);
    d->set.cli.pool_key_file = path;
}

static void a_key_does_not_leave_the_machine_in_the_open(void **state)
{
    struct desk *d = *state;
    char path[32];
    given_key_file(d, path);
    assert_int_equal(open_needed(d), -ERR_USAGE);
    assert_non_null(strstr(d->err.msg, "the key would travel unencrypted"));
    d->opt.insecure = true; /* somebody means it */
    assert_int_equal(open_needed(d), 0);
    assert_string_equal(secret_text(d->servers.key), "sk-pool-1");
    d->opt.insecure = false;
    d->set.cli.pool_servers = "http://127.0.0.1:8000,https://gpu1";
    assert_int_equal(open_needed(d), 0);
    unlink(path);
    assert_int_equal(open_needed(d), -ERR_AUTH); /* the file is gone */
}

static void the_note_changes_with_whatever_changes_a_bill_or_an_answer(void **state)
{
    struct desk *d = *state;
    struct cli_settings plain = d->set.cli;
    char notes[6][SERVERS_NOTE_MAX];
    d->set.cli.pool_servers = "http://b,http://a";
    for (unsigned i = 0; i < ARRAY_LEN(notes); i++) {
        plain = d->set.cli;
        switch (i) {
        case 1:
            d->set.cli.pool_servers = "http://a/v1, http://b/v1";
            break; /* the same */
        case 2: d->set.cli.pool_servers = "http://a"; break;
        case 3: d->set.cli.pool_price = "0/0/0"; break;
        case 4: d->set.cli.pool_output_tokens = 5; break;
        case 5: d->set.cli.pool_name = "other"; break;
        default: break;
        }
        assert_int_equal(open_needed(d), 0);
        snprintf(notes[i], sizeof(notes[i]), "%s", d->servers.note);
        d->set.cli = plain;
    }
    assert_string_equal(notes[0], notes[1]);
    for (unsigned i = 2; i < ARRAY_LEN(notes); i++) {
        assert_string_not_equal(notes[0], notes[i]);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(servers_are_told_with_commas_between),
        T(an_address_without_a_path_means_v1),
        T(what_is_missing_is_said),
        T(without_need_nothing_has_to_be_said),
        T(what_is_said_must_be_right_whoever_asks),
        T(what_is_no_address_is_refused),
        T(one_server_stands_there_once),
        T(there_are_at_most_sixty_four),
        T(a_pools_name_is_a_name),
        T(a_key_does_not_leave_the_machine_in_the_open),
        T(the_note_changes_with_whatever_changes_a_bill_or_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
