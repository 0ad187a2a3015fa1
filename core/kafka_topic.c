/* What is known of a topic; the rules of kafka_int.h. */
#include "core/kafka_int.h"

#include <stdio.h>

static void metadata_destroyp(const struct rd_kafka_metadata **md)
{
    if (*md) {
        rd_kafka_metadata_destroy(*md);
    }
}

static void topic_destroyp(rd_kafka_topic_t **rkt)
{
    if (*rkt) {
        rd_kafka_topic_destroy(*rkt);
    }
}

static int count_partitions(struct kafka_link *l, rd_kafka_topic_t *rkt, int32_t *ret,
                            struct err *err)
{
    _cleanup_(metadata_destroyp) const struct rd_kafka_metadata *md = NULL;
    const char *topic = rd_kafka_topic_name(rkt);
    struct kafka_fault f = {.code = rd_kafka_metadata(l->rk, 0, rkt, &md, KAFKA_LOOK_MS)};
    rd_kafka_poll(l->rk, 0);
    if (!f.code) {
        kafka_link_fine(l);
        f.code = md->topic_cnt == 1 ? md->topics[0].err
                                    : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    }
    if (f.code) {
        l->refusal = f.code;
        return kafka_link_fail(l, err, &f, NULL, "could not find topic '%s'", topic);
    }
    *ret = md->topics[0].partition_cnt;
    return 0;
}

static size_t size_in(const rd_kafka_event_t *ev)
{
    size_t n, entries;
    uint64_t bytes = 0;
    const rd_kafka_DescribeConfigs_result_t *r =
        rd_kafka_event_DescribeConfigs_result((rd_kafka_event_t *)ev);
    const rd_kafka_ConfigResource_t **found =
        r ? rd_kafka_DescribeConfigs_result_resources(r, &n) : NULL;
    if (!found || n != 1 || rd_kafka_ConfigResource_error(found[0])) {
        return 0; /* not allowed to ask: the broker will say */
    }
    const rd_kafka_ConfigEntry_t **entry =
        rd_kafka_ConfigResource_configs(found[0], &entries);
    for (size_t i = 0; i < entries; i++) {
        if (strcmp(rd_kafka_ConfigEntry_name(entry[i]), "max.message.bytes") == 0) {
            span_u64(span_str(rd_kafka_ConfigEntry_value(entry[i])), &bytes);
        }
    }
    return (size_t)bytes;
}

static size_t ask_size(struct kafka_link *l, const char *topic)
{
    char why[100];
    size_t bytes = 0;
    rd_kafka_queue_t *q = rd_kafka_queue_new(l->rk);
    rd_kafka_ConfigResource_t *res =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_AdminOptions_t *o =
        rd_kafka_AdminOptions_new(l->rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_AdminOptions_set_request_timeout(o, KAFKA_LOOK_MS, why, sizeof(why));
    rd_kafka_DescribeConfigs(l->rk, &res, 1, o, q);
    rd_kafka_event_t *ev = rd_kafka_queue_poll(q, KAFKA_LOOK_MS + 1000);
    if (ev) {
        bytes = size_in(ev);
        rd_kafka_event_destroy(ev);
    }
    rd_kafka_AdminOptions_destroy(o);
    rd_kafka_ConfigResource_destroy(res);
    rd_kafka_queue_destroy(q);
    return bytes;
}

int kafka_topic_look(struct kafka_link *l, const char *topic, bool sizes,
                     struct kafka_known *ret, struct err *err)
{
    struct kafka_known known = {0};
    struct kafka_fault bad_name = {.code = RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION};
    l->refusal = bad_name.code;
    if (!topic || !*topic || strlen(topic) >= KAFKA_TOPIC_MAX) {
        return kafka_fail(err, &bad_name, NULL, "could not find topic '%.80s'",
                          topic ? topic : "");
    }
    _cleanup_(topic_destroyp)
        rd_kafka_topic_t *rkt = rd_kafka_topic_new(l->rk, topic, NULL);
    if (!rkt) {
        return kafka_fail(err, &bad_name, NULL, "could not find topic '%s'", topic);
    }
    int rc = count_partitions(l, rkt, &known.partitions, err);
    if (rc < 0) {
        return rc;
    }
    snprintf(known.name, sizeof(known.name), "%s", topic);
    known.bytes_max = sizes ? ask_size(l, topic) : 0;
    known.rkt = TAKE_PTR(rkt);
    *ret = known;
    return 0;
}
