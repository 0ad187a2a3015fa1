#include "cli/limits.h"

int limits_last(struct queue_cursor *cur, const char *scope, struct budget_edit *ret,
                struct err *err)
{
    char from[QUEUE_KEY_MAX];
    struct queue_msg msg;
    int found = 0;
    budget_key(scope, 0, from);
    int rc = queue_read_table(cur, TABLE_BUDGETS, 0, span_str(from));
    while (rc >= 0 && (rc = queue_read(cur, &msg, err)) > 0) {
        struct budget_edit edit;
        rc = budget_edit_decode(msg.value, &edit, err);
        if (rc < 0 || strcmp(edit.scope, scope)) {
            break;
        }
        *ret = edit;
        found = 1;
    }
    return rc < 0 ? rc : found;
}

int limits_next(struct queue_cursor *cur, const char *scope, struct budget_edit *ret,
                struct err *err)
{
    char from[QUEUE_KEY_MAX];
    struct queue_msg msg;
    if (scope[0]) {
        budget_key(scope, UINT64_MAX, from);
    }
    int rc =
        queue_read_table(cur, TABLE_BUDGETS, 0, scope[0] ? span_str(from) : SPAN_NONE);
    while (rc >= 0 && (rc = queue_read(cur, &msg, err)) > 0) {
        struct budget_edit edit;
        rc = budget_edit_decode(msg.value, &edit, err);
        if (rc < 0) {
            return rc;
        }
        if (strcmp(edit.scope, scope)) {
            return limits_last(cur, edit.scope, ret, err);
        }
    }
    return rc;
}

int limits_spent(struct queue_cursor *cur, const char *key, struct usd_sum *ret,
                 struct err *err)
{
    struct queue_msg msg;
    struct ledger_row row;
    int rc = queue_table_get(cur, TABLE_LEDGER, 0, span_str(key), &msg, err);
    if (rc <= 0) {
        return rc;
    }
    rc = ledger_row_decode(msg.value, &row, err);
    if (rc >= 0) {
        *ret = row.spent;
        usd_sum_add_sum(ret, row.in_doubt);
    }
    return rc;
}
