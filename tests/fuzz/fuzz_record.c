/* Any header block: decoders stay inside it; a release that can be read can be written again, and
 * so can a signature. */
#include "core/record.h"
#include "tests/fuzz/fuzz.h"

#include "core/headers.h"
#include "core/queue_kafka.h"

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

/* As much as a record may echo, or the decoder said no and why. */
static void check_job(struct span data)
{
    struct job_head job;
    char why[WHY_MAX] = "";
    if (job_head_read(data, &job, why) == 0) {
        MUST(job.custom_id.n <= CUSTOM_ID_RAW_MAX && fuzz_within(job.custom_id, data));
    } else {
        MUST(why[0] && job_head_decode(data, &job) < 0);
    }
}

static void check_heads(struct span data)
{
    struct result_head result, result_again;
    struct spend_head spend, spend_again;
    _cleanup_(buf_fini) struct buf block;
    buf_init(&block, HEADERS_BYTES_MAX);
    if (result_head_decode(data, &result) == 0) {
        MUST(result_head_encode(&result, &block) == 0);
        MUST(result_head_decode(buf_span(&block), &result_again) == 0);
        MUST(result.line == result_again.line && result.status == result_again.status);
    }
    buf_reset(&block);
    if (spend_head_decode(data, &spend) == 0) {
        MUST(spend_head_encode(&spend, &block) == 0);
        MUST(spend_head_decode(buf_span(&block), &spend_again) == 0);
        MUST(usd_cmp(spend.cost, spend_again.cost) == 0);
        MUST(spend.kind == spend_again.kind && !strcmp(spend.job, spend_again.job));
    }
}

/* What is cut off stood at the end, and nothing else was. */
static void check_signature(struct span data)
{
    struct span block = data;
    uint64_t commit = 0, again = 0;
    _cleanup_(buf_fini) struct buf copy;
    buf_init(&copy, HEADERS_BYTES_MAX);
    if (link_signed(&block, &commit)) {
        MUST(block.p == data.p && block.n < data.n && headers_valid(block));
    }
    if (!headers_valid(data) || buf_add(&copy, data.p, data.n) < 0 ||
        link_sign(&copy, 7, "writer") < 0) {
        return;
    }
    block = buf_span(&copy);
    MUST(link_signed(&block, &again) && again == 7 && span_eq(block, data));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span block = span_of(data, n);
    check_release(block);
    check_job(block);
    check_heads(block);
    check_signature(block);
    return 0;
}
