/*
 * A call: one HTTP request from its first byte to its reply, with the fault that strikes it.
 *
 * The server feeds it the body, asks what is to be done (wait, then act; or act, then wait)
 * and sends the reply. Acting checks key and quota and runs the operation (api.h).
 */
#ifndef SIM_CALL_H
#define SIM_CALL_H

#include "tests/sim/api.h"

struct route;

struct call {
    struct request request;
    struct reply reply;
    const struct route *route; /* NULL: no such address */
    bool wrong_method;
    bool is_too_large;
    bool is_ready; /* the body is complete */
    bool has_acted;
    int64_t delay_us; /* before the reply goes out */
    void *owner;      /* the server's */
};

/* The headers have come. */
struct call *call_begin(struct sim *sim, struct MHD_Connection *connection,
                        const char *method, const char *path);
struct call *call_end(struct call *c);

/* A piece of the body. */
void call_feed(struct call *c, const char *data, size_t n);

/* The body is complete: draws the fault and the delay. True when the delay comes before the
 * act (fault `late`). */
bool call_prepare(struct call *c);

/* A plain question that is not to be answered yet: --hold. */
bool call_is_held(const struct call *c);

/* Does what was asked and fills the reply. */
void call_act(struct call *c);

#endif
