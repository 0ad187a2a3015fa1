#include "core/kafka_int.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- opening ---- */

static int open_link(struct kafka_link *l, const struct kafka_conf *conf,
                     const char *isolation, struct err *err)
{
    _cleanup_(kafka_conf_destroyp) rd_kafka_conf_t *c = NULL;
    const struct kafka_row rows[] = {{"isolation.level", isolation, false}};
    int rc = kafka_conf_create(&c, conf, err);
    rc = rc < 0 ? rc : kafka_conf_set(c, rows, ARRAY_LEN(rows), err);
    return rc < 0 ? rc : kafka_link_open(l, RD_KAFKA_CONSUMER, &c, conf, err);
}

static char *copy(const char *s, bool *ok)
{
    char *own = s ? strdup(s) : NULL;
    *ok &= !s || own;
    return own;
}

int kafka_admin_open(struct kafka_admin **ret, const struct kafka_conf *conf,
                     struct err *err)
{
    struct kafka_admin *a = calloc(1, sizeof(*a));
    bool ok = a != NULL;
    if (a) {
        a->conf = *conf;
        a->conf.brokers = copy(conf->brokers, &ok);
        a->conf.file = copy(conf->file, &ok);
        a->conf.client_id = copy(conf->client_id, &ok);
    }
    int rc =
        ok ? open_link(&a->link, &a->conf, "read_uncommitted", err)
           : kafka_fail_class(err, KAFKA_WRONG, "could not use Kafka: out of memory");
    if (rc < 0) {
        kafka_admin_destroy(a);
        return rc;
    }
    *ret = a;
    return 0;
}

struct kafka_admin *kafka_admin_destroy(struct kafka_admin *a)
{
    if (!a) {
        return NULL;
    }
    free((char *)(uintptr_t)a->conf.brokers);
    free((char *)(uintptr_t)a->conf.file);
    free((char *)(uintptr_t)a->conf.client_id);
    bool gone = kafka_link_close(&a->link, false);
    if (kafka_link_close(&a->committed, false) && gone) {
        free(a);
    }
    return NULL;
}

/* ---- metadata ---- */

static void metadata_destroyp(const struct rd_kafka_metadata **md)
{
    if (*md) {
        rd_kafka_metadata_destroy(*md);
    }
}

static int all_metadata(struct kafka_admin *a, const struct rd_kafka_metadata **ret,
                        struct err *err)
{
    struct kafka_fault f = {
        .code = rd_kafka_metadata(a->link.rk, 1, NULL, ret, KAFKA_ADMIN_MS)};
    rd_kafka_poll(a->link.rk, 0);
    if (f.code) {
        return kafka_link_fail(&a->link, err, &f, NULL, "could not ask Kafka");
    }
    kafka_link_fine(&a->link);
    return 0;
}

int kafka_admin_cluster(struct kafka_admin *a, struct kafka_cluster *ret, struct err *err)
{
    _cleanup_(metadata_destroyp) const struct rd_kafka_metadata *md = NULL;
    int rc = all_metadata(a, &md, err);
    if (rc < 0) {
        return rc;
    }
    char *id = rd_kafka_clusterid(a->link.rk, KAFKA_LOOK_MS);
    *ret = (struct kafka_cluster){
        .controller = rd_kafka_controllerid(a->link.rk, KAFKA_LOOK_MS),
        .brokers = md->broker_cnt,
    };
    snprintf(ret->cluster_id, sizeof(ret->cluster_id), "%s", id ? id : "");
    if (id) {
        rd_kafka_mem_free(a->link.rk, id);
    }
    if (md->broker_cnt > 0) {
        snprintf(ret->first, sizeof(ret->first), "%s:%d", md->brokers[0].host,
                 md->brokers[0].port);
    }
    return 0;
}

int kafka_admin_topics(struct kafka_admin *a, const char *prefix, kafka_topic_fn fn,
                       void *ctx, struct err *err)
{
    _cleanup_(metadata_destroyp) const struct rd_kafka_metadata *md = NULL;
    int rc = all_metadata(a, &md, err);
    for (int i = 0; rc >= 0 && i < md->topic_cnt; i++) {
        const struct rd_kafka_metadata_topic *t = &md->topics[i];
        if (!t->err && strncmp(t->topic, prefix, strlen(prefix)) == 0) {
            rc = fn(ctx, t->topic, t->partition_cnt);
        }
    }
    return rc < 0 ? rc : 0;
}

