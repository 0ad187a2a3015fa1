/*
 * audit_job.h - what the records say of one job, and what of it does not hold together.
 *
 * A slot is filled as records come by; audit_job_judge then says what is wrong with it. Which
 * records must be there depends on how far topics were complete when the tables were read and on
 * what retention has dropped: struct audit_known. Pure.
 */
#ifndef OFFPEAK_CLI_AUDIT_JOB_H
#define OFFPEAK_CLI_AUDIT_JOB_H

#include "cli/audit.h"
#include "core/record.h"

enum audit_has {
    HAS_JOB = 1,     /* its input line is kept */
    HAS_REPEAT = 2,  /* ... and repeats one before it */
    HAS_RELEASE = 4, /* its release is kept */
    HAS_RESULT = 8,
    HAS_CHARGE = 16, /* a final one */
    HAS_OPEN = 32,
    HAS_TRY = 64, /* one in doubt that is not final */
    HAS_ROW =
        128, /* its run has a row: repeats are known as such before they are reached */
};

struct audit_job {
    int64_t ms;
    uint64_t line;
    uint32_t attempt, day; /* day: of the release, 20261121 */
    uint64_t run;          /* + 1 */
    uint16_t has;
    uint8_t verdict, status;
    int8_t outcome; /* of its final spend record; -1: none */
    uint8_t tried;  /* by the replay */
    uint8_t open_tried;
    bool result_settled;       /* it was there before the tables were read */
    uint64_t release;          /* place */
    struct usd reserved, held; /* set aside; what the replay has left of it */
    struct usd open_reserved, open_expected;
    uint64_t custom_id;             /* digest */
    uint64_t result, result_digest; /* offset */
    uint64_t charge, charge_digest; /* offset */
    uint64_t charge_commit;
} __attribute__((aligned(16)));

struct audit_known {
    uint64_t offset;        /* of the job */
    uint64_t first, end;    /* of its topic: kept from, read up to */
    uint64_t frontier;      /* behind the last one let through */
    uint64_t released_from; /* releases of jobs from here on are kept */
    bool spend_trimmed, results_trimmed;
    uint64_t ready, results,
        spend; /* complete below: of ready in the release's partition */
    uint64_t mark_before,
        mark_after; /* spend applied, before and after `open` was read */
};

enum audit_state { STATE_NONE, STATE_REPEAT, STATE_WAITING, STATE_IN_FLIGHT, STATE_DONE };

#define AUDIT_JOB_KINDS 6

/* Where the job stands, and in `ret` what is wrong with it: how many. */
enum audit_state audit_job_judge(const struct audit_job *j, const struct audit_known *k,
                                 enum audit_kind ret[static AUDIT_JOB_KINDS],
                                 unsigned *ret_n);

#endif
