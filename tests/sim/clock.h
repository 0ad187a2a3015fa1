/*
 * The simulated clock: real time, from the moment the program started, times `speed`.
 *
 * Every created_at, expiry, batch duration and cache life is simulated time. What a client
 * measures by its own watch (latency, rate limits, Retry-After, how long a key stays revoked)
 * is real time. Both in microseconds; simulated time counts from 1970, real time from an
 * arbitrary point. This is the only file that reads a clock.
 */
#ifndef SIM_CLOCK_H
#define SIM_CLOCK_H

#include <stdint.h>
#include <time.h>

enum { US_PER_MS = 1000, US_PER_S = 1000000 };

struct sim_clock {
    int64_t real_start_us;
    int64_t sim_start_us;
    double speed;
};

struct sim_clock clock_start(double speed);
int64_t clock_real_us(void);
int64_t clock_sim_us(const struct sim_clock *c);

/* Real microseconds until the simulated moment, 0 when it has passed. */
int64_t clock_until_us(const struct sim_clock *c, int64_t sim_us);

/* The CLOCK_MONOTONIC moment `us` from now, for pthread_cond_timedwait. */
struct timespec clock_deadline(int64_t us);

#endif
