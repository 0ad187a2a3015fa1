/*
 * csv.h - records of a table in text (RFC 4180; with tabs for commas: TSV).
 *
 * A field in quotes may hold the separator, line ends and, doubled, quotes; a quote inside a field
 * that does not begin with one is a character like any other. Pure; nothing is copied but fields
 * that had doubled quotes.
 */
#ifndef OFFPEAK_PRODUCER_CSV_H
#define OFFPEAK_PRODUCER_CSV_H

#include "core/buf.h"

#define CSV_COLUMNS_MAX 1000

/* Where a scan for the end of a record stands; all zero at its beginning. */
struct csv_scan {
    enum { CSV_START, CSV_PLAIN, CSV_QUOTED, CSV_CLOSED } at;
    uint64_t feeds; /* line feeds inside the record so far */
};

/* The first line feed that ends the record, or NULL: go on with the next bytes. */
const char *csv_end(struct csv_scan *scan, const char *p, size_t n, char separator);

/* The fields of one record without its line end. Returns how many there are, or -1 with a word on
 * what is wrong: text behind a closing quote, a quote that never closes, too many columns. Fields
 * point into the record or into `plain`, which is reset first and must hold the record's size. */
int csv_split(struct span record, char separator,
              struct span fields[static CSV_COLUMNS_MAX], struct buf *plain,
              const char **ret_why);

/* Appends a field, in quotes when it needs them. */
int csv_add(struct buf *b, struct span field);

#endif
