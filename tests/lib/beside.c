#include "tests/lib/beside.h"
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#define TOPICS_MAX 256
#define WAIT_MS    20000

static rd_kafka_t *open_client(const char *brokers, const char *group)
{
    char why[200];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof(why)) != 0 ||
        rd_kafka_conf_set(conf, "group.id", group, why, sizeof(why)) != 0) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
    if (!rk) {
        rd_kafka_conf_destroy(conf);
    }
    return rk;
}

static void delete_all(rd_kafka_t *rk, rd_kafka_DeleteTopic_t **topics, size_t n)
{
    rd_kafka_queue_t *q = rd_kafka_queue_new(rk);
    rd_kafka_DeleteTopics(rk, topics, n, NULL, q);
    rd_kafka_event_t *ev = rd_kafka_queue_poll(q, WAIT_MS);
    if (ev) {
        rd_kafka_event_destroy(ev);
    }
    rd_kafka_queue_destroy(q);
}

void beside_remove_topics(const char *brokers, const char *prefix)
{
    rd_kafka_DeleteTopic_t *topics[TOPICS_MAX];
    const struct rd_kafka_metadata *md = NULL;
    size_t n = 0;
    rd_kafka_t *rk = open_client(brokers, "beside");
    if (!rk) {
        return;
    }
    if (rd_kafka_metadata(rk, 1, NULL, &md, WAIT_MS) == 0) {
        for (int i = 0; i < md->topic_cnt && n < TOPICS_MAX; i++) {
            if (strncmp(md->topics[i].topic, prefix, strlen(prefix)) == 0) {
                topics[n++] = rd_kafka_DeleteTopic_new(md->topics[i].topic);
            }
        }
        rd_kafka_metadata_destroy(md);
    }
    if (n > 0) {
        delete_all(rk, topics, n);
        rd_kafka_DeleteTopic_destroy_array(topics, n);
    }
    rd_kafka_destroy(rk);
}

int64_t beside_committed(const char *brokers, const char *group, const char *topic,
                         int32_t partition)
{
    int64_t found = BESIDE_NONE - 1;
    rd_kafka_t *rk = open_client(brokers, group);
    if (!rk) {
        return found;
    }
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    const rd_kafka_topic_partition_t *one =
        rd_kafka_topic_partition_list_add(list, topic, partition);
    if (rd_kafka_committed(rk, list, WAIT_MS) == 0 && one->err == 0) {
        found = one->offset >= 0 ? one->offset : BESIDE_NONE;
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
    return found;
}
