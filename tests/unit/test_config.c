/* Options: one table, many sources, and messages that say where a value came from. */
#include "core/config.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "core/money.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct settings {
    const char *url, *folder;
    bool fresh;
    int64_t requests, poll_ms, pause_ms, bytes, temperature;
    struct usd limit;
    int reuse;
};

#define FIELD(name) offsetof(struct settings, name)

static const struct config_row rows[] = {
    {"api.url", CONFIG_STRING, FIELD(url), "https://api.example", 0, 0, NULL,
     "Where requests go", "OPENAI_BASE_URL", "--base-url"},
    {"api.folder", CONFIG_STRING, FIELD(folder), NULL, 0, 0, NULL, "A folder", NULL,
     NULL},
    {"fresh", CONFIG_BOOL, FIELD(fresh), "false", 0, 0, NULL, "Ask again", NULL,
     "--fresh"},
    {"batch.max_requests", CONFIG_INT, FIELD(requests), "50000", 1, 50000, NULL,
     "Requests in a batch", NULL, NULL},
    {"batch.poll", CONFIG_DURATION, FIELD(poll_ms), "60s", 200, 3600000, NULL,
     "Time between two looks", NULL, NULL},
    {"batch.pause", CONFIG_DURATION, FIELD(pause_ms), "0", 0, 0, NULL,
     "Time before the first", NULL, NULL},
    {"batch.max_bytes", CONFIG_BYTES, FIELD(bytes), "200MB", 0, 0, NULL,
     "Size of a batch", NULL, NULL},
    {"model.temperature", CONFIG_INT, FIELD(temperature), "0", -40, 60, NULL, "Degrees",
     NULL, NULL},
    {"budget.limit", CONFIG_USD, FIELD(limit), NULL, 0, 0, NULL, "Dollars a day", NULL,
     NULL},
    {"reuse", CONFIG_ENUM, FIELD(reuse), "always", 0, 0, "always|deterministic|never",
     "When stored answers are used", NULL, NULL},
};

struct world {
    struct settings settings;
    struct config_section section;
    struct config *config;
    struct err err;
    char dir[64], home[80], user[120], system[120], project[120], old[4096];
};

