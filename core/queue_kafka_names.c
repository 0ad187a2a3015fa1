/*
 * queue_kafka_names.c - what things are called on a broker, which topics are there, and what
 * every record of ours carries.
 */
#include "core/queue_kafka.h"
#include "core/headers.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LINK_CREATE_LOOKS 100

void link_topic(const struct link *l, const char *name, char ret[static KAFKA_TOPIC_MAX])
{
    (void)snprintf(ret, KAFKA_TOPIC_MAX, "%s%s", l->prefix, name);
}

bool link_name(const struct link *l, const char *topic, struct store_name *ret)
{
    size_t n = strlen(l->prefix);
    if (strncmp(topic, l->prefix, n) != 0 || !queue_name_ok(topic + n)) {
        return false;
    }
    const struct topic_spec *spec = topics_on_broker(topic + n);
    *ret = (struct store_name){.kind = spec && spec->table ? 'R' : 'T'};
    memcpy(ret->name, topic + n, strlen(topic + n) + 1);
    return true;
}

/* Partitions shared alike are restored alike; all other acknowledgements stand together. */
int32_t link_acks_partition(const struct store_name *topic)
{
    const struct topic_spec *spec = topics_find(false, topic->name);
    return spec && spec->keyed ? (int32_t)topic->partition : 0;
}

int link_may_put(const struct link *l, const struct store_name *to, size_t value_bytes,
                 struct err *err)
{
    const struct topic_spec *spec = topics_find(to->kind == 'R', to->name);
    if (to->kind == 'R' && !spec) {
        return err_set(err, ERR_INPUT,
                       "could not use table '%s': a broker has no such "
                       "table",
                       to->name);
    }
    if (to->kind == 'T' && topics_find(true, to->name)) {
        return err_set(err, ERR_INPUT,
                       "could not use topic '%s': on a broker it is a "
                       "table",
                       to->name);
    }
    if (spec && spec->keyed && to->partition >= (uint32_t)spec->partitions) {
        return err_set(err, ERR_INPUT, "could not use '%s': no partition %u", to->name,
                       to->partition);
    }
    size_t max = topics_value_max(spec);
    if (value_bytes <= max) {
        return 0;
    }
    int r =
        err_set(err, ERR_INPUT,
                "could not put a record into '%s%s': its value has %zu bytes, at most "
                "%zu are allowed",
                l->prefix, to->name, value_bytes, max);
    err_hint(err, "make it smaller: the broker would refuse it");
    return r;
}

/* ---- topics that are there ---- */

static bool is_known(const struct link *l, const char *topic)
{
    for (size_t i = l->n_known; i-- > 0;) {
        if (strcmp(l->known[i], topic) == 0) {
            return true;
        }
    }
    return false;
}

static void remember(struct link *l, const char *topic)
{
    if (l->n_known == l->cap_known) {
        size_t cap = l->cap_known ? 2 * l->cap_known : 32;
        void *known = realloc(l->known, cap * sizeof(*l->known));
        if (!known) {
            return; /* it is asked for again */
        }
        l->known = known;
        l->cap_known = cap;
    }
    memcpy(l->known[l->n_known++], topic, strlen(topic) + 1);
}

void link_forget(struct link *l, const char *topic)
{
    for (size_t i = l->n_known; i-- > 0;) {
        if (strcmp(l->known[i], topic) == 0) {
            memcpy(l->known[i], l->known[--l->n_known], sizeof(l->known[i]));
        }
    }
}

/* A topic just made is not known to every broker at once. */
static int wait_for(struct link *l, const char *topic, struct err *err)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    int rc = 0;
    for (int i = 0; rc == 0 && i < LINK_CREATE_LOOKS; i++) {
        rc = kafka_admin_partitions(l->commit_admin, topic, err);
        if (rc == 0) {
            (void)nanosleep(&pause, NULL);
        }
    }
    return MIN_OF(rc, 0);
}

static int make_topic(struct link *l, const struct store_name *of, const char *topic,
                      struct err *err)
{
    const struct topic_spec *spec = topics_find(of->kind == 'R', of->name);
    struct kafka_setting settings[TOPICS_SETTINGS_MAX];
    size_t n = topics_settings(spec, settings);
    int rc = kafka_admin_create(l->commit_admin, topic, topics_partitions(spec), settings,
                                n, err);
    if (rc < 0) {
        err_hint(err, "somebody who may has to make it: offpeak topics create");
        return rc;
    }
    pthread_mutex_lock(&l->mu);
    l->look_again = true;
    pthread_mutex_unlock(&l->mu);
    return wait_for(l, topic, err);
}

int link_ensure(struct link *l, const struct store_name *of, struct err *err)
{
    char topic[KAFKA_TOPIC_MAX];
    link_topic(l, of->name, topic);
    if (is_known(l, topic)) {
        return 0;
    }
    int rc = l->commit_admin ? 0 : kafka_admin_open(&l->commit_admin, &l->kafka, err);
    if (rc == 0) {
        rc = kafka_admin_partitions(l->commit_admin, topic, err);
    }
    if (rc == 0) {
        rc = make_topic(l, of, topic, err);
    }
    if (rc >= 0) {
        remember(l, topic);
    }
    return MIN_OF(rc, 0);
}

/* ---- headers ---- */

#define SIGN_COMMIT "c"
#define SIGN_WRITER "w"

int link_sign(struct buf *block, uint64_t commit, const char *writer)
{
    char number[24];
    (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)commit);
    int r = headers_adds(block, SIGN_COMMIT, number);
    return r < 0 ? r : headers_adds(block, SIGN_WRITER, writer);
}

bool link_signed(struct span *block, uint64_t *ret_commit)
{
    struct span name, value, last = SPAN_NONE, number = SPAN_NONE;
    size_t at = 0, begin = 0, before = 0, start;
    bool commit = false, writer = false;
    for (start = at; headers_next(*block, &at, &name, &value); start = at) {
        commit = span_is(last, SIGN_COMMIT);
        writer = span_is(name, SIGN_WRITER);
        before = begin;
        begin = start;
        if (!writer) {
            number = value;
        }
        last = name;
    }
    if (!commit || !writer || at != block->n || span_u64(number, ret_commit) < 0) {
        return false;
    }
    block->n = before;
    return true;
}
