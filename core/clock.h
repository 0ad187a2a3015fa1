/*
 * clock.h - the only place time comes from.
 *
 * Two readings: `mono` for measuring and timers, `wall` for records and periods (UTC). A real
 * clock asks the system; a simulated one stands still until somebody moves it, which is what
 * lets a test live through a month of nights. The loop owns the clock it was given and takes
 * one reading of each per turn.
 */
#ifndef OFFPEAK_CORE_CLOCK_H
#define OFFPEAK_CORE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct clock {
    bool simulated;
    int64_t sim_mono_ms, sim_wall_ms; /* used when simulated */
};

struct clock clock_real(void);
struct clock clock_simulated(int64_t wall_ms);
int64_t clock_mono_ms(const struct clock *c);
int64_t clock_wall_ms(const struct clock *c);
void clock_advance(struct clock *c, int64_t ms); /* simulated clocks only */

#define CLOCK_DAY_TEXT  11 /* "2026-11-21" */
#define CLOCK_TIME_TEXT 25 /* "2026-11-21T02:14:07.311Z" */

const char *clock_day(int64_t wall_ms, char ret[static CLOCK_DAY_TEXT]);
const char *clock_time(int64_t wall_ms, char ret[static CLOCK_TIME_TEXT]);
int64_t clock_next_day(int64_t wall_ms);   /* start of the next UTC day */
int64_t clock_next_month(int64_t wall_ms); /* start of the next UTC month */

#endif
