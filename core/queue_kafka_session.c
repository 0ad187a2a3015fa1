/*
 * queue_kafka_session.c - ownership: membership in the role's group, and what happens between an
 * assignment and its end.
 *
 *     AWAY -> ASSIGNED -> RESTORING -> HERE -> LEAVING -> AWAY, or ASSIGNED again
 *
 * The group only says who owns what; data is read by hand (queue_kafka_copies.c), so the
 * partitions of the group are paused for good. A session ends with a revocation (the role has
 * LINK_LEAVE_MS to stop and may still commit), with their loss to others, or with a failure
 * (commits fail at once). After a failure the partitions are still ours: the producer is made
 * anew, what was committed is read back, and the next session begins.
 */
#include "core/queue_kafka.h"
#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* ---- waiting ---- */

static void wait_ms(struct link *l, int64_t ms)
{
    int64_t until = link_now_ms() + ms;
    const struct timespec ts = {.tv_sec = until / 1000,
                                .tv_nsec = until % 1000 * 1000000};
    pthread_mutex_lock(&l->mu);
    while (!l->stop && pthread_cond_timedwait(&l->moved, &l->mu, &ts) == 0) {
    }
    pthread_mutex_unlock(&l->mu);
}

/* Words for people when it lasts, or at once where only they can help; then the next try after a
 * while. */
static void failed(struct link *l, const struct err *err)
{
    int64_t now = link_now_ms();
    bool first = l->fine_ms == 0;
    if (first) {
        l->fine_ms = now;
    }
    if ((first && err->retry == RETRY_NEVER) || now - l->fine_ms >= LINK_TROUBLE_MS) {
        link_say(l, err);
        l->fine_ms = now;
    }
    l->retry_ms = now + LINK_PAUSE_MS;
}

/* ---- the producer ---- */

static void on_delivery(void *ctx, const struct kafka_delivery *d)
{
    link_delivered(ctx, d);
}

int link_producer_make(struct link *l, struct err *err)
{
    const struct kafka_producer_conf conf = {
        .kafka = &l->kafka,
        .transactional_id = l->role == QUEUE_READER ? NULL : l->name,
        .delivered = on_delivery,
        .ctx = l,
    };
    struct kafka_producer *p = NULL;
    int r = kafka_producer_open(&p, &conf, err);
    if (r == 0 && conf.transactional_id) {
        r = kafka_producer_init(p, LINK_INIT_MS, err);
    }
    if (r < 0) {
        kafka_producer_destroy(p);
        return r;
    }
    pthread_mutex_lock(&l->mu);
    struct kafka_producer *old = l->producer;
    l->producer = p;
    pthread_mutex_unlock(&l->mu);
    kafka_producer_destroy(old);
    return 0;
}

static void producer_drop(struct link *l)
{
    pthread_mutex_lock(&l->commit_mu);
    pthread_mutex_lock(&l->mu);
    struct kafka_producer *old = TAKE_PTR(l->producer);
    pthread_mutex_unlock(&l->mu);
    kafka_producer_destroy(old);
    l->member_of = kafka_group_destroy(l->member_of);
    pthread_mutex_unlock(&l->commit_mu);
}

/* The client library has calls that ignore their time limit (librdkafka issue 5456). */
static void watch_producer(struct link *l)
{
    struct err err;
    pthread_mutex_lock(&l->mu);
    int64_t since = l->producer ? kafka_producer_since(l->producer) : 0;
    pthread_mutex_unlock(&l->mu);
    if (since > LINK_STUCK_MS && link_now_ms() - l->stuck_ms > LINK_STUCK_MS) {
        l->stuck_ms = link_now_ms();
        (void)err_set(&err, ERR_TEMP,
                      "could not commit: a call to Kafka has not returned for "
                      "%lld s",
                      (long long)since / 1000);
        err_hint(&err,
                 "if the brokers answer again and this stays, stop this process: what "
                 "was committed is safe");
        link_say(l, &err);
    }
}

