#include "tests/sim/clock.h"

static int64_t read_us(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * US_PER_S + t.tv_nsec / 1000;
}

int64_t clock_real_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

struct sim_clock clock_start(double speed)
{
    return (struct sim_clock){.real_start_us = clock_real_us(),
                              .sim_start_us = read_us(CLOCK_REALTIME),
                              .speed = speed};
}

int64_t clock_sim_us(const struct sim_clock *c)
{
    double passed = (double)(clock_real_us() - c->real_start_us) * c->speed;
    return c->sim_start_us + (int64_t)passed;
}

int64_t clock_until_us(const struct sim_clock *c, int64_t sim_us)
{
    int64_t left = sim_us - clock_sim_us(c);
    return left > 0 ? (int64_t)((double)left / c->speed) + 1 : 0;
}

struct timespec clock_deadline(int64_t us)
{
    int64_t at = clock_real_us() + us;
    return (struct timespec){.tv_sec = at / US_PER_S, .tv_nsec = at % US_PER_S * 1000};
}
