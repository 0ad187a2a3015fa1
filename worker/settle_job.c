/* One job's end: the group of records that is committed together. */
#include "worker/settle_slice.h"

#include "core/loop.h"
#include "core/prices.h"

#define SPEND_ID_MAX 4096 /* a longer custom_id is echoed in the result only */

static void count(struct settle_counts *n, const struct outcome *o)
{
    switch (o->status) {
    case STATUS_OK:
        n->paid += o->paid;
        n->joined += !o->paid && o->source == SOURCE_FLIGHT;
        n->hits += !o->paid && o->source == SOURCE_CACHE;
        break;
    case STATUS_FAILED: n->failed++; break;
    case STATUS_CANCELLED: n->cancelled++; break;
    case STATUS_REJECTED: n->rejected++; break;
    }
}

/* Fills s->head and s->result; a result the store would refuse becomes a failed one. */
static int build_result(struct settle *s, const struct ending *e, struct span id)
{
    char topic[QUEUE_NAME_MAX];
    topic_results(e->release->team, topic);
    size_t max = queue_value_max(s->conf.queue, topic);
    if (record_result(e->release, id, e->outcome, &s->head, &s->result) == 0 &&
        s->result.n <= max) {
        return 0;
    }
    outcome_too_large(e->outcome, e->outcome->body.n + e->outcome->error.n + id.n, max);
    if (id.n > SPEND_ID_MAX) {
        id = SPAN_NONE;
    }
    return record_result(e->release, id, e->outcome, &s->head, &s->result);
}

struct pricing settle_pricing(const struct settle *s, enum lane lane)
{
    bool pool = lane == LANE_POOL && s->conf.pool_prices;
    return (struct pricing){
        .book = pool ? s->conf.pool_prices : s->conf.prices,
        .provider = pool ? PROVIDER_POOL : s->conf.provider,
    };
}

/* Into s->spend_head and s->spend. */
static int build_spend(struct settle *s, const struct ending *e, const char *account)
{
    struct span id = record_custom_id(e->release, e->line);
    struct pricing p = settle_pricing(s, e->release->lane);
    bool pool = e->release->lane == LANE_POOL;
    const struct record_frame frame = {
        .provider = p.provider,
        .account = account ? account
                   : pool  ? s->conf.pool_account
                           : s->conf.account,
        .prices = price_book_version(p.book),
        .now_ms = loop_wall_ms(s->conf.loop),
    };
    if (id.n > SPEND_ID_MAX) {
        id = SPAN_NONE;
    }
    return record_spend(&frame, e->release, id, e->outcome, &s->spend_head, &s->spend);
}

int settle_put_spend(struct settle *s, struct queue_tx *tx, const struct ending *e,
                     const char *account, struct err *err)
{
    if (build_spend(s, e, account) < 0) {
        return err_set(err, ERR_FAIL, "could not write the spend record of job '%s'",
                       e->release->job);
    }
    return queue_put(tx, QUEUE_TO(TOPIC_SPEND, 0, span_str(e->release->team)),
                     buf_span(&s->spend_head), buf_span(&s->spend), err);
}

static int put_dead(struct settle *s, struct queue_tx *tx, const struct ending *e,
                    struct err *err)
{
    char topic[QUEUE_NAME_MAX];
    if (record_dead(e->release, e->outcome, &s->head) < 0) {
        return err_set(err, ERR_FAIL, "could not write the dead letter of job '%s'",
                       e->release->job);
    }
    topic_dead(e->release->team, topic);
    bool fits = e->line.n <= queue_value_max(s->conf.queue, topic);
    return queue_put(tx, QUEUE_TO(topic, 0, span_str(e->release->job)),
                     buf_span(&s->head), fits ? e->line : SPAN_NONE, err);
}

static int put_answer(struct settle *s, struct queue_tx *tx, const struct ending *e,
                      struct err *err)
{
    const struct digest *key = &e->release->key;
    return queue_table_put(tx, TABLE_ANSWERS, place_partition(e->at),
                           span_of(key->b, sizeof(key->b)), buf_span(&s->answer), err);
}

static int put_all(struct settle *s, struct queue_tx *tx, const struct ending *e,
                   struct err *err)
{
    const struct release *r = e->release;
    const struct queue_at at = place_at(e->at);
    char topic[QUEUE_NAME_MAX];
    topic_results(r->team, topic);
    int rc = queue_put(tx, QUEUE_TO(topic, 0, span_str(r->job)), buf_span(&s->head),
                       buf_span(&s->result), err);
    if (rc >= 0) {
        rc = queue_put(tx, QUEUE_TO(TOPIC_SPEND, 0, span_str(r->team)),
                       buf_span(&s->spend_head), buf_span(&s->spend), err);
    }
    if (rc >= 0 && e->store) {
        rc = put_answer(s, tx, e, err);
    }
    if (rc >= 0 && e->outcome->dead) {
        rc = put_dead(s, tx, e, err);
    }
    return rc < 0 ? rc : queue_ack(tx, &at, err);
}

static int build_all(struct settle *s, const struct ending *e, struct err *err)
{
    struct span id = record_custom_id(e->release, e->line);
    buf_reset(&s->answer);
    if (build_result(s, e, id) < 0 ||
        (e->store && answer_encode(e->store, &s->answer) < 0) ||
        build_spend(s, e, NULL) < 0) {
        return err_set(err, ERR_FAIL, "could not write the result of job '%s'",
                       e->release->job);
    }
    return 0;
}

int settle_job(struct settle *s, const struct ending *e)
{
    struct err err = {0}, why = {0};
    struct part *part = NULL;
    struct takes max = {SIZE_MAX, SIZE_MAX};
    bool refused = settle_takes(s, e->release->team, &max, &why) < 0;
    if (build_all(s, e, &err) < 0) {
        done_free(e->done);
        return settle_stop(s, &err);
    }
    size_t dead = e->outcome->dead ? e->line.n : 0;
    size_t bytes = s->result.n + s->answer.n + SLICE_SPEND + dead;
    int rc = refused ? settle_held_for(s, e, bytes, &why, &part)
                     : settle_slice_for(s, e->release->team, bytes, &part);
    if (!part) { /* there was no room to hold it, or no memory */
        done_free(e->done);
        return rc;
    }
    if (e->done) {
        done_list_add(&part->done, e->done);
    }
    if (put_all(s, part->tx, e, &err) < 0) {
        return settle_stop(s, &err);
    }
    count(&s->counts, e->outcome);
    part->largest.result = MAX_OF(part->largest.result, s->result.n);
    part->largest.dead = MAX_OF(part->largest.dead, dead <= max.dead ? dead : 0);
    if (refused) {
        settle_held_added(s, part, bytes);
    } else {
        settle_slice_added(s, part, bytes);
    }
    return 0;
}