/* ---- leaving ---- */

static void leave(struct link *l, bool planned, const struct err *why)
{
    struct err lost = {0};
    if (!planned) {
        lost = *why;
        if (lost.code == 0) {
            (void)err_set(&lost, ERR_TEMP,
                          "could not keep its partitions: others own them");
        }
        commits_fail(l->q, &lost);
    }
    pthread_mutex_lock(&l->mu);
    l->released |= l->state != LINK_HERE && l->state != LINK_LEAVING;
    l->planned = planned;
    l->why = lost;
    l->failed = false;
    pthread_mutex_unlock(&l->mu);
    l->leave_ms = link_now_ms() + LINK_LEAVE_MS;
    link_state(l, LINK_LEAVING);
}

static void close_session(struct link *l)
{
    struct err moved;
    (void)err_set(&moved, ERR_TEMP,
                  "could not commit: its partitions were given to others");
    commits_fail(l->q, &moved);
    producer_drop(l);
    link_copies_forget(l);
    l->source = kafka_consumer_destroy(l->source);
    copy_clear(l->slice);
}

static void let_go(struct link *l)
{
    struct err err;
    close_session(l);
    if (!l->answer) {
        l->retry_ms = link_now_ms() + LINK_PAUSE_MS;
        link_state(l, l->owned.n ? LINK_ASSIGNED : LINK_AWAY);
        return;
    }
    l->answer = false;
    l->owned.n = 0;
    (void)kafka_consumer_give(l->member, &err);
    link_state(l, LINK_AWAY);
}

/* ---- membership ---- */

