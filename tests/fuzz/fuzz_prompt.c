/* Any body that is JSON: it is read or refused with a reason; blanks around it change nothing. */
#include "core/jtext.h"
#include "core/prompt.h"
#include "tests/fuzz/fuzz.h"
#include "worker/pool_ask.h"

static bool same_digest(const struct prompt *a, const struct prompt *b)
{
    return memcmp(&a->canonical, &b->canonical, sizeof(a->canonical)) == 0;
}

static void read_both(enum prompt_path path, struct span body, enum prompt_level level)
{
    _cleanup_(buf_fini) struct buf padded;
    struct prompt p, again;
    struct err err = {0};
    buf_init(&padded, body.n + 8);
    buf_adds(&padded, " \t");
    buf_add(&padded, body.p, body.n);
    buf_adds(&padded, "\r\n");
    int rc = prompt_read(path, body, level, &p, &err);
    MUST(prompt_read(path, buf_span(&padded), level, &again, &err) == rc);
    if (rc < 0) {
        MUST(err.msg[0] && err.hint[0]);
        return;
    }
    MUST(same_digest(&p, &again));
    MUST(p.chain_len == again.chain_len && p.chain[0].hash == again.chain[0].hash);
    MUST(p.chain_len >= 1 && p.chain_len <= PROMPT_CHAIN_MAX &&
         p.chain_len <= p.messages);
    MUST(p.model[0] && p.messages >= 1 && p.choices >= 1);
    MUST(prompt_tokens_bound(&p) > body.n);
    MUST((path == PROMPT_EMBEDDINGS) == (p.inputs > 0));
    for (unsigned i = 1; i < p.chain_len; i++) {
        MUST(p.chain[i].bytes > p.chain[i - 1].bytes);
    }
    const struct pool_ask one = pool_ask_of(body), two = pool_ask_of(buf_span(&padded));
    MUST(memcmp(&one, &two, sizeof(one)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span text = span_of(data, n);
    struct err err = {0};
    if (jtext_check(text, &err) == 0) {
        for (size_t i = 0; i < ARRAY_LEN(prompt_paths); i++) {
            read_both((enum prompt_path)i, text, PROMPT_L0);
            read_both((enum prompt_path)i, text, PROMPT_L1);
        }
    }
    return 0;
}
