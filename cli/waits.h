/*
 * waits.h - why the jobs of a queue on a broker have no results yet: for commands that wait for them.
 *
 * waits_look, as often as you like, asks every WAITS_LOOK_MS who is at work (cli/crew.h) and which
 * gate the queue stands at (cli/gates.h), and says what it found, with the command that helps: once,
 * until it is something else. waits_gate is for who does not stay at a closed gate: it gives one
 * when it is sure that nothing will open it but a person.
 *
 * A broker that is away is waited for too (waits_bears). The loop's time, or any that only goes on.
 */
#ifndef OFFPEAK_CLI_WAITS_H
#define OFFPEAK_CLI_WAITS_H

#include "cli/cli.h"
#include "scheduler/scheduler.h"

#define WAITS_LOOK_MS  3000
#define WAITS_AWAY_MS  (10 * 60 * 1000)
#define WAITS_FIRST_MS 1000 /* a scheduler and a worker at work are faster than that */

/* "waits", "no scheduler, 1 worker at work; start with ...". */
typedef void (*waits_say_fn)(void *ctx, const char *subject, const char *text);

struct waits_conf {
    const struct cli *cli;
    struct queue *queue;
    const char *team, *feature; /* borrowed */
    waits_say_fn say;
    void *ctx;
};

struct waits;

int waits_open(struct waits **ret, const struct waits_conf *conf, struct err *err);
/* Reading results failed: true to try it again, for the broker may be back (told once); false when it
 * has been away for WAITS_AWAY_MS, or it is something else. */
bool waits_bears(struct waits *w, const struct err *err, int64_t now_ms);
/* Results could be read. `ends`: how many there are by now. */
void waits_look(struct waits *w, uint64_t ends, int64_t now_ms);
/* The gate that is closed for good, as far as this process can tell; NULL: none. */
const struct gate *waits_gate(const struct waits *w, int64_t now_ms);
/* Jobs of the queue that are not let through yet, as of the last look. */
uint64_t waits_jobs(const struct waits *w);
struct waits *waits_close(struct waits *w);

#endif
