/* Any row of the worker's tables: read, and what was read can be written and read again. */
#include "core/topics.h"
#include "tests/fuzz/fuzz.h"
#include "worker/answers.h"
#include "worker/journal.h"

static void check_answer(struct span row)
{
    struct stored_answer a, again;
    if (answer_decode(row, &a) < 0) {
        return;
    }
    MUST(a.body.n <= row.n);
    _cleanup_(buf_fini) struct buf json;
    buf_init(&json, row.n * 8 + 4096);
    if (answer_encode(&a, &json) == 0) {
        MUST(answer_decode(buf_span(&json), &again) == 0);
        MUST(span_eq(a.body, again.body) && a.expires_ms == again.expires_ms);
    }
}

static void check_batch(struct span row)
{
    struct err err = {0};
    struct batch *b = NULL;
    enum batch_state state;
    enum lane lane;
    uint32_t requests;
    (void)journal_lane(row, &lane);
    MUST(batch_create(&b, 10, &err) == 0);
    int rc = journal_decode(row, b, &state, &requests, &err);
    MUST(rc == 0 || err.msg[0]);
    batch_destroy(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span row = span_of(data, n);
    check_answer(row);
    check_batch(row);
    return 0;
}
