#include "scheduler/budget_default.h"

#include <string.h>

static int refuse(const char *text, struct err *err)
{
    err_set(
        err, ERR_USAGE,
        "could not use budget.default '%.80s': it is not USD/day, USD/month, USD/total "
        "or none",
        text);
    err_hint(err, "such as --set budget.default=25/day");
    return -ERR_USAGE;
}

int budget_default_parse(const char *text, struct budget_default *ret, struct err *err)
{
    struct budget_default d = {.given = true};
    struct {
        const char *per;
        bool *has;
        struct usd *limit;
    } periods[] = {
        {"day", &d.edit.has_day, &d.edit.day},
        {"month", &d.edit.has_month, &d.edit.month},
        {"total", &d.edit.has_total, &d.edit.total},
    };
    if (!text || !text[0]) {
        *ret = (struct budget_default){.given = false};
        return 0;
    }
    if (!strcmp(text, "none")) {
        *ret = d;
        return 0;
    }
    const char *slash = strchr(text, '/');
    for (size_t i = 0; slash && i < ARRAY_LEN(periods); i++) {
        struct span amount = span_of(text, (size_t)(slash - text));
        if (!strcmp(slash + 1, periods[i].per) &&
            usd_parse(amount, periods[i].limit) >= 0) {
            *periods[i].has = true;
            *ret = d;
            return 0;
        }
    }
    return refuse(text, err);
}

bool budget_edit_limits(const struct budget_edit *edit)
{
    return edit->has_day || edit->has_month || edit->has_total;
}

const struct budget_edit *budget_default_for(const struct budget_default *d,
                                             const char *scope,
                                             const struct budget_edit *edit)
{
    bool own = edit && budget_edit_limits(edit);
    bool team = !strchr(scope, '/');
    return !own && team && budget_edit_limits(&d->edit) ? &d->edit : edit;
}
