#include "core/clock.h"

#include "core/attr.h"

#include <string.h>
#include <time.h>

#define DAY_MS INT64_C(86400000)
#define WALL_MAX_MS \
    INT64_C(253402300799999) /* the last instant with a year of four digits */

struct clock clock_real(void)
{
    return (struct clock){.simulated = false};
}

struct clock clock_simulated(int64_t wall_ms)
{
    return (struct clock){.simulated = true, .sim_wall_ms = wall_ms};
}

static int64_t read_ms(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_mono_ms(const struct clock *c)
{
    return c->simulated ? c->sim_mono_ms : read_ms(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(const struct clock *c)
{
    return c->simulated ? c->sim_wall_ms : read_ms(CLOCK_REALTIME);
}

void clock_advance(struct clock *c, int64_t ms)
{
    assert(c->simulated && ms >= 0);
    c->sim_mono_ms += ms;
    c->sim_wall_ms += ms;
}

static struct tm utc(int64_t wall_ms)
{
    struct tm tm;
    time_t seconds = (time_t)(wall_ms / 1000);
    gmtime_r(&seconds, &tm);
    return tm;
}

static int64_t clamp_wall(int64_t wall_ms)
{
    return wall_ms < 0 ? 0 : MIN_OF(wall_ms, WALL_MAX_MS);
}

const char *clock_day(int64_t wall_ms, char ret[static CLOCK_DAY_TEXT])
{
    struct tm tm = utc(clamp_wall(wall_ms));
    strftime(ret, CLOCK_DAY_TEXT, "%Y-%m-%d", &tm);
    return ret;
}

static char digit(int n)
{
    return (char)('0' + n % 10);
}

const char *clock_time(int64_t wall_ms, char ret[static CLOCK_TIME_TEXT])
{
    wall_ms = clamp_wall(wall_ms);
    struct tm tm = utc(wall_ms);
    size_t n = strftime(ret, CLOCK_TIME_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
    int ms = (int)(wall_ms % 1000);
    const char tail[] = {'.', digit(ms / 100), digit(ms / 10), digit(ms), 'Z', '\0'};
    memcpy(ret + n, tail, sizeof(tail));
    return ret;
}

int64_t clock_next_day(int64_t wall_ms)
{
    return (clamp_wall(wall_ms) / DAY_MS + 1) * DAY_MS;
}

int64_t clock_next_month(int64_t wall_ms)
{
    struct tm tm = utc(clamp_wall(wall_ms));
    struct tm first = {.tm_year = tm.tm_year, .tm_mon = tm.tm_mon + 1, .tm_mday = 1};
    return (int64_t)timegm(&first) * 1000;
}
