/* Times in reply headers, addresses, ids of jobs: any text is read within bounds, or refused. */
#include "core/http.h"
#include "core/record.h"
#include "tests/fuzz/fuzz.h"
#include "worker/repeats.h"

#include <stdio.h>

static void check_url(struct span text)
{
    struct err err = {0};
    char url[600];
    (void)snprintf(url, sizeof(url), "%.*s", (int)MIN_OF(text.n, 599u), text.p);
    _cleanup_(buf_fini) struct buf origin;
    buf_init(&origin, 1000);
    (void)http_is_loopback(url);
    if (http_check_url(url, false, &err) == 0) {
        MUST(http_origin(url, &origin, &err) == 0 && origin.n > 0);
    }
}

static void check_id(struct span text)
{
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    struct queue_at at;
    struct span queue;
    uint64_t offset;
    (void)job_id_parse(text, team, feature);
    (void)job_id_place(text, &at);
    if (repeats_place(text, &queue, &offset) == 0) {
        MUST(queue.n < text.n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span text = span_of(data, n);
    MUST(http_delay_ms(text, 1000) >= -1 && http_delay_ms(text, 1) >= -1);
    MUST(http_duration_ms(text) >= -1);
    check_url(text);
    check_id(text);
    return 0;
}
