#include "scheduler/scheduler.h"

#include "scheduler/budget_default.h"

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
    {.key = "budget.default",
     .type = CONFIG_STRING,
     .offset = offsetof(struct scheduler_settings, budget_default),
     .help = "limit of each team that has none of its own: 25/day, 300/month, 1000/total "
             "(USD), or none; on Kafka a queue without any limit waits until this is "
             "given to the scheduler or `offpeak budget set` sets one"},
};
const size_t scheduler_config_rows_len = ARRAY_LEN(scheduler_config_rows);

int scheduler_check(const struct scheduler_settings *s, struct err *err)
{
    struct budget_default deflt;
    return budget_default_parse(s->budget_default, &deflt, err);
}
