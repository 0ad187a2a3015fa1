/* The part of access.h that talks to the broker. */
#include "cli/access.h"

struct look {
    const struct access_rules *rules;
    enum access_state *states;
};

static int on_acl(void *ctx, const struct kafka_acl *acl)
{
    struct look *look = ctx;
    for (size_t i = 0; i < look->rules->n; i++) {
        if (access_covers(acl, &look->rules->v[i])) {
            look->states[i] = ACCESS_HAS;
        }
    }
    return 0;
}

int access_look(struct kafka_admin *admin, const struct access_rules *rules,
                enum access_state ret[static ACCESS_RULES_MAX], struct err *err)
{
    struct look look = {.rules = rules, .states = ret};
    for (size_t i = 0; i < rules->n; i++) {
        ret[i] = kafka_knows_resource(rules->v[i].resource) ? ACCESS_LACKS
                                                            : ACCESS_UNKNOWN;
    }
    int rc = kafka_admin_acls(admin, on_acl, &look, err);
    return rc < 0 ? -(int)err->code : 0;
}

int access_allow(struct kafka_admin *admin, const struct access_rules *rules,
                 struct err *err)
{
    struct kafka_acl give[ACCESS_RULES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < rules->n; i++) {
        if (kafka_knows_resource(rules->v[i].resource)) {
            give[n++] = rules->v[i];
        }
    }
    int rc = kafka_admin_allow(admin, give, n, err);
    return rc < 0 ? -(int)err->code : 0;
}
