/*
 * sheet.h - the results of a run as a table: what was asked beside what was answered.
 *
 * sheet_add every result, then sheet_write once: the columns of the input, then answer, status,
 * cost_usd and error, in the order of the lines (RFC 4180, UTF-8, each row ended by a line feed).
 * The input's columns are those of the member "row" that a table's job lines end with
 * (producer/table.h). Lines that came from no table have the column custom_id. Where the input
 * has a column named like one of ours, ours begins with "offpeak_".
 *
 * A job that `retain` has removed cannot say its row any more: its fields are empty but for
 * custom_id, and sheet_gone counts it. An amount that is not known is an empty field.
 *
 * Memory: that of cli/order.h, and at most CSV_COLUMNS_MAX names of columns.
 */
#ifndef OFFPEAK_CLI_SHEET_H
#define OFFPEAK_CLI_SHEET_H

#include "cli/outfile.h"
#include "core/queue.h"
#include "core/record.h"

struct sheet;

/* `dir` is the data folder. */
int sheet_open(struct sheet **ret, struct queue *q, const char *dir, struct err *err);
int sheet_add(struct sheet *s, const struct result_head *head, struct span line,
              struct err *err);
int sheet_write(struct sheet *s, struct outfile *out, struct err *err);
uint64_t sheet_gone(const struct sheet *s);
struct sheet *sheet_close(struct sheet *s);

#endif
