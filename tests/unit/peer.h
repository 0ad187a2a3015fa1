/*
 * peer.h - the other end of a connection, which does what its script says.
 *
 * Each request (or, for DROP_EARLY, each connection) takes the next line of the script; the
 * last line is used again when the script is over. It runs on a thread of its own between
 * peer_start and peer_stop. What arrived is in `received`, one request behind the other.
 */
#ifndef OFFPEAK_TESTS_UNIT_PEER_H
#define OFFPEAK_TESTS_UNIT_PEER_H

#include "core/buf.h"
#include <pthread.h>

#define RECEIVED_MAX ((size_t)4 << 20)
#define KEPT_MAX \
    8 /* connections that stay open; later ones take the place of the first */

enum then {
    CLOSE,      /* read the request, answer, close */
    KEEP,       /* ... and keep the connection */
    HANG,       /* read the request, answer nothing, keep the connection */
    DROP_EARLY, /* close without reading, after sending what there is to send */
};

struct reply {
    enum then then;
    const char *text; /* NULL: nothing */
};

struct peer {
    int listener, stop[2], kept[KEPT_MAX], kept_count;
    int port; /* on 127.0.0.1 */
    const struct reply *script;
    size_t replies, next;
    struct buf received;
    int requests, connections;
    int fragments; /* requests that began and did not end */
    pthread_t thread;
};

void peer_start(struct peer *p, const struct reply *script, size_t replies);
void peer_stop(struct peer *p);
bool peer_saw(const struct peer *p, const char *text);

#endif
