/*
 * queue_kafka_takes.c - what a team's topics take, known before anything is put there.
 *
 * Topics that belong to one team (results., dead.) may be broken for that team alone: deleted,
 * closed to us, made for small records. A record that the broker refuses costs its transaction and
 * all that is in it; so roles ask first (queue_takes), and what the broker refused all the same is
 * remembered here until it is worth another try. Looked up on the link's thread, a few at a time.
 */
#include "core/queue_kafka.h"
#include <stdlib.h>

#define TAKES_AROUND_LARGE 65536 /* of a limit, for key, headers and framing ... */
#define TAKES_AROUND_SMALL 2048  /* ... where the limit itself is small */
#define TAKES_BYTES_MIN \
    524288 /* a batch of small records may be that large (core/kafka.h) */
#define TAKES_LOOK_MS 60000 /* between two looks at what takes records */
#define TAKES_LOOKS   20    /* in one turn */

static bool is_teams(const char *topic)
{
    return strncmp(topic, "results.", 8) == 0 || strncmp(topic, "dead.", 5) == 0;
}

bool link_may_refuse(const struct link *l, const char *topic)
{
    return (l->role == QUEUE_WORKER || l->role == QUEUE_WHOLE) && is_teams(topic);
}

/* Finds or adds; under mu. NULL: no memory, or too many. */
static struct link_takes *takes_of(struct link *l, const char *topic)
{
    for (size_t i = 0; i < l->n_takes; i++) {
        if (strcmp(l->takes[i].topic, topic) == 0) {
            return &l->takes[i];
        }
    }
    if (l->n_takes == l->cap_takes) {
        size_t cap = l->cap_takes ? 2 * l->cap_takes : 16;
        void *takes = cap > LINK_TAKES_MAX ? NULL
                                           : realloc(l->takes, cap * sizeof(*l->takes));
        if (!takes) {
            return NULL;
        }
        l->takes = takes;
        l->cap_takes = cap;
    }
    struct link_takes *t = &l->takes[l->n_takes++];
    *t = (struct link_takes){.max = topics_value_max(topics_find(false, topic))};
    (void)memccpy(t->topic, topic, '\0', sizeof(t->topic));
    return t;
}

int queue_takes(struct queue *q, const char *topic, size_t *ret_max, struct err *err)
{
    struct link *l = q->link;
    int r = 1;
    *ret_max = l ? topics_value_max(topics_find(false, topic)) : QUEUE_VALUE_MAX;
    if (!l || !link_may_refuse(l, topic)) {
        return 1;
    }
    pthread_mutex_lock(&l->mu);
    const struct link_takes *t = takes_of(l, topic);
    if (t && t->refused) {
        *err = t->why;
        r = -(int)err->code;
    } else if (t) {
        *ret_max = t->max;
        r = t->known;
    }
    pthread_mutex_unlock(&l->mu);
    return r;
}

size_t queue_value_max(struct queue *q, const char *topic)
{
    struct err aside;
    size_t max;
    (void)queue_takes(q, topic, &max, &aside);
    return max;
}

/* ---- the broker's word ---- */

static int on_setting(void *ctx, const struct kafka_setting *s, bool is_default)
{
    uint64_t bytes;
    (void)is_default;
    if (strcmp(s->name, "max.message.bytes") == 0 && s->value &&
        span_u64(span_str(s->value), &bytes) == 0) {
        *(uint64_t *)ctx = bytes;
    }
    return 0;
}

static void take_limit(struct link_takes *t, const char *topic, uint64_t bytes)
{
    bool small = bytes < TAKES_BYTES_MIN;
    size_t around = bytes > 16 * TAKES_AROUND_LARGE ? TAKES_AROUND_LARGE
                                                    : TAKES_AROUND_SMALL;
    if (small) {
        err_set(&t->why, ERR_INPUT,
                "could not use topic '%s': its max.message.bytes is %llu, and batches of "
                "records have up to %d bytes",
                topic, (unsigned long long)bytes, TAKES_BYTES_MIN);
        err_hint(&t->why, "run: offpeak topics check");
    } else {
        t->max = (size_t)bytes - around;
    }
    t->refused = small || (t->refused && !t->small);
    t->small = small;
}

/* Once in a while, while no commit is under way. */
static bool may_write_again(struct link *l, struct link_takes *t, const char *topic)
{
    struct err aside;
    if (link_now_ms() < t->until_ms || pthread_mutex_trylock(&l->commit_mu) != 0) {
        return false;
    }
    int r = l->producer ? link_may_write(l, topic, 0, &aside) : -(int)KAFKA_DOWN;
    pthread_mutex_unlock(&l->commit_mu);
    if (r == -(int)KAFKA_REFUSED) {
        t->until_ms = link_now_ms() + l->refused_ms;
    }
    return r == 0;
}

/* What nobody lets us see, the commit will say. */
static void look(struct link *l, struct link_takes *t)
{
    char topic[KAFKA_TOPIC_MAX];
    struct err aside = {0};
    link_topic(l, t->topic, topic);
    uint64_t bytes = 0;
    int there = kafka_admin_partitions(l->admin, topic, &aside);
    if (t->refused && !t->small && there > 0) {
        t->refused = !t->absent && !may_write_again(l, t, topic);
    }
    if (there > 0 &&
        kafka_admin_settings(l->admin, topic, on_setting, &bytes, &aside) == 0 &&
        bytes > 0) {
        take_limit(t, topic, bytes);
    }
    t->known = true;
    t->looked_ms = link_now_ms();
}

static bool is_due(const struct link_takes *t, int64_t now_ms)
{
    int64_t every_ms = t->refused ? LINK_TOPICS_MS : TAKES_LOOK_MS;
    return !t->known || now_ms - t->looked_ms >= every_ms;
}

/* The next that is due, from `*at` on; a copy, for it is looked at without the lock. */
static bool next_due(struct link *l, size_t *at, struct link_takes *ret)
{
    int64_t now = link_now_ms();
    bool found = false;
    pthread_mutex_lock(&l->mu);
    for (; !found && *at < l->n_takes; (*at)++) {
        found = is_due(&l->takes[*at], now);
        if (found) {
            *ret = l->takes[*at];
        }
    }
    pthread_mutex_unlock(&l->mu);
    return found;
}

void link_takes_look(struct link *l)
{
    struct link_takes t;
    bool news = false;
    size_t at = 0;
    for (int i = 0; i < TAKES_LOOKS && next_due(l, &at, &t); i++) {
        bool was = t.known && !t.refused;
        look(l, &t);
        news |= was != !t.refused;
        pthread_mutex_lock(&l->mu);
        if (l->takes[at - 1].refused_n == t.refused_n) { /* else refused meanwhile */
            l->takes[at - 1] = t;
        }
        pthread_mutex_unlock(&l->mu);
    }
    if (news) {
        link_tell(l);
    }
}

void link_takes_refused(struct link *l, const char *topic, enum kafka_refused_why why,
                        const struct err *err)
{
    pthread_mutex_lock(&l->mu);
    struct link_takes *t = takes_of(l, topic);
    if (t) {
        t->until_ms = link_now_ms() + l->refused_ms;
        t->refused_n++;
        t->known = false;
        t->refused = why != KAFKA_TOO_LARGE; /* its limit is looked up again */
        t->absent = why == KAFKA_NO_TOPIC;
        t->why = *err;
        t->why.code = ERR_INPUT;
    }
    pthread_mutex_unlock(&l->mu);
}
