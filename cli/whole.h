/*
 * whole.h - on a broker: what the workers own, all of it in one hand, for a command that writes there.
 *
 * Stored answers belong to the worker that owns their partition, and every commit is fenced. So a
 * command that adds answers is a worker for as long as it lasts: it joins their group, copies what
 * stands there, and goes on when all partitions are its own. While others are at work it
 * does not: ERR_TEMP, with what to do. A worker that joins later takes its share within 20 s, and
 * the next commit fails; nothing is half written.
 *
 * whole_open waits for the copy, WHOLE_WAIT_MS at most; close with whole_close in any case. The
 * copy stands in a folder of its own in the state folder, which goes with it.
 */
#ifndef OFFPEAK_CLI_WHOLE_H
#define OFFPEAK_CLI_WHOLE_H

#include "cli/daemon_folder.h"
#include "core/queue.h"

#define WHOLE_WAIT_MS (10 * 60 * 1000)

struct whole {
    struct daemon_folder folder;
    struct queue *queue;
};

/* `what` is for messages: "import". */
int whole_open(struct whole *ret, const struct cli *c, const char *what, struct err *err);
void whole_close(struct whole *w);

#endif
