/*
 * journal.h - what stands in table `batches`: one row per batch, and its members.
 *
 *   <id>        JSON: state, account, origin, path, model, requests, go, the provider's ids,
 *               counts and times; written at each durable move
 *   <id>/m/<n>  JSON array of the members' offsets in `ready`, JOURNAL_MEMBERS a row in the
 *               order of the lines; written once, together with the first <id> row
 *
 * Both stand in the partition of `batches` that has the number of the members' own in `ready`, so that
 * who owns the one owns the other. Outside of the rows members are places (core/record.h).
 *
 * The functions put rows into the caller's transaction; nothing counts before that commit is
 * acknowledged. journal_delete removes the batch's rows with its last commit.
 *
 * journal_read_owned is for a restart: it hands each row of the partitions owned here, with its
 * members' places, to the callback, in the order of ids of a partition, that is of time. What it
 * cannot read stops it with ERR_VERSION:
 * guessing about money in flight is worse than stopping.
 *
 * Each lane keeps its own rows and leaves those of the others as they are: a row says its
 * `lane`, a batch's says none.
 *
 * To add a field: one line in the table of journal.c; an absent field reads as zero or empty,
 * so that rows of an older version stay readable.
 */
#ifndef OFFPEAK_WORKER_JOURNAL_H
#define OFFPEAK_WORKER_JOURNAL_H

#include "core/buf.h"
#include "core/queue.h"
#include "worker/batch.h"

#define JOURNAL_MEMBERS 1000
#define JOURNAL_ROW_MAX ((size_t)64 << 10)

/* The row as it will stand once the batch is in `state`. */
int journal_encode(const struct batch *b, enum batch_state state, struct buf *json);
/* Into an OPEN batch: everything but its members; ret_requests is how many there must be. */
int journal_decode(struct span json, struct batch *b, enum batch_state *ret_state,
                   uint32_t *ret_requests, struct err *err);

int journal_put(struct queue_tx *tx, const struct batch *b, enum batch_state state,
                struct err *err);
int journal_put_members(struct queue_tx *tx, const struct batch *b, struct err *err);
int journal_delete(struct queue_tx *tx, const struct batch *b, struct err *err);

/* The rows of any lane's entry: `row` under its id, and its members. */
int journal_put_entry(struct queue_tx *tx, uint32_t partition, const char *id,
                      struct span row, struct err *err);
int journal_put_ats(struct queue_tx *tx, uint32_t partition, const char *id,
                    const uint64_t *at, uint32_t n, struct err *err);
int journal_delete_entry(struct queue_tx *tx, uint32_t partition, const char *id,
                         uint32_t n, struct err *err);
/* Whose row it is; -1 when this version knows no such lane. */
int journal_lane(struct span row, enum lane *ret);

/* Borrowed during the callback: at[0..n) are the members' places, in the order of lines. */
struct journal_entry {
    uint32_t partition;
    struct span row;
    const uint64_t *at;
    uint32_t n;
};
typedef int (*journal_fn)(void *ctx, const struct journal_entry *e, struct err *err);
int journal_read(struct queue *q, uint32_t partition, journal_fn fn, void *ctx,
                 struct err *err);
int journal_read_owned(struct queue *q, journal_fn fn, void *ctx, struct err *err);

#endif
