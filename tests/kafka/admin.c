/* Looking after topics, and opening with settings that are wrong. */
#include "tests/kafka/kafka_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct seen {
    const char *want;
    char value[100];
    bool is_default;
    int n, partitions;
};

static int see_topic(void *ctx, const char *topic, int32_t partitions)
{
    struct seen *s = ctx;
    s->n++;
    s->partitions = strcmp(topic, s->want) == 0 ? partitions : s->partitions;
    return 0;
}

static int see_setting(void *ctx, const struct kafka_setting *one, bool is_default)
{
    struct seen *s = ctx;
    s->n++;
    if (strcmp(one->name, s->want) == 0) {
        snprintf(s->value, sizeof(s->value), "%s", one->value);
        s->is_default = is_default;
    }
    return 0;
}

static void setting_is(struct world *w, const char *name, const char *value,
                       bool is_default)
{
    struct seen s = {.want = name};
    OK(w, kafka_admin_settings(w->admin, w->topic, see_setting, &s, &w->err));
    assert_string_equal(s.value, value);
    assert_int_equal(s.is_default, is_default);
    assert_true(s.n > 20);
}

/* The broker answers before all of it knows. */
static void setting_becomes(struct world *w, const char *name, const char *value)
{
    const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
    struct seen s = {.want = name};
    for (int i = 0; i < 200 && strcmp(s.value, value) != 0; i++) {
        nanosleep(&pause, NULL);
        OK(w, kafka_admin_settings(w->admin, w->topic, see_setting, &s, &w->err));
    }
    setting_is(w, name, value, false);
}

static void a_topic_is_made_once_and_found_by_its_prefix(void **state)
{
    struct world *w = *state;
    struct seen s = {.want = w->topic};
    make_topic(w, w->topic, 3, NULL, NULL);
    make_topic(w, w->second, 1, NULL, NULL);
    OK(w, kafka_admin_create(w->admin, w->topic, 5, NULL, 0, &w->err)); /* as it is */
    IS(w, 3, kafka_admin_partitions(w->admin, w->topic, &w->err));
    IS(w, 0, kafka_admin_partitions(w->admin, "no-such-topic", &w->err));
    OK(w, kafka_admin_topics(w->admin, w->name, see_topic, &s, &w->err));
    assert_true(s.n == 2 && s.partitions == 3);
}

static void what_the_broker_does_not_take_is_said_in_its_words(void **state)
{
    struct world *w = *state;
    const struct kafka_setting bad = {"retention.ms", "soon"};
    IS(w, -KAFKA_WRONG, kafka_admin_create(w->admin, w->topic, 1, &bad, 1, &w->err));
    ASSERT_SAYS(w, "retention.ms");
    assert_int_equal(kafka_admin_create(w->admin, "not/a name", 1, NULL, 0, &w->err),
                     -KAFKA_REFUSED);
    ASSERT_SAYS(w, "not/a name");
}

static void a_changed_setting_leaves_the_others_alone(void **state)
{
    struct world *w = *state;
    const struct kafka_setting one = {"retention.ms", "3600000"};
    make_topic(w, w->topic, 1, "cleanup.policy", "compact");
    setting_is(w, "cleanup.policy", "compact", false);
    setting_is(w, "retention.ms", "604800000", true);
    OK(w, kafka_admin_set(w->admin, w->topic, &one, 1, &w->err));
    setting_becomes(w, "retention.ms", "3600000");
    setting_is(w, "cleanup.policy", "compact", false);
}

static void the_cluster_tells_who_it_is(void **state)
{
    struct world *w = *state;
    struct kafka_cluster c;
    OK(w, kafka_admin_cluster(w->admin, &c, &w->err));
    assert_int_equal(c.brokers, 1);
    assert_int_equal(c.controller, 1);
    assert_true(strlen(c.cluster_id) > 10);
    assert_string_equal(c.first, w->conf.brokers);
    assert_true(kafka_version_number() >= 0x020002ff);
}

static void a_broker_without_an_authorizer_says_so(void **state)
{
    struct world *w = *state;
    const struct kafka_acl acl = {.resource = KAFKA_ACL_TOPIC,
                                  .name = "offpeak.",
                                  .prefixed = true,
                                  .principal = "User:alice",
                                  .operation = KAFKA_ACL_READ};
    IS(w, -KAFKA_WRONG, kafka_admin_allow(w->admin, &acl, 1, &w->err));
    ASSERT_SAYS(w, "authorizer");
}

/* ---- the file of settings ---- */

static int open_with(struct world *w, const char *text)
{
    char path[] = "/tmp/offpeak-kafka-conf-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    struct kafka_conf conf = w->conf;
    struct kafka_admin *a = NULL;
    conf.file = path;
    conf.brokers = NULL;
    int rc = kafka_admin_open(&a, &conf, &w->err);
    unlink(path);
    kafka_admin_destroy(a);
    return rc;
}

static void a_file_says_where_the_brokers_are(void **state)
{
    struct world *w = *state;
    char text[200];
    snprintf(text, sizeof(text),
             "# ours\n\nbootstrap.servers = %s\r\nsecurity.protocol=plaintext",
             w->conf.brokers);
    OK(w, open_with(w, text));
    IS(w, -KAFKA_WRONG, open_with(w, "security.protocol=plaintext\n"));
    ASSERT_SAYS(w, "no broker is named");
}

static void a_wrong_line_of_the_file_is_named_without_its_value(void **state)
{
    struct world *w = *state;
    IS(w, -KAFKA_WRONG, open_with(w, "sasl.password=x\nsecurity.protocol=hunter2\n"));
    ASSERT_SAYS(w, "line 2: 'security.protocol' has a value that is not valid");
    assert_null(strstr(w->err.msg, "hunter2"));
    IS(w, -KAFKA_WRONG, open_with(w, "hunter2\n"));
    ASSERT_SAYS(w, "line 1");
    IS(w, -KAFKA_WRONG, open_with(w, "enable.idempotence=false\n"));
    ASSERT_SAYS(w, "may not be set here");
    IS(w, -KAFKA_WRONG, open_with(w, "sasl.nonsense=hunter2\n"));
    ASSERT_SAYS(w, "is not a setting");
    assert_null(strstr(w->err.msg, "hunter2"));
}

const struct CMUnitTest admin_tests[] = {
    KAFKA_TEST(a_topic_is_made_once_and_found_by_its_prefix),
    KAFKA_TEST(what_the_broker_does_not_take_is_said_in_its_words),
    KAFKA_TEST(a_changed_setting_leaves_the_others_alone),
    KAFKA_TEST(the_cluster_tells_who_it_is),
    KAFKA_TEST(a_broker_without_an_authorizer_says_so),
    KAFKA_TEST(a_file_says_where_the_brokers_are),
    KAFKA_TEST(a_wrong_line_of_the_file_is_named_without_its_value),
};
const size_t admin_tests_n = ARRAY_LEN(admin_tests);
