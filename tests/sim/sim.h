/*
 * The simulator: all its parts, made once by main and handed to whoever needs them.
 *
 * The server (server.h) calls the operations (api.h) on its own threads; the engine (engine.h)
 * moves batches forward on another. The parts lock themselves.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "tests/sim/auth.h"
#include "tests/sim/batch_list.h"
#include "tests/sim/clock.h"
#include "tests/sim/faults.h"
#include "tests/sim/file_store.h"
#include "tests/sim/invoice.h"
#include "tests/sim/options.h"
#include "tests/sim/prompt_cache.h"
#include "tests/sim/rate_limit.h"
#include "tests/sim/stats.h"

struct sim {
    struct options options;
    struct sim_clock clock;
    struct auth *auth;
    struct rate_limits *rates;
    struct faults *faults;
    struct file_store *files;
    struct batch_list *batches;
    struct prompt_cache *cache;
    struct invoice *invoice;
    struct stats stats;
    atomic_ullong serial; /* of request and completion ids */
    atomic_bool holds;    /* --hold or POST /sim/hold, before POST /sim/go */
};

/* A fresh number for an id: unlike any other, and random to look at. */
uint64_t sim_serial(struct sim *sim);

int64_t sim_now_s(const struct sim *sim);

enum {
    SIM_HOLD_LOOK_US = 10000
}; /* how often (real) what is held looks whether it still is */

#endif
