/*
 * template.h - a request with holes, and what stands in them.
 *
 * A template is a JSON object, the body of a request, or, when its first character is no `{`, the
 * text of a prompt. {{column}} stands for the field of that column, as text: inside
 * JSON it is escaped as JSON wants it. Read once, against the columns of a table; filled for every
 * row without looking at the template's text again.
 */
#ifndef OFFPEAK_PRODUCER_TEMPLATE_H
#define OFFPEAK_PRODUCER_TEMPLATE_H

#include "core/buf.h"
#include "core/err.h"

#define TEMPLATE_BYTES_MAX ((size_t)1 << 20)

struct template;

/* The names of a table's columns, in order. */
struct columns {
    const struct span *names;
    unsigned n;
};

/* `text` is copied. ERR_INPUT names the column that the table does not have, and those it has. */
int template_create(struct template **ret, struct span text, const char *label,
                    const struct columns *columns, struct err *err);
bool template_is_json(const struct template *t);
/* Appends the template with the row's fields in its holes. -1: it does not fit. */
int template_fill(const struct template *t, const struct span *fields, struct buf *ret);
struct template *template_destroy(struct template *t);

#endif
