/* The kinds of differences, as people and programs read them. */
#include "cli/audit.h"

static const char *const part_names[AUDIT_PARTS] = {
    [AUDIT_CONSERVATION] = "conservation",
    [AUDIT_MONEY] = "money",
    [AUDIT_LIMITS] = "limits",
    [AUDIT_BATCHES] = "batches",
    [AUDIT_BILLS] = "invoice",
};

static const struct kind {
    enum audit_part part;
    const char *name, *sentence;
} kinds[AUDIT_KINDS] = {
    [AUDIT_RECORD_BROKEN] = {AUDIT_CONSERVATION, "record_broken",
                             "a record cannot be read"},
    [AUDIT_JOB_LOST] = {AUDIT_CONSERVATION, "job_lost",
                        "a job was passed over: jobs behind it were let through"},
    [AUDIT_RELEASE_WITHOUT_JOB] = {AUDIT_CONSERVATION, "release_without_job",
                                   "a release names no job"},
    [AUDIT_RELEASE_OF_ANOTHER] = {AUDIT_CONSERVATION, "release_of_another",
                                  "a release does not fit its job"},
    [AUDIT_RESULT_WITHOUT_JOB] = {AUDIT_CONSERVATION, "result_without_job",
                                  "a result names no job"},
    [AUDIT_RESULT_WITHOUT_RELEASE] = {AUDIT_CONSERVATION, "result_without_release",
                                      "a job has a result and was never let through"},
    [AUDIT_RESULT_WITHOUT_CHARGE] = {AUDIT_CONSERVATION, "result_without_charge",
                                     "a result has no final spend record"},
    [AUDIT_RESULT_OF_ANOTHER] = {AUDIT_CONSERVATION, "result_of_another",
                                 "a result does not fit its job"},
    [AUDIT_TWO_RESULTS] = {AUDIT_CONSERVATION, "two_results",
                           "a job has two different results"},
    [AUDIT_OUTCOME] = {AUDIT_CONSERVATION, "outcome_differs",
                       "result and spend record tell different ends"},
    [AUDIT_RUN_COUNT] = {AUDIT_CONSERVATION, "run_count",
                         "a run counts other jobs than there are"},
    [AUDIT_CHARGE_SUM] = {AUDIT_MONEY, "cost_sum",
                          "cost is not the sum of its token classes"},
    [AUDIT_CHARGE_SAVED] = {AUDIT_MONEY, "saved_sum",
                            "baseline less cost is not the sum of what was saved"},
    [AUDIT_CHARGE_HEAD] = {AUDIT_MONEY, "charge_head",
                           "a spend record and its headers differ"},
    [AUDIT_CHARGE_ID] = {AUDIT_MONEY, "event_id",
                         "a spend record's event_id is not its own"},
    [AUDIT_CHARGE_WITHOUT_JOB] = {AUDIT_MONEY, "charge_without_job",
                                  "a spend record names no job"},
    [AUDIT_CHARGE_WITHOUT_RELEASE] = {AUDIT_MONEY, "charge_without_release",
                                      "a job was charged before it was let through"},
    [AUDIT_CHARGE_WITHOUT_RESULT] = {AUDIT_MONEY, "charge_without_result",
                                     "a final spend record has no result"},
    [AUDIT_CHARGED_TWICE] = {AUDIT_MONEY, "charged_twice",
                             "a job has two different final spend records"},
    [AUDIT_TRIED_TWICE] = {AUDIT_MONEY, "tried_twice",
                           "one try has two different records"},
    [AUDIT_CORRECTION_ALONE] = {AUDIT_MONEY, "correction_alone",
                                "a correction has nothing before it to correct"},
    [AUDIT_LEDGER] = {AUDIT_MONEY, "ledger",
                      "a budget line is not the sum of its charges"},
    [AUDIT_OPEN_MISSING] = {AUDIT_MONEY, "open_missing",
                            "a job under way has no reservation"},
    [AUDIT_OPEN_SETTLED] = {AUDIT_MONEY, "open_settled",
                            "a settled job is still reserved for"},
    [AUDIT_OPEN_WITHOUT_RELEASE] = {AUDIT_MONEY, "open_without_release",
                                    "a reservation of a job that was not let through"},
    [AUDIT_OPEN_AMOUNT] = {AUDIT_MONEY, "open_amount",
                           "a reservation is not what its release set aside"},
    [AUDIT_LIMIT_PASSED] = {AUDIT_LIMITS, "limit_passed", "a release went past a limit"},
    [AUDIT_PAUSE_PASSED] = {AUDIT_LIMITS, "pause_passed",
                            "a job was let through while its queue was paused"},
    [AUDIT_SEEN] =
        {AUDIT_LIMITS, "seen",
         "a release had seen less than the one before it, or what is not there"},
    [AUDIT_BATCH_BROKEN] = {AUDIT_BATCHES, "batch_broken",
                            "the journal of a batch is not whole"},
    [AUDIT_MEMBER_UNKNOWN] = {AUDIT_BATCHES, "member_unknown",
                              "a batch names a record that is not in ready"},
    [AUDIT_MEMBER_TWICE] = {AUDIT_BATCHES, "member_twice", "a job stands in two batches"},
    [AUDIT_MEMBER_SETTLED] = {AUDIT_BATCHES, "member_settled",
                              "a batch under way holds a job that has its result"},
    [AUDIT_INVOICE] = {AUDIT_BILLS, "invoice", "the provider billed another amount"},
};

const char *audit_part_name(enum audit_part p)
{
    return part_names[p];
}

enum audit_part audit_kind_part(enum audit_kind k)
{
    return kinds[k].part;
}

const char *audit_kind_name(enum audit_kind k)
{
    return kinds[k].name;
}

const char *audit_kind_sentence(enum audit_kind k)
{
    return kinds[k].sentence;
}
