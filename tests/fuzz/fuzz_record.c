/* Any header block: decoders stay inside it; a release that can be read can be written again. */
#include "core/record.h"
#include "tests/fuzz/fuzz.h"

#include "core/headers.h"

static void rewrite(const struct release *r, struct buf *block)
{
    struct err err = {0};
    buf_init(block, HEADERS_BYTES_MAX);
    MUST(release_encode(r, block, &err) == 0);
    MUST(block->n <= RELEASE_BYTES_MAX);
}

static void check_release(struct span data)
{
    struct release first, second;
    if (release_decode(data, &first) < 0) {
        return;
    }
    _cleanup_(buf_fini) struct buf once, twice;
    rewrite(&first, &once);
    MUST(release_decode(buf_span(&once), &second) == 0);
    rewrite(&second, &twice);
    MUST(span_eq(buf_span(&once), buf_span(&twice)));
}

/* As much as a record may echo, or the decoder said no. */
static void check_job(struct span data)
{
    struct job_head job;
    if (job_head_decode(data, &job) == 0) {
        MUST(job.custom_id.n <= CUSTOM_ID_RAW_MAX);
        MUST(!job.custom_id.n || (job.custom_id.p >= data.p &&
                                  job.custom_id.p + job.custom_id.n <= data.p + data.n));
    }
}

static void check_rows(struct span data)
{
    struct run_row run;
    struct budget_edit budget;
    struct open_row open;
    struct ledger_row ledger;
    struct err err = {0};
    run_row_decode(data, &run, &err);
    budget_edit_decode(data, &budget, &err);
    open_row_decode(data, &open, &err);
    ledger_row_decode(data, &ledger, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span text = span_of(data, n);
    struct result_head result;
    struct spend_head spend;
    check_release(text);
    check_job(text);
    check_rows(text);
    result_head_decode(text, &result);
    spend_head_decode(text, &spend);
    return 0;
}
