/* Who is at work in a group: the part of kafka.h that asks its coordinator. */
#include "core/kafka_int.h"

#include <time.h>

#define AGAIN_MS 50
#define ONCE_MS  1000

static int members_of(const struct kafka_request *r, const char *group, struct err *err)
{
    size_t n = 0;
    const rd_kafka_ConsumerGroupDescription_t **found =
        rd_kafka_DescribeConsumerGroups_result_groups(
            rd_kafka_event_DescribeConsumerGroups_result(r->reply), &n);
    const rd_kafka_error_t *why =
        n == 1 ? rd_kafka_ConsumerGroupDescription_error(found[0]) : NULL;
    int code = n == 1 ? rd_kafka_error_code(why) : RD_KAFKA_RESP_ERR__FAIL;
    if (code == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND) {
        return 0; /* newer brokers say so of a group that nobody has joined yet */
    }
    if (code) {
        return kafka_refused(err, code, why ? rd_kafka_error_string(why) : NULL,
                             "look at group", group);
    }
    return (int)rd_kafka_ConsumerGroupDescription_member_count(found[0]);
}

static int ask_once(struct kafka_admin *a, const char *group, struct err *err)
{
    _cleanup_(kafka_request_finip) struct kafka_request r;
    char why[100];
    kafka_request_init(&r, a, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS);
    rd_kafka_AdminOptions_set_request_timeout(r.options, ONCE_MS, why, sizeof(why));
    rd_kafka_DescribeConsumerGroups(a->link.rk, &group, 1, r.options, r.q);
    int rc = kafka_request_wait(&r, "look at group", group, err);
    return rc < 0 ? rc : members_of(&r, group, err);
}

/* A broker that has just started loads its groups first; the first question of all makes the topic
 * that they stand in, and librdkafka 2.0.2 does not hear when that is there. */
int kafka_admin_members(struct kafka_admin *a, const char *group, struct err *err)
{
    const struct timespec pause = {.tv_nsec = AGAIN_MS * 1000 * 1000};
    int64_t until = kafka_now_ms() + KAFKA_LOOK_MS;
    int rc = ask_once(a, group, err);
    while ((rc == -(int)KAFKA_RETRY || rc == -(int)KAFKA_DOWN) &&
           kafka_now_ms() < until) {
        nanosleep(&pause, NULL);
        rc = ask_once(a, group, err);
    }
    return rc;
}
