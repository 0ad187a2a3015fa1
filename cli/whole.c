#include "cli/whole.h"

#include "cli/crew.h"
#include "core/clock.h"
#include "core/record.h"

#include <stdio.h>
#include <time.h>

#define LOOK_MS  50
#define AGAIN_MS 1000
#define GONE_MS  12000 /* longer than a session of a worker */

static int refuse(const struct crew *crew, const char *what, struct err *err)
{
    _cleanup_(buf_fini) struct buf words;
    buf_init(&words, 200);
    crew_words(crew, &words);
    err_set(err, ERR_TEMP,
            "could not %s: stored answers belong to the workers at work (%s)", what,
            words.p);
    err_hint(err, "stop all workers, give this command again, and start them: they read "
                  "what it stored");
    return -ERR_TEMP;
}

static void nap(int64_t ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

/* Before anybody is disturbed: a member more would stop all of them for a while. One that was
 * just stopped and has a name is missed by nobody for as long as its session lasts. */
static int check_nobody(const struct cli *c, const char *what, struct err *err)
{
    const struct kafka_conf kafka = broker_kafka(&c->set->broker);
    struct progress notice = c->notice;
    struct kafka_admin *admin = NULL;
    struct crew crew = {0};
    int rc = kafka_admin_open(&admin, &kafka, err) < 0 ? -(int)err->code : 0;
    for (int64_t waited = 0; rc >= 0 && waited <= GONE_MS; waited += AGAIN_MS) {
        rc = crew_look(admin, &c->set->broker, &crew, err);
        if (rc < 0 || crew.workers <= 0) {
            break;
        }
        progress_notice(&notice, "waiting until the workers have gone ...");
        nap(AGAIN_MS);
    }
    progress_clear(&notice);
    kafka_admin_destroy(admin);
    return rc >= 0 && crew.workers > 0 ? refuse(&crew, what, err) : rc;
}

static int open_queue(struct whole *w, const struct cli *c, struct err *err)
{
    struct queue_broker broker;
    broker_queue(&c->set->broker, QUEUE_WORKER, &broker);
    broker.instance = NULL; /* kafka.instance is a worker's name, and it will come back */
    const struct queue_conf conf = {.dir = w->folder.path,
                                    .broker = &broker,
                                    .max_bytes = (uint64_t)c->set->cli.data_max_bytes};
    return queue_open(&w->queue, &conf, err);
}

/* The copy is complete, and what can be owned is ours. */
static int wait_for_share(struct whole *w, const char *what, struct err *err)
{
    struct clock clock = clock_real();
    int64_t until = clock_mono_ms(&clock) + WHOLE_WAIT_MS;
    enum queue_ownership now = QUEUE_NOT_YET;
    while (now != QUEUE_READY && clock_mono_ms(&clock) < until) {
        struct err why = {0};
        now = queue_ownership(w->queue, &why);
        if (now != QUEUE_READY && why.msg[0] && why.retry == RETRY_NEVER) {
            *err = why;
            return -(int)why.code;
        }
        nap(LOOK_MS);
    }
    return now == QUEUE_READY ? 0
                              : err_set(err, ERR_TEMP,
                                        "could not %s: the broker gave this process no "
                                        "share for %d min",
                                        what, WHOLE_WAIT_MS / 60000);
}

static int check_all_ours(struct whole *w, const char *what, struct err *err)
{
    uint32_t owned[READY_PARTITIONS_MAX], all = 0;
    struct crew others = {CREW_UNKNOWN, CREW_UNKNOWN};
    size_t n = queue_owned(w->queue, TOPIC_READY, owned, READY_PARTITIONS_MAX);
    int rc = queue_partitions(w->queue, TABLE_ANSWERS, &all, err);
    return rc >= 0 && n < all ? refuse(&others, what, err) : rc;
}

int whole_open(struct whole *ret, const struct cli *c, const char *what, struct err *err)
{
    *ret = (struct whole){.folder = {.lock_fd = -1}};
    int rc = check_nobody(c, what, err);
    if (rc >= 0) {
        rc = daemon_folder_open(&ret->folder, c, what, err);
    }
    if (rc >= 0) {
        rc = open_queue(ret, c, err);
    }
    if (rc >= 0) {
        rc = wait_for_share(ret, what, err);
    }
    return rc < 0 ? rc : check_all_ours(ret, what, err);
}

void whole_close(struct whole *w)
{
    w->queue = queue_close(w->queue);
    daemon_folder_close(&w->folder);
}
