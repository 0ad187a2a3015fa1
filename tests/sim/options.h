/*
 * What the command line says. One table drives parsing and --help.
 */
#ifndef SIM_OPTIONS_H
#define SIM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct options {
    char *listen;
    char *port_file;
    char *faults;
    char *dir;
    double speed;
    int64_t seed;
    int64_t latency_ms;
    double validate_s; /* durations of a batch, simulated */
    double batch_s;
    double line_ms;
    double finalize_s;
    double cancel_s;
    double list_lag_s;
    double cache_ttl_s;
    double cache_ready_s;
    int64_t concurrency;
    int64_t enqueued_tokens;
    int64_t max_requests;
    int64_t rpm;
    int64_t tpm;
    bool hold;
    bool help;
};

/* 0, or -1 after a message on stderr. Strings point into argv. */
int options_parse(struct options *o, int argc, char **argv);
void options_help(FILE *out);

#endif
