/* Where a partition begins and ends, and where a time stands in it; the rules of kafka_int.h. */
#include "core/kafka_int.h"

/* By rd_kafka_offsets_for_times, whose times may be the two logical ones of the protocol:
 * rd_kafka_query_watermark_offsets has no end while a broker stands still (2.0.2). */
static struct kafka_fault ask_offset(struct kafka_link *l, const struct kafka_place *of,
                                     int64_t time, int timeout_ms, int64_t *ret)
{
    _cleanup_(kafka_list_destroyp)
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *one =
        rd_kafka_topic_partition_list_add(list, of->topic, of->partition);
    one->offset = time;
    struct kafka_fault f = {.code = rd_kafka_offsets_for_times(l->rk, list, timeout_ms)};
    f.code = f.code ? f.code : one->err;
    if (!f.code && one->offset < 0 && time < 0) {
        f.code = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
    }
    *ret = one->offset;
    return f;
}

int kafka_find_offset(struct kafka_link *l, const struct kafka_place *of, int64_t time,
                      int64_t *ret, struct err *err)
{
    int64_t deadline = kafka_now_ms() + KAFKA_LOOK_MS, offset = 0;
    for (;;) {
        int left = kafka_left_ms(deadline);
        struct kafka_fault f = ask_offset(l, of, time, MAX_OF(left, 1), &offset);
        bool again = kafka_fault_class(&f) == KAFKA_RETRY && left > 0;
        rd_kafka_poll(l->rk, again ? 20 : 0); /* a new topic's leader takes a moment */
        if (!f.code) {
            kafka_link_fine(l);
            *ret = offset;
            return 0;
        }
        if (!again) {
            return kafka_link_fail(l, err, &f, NULL,
                                   "could not find the ends of topic '%s', partition %d",
                                   of->topic, of->partition);
        }
    }
}

int kafka_admin_offset_at(struct kafka_admin *a, const struct kafka_place *of,
                          int64_t time_ms, int64_t *ret, struct err *err)
{
    int64_t offset = 0;
    int rc = kafka_find_offset(&a->link, of, MAX_OF(time_ms, 0), &offset, err);
    if (rc == 0 && offset < 0) { /* all of it is older */
        rc = kafka_find_offset(&a->link, of, RD_KAFKA_OFFSET_END, &offset, err);
    }
    if (rc == 0) {
        *ret = offset;
    }
    return rc;
}
