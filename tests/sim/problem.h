/*
 * An error of the API: the HTTP status and OpenAI's error object.
 *
 * Functions that can refuse a request fill one and return -1. The same object becomes the
 * body of an HTTP reply and the `response.body` of a line in a batch's error file.
 */
#ifndef SIM_PROBLEM_H
#define SIM_PROBLEM_H

#include "tests/sim/text.h"

struct problem {
    int status;
    int retry_after_s; /* 0: no Retry-After */
    char param[64];    /* empty: null */
    char code[64];     /* empty: null */
    char message[384];
};

/* Fills *p and returns -1. NULL for param or code means null. */
int problem_set(struct problem *p, int status, const char *param, const char *code,
                const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* {"error":{"message","type","param","code"}} */
void problem_write(const struct problem *p, struct text *out);

/* What OpenAI says with this status when nothing more is known. */
void problem_usual(struct problem *p, int status);

#endif
