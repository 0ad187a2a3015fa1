/* Any row of any table: read, and what was read can be written and read again; or refused with
 * words. */
#include "core/record.h"
#include "core/topics.h"
#include "tests/fuzz/fuzz.h"
#include "worker/answers.h"
#include "worker/journal.h"

#define JSON_MAX ((size_t)1 << 20)

/* Written, read and written again it is the same. */
#define CHECK_ROW(type_, decode_, encode_)                  \
    static void check_##type_(struct span row)              \
    {                                                       \
        struct type_ first, second;                         \
        struct err err = {0};                               \
        _cleanup_(buf_fini) struct buf once, twice;         \
        buf_init(&once, JSON_MAX);                          \
        buf_init(&twice, JSON_MAX);                         \
        if (decode_(row, &first, &err) < 0) {               \
            MUST(err.msg[0]);                               \
            return;                                         \
        }                                                   \
        MUST(encode_(&first, &once) == 0);                  \
        MUST(decode_(buf_span(&once), &second, &err) == 0); \
        MUST(encode_(&second, &twice) == 0);                \
        MUST(span_eq(buf_span(&once), buf_span(&twice)));   \
    }

CHECK_ROW(run_row, run_row_decode, run_row_encode)
CHECK_ROW(budget_edit, budget_edit_decode, budget_edit_encode)
CHECK_ROW(open_row, open_row_decode, open_row_encode)
CHECK_ROW(ledger_row, ledger_row_decode, ledger_row_encode)

/* Sums of any rows stay sums. */
static void check_sums(struct span row)
{
    struct ledger_row l;
    if (ledger_row_decode(row, &l, NULL) == 0) {
        for (int i = 0; i < 100; i++) {
            usd_sum_add_sum(&l.spent, l.in_doubt);
        }
    }
}

static void check_answer(struct span row)
{
    struct stored_answer a, again;
    if (answer_decode(row, &a) < 0) {
        return;
    }
    MUST(fuzz_within(a.body, row));
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
    check_run_row(row);
    check_budget_edit(row);
    check_open_row(row);
    check_ledger_row(row);
    check_sums(row);
    check_answer(row);
    check_batch(row);
    return 0;
}
