#include "cli/audit_job.h"

struct judge {
    enum audit_kind *kinds;
    unsigned n;
};

static void wrong(struct judge *to, enum audit_kind kind)
{
    if (to->n < AUDIT_JOB_KINDS) {
        to->kinds[to->n++] = kind;
    }
}

static bool has(const struct audit_job *j, enum audit_has what)
{
    return j->has & what;
}

/* Its release may have been trimmed: only such jobs' records are missing rightly. */
static bool may_be_trimmed(const struct audit_job *j, const struct audit_known *k)
{
    return k->offset < (has(j, HAS_JOB) ? k->released_from : k->first);
}

/* The line that it repeats may be one that was dropped. */
static bool may_repeat(const struct audit_job *j, const struct audit_known *k)
{
    return has(j, HAS_REPEAT) || (k->first > 0 && j->line > 0);
}

static void judge_place(const struct audit_job *j, const struct audit_known *k,
                        struct judge *to)
{
    if (has(j, HAS_JOB) || k->offset < k->first) {
        return;
    }
    if (has(j, HAS_RELEASE)) {
        wrong(to, AUDIT_RELEASE_WITHOUT_JOB);
    } else if (has(j, HAS_RESULT)) {
        wrong(to, AUDIT_RESULT_WITHOUT_JOB);
    } else if (has(j, HAS_CHARGE | HAS_TRY)) {
        wrong(to, AUDIT_CHARGE_WITHOUT_JOB);
    }
}

/* Result and final spend record are one commit. */
static void judge_end(const struct audit_job *j, const struct audit_known *k,
                      struct judge *to)
{
    bool charge_due = has(j, HAS_RESULT) && j->result < k->results && !k->spend_trimmed;
    bool result_due = has(j, HAS_CHARGE) && j->charge < k->spend && !k->results_trimmed;
    if (charge_due && !has(j, HAS_CHARGE)) {
        wrong(to, AUDIT_RESULT_WITHOUT_CHARGE);
    }
    if (result_due && !has(j, HAS_RESULT)) {
        wrong(to, AUDIT_CHARGE_WITHOUT_RESULT);
    }
    if (has(j, HAS_RESULT) && has(j, HAS_CHARGE) && j->outcome >= 0 &&
        j->outcome != j->status) {
        wrong(to, AUDIT_OUTCOME);
    }
    if (has(j, HAS_RELEASE) || may_be_trimmed(j, k)) {
        return;
    }
    if (has(j, HAS_RESULT)) {
        wrong(to, AUDIT_RESULT_WITHOUT_RELEASE);
    } else if (has(j, HAS_CHARGE | HAS_TRY)) {
        wrong(to, AUDIT_CHARGE_WITHOUT_RELEASE);
    }
}

static bool amounts_agree(const struct audit_job *j)
{
    return usd_cmp(j->open_reserved, j->open_expected) == 0 && j->open_tried <= j->tried;
}

/* A row of `open` stands from the release until its final spend record was applied. */
static void judge_open(const struct audit_job *j, const struct audit_known *k,
                       struct judge *to)
{
    bool reserves = has(j, HAS_RELEASE) && j->verdict == VERDICT_RUN;
    if (has(j, HAS_OPEN)) {
        if (has(j, HAS_RELEASE) ? !reserves : !may_be_trimmed(j, k)) {
            wrong(to, AUDIT_OPEN_WITHOUT_RELEASE);
        } else if (has(j, HAS_CHARGE) && j->charge < k->mark_before) {
            wrong(to, AUDIT_OPEN_SETTLED);
        } else if (reserves && !amounts_agree(j)) {
            wrong(to, AUDIT_OPEN_AMOUNT);
        }
        return;
    }
    bool settled = has(j, HAS_CHARGE) && j->charge < k->mark_after;
    if (reserves && place_offset(j->release) < k->ready && !settled) {
        wrong(to, AUDIT_OPEN_MISSING);
    }
}

static enum audit_state state_of(const struct audit_job *j, const struct audit_known *k,
                                 struct judge *to)
{
    if (!has(j, HAS_JOB)) {
        return STATE_NONE;
    }
    if (has(j, HAS_RESULT | HAS_CHARGE)) {
        return STATE_DONE;
    }
    if (has(j, HAS_RELEASE)) {
        return STATE_IN_FLIGHT;
    }
    if (has(j, HAS_REPEAT) && has(j, HAS_ROW)) {
        return STATE_REPEAT;
    }
    if (may_repeat(j, k) && k->offset < k->frontier) {
        return STATE_REPEAT;
    }
    if (k->offset < k->frontier && !may_be_trimmed(j, k)) {
        wrong(to, AUDIT_JOB_LOST);
    }
    return STATE_WAITING;
}

enum audit_state audit_job_judge(const struct audit_job *j, const struct audit_known *k,
                                 enum audit_kind ret[static AUDIT_JOB_KINDS],
                                 unsigned *ret_n)
{
    struct judge to = {.kinds = ret};
    enum audit_state state = state_of(j, k, &to);
    if (j->has) {
        judge_place(j, k, &to);
        if (!to.n) {
            judge_end(j, k, &to);
        }
        judge_open(j, k, &to);
    }
    *ret_n = to.n;
    return state;
}