int kafka_admin_partitions(struct kafka_admin *a, const char *topic, struct err *err)
{
    struct kafka_known known;
    int rc = kafka_topic_look(&a->link, topic, false, &known, err);
    if (rc == 0) {
        rd_kafka_topic_destroy(known.rkt);
        return known.partitions;
    }
    bool absent = rc == -KAFKA_REFUSED &&
                  kafka_fault_refusal(a->link.refusal) == KAFKA_NO_TOPIC;
    return absent ? 0 : rc;
}

int kafka_admin_bounds(struct kafka_admin *a, const struct kafka_place *of,
                       bool committed, int64_t *ret_first, int64_t *ret_end,
                       struct err *err)
{
    struct kafka_link *l = committed ? &a->committed : &a->link;
    int64_t first = 0;
    int rc = l->rk ? 0 : open_link(l, &a->conf, "read_committed", err);
    rc = rc < 0 ? rc : kafka_find_offset(l, of, RD_KAFKA_OFFSET_BEGINNING, &first, err);
    rc = rc < 0 ? rc : kafka_find_offset(l, of, RD_KAFKA_OFFSET_END, ret_end, err);
    if (rc == 0) {
        *ret_first = first;
    }
    return rc;
}

/* ---- one admin request ---- */

void kafka_request_finip(struct kafka_request *r)
{
    if (r->reply) {
        rd_kafka_event_destroy(r->reply);
    }
    if (r->options) {
        rd_kafka_AdminOptions_destroy(r->options);
    }
    if (r->q) {
        rd_kafka_queue_destroy(r->q);
    }
}

void kafka_request_init(struct kafka_request *r, struct kafka_admin *a,
                        rd_kafka_admin_op_t op)
{
    char why[100];
    *r = (struct kafka_request){.a = a,
                                .q = rd_kafka_queue_new(a->link.rk),
                                .options = rd_kafka_AdminOptions_new(a->link.rk, op)};
    rd_kafka_AdminOptions_set_request_timeout(r->options, KAFKA_ADMIN_MS, why,
                                              sizeof(why));
}

/* Waits for the reply of a request that was sent; `object` is what it is about. */
int kafka_request_wait(struct kafka_request *r, const char *what, const char *object,
                       struct err *err)
{
    struct kafka_fault f = {.code = RD_KAFKA_RESP_ERR__TIMED_OUT};
    const char *detail = NULL;
    r->reply = rd_kafka_queue_poll(r->q, KAFKA_ADMIN_MS + 1000);
    rd_kafka_poll(r->a->link.rk, 0);
    if (r->reply) {
        f.code = rd_kafka_event_error(r->reply);
        detail = rd_kafka_event_error_string(r->reply);
    }
    if (f.code) {
        return kafka_link_fail(&r->a->link, err, &f, detail, "could not %s '%s'", what,
                               object);
    }
    kafka_link_fine(&r->a->link);
    return 0;
}

/* The broker's own words are worth more here than ours: they name the setting. */
int kafka_refused(struct err *err, int code, const char *detail, const char *what,
                  const char *object)
{
    struct kafka_fault f = {.code = code};
    int rc = kafka_fail(err, &f, detail, "could not %s '%s'", what, object);
    if (detail && (code == RD_KAFKA_RESP_ERR_INVALID_CONFIG ||
                   code == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION ||
                   code == RD_KAFKA_RESP_ERR_POLICY_VIOLATION)) {
        return kafka_fail_class(err, (enum kafka_class) - rc, "could not %s '%s': %s",
                                what, object, detail);
    }
    return rc;
}

/* ---- topics ---- */

static int create_result(const struct kafka_request *r, int *ret_code,
                         const char **ret_words)
{
    size_t n = 0;
    const rd_kafka_topic_result_t **v = rd_kafka_CreateTopics_result_topics(
        rd_kafka_event_CreateTopics_result(r->reply), &n);
    *ret_code = n == 1 ? rd_kafka_topic_result_error(v[0]) : RD_KAFKA_RESP_ERR__FAIL;
    *ret_words = n == 1 ? rd_kafka_topic_result_error_string(v[0]) : NULL;
    return *ret_code ? -1 : 0;
}

