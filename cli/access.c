#include "cli/access.h"

#include <stdio.h>

#define BIT(op)   (1u << KAFKA_ACL_##op)
#define OPS_COUNT (KAFKA_ACL_ALL + 1)

static const char *const role_names[ACCESS_ROLES] = {
    [ACCESS_WORKER] = "worker",
    [ACCESS_SCHEDULER] = "scheduler",
    [ACCESS_PRODUCER] = "producer",
    [ACCESS_READER] = "reader",
    [ACCESS_BI] = "bi",
    [ACCESS_OPERATOR] = "operator",
};

/* In names %t is the team and %f the feature; a name that ends in '.' stands for all that begin
 * so. Jobs of a producer whose feature is not named: all of the team's. */
static const struct access_row {
    enum access_role role;
    enum kafka_resource resource;
    const char *name;
    bool prefixed;
    unsigned operations;
} rows[] = {
    {ACCESS_WORKER, KAFKA_ACL_TOPIC, "ready", false, BIT(READ) | BIT(DELETE)},
    {ACCESS_WORKER, KAFKA_ACL_TOPIC, "answers", false, BIT(READ) | BIT(WRITE)},
    {ACCESS_WORKER, KAFKA_ACL_TOPIC, "batches", false, BIT(READ) | BIT(WRITE)},
    {ACCESS_WORKER, KAFKA_ACL_TOPIC, "acks", false, BIT(READ) | BIT(WRITE)},
    {ACCESS_WORKER, KAFKA_ACL_TOPIC, "runs.", true, BIT(READ)},
    {ACCESS_WORKER, KAFKA_ACL_TOPIC, "results.", true, BIT(WRITE)},
    {ACCESS_WORKER, KAFKA_ACL_TOPIC, "dead.", true, BIT(WRITE)},
    {ACCESS_WORKER, KAFKA_ACL_TOPIC, "spend", false, BIT(WRITE)},
    {ACCESS_WORKER, KAFKA_ACL_GROUP, "worker", false, BIT(READ)},
    {ACCESS_WORKER, KAFKA_ACL_TRANSACTIONAL_ID, "worker", true, BIT(WRITE)},

    {ACCESS_SCHEDULER, KAFKA_ACL_TOPIC, "leader", false, BIT(READ)},
    {ACCESS_SCHEDULER, KAFKA_ACL_TOPIC, "jobs.", true, BIT(READ) | BIT(DELETE)},
    {ACCESS_SCHEDULER, KAFKA_ACL_TOPIC, "ready", false, BIT(WRITE)},
    {ACCESS_SCHEDULER, KAFKA_ACL_TOPIC, "spend", false, BIT(READ)},
    {ACCESS_SCHEDULER, KAFKA_ACL_TOPIC, "budgets", false, BIT(READ)},
    {ACCESS_SCHEDULER, KAFKA_ACL_TOPIC, "runs.", true, BIT(READ) | BIT(WRITE)},
    {ACCESS_SCHEDULER, KAFKA_ACL_TOPIC, "open", false, BIT(READ) | BIT(WRITE)},
    {ACCESS_SCHEDULER, KAFKA_ACL_TOPIC, "ledger", false, BIT(READ) | BIT(WRITE)},
    {ACCESS_SCHEDULER, KAFKA_ACL_TOPIC, "marks", false, BIT(READ) | BIT(WRITE)},
    {ACCESS_SCHEDULER, KAFKA_ACL_TOPIC, "acks", false, BIT(READ) | BIT(WRITE)},
    {ACCESS_SCHEDULER, KAFKA_ACL_GROUP, "scheduler", false, BIT(READ)},
    {ACCESS_SCHEDULER, KAFKA_ACL_TRANSACTIONAL_ID, "scheduler", true, BIT(WRITE)},

    {ACCESS_PRODUCER, KAFKA_ACL_TOPIC, "jobs.%t.%f", false, BIT(WRITE)},
    {ACCESS_PRODUCER, KAFKA_ACL_TOPIC, "runs.%t", false, BIT(READ) | BIT(WRITE)},
    {ACCESS_PRODUCER, KAFKA_ACL_TOPIC, "results.%t", false, BIT(DESCRIBE)},
    {ACCESS_PRODUCER, KAFKA_ACL_TOPIC, "dead.%t", false, BIT(DESCRIBE)},
    {ACCESS_PRODUCER, KAFKA_ACL_TOPIC, "spend", false, BIT(DESCRIBE)},

    {ACCESS_READER, KAFKA_ACL_TOPIC, "results.%t", false, BIT(READ)},
    {ACCESS_READER, KAFKA_ACL_TOPIC, "dead.%t", false, BIT(READ)},
    {ACCESS_READER, KAFKA_ACL_TOPIC, "runs.%t", false, BIT(READ)},
    {ACCESS_READER, KAFKA_ACL_TOPIC, "jobs.%t.", true, BIT(READ)},
    {ACCESS_READER, KAFKA_ACL_GROUP, "%t.", true, BIT(READ)},

    {ACCESS_BI, KAFKA_ACL_TOPIC, "spend", false, BIT(READ)},
    {ACCESS_BI, KAFKA_ACL_GROUP, "bi.", true, BIT(READ)},

    {ACCESS_OPERATOR, KAFKA_ACL_TOPIC, "", true,
     BIT(READ) | BIT(CREATE) | BIT(DESCRIBE_CONFIGS) | BIT(ALTER_CONFIGS)},
    {ACCESS_OPERATOR, KAFKA_ACL_TOPIC, "budgets", false, BIT(WRITE)},
    {ACCESS_OPERATOR, KAFKA_ACL_TOPIC, "spend", false, BIT(WRITE)},
    {ACCESS_OPERATOR, KAFKA_ACL_TOPIC, "runs.", true, BIT(WRITE)},
    {ACCESS_OPERATOR, KAFKA_ACL_TOPIC, "jobs.", true, BIT(WRITE)},
    {ACCESS_OPERATOR, KAFKA_ACL_GROUP, "", true, BIT(DESCRIBE)},
};

