/*
 * prompt_rules.h - what the requests of one path are made of. Internal to core/prompt*.c.
 *
 * A path is two tables: the fields of its body, in the order in which those that split the
 * provider's cache enter the chain's root, and the places further inside where a name means
 * something. A field that no table names is the provider's business: it is part of the
 * question and nothing else. To add a path: its word in enum prompt_path and prompt_paths, a
 * file with its tables, one line in prompt_facts.c.
 */
#ifndef OFFPEAK_CORE_PROMPT_RULES_H
#define OFFPEAK_CORE_PROMPT_RULES_H

#include "core/err.h"
#include "core/prompt.h"

/* Where in a request we are, as far as it changes the canonical form. */
enum place {
    PLACE_OTHER,
    PLACE_BODY,
    PLACE_MESSAGES, /* the array, and each message */
    PLACE_CONTENT,  /* the array of parts, and each part */
    PLACE_TOOLS,    /* the array, and each tool */
    PLACE_FUNCTION, /* also the elements of the older `functions` */
    PLACE_FORMAT,
    PLACE_FORMAT_SCHEMA,
    PLACE_SCHEMA,  /* a JSON Schema: order is meaning, all the way down */
    PLACE_NO_MARK, /* at L1: cannot change the answer */
    PLACE_FALSE,   /* at L1: dropped when it is not true */
};

/* What a field of the body is to us. Several may hold. */
enum prompt_rule {
    RULE_REQUIRED = 1,
    RULE_SPLITS = 2, /* requests that differ in it share no cached prefix: in the root */
    RULE_TEXT = 4,   /* ... and its text is part of the prompt's length */
    RULE_FIRST = 8,  /* ... and is a message of its own, before all others */
};

/* Learns what admission must know. ERR_INPUT: the value cannot be. */
typedef int field_reader(struct prompt *p, const char *field, struct span value,
                         struct err *err);

struct prompt_field {
    const char *name;
    unsigned rules;
    enum place place;
    field_reader *read;  /* NULL: nothing to learn from it */
    const char *example; /* of a required field, for messages */
};

struct prompt_place {
    enum place in;
    const char *name;
    enum place to;
};

struct prompt_rules {
    const struct prompt_field *fields;
    size_t fields_n;
    const struct prompt_place *places;
    size_t places_n;
    void (*finish)(struct prompt *p); /* NULL, or what follows from the path alone */
};

extern const struct prompt_rules prompt_chat, prompt_responses, prompt_embeddings;

const struct prompt_rules *rules_of(enum prompt_path path);
/* The row of a field of the body; NULL: it has none. */
const struct prompt_field *rules_field(const struct prompt_rules *rules,
                                       struct span raw_name);

/* ---- facts: facts_init, the reader of each field, facts_complete ---- */

void facts_init(struct prompt *p, size_t body_bytes);
/* `seen` has a bit for each row of `fields` that was in the body. */
int facts_complete(const struct prompt_rules *rules, uint64_t seen, struct prompt *p,
                   struct err *err);

/* ---- readers and words that several paths share ---- */

field_reader read_model, read_output_limit, read_temperature, read_flag_stream, read_tier;
/* "body.FIELD is VALUE: it must be MUST" */
int field_wrong(struct err *err, const char *field, struct span value, const char *must);
/* The same of an element: FIELD[index]. */
int element_wrong(struct err *err, const char *field, uint64_t index, struct span value,
                  const char *must);
/* true or false; null is false. */
int read_bool(const char *field, struct span value, bool *ret, struct err *err);

#endif
