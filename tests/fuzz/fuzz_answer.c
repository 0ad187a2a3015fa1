/* Any line of a result file, and any JSON as the body of a reply: read or refused, never both. */
#include "core/jtext.h"
#include "tests/fuzz/fuzz.h"
#include "worker/openai.h"

static bool is_within(struct span part, struct span whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void check_answer(const struct answer *a, enum line_kind kind, struct span text)
{
    MUST(is_within(a->body, text) && is_within(a->error, text));
    MUST(a->vectors <= OPENAI_INPUTS_MAX);
    MUST(!a->complete || kind == LINE_ANSWER);
    if (a->usage_known) {
        const struct usage *u = &a->usage;
        MUST(u->cache_read + u->cache_write <= u->input && u->reasoning <= u->output);
        MUST(u->input <= OPENAI_TOKENS_MAX && u->output <= OPENAI_TOKENS_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span text = span_of(data, n);
    struct err err = {0};
    struct provider_line line;
    if (openai_line_decode(text, &line) == 0) {
        check_answer(&line.answer, line.kind, text);
    }
    if (jtext_check(text, &err) == 0) {
        struct span body = span_trim(text);
        struct answer a = {.http_status = 200};
        if (jtext_type(body) == JTEXT_OBJECT) {
            check_answer(&a, openai_body(body, &a), text);
        }
    }
    return 0;
}
