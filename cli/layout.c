#include "cli/layout.h"

#include "core/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the list ---- */

static struct layout_topic *find(struct layout *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++) {
        if (!strcmp(l->v[i].name, name)) {
            return &l->v[i];
        }
    }
    return NULL;
}

/* Finds or adds; NULL and err when there is no room. */
static struct layout_topic *topic(struct layout *l, const char *name, struct err *err)
{
    struct layout_topic *t = find(l, name);
    if (t) {
        return t;
    }
    if (l->n == LAYOUT_TOPICS_MAX) {
        err_set(err, ERR_FAIL, "could not list the topics: there are more than %d",
                LAYOUT_TOPICS_MAX);
        return NULL;
    }
    if (l->n == l->cap) {
        size_t cap = MAX_OF(2 * l->cap, (size_t)32);
        struct layout_topic *v = realloc(l->v, cap * sizeof(*v));
        if (!v) {
            err_set(err, ERR_FAIL, "could not list the topics: no memory");
            return NULL;
        }
        l->v = v;
        l->cap = cap;
    }
    t = &l->v[l->n++];
    *t = (struct layout_topic){0};
    snprintf(t->name, sizeof(t->name), "%s", name);
    return t;
}

/* One that should be there: a name of ours, without the prefix. */
static struct layout_topic *want(struct layout *l, const char *prefix, const char *name,
                                 struct err *err)
{
    char full[KAFKA_TOPIC_MAX];
    snprintf(full, sizeof(full), "%s%s", prefix, name);
    struct layout_topic *t = topic(l, full, err);
    if (t) {
        t->spec = topics_on_broker(name);
        t->wanted = true;
        t->partitions = t->asked ? t->partitions : topics_partitions(t->spec);
    }
    return t;
}

static bool is_shared(const struct topic_spec *spec)
{
    return spec->name[strlen(spec->name) - 1] != '.';
}

int layout_shared(struct layout *l, const char *prefix, struct err *err)
{
    size_t n;
    const struct topic_spec *all = topics_all(&n);
    for (size_t i = 0; i < n; i++) {
        if (is_shared(&all[i]) && !want(l, prefix, all[i].name, err)) {
            return -ERR_FAIL;
        }
    }
    return 0;
}

/* Every topic that is there for each team: not shared, and none of a queue. */
static int want_team(struct layout *l, const char *prefix, const char *team,
                     struct err *err)
{
    size_t n;
    const struct topic_spec *all = topics_all(&n);
    for (size_t i = 0; i < n; i++) {
        char name[QUEUE_NAME_MAX];
        snprintf(name, sizeof(name), "%s%s", all[i].name, team);
        if (!is_shared(&all[i]) && strcmp(all[i].name, PREFIX_JOBS) != 0 &&
            !want(l, prefix, name, err)) {
            return -ERR_FAIL;
        }
    }
    return 0;
}

int layout_queue(struct layout *l, const char *prefix, const struct layout_queue *queue,
                 struct err *err)
{
    char name[QUEUE_NAME_MAX];
    int rc = want_team(l, prefix, queue->team, err);
    if (rc < 0 || !queue->feature) {
        return rc;
    }
    topic_jobs(queue->team, queue->feature, name);
    struct layout_topic *t = want(l, prefix, name, err);
    if (!t) {
        return -ERR_FAIL;
    }
    if (queue->partitions) {
        t->partitions = (int32_t)MIN_OF(queue->partitions, (uint64_t)INT32_MAX);
        t->asked = true;
    }
    return 0;
}

int layout_found(struct layout *l, const char *prefix, const char *name,
                 int32_t partitions, struct err *err)
{
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    const char *own = name + strlen(prefix);
    struct layout_topic *t = topic(l, name, err);
    if (!t) {
        return -ERR_FAIL;
    }
    t->found = partitions;
    t->spec = topics_on_broker(own);
    if (topic_jobs_parse(own, team, feature) < 0) {
        t->wanted = t->wanted || t->spec;
        t->partitions = t->asked ? t->partitions : topics_partitions(t->spec);
        return 0;
    }
    const struct layout_queue queue = {.team = team, .feature = feature};
    return layout_queue(l, prefix, &queue, err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct layout_topic *)a)->name,
                  ((const struct layout_topic *)b)->name);
}