static void set_up(struct world *w)
{
    memset(w, 0, sizeof(*w));
    snprintf(w->dir, sizeof(w->dir), "/tmp/offpeak-config-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->home, sizeof(w->home), "%s/offpeak", w->dir);
    assert_int_equal(mkdir(w->home, 0700), 0);
    snprintf(w->user, sizeof(w->user), "%s/config.yaml", w->home);
    snprintf(w->system, sizeof(w->system), "%s/system.yaml", w->dir);
    snprintf(w->project, sizeof(w->project), "%s/offpeak.yaml", w->dir);
    assert_non_null(getcwd(w->old, sizeof(w->old)));
    assert_int_equal(chdir(w->dir), 0);
    w->section = (struct config_section){"Test", rows, ARRAY_LEN(rows), &w->settings};
    assert_int_equal(config_create(&w->config, &w->section, 1, &w->err), 0);
}

static void tear_down(struct world *w)
{
    w->config = config_destroy(w->config);
    assert_null(w->config);
    unlink(w->user);
    unlink(w->system);
    unlink(w->project);
    assert_int_equal(chdir(w->old), 0);
    rmdir(w->home);
    rmdir(w->dir);
}

static int given(struct world *w, const char *key, const char *value)
{
    return config_set(w->config, key, value, "--set", &w->err);
}

/* NULL: no such option, or unset. */
static const char *origin_of(const struct world *w, const char *key)
{
    struct config_entry e;
    for (size_t i = 0; config_at(w->config, i, &e); i++) {
        if (!strcmp(e.row->key, key)) {
            return e.origin;
        }
    }
    return NULL;
}

static void write_text(const char *path, struct span text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
    assert_int_equal(fclose(f), 0);
}

static void without_sources_the_defaults_hold(void **state)
{
    struct world w;
    (void)state;
    set_up(&w);
    struct config_sources none = {.system_file = w.system};
    assert_int_equal(config_load(w.config, &none, &w.err), 0);
    assert_string_equal(w.settings.url, "https://api.example");
    assert_null(w.settings.folder);
    assert_false(w.settings.fresh);
    assert_int_equal(w.settings.requests, 50000);
    assert_int_equal(w.settings.poll_ms, 60000);
    assert_int_equal(w.settings.bytes, 200000000);
    assert_true(usd_is_zero(w.settings.limit));
    assert_int_equal(w.settings.reuse, 0);
    assert_string_equal(origin_of(&w, "batch.poll"), "default");
    assert_null(origin_of(&w, "budget.limit"));
    assert_null(origin_of(&w, "no.such"));
    tear_down(&w);
}

/* Each source in turn sets the option that those before it set too. */
static void later_sources_win_and_the_origin_is_kept(void **state)
{
    struct world w;
    char xdg[100], origin[160];
    (void)state;
    set_up(&w);
    snprintf(xdg, sizeof(xdg), "XDG_CONFIG_HOME=%s", w.dir);
    char *env[] = {xdg, NULL, NULL};
    const char *sets[] = {"api.url=https://set"};
    struct config_flag flag = {"--base-url", "https://flag"};
    struct config_sources from = {.system_file = w.system, .environment = env};

    write_text(w.system, SPAN_LIT("api:\n  url: https://system\n"));
    assert_int_equal(config_load(w.config, &from, &w.err), 0);
    assert_string_equal(w.settings.url, "https://system");
    snprintf(origin, sizeof(origin), "%s:2", w.system);
    assert_string_equal(origin_of(&w, "api.url"), origin);

    write_text(w.user, SPAN_LIT("api.url: https://user\n"));
    assert_int_equal(config_load(w.config, &from, &w.err), 0);
    assert_string_equal(w.settings.url, "https://user");

    write_text(w.project, SPAN_LIT("# ours\napi:\n  url: 'https://project'\n"));
    assert_int_equal(config_load(w.config, &from, &w.err), 0);
    assert_string_equal(w.settings.url, "https://project");
    assert_string_equal(origin_of(&w, "api.url"), "./offpeak.yaml:3");

    char base_url[] = "OPENAI_BASE_URL=https://env";
    env[1] = base_url;
    assert_int_equal(config_load(w.config, &from, &w.err), 0);
    assert_string_equal(w.settings.url, "https://env");
    assert_string_equal(origin_of(&w, "api.url"), "OPENAI_BASE_URL");

    from.sets = sets;
    from.set_count = 1;
    assert_int_equal(config_load(w.config, &from, &w.err), 0);
    assert_string_equal(w.settings.url, "https://set");

    from.flags = &flag;
    from.flag_count = 1;
    assert_int_equal(config_load(w.config, &from, &w.err), 0);
    assert_string_equal(w.settings.url, "https://flag");
    assert_string_equal(origin_of(&w, "api.url"), "--base-url");
    tear_down(&w);
}

static void our_own_variable_wins_over_the_borrowed_one(void **state)
{
    struct world w;
    (void)state;
    set_up(&w);
    char *env[] = {(char[]){"OFFPEAK_API_URL=https://ours"},
                   (char[]){"OPENAI_BASE_URL=https://theirs"},
                   (char[]){"OFFPEAK_BATCH_MAX_REQUESTS=7"}, (char[]){"OFFPEAK_FRESH="},
                   NULL};
    struct config_sources from = {.system_file = w.system, .environment = env};
    assert_int_equal(config_load(w.config, &from, &w.err), 0);
    assert_string_equal(w.settings.url, "https://ours");
    assert_int_equal(w.settings.requests, 7);
    assert_string_equal(origin_of(&w, "fresh"), "default"); /* empty is unset */
    tear_down(&w);
}

static void a_file_that_was_named_must_be_there(void **state)
{
    struct world w;
    (void)state;
    set_up(&w);
    struct config_sources from = {.system_file = w.system, .config_file = "/none.yaml"};
    assert_int_equal(config_load(w.config, &from, &w.err), -ERR_USAGE);
    assert_string_equal(w.err.msg,
                        "could not read '/none.yaml': No such file or directory");
    tear_down(&w);
}

static void the_environment_may_name_the_file(void **state)
{
    struct world w;
    char named[160];
    (void)state;
    set_up(&w);
    snprintf(named, sizeof(named), "OFFPEAK_CONFIG=%s", w.user);
    write_text(w.user, SPAN_LIT("batch.poll: 7s\n"));
    write_text(w.project, SPAN_LIT("batch.poll: 9s\n"));
    char *env[] = {named, NULL};
    struct config_sources from = {.system_file = w.system, .environment = env};
    assert_int_equal(config_load(w.config, &from, &w.err), 0);
    assert_int_equal(w.settings.poll_ms, 7000);
    from.config_file = w.project; /* a flag is nearer */
    assert_int_equal(config_load(w.config, &from, &w.err), 0);
    assert_int_equal(w.settings.poll_ms, 9000);
    tear_down(&w);
}

static void values_are_read_in_their_units(void **state)
{
    static const struct {
        const char *text;
        int64_t value;
    } durations[] = {{"0", 0},       {"200ms", 200},    {"60s", 60000},
                     {"5m", 300000}, {"12h", 43200000}, {"30d", 2592000000}},
      sizes[] = {{"0", 0},
                 {"512", 512},
                 {"512B", 512},
                 {"8MiB", 8 << 20},
                 {"1kB", 1000},
                 {"200MB", 200000000},
                 {"4KiB", 4096},
                 {"2GiB", INT64_C(2) << 30},
                 {"1TB", 1000000000000}};
    const char *no_duration[] = {"",    "60",   "s",     "1.5s",
                                 "-1s", "60 s", "1h30m", "99999999999999d"};
    const char *no_size[] = {"", "MB", "1.5MB", "-1", "8mib", "9999999999999TiB"};
    struct world w;
    (void)state;
    set_up(&w);
    for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
        assert_int_equal(given(&w, "batch.pause", durations[i].text), 0);
        assert_int_equal(w.settings.pause_ms, durations[i].value);
    }
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        assert_int_equal(given(&w, "batch.max_bytes", sizes[i].text), 0);
        assert_int_equal(w.settings.bytes, sizes[i].value);
    }
    for (size_t i = 0; i < ARRAY_LEN(no_duration); i++) {
        assert_int_equal(given(&w, "batch.pause", no_duration[i]), -ERR_USAGE);
    }
    for (size_t i = 0; i < ARRAY_LEN(no_size); i++) {
        assert_int_equal(given(&w, "batch.max_bytes", no_size[i]), -ERR_USAGE);
    }
    tear_down(&w);
}

