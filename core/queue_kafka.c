/*
 * queue_kafka.c - the link to a broker: opening and closing it, its thread, and what the loop is
 * told of ownership.
 */
#include "core/queue_kafka.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

int64_t link_now_ms(void)
{
    const struct clock real = clock_real();
    return clock_mono_ms(&real);
}

void link_tell(struct link *l)
{
    if (l->wake) {
        loop_wake_send(l->wake);
    }
}

void link_state(struct link *l, enum link_state state)
{
    pthread_mutex_lock(&l->mu);
    l->state = state;
    pthread_cond_broadcast(&l->moved);
    pthread_mutex_unlock(&l->mu);
    link_tell(l);
}

void link_say(struct link *l, const struct err *trouble)
{
    pthread_mutex_lock(&l->mu);
    l->trouble = *trouble;
    l->fine = false;
    pthread_mutex_unlock(&l->mu);
    link_tell(l);
}

void link_say_fine(struct link *l)
{
    pthread_mutex_lock(&l->mu);
    l->fine = true;
    pthread_mutex_unlock(&l->mu);
    link_tell(l);
}

/* ---- the loop's side ---- */

/* What is shared out among the workers, and what stands beside it. */
static int assign(struct link *l, struct err *err)
{
    size_t n;
    const struct topic_spec *specs = topics_all(&n);
    uint32_t all[TOPICS_SPREAD];
    for (uint32_t i = 0; i < TOPICS_SPREAD; i++) {
        all[i] = i;
    }
    for (size_t i = 0; i < n; i++) {
        bool worker = l->role == QUEUE_WORKER;
        if (!specs[i].keyed) {
            continue;
        }
        int r = queue_assign(l->q, specs[i].name, (uint32_t)specs[i].partitions,
                             worker ? l->owned.v : all,
                             worker ? l->owned.n : TOPICS_SPREAD, err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static void call(struct link *l, enum queue_ownership what, const struct err *err)
{
    if (l->on_owner) {
        l->on_owner(l->owner_ctx, what, err && err->code ? err : NULL);
    }
}

/* What changed since the loop was told last; the role is called without a lock held. */
static void tell_state(struct link *l)
{
    struct err err = {0};
    pthread_mutex_lock(&l->mu);
    enum link_state state = l->state;
    struct err why = l->why;
    if (state == LINK_LEAVING && l->told == QUEUE_NOT_YET) {
        l->released = true; /* the role never began */
        pthread_cond_broadcast(&l->moved);
    }
    pthread_mutex_unlock(&l->mu);
    if (state == LINK_HERE && l->told == QUEUE_NOT_YET && assign(l, &err) == 0) {
        l->told = QUEUE_READY;
        atomic_store(&l->q->owner, true);
        call(l, QUEUE_READY, NULL);
    } else if (state == LINK_OUT && l->told != QUEUE_FENCED) {
        l->told = QUEUE_FENCED;
        atomic_store(&l->q->owner, false);
        call(l, QUEUE_FENCED, &why);
    } else if (state != LINK_HERE && state != LINK_OUT && l->told == QUEUE_READY) {
        l->told = QUEUE_LOST;
        call(l, QUEUE_LOST, &why);
    }
}

static void turn(struct link *l)
{
    struct err trouble;
    pthread_mutex_lock(&l->mu);
    trouble = l->trouble;
    l->trouble.code = 0;
    bool fine = l->fine;
    l->fine = false;
    pthread_mutex_unlock(&l->mu);
    if (trouble.code || fine) {
        call(l, QUEUE_NOT_YET, &trouble);
    }
    tell_state(l);
}

static void on_wake(void *ctx)
{
    struct queue *q = CAST_CTX(queue, ctx, QUEUE_MAGIC);
    turn(q->link);
    watch_notify(q);
}

enum queue_ownership queue_ownership(struct queue *q, struct err *err)
{
    struct link *l = q->link;
    if (!l) {
        return atomic_load(&q->owner) ? QUEUE_READY : QUEUE_NOT_YET;
    }
    if (!l->wake) {
        tell_state(l);
    }
    pthread_mutex_lock(&l->mu);
    if (err) {
        *err = l->told == QUEUE_NOT_YET ? l->trouble : l->why;
    }
    pthread_mutex_unlock(&l->mu);
    return l->told;
}

void queue_release_ownership(struct queue *q)
{
    struct link *l = q->link;
    if (!l || (l->told != QUEUE_LOST && l->told != QUEUE_READY)) {
        return;
    }
    atomic_store(&q->owner, false);
    l->told = QUEUE_NOT_YET;
    pthread_mutex_lock(&l->mu);
    l->released = true;
    pthread_cond_broadcast(&l->moved);
    pthread_mutex_unlock(&l->mu);
    link_tell(l);
}

void link_given_to(struct link *l, const struct queue_at *next, bool fed)
{
    char name[KAFKA_TOPIC_MAX];
    link_topic(l, next->topic, name);
    pthread_mutex_lock(&l->mu);
    struct link_copy *c = link_copy_find(l, name, next->partition);
    if (c && (fed ? c->how == COPY_FEED : link_is_piecemeal(l, c))) {
        atomic_store(&c->given, next->offset);
    }
    pthread_mutex_unlock(&l->mu);
}

void link_want(struct link *l, const struct queue_at *from, bool at_end)
{
    char name[KAFKA_TOPIC_MAX];
    if (l->role == QUEUE_READER) {
        return;
    }
    link_topic(l, from->topic, name);
    pthread_mutex_lock(&l->mu);
    struct link_copy *c = link_copy_find(l, name, from->partition);
    if (c && link_is_piecemeal(l, c) && !(at_end && c->asked)) {
        c->asked = c->wanted = true;
        atomic_store(&c->given, from->offset);
    }
    pthread_mutex_unlock(&l->mu);
}

static uint32_t copied_partitions(struct link *l, const char *topic)
{
    uint32_t n = 0;
    pthread_mutex_lock(&l->mu);
    while (link_copy_find(l, topic, n)) {
        n++;
    }
    pthread_mutex_unlock(&l->mu);
    return n;
}

int link_partitions(struct link *l, const char *name, uint32_t *ret, struct err *err)
{
    const struct topic_spec *spec = topics_on_broker(name);
    char topic[KAFKA_TOPIC_MAX];
    link_topic(l, name, topic);
    int n = topics_partitions(spec);
    if (!spec || !spec->keyed) {
        struct err aside = {0};
        int there = (int)copied_partitions(l, topic);
        if (l->role == QUEUE_READER) {
            pthread_mutex_lock(&l->read_mu);
            there = kafka_admin_partitions(l->admin, topic, &aside);
            pthread_mutex_unlock(&l->read_mu);
        }
        if (there < 0) {
            if (err) {
                *err = aside;
            }
            return -(int)aside.code;
        }
        n = there ? there : n;
    }
    *ret = (uint32_t)n;
    return 0;
}

bool link_drops(const struct link *l, const char *topic)
{
    const struct topic_spec *spec = topics_find(false, topic);
    return l && spec && spec->window && l->role != QUEUE_WHOLE;
}

/* ---- life ---- */

static void *link_main(void *arg)
{
    struct link *l = arg;
    pthread_mutex_lock(&l->mu);
    while (!l->stop) {
        pthread_mutex_unlock(&l->mu);
        link_session_turn(l);
        pthread_mutex_lock(&l->mu);
    }
    pthread_mutex_unlock(&l->mu);
    link_session_end(l);
    return NULL;
}

static char *copy_text(const char *text, bool *failed)
{
    char *copy = text ? strdup(text) : NULL;
    *failed |= text && !copy;
    return copy;
}

/* Who writes: for the scheduler one name, whoever is active; for a worker its instance. */
static void make_name(struct link *l)
{
    static const char *const roles[] = {[QUEUE_READER] = "command",
                                        [QUEUE_SCHEDULER] = "scheduler",
                                        [QUEUE_WORKER] = "worker",
                                        [QUEUE_WHOLE] = "whole"};
    const char *role = roles[l->role];
    uint64_t random = 0;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
        random = (uint64_t)link_now_ms();
    }
    if (l->role == QUEUE_SCHEDULER || l->role == QUEUE_WHOLE) {
        (void)snprintf(l->name, sizeof(l->name), "%s%s", l->prefix, role);
    } else if (l->instance) {
        (void)snprintf(l->name, sizeof(l->name), "%s%s-%.40s", l->prefix, role,
                       l->instance);
    } else {
        (void)snprintf(l->name, sizeof(l->name), "%s%s-%016llx", l->prefix, role,
                       (unsigned long long)random);
    }
    (void)snprintf(l->group, sizeof(l->group), "%s%s", l->prefix, role);
}

static struct link *link_new(struct queue *q, const struct queue_broker *conf)
{
    struct link *l = calloc(1, sizeof(*l));
    bool failed = false;
    if (!l) {
        return NULL;
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&l->mu, NULL);
    pthread_cond_init(&l->moved, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&l->commit_mu, NULL);
    pthread_mutex_init(&l->read_mu, NULL);
    l->q = q;
    l->role = conf->role;
    l->brokers = copy_text(conf->brokers, &failed);
    l->file = copy_text(conf->file, &failed);
    l->prefix = copy_text(conf->prefix ? conf->prefix : TOPICS_PREFIX, &failed);
    l->instance = copy_text(conf->instance, &failed);
    l->session_ms = conf->session_ms;
    l->refused_ms = conf->refused_ms ? conf->refused_ms : LINK_REFUSED_MS;
    l->on_owner = conf->on_owner;
    l->owner_ctx = conf->ctx;
    if (failed) {
        return link_close(l);
    }
    make_name(l);
    l->kafka =
        (struct kafka_conf){.brokers = l->brokers, .file = l->file, .client_id = l->name};
    if (topics_shared(l->role)) {
        link_topic(l, topics_shared(l->role), l->shared);
    }
    return l;
}

int link_open(struct queue *q, const struct queue_broker *conf, struct err *err)
{
    q->link = link_new(q, conf);
    struct link *l = q->link;
    if (!l || copy_begin(q, &l->slice) < 0) {
        return store_error(q->dir, "open", ENOMEM, err);
    }
    int r = kafka_admin_open(&l->admin, &l->kafka, err);
    if (r < 0) {
        return r;
    }
    if (l->role == QUEUE_READER) {
        return 0;
    }
    if (q->loop && loop_wake_create(q->loop, on_wake, q, &l->wake) < 0) {
        return err_set(err, ERR_FAIL,
                       "could not open the queue in '%s': no wake-up handle", q->dir);
    }
    if (pthread_create(&l->thread, NULL, link_main, l) != 0) {
        return err_set(err, ERR_FAIL,
                       "could not open the queue in '%s': no thread can be "
                       "started",
                       q->dir);
    }
    l->started = true;
    return 0;
}

struct link *link_close(struct link *l)
{
    if (!l) {
        return NULL;
    }
    pthread_mutex_lock(&l->mu);
    l->stop = true;
    l->released = true;
    pthread_cond_broadcast(&l->moved);
    pthread_mutex_unlock(&l->mu);
    if (l->started) {
        pthread_join(l->thread, NULL);
    }
    l->wake = loop_wake_destroy(l->wake);
    l->producer = kafka_producer_destroy(l->producer);
    l->member_of = kafka_group_destroy(l->member_of);
    l->member = kafka_consumer_destroy(l->member);
    l->source = kafka_consumer_destroy(l->source);
    l->admin = kafka_admin_destroy(l->admin);
    l->commit_admin = kafka_admin_destroy(l->commit_admin);
    link_copies_forget(l);
    free(l->copies);
    link_trims_forget(l);
    l->slice = queue_tx_drop(l->slice);
    free(l->owned.v);
    free(l->known);
    free(l->takes);
    pthread_mutex_destroy(&l->mu);
    pthread_mutex_destroy(&l->commit_mu);
    pthread_mutex_destroy(&l->read_mu);
    pthread_cond_destroy(&l->moved);
    free(l->brokers);
    free(l->file);
    free(l->prefix);
    free(l->instance);
    free(l);
    return NULL;
}
