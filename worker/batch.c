#include "worker/batch.h"
#include "worker/call.h"

#include <stdio.h>
#include <stdlib.h>

#define BIT(state) (1u << BATCH_##state)

/* What any refusal of the whole batch, or the provider's word about it, may lead to. */
#define REFUSED (BIT(RETRY) | BIT(SPLIT) | BIT(DEAD))
#define ENDS    (BIT(FETCHED) | BIT(EXPIRED) | BIT(CANCELLED) | REFUSED | BIT(JOURNALED))

/* clang-format off: a table */
const struct batch_rule batch_rules[BATCH_STATES] = {
    [BATCH_OPEN] = {"open", "batch.open", BIT(SEALED), BATCH_WAITS_SEAL},
    [BATCH_SEALED] = {"sealed", "batch.sealed", BIT(JOURNALED) | BIT(SPLIT) | BIT(DEAD),
                      BATCH_WAITS_SPOOL},
    [BATCH_JOURNALED] = {"journaled", "batch.journaled", BIT(UPLOADED) | REFUSED,
                         BATCH_WAITS_UPLOAD, .durable = true},
    [BATCH_UPLOADED] = {"uploaded", "batch.uploaded",
                        BIT(SUBMITTED) | BIT(JOURNALED) | REFUSED, BATCH_WAITS_CREATE,
                        .durable = true, .remote = true},
    [BATCH_SUBMITTED] = {"submitted", "batch.submitted", BIT(POLLING) | ENDS,
                         BATCH_WAITS_END, .durable = true, .remote = true},
    [BATCH_POLLING] = {"polling", "batch.polling", ENDS, BATCH_WAITS_END, .durable = true,
                       .remote = true},
    [BATCH_EXPIRED] = {"expired", "batch.expired", BIT(FETCHED) | BIT(DEAD),
                       BATCH_WAITS_FILES, .durable = true, .remote = true},
    [BATCH_CANCELLED] = {"cancelled", "batch.cancelled", BIT(FETCHED) | BIT(DEAD),
                         BATCH_WAITS_FILES, .durable = true, .remote = true},
    [BATCH_FETCHED] = {"fetched", "batch.fetched", BIT(POLLING) | BIT(SETTLED),
                       BATCH_WAITS_MEMBERS, .durable = true},
    [BATCH_RETRY] = {"retry", "batch.retry", BIT(JOURNALED) | BIT(UPLOADED) | BIT(DEAD),
                     BATCH_WAITS_DUE, .durable = true},
    [BATCH_SPLIT] = {"split", "batch.split", BIT(SETTLED), BATCH_WAITS_CHILDREN},
    [BATCH_DEAD] = {"dead", "batch.dead", BIT(SETTLED), BATCH_WAITS_MEMBERS,
                    .durable = true},
    [BATCH_SETTLED] = {"settled", "batch.settled", 0, BATCH_WAITS_NOTHING},
};
/* clang-format on */

void batch_id_format(int64_t wall_ms, const uint8_t random[static BATCH_RANDOM_BYTES],
                     char ret[static BATCH_ID_BYTES])
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint64_t ms = (uint64_t)wall_ms;
    for (int i = 9; i >= 0; i--) { /* 48 bits of time in 10 digits of 5 */
        ret[i] = digits[ms & 31];
        ms >>= 5;
    }
    for (int i = 0; i < 16; i++) { /* 80 bits in 16 digits */
        unsigned bit = (unsigned)i * 5, at = bit / 8, shift = bit % 8;
        unsigned two = (unsigned)random[at] << 8;
        two |= at + 1 < BATCH_RANDOM_BYTES ? random[at + 1] : 0u;
        ret[10 + i] = digits[(two >> (11 - shift)) & 31];
    }
    ret[BATCH_ID_BYTES - 1] = '\0';
}

