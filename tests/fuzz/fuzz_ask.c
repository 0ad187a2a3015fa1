/* Any record of a jobs topic, as strangers put it: a block of headers, a zero length byte, then the
 * value. It is refused with words, or all that was derived lies within it. */
#include "core/queue.h"
#include "scheduler/ask.h"
#include "tests/fuzz/fuzz.h"

#include "core/headers.h"

#include <string.h>

/* Where the block ends: no header has a name of no length. */
static size_t headers_of(struct span data)
{
    struct span name, value;
    size_t at = 0;
    while (headers_next(data, &at, &name, &value)) {
    }
    return at;
}

static void check(const struct ask *a, struct span value)
{
    MUST(memchr(a->why, '\0', sizeof(a->why)));
    MUST((size_t)a->id_at + a->id_len <= value.n);
    MUST((size_t)a->body_at + a->body_len <= value.n);
    MUST(a->id_len <= ASK_ID_MAX);
    if (!a->why[0]) {
        MUST(a->path[0] && a->body_len >= 2 && value.p[a->body_at] == '{');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span all = span_of(data, n);
    size_t split = headers_of(all);
    struct queue_msg msg = {.at = {.topic = "jobs.red.names", .offset = 7}, .time_ms = 1};
    struct ask a;
    msg.headers = span_of(all.p, split);
    msg.value = span_of(all.p + MIN_OF(split + 1, n), n - MIN_OF(split + 1, n));
    ask_read(&msg, PROMPT_L1, &a);
    check(&a, msg.value);
    msg.time_ms = INT64_MAX;
    msg.headers = all;
    msg.value = all;
    ask_read(&msg, PROMPT_L1, &a);
    check(&a, all);
    return 0;
}
