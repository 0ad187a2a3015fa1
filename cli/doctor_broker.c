/* The part of `offpeak doctor` that looks at the Kafka broker. */
#include "cli/crew.h"
#include "cli/doctor.h"
#include "cli/layout.h"

#include <stdio.h>

#define VERSION(major, minor, patch) \
    ((uint32_t)(major) << 24 | (uint32_t)(minor) << 16 | (uint32_t)(patch) << 8)
#define GOOD_VERSION  VERSION(2, 10, 1)
#define SCRAM_VERSION VERSION(2, 6, 1)
#define MECHANISM_MAX 64

/* librdkafka, CHANGELOG: #4895 of 2.6.1, #5032 of 2.10.1. */
static void check_library(struct doctor *d, const struct kafka_conf *conf)
{
    char mechanism[MECHANISM_MAX] = "";
    struct err err = {0};
    uint32_t version = kafka_version_number();
    int rc = kafka_setting_of(conf, "sasl.mechanism", mechanism, sizeof(mechanism), &err);
    if (rc < 0) {
        doctor_fail(d, "library", &err);
        return;
    }
    if (strstr(mechanism, "SCRAM") && version < SCRAM_VERSION) {
        doctor_tell(d, FINDING_WARN, "library",
                    "librdkafka %s cannot prove a %s password to a broker 4.0 or newer",
                    kafka_version(), mechanism);
        doctor_hint(d, "librdkafka 2.6.1 and newer can; or use SASL/PLAIN over TLS, or a "
                       "certificate");
    } else if (version < GOOD_VERSION) {
        doctor_tell(d, FINDING_WARN, "library",
                    "librdkafka %s: the first record for a topic may wait a second",
                    kafka_version());
        doctor_hint(d, "2.10.1 and newer are faster there; nothing is lost");
    } else {
        doctor_tell(d, FINDING_OK, "library", "librdkafka %s", kafka_version());
    }
}

static bool check_cluster(struct doctor *d, struct kafka_admin *admin)
{
    struct kafka_cluster cluster;
    struct err err = {0};
    if (kafka_admin_cluster(admin, &cluster, &err) < 0) {
        doctor_fail(d, "broker", &err);
        return false;
    }
    doctor_tell(d, FINDING_OK, "broker", "%s answers; cluster '%s' has %d broker%s",
                broker_label(&d->cli->set->broker), cluster.cluster_id, cluster.brokers,
                PLURAL(cluster.brokers));
    return true;
}

/* ---- topics ---- */

/* Settings that may not be read are no finding: `topics check` names them. */
static void count_differences(struct kafka_admin *admin, const struct layout_topic *t,
                              unsigned grades[static LAYOUT_FATAL + 1])
{
    struct layout_difference v[LAYOUT_DIFFERENCES_MAX];
    int n = 0;
    enum layout_grade worst = layout_partitions(t, v);
    if (t->found && t->wanted && worst < LAYOUT_FATAL) {
        n = layout_differences(admin, t, v, NULL);
    }
    for (int i = 0; i < n; i++) {
        worst = MAX_OF(worst, v[i].grade);
    }
    grades[worst]++;
}

static void judge_topics(struct doctor *d, const unsigned grades[static LAYOUT_FATAL + 1])
{
    unsigned good = grades[LAYOUT_FINE] + grades[LAYOUT_NOTE];
    if (grades[LAYOUT_FATAL] || grades[LAYOUT_WRONG]) {
        doctor_tell(d, FINDING_FAIL, "topics", "%u are not as they must be, %u missing",
                    grades[LAYOUT_FATAL] + grades[LAYOUT_WRONG], grades[LAYOUT_MISSING]);
        doctor_hint(d, "offpeak topics check");
        d->code = d->code ? d->code : ERR_FAIL;
    } else if (grades[LAYOUT_MISSING]) {
        doctor_tell(d, FINDING_WARN, "topics", "%u are not there",
                    grades[LAYOUT_MISSING]);
        doctor_hint(d, "offpeak topics create");
    } else {
        doctor_tell(d, FINDING_OK, "topics", "%u, as they should be", good);
    }
}

static void check_topics(struct doctor *d, struct kafka_admin *admin)
{
    const char *prefix = d->cli->set->broker.prefix;
    unsigned grades[LAYOUT_FATAL + 1] = {0};
    struct layout layout = {0};
    struct err err = {0};
    int rc = layout_shared(&layout, prefix, &err);
    if (rc >= 0) {
        rc = layout_look(&layout, admin, prefix, false, &err);
    }
    for (size_t i = 0; rc >= 0 && i < layout.n; i++) {
        count_differences(admin, &layout.v[i], grades);
    }
    if (rc < 0) {
        doctor_fail(d, "topics", &err);
    } else {
        judge_topics(d, grades);
    }
    layout_fini(&layout);
}

static void check_crew(struct doctor *d, struct kafka_admin *admin)
{
    const struct broker_settings *set = &d->cli->set->broker;
    _cleanup_(buf_fini) struct buf words, start;
    struct err err = {0};
    struct crew crew;
    buf_init(&words, CLI_PATH_MAX);
    buf_init(&start, CLI_PATH_MAX);
    if (crew_look(admin, set, &crew, &err) < 0) {
        doctor_fail(d, "at work", &err);
        return;
    }
    bool lacks = crew_lacks(&crew);
    crew_words(&crew, &words);
    doctor_tell(d, lacks ? FINDING_WARN : FINDING_OK, "at work", "%s", words.p);
    if (lacks) {
        crew_remedy(&crew, set, &start);
        doctor_hint(d, start.p);
    }
}

void doctor_broker(struct doctor *d)
{
    struct kafka_conf conf = broker_kafka(&d->cli->set->broker);
    struct kafka_admin *admin = NULL;
    struct err err = {0};
    check_library(d, &conf);
    if (kafka_admin_open(&admin, &conf, &err) < 0) {
        doctor_fail(d, "broker", &err);
    } else if (check_cluster(d, admin)) {
        check_topics(d, admin);
        check_crew(d, admin);
    }
    kafka_admin_destroy(admin);
}
