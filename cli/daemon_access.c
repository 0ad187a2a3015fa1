#include "cli/daemon_access.h"

#include "core/topics.h"

#include <stdio.h>

#define FLUSH_MS  5000
#define NO_ANSWER 1 /* and so no more questions: each would wait as long */

struct asking {
    const struct broker_settings *set;
    struct kafka_conf kafka;
    struct kafka_admin *admin;
    struct access_rules rules;
    /* of what is a team's: "results." */
    const char *of_teams;
    unsigned teams, denied;
    struct err why;
};

/* Of an answer of the broker: 0, NO_ANSWER, or negative: it is that. */
static int judge(int rc, const struct err *why, struct err *err)
{
    if (rc >= 0) {
        return 0;
    }
    if (!kafka_denied(why)) {
        return why->code == ERR_TEMP ? NO_ANSWER : 0;
    }
    *err = *why;
    return -(int)(why->code ? why->code : ERR_AUTH);
}

static int may_see(struct asking *a, const struct kafka_acl *rule, struct err *err)
{
    struct err why = {0};
    int rc = rule->resource == KAFKA_ACL_GROUP
                 ? kafka_admin_members(a->admin, rule->name, &why)
                 : kafka_admin_partitions(a->admin, rule->name, &why);
    return judge(rc, &why, err);
}

/* A table takes no record without a key, from nobody. A producer that was refused one is done with:
 * each table has its own. */
static int put_keyless(struct asking *a, const char *topic, struct err *err)
{
    const struct kafka_producer_conf conf = {.kafka = &a->kafka};
    const struct kafka_record keyless = {.topic = topic, .value = SPAN_LIT("?")};
    struct kafka_producer *p = NULL;
    int rc = kafka_producer_open(&p, &conf, err);
    rc = rc < 0 ? rc : kafka_producer_produce(p, &keyless, err);
    rc = rc < 0 ? rc : kafka_producer_flush(p, FLUSH_MS, err);
    kafka_producer_destroy(p);
    return rc;
}

/* Who may write nowhere is refused as a producer; the topic is what is meant. */
static int may_write(struct asking *a, const struct kafka_acl *rule, struct err *err)
{
    struct err why = {0};
    int rc = kafka_admin_partitions(a->admin, rule->name, &why);
    if (rc == 0) {
        return 0; /* it is made when it is needed */
    }
    if (rc < 0) {
        return judge(rc, &why, err);
    }
    rc = put_keyless(a, rule->name, &why);
    if (rc >= 0 || !kafka_denied(&why)) {
        return 0;
    }
    char hint[sizeof(why.hint)];
    snprintf(hint, sizeof(hint), "%s", why.hint);
    err_set(err, ERR_AUTH, "could not write to topic '%s': not allowed for this topic",
            rule->name);
    err_hint(err, "%s", hint);
    return -ERR_AUTH;
}

static int on_team(void *ctx, const char *topic, int32_t partitions)
{
    struct asking *a = ctx;
    const char *team = topic + strlen(a->set->prefix) + strlen("runs.");
    char name[KAFKA_TOPIC_MAX];
    struct err why = {0};
    (void)partitions;
    snprintf(name, sizeof(name), "%s%s", a->of_teams, team);
    int rc = kafka_admin_partitions(a->admin, name, &why);
    a->teams++;
    if (rc < 0 && kafka_denied(&why)) {
        a->denied++;
        a->why = why;
    }
    return a->teams == DAEMON_ACCESS_TEAMS ? -1 : 0;
}

static int may_see_teams(struct asking *a, const struct kafka_acl *rule, struct err *err)
{
    char runs[KAFKA_TOPIC_MAX];
    struct err aside = {0};
    snprintf(runs, sizeof(runs), "%sruns.", a->set->prefix);
    a->of_teams = rule->name;
    a->teams = a->denied = 0;
    (void)kafka_admin_topics(a->admin, runs, on_team, a, &aside);
    return a->teams && a->denied == a->teams ? judge(-1, &a->why, err) : 0;
}

static int ask(struct asking *a, const struct kafka_acl *rule, struct err *err)
{
    if (rule->resource == KAFKA_ACL_TOPIC && rule->prefixed) {
        return rule->operation == KAFKA_ACL_WRITE ? may_see_teams(a, rule, err) : 0;
    }
    if (rule->resource == KAFKA_ACL_TOPIC && rule->operation == KAFKA_ACL_WRITE &&
        topics_find(true, rule->name + strlen(a->set->prefix))) {
        return may_write(a, rule, err);
    }
    bool asked = rule->resource == KAFKA_ACL_TOPIC || rule->resource == KAFKA_ACL_GROUP;
    return asked ? may_see(a, rule, err) : 0;
}

int daemon_access(const struct broker_settings *set, enum access_role role,
                  struct err *err)
{
    const struct access_who who = {.role = role, .principal = "User:self"};
    const struct access_scope scope = {.prefix = set->prefix};
    struct asking a = {.set = set, .kafka = broker_kafka(set)};
    struct err aside = {0};
    int rc = access_rules(&who, &scope, &a.rules, err);
    if (rc >= 0 && kafka_admin_open(&a.admin, &a.kafka, &aside) < 0) {
        return 0; /* opening the queue says why */
    }
    for (size_t i = 0; rc == 0 && i < a.rules.n; i++) {
        rc = ask(&a, &a.rules.v[i], err);
    }
    kafka_admin_destroy(a.admin);
    return MIN_OF(rc, 0);
}

/* Permissions are given by somebody else; a certificate does not say what the broker calls us. */
void daemon_access_hint(const struct broker_settings *set, enum access_role role,
                        struct err *err)
{
    const struct kafka_conf conf = broker_kafka(set);
    char user[ACCESS_USER_MAX];
    if (!kafka_denied(err)) {
        return;
    }
    _cleanup_(buf_fini) struct buf words;
    buf_init(&words, sizeof(err->hint));
    if (kafka_setting_of(&conf, "sasl.username", user, sizeof(user), NULL) < 0 ||
        !user[0]) {
        snprintf(user, sizeof(user), "NAME");
    }
    broker_words(set, true, &words);
    err_hint(err,
             "somebody who may has to run: offpeak topics create --allow %s=User:%s%s",
             access_role_name(role), user, words.n ? words.p : "");
}