static void new_topic_destroyp(rd_kafka_NewTopic_t **t)
{
    if (*t) {
        rd_kafka_NewTopic_destroy(*t);
    }
}

/* The controller answers before the brokers have heard of it: the next call would not find it. */
static void await_topic(struct kafka_admin *a, const char *topic)
{
    int64_t deadline = kafka_now_ms() + KAFKA_LOOK_MS;
    bool there = false;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(a->link.rk, topic, NULL);
    while (rkt && !there && kafka_left_ms(deadline) > 0) {
        _cleanup_(metadata_destroyp) const struct rd_kafka_metadata *md = NULL;
        there = rd_kafka_metadata(a->link.rk, 0, rkt, &md, KAFKA_LOOK_MS) == 0 &&
                md->topic_cnt == 1 && !md->topics[0].err;
        for (int i = 0; there && i < md->topics[0].partition_cnt; i++) {
            there = md->topics[0].partitions[i].leader >= 0;
        }
        rd_kafka_poll(a->link.rk, there ? 0 : 20);
    }
    if (rkt) {
        rd_kafka_topic_destroy(rkt);
    }
}

int kafka_admin_create(struct kafka_admin *a, const char *topic, int32_t partitions,
                       const struct kafka_setting *settings, size_t n, struct err *err)
{
    _cleanup_(kafka_request_finip) struct kafka_request r;
    _cleanup_(new_topic_destroyp) rd_kafka_NewTopic_t *t = NULL;
    char why[200] = "";
    int code;
    const char *words;
    kafka_request_init(&r, a, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    t = rd_kafka_NewTopic_new(topic, partitions, -1, why, sizeof(why));
    if (!t) {
        return kafka_fail_class(err, KAFKA_WRONG, "could not create topic '%s': %s",
                                topic, why);
    }
    for (size_t i = 0; i < n; i++) {
        rd_kafka_NewTopic_set_config(t, settings[i].name, settings[i].value);
    }
    rd_kafka_AdminOptions_set_operation_timeout(r.options, KAFKA_LOOK_MS, why,
                                                sizeof(why));
    rd_kafka_CreateTopics(a->link.rk, &t, 1, r.options, r.q);
    int rc = kafka_request_wait(&r, "create topic", topic, err);
    if (rc < 0) {
        return rc;
    }
    if (create_result(&r, &code, &words) == 0) {
        await_topic(a, topic);
        return 1;
    }
    return code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS
               ? 0
               : kafka_refused(err, code, words, "create topic", topic);
}

int kafka_admin_trim(struct kafka_admin *a, const struct kafka_place *below, size_t n,
                     struct err *err)
{
    _cleanup_(kafka_request_finip) struct kafka_request r;
    _cleanup_(kafka_list_destroyp)
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
    if (n == 0) {
        r = (struct kafka_request){0};
        return 0;
    }
    kafka_request_init(&r, a, RD_KAFKA_ADMIN_OP_DELETERECORDS);
    for (size_t i = 0; i < n; i++) {
        rd_kafka_topic_partition_list_add(list, below[i].topic, below[i].partition)
            ->offset = below[i].offset;
    }
    rd_kafka_DeleteRecords_t *d = rd_kafka_DeleteRecords_new(list);
    rd_kafka_DeleteRecords(a->link.rk, &d, 1, r.options, r.q);
    rd_kafka_DeleteRecords_destroy(d);
    int rc = kafka_request_wait(&r, "trim topic", below[0].topic, err);
    if (rc < 0) {
        return rc;
    }
    const rd_kafka_topic_partition_list_t *got = rd_kafka_DeleteRecords_result_offsets(
        rd_kafka_event_DeleteRecords_result(r.reply));
    for (int i = 0; got && i < got->cnt; i++) {
        if (got->elems[i].err) {
            return kafka_refused(err, got->elems[i].err, NULL, "trim topic",
                                 got->elems[i].topic);
        }
    }
    return 0;
}

/* ---- settings of a topic ---- */

static void resource_destroyp(rd_kafka_ConfigResource_t **c)
{
    if (*c) {
        rd_kafka_ConfigResource_destroy(*c);
    }
}

/* The entries belong to r->reply. */
static int describe(struct kafka_request *r, struct kafka_admin *a, const char *topic,
                    const rd_kafka_ConfigEntry_t ***ret, size_t *ret_n, struct err *err)
{
    _cleanup_(resource_destroyp) rd_kafka_ConfigResource_t *what =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    size_t n = 0;
    kafka_request_init(r, a, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    if (!what) {
        return kafka_refused(err, RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, NULL,
                             "look at topic", topic);
    }
    rd_kafka_DescribeConfigs(a->link.rk, &what, 1, r->options, r->q);
    int rc = kafka_request_wait(r, "look at topic", topic, err);
    if (rc < 0) {
        return rc;
    }
    const rd_kafka_ConfigResource_t **found = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(r->reply), &n);
    int code = n == 1 ? rd_kafka_ConfigResource_error(found[0]) : RD_KAFKA_RESP_ERR__FAIL;
    if (code) {
        return kafka_refused(
            err, code, n == 1 ? rd_kafka_ConfigResource_error_string(found[0]) : NULL,
            "look at topic", topic);
    }
    *ret = rd_kafka_ConfigResource_configs(found[0], ret_n);
    return 0;
}

static bool set_on_topic(const rd_kafka_ConfigEntry_t *e)
{
    return rd_kafka_ConfigEntry_source(e) == RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG;
}

int kafka_admin_settings(struct kafka_admin *a, const char *topic, kafka_setting_fn fn,
                         void *ctx, struct err *err)
{
    _cleanup_(kafka_request_finip) struct kafka_request r = {0};
    const rd_kafka_ConfigEntry_t **v = NULL;
    size_t n = 0;
    int rc = describe(&r, a, topic, &v, &n, err);
    for (size_t i = 0; rc >= 0 && i < n; i++) {
        const char *value = rd_kafka_ConfigEntry_value(v[i]);
        rc = fn(
            ctx,
            &(struct kafka_setting){rd_kafka_ConfigEntry_name(v[i]), value ? value : ""},
            !set_on_topic(v[i]));
    }
    return rc < 0 ? rc : 0;
}

static bool among(const struct kafka_setting *v, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(v[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* AlterConfigs replaces all settings of a topic: what is set now goes along. */
static int merge(struct kafka_admin *a, rd_kafka_ConfigResource_t *to, const char *topic,
                 const struct kafka_setting *settings, size_t n, struct err *err)
{
    _cleanup_(kafka_request_finip) struct kafka_request r = {0};
    const rd_kafka_ConfigEntry_t **now = NULL;
    size_t now_n = 0;
    int rc = describe(&r, a, topic, &now, &now_n, err);
    for (size_t i = 0; rc == 0 && i < now_n; i++) {
        const char *name = rd_kafka_ConfigEntry_name(now[i]);
        if (set_on_topic(now[i]) && !among(settings, n, name)) {
            rd_kafka_ConfigResource_set_config(to, name,
                                               rd_kafka_ConfigEntry_value(now[i]));
        }
    }
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rd_kafka_ConfigResource_set_config(to, settings[i].name, settings[i].value);
    }
    return rc;
}

int kafka_admin_set(struct kafka_admin *a, const char *topic,
                    const struct kafka_setting *settings, size_t n, struct err *err)
{
    _cleanup_(kafka_request_finip) struct kafka_request r = {0};
    _cleanup_(resource_destroyp) rd_kafka_ConfigResource_t *to =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    size_t got_n = 0;
    if (!to) {
        return kafka_refused(err, RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, NULL, "change topic",
                             topic);
    }
    int rc = merge(a, to, topic, settings, n, err);
    if (rc < 0) {
        return rc;
    }
    kafka_request_init(&r, a, RD_KAFKA_ADMIN_OP_ALTERCONFIGS);
    rd_kafka_AlterConfigs(a->link.rk, &to, 1, r.options, r.q);
    rc = kafka_request_wait(&r, "change topic", topic, err);
    if (rc < 0) {
        return rc;
    }
    const rd_kafka_ConfigResource_t **got = rd_kafka_AlterConfigs_result_resources(
        rd_kafka_event_AlterConfigs_result(r.reply), &got_n);
    int code = got_n == 1 ? rd_kafka_ConfigResource_error(got[0])
                          : RD_KAFKA_RESP_ERR__FAIL;
    return code ? kafka_refused(err, code,
                                got_n == 1 ? rd_kafka_ConfigResource_error_string(got[0])
                                           : NULL,
                                "change topic", topic)
                : 0;
}