static const struct {
    const char *words, *option;
} resources[] = {
    [KAFKA_ACL_TOPIC] = {"topic", "--topic"},
    [KAFKA_ACL_GROUP] = {"group", "--group"},
    [KAFKA_ACL_TRANSACTIONAL_ID] = {"transactional id", "--transactional-id"},
    [KAFKA_ACL_CLUSTER] = {"cluster", "--cluster"},
};

static const struct {
    const char *words, *option;
} operations[] = {
    [KAFKA_ACL_READ] = {"read", "Read"},
    [KAFKA_ACL_WRITE] = {"write", "Write"},
    [KAFKA_ACL_CREATE] = {"create", "Create"},
    [KAFKA_ACL_DELETE] = {"delete", "Delete"},
    [KAFKA_ACL_DESCRIBE] = {"describe", "Describe"},
    [KAFKA_ACL_DESCRIBE_CONFIGS] = {"describe-configs", "DescribeConfigs"},
    [KAFKA_ACL_ALTER_CONFIGS] = {"alter-configs", "AlterConfigs"},
    [KAFKA_ACL_IDEMPOTENT_WRITE] = {"idempotent-write", "IdempotentWrite"},
    [KAFKA_ACL_ALL] = {"do all with", "All"},
};

const char *access_role_name(enum access_role role)
{
    return role_names[role];
}

/* ---- ROLE=USER ---- */

int access_parse(const char *text, struct access_who *ret, struct err *err)
{
    const char *equals = strchr(text, '=');
    struct span name = span_of(text, equals ? (size_t)(equals - text) : strlen(text));
    int n = -1;
    for (unsigned i = 0; i < ACCESS_ROLES; i++) {
        if (!span_is(name, role_names[i])) {
            continue;
        }
        ret->role = (enum access_role)i;
        n = !equals || !equals[1]
                ? -1
                : snprintf(ret->principal, sizeof(ret->principal), "%s%s",
                           strchr(equals, ':') ? "" : "User:", equals + 1);
        if (n > 0 && (size_t)n < sizeof(ret->principal)) {
            return 0;
        }
    }
    err_set(err, ERR_USAGE, "could not use --allow '%s': it is not ROLE=USER", text);
    err_hint(err, "ROLE is worker, scheduler, producer, reader, bi or operator; such as "
                  "--allow worker=User:offpeak-worker");
    return -ERR_USAGE;
}

/* ---- rules ---- */

