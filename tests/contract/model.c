/*
 * A random walk over puts, deliveries, acks, pauses, trims and restarts, against a model that
 * keeps everything in plain arrays. The seed is fixed, so a failure repeats.
 */
#include "tests/contract/contract.h"

enum { TOPICS = 3, RECORDS_MAX = 4000 };

struct model_topic {
    char name[24];
    int end, next; /* next: what the feed gives next, acked ones skipped */
    int first;
    bool acked[RECORDS_MAX], given[RECORDS_MAX], paused;
};

struct model {
    struct world *w;
    struct queue_feed *feed;
    struct model_topic topics[TOPICS];
    uint64_t seed;
};

static int pick(struct model *m, int n)
{
    m->seed = m->seed * 6364136223846793005u + 1442695040888963407u;
    return (int)((m->seed >> 33) % (uint64_t)n);
}

static int model_low(const struct model_topic *t)
{
    int low = 0;
    while (low < t->end && t->acked[low]) {
        low++;
    }
    return low;
}

static void step_put(struct model *m, struct model_topic *t)
{
    struct queue_tx *tx = begin(m->w);
    for (int n = 1 + pick(m, 4); n > 0 && t->end < RECORDS_MAX; n--) {
        char value[48];
        (void)snprintf(value, sizeof(value), "%s %d", t->name, t->end++);
        put(m->w, tx, t->name, value);
    }
    commit(m->w, tx);
}

/* Whatever topic it comes from, it is the next one of that topic. */
static void step_next(struct model *m)
{
    struct queue_msg msg;
    bool any = false;
    int r = OK(m->w, queue_next(m->feed, &msg, &m->w->err));
    for (int i = 0; i < TOPICS; i++) {
        struct model_topic *t = &m->topics[i];
        while (t->next < t->end && t->acked[t->next]) {
            t->next++;
        }
        bool ready = !t->paused && t->next < t->end;
        any |= ready;
        if (r == 0 || strcmp(msg.at.topic, t->name) != 0) {
            continue;
        }
        char want[48];
        (void)snprintf(want, sizeof(want), "%s %d", t->name, t->next);
        assert_true(ready);
        assert_int_equal(index_of(m->w, msg.at.topic, msg.at.offset), t->next);
        assert_span(msg.value, span_str(want));
        t->given[t->next++] = true;
    }
    assert_int_equal(r, any);
}

static void step_ack(struct model *m, struct model_topic *t)
{
    struct queue_tx *tx = begin(m->w);
    bool drop = pick(m, 5) == 0;
    for (int n = 1 + pick(m, 6); n > 0 && t->end > 0; n--) {
        int at = pick(m, 3) ? model_low(t) : pick(m, t->end);
        if (at < t->end && t->given[at]) {
            ack(m->w, tx, t->name, (uint64_t)at);
            t->acked[at] |= !drop;
        }
    }
    if (drop) {
        queue_tx_drop(tx);
    } else {
        commit(m->w, tx);
    }
}

static void step_pause(struct model *m, struct model_topic *t)
{
    if (t->paused) {
        t->paused = false;
        assert_int_equal(queue_resume(m->feed, t->name, 0), 0);
    } else if (t->next > t->first) { /* the feed has met it */
        t->paused = true;
        t->next = pick(m, t->next + 1);
        assert_int_equal(
            queue_pause(m->feed, t->name, 0, nth(m->w, t->name, (uint64_t)t->next)), 0);
    }
}

static void step_trim(struct model *m, struct model_topic *t)
{
    struct queue_tx *tx = begin(m->w);
    int before = pick(m, t->end + 1);
    int low = model_low(t);
    OK(m->w,
       queue_trim(tx, t->name, 0, nth(m->w, t->name, (uint64_t)before), &m->w->err));
    commit(m->w, tx);
    int limit = before < low ? before : low;
    t->first = limit > t->first ? limit : t->first;
}

static void check_bounds(struct model *m)
{
    struct queue_cursor *c = cursor_on(m->w);
    for (int i = 0; i < TOPICS; i++) {
        const struct model_topic *t = &m->topics[i];
        uint64_t first = 0, end = 0;
        if (OK(m->w, queue_bounds(c, t->name, 0, &first, &end, &m->w->err))) {
            assert_int_equal(index_of(m->w, t->name, first), t->first);
            assert_int_equal(index_of(m->w, t->name, end), t->end);
            assert_int_equal(low_of(m->w, m->feed, t->name), model_low(t));
        }
    }
    queue_cursor_close(c);
}

static void step_restart(struct model *m)
{
    queue_feed_close(m->feed);
    reopen_owner(m->w);
    m->feed = feed_on(m->w, "jobs.");
    for (int i = 0; i < TOPICS; i++) {
        m->topics[i].next = 0;
        m->topics[i].paused = false;
    }
}

static void a_random_walk_agrees_with_the_model(void **state)
{
    static struct model m;
    memset(&m, 0, sizeof(m));
    m.w = *state;
    m.seed = 20261121;
    for (int i = 0; i < TOPICS; i++) {
        (void)snprintf(m.topics[i].name, sizeof(m.topics[i].name), "jobs.t.%d", i);
    }
    open_owner(m.w);
    m.feed = feed_on(m.w, "jobs.");
    for (int i = 0; i < m.w->engine->steps; i++) {
        struct model_topic *t = &m.topics[pick(&m, TOPICS)];
        int dice = pick(&m, 100);
        if (dice < 15) {
            step_put(&m, t);
        } else if (dice < 60) {
            step_next(&m);
        } else if (dice < 90) {
            step_ack(&m, t);
        } else if (dice < 95) {
            step_pause(&m, t);
        } else if (dice < 98) {
            step_trim(&m, t);
        } else if (dice == 98) {
            check_bounds(&m);
        } else if (pick(&m, 4) == 0) {
            step_restart(&m);
        }
    }
    check_bounds(&m);
    queue_feed_close(m.feed);
}

const struct promise model_promises[] = {
    PROMISE(a_random_walk_agrees_with_the_model),
    {0},
};
