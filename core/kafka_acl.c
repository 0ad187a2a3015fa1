/* Who may do what on the broker: the permissions part of kafka.h. */
#include "core/kafka_int.h"

#include <stdio.h>
#include <stdlib.h>

#define ACLS_MAX 200 /* in one request */

/* The number that later libraries give it; 2.0.2 refuses it. */
#define RESOURCE_TRANSACTIONAL_ID 5

static const int resources[] = {
    [KAFKA_ACL_TOPIC] = RD_KAFKA_RESOURCE_TOPIC,
    [KAFKA_ACL_GROUP] = RD_KAFKA_RESOURCE_GROUP,
    [KAFKA_ACL_TRANSACTIONAL_ID] = RESOURCE_TRANSACTIONAL_ID,
    [KAFKA_ACL_CLUSTER] = RD_KAFKA_RESOURCE_BROKER,
};

static const int operations[] = {
    [KAFKA_ACL_READ] = RD_KAFKA_ACL_OPERATION_READ,
    [KAFKA_ACL_WRITE] = RD_KAFKA_ACL_OPERATION_WRITE,
    [KAFKA_ACL_CREATE] = RD_KAFKA_ACL_OPERATION_CREATE,
    [KAFKA_ACL_DELETE] = RD_KAFKA_ACL_OPERATION_DELETE,
    [KAFKA_ACL_DESCRIBE] = RD_KAFKA_ACL_OPERATION_DESCRIBE,
    [KAFKA_ACL_DESCRIBE_CONFIGS] = RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
    [KAFKA_ACL_ALTER_CONFIGS] = RD_KAFKA_ACL_OPERATION_ALTER_CONFIGS,
    [KAFKA_ACL_IDEMPOTENT_WRITE] = RD_KAFKA_ACL_OPERATION_IDEMPOTENT_WRITE,
    [KAFKA_ACL_ALL] = RD_KAFKA_ACL_OPERATION_ALL,
};

/* Index of `value` in a table, -1 when it is not one of ours. */
static int index_of(const int *table, size_t n, int value)
{
    for (size_t i = 0; i < n; i++) {
        if (table[i] == value) {
            return (int)i;
        }
    }
    return -1;
}

bool kafka_knows_resource(enum kafka_resource resource)
{
    char why[200];
    rd_kafka_AclBindingFilter_t *filter = rd_kafka_AclBindingFilter_new(
        (rd_kafka_ResourceType_t)resources[resource], NULL, RD_KAFKA_RESOURCE_PATTERN_ANY,
        NULL, NULL, RD_KAFKA_ACL_OPERATION_ANY, RD_KAFKA_ACL_PERMISSION_TYPE_ANY, why,
        sizeof(why));
    if (filter) {
        rd_kafka_AclBinding_destroy(filter);
    }
    return filter != NULL;
}

struct bindings {
    rd_kafka_AclBinding_t *v[ACLS_MAX];
    size_t n;
};

static void bindings_finip(struct bindings *b)
{
    for (size_t i = 0; i < b->n; i++) {
        rd_kafka_AclBinding_destroy(b->v[i]);
    }
}

static int bind_all(struct bindings *b, const struct kafka_acl *acls, size_t n,
                    struct err *err)
{
    char why[200] = "";
    for (size_t i = 0; i < n; i++) {
        const struct kafka_acl *a = &acls[i];
        b->v[b->n] = rd_kafka_AclBinding_new(
            (rd_kafka_ResourceType_t)resources[a->resource], a->name,
            a->prefixed ? RD_KAFKA_RESOURCE_PATTERN_PREFIXED
                        : RD_KAFKA_RESOURCE_PATTERN_LITERAL,
            a->principal, "*", (rd_kafka_AclOperation_t)operations[a->operation],
            RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, why, sizeof(why));
        if (!b->v[b->n]) {
            bool old = a->resource == KAFKA_ACL_TRANSACTIONAL_ID;
            int rc =
                kafka_fail_class(err, KAFKA_WRONG, "could not allow '%s' to '%s': %s",
                                 a->name, a->principal,
                                 old ? "this librdkafka cannot do it for transactional "
                                       "ids"
                                     : why);
            if (old && err) {
                err_hint(err,
                         "run: kafka-acls.sh --add --allow-principal %s "
                         "--operation All --transactional-id %s",
                         a->principal, a->name);
            }
            return rc;
        }
        b->n++;
    }
    return 0;
}

