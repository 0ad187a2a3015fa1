#include "worker/released.h"

#include "worker/call.h"
#include "worker/cancels.h"

int released_read(struct queue_cursor *c, uint64_t place, struct released *ret,
                  struct err *err)
{
    const struct queue_at at = place_at(place);
    struct queue_msg msg;
    struct release *r = &ret->release;
    int rc = queue_fetch(c, &at, &msg, err);
    if (rc < 0) {
        return rc;
    }
    if (rc == 0) {
        err_set(err, ERR_FAIL, "could not read record %llu of '%s': it is gone",
                (unsigned long long)at.offset, TOPIC_READY);
        err_hint(err, "offpeak doctor");
        return -(int)ERR_FAIL;
    }
    if (release_decode(msg.headers, r) < 0 || r->body_at > msg.value.n ||
        r->body_len > msg.value.n - r->body_at) {
        err_set(err, ERR_VERSION,
                "could not read record %llu of '%s': another version "
                "wrote it",
                (unsigned long long)at.offset, TOPIC_READY);
        err_hint(err, "use the version that this data folder was last used with");
        return -(int)ERR_VERSION;
    }
    ret->body = span_of(msg.value.p + r->body_at, r->body_len);
    return 0;
}

int released_call(const struct released_from *from, uint64_t place, struct call **ret,
                  struct err *err)
{
    const struct queue_at at = place_at(place);
    struct released job;
    *ret = NULL;
    int rc = queue_acked(from->feed, &at, err);
    if (rc != 0) {
        return rc < 0 ? rc : 0;
    }
    rc = released_read(from->cursor, place, &job, err);
    rc = rc < 0 ? rc : cancels_has(from->cancels, &job.release, err);
    if (rc < 0) {
        return rc;
    }
    *ret = call_new(from->calls, &job.release, place);
    if (!*ret) {
        return err_set(err, ERR_FAIL, "could not register the calls: out of memory");
    }
    (*ret)->cancelled = rc > 0;
    return 0;
}
