/* The part of layout.h that talks to the broker. */
#include "cli/layout.h"

#include <time.h>

#define SETTLE_STEP_MS 50

/* ---- looking ---- */

struct look {
    struct layout *layout;
    const char *prefix;
    bool only;
    struct err *err;
};

static int on_topic(void *ctx, const char *topic, int32_t partitions)
{
    struct look *look = ctx;
    for (size_t i = 0; look->only && i < look->layout->n; i++) {
        if (!strcmp(look->layout->v[i].name, topic)) {
            look->layout->v[i].found = partitions;
        }
    }
    return look->only
               ? 0
               : layout_found(look->layout, look->prefix, topic, partitions, look->err);
}

int layout_look(struct layout *l, struct kafka_admin *admin, const char *prefix,
                bool only, struct err *err)
{
    struct look look = {.layout = l, .prefix = prefix, .only = only, .err = err};
    int rc = kafka_admin_topics(admin, prefix, on_topic, &look, err);
    layout_sort(l);
    return rc < 0 ? -(int)err->code : 0;
}

/* ---- making ---- */

int layout_make(struct kafka_admin *admin, const struct layout_topic *t, struct err *err)
{
    struct kafka_setting v[TOPICS_SETTINGS_MAX];
    size_t n = topics_settings(t->spec, v);
    int rc = kafka_admin_create(admin, t->name, t->partitions, v, n, err);
    return rc < 0 ? -(int)err->code : rc;
}

static bool all_found(const struct layout *l)
{
    for (size_t i = 0; i < l->n; i++) {
        if (l->v[i].wanted && !l->v[i].found) {
            return false;
        }
    }
    return true;
}

int layout_settle(struct layout *l, struct kafka_admin *admin, const char *prefix,
                  struct err *err)
{
    const struct timespec step = {.tv_nsec = SETTLE_STEP_MS * 1000000L};
    int rc = layout_look(l, admin, prefix, true, err);
    for (int i = 0; rc >= 0 && !all_found(l); i++) {
        if (i == LAYOUT_SETTLE_MS / SETTLE_STEP_MS) {
            err_set(err, ERR_TEMP, "the broker does not list the new topics yet");
            err_hint(err, "look again: offpeak topics check");
            return -ERR_TEMP;
        }
        nanosleep(&step, NULL);
        rc = layout_look(l, admin, prefix, true, err);
    }
    return rc;
}

int layout_ensure(struct kafka_admin *admin, const char *prefix,
                  const struct layout_queue *queue, struct err *err)
{
    struct layout l = {0};
    int made = 0, rc = layout_queue(&l, prefix, queue, err);
    if (rc >= 0) {
        rc = layout_look(&l, admin, prefix, true, err);
    }
    for (size_t i = 0; rc >= 0 && i < l.n; i++) {
        rc = l.v[i].found ? 0 : layout_make(admin, &l.v[i], err);
        made += rc > 0;
    }
    if (rc >= 0 && made) {
        rc = layout_settle(&l, admin, prefix, err);
    }
    layout_fini(&l);
    return rc;
}

/* ---- settings ---- */

struct compare {
    const struct layout_topic *topic;
    struct layout_difference *v;
    int n;
};

static int on_setting(void *ctx, const struct kafka_setting *setting, bool is_default)
{
    struct compare *c = ctx;
    struct layout_difference d;
    (void)is_default;
    if (c->n < LAYOUT_DIFFERENCES_MAX &&
        layout_setting(c->topic, setting, &d) != LAYOUT_FINE) {
        c->v[c->n++] = d;
    }
    return 0;
}

int layout_differences(struct kafka_admin *admin, const struct layout_topic *t,
                       struct layout_difference ret[static LAYOUT_DIFFERENCES_MAX],
                       struct err *err)
{
    struct compare c = {.topic = t, .v = ret};
    int rc = kafka_admin_settings(admin, t->name, on_setting, &c, err);
    return rc < 0 ? -(int)err->code : c.n;
}

int layout_repair(struct kafka_admin *admin, const struct layout_topic *t,
                  const struct layout_difference *v, size_t n, struct err *err)
{
    struct kafka_setting set[TOPICS_SETTINGS_MAX];
    size_t set_n = layout_repairs(t, v, n, set);
    int rc = set_n ? kafka_admin_set(admin, t->name, set, set_n, err) : 0;
    return rc < 0 ? -(int)err->code : (int)set_n;
}
