/*
 * Who asks, and whether they may: keys, projects, revoked keys and exhausted quotas.
 *
 * Any key is good but those that begin with "sk-wrong". The project is the text between the
 * first and the second dash of sk-PROJECT-...; other keys belong to project "default".
 * Faults revoke keys and exhaust quotas for some real time or for good. Thread-safe.
 */
#ifndef SIM_AUTH_H
#define SIM_AUTH_H

#include "tests/sim/problem.h"

struct auth;

enum { PROJECT_MAX = 64, KEY_MAX = 256 };

struct auth *auth_create(void);
struct auth *auth_destroy(struct auth *a);

/* Checks the Authorization header. Fills ret_key and ret_project, or *p and returns -1. */
int auth_check(struct auth *a, const char *header, struct problem *p,
               char ret_key[KEY_MAX], char ret_project[PROJECT_MAX]);

/* 429 insufficient_quota while the key's quota is exhausted: for operations that cost money. */
int auth_check_quota(struct auth *a, const char *key, struct problem *p);

/* From now on, for keys with this prefix (empty: all); for_us < 0: for good. */
void auth_revoke(struct auth *a, const char *prefix, int64_t for_us);
void auth_exhaust(struct auth *a, const char *prefix, int64_t for_us);

#endif
