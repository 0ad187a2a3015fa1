#include "tests/sim/stats.h"

void stats_count(struct stats *s, enum op op)
{
    if (op < OP_COUNT) {
        atomic_fetch_add(&s->ops[op], 1);
    }
}

void stats_write(struct stats *s, struct text *out)
{
    text_put(out, "\"operations\":{");
    for (int i = 0; i < OP_COUNT; i++) {
        text_fmt(out, "%s\"%s\":%lld", i ? "," : "", op_name((enum op)i),
                 atomic_load(&s->ops[i]));
    }
    text_put(out, "},\"statuses\":{");
    const char *comma = "";
    for (int i = 0; i < STATUS_MAX; i++) {
        long long n = atomic_load(&s->statuses[i]);
        if (n) {
            text_fmt(out, "%s\"%d\":%lld", comma, i, n);
            comma = ",";
        }
    }
    text_fmt(out,
             "},\"dropped\":%lld,\"uploads\":%lld,\"upload_bytes\":%lld,\"lines\":%lld,"
             "\"engine_busy_us\":%lld",
             atomic_load(&s->dropped), atomic_load(&s->ops[OP_FILES_CREATE]),
             atomic_load(&s->upload_bytes), atomic_load(&s->lines),
             atomic_load(&s->engine_busy_us));
}