void layout_sort(struct layout *l)
{
    if (l->n) {
        qsort(l->v, l->n, sizeof(*l->v), by_name);
    }
}

void layout_fini(struct layout *l)
{
    free(l->v);
    *l = (struct layout){0};
}

/* ---- partitions ---- */

/* How many there are decides where a record belongs, or in which order it is read. */
static bool is_for_life(const struct topic_spec *spec)
{
    return strcmp(spec->name, PREFIX_JOBS) != 0;
}

static enum layout_grade grade(struct layout_difference *d, enum layout_grade g,
                               const char *words, const char *hint)
{
    d->grade = g;
    snprintf(d->words, sizeof(d->words), "%s", words);
    snprintf(d->hint, sizeof(d->hint), "%s", hint);
    return g;
}

static enum layout_grade jobs_partitions(const struct layout_topic *t,
                                         struct layout_difference *d)
{
    if (!t->asked) {
        return LAYOUT_FINE;
    }
    if (t->found > t->partitions) {
        return grade(d, LAYOUT_NOTE,
                     "it has more partitions, and they cannot be taken away", "");
    }
    grade(d, LAYOUT_FATAL, "it has fewer partitions than asked for", "");
    snprintf(d->hint, sizeof(d->hint),
             "kafka-topics.sh --alter --topic %s --partitions %d adds them", t->name,
             t->partitions);
    return d->grade;
}

enum layout_grade layout_partitions(const struct layout_topic *t,
                                    struct layout_difference *ret)
{
    *ret = (struct layout_difference){.grade = LAYOUT_FINE};
    snprintf(ret->is, sizeof(ret->is), "%d", t->found);
    snprintf(ret->should, sizeof(ret->should), "%d", t->partitions);
    if (!t->wanted || !t->spec) {
        ret->is[0] = '\0';
        return grade(ret, LAYOUT_NOTE, "it is no topic of offpeak's, and is left alone",
                     "");
    }
    if (!t->found) {
        return grade(ret, LAYOUT_MISSING, "it is not there", "offpeak topics create");
    }
    if (t->found == t->partitions) {
        return LAYOUT_FINE;
    }
    if (!is_for_life(t->spec)) {
        return jobs_partitions(t, ret);
    }
    return grade(ret, LAYOUT_FATAL,
                 t->spec->keyed
                     ? "it says where equal requests meet, and is fixed for life"
                     : "one partition has one order, and that is for life",
                 "before anything has run: delete it, then offpeak topics create; else "
                 "begin anew with another kafka.prefix");
}

/* ---- settings ---- */

enum rule { RULE_SAME, RULE_AT_LEAST };

static const struct setting_rule {
    const char *name, *words;
    enum rule rule;
} rules[] = {
    {"cleanup.policy", "its records are not kept as they must be", RULE_SAME},
    {"message.timestamp.type", "its records have the senders' times, not the broker's",
     RULE_SAME},
    {"max.message.bytes", "it refuses records that are allowed", RULE_AT_LEAST},
    {"retention.ms", "it drops records too early", RULE_AT_LEAST},
    {"retention.bytes", "it drops records when there are many", RULE_AT_LEAST},
    {"delete.retention.ms", "it forgets too early what was deleted", RULE_AT_LEAST},
};

static const struct setting_rule *rule_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        if (!strcmp(rules[i].name, name)) {
            return &rules[i];
        }
    }
    return NULL;
}

static const char *wanted_value(const struct topic_spec *spec, const char *name)
{
    struct kafka_setting v[TOPICS_SETTINGS_MAX];
    size_t n = topics_settings(spec, v);
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(v[i].name, name)) {
            return v[i].value;
        }
    }
    return NULL;
}

