#include "tests/sim/serve.h"

#include "tests/sim/rng.h"

uint64_t sim_serial(struct sim *sim)
{
    uint64_t seed = mix64((uint64_t)sim->options.seed);
    return mix64(seed + atomic_fetch_add(&sim->serial, 1));
}

int64_t sim_now_s(const struct sim *sim)
{
    return clock_sim_us(&sim->clock) / US_PER_S;
}

void serve(struct sim *sim, const struct ask_facts *facts, const uint64_t *steps,
           struct serve_how how, struct text *out, struct usage *ret_usage)
{
    struct cache_use cache =
        prompt_cache_touch(sim->cache, steps, facts->n_steps, how.started_us);
    struct answer_stamp stamp = {.id = sim_serial(sim),
                                 .created = how.started_us / US_PER_S};
    answer_write(out, facts, cache, how.style, stamp, ret_usage);
    if (!how.is_free) {
        invoice_charge(sim->invoice, facts, ret_usage, how.half_price || facts->flex);
    }
}

struct answer_style serve_style(enum fault_do what)
{
    return (struct answer_style){
        .refuse = what == DO_REFUSE,
        .filter = what == DO_FILTER,
        .no_usage = what == DO_NO_USAGE,
    };
}
