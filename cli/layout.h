/*
 * layout.h - which topics should stand on a broker, and how what stands there differs.
 *
 * A layout is a list of topics: layout_shared, layout_team and layout_queue add what should be
 * there (the table of core/topics.h), layout_found adds what is there. Then layout_partitions and
 * layout_setting compare the two, one thing at a time: pure functions, with the words for people.
 *
 *     layout_shared(&l, prefix, err);
 *     layout_look(&l, admin, prefix, err);          (layout_make.c: these talk to the broker)
 *     for each l.v[i]: layout_partitions, and layout_setting for each of its settings
 *     layout_make(admin, &l.v[i], err)
 *     layout_fini(&l);
 *
 * Nothing here deletes, and a topic that is there keeps its partitions. Errors of the functions
 * that talk to the broker are minus an enum err_code.
 */
#ifndef OFFPEAK_CLI_LAYOUT_H
#define OFFPEAK_CLI_LAYOUT_H

#include "core/kafka.h"
#include "core/topics.h"

#define LAYOUT_TOPICS_MAX      10000
#define LAYOUT_TEXT_MAX        40
#define LAYOUT_SETTLE_MS       10000
#define LAYOUT_DIFFERENCES_MAX 8 /* settings of one topic */

struct layout_topic {
    char name[KAFKA_TOPIC_MAX];    /* on the broker */
    const struct topic_spec *spec; /* NULL: no topic of ours */
    int32_t partitions;            /* of a new one */
    bool asked;                    /* ... by the user: also of one that is there */
    bool wanted;                   /* false: only found */
    int32_t found;                 /* its partitions; 0: it is not there */
};

struct layout {
    struct layout_topic *v;
    size_t n, cap;
};

/* A queue: feature NULL is only what the team has; partitions 0 is the usual number. */
struct layout_queue {
    const char *team, *feature;
    uint64_t partitions;
};

int layout_shared(struct layout *l, const char *prefix, struct err *err);
int layout_queue(struct layout *l, const char *prefix, const struct layout_queue *queue,
                 struct err *err);
/* A topic of the broker. Who has a queue also needs what its team needs. */
int layout_found(struct layout *l, const char *prefix, const char *topic,
                 int32_t partitions, struct err *err);
void layout_sort(struct layout *l);
void layout_fini(struct layout *l);

/* ---- what differs ---- */

enum layout_grade {
    LAYOUT_FINE,
    LAYOUT_NOTE,    /* other than usual; it does no harm */
    LAYOUT_WRONG,   /* `topics create` sets it right */
    LAYOUT_MISSING, /* `topics create` makes it */
    LAYOUT_FATAL,   /* it does not: see the hint */
};

struct layout_difference {
    enum layout_grade grade;
    const char *setting; /* as the broker calls it; NULL: the number of partitions */
    char is[100], should[100];
    char words[300]; /* what is the matter */
    char hint[400];  /* what to do; "" when nothing is to be done */
};

enum layout_grade layout_partitions(const struct layout_topic *t,
                                    struct layout_difference *ret);
/* Also of settings that we do not care about, which are fine. */
enum layout_grade layout_setting(const struct layout_topic *t,
                                 const struct kafka_setting *now,
                                 struct layout_difference *ret);
/* What a setting's value says: "30 days", "8.1 MiB", "for ever". */
void layout_show_time(const char *ms, char ret[static LAYOUT_TEXT_MAX]);
void layout_show_bytes(const char *bytes, char ret[static LAYOUT_TEXT_MAX]);

/* ---- on the broker ---- */

/* Adds every topic under the prefix; with `only`, just marks those that are in the list. By name. */
int layout_look(struct layout *l, struct kafka_admin *admin, const char *prefix,
                bool only, struct err *err);
/* 1 made, 0 it was there. */
int layout_make(struct kafka_admin *admin, const struct layout_topic *t, struct err *err);
/* All that a queue needs is there, or is made. Nothing is compared. */
int layout_ensure(struct kafka_admin *admin, const char *prefix,
                  const struct layout_queue *queue, struct err *err);
/* Waits, LAYOUT_SETTLE_MS at most, until the broker lists every topic that was made: it takes
 * a moment until all of it knows them. */
int layout_settle(struct layout *l, struct kafka_admin *admin, const char *prefix,
                  struct err *err);
/* The settings that differ, of one that is there: how many. */
int layout_differences(struct kafka_admin *admin, const struct layout_topic *t,
                       struct layout_difference ret[static LAYOUT_DIFFERENCES_MAX],
                       struct err *err);
/* Sets as the table says those of the differences that are WRONG, all at once: how many. */
int layout_repair(struct kafka_admin *admin, const struct layout_topic *t,
                  const struct layout_difference *v, size_t n, struct err *err);

/* ---- as commands of the broker's own scripts ---- */

/* A line: kafka-topics.sh --create ..., and kafka-configs.sh --alter ... */
void layout_make_command(const struct layout_topic *t, const char *brokers,
                         struct buf *ret);
void layout_repair_command(const struct layout_topic *t,
                           const struct layout_difference *v, size_t n,
                           const char *brokers, struct buf *ret);
/* The settings that would be set: how many. */
size_t layout_repairs(const struct layout_topic *t, const struct layout_difference *v,
                      size_t n, struct kafka_setting ret[static TOPICS_SETTINGS_MAX]);

#endif