static int by_number(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int take(struct link *l, const struct kafka_event *ev, struct err *err)
{
    struct kafka_place *places = calloc(ev->n + 1, sizeof(*places));
    uint32_t *owned = calloc(ev->n + 1, sizeof(*owned));
    int r = places && owned ? 0 : store_error(l->q->dir, "open", ENOMEM, err);
    for (size_t i = 0; r == 0 && i < ev->n; i++) {
        places[i] = ev->places[i];
        places[i].offset = KAFKA_BEGINNING;
        owned[i] = (uint32_t)ev->places[i].partition;
        r = kafka_consumer_pause(l->member, places[i].topic, places[i].partition, err);
    }
    if (r == 0) {
        r = kafka_consumer_take(l->member, places, ev->n, err);
    }
    free(places);
    if (r < 0) {
        free(owned);
        return r;
    }
    qsort(owned, ev->n, sizeof(*owned), by_number); /* never NULL: room for one more */
    free(l->owned.v);
    l->owned = (struct link_assigned){owned, ev->n};
    l->fine_ms = l->retry_ms = 0;
    link_state(l, ev->n ? LINK_ASSIGNED : LINK_AWAY);
    return 0;
}

static void on_revoked(struct link *l, bool lost)
{
    struct err none = {0}, err;
    l->answer = true;
    switch (l->state) {
    case LINK_AWAY:
        l->answer = false;
        (void)kafka_consumer_give(l->member, &err);
        break;
    case LINK_LEAVING:
        if (!lost || !l->planned) {
            break;
        }
        leave(l, false, &none);
        break;
    case LINK_ASSIGNED:
    case LINK_RESTORING:
    case LINK_HERE: leave(l, !lost, &none); break;
    case LINK_OUT: break;
    }
}

static void on_member(struct link *l, const struct kafka_event *ev, struct err *err)
{
    int r = 0;
    switch (ev->what) {
    case KAFKA_ASSIGNED:
        l->astray = false;
        l->fenced = 0;
        r = take(l, ev, err);
        break;
    case KAFKA_REVOKED: on_revoked(l, false); break;
    case KAFKA_LOST:
        l->astray = true;
        on_revoked(l, true);
        break;
    case KAFKA_TROUBLE: link_say(l, err); break;
    case KAFKA_RECORD:
    case KAFKA_END: break; /* its partitions are paused: what is read is read by hand */
    }
    if (r < 0) {
        failed(l, err);
    }
}

/* Is it another process that has our name? A member that was taken for dead joins anew, and while
 * it is at it librdkafka 2.0.2 may send a heartbeat without a member id: the broker answers that
 * as if two had the name. Joined once more, it has it; if there are two, the other is fenced. */
static bool is_other(struct link *l, int class)
{
    return class == -(int)KAFKA_FENCED && (!l->astray || ++l->fenced > LINK_FENCED_TRIES);
}

static void member_gone(struct link *l, int class, const struct err *why)
{
    l->member = kafka_consumer_destroy(l->member);
    l->answer = false;
    l->owned.n = 0;
    if (is_other(l, class)) {
        commits_fail(l->q, why);
        pthread_mutex_lock(&l->mu);
        l->why = *why;
        pthread_mutex_unlock(&l->mu);
        link_state(l, LINK_OUT);
    } else if (l->state != LINK_AWAY) {
        leave(l, false, why);
    }
    failed(l, why);
}

static void poll_member(struct link *l, int timeout_ms)
{
    struct kafka_event ev;
    struct err err = {0};
    int r = kafka_consumer_poll(l->member, timeout_ms, &ev, &err);
    if (r > 0) {
        on_member(l, &ev, &err);
    } else if (r < 0) {
        member_gone(l, r, &err);
    }
}

static int join_group(struct link *l, struct err *err)
{
    const struct store_name shared = {.kind = 'T'};
    const struct kafka_consumer_conf conf = {.kafka = &l->kafka,
                                             .group = l->group,
                                             .topic = l->shared,
                                             .instance = l->instance,
                                             .session_ms = l->session_ms};
    struct store_name of = shared;
    const char *name = topics_shared(l->role);
    memcpy(of.name, name, strlen(name) + 1);
    pthread_mutex_lock(&l->commit_mu);
    int r = link_ensure(l, &of, err);
    pthread_mutex_unlock(&l->commit_mu);
    return r < 0 ? r : kafka_consumer_open(&l->member, &conf, err);
}

/* ---- the turns ---- */

static int begin_session(struct link *l, struct err *err)
{
    const struct kafka_consumer_conf conf = {.kafka = &l->kafka, .wait_ms = 50};
    pthread_mutex_lock(&l->mu);
    l->released = l->failed = false;
    pthread_mutex_unlock(&l->mu);
    pthread_mutex_lock(&l->commit_mu);
    int r = link_producer_make(l, err);
    if (r == 0) {
        l->member_of = kafka_group_destroy(l->member_of);
        r = kafka_consumer_group(l->member, &l->member_of, err);
    }
    pthread_mutex_unlock(&l->commit_mu);
    if (r == 0 && !l->source) {
        r = kafka_consumer_open(&l->source, &conf, err);
    }
    l->logs = false;
    return r < 0 ? r : link_restore_begin(l, true, err);
}

static void turn_assigned(struct link *l)
{
    struct err err = {0};
    poll_member(l, l->retry_ms ? 100 : 0);
    if (l->state != LINK_ASSIGNED || link_now_ms() < l->retry_ms) {
        return;
    }
    if (begin_session(l, &err) < 0) {
        close_session(l);
        failed(l, &err);
        return;
    }
    link_state(l, LINK_RESTORING);
}

static int restore_on(struct link *l, struct err *err)
{
    int r = link_pump(l, 20, err);
    if (r < 0 || !link_restored(l)) {
        return r;
    }
    if (!l->logs) {
        l->logs = true;
        return link_restore_begin(l, false, err);
    }
    r = link_restore_end(l, err);
    if (r < 0) {
        return r;
    }
    l->topics_ms = link_now_ms();
    l->fine_ms = l->retry_ms = 0;
    link_state(l, LINK_HERE);
    return 0;
}

static void turn_restoring(struct link *l)
{
    struct err err = {0};
    poll_member(l, 0);
    if (l->state == LINK_RESTORING && restore_on(l, &err) < 0) {
        leave(l, false, &err);
        failed(l, &err);
    }
}

static int look_around(struct link *l, struct err *err)
{
    int64_t now = link_now_ms();
    pthread_mutex_lock(&l->mu);
    int64_t every_ms = l->look_again ? LINK_AGAIN_MS : LINK_TOPICS_MS;
    bool due = now - l->topics_ms >= every_ms;
    l->look_again &= !due;
    pthread_mutex_unlock(&l->mu);
    if (!due) {
        return 0;
    }
    l->topics_ms = now;
    int r = link_find_new(l, err);
    return r < 0 ? r : link_drop_done(l, err);
}

static int work_on(struct link *l, struct err *err)
{
    int r = link_begin_asked(l, err);
    if (r == 0) {
        r = link_pump(l, 25, err);
    }
    if (r >= 0) {
        r = link_windows(l, err);
    }
    link_takes_look(l);
    if (r >= 0) {
        r = look_around(l, err);
    }
    if (r >= 0) {
        link_trim_some(l);
    }
    return r;
}

static void turn_here(struct link *l)
{
    struct err err = {0};
    poll_member(l, 0);
    watch_producer(l);
    pthread_mutex_lock(&l->mu);
    bool broken = l->failed;
    err = l->why;
    pthread_mutex_unlock(&l->mu);
    if (l->state != LINK_HERE) {
        return;
    }
    if (broken) {
        leave(l, false, &err);
        return;
    }
    err.code = 0;
    if (work_on(l, &err) < 0) {
        leave(l, false, &err);
        failed(l, &err);
    }
}

static void turn_leaving(struct link *l)
{
    struct err err;
    if (l->member) {
        poll_member(l, 5);
    }
    watch_producer(l);
    if (l->source && l->planned) {
        (void)link_pump(l, 5, &err); /* the role's last commits want to be seen */
    } else if (!l->member) {
        wait_ms(l, 5);
    }
    pthread_mutex_lock(&l->mu);
    bool go = l->released || l->stop;
    pthread_mutex_unlock(&l->mu);
    go = go && (!l->planned || commits_idle(l->q)); /* the role's last words */
    if (l->state == LINK_LEAVING && (go || link_now_ms() >= l->leave_ms)) {
        let_go(l);
    }
}

static void turn_away(struct link *l)
{
    struct err err = {0};
    if (l->member) {
        poll_member(l, 50);
        return;
    }
    if (link_now_ms() < l->retry_ms) {
        wait_ms(l, l->retry_ms - link_now_ms());
        return;
    }
    if (join_group(l, &err) < 0) {
        failed(l, &err);
    }
}

void link_session_turn(struct link *l)
{
    switch (l->state) {
    case LINK_AWAY: turn_away(l); break;
    case LINK_ASSIGNED: turn_assigned(l); break;
    case LINK_RESTORING: turn_restoring(l); break;
    case LINK_HERE: turn_here(l); break;
    case LINK_LEAVING: turn_leaving(l); break;
    case LINK_OUT: wait_ms(l, 1000); break;
    }
}

/* A scheduler's successor may begin at once. A worker keeps its place for a while: what it owns
 * would have to be restored elsewhere, and again here when it comes back. */
void link_session_end(struct link *l)
{
    struct err err;
    link_trim_some(l);
    close_session(l);
    if (l->answer && l->member) {
        (void)kafka_consumer_give(l->member, &err);
    }
    if (l->member && l->role != QUEUE_WORKER) {
        kafka_consumer_leave(l->member);
    }
    l->member = kafka_consumer_destroy(l->member);
}

void link_session_failed(struct link *l, const struct err *why)
{
    pthread_mutex_lock(&l->mu);
    l->failed = true;
    l->why = *why;
    pthread_mutex_unlock(&l->mu);
}
