/*
 * table.h - rows of a CSV or TSV file as batch lines, by a template.
 *
 * Made from the row with the columns' names; each further row gives a line that ends with a member
 * "row": the row as an object, for who writes the answers beside the columns again.
 */
#ifndef OFFPEAK_PRODUCER_TABLE_H
#define OFFPEAK_PRODUCER_TABLE_H

#include "core/buf.h"
#include "core/err.h"

struct table;

struct table_conf {
    const char *label; /* of the file, for messages */
    char separator;
    const char *template_path, *id_column, *model; /* as in source.h */
};

int table_create(struct table **ret, const struct table_conf *conf, struct span header,
                 struct err *err);
/* Appends the batch line of one row; `number` is its id when no column is. NULL, or why not. */
const char *table_line(struct table *t, struct span record, uint64_t number,
                       struct buf *ret);
struct table *table_destroy(struct table *t);

#endif
