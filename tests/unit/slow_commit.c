#include "tests/unit/slow_commit.h"

#include "core/loop.h"
#include "core/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

void __real_queue_commit(struct queue_tx *tx, queue_commit_fn cb, void *ctx);
void __wrap_queue_commit(struct queue_tx *tx, queue_commit_fn cb, void *ctx);

static struct loop *slow, *broken; /* the linker gives the wrapper no context */

struct delayed {
    struct loop_timer *timer;
    queue_commit_fn cb;
    void *ctx;
    uint64_t commit;
    bool failed;
    struct err err;
};

static void on_due(void *ctx)
{
    struct delayed *d = ctx;
    loop_timer_destroy(d->timer);
    d->cb(d->ctx, d->commit, d->failed ? &d->err : NULL);
    free(d);
}

static void on_commit(void *ctx, uint64_t commit, const struct err *err)
{
    struct delayed *d = ctx;
    d->commit = commit;
    d->failed = err != NULL;
    if (err) {
        d->err = *err;
    }
    loop_timer_start(d->timer, 1);
}

void __wrap_queue_commit(struct queue_tx *tx, queue_commit_fn cb, void *ctx)
{
    if (!slow && !broken) {
        __real_queue_commit(tx, cb, ctx);
        return;
    }
    struct delayed *d = calloc(1, sizeof(*d));
    assert_non_null(d);
    d->cb = cb;
    d->ctx = ctx;
    assert_int_equal(loop_timer_create(broken ? broken : slow, on_due, d, &d->timer), 0);
    if (broken) {
        struct err full;
        err_set(&full, ERR_FAIL, "could not write the store: the disk is full");
        queue_tx_drop(tx);
        on_commit(d, 0, &full);
        return;
    }
    __real_queue_commit(tx, on_commit, d);
}

void break_commits(struct loop *loop)
{
    broken = loop;
}

void slow_commits(struct loop *loop)
{
    slow = loop;
}
