/*
 * settle_record.h - the records of a job's end, as bytes.
 *
 * Turns a release and its outcome into a result line (schemas/result-line.v1.json), a spend
 * record (schemas/spend.v1.json) and, for what an operator should see, a dead letter's headers.
 * Only builds; worker/settle.c puts them on their topics. The caller's bufs are emptied first.
 */
#ifndef OFFPEAK_WORKER_SETTLE_RECORD_H
#define OFFPEAK_WORKER_SETTLE_RECORD_H

#include "worker/outcome.h"

/* What is the same in every record of this worker. */
struct record_frame {
    const char *provider, *account, *prices;
    int64_t now_ms;
};

/* The custom_id as it stands in the input line: a raw JSON string, or empty. */
struct span record_custom_id(const struct release *r, struct span line);
/* -1 when it does not fit into the bufs. */
int record_result(const struct release *r, struct span custom_id, const struct outcome *o,
                  struct buf *headers, struct buf *json);
int record_spend(const struct record_frame *f, const struct release *r,
                 struct span custom_id, const struct outcome *o, struct buf *headers,
                 struct buf *json);
/* The head of a result and header `message`: why, in words. */
int record_dead(const struct release *r, const struct outcome *o, struct buf *headers);

#endif
