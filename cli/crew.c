#include "cli/crew.h"

#include <stdio.h>

static const char scheduler[] = "scheduler", worker[] = "worker";

static int count(struct kafka_admin *admin, const struct broker_settings *set,
                 const char *role, int *ret, struct err *err)
{
    char group[KAFKA_TOPIC_MAX];
    snprintf(group, sizeof(group), "%s%s", set->prefix, role);
    int rc = kafka_admin_members(admin, group, err);
    *ret = rc < 0 ? CREW_UNKNOWN : rc;
    return rc < 0 && !kafka_denied(err) ? -(int)err->code : 0;
}

int crew_look(struct kafka_admin *admin, const struct broker_settings *set,
              struct crew *ret, struct err *err)
{
    struct err aside = {0};
    int rc = count(admin, set, scheduler, &ret->schedulers, &aside);
    rc = rc < 0 ? rc : count(admin, set, worker, &ret->workers, &aside);
    if (rc < 0) {
        *err = aside;
    }
    return rc;
}

static void add_words(struct buf *to, const char *role, int n)
{
    if (n == CREW_UNKNOWN) {
        buf_addf(to, "%ss unknown", role);
    } else if (n == 0) {
        buf_addf(to, "no %s", role);
    } else {
        buf_addf(to, "%d %s%s", n, role, PLURAL(n));
    }
}

void crew_words(const struct crew *c, struct buf *ret)
{
    add_words(ret, scheduler, c->schedulers);
    buf_adds(ret, ", ");
    add_words(ret, worker, c->workers);
}

bool crew_lacks(const struct crew *c)
{
    return c->schedulers == 0 || c->workers == 0;
}

void crew_remedy(const struct crew *c, const struct broker_settings *set, struct buf *ret)
{
    const char *both = c->schedulers == 0 && c->workers == 0 ? " and " : "";
    if (c->schedulers == 0) {
        buf_addf(ret, "offpeak %s", scheduler);
        broker_words(set, false, ret);
    }
    buf_adds(ret, both);
    if (c->workers == 0) {
        buf_addf(ret, "offpeak %s", worker);
        broker_words(set, false, ret);
    }
}
