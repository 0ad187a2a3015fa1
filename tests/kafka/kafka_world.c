#include "tests/kafka/kafka_world.h"

#include <dirent.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The state of one thread, as /proc says it: the letter behind the name in brackets. */
static char thread_state(pid_t pid, const char *thread)
{
    char path[300], text[400] = "";
    snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", (int)pid, thread);
    FILE *f = fopen(path, "re");
    if (!f) {
        return 'T'; /* it ended */
    }
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    const char *name_end = n ? strrchr(text, ')') : NULL;
    return name_end && name_end[1] ? name_end[2] : 'T';
}

static bool stands_still(pid_t pid)
{
    char path[40];
    bool all = true;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
        all = all && (e->d_name[0] == '.' || thread_state(pid, e->d_name) == 'T');
    }
    closedir(d);
    return all;
}

void broker_signal(int number)
{
    char path[4200], text[32] = "";
    const char *dir = getenv("KAFKA_DIR");
    assert_non_null(dir);
    snprintf(path, sizeof(path), "%s/pid", dir);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof(text), f));
    fclose(f);
    long pid = strtol(text, NULL, 10);
    assert_true(pid > 1);
    assert_int_equal(kill((pid_t)pid, number), 0);
    for (int64_t end = now_ms() + CALL_MS;
         number == SIGSTOP && !stands_still((pid_t)pid);) {
        assert_true(now_ms() < end); /* a thread that works stops a moment later */
        usleep(1000);
    }
}