/* Writes a row's name; true when it stands for all names that begin so. */
static bool expand(const struct access_row *row, const struct access_scope *scope,
                   char ret[static KAFKA_TOPIC_MAX])
{
    _cleanup_(buf_fini) struct buf name;
    bool all = row->prefixed;
    buf_init(&name, KAFKA_TOPIC_MAX);
    buf_adds(&name, scope->prefix);
    for (const char *c = row->name; *c; c++) {
        if (*c != '%') {
            buf_addc(&name, *c);
            continue;
        }
        const char *word = *++c == 't' ? scope->team : scope->feature;
        if (!word) {
            all = true;
            break;
        }
        buf_adds(&name, word);
    }
    snprintf(ret, KAFKA_TOPIC_MAX, "%s", name.p);
    return all;
}

static int add(struct access_rules *to, const struct access_row *row,
               const struct access_scope *scope, struct err *err)
{
    for (unsigned op = 0; op < OPS_COUNT; op++) {
        if (!(row->operations & (1u << op))) {
            continue;
        }
        if (to->n == ACCESS_RULES_MAX) {
            return err_set(err, ERR_FAIL, "could not list the permissions of '%s'",
                           to->principal);
        }
        char *name = to->names[to->n];
        bool prefixed = expand(row, scope, name);
        to->v[to->n++] = (struct kafka_acl){
            .resource = row->resource,
            .name = name,
            .prefixed = prefixed,
            .principal = to->principal,
            .operation = (enum kafka_operation)op,
        };
    }
    return 0;
}

int access_rules(const struct access_who *who, const struct access_scope *scope,
                 struct access_rules *ret, struct err *err)
{
    ret->n = 0;
    snprintf(ret->principal, sizeof(ret->principal), "%s", who->principal);
    if (!scope->team && (who->role == ACCESS_PRODUCER || who->role == ACCESS_READER)) {
        const char *role = role_names[who->role];
        err_set(err, ERR_USAGE, "could not use --allow %s=%s: it needs --team", role,
                who->principal);
        err_hint(err, "a %s may use what one team has", role);
        return -ERR_USAGE;
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int rc = rows[i].role == who->role ? add(ret, &rows[i], scope, err) : 0;
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* Who may do one of these may describe. */
static bool implies(enum kafka_operation has, enum kafka_operation needed)
{
    return has == needed || has == KAFKA_ACL_ALL ||
           (needed == KAFKA_ACL_DESCRIBE &&
            (has == KAFKA_ACL_READ || has == KAFKA_ACL_WRITE || has == KAFKA_ACL_DELETE));
}

bool access_covers(const struct kafka_acl *has, const struct kafka_acl *needed)
{
    bool all = !has->prefixed && !strcmp(has->name, "*");
    bool begins = has->prefixed && !strncmp(needed->name, has->name, strlen(has->name));
    bool named = !has->prefixed && !needed->prefixed && !strcmp(has->name, needed->name);
    return has->resource == needed->resource &&
           implies(has->operation, needed->operation) &&
           (!strcmp(has->principal, needed->principal) ||
            !strcmp(has->principal, "User:*")) &&
           (all || begins || named);
}

/* ---- in words ---- */

void access_words(const struct kafka_acl *acl, struct buf *ret)
{
    buf_addf(ret, "%s %s %s%s", operations[acl->operation].words,
             resources[acl->resource].words, acl->name, acl->prefixed ? "*" : "");
}

/* A principal may hold spaces and commas: "User:CN=worker, O=us". */
static void quoted(struct buf *ret, const char *text)
{
    buf_addc(ret, '\'');
    for (; *text; text++) {
        if (*text == '\'') {
            buf_adds(ret, "'\\''");
        } else {
            buf_addc(ret, *text);
        }
    }
    buf_addc(ret, '\'');
}

void access_command(const struct kafka_acl *acl, const char *brokers, struct buf *ret)
{
    buf_addf(ret, "kafka-acls.sh --bootstrap-server %s --add --allow-principal ",
             brokers);
    quoted(ret, acl->principal);
    buf_addf(ret, " --operation %s %s %s%s", operations[acl->operation].option,
             resources[acl->resource].option, acl->name,
             acl->prefixed ? " --resource-pattern-type prefixed" : "");
}
