#include "worker/pool_cost.h"

#include "core/attr.h"

#define ANSWER_FIRST 128    /* bytes, until answers tell: a word or two */
#define ANSWER_MOST  100000 /* tokens */
#define WRITE_COST   16     /* to write a token takes as long as to read so many */
#define ANSWER_PAST  16     /* weight of the past */
#define AGAIN_PAST   4
#define AGAIN_ALL    1000

void pool_cost_init(struct pool_cost *k)
{
    *k = (struct pool_cost){.answer = ANSWER_FIRST};
}

static void learn_answer(struct pool_cost *k, const struct call *c,
                         const struct pool_seen *seen)
{
    uint64_t tokens = MIN_OF(seen->output, (uint64_t)ANSWER_MOST) * WRITE_COST;
    int64_t bytes = (int64_t)(tokens * c->body_bytes / seen->input);
    k->answer += (bytes - k->answer) / ANSWER_PAST;
}

static void learn_again(struct pool_cost *k, const struct call *c,
                        const struct pool_seen *seen)
{
    uint64_t shared = MIN_OF(c->prompt_bytes, c->body_bytes);
    uint64_t beginning = seen->input * shared / MAX_OF(c->body_bytes, 1u);
    uint64_t missed = beginning - MIN_OF(beginning, seen->cached);
    int64_t again = beginning ? (int64_t)(AGAIN_ALL * missed / beginning) : 0;
    k->again = k->tried ? k->again + (again - k->again) / AGAIN_PAST : again;
    k->tried = true;
}

void pool_cost_learn(struct pool_cost *k, const struct call *c,
                     const struct pool_seen *seen)
{
    if (seen->input == 0) {
        return;
    }
    learn_answer(k, c, seen);
    if (seen->twice) {
        learn_again(k, c, seen);
    }
    k->reports = k->reports || seen->cached > 0;
}

uint64_t pool_cost_of(const struct pool_cost *k, const struct load *l)
{
    return l->bytes + l->calls * (uint64_t)k->answer;
}

uint64_t pool_cost_again(const struct pool_cost *k, uint64_t beginning)
{
    uint64_t again = pool_cost_knows_again(k) ? (uint64_t)k->again : AGAIN_ALL;
    return beginning * again / AGAIN_ALL;
}

bool pool_cost_knows_again(const struct pool_cost *k)
{
    return k->reports && k->tried;
}
