/* The worker's options: defaults and limits stand here and nowhere else. */
#include "worker/worker.h"

#include "worker/pace.h"

#define DURATION(key_, field_, deflt_, help_)                                  \
    {                                                                          \
        .key = (key_), .type = CONFIG_DURATION,                                \
        .offset = offsetof(struct worker_settings, field_), .deflt = (deflt_), \
        .help = (help_)                                                        \
    }

const struct config_row worker_config_rows[] = {
    DURATION("batch.poll", batch.poll_ms, "60s", "pause between two looks at a batch"),
    DURATION("batch.absent_after", batch.absent_after_ms, "5m",
             "how long a batch that was perhaps created may stay unseen before it is "
             "taken as never created"),
    {.key = "batch.max_requests",
     .type = CONFIG_INT,
     .offset = offsetof(struct worker_settings, batch.max_requests),
     .deflt = "50000",
     .min = 1,
     .max = 1000000,
     .help = "calls in one batch, at most"},
    {.key = "batch.max_bytes",
     .type = CONFIG_BYTES,
     .offset = offsetof(struct worker_settings, batch.max_bytes),
     .deflt = "190MB",
     .min = 1000,
     .max = INT64_C(1000000000000),
     .help = "size of one batch's input file, at most"},
    {.key = "batch.max_tokens",
     .type = CONFIG_INT,
     .offset = offsetof(struct worker_settings, batch.max_tokens),
     .deflt = "0",
     .min = 0,
     .max = INT64_MAX,
     .help = "prompt tokens of one batch, by their upper bound; 0: no limit"},
    DURATION("batch.linger", batch.linger_ms, "30s",
             "how long a call waits for others to fill its batch"),
    {.key = "batch.line_attempts",
     .type = CONFIG_INT,
     .offset = offsetof(struct worker_settings, batch.line_attempts),
     .deflt = "5",
     .min = 1,
     .max = 100,
     .help = "times a call is sent when the provider refuses it for load"},
    DURATION("http.give_up", batch.give_up_ms, "10m",
             "how long the provider may be unreachable before the run ends"),
    {.key = "sync.concurrency",
     .type = CONFIG_INT,
     .offset = offsetof(struct worker_settings, sync.concurrency),
     .deflt = "64",
     .min = 1,
     .max = PACE_MAX,
     .help = "calls to the provider at a time, at most; how many it takes is found out"},
    DURATION("sync.timeout", sync.timeout_ms, "10m",
             "how long a call may take before its answer counts as lost"),
    {.key = "pool.concurrency",
     .type = CONFIG_INT,
     .offset = offsetof(struct worker_settings, pool.concurrency),
     .deflt = "8",
     .min = 1,
     .max = PACE_MAX,
     .help = "calls one server of the pool works on at a time"},
    DURATION("pool.stall", pool.stall_ms, "30s",
             "how long a server with calls under way may be silent before they go "
             "elsewhere; slow servers get more"),
    DURATION("pool.timeout", pool.timeout_ms, "10m",
             "how long a call may take before its answer counts as lost"),
    DURATION("cache.ttl", cache_ttl_ms, "30d", "how long an answer may be reused"),
    {.key = "cache.max_bytes",
     .type = CONFIG_BYTES,
     .offset = offsetof(struct worker_settings, cache_max_bytes),
     .deflt = "16GB",
     .help = "size of the stored answers; the oldest go first; 0: no limit"},
    DURATION("results.keep", results_keep_ms, "30d",
             "how long results, dead letters and what is known of a run are kept"),
    DURATION("retain", retain_ms, "30d",
             "how long settled jobs and their releases are kept"),
};
const size_t worker_config_rows_len = ARRAY_LEN(worker_config_rows);
