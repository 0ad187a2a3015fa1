#include "core/name.h"

static bool in_range(char c, char low, char high)
{
    return c >= low && c <= high;
}

static bool is_team_char(char c)
{
    return in_range(c, 'a', 'z') || in_range(c, '0', '9') || c == '-';
}

static bool is_run_char(char c)
{
    return is_team_char(c) || in_range(c, 'A', 'Z') || c == '.' || c == '_';
}

static bool consists_of(struct span name, bool (*allowed)(char), size_t max)
{
    for (size_t i = 0; i < name.n; i++) {
        if (!allowed(name.p[i])) {
            return false;
        }
    }
    return name.n > 0 && name.n <= max;
}

bool name_is_team(struct span name)
{
    return consists_of(name, is_team_char, NAME_TEAM_MAX);
}

bool name_is_run(struct span name)
{
    return consists_of(name, is_run_char, NAME_RUN_MAX) && !span_is(name, ".") &&
           !span_is(name, "..");
}

int name_check_team(const char *what, struct span name, struct err *err)
{
    if (name_is_team(name)) {
        return 0;
    }
    err_set(err, ERR_USAGE,
            "could not use the %s '%.*s': a %s has 1 to %d of a-z, 0-9 and -", what,
            (int)MIN_OF(name.n, (size_t)100), name.p ? name.p : "", what, NAME_TEAM_MAX);
    return -(int)ERR_USAGE;
}

int name_check_run(struct span name, struct err *err)
{
    if (name_is_run(name)) {
        return 0;
    }
    err_set(
        err, ERR_USAGE,
        "could not use the run id '%.*s': a run id has 1 to %d of a-z, A-Z, 0-9, '.', '_' "
        "and '-'",
        (int)MIN_OF(name.n, (size_t)100), name.p ? name.p : "", NAME_RUN_MAX);
    return -(int)ERR_USAGE;
}