void spawn(const char *const argv[])
{
    pid_t pid;
    int status;
    char *const *words = (char *const *)(uintptr_t)argv;
    assert_int_equal(posix_spawnp(&pid, argv[0], NULL, NULL, words, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fail_msg("%s failed (%d)", argv[0], status);
    }
}

static void on_note(void *ctx, enum kafka_note note, const char *words)
{
    struct world *w = ctx;
    w->notes_down += note == KAFKA_NOTE_DOWN;
    w->notes_auth += note == KAFKA_NOTE_AUTH;
    snprintf(w->last_note, sizeof(w->last_note), "%s", words);
}

static void on_delivery(void *ctx, const struct kafka_delivery *d)
{
    struct world *w = ctx;
    w->delivered += d->class == 0;
    w->refused += d->class != 0;
    w->perhaps += d->perhaps;
}

/* On a secured broker a world is the administrator, until a test says otherwise. */
static void world_admin_file(struct world *w)
{
    snprintf(w->file, sizeof(w->file), "%s/clients/admin.properties",
             getenv("KAFKA_DIR"));
    if (access(w->file, R_OK) == 0) {
        w->conf.file = w->file;
        w->conf.brokers = NULL;
    }
}

int world_setup(void **state)
{
    static int number;
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->conf = (struct kafka_conf){
        .brokers = getenv("OFFPEAK_BROKERS"),
        .client_id = "test_kafka",
        .note = on_note,
        .note_ctx = w,
    };
    snprintf(w->name, sizeof(w->name), "t%d-%d", (int)getpid(), ++number);
    snprintf(w->topic, sizeof(w->topic), "%s.a", w->name);
    snprintf(w->second, sizeof(w->second), "%s.b", w->name);
    *state = w;
    world_admin_file(w);
    OK(w, kafka_admin_open(&w->admin, &w->conf, &w->err));
    return 0;
}

int world_teardown(void **state)
{
    struct world *w = *state;
    w->p = kafka_producer_destroy(w->p);
    w->other = kafka_producer_destroy(w->other);
    w->c = kafka_consumer_destroy(w->c);
    w->peer = kafka_consumer_destroy(w->peer);
    w->admin = kafka_admin_destroy(w->admin);
    free(w);
    return 0;
}

int is_at(struct world *w, int want, int rc, const char *file, int line)
{
    if (rc != want) {
        print_error("got %d, wanted %d: %s (%s)\n", rc, want, w->err.msg, w->last_note);
        _fail(file, line);
    }
    return rc;
}

void make_topic(struct world *w, const char *topic, int partitions, const char *setting,
                const char *value)
{
    const struct kafka_setting one = {setting, value};
    int64_t end = now_ms() + CALL_MS;
    int rc;
    do { /* a broker that stood still is not up again at once */
        rc = kafka_admin_create(w->admin, topic, partitions, &one, setting ? 1 : 0,
                                &w->err);
    } while (rc == -KAFKA_RETRY && now_ms() < end);
    IS(w, 1, rc);
    do { /* it answers before all of it knows */
        rc = kafka_admin_partitions(w->admin, topic, &w->err);
    } while (rc != partitions && now_ms() < end);
    IS(w, partitions, rc);
}

struct kafka_producer *open_producer(struct world *w, const char *id)
{
    struct kafka_producer *p = NULL;
    const struct kafka_producer_conf conf = {
        .kafka = &w->conf,
        .transactional_id = id,
        .delivered = on_delivery,
        .ctx = w,
    };
    OK(w, kafka_producer_open(&p, &conf, &w->err));
    return p;
}

struct kafka_producer *ready_producer(struct world *w, const char *id)
{
    struct kafka_producer *p = open_producer(w, id);
    OK(w, kafka_producer_init(p, CALL_MS, &w->err));
    return p;
}

int put_to(struct world *w, struct kafka_producer *p, const char *topic, int partition,
           const char *value)
{
    const struct kafka_record r = {
        .topic = topic, .partition = partition, .value = span_str(value)};
    return kafka_producer_produce(p, &r, &w->err);
}

int put(struct world *w, struct kafka_producer *p, const char *topic, const char *value)
{
    return put_to(w, p, topic, 0, value);
}

int commit(struct world *w, struct kafka_producer *p)
{
    return kafka_producer_commit(p, &(struct kafka_commit){.n = 0}, CALL_MS, &w->err);
}

void put_many(struct world *w, const char *topic, int partition, int n)
{
    char id[sizeof(w->name) + 8];
    snprintf(id, sizeof(id), "%s-many", w->name);
    struct kafka_producer *p = ready_producer(w, id);
    OK(w, kafka_producer_begin(p, &w->err));
    for (int i = 0; i < n; i++) {
        char value[16];
        snprintf(value, sizeof(value), "%d", i);
        OK(w, put_to(w, p, topic, partition, value));
    }
    OK(w, commit(w, p));
    kafka_producer_destroy(p);
}

struct kafka_consumer *by_hand(struct world *w, bool uncommitted)
{
    struct kafka_consumer *c = NULL;
    const struct kafka_consumer_conf conf = {
        .kafka = &w->conf, .wait_ms = 10, .uncommitted = uncommitted};
    OK(w, kafka_consumer_open(&c, &conf, &w->err));
    return c;
}

struct kafka_consumer *member(struct world *w, const char *topic, const char *instance)
{
    struct kafka_consumer *c = NULL;
    const struct kafka_consumer_conf conf = {.kafka = &w->conf,
                                             .group = w->name,
                                             .topic = topic,
                                             .instance = instance,
                                             .session_ms = 6000,
                                             .wait_ms = 10};
    OK(w, kafka_consumer_open(&c, &conf, &w->err));
    return c;
}

void read_from(struct world *w, struct kafka_consumer *c, const char *topic,
               int partition, int64_t offset)
{
    const struct kafka_place at = {topic, partition, offset};
    OK(w, kafka_consumer_add(c, &at, &w->err));
}

struct kafka_event next_event(struct world *w, struct kafka_consumer *c)
{
    struct kafka_event e = {0};
    IS(w, 1, kafka_consumer_poll(c, CALL_MS, &e, &w->err));
    return e;
}

struct kafka_event next_record(struct world *w, struct kafka_consumer *c)
{
    return await(w, c, KAFKA_RECORD);
}

struct kafka_event await(struct world *w, struct kafka_consumer *c, enum kafka_what what)
{
    int64_t end = now_ms() + CALL_MS;
    struct kafka_event e = {0};
    while (now_ms() < end) {
        e = next_event(w, c);
        if (e.what == what) {
            return e;
        }
        if (e.what == KAFKA_TROUBLE) {
            print_error("trouble: %s\n", w->err.msg);
        }
    }
    fail_msg("no event of kind %d came", (int)what);
    return e;
}

void take_all(struct world *w, struct kafka_consumer *c, const struct kafka_event *e)
{
    struct kafka_place at[16];
    assert_true(e->what == KAFKA_ASSIGNED && e->n <= ARRAY_LEN(at));
    for (size_t i = 0; i < e->n; i++) {
        at[i] = e->places[i];
        at[i].offset = KAFKA_BEGINNING;
    }
    OK(w, kafka_consumer_take(c, at, e->n, &w->err));
}
