/*
 * offpeak-sim: a simulated provider. See tests/sim/README.md.
 */
#include "tests/sim/engine.h"
#include "tests/sim/server.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int complain(struct text *why)
{
    fprintf(stderr, "offpeak-sim: %s\n", why->data);
    text_done(why);
    return -1;
}

static void sim_fini(struct sim *sim)
{
    batch_list_destroy(sim->batches);
    file_store_close(sim->files);
    faults_destroy(sim->faults);
    rate_limits_destroy(sim->rates);
    prompt_cache_destroy(sim->cache);
    invoice_destroy(sim->invoice);
    auth_destroy(sim->auth);
}

static int sim_init(struct sim *sim, const struct options *o)
{
    struct text why = {0};
    uint64_t seed = (uint64_t)o->seed;
    const char *tmp =
        getenv("TMPDIR"); /* NOLINT(concurrency-mt-unsafe): the only thread */
    *sim = (struct sim){.options = *o, .clock = clock_start(o->speed)};
    sim->faults = faults_read(o->faults, seed, &why);
    sim->files = sim->faults
                     ? file_store_open(o->dir, tmp && *tmp ? tmp : "/tmp", seed, &why)
                     : NULL;
    if (!sim->files) {
        sim_fini(sim);
        return complain(&why);
    }
    atomic_store(&sim->holds, o->hold);
    sim->auth = auth_create();
    sim->rates = rate_limits_create(o->rpm, o->tpm);
    sim->batches = batch_list_create(seed);
    sim->invoice = invoice_create();
    sim->cache = prompt_cache_create((int64_t)(o->cache_ttl_s * US_PER_S),
                                     (int64_t)(o->cache_ready_s * US_PER_S));
    return 0;
}

static int write_port_file(const char *path, int port)
{
    struct text part = {0};
    struct text why = {0};
    text_fmt(&part, "%s.part", path);
    FILE *f = fopen(part.data, "we");
    bool done = f && fprintf(f, "%d\n", port) > 0;
    done = f && fclose(f) == 0 && done && rename(part.data, path) == 0;
    if (!done) {
        text_fmt(&why, "could not write '%s': %s", path, strerrordesc_np(errno));
    }
    text_done(&part);
    return done ? 0 : complain(&why);
}

/* SIGTERM and SIGINT are waited for, not handled; a peer that has gone is no reason to die. */
static sigset_t block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigset_t all = set;
    sigaddset(&all, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    return set;
}

static int run(struct sim *sim, const sigset_t *ends)
{
    struct text why = {0};
    struct server *server = server_start(sim, &why);
    if (!server) {
        return complain(&why);
    }
    struct engine *engine = engine_start(sim);
    int rc = engine ? 0 : -1;
    printf("offpeak-sim: listening on port %d\n", server_port(server));
    (void)fflush(stdout);
    if (rc == 0 && sim->options.port_file) {
        rc = write_port_file(sim->options.port_file, server_port(server));
    }
    int got;
    if (rc == 0) {
        sigwait(ends, &got);
    }
    server_stop(server);
    engine_stop(engine);
    return rc;
}

int main(int argc, char **argv)
{
    struct options options;
    struct sim sim;
    if (options_parse(&options, argc, argv) < 0) {
        return 2;
    }
    if (options.help) {
        options_help(stdout);
        return 0;
    }
    sigset_t ends = block_signals();
    if (sim_init(&sim, &options) < 0) {
        return 2;
    }
    int rc = run(&sim, &ends);
    sim_fini(&sim);
    return rc < 0 ? 1 : 0;
}