static void good_values_of_every_type_are_stored(void **state)
{
    struct world w;
    (void)state;
    set_up(&w);
    const char *sets[] = {"api.folder=",          "fresh=YES",
                          "batch.max_requests=1", "batch.poll=200ms",
                          "batch.max_bytes=8MiB", "model.temperature=-40",
                          "budget.limit=12.50",   "reuse=never"};
    struct config_sources from = {
        .system_file = w.system, .sets = sets, .set_count = ARRAY_LEN(sets)};
    assert_int_equal(config_load(w.config, &from, &w.err), 0);
    assert_string_equal(w.settings.folder, "");
    assert_true(w.settings.fresh);
    assert_int_equal(w.settings.requests, 1);
    assert_int_equal(w.settings.poll_ms, 200);
    assert_int_equal(w.settings.bytes, 8 << 20);
    assert_int_equal(w.settings.temperature, -40);
    assert_true(usd_pico(w.settings.limit) == 12500000000000);
    assert_int_equal(w.settings.reuse, 2);
    tear_down(&w);
}

static void bad_values_are_refused_with_what_is_allowed(void **state)
{
    static const struct {
        const char *key, *value, *message;
    } cases[] = {
        {"fresh", "maybe",
         "could not use fresh = 'maybe' (--set): expected true or false"},
        {"batch.max_requests", "0",
         "could not use batch.max_requests = '0' (--set): expected a whole number, from 1 to "
         "50000"},
        {"batch.max_requests", "many",
         "could not use batch.max_requests = 'many' (--set): expected a whole number, from 1 to "
         "50000"},
        {"batch.poll", "2h",
         "could not use batch.poll = '2h' (--set): expected a duration such as 200ms, 60s, 5m, "
         "12h or 30d, from 200ms to 1h"},
        {"batch.max_bytes", "-1",
         "could not use batch.max_bytes = '-1' (--set): expected a size such as 512, 64kB, 8MiB "
         "or 200MB"},
        {"budget.limit", "$5",
         "could not use budget.limit = '$5' (--set): expected dollars such as 12.50, with at "
         "most 12 decimals"},
        {"reuse", "sometimes",
         "could not use reuse = 'sometimes' (--set): expected one of always, deterministic, "
         "never"},
    };
    struct world w;
    (void)state;
    set_up(&w);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(
            config_set(w.config, cases[i].key, cases[i].value, "--set", &w.err),
            -ERR_USAGE);
        assert_string_equal(w.err.msg, cases[i].message);
    }
    assert_int_equal(w.settings.poll_ms, 60000); /* what was there stays */
    tear_down(&w);
}

