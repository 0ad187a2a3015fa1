#include "core/failpoint.h"

#ifdef OFFPEAK_FAILPOINTS

#    include "core/buf.h"

#    include <errno.h>
#    include <fcntl.h>
#    include <pthread.h>
#    include <signal.h>
#    include <stdio.h>
#    include <sys/uio.h>
#    include <time.h>
#    include <unistd.h>

enum action { ACTION_KILL, ACTION_EXIT, ACTION_STOP, ACTION_SLEEP };

struct point {
    char name[64];
    uint64_t at_hit; /* acts at this hit, counted from 1 */
    uint64_t hits;
    enum action action;
    uint64_t sleep_ms;
};

static struct {
    pthread_mutex_t lock;
    struct point points[FAILPOINT_ARMED_MAX];
    size_t count;
    int log_fd; /* 0: none */
} armed = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int parse_action(struct span text, struct point *ret)
{
    if (span_is(text, "kill")) {
        ret->action = ACTION_KILL;
        return 0;
    }
    if (span_is(text, "exit")) {
        ret->action = ACTION_EXIT;
        return 0;
    }
    if (span_is(text, "stop")) {
        ret->action = ACTION_STOP;
        return 0;
    }
    ret->action = ACTION_SLEEP;
    return text.n > 6 && memcmp(text.p, "sleep_", 6) == 0
               ? span_u64(span_of(text.p + 6, text.n - 6), &ret->sleep_ms)
               : -1;
}

/* name[:n]=action */
static int parse_point(struct span text, struct point *ret)
{
    const char *eq = memchr(text.p, '=', text.n);
    if (!eq) {
        return -1;
    }
    size_t left_n = (size_t)(eq - text.p);
    const char *colon = memchr(text.p, ':', left_n);
    size_t name_n = colon ? (size_t)(colon - text.p) : left_n;
    struct point p = {.at_hit = 1};
    if (name_n == 0 || name_n >= sizeof(p.name)) {
        return -1;
    }
    memcpy(p.name, text.p, name_n);
    if (colon && span_u64(span_of(colon + 1, left_n - name_n - 1), &p.at_hit) < 0) {
        return -1;
    }
    if (parse_action(span_of(eq + 1, text.n - left_n - 1), &p) < 0) {
        return -1;
    }
    *ret = p;
    return 0;
}

int failpoint_arm(const char *spec, const char *log_path, struct err *err)
{
    const char *p = spec ? spec : "";
    for (armed.count = 0; *p; armed.count++) {
        size_t n = strcspn(p, ",");
        if (armed.count == FAILPOINT_ARMED_MAX ||
            parse_point(span_of(p, n), &armed.points[armed.count]) < 0) {
            err_set(err, ERR_USAGE, "could not use the failpoint '%.*s'", (int)n, p);
            err_hint(err, "write NAME[:HIT]=kill|exit|stop|sleep_MS, at most %d of them",
                     FAILPOINT_ARMED_MAX);
            return -(int)ERR_USAGE;
        }
        p += n + (p[n] == ',');
    }
    if (log_path) {
        armed.log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (armed.log_fd < 0) {
            return err_set(err, ERR_USAGE, "could not open '%s': %s", log_path,
                           strerror(errno));
        }
    }
    return 0;
}

static void act(const struct point *p)
{
    struct timespec pause = {.tv_sec = (time_t)(p->sleep_ms / 1000),
                             .tv_nsec = (long)(p->sleep_ms % 1000) * 1000000};
    switch (p->action) {
    case ACTION_KILL: raise(SIGKILL); break;
    case ACTION_EXIT: _exit(FAILPOINT_EXIT);
    case ACTION_STOP: raise(SIGSTOP); break;
    case ACTION_SLEEP: nanosleep(&pause, NULL); break;
    }
}

/* One write, so that lines of several processes do not mix. */
static void append_log(const char *name)
{
    struct iovec line[] = {{(void *)(uintptr_t)name, strlen(name)}, {(void *)"\n", 1}};
    ssize_t n = writev(armed.log_fd, line, 2);
    (void)n; /* the test that reads the log misses the line and says so */
}

void failpoint_hit(const char *name)
{
    struct point hit;
    bool acts = false;
    if (armed.log_fd > 0) {
        append_log(name);
    }
    pthread_mutex_lock(&armed.lock);
    for (size_t i = 0; i < armed.count; i++) {
        struct point *p = &armed.points[i];
        if (strcmp(p->name, name) == 0 && ++p->hits == p->at_hit) {
            hit = *p;
            acts = true;
        }
    }
    pthread_mutex_unlock(&armed.lock);
    if (acts) {
        act(&hit);
    }
}

#endif
