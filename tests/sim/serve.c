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

void serve(struct sim *sim, struct serve_what what, struct serve_how how,
           struct text *out, struct usage *ret_usage)
{
    const struct ask_facts *facts = what.facts;
    struct answer_task task = {
        .ask = facts,
        .digests = what.digests,
        .cache =
            prompt_cache_touch(sim->cache, what.steps, facts->n_steps, how.started_us),
        .style = how.style,
        .stamp = {.id = sim_serial(sim), .created = how.started_us / US_PER_S},
    };
    answer_write(out, &task, ret_usage);
    if (!how.is_free) {
        invoice_charge(sim->invoice, facts, ret_usage, how.half_price || facts->flex,
                       &what.to);
    }
}

struct serve_how serve_how(const struct fault *f, enum ask_kind kind)
{
    bool breaks = f->what == DO_BREAK && kind == ASK_RESPONSE;
    return (struct serve_how){
        .is_free = (f->what == DO_OMIT || breaks) && !f->billed,
        .style = {.refuse = f->what == DO_REFUSE,
                  .filter = f->what == DO_FILTER,
                  .no_usage = f->what == DO_NO_USAGE || (breaks && !f->billed),
                  .fail_code = breaks ? f->code : NULL,
                  .fail_message = f->message},
    };
}