int batch_create(struct batch **ret, uint32_t calls_max, struct err *err)
{
    if (calls_max == 0 || calls_max > BATCH_CALLS_MAX) {
        return err_set(err, ERR_FAIL,
                       "could not make a batch of %u calls: 1 to %d are allowed",
                       calls_max, BATCH_CALLS_MAX);
    }
    struct batch *b = calloc(1, sizeof(*b));
    if (b) {
        b->calls_max = calls_max;
        b->calls = calloc(calls_max, sizeof(struct call *));
        b->ats = calloc(calls_max, sizeof(*b->ats));
        b->fates = calloc(calls_max, 1);
    }
    if (!b || !b->calls || !b->ats || !b->fates) {
        batch_destroy(b);
        return err_set(err, ERR_FAIL, "could not make a batch of %u calls: out of memory",
                       calls_max);
    }
    *ret = b;
    return 0;
}

struct batch *batch_destroy(struct batch *b)
{
    if (b) {
        free(b->calls);
        free(b->ats);
        free(b->fates);
        free(b->bad);
        free(b);
    }
    return NULL;
}

int batch_add(struct batch *b, struct call *c, uint64_t at, struct err *err)
{
    if (b->state != BATCH_OPEN || b->n >= b->calls_max) {
        return err_set(err, ERR_FAIL,
                       "could not add a call to batch '%s': it is %s with %u of %u calls",
                       b->id, batch_state_name(b->state), b->n, b->calls_max);
    }
    uint32_t i = b->n++;
    b->calls[i] = c;
    b->ats[i] = at;
    b->fates[i] = c ? FATE_HERE : FATE_ENDED;
    b->count[b->fates[i]]++;
    if (c) {
        c->state = CALL_BATCHED;
        c->batch = b;
        c->index = i;
    }
    return 0;
}

bool batch_done(const struct batch *b)
{
    return b->count[FATE_ENDED] + b->count[FATE_AGAIN] == b->n;
}

/* Why the move must not be made, or NULL. */
static const char *objection(const struct batch *b, enum batch_state to)
{
    uint32_t sum = 0;
    for (int f = 0; f < FATES; f++) {
        sum += b->count[f];
    }
    if (sum != b->n || b->n == 0) {
        return "a call has no fate";
    }
    if (!(batch_rules[b->state].next & (1u << to))) {
        return "the table does not allow it";
    }
    if (batch_rules[to].durable && b->journal != to) {
        return "its journal entry does not say so";
    }
    if (to == BATCH_SETTLED && b->state != BATCH_SPLIT && !batch_done(b)) {
        return "it has calls without an end";
    }
    if (to == BATCH_UPLOADED && !b->file[0]) {
        return "it has no input file";
    }
    if ((to == BATCH_SUBMITTED || to == BATCH_POLLING) && !b->remote[0]) {
        return "the provider gave it no id";
    }
    return NULL;
}

int batch_move(struct batch *b, enum batch_state to, struct err *err)
{
    const char *why = objection(b, to);
    if (why) {
        return err_set(err, ERR_FAIL, "could not move batch '%s' from %s to %s: %s",
                       b->id, batch_state_name(b->state), batch_state_name(to), why);
    }
    b->state = to;
    return 0;
}

int batch_restore(struct batch *b, enum batch_state state, struct err *err)
{
    if (b->state != BATCH_OPEN || b->n == 0 || !batch_rules[state].durable) {
        return err_set(err, ERR_VERSION,
                       "could not restore batch '%s': it cannot be %s with %u calls",
                       b->id, batch_state_name(state), b->n);
    }
    b->state = state;
    b->journal = state;
    return 0;
}

void batch_fate(struct batch *b, uint32_t index, enum call_fate to)
{
    enum call_fate from = b->fates[index];
    bool ok = (from == FATE_HERE && to != FATE_HERE) ||
              (from == FATE_SETTLING && to == FATE_ENDED);
    assert(index < b->n && ok);
    (void)ok;
    b->count[from]--;
    b->count[to]++;
    b->fates[index] = (uint8_t)to;
    if (to == FATE_ENDED) {
        b->calls[index] = NULL;
    }
}

const char *batch_state_name(enum batch_state s)
{
    return batch_rules[s].name;
}

int batch_state_parse(const char *name, enum batch_state *ret)
{
    for (int s = 0; s < BATCH_STATES; s++) {
        if (strcmp(name, batch_rules[s].name) == 0) {
            *ret = (enum batch_state)s;
            return 0;
        }
    }
    return -1;
}
