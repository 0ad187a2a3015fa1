/*
 * audit_charge.h - one spend record, judged alone.
 *
 * Derived again from docs/MONEY.md and schemas/spend.v1.json, with no code of those who write it:
 * sums are exact, unknown is null in every field, the headers that the scheduler books by say what
 * the published record says, and the id is that of job, attempt and kind. Pure.
 */
#ifndef OFFPEAK_CLI_AUDIT_CHARGE_H
#define OFFPEAK_CLI_AUDIT_CHARGE_H

#include "cli/audit.h"
#include "core/record.h"

#define AUDIT_CHARGE_KINDS 4 /* that one record can break */
#define AUDIT_REF_MAX      160

struct audit_charge {
    struct spend_head head;
    bool known; /* its cost is */
    struct usd_sum cost, doubt;
    int outcome;                                       /* enum status; -1: null */
    char batch[AUDIT_REF_MAX], request[AUDIT_REF_MAX]; /* of the provider; empty: none */
};

/* Appends to `ret` what is wrong with the record: how many, 0 nothing. Nothing could be read of it
 * when the one kind is AUDIT_RECORD_BROKEN. */
unsigned audit_charge_read(const struct queue_msg *msg, struct audit_charge *ret,
                           struct audit_difference wrong[static AUDIT_CHARGE_KINDS]);

#endif