static void a_misspelt_option_brings_the_nearest(void **state)
{
    struct world w;
    (void)state;
    set_up(&w);
    const struct {
        const char *key, *hint;
    } cases[] = {{"batch.pol", "did you mean 'batch.poll'?"},
                 {"poll", "did you mean 'batch.poll'?"},
                 {"bacth.max_requests", "did you mean 'batch.max_requests'?"},
                 {"zebra.crossing", "docs/CONFIG.md lists all options"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(config_set(w.config, cases[i].key, "1", "--set", &w.err),
                         -ERR_USAGE);
        assert_non_null(strstr(w.err.msg, cases[i].key));
        assert_string_equal(w.err.hint, cases[i].hint);
    }
    tear_down(&w);
}

static void an_api_key_among_the_options_is_refused_and_not_shown(void **state)
{
    struct world w;
    (void)state;
    set_up(&w);
    const char *pairs[][2] = {{"api.api_key", "secretsecret"},
                              {"openai_api_key", "x"},
                              {"api.url", "sk-canary-0123456789"},
                              {"unknown", "sk-canary-0123456789"}};
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        assert_int_equal(config_set(w.config, pairs[i][0], pairs[i][1], "f:1", &w.err),
                         -ERR_USAGE);
        assert_null(strstr(w.err.msg, "canary"));
        assert_null(strstr(w.err.msg, "secretsecret"));
        assert_non_null(strstr(w.err.hint, "--key-file"));
    }
    tear_down(&w);
}

