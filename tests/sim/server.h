/*
 * The HTTP server: connections, bodies, delays. At most 1,024 connections on two threads; a
 * delayed reply holds its connection but no thread.
 */
#ifndef SIM_SERVER_H
#define SIM_SERVER_H

#include "tests/sim/sim.h"

struct server;

/* Listens on options.listen; NULL with a message in *ret_why. */
struct server *server_start(struct sim *sim, struct text *ret_why);

/* Closes at once: a reply that was still to come is cut off. */
struct server *server_stop(struct server *s);

int server_port(const struct server *s);

#endif
