/* offpeak topics: what stands on the broker, made, compared and described. */
#include "cli/access.h"
#include "cli/cli.h"
#include "cli/layout.h"
#include "cli/listing.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct topics {
    struct cli *cli;
    const struct broker_settings *set;
    struct kafka_admin *admin; /* NULL: nothing is asked */
    struct layout layout;
    struct access_who who[OPTION_LIST_MAX];
    unsigned who_n;
    unsigned grades[LAYOUT_FATAL + 1]; /* what was found, by what it means */
    unsigned lacking, by_hand;         /* permissions */
    struct listing out;
};

static const char *brokers_of(const struct topics *t)
{
    return t->set->brokers && t->set->brokers[0] ? t->set->brokers : "BROKERS";
}

/* ---- what is asked for ---- */

static int parse_who(struct topics *t, struct err *err)
{
    const struct option_list *allow = &t->cli->opt->allow;
    for (unsigned i = 0; i < allow->n; i++) {
        int rc = access_parse(allow->v[i], &t->who[t->who_n++], err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int check_options(const struct topics *t, struct err *err)
{
    const struct options *o = t->cli->opt;
    if (o->feature && !o->team) {
        err_set(err, ERR_USAGE, "could not use --feature %s: it needs --team",
                o->feature);
    } else if (o->partitions && !o->feature) {
        err_set(err, ERR_USAGE,
                "could not use --partitions: it is for the jobs topic of --team and "
                "--feature");
    } else if (o->partitions > QUEUE_PARTITIONS) {
        err_set(err, ERR_USAGE, "could not use --partitions %" PRIu64 ": %d at most",
                o->partitions, QUEUE_PARTITIONS);
    } else {
        return 0;
    }
    return -ERR_USAGE;
}

static int fill_layout(struct topics *t, struct err *err)
{
    const struct options *o = t->cli->opt;
    const struct layout_queue queue = {o->team, o->feature, o->partitions};
    int rc = layout_shared(&t->layout, t->set->prefix, err);
    if (rc >= 0 && o->team) {
        rc = layout_queue(&t->layout, t->set->prefix, &queue, err);
    }
    return rc;
}

static int connect_broker(struct topics *t, struct err *err)
{
    struct kafka_conf conf = broker_kafka(t->set);
    if (!broker_is_set(t->set)) {
        err_set(err, ERR_USAGE, "could not look at the topics: no broker is named");
        err_hint(err, "--brokers HOST:PORT, or OFFPEAK_BROKERS");
        return -ERR_USAGE;
    }
    return kafka_admin_open(&t->admin, &conf, err) < 0 ? -(int)err->code : 0;
}

/* Without a team all that is there is looked at, and every team that has a queue. */
static int look(struct topics *t, struct err *err)
{
    return layout_look(&t->layout, t->admin, t->set->prefix, t->cli->opt->team != NULL,
                       err);
}

/* The command that does the rest; `others` have to run it where the broker does not let us. */
static void hint_command(const struct topics *t, bool others, const char *why,
                         struct err *err)
{
    _cleanup_(buf_fini) struct buf words;
    const struct options *o = t->cli->opt;
    buf_init(&words, LISTING_COMMAND_MAX);
    if (o->team) {
        buf_addf(&words, " --team %s", o->team);
    }
    if (o->feature) {
        buf_addf(&words, " --feature %s", o->feature);
    }
    if (o->partitions) {
        buf_addf(&words, " --partitions %" PRIu64, o->partitions);
    }
    for (unsigned i = 0; i < o->allow.n; i++) {
        buf_addf(&words, " --allow '%s'", o->allow.v[i]);
    }
    broker_words(t->set, others, &words);
    err_hint(err, "%s offpeak topics create%s", why, words.n ? words.p : "");
}

/* ---- permissions ---- */

typedef int (*rules_fn)(struct topics *t, const struct access_who *who,
                        const struct access_rules *rules, struct err *err);

static int each_user(struct topics *t, rules_fn fn, struct err *err)
{
    const struct options *o = t->cli->opt;
    const struct access_scope scope = {t->set->prefix, o->team, o->feature};
    struct access_rules *rules = calloc(1, sizeof(*rules));
    int rc = rules ? 0 : err_set(err, ERR_FAIL, "could not list permissions: no memory");
    for (unsigned i = 0; rc >= 0 && i < t->who_n; i++) {
        rc = access_rules(&t->who[i], &scope, rules, err);
        if (rc >= 0 && fn) {
            rc = fn(t, &t->who[i], rules, err);
        }
    }
    free(rules);
    return rc;
}

static void print_rule(struct topics *t, const char *word, enum access_role role,
                       const struct kafka_acl *acl)
{
    const struct listing_rule rule = {
        .word = word,
        .role = access_role_name(role),
        .acl = acl,
        .brokers = brokers_of(t),
        .by_hand = !word,
    };
    listing_rule(&t->out, &rule);
}

static int describe_rules(struct topics *t, const struct access_who *who,
                          const struct access_rules *rules, struct err *err)
{
    (void)err;
    for (size_t i = 0; i < rules->n; i++) {
        print_rule(t, "allow", who->role, &rules->v[i]);
    }
    return 0;
}

static int check_rules(struct topics *t, const struct access_who *who,
                       const struct access_rules *rules, struct err *err)
{
    static const char *const words[] = {
        [ACCESS_LACKS] = "none", [ACCESS_HAS] = "ok", [ACCESS_UNKNOWN] = "unknown"};
    enum access_state states[ACCESS_RULES_MAX];
    int rc = access_look(t->admin, rules, states, err);
    for (size_t i = 0; rc >= 0 && i < rules->n; i++) {
        t->lacking += states[i] == ACCESS_LACKS;
        print_rule(t, words[states[i]], who->role, &rules->v[i]);
    }
    return rc;
}

/* What the library cannot give is left to a person, as a command. */
static int give_rules(struct topics *t, const struct access_who *who,
                      const struct access_rules *rules, struct err *err)
{
    bool dry = t->cli->opt->dry_run;
    int rc = dry ? 0 : access_allow(t->admin, rules, err);
    for (size_t i = 0; rc >= 0 && i < rules->n; i++) {
        const struct kafka_acl *acl = &rules->v[i];
        bool can = kafka_knows_resource(acl->resource);
        t->by_hand += !can && !dry;
        print_rule(t, dry || !can ? NULL : "allowed", who->role, acl);
    }
    return rc;
}

/* ---- create ---- */

static int make_topic(struct topics *t, struct listing_finding *f, struct err *err)
{
    if (t->cli->opt->dry_run) {
        layout_make_command(f->topic, brokers_of(t), &f->commands);
        return 0;
    }
    int rc = layout_make(t->admin, f->topic, err);
    f->did = rc > 0 ? "created" : "ok";
    return rc;
}

static int repair_topic(struct topics *t, struct listing_finding *f, struct err *err)
{
    if (t->cli->opt->dry_run) {
        layout_repair_command(f->topic, f->v, f->n, brokers_of(t), &f->commands);
        return 0;
    }
    int rc = layout_repair(t->admin, f->topic, f->v, f->n, err);
    f->did = rc > 0 ? "changed" : NULL;
    return rc;
}

/* Settings that may not be read are only noted: who makes topics need not see them. */
static int compare_settings(struct topics *t, struct listing_finding *f, struct err *err)
{
    struct err why = {0};
    int n = layout_differences(t->admin, f->topic, f->v + f->n, &why);
    if (n >= 0) {
        f->n += (size_t)n;
        return 0;
    }
    if (why.code != ERR_FAIL && why.code != ERR_AUTH) {
        *err = why;
        return n;
    }
    struct layout_difference *d = &f->v[f->n++];
    *d = (struct layout_difference){.grade = LAYOUT_NOTE};
    snprintf(d->words, sizeof(d->words), "its settings cannot be read: %.200s", why.msg);
    return 0;
}

static int look_at(struct topics *t, const struct layout_topic *topic,
                   struct listing_finding *f, struct err *err)
{
    *f = (struct listing_finding){.topic = topic};
    buf_init(&f->commands, LISTING_COMMAND_MAX);
    if (layout_partitions(topic, &f->v[0]) != LAYOUT_FINE) {
        f->n = 1;
    }
    bool compare = topic->found && topic->wanted && topic->spec;
    int rc = compare ? compare_settings(t, f, err) : 0;
    for (size_t i = 0; i < f->n; i++) {
        t->grades[f->v[i].grade]++;
    }
    return rc;
}

static int create_one(struct topics *t, const struct layout_topic *topic, struct err *err)
{
    struct listing_finding f;
    int rc = look_at(t, topic, &f, err);
    if (rc >= 0) {
        rc = topic->found ? repair_topic(t, &f, err) : make_topic(t, &f, err);
    }
    bool nothing = t->cli->opt->dry_run && !f.commands.n && f.v[0].grade != LAYOUT_FATAL;
    if (rc >= 0 && !nothing) {
        listing_finding(&t->out, &f);
    }
    buf_fini(&f.commands);
    return rc;
}

/* Whatever stands there in the way of life is told; the rest is made all the same. */
static int judge_create(const struct topics *t, struct err *err)
{
    if (t->grades[LAYOUT_FATAL]) {
        return err_set(
            err, ERR_FAIL, "could not set everything right: %u difference%s left",
            t->grades[LAYOUT_FATAL], t->grades[LAYOUT_FATAL] == 1 ? " is" : "s are");
    }
    if (t->by_hand) {
        return err_set(err, ERR_FAIL,
                       "could not give permissions on transactional ids with librdkafka "
                       "%s: run the command%s above",
                       kafka_version(), PLURAL(t->by_hand));
    }
    return 0;
}

static int create(struct topics *t, struct err *err)
{
    int rc = fill_layout(t, err);
    if (rc >= 0 && !(t->cli->opt->dry_run && !broker_is_set(t->set))) {
        rc = connect_broker(t, err);
        if (rc >= 0) {
            rc = look(t, err);
        }
    }
    for (size_t i = 0; rc >= 0 && i < t->layout.n; i++) {
        rc = create_one(t, &t->layout.v[i], err);
        if (rc == -ERR_FAIL || rc == -ERR_AUTH) {
            hint_command(t, true, "somebody who may has to run:", err);
        }
    }
    if (rc >= 0 && !t->cli->opt->dry_run) {
        rc = layout_settle(&t->layout, t->admin, t->set->prefix, err);
    }
    if (rc >= 0) {
        rc = each_user(t, give_rules, err);
    }
    return rc < 0 ? rc : judge_create(t, err);
}

/* ---- check ---- */

static int judge_check(const struct topics *t, struct err *err)
{
    unsigned topics = t->grades[LAYOUT_WRONG] + t->grades[LAYOUT_MISSING];
    unsigned fatal = t->grades[LAYOUT_FATAL];
    if (!topics && !fatal && !t->lacking) {
        return 0;
    }
    unsigned all = topics + fatal + t->lacking;
    err_set(err, ERR_FAIL, "%u difference%s found", all, PLURAL(all));
    if (topics || t->lacking) {
        hint_command(t, false, "set right by:", err);
    }
    return -ERR_FAIL;
}

static int check(struct topics *t, struct err *err)
{
    struct listing_finding f;
    int rc = fill_layout(t, err);
    if (rc >= 0) {
        rc = connect_broker(t, err);
    }
    if (rc >= 0) {
        rc = look(t, err);
    }
    for (size_t i = 0; rc >= 0 && i < t->layout.n; i++) {
        rc = look_at(t, &t->layout.v[i], &f, err);
        if (rc >= 0) {
            listing_finding(&t->out, &f);
        }
    }
    if (rc >= 0) {
        rc = each_user(t, check_rules, err);
    }
    return rc < 0 ? rc : judge_check(t, err);
}

/* ---- describe ---- */

/* Without a team: names as they would be. */
static void describe_patterns(struct topics *t)
{
    size_t n;
    const struct topic_spec *all = topics_all(&n);
    for (size_t i = 0; i < n; i++) {
        char name[KAFKA_TOPIC_MAX];
        bool of_queue = !strcmp(all[i].name, "jobs.");
        bool of_team = all[i].name[strlen(all[i].name) - 1] == '.';
        snprintf(name, sizeof(name), "%s%s%s", t->set->prefix, all[i].name,
                 of_queue  ? "TEAM.FEATURE"
                 : of_team ? "TEAM"
                           : "");
        listing_spec(&t->out, &all[i], name, topics_partitions(&all[i]));
    }
}

static int describe(struct topics *t, struct err *err)
{
    int rc = t->cli->opt->team ? fill_layout(t, err) : 0;
    if (rc >= 0) {
        listing_heading(&t->out);
    }
    if (rc >= 0 && !t->cli->opt->team) {
        describe_patterns(t);
    }
    for (size_t i = 0; rc >= 0 && i < t->layout.n; i++) {
        const struct layout_topic *topic = &t->layout.v[i];
        listing_spec(&t->out, topic->spec, topic->name, topic->partitions);
    }
    return rc < 0 ? rc : each_user(t, describe_rules, err);
}

/* ---- the command ---- */

static int run_verb(struct topics *t, int (*verb)(struct topics *t, struct err *err),
                    struct err *err)
{
    int rc = check_options(t, err);
    if (rc >= 0) {
        rc = parse_who(t, err);
    }
    if (rc >= 0) {
        rc = each_user(t, NULL, err);
    }
    if (rc < 0) {
        return rc;
    }
    listing_begin(&t->out, &t->cli->notice, t->cli->opt->json);
    rc = verb(t, err);
    listing_end(&t->out, -rc);
    return rc;
}

int cmd_topics(struct cli *c, struct err *err)
{
    static const struct {
        const char *name;
        int (*run)(struct topics *t, struct err *err);
    } verbs[] = {{"create", create}, {"check", check}, {"describe", describe}};
    struct topics t = {.cli = c, .set = &c->set->broker};
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (!strcmp(c->opt->operands[0], verbs[i].name)) {
            int rc = run_verb(&t, verbs[i].run, err);
            kafka_admin_destroy(t.admin);
            layout_fini(&t.layout);
            return rc;
        }
    }
    err_set(err, ERR_USAGE,
            "could not run 'topics %s': it is not create, check or describe",
            c->opt->operands[0]);
    err_hint(err, "offpeak help topics");
    return -ERR_USAGE;
}
