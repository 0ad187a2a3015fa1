/*
 * listing.h - what `offpeak topics` prints: a line for each thing, or one JSON object.
 *
 * listing_begin, then topics (listing_finding or listing_spec), then permissions (listing_rule),
 * then listing_end with the exit code. As JSON: {"topics":[...],"permissions":[...],"exit":0}.
 * Commands for somebody else to run are printed as they are, one a line.
 */
#ifndef OFFPEAK_CLI_LISTING_H
#define OFFPEAK_CLI_LISTING_H

#include "cli/access.h"
#include "cli/layout.h"
#include "cli/progress.h"

#define LISTING_COMMAND_MAX ((size_t)8 << 10)

struct listing {
    struct progress *notice; /* cleared before the first line */
    bool json, comma, rules;
};

/* What was found of one topic, and done about it. */
struct listing_finding {
    const struct layout_topic *topic;
    const char *did; /* "created"; NULL: nothing */
    struct layout_difference v[LAYOUT_DIFFERENCES_MAX + 1];
    size_t n;
    struct buf commands; /* to be run by somebody, one a line */
};

struct listing_rule {
    const char *word; /* "ok", "none": what is the matter with it */
    const char *role;
    const struct kafka_acl *acl;
    const char *brokers; /* for the command */
    bool by_hand;        /* only the command is of interest */
};

void listing_begin(struct listing *l, struct progress *notice, bool json);
void listing_finding(struct listing *l, const struct listing_finding *f);
void listing_heading(struct listing *l);
void listing_spec(struct listing *l, const struct topic_spec *spec, const char *name,
                  int32_t partitions);
void listing_rule(struct listing *l, const struct listing_rule *rule);
void listing_end(struct listing *l, int code);

#endif
