/*
 * The engine: one thread that carries every live batch through its states as simulated time
 * passes, a slice of lines at a time, so that many batches advance together and HTTP is never
 * kept waiting. The only caller of batch_work.h.
 */
#ifndef SIM_ENGINE_H
#define SIM_ENGINE_H

#include "tests/sim/sim.h"

struct engine;

/* Starts the thread. NULL when that fails. */
struct engine *engine_start(struct sim *sim);

/* Ends it; batches stay as they are. */
struct engine *engine_stop(struct engine *e);

#endif
