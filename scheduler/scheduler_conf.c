#include "scheduler/scheduler.h"

const struct config_row scheduler_config_rows[] = {
    {.key = "flow.calls",
     .type = CONFIG_INT,
     .offset = offsetof(struct scheduler_settings, flow_calls),
     .deflt = "100000",
     .min = 1,
     .max = 10000000,
     .help = "jobs of one model that may be released and unsettled at a time; bounds the "
             "memory of a worker"},
    {.key = "flow.tokens",
     .type = CONFIG_INT,
     .offset = offsetof(struct scheduler_settings, flow_tokens),
     .deflt = "0",
     .help =
         "prompt tokens of one model that may be released and unsettled at a time, by "
         "their upper bound; 0: no cap"},
};
const size_t scheduler_config_rows_len = ARRAY_LEN(scheduler_config_rows);
