/*
 * kafka_world.h - what the tests of core/kafka.h share: a real broker and topics of their own.
 *
 * scripts/kafka run gives the address in OFFPEAK_BROKERS and the broker's folder in KAFKA_DIR
 * (its file `pid`). Each test gets a world; its topics carry the process id and the test's number,
 * so that nothing of another test is in them. What a world opened is closed with it.
 */
#ifndef OFFPEAK_TESTS_KAFKA_WORLD_H
#define OFFPEAK_TESTS_KAFKA_WORLD_H

#include "core/headers.h"
#include "core/kafka.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdatomic.h>
#include <string.h>

#define CALL_MS 20000

struct world {
    struct kafka_conf conf;
    struct err err;
    struct kafka_admin *admin;
    struct kafka_producer *p, *other;
    struct kafka_consumer *c, *peer;
    char last_note[400];
    int notes_down, notes_auth;
    int delivered, refused, perhaps; /* what the deliveries said */
    char name[40];                   /* unique to this test */
    char topic[60], second[60];
    char file[4200];
    atomic_bool restarted;
};

int world_setup(void **state);
int world_teardown(void **state);
int64_t now_ms(void);
void broker_signal(int number); /* to the broker's process */

/* Fails the test with the words of w->err unless `rc` is `want`. */
int is_at(struct world *w, int want, int rc, const char *file, int line);
#define OK(w, call)          is_at((w), 0, (call), __FILE__, __LINE__)
#define IS(w, want, call)    is_at((w), (want), (call), __FILE__, __LINE__)
#define ASSERT_SAYS(w, text) assert_non_null(strstr((w)->err.msg, (text)))

void make_topic(struct world *w, const char *topic, int partitions, const char *setting,
                const char *value);
struct kafka_producer *open_producer(struct world *w, const char *id);
struct kafka_producer *ready_producer(struct world *w, const char *id); /* init done */
int put(struct world *w, struct kafka_producer *p, const char *topic, const char *value);
int put_to(struct world *w, struct kafka_producer *p, const char *topic, int partition,
           const char *value);
int commit(struct world *w, struct kafka_producer *p);
/* Commits `n` values "0", "1", ... to one partition in one transaction. */
void put_many(struct world *w, const char *topic, int partition, int n);

struct kafka_consumer *by_hand(struct world *w, bool uncommitted);
struct kafka_consumer *member(struct world *w, const char *topic, const char *instance);
void read_from(struct world *w, struct kafka_consumer *c, const char *topic,
               int partition, int64_t offset);
/* The next event; the test fails when none comes. */
struct kafka_event next_event(struct world *w, struct kafka_consumer *c);
struct kafka_event next_record(struct world *w,
                               struct kafka_consumer *c); /* not an END */
struct kafka_event await(struct world *w, struct kafka_consumer *c, enum kafka_what what);
/* Takes all partitions of an ASSIGNED from their beginning. */
void take_all(struct world *w, struct kafka_consumer *c, const struct kafka_event *e);

/* Runs a program of another author to its end; the test fails when it does. */
void spawn(const char *const argv[]);

extern const struct CMUnitTest write_tests[], read_tests[], admin_tests[], fault_tests[],
    secure_tests[];
extern const size_t write_tests_n, read_tests_n, admin_tests_n, fault_tests_n,
    secure_tests_n;

#define KAFKA_TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)

#endif