/* -1 is without limit, and so the largest. */
static uint64_t amount(const char *value)
{
    uint64_t n;
    return span_u64(span_str(value), &n) < 0 ? UINT64_MAX : n;
}

enum layout_grade layout_setting(const struct layout_topic *t,
                                 const struct kafka_setting *now,
                                 struct layout_difference *ret)
{
    const struct setting_rule *rule = rule_of(now->name);
    const char *should = t->spec ? wanted_value(t->spec, now->name) : NULL;
    *ret = (struct layout_difference){.grade = LAYOUT_FINE};
    if (!rule || !should || !strcmp(now->value, should)) {
        return LAYOUT_FINE;
    }
    ret->setting = rule->name;
    snprintf(ret->is, sizeof(ret->is), "%s", now->value);
    snprintf(ret->should, sizeof(ret->should), "%s", should);
    if (rule->rule == RULE_AT_LEAST && amount(now->value) > amount(should)) {
        return grade(ret, LAYOUT_NOTE, "more than is needed", "");
    }
    return grade(ret, LAYOUT_WRONG, rule->words, "offpeak topics create");
}

/* ---- for people ---- */

void layout_show_time(const char *ms, char ret[static LAYOUT_TEXT_MAX])
{
    const uint64_t hour = 3600000, n = amount(ms);
    if (n == UINT64_MAX) {
        snprintf(ret, LAYOUT_TEXT_MAX, "for ever");
    } else if (n % (24 * hour) == 0) {
        snprintf(ret, LAYOUT_TEXT_MAX, "%" PRIu64 " days", n / (24 * hour));
    } else {
        snprintf(ret, LAYOUT_TEXT_MAX, "%" PRIu64 " hours", n / hour);
    }
}

void layout_show_bytes(const char *bytes, char ret[static LAYOUT_TEXT_MAX])
{
    const uint64_t mebibyte = (uint64_t)1 << 20, n = amount(bytes);
    snprintf(ret, LAYOUT_TEXT_MAX, "%" PRIu64 " MiB", n / mebibyte);
}

/* ---- as commands ---- */

void layout_make_command(const struct layout_topic *t, const char *brokers,
                         struct buf *ret)
{
    struct kafka_setting v[TOPICS_SETTINGS_MAX];
    size_t n = topics_settings(t->spec, v);
    buf_addf(ret,
             "kafka-topics.sh --bootstrap-server %s --create --if-not-exists --topic %s "
             "--partitions %d",
             brokers, t->name, t->partitions);
    for (size_t i = 0; i < n; i++) {
        buf_addf(ret, " --config %s=%s", v[i].name, v[i].value);
    }
    buf_addc(ret, '\n');
}

size_t layout_repairs(const struct layout_topic *t, const struct layout_difference *v,
                      size_t n, struct kafka_setting ret[static TOPICS_SETTINGS_MAX])
{
    size_t set = 0;
    for (size_t i = 0; i < n && set < TOPICS_SETTINGS_MAX; i++) {
        if (v[i].grade == LAYOUT_WRONG && v[i].setting) {
            ret[set++] =
                (struct kafka_setting){v[i].setting, wanted_value(t->spec, v[i].setting)};
        }
    }
    return set;
}

void layout_repair_command(const struct layout_topic *t,
                           const struct layout_difference *v, size_t n,
                           const char *brokers, struct buf *ret)
{
    struct kafka_setting set[TOPICS_SETTINGS_MAX];
    size_t set_n = layout_repairs(t, v, n, set);
    if (!set_n) {
        return;
    }
    buf_addf(ret,
             "kafka-configs.sh --bootstrap-server %s --alter --entity-type topics "
             "--entity-name %s --add-config ",
             brokers, t->name);
    for (size_t i = 0; i < set_n; i++) {
        buf_addf(ret, "%s%s=%s", i ? "," : "", set[i].name, set[i].value);
    }
    buf_addc(ret, '\n');
}