static int allow_some(struct kafka_admin *a, const struct kafka_acl *acls, size_t n,
                      struct err *err)
{
    _cleanup_(bindings_finip) struct bindings b = {.n = 0};
    _cleanup_(kafka_request_finip) struct kafka_request r = {0};
    size_t got_n = 0;
    int rc = bind_all(&b, acls, n, err);
    if (rc < 0) {
        return rc;
    }
    kafka_request_init(&r, a, RD_KAFKA_ADMIN_OP_CREATEACLS);
    rd_kafka_CreateAcls(a->link.rk, b.v, b.n, r.options, r.q);
    rc = kafka_request_wait(&r, "give permissions to", acls[0].principal, err);
    if (rc < 0) {
        return rc;
    }
    const rd_kafka_acl_result_t **got = rd_kafka_CreateAcls_result_acls(
        rd_kafka_event_CreateAcls_result(r.reply), &got_n);
    for (size_t i = 0; i < got_n; i++) {
        const rd_kafka_error_t *e = rd_kafka_acl_result_error(got[i]);
        if (e) {
            return kafka_refused(err, rd_kafka_error_code(e), rd_kafka_error_string(e),
                                 "give permissions on", acls[i].name);
        }
    }
    return 0;
}

int kafka_admin_allow(struct kafka_admin *a, const struct kafka_acl *acls, size_t n,
                      struct err *err)
{
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < n; at += ACLS_MAX) {
        rc = allow_some(a, acls + at, MIN_OF(n - at, (size_t)ACLS_MAX), err);
    }
    return rc;
}

static int tell_acl(const rd_kafka_AclBinding_t *b, kafka_acl_fn fn, void *ctx)
{
    int resource =
        index_of(resources, ARRAY_LEN(resources), rd_kafka_AclBinding_restype(b));
    int operation =
        index_of(operations, ARRAY_LEN(operations), rd_kafka_AclBinding_operation(b));
    if (resource < 0 || operation < 0 ||
        rd_kafka_AclBinding_permission_type(b) != RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW ||
        strcmp(rd_kafka_AclBinding_host(b), "*") != 0) {
        return 0;
    }
    struct kafka_acl acl = {
        .resource = (enum kafka_resource)resource,
        .name = rd_kafka_AclBinding_name(b),
        .prefixed = rd_kafka_AclBinding_resource_pattern_type(b) ==
                    RD_KAFKA_RESOURCE_PATTERN_PREFIXED,
        .principal = rd_kafka_AclBinding_principal(b),
        .operation = (enum kafka_operation)operation,
    };
    return fn(ctx, &acl);
}

int kafka_admin_acls(struct kafka_admin *a, kafka_acl_fn fn, void *ctx, struct err *err)
{
    _cleanup_(kafka_request_finip) struct kafka_request r = {0};
    char why[200] = "";
    size_t n = 0;
    rd_kafka_AclBindingFilter_t *all = rd_kafka_AclBindingFilter_new(
        RD_KAFKA_RESOURCE_ANY, NULL, RD_KAFKA_RESOURCE_PATTERN_ANY, NULL, NULL,
        RD_KAFKA_ACL_OPERATION_ANY, RD_KAFKA_ACL_PERMISSION_TYPE_ANY, why, sizeof(why));
    if (!all) {
        return kafka_fail_class(err, KAFKA_WRONG, "could not list permissions: %s", why);
    }
    kafka_request_init(&r, a, RD_KAFKA_ADMIN_OP_DESCRIBEACLS);
    rd_kafka_DescribeAcls(a->link.rk, all, r.options, r.q);
    rd_kafka_AclBinding_destroy(all);
    int rc = kafka_request_wait(&r, "list permissions of", "this cluster", err);
    if (rc < 0) {
        return rc;
    }
    const rd_kafka_AclBinding_t **v = rd_kafka_DescribeAcls_result_acls(
        rd_kafka_event_DescribeAcls_result(r.reply), &n);
    for (size_t i = 0; rc >= 0 && i < n; i++) {
        rc = tell_acl(v[i], fn, ctx);
    }
    return rc < 0 ? rc : 0;
}
