/*
 * fields.h - how a struct travels: one table of its fields, read by four small functions.
 *
 * A struct that is written as the headers of a record or as a JSON object (a row of a table, a
 * published record) has a table of struct field: name, type, offset. Encoder and decoder walk
 * the same table, so they cannot disagree. Use the FIELD_ macros:
 *
 *     static const struct field fields[] = {
 *         FIELD_TEXT_OF(struct open_row, team, "team"),
 *         FIELD_OF(struct open_row, FIELD_USD, reserved, "reserved"),
 *     };
 *     static const struct fields open_fields = FIELDS("row of 'open'", fields);
 *
 * Headers leave zero and empty values out; JSON writes every field, and leaves out only those
 * whose `has` is false. A reader leaves an absent field as it is (the decoders of record.h zero
 * the struct first) and ignores names it does not know. Amounts are decimals in USD in JSON and
 * integers of pico-dollars in headers. Nothing here owns memory: a decoded FIELD_SPAN points
 * into the block.
 */
#ifndef OFFPEAK_CORE_FIELDS_H
#define OFFPEAK_CORE_FIELDS_H

#include "core/buf.h"
#include "core/err.h"

enum field_type {
    FIELD_TEXT, /* char[size], with its NUL */
    FIELD_SPAN, /* struct span; JSON: raw JSON text, empty is null; written only */
    FIELD_STR,  /* const char *; NULL is null; written only */
    FIELD_U64,  /* `size` of them in a row, joined with commas; JSON: one */
    FIELD_U32,  /* the same */
    FIELD_I64,
    FIELD_BOOL,
    FIELD_USD, /* struct usd; JSON rows hold no negative ones */
    FIELD_SUM, /* struct usd_sum; a string of picos: wider than a JSON reader's integers */
    FIELD_WORD, /* an enum, by its name in `words`, `size` of them */
};

struct field {
    const char *name;
    enum field_type type;
    uint16_t at;   /* offset in the struct */
    uint16_t size; /* see the type */
    uint16_t has;  /* offset of a bool that says whether it is there; 0: it always is */
    const char *const *words;
};

#define FIELD_OF(type_, kind_, member_, name_)                                      \
    {                                                                               \
        .name = (name_), .type = (kind_), .at = offsetof(type_, member_), .size = 1 \
    }
#define FIELD_IF(type_, kind_, member_, has_, name_)                                 \
    {                                                                                \
        .name = (name_), .type = (kind_), .at = offsetof(type_, member_), .size = 1, \
        .has = offsetof(type_, has_)                                                 \
    }
#define FIELD_TEXT_OF(type_, member_, name_)                                 \
    {                                                                        \
        .name = (name_), .type = FIELD_TEXT, .at = offsetof(type_, member_), \
        .size = sizeof(((type_ *)0)->member_)                                \
    }
#define FIELD_WORD_OF(type_, member_, words_, name_)                         \
    {                                                                        \
        .name = (name_), .type = FIELD_WORD, .at = offsetof(type_, member_), \
        .size = ARRAY_LEN(words_), .words = (words_)                         \
    }
/* `count_` numbers that stand one behind the other, from `member_` on. */
#define FIELD_RUN_OF(type_, kind_, member_, count_, name_)                \
    {                                                                     \
        .name = (name_), .type = (kind_), .at = offsetof(type_, member_), \
        .size = (count_)                                                  \
    }

struct fields {
    const char *what; /* in messages: "row of 'open'" */
    const struct field *v;
    size_t n;
};

#define FIELDS(what_, array_)                \
    {                                        \
        (what_), (array_), ARRAY_LEN(array_) \
    }

/* -1 when it does not fit into the block. */
int fields_to_headers(const struct fields *t, const void *obj, struct buf *block);
/* -1 when the block is malformed or a value is not of its field's type. */
int fields_from_headers(const struct fields *t, struct span block, void *obj);
/* The same, and which header it is; "" when it is the block. */
int fields_from_headers_of(const struct fields *t, struct span block, void *obj,
                           const char **ret_wrong);

/* Appends `"name":value`. */
int field_to_json(const struct field *f, const void *obj, struct buf *json);
/* Appends the whole object. -1 when it does not fit. */
int fields_to_json(const struct fields *t, const void *obj, struct buf *json);
/* ERR_VERSION naming the table and field: the store was written by something else. */
int fields_from_json(const struct fields *t, struct span json, void *obj,
                     struct err *err);

/* The index of a word, -1 when it is none of them. */
int field_word(const char *const *words, size_t n, struct span s);

#endif
