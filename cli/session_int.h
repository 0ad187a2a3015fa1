/*
 * session_int.h - what the files of session.h share.
 */
#ifndef OFFPEAK_CLI_SESSION_INT_H
#define OFFPEAK_CLI_SESSION_INT_H

#include "cli/session.h"
#include "core/loop.h"

#define SESSION_MAGIC 0x53455353u /* SESS */

struct worker_status;
struct waits;

struct session {
    uint32_t magic;
    const struct cli *cli;
    struct loop *loop;
    struct queue *queue;
    struct session_conf conf;
    struct session_end *end;

    bool owner;
    struct waits *waits; /* on Kafka, where others do the work; else NULL */
    struct http *http;
    struct scheduler *scheduler;
    struct worker *worker;
    struct submit *submit;
    struct follow *follow;
    struct loop_timer *tick, *soon;

    struct submit_conf submitting;
    bool submitted, caught_up, over;
    bool unread; /* on Kafka: results could not be read, and will be tried again */
    unsigned ticks, calm;
    int64_t started_ms, all_done_ms; /* loop time; all_done_ms 0: not yet */
    int64_t leave_ms; /* 0, or after a signal: then it ends, whatever is under way */
    uint64_t done_at_start, refused;
};

/* Ends the loop; the first reason counts. `err` may be NULL. */
void session_end(struct session *s, enum session_over over, const struct err *err);
void session_on_stop(void *ctx, const struct err *err);
void session_on_step(void *ctx, const char *subject, const char *text);
void session_on_event(void *ctx, const char *subject, const char *text);
void session_step(
    struct session *s); /* looks where the run stands, and whether it is over */

/* session_beat.c */
void session_beat(struct session *s, const struct worker_status *w);
/* session_start.c */
int session_start_roles(struct session *s, struct err *err);
void session_stop_roles(struct session *s);
/* session_owner.c. 1 the folder is ours now, 0 somebody else works there, for the same account. */
int session_take_or_join(struct session *s, struct err *err);
/* Would the owner, if there is one, do with our lines what was asked for? */
int session_check_owner(struct session *s, struct err *err);
void session_try_take_over(struct session *s);
/* session_start.c. What is asked now against what stands in the folder, then the lines that are not queued. */
int session_start_run(struct session *s, struct err *err);

#endif