static void bad_files_are_refused_with_their_line(void **state)
{
    static const struct {
        struct span text;
        const char *message;
    } cases[] = {
        {SPAN_LIT("fresh: true\nfresh: true\n"),
         ":2': 'fresh' stands here a second time"},
        {SPAN_LIT("api:\n  url: a\napi.url: b\n"),
         ":3': 'api.url' stands here a second time"},
        {SPAN_LIT("batch:\n  poll: 1s\nbatch:\n  max_requests: 1\n"),
         ":3': 'batch' stands here a second time"},
        {SPAN_LIT("api:\n  url: [a, b]\n"), ":2': a list, where one value is expected"},
        {SPAN_LIT("- fresh\n"), ":1': expected lines of the form 'option: value'"},
        {SPAN_LIT("just text\n"), ":1': expected lines of the form 'option: value'"},
        {SPAN_LIT("fresh: &a true\n"),
         ":1': anchors, aliases and tags are not used here"},
        {SPAN_LIT("fresh: !!bool true\n"),
         ":1': anchors, aliases and tags are not used here"},
        {SPAN_LIT("api: &a\n  url: x\n"), ":1': maps here have no anchors or tags"},
        {SPAN_LIT("fresh: true\n---\nfresh: false\n"), ":3': a second document"},
        {SPAN_LIT("a: {b: {c: {d: {e: {f: {g: {h: {i: 1}}}}}}}}\n"), "at most 8 deep"},
        {SPAN_LIT("api:\n\turl: x\n"),
         ":2': found character that cannot start any token"},
        {SPAN_LIT("fresh: {\n"), "': did not find"},
        {SPAN_LIT("\xff\xfe\xfd"), "could not read"},
        {SPAN_LIT("api:\n  url: \"a\\0b\"\n"), ":2': a value with a NUL byte"},
        {SPAN_LIT("'': 1\n"), "is not the name of an option"},
        {SPAN_LIT("fresh: maybe\n"), "offpeak.yaml:1): expected true or false"},
        {SPAN_LIT("a:\n  b: 1\n"), "could not use 'a.b' ("},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        set_up(&w);
        write_text(w.project, cases[i].text);
        assert_int_equal(config_load_file(w.config, w.project, &w.err), -ERR_USAGE);
        if (!strstr(w.err.msg, cases[i].message)) {
            fail_msg("case %zu: '%s' lacks '%s'", i, w.err.msg, cases[i].message);
        }
        tear_down(&w);
    }
}

static void empty_files_and_empty_sections_are_fine(void **state)
{
    static const struct span cases[] = {
        SPAN_LIT(""),      SPAN_LIT("# nothing\n"),
        SPAN_LIT("---\n"), SPAN_LIT("batch:\n  # poll: 60s\nfresh: on\n"),
        SPAN_LIT("{}\n"),
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        set_up(&w);
        write_text(w.project, cases[i]);
        assert_int_equal(config_load_file(w.config, w.project, &w.err), 0);
        tear_down(&w);
    }
}

static void a_huge_file_is_refused(void **state)
{
    struct world w;
    _cleanup_(buf_fini) struct buf text;
    (void)state;
    set_up(&w);
    buf_init(&text, 2 * CONFIG_FILE_BYTES_MAX);
    while (text.n <= CONFIG_FILE_BYTES_MAX) {
        buf_adds(&text, "# a comment that goes on\n");
    }
    write_text(w.project, buf_span(&text));
    assert_int_equal(config_load_file(w.config, w.project, &w.err), -ERR_USAGE);
    assert_int_equal(config_load_file(w.config, w.dir, &w.err), -ERR_USAGE);
    tear_down(&w);
}

static void nonsense_after_set_is_refused(void **state)
{
    struct world w;
    const char *bad[] = {"fresh", "=1", ""};
    (void)state;
    set_up(&w);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct config_sources from = {
            .system_file = w.system, .sets = &bad[i], .set_count = 1};
        assert_int_equal(config_load(w.config, &from, &w.err), -ERR_USAGE);
        assert_non_null(strstr(w.err.msg, "expected KEY=VALUE"));
    }
    struct config_flag flag = {"--none", "1"};
    struct config_sources from = {
        .system_file = w.system, .flags = &flag, .flag_count = 1};
    assert_int_equal(config_load(w.config, &from, &w.err), -ERR_USAGE);
    tear_down(&w);
}

