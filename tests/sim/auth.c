#include "tests/sim/auth.h"

#include "tests/sim/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { BANS_MAX = 1024 };

struct ban {
    char prefix[KEY_MAX];
    int64_t until_us; /* real; INT64_MAX: for good */
    bool is_quota;
};

struct auth {
    pthread_mutex_t lock;
    struct ban bans[BANS_MAX]; /* the newest overwrites the oldest */
    size_t n_bans;
};

struct auth *auth_create(void)
{
    struct auth *a = must_calloc(1, sizeof *a);
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

struct auth *auth_destroy(struct auth *a)
{
    if (a) {
        pthread_mutex_destroy(&a->lock);
        free(a);
    }
    return NULL;
}

static void add_ban(struct auth *a, const char *prefix, int64_t for_us, bool is_quota)
{
    pthread_mutex_lock(&a->lock);
    struct ban *b = &a->bans[a->n_bans++ % BANS_MAX];
    copy_string(b->prefix, sizeof b->prefix, prefix);
    b->until_us = for_us < 0 ? INT64_MAX : clock_real_us() + for_us;
    b->is_quota = is_quota;
    pthread_mutex_unlock(&a->lock);
}

void auth_revoke(struct auth *a, const char *prefix, int64_t for_us)
{
    add_ban(a, prefix, for_us, false);
}

void auth_exhaust(struct auth *a, const char *prefix, int64_t for_us)
{
    add_ban(a, prefix, for_us, true);
}

static bool is_banned(struct auth *a, const char *key, bool is_quota)
{
    bool banned = false;
    pthread_mutex_lock(&a->lock);
    size_t n = a->n_bans < BANS_MAX ? a->n_bans : BANS_MAX;
    int64_t now = n ? clock_real_us() : 0;
    for (size_t i = 0; i < n && !banned; i++) {
        const struct ban *b = &a->bans[i];
        banned = b->is_quota == is_quota && b->until_us > now &&
                 !strncmp(key, b->prefix, strlen(b->prefix));
    }
    pthread_mutex_unlock(&a->lock);
    return banned;
}

static void find_project(const char *key, char ret_project[PROJECT_MAX])
{
    const char *from = strchr(key, '-');
    const char *to = from ? strchr(from + 1, '-') : NULL;
    size_t n = to ? (size_t)(to - from - 1) : 0;
    if (strncmp(key, "sk-", 3) != 0 || n == 0 || n >= PROJECT_MAX) {
        copy_string(ret_project, PROJECT_MAX, "default");
        return;
    }
    memcpy(ret_project, from + 1, n);
    ret_project[n] = '\0';
}

int auth_check(struct auth *a, const char *header, struct problem *p,
               char ret_key[KEY_MAX], char ret_project[PROJECT_MAX])
{
    if (!header || strncasecmp(header, "Bearer ", 7) != 0 || !header[7]) {
        return problem_set(
            p, 401, NULL, NULL,
            "You didn't provide an API key. You need to provide your API key "
            "in an Authorization header using Bearer auth.");
    }
    const char *key = header + 7;
    if (strlen(key) >= KEY_MAX || !strncmp(key, "sk-wrong", 8) ||
        is_banned(a, key, false)) {
        /* as the vendor does: the first and last characters only */
        size_t n = strlen(key);
        return problem_set(
            p, 401, NULL, "invalid_api_key",
            "Incorrect API key provided: %.8s***%s. You can find your API key "
            "at https://platform.openai.com/account/api-keys.",
            key, n > 16 ? key + n - 4 : "");
    }
    copy_string(ret_key, KEY_MAX, key);
    find_project(key, ret_project);
    return 0;
}

int auth_check_quota(struct auth *a, const char *key, struct problem *p)
{
    if (!is_banned(a, key, true)) {
        return 0;
    }
    return problem_set(
        p, 429, NULL, "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing "
        "details.");
}
