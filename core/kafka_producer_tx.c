/* The transactions of a producer: begin, commit with offsets, abort. */
#include "core/kafka_int.h"

#define INIT_SLICE_MS 1000 /* how soon refused credentials are seen */

int kafka_producer_init(struct kafka_producer *p, int timeout_ms, struct err *err)
{
    int64_t deadline = kafka_now_ms() + timeout_ms;
    _cleanup_(kafka_producer_leavep) struct kafka_producer *in = kafka_producer_enter(p);
    (void)in;
    for (;;) {
        int slice = MIN_OF(INIT_SLICE_MS, kafka_left_ms(deadline));
        rd_kafka_error_t *e = rd_kafka_init_transactions(p->link.rk, MAX_OF(slice, 1));
        rd_kafka_poll(p->link.rk, 0);
        if (!e) {
            kafka_link_fine(&p->link);
            return 0;
        }
        struct kafka_fault f = kafka_fault_of(e);
        bool again = f.retriable && p->link.trouble != KAFKA_AUTH &&
                     kafka_left_ms(deadline) > 0;
        int rc = 0;
        if (!again) {
            char id[KAFKA_TOPIC_MAX];
            kafka_handle_setting(p->link.rk, "transactional.id", id, sizeof(id));
            rc = kafka_link_fail(&p->link, err, &f, rd_kafka_error_string(e),
                                 "could not begin to write to Kafka as '%s'", id);
        }
        rd_kafka_error_destroy(e);
        if (!again) {
            return rc;
        }
    }
}

int kafka_producer_begin(struct kafka_producer *p, struct err *err)
{
    if (p->spent || p->ended) {
        return kafka_fail_class(err, KAFKA_REMAKE,
                                "could not begin a transaction: this producer is spent");
    }
    rd_kafka_error_t *e = rd_kafka_begin_transaction(p->link.rk);
    if (e) {
        struct kafka_fault f = kafka_fault_of(e);
        int rc = kafka_link_fail(&p->link, err, &f, rd_kafka_error_string(e),
                                 "could not begin a transaction");
        rd_kafka_error_destroy(e);
        return rc;
    }
    kafka_producer_forget(p);
    p->open = true;
    return 0;
}

static int send_offsets(struct kafka_producer *p, const struct kafka_commit *what,
                        int64_t deadline, struct err *err)
{
    _cleanup_(kafka_list_destroyp) rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)what->n);
    for (size_t i = 0; i < what->n; i++) {
        rd_kafka_topic_partition_list_add(list, what->offsets[i].topic,
                                          what->offsets[i].partition)
            ->offset = what->offsets[i].offset;
    }
    for (;;) {
        int left = kafka_left_ms(deadline);
        rd_kafka_error_t *e = rd_kafka_send_offsets_to_transaction(
            p->link.rk, list, (const rd_kafka_consumer_group_metadata_t *)what->group,
            MAX_OF(left, 1));
        if (!e) {
            return 0;
        }
        struct kafka_fault f = kafka_fault_of(e);
        bool late = f.code == RD_KAFKA_RESP_ERR__TIMED_OUT ||
                    kafka_left_ms(deadline) == 0;
        int rc = kafka_link_fail(&p->link, err, &f, rd_kafka_error_string(e),
                                 "could not commit offsets of topic '%s'",
                                 what->offsets[0].topic);
        rd_kafka_error_destroy(e);
        if (!f.retriable || f.requires_abort) {
            return rc;
        }
        if (late) { /* the request may still arrive: only another producer is safe from it */
            return kafka_fail_class(
                err, KAFKA_REMAKE,
                "could not commit offsets of topic '%s': no answer in time",
                what->offsets[0].topic);
        }
        rd_kafka_poll(p->link.rk, 10);
    }
}

int kafka_producer_end(struct kafka_producer *p, int64_t deadline_ms, struct err *err)
{
    p->ended = true;
    rd_kafka_error_t *e =
        rd_kafka_commit_transaction(p->link.rk, MAX_OF(kafka_left_ms(deadline_ms), 1));
    if (!e) {
        p->ended = p->open = false;
        kafka_link_fine(&p->link);
        return 0;
    }
    struct kafka_fault f = kafka_fault_of(e);
    int rc = kafka_link_fail(&p->link, err, &f, rd_kafka_error_string(e),
                             "could not commit a transaction");
    rd_kafka_error_destroy(e);
    if (f.requires_abort) {
        p->ended = false;
        return rc == -KAFKA_REFUSED ? kafka_producer_refuse(p, &f, err) : rc;
    }
    if (f.fatal) {
        return rc;
    }
    return kafka_fail_class(err, KAFKA_REMAKE,
                            "could not commit a transaction: no answer in time, "
                            "it may have been committed");
}

int kafka_producer_commit(struct kafka_producer *p, const struct kafka_commit *commit,
                          int timeout_ms, struct err *err)
{
    int64_t deadline = kafka_now_ms() + timeout_ms;
    _cleanup_(kafka_producer_leavep) struct kafka_producer *in = kafka_producer_enter(p);
    (void)in;
    if (!p->open || (commit->n > 0 && !commit->group)) {
        return kafka_fail_class(err, KAFKA_WRONG, "could not commit a transaction: %s",
                                p->open ? "offsets need a group" : "none is open");
    }
    bool flushed = rd_kafka_flush(p->link.rk, timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (p->failed > 0) {
        return kafka_producer_outcome(p, err);
    }
    if (!flushed) {
        struct kafka_fault f = {.code = RD_KAFKA_RESP_ERR__MSG_TIMED_OUT};
        return kafka_link_fail(&p->link, err, &f, NULL, "could not commit a transaction");
    }
    int rc = commit->n > 0 ? send_offsets(p, commit, deadline, err) : 0;
    return rc < 0 ? rc : kafka_producer_end(p, deadline, err);
}

int kafka_producer_abort(struct kafka_producer *p, int timeout_ms, struct err *err)
{
    _cleanup_(kafka_producer_leavep) struct kafka_producer *in = kafka_producer_enter(p);
    (void)in;
    if (!p->open || p->ended) {
        return kafka_fail_class(err, p->ended ? KAFKA_REMAKE : KAFKA_WRONG,
                                "could not abort a transaction: %s",
                                p->ended ? "it may have been committed" : "none is open");
    }
    p->open = false;
    rd_kafka_error_t *e = rd_kafka_abort_transaction(p->link.rk, MAX_OF(timeout_ms, 1));
    if (!e) {
        return p->spent ? 1 : 0;
    }
    /* No commit was ever asked for, so none can happen: the next init aborts what is left. Of one whose
     * first topic was refused the broker knows nothing, and says so. */
    struct kafka_fault f = kafka_fault_of(e);
    bool harmless = p->refusal.entered || !f.fatal ||
                    f.code == RD_KAFKA_RESP_ERR_INVALID_TXN_STATE;
    int rc = kafka_link_fail(&p->link, err, &f, rd_kafka_error_string(e),
                             "could not abort a transaction");
    rd_kafka_error_destroy(e);
    p->spent = true;
    return harmless ? 1 : rc;
}