static void a_bad_table_does_not_load(void **state)
{
    struct settings settings;
    const struct config_row twice[] = {rows[2], rows[2]};
    const struct config_row wrong[] = {
        {"x", CONFIG_INT, FIELD(requests), "ten", 0, 0, NULL, "", NULL, NULL}};
    struct config_section sections[] = {{"A", twice, 2, &settings},
                                        {"B", wrong, 1, &settings}};
    struct config *c;
    struct err err;
    (void)state;
    assert_true(config_create(&c, &sections[0], 1, &err) < 0);
    assert_non_null(strstr(err.msg, "defined already"));
    assert_true(config_create(&c, &sections[1], 1, &err) < 0);
    assert_null(config_destroy(NULL));
}

static void options_show_themselves_in_the_order_of_their_table(void **state)
{
    struct world w;
    struct config_entry e;
    size_t n = 0;
    (void)state;
    set_up(&w);
    assert_int_equal(given(&w, "batch.poll", "5s"), 0);
    for (; config_at(w.config, n, &e); n++) {
        assert_ptr_equal(e.row, &rows[n]);
        assert_string_equal(e.section, "Test");
        if (!strcmp(e.row->key, "batch.poll")) {
            assert_string_equal(e.value, "5s");
            assert_string_equal(e.origin, "--set");
        } else if (!strcmp(e.row->key, "budget.limit")) {
            assert_null(e.value);
            assert_null(e.origin);
        }
    }
    assert_int_equal(n, ARRAY_LEN(rows));
    tear_down(&w);
}

static void an_option_says_what_its_value_may_be(void **state)
{
    static const struct {
        size_t row;
        const char *says;
    } cases[] = {
        {0, "text"},
        {2, "true or false"},
        {3, "a whole number, from 1 to 50000"},
        {4, "a duration such as 200ms, 60s, 5m, 12h or 30d, from 200ms to 1h"},
        {6, "a size such as 512, 64kB, 8MiB or 200MB"},
        {8, "dollars such as 12.50, with at most 12 decimals"},
        {9, "one of always, deterministic, never"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_(buf_fini) struct buf out;
        buf_init(&out, 1000);
        config_describe(&rows[cases[i].row], &out);
        assert_string_equal(out.p, cases[i].says);
    }
}

static void an_option_has_a_variable_and_may_be_a_section(void **state)
{
    struct world w;
    char name[CONFIG_ENV_MAX];
    (void)state;
    set_up(&w);
    assert_string_equal(config_env_name("batch.max_bytes", name),
                        "OFFPEAK_BATCH_MAX_BYTES");
    assert_true(config_is_section(w.config, "batch"));
    assert_false(config_is_section(w.config, "fresh"));
    tear_down(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_sources_the_defaults_hold),
        cmocka_unit_test(later_sources_win_and_the_origin_is_kept),
        cmocka_unit_test(our_own_variable_wins_over_the_borrowed_one),
        cmocka_unit_test(a_file_that_was_named_must_be_there),
        cmocka_unit_test(the_environment_may_name_the_file),
        cmocka_unit_test(values_are_read_in_their_units),
        cmocka_unit_test(good_values_of_every_type_are_stored),
        cmocka_unit_test(bad_values_are_refused_with_what_is_allowed),
        cmocka_unit_test(a_misspelt_option_brings_the_nearest),
        cmocka_unit_test(an_api_key_among_the_options_is_refused_and_not_shown),
        cmocka_unit_test(bad_files_are_refused_with_their_line),
        cmocka_unit_test(empty_files_and_empty_sections_are_fine),
        cmocka_unit_test(a_huge_file_is_refused),
        cmocka_unit_test(nonsense_after_set_is_refused),
        cmocka_unit_test(a_bad_table_does_not_load),
        cmocka_unit_test(options_show_themselves_in_the_order_of_their_table),
        cmocka_unit_test(an_option_says_what_its_value_may_be),
        cmocka_unit_test(an_option_has_a_variable_and_may_be_a_section),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
