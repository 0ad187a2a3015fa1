#include "tests/sim/file_store.h"

#include "tests/sim/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 1000000 };

struct file {
    struct file_spec spec;
    char id[ID_MAX];
    int64_t bytes;
    bool gone;
};

struct file_store {
    pthread_mutex_t lock;
    char *dir;
    bool is_private;
    uint64_t seed;
    struct file **files;
    size_t n;
    size_t cap;
};

static char *body_path(const struct file_store *s, const char *id)
{
    struct text path = {0};
    text_fmt(&path, "%s/%s", s->dir, id);
    return path.data;
}

static void remove_body(const struct file_store *s, struct file *f)
{
    char *path = body_path(s, f->id);
    unlink(path);
    free(path);
    f->gone = true;
}

static int open_dir(struct file_store *s, const char *dir, const char *tmp,
                    struct text *ret_why)
{
    if (dir) {
        s->dir = must_strdup(dir);
        if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
            text_fmt(ret_why, "could not make '%s': %s", dir, strerrordesc_np(errno));
            return -1;
        }
        return 0;
    }
    struct text name = {0};
    text_fmt(&name, "%s/offpeak-sim-XXXXXX", tmp);
    s->dir = name.data;
    if (!mkdtemp(s->dir)) {
        text_fmt(ret_why, "could not make a folder '%s': %s", s->dir,
                 strerrordesc_np(errno));
        return -1;
    }
    s->is_private = true;
    return 0;
}

struct file_store *file_store_open(const char *dir, const char *tmp, uint64_t seed,
                                   struct text *ret_why)
{
    struct file_store *s = must_calloc(1, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    s->seed = mix64(seed ^ 0xf11e);
    return open_dir(s, dir, tmp, ret_why) < 0 ? file_store_close(s) : s;
}

struct file_store *file_store_close(struct file_store *s)
{
    if (!s) {
        return NULL;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (s->is_private && !s->files[i]->gone) {
            remove_body(s, s->files[i]);
        }
        free(s->files[i]);
    }
    if (s->is_private) {
        rmdir(s->dir);
    }
    pthread_mutex_destroy(&s->lock);
    free(s->files);
    free(s->dir);
    free(s);
    return NULL;
}

int file_store_scratch(struct file_store *s, char **ret_path)
{
    struct text name = {0};
    text_fmt(&name, "%s/scratch-XXXXXX", s->dir);
    int fd = mkostemp(name.data, O_CLOEXEC);
    if (fd >= 0 && ret_path) {
        *ret_path = name.data;
        return fd;
    }
    if (fd >= 0) {
        unlink(name.data);
    }
    text_done(&name);
    return fd;
}

static struct file *add_file(struct file_store *s, const struct file_spec *spec)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->files = must_realloc(s->files, s->cap, sizeof(struct file *));
    }
    struct file *f = must_calloc(1, sizeof *f);
    f->spec = *spec;
    snprintf(f->id, sizeof f->id, "file-%016llx%08zx",
             (unsigned long long)rng_next(&s->seed), s->n);
    s->files[s->n++] = f;
    return f;
}

int file_store_adopt(struct file_store *s, const struct file_spec *spec, const char *path,
                     char *ret_id)
{
    struct stat st;
    int rc = -1;
    pthread_mutex_lock(&s->lock);
    if (s->n < FILES_MAX && stat(path, &st) == 0) {
        struct file *f = add_file(s, spec);
        char *body = body_path(s, f->id);
        rc = rename(path, body);
        free(body);
        f->bytes = st.st_size;
        f->gone = rc < 0;
        copy_string(ret_id, ID_MAX, f->id);
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static bool is_alive(const struct file *f, int64_t now)
{
    return !f->gone && (!f->spec.expires_at || f->spec.expires_at > now);
}

/* The living file of this id and project, or NULL. */
static struct file *find(struct file_store *s, const char *project, const char *id,
                         int64_t now)
{
    size_t n = strlen(id);
    unsigned long long number = n > 8 ? strtoull(id + n - 8, NULL, 16) : s->n;
    if (number >= s->n) {
        return NULL;
    }
    struct file *f = s->files[number];
    bool same = !strcmp(f->id, id) && !strcmp(f->spec.project, project);
    return same && is_alive(f, now) ? f : NULL;
}

static int no_such_file(struct problem *p, const char *id)
{
    return problem_set(p, 404, "id", NULL, "No such File object: %.60s", id);
}

static void write_file(const struct file *f, struct text *out)
{
    text_fmt(out,
             "{\"id\":\"%s\",\"object\":\"file\",\"bytes\":%lld,\"created_at\":%lld,",
             f->id, (long long)f->bytes, (long long)f->spec.created_at);
    if (f->spec.expires_at) {
        text_fmt(out, "\"expires_at\":%lld,", (long long)f->spec.expires_at);
    } else {
        text_put(out, "\"expires_at\":null,");
    }
    text_put(out, "\"filename\":");
    text_json(out, f->spec.filename, strlen(f->spec.filename));
    text_put(out, ",\"purpose\":");
    text_json(out, f->spec.purpose, strlen(f->spec.purpose));
    text_put(out, ",\"status\":\"processed\",\"status_details\":null}");
}

int file_store_show(struct file_store *s, const char *project, const char *id,
                    int64_t now, struct text *out, struct problem *p)
{
    pthread_mutex_lock(&s->lock);
    struct file *f = find(s, project, id, now);
    if (f) {
        write_file(f, out);
    }
    pthread_mutex_unlock(&s->lock);
    return f ? 0 : no_such_file(p, id);
}

static bool is_listed(const struct file *f, const struct file_query *q)
{
    return is_alive(f, q->now) && !strcmp(f->spec.project, q->project) &&
           (!q->purpose || !strcmp(f->spec.purpose, q->purpose)) &&
           f->spec.hidden_until <= q->now && f->spec.created_at <= q->visible_since;
}

/* The page of files that the query asks for. */
static void write_page(struct file_store *s, const struct file_query *q, size_t skip,
                       struct text *out)
{
    const struct file *first = NULL;
    const struct file *last = NULL;
    int64_t n = 0;
    bool more = false;
    text_put(out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = skip; i < s->n && !more; i++) {
        const struct file *f = s->files[q->ascending ? i : s->n - 1 - i];
        if (!is_listed(f, q)) {
            continue;
        }
        more = n == q->limit;
        if (!more) {
            text_put(out, n++ ? "," : "");
            write_file(f, out);
            first = first ? first : f;
            last = f;
        }
    }
    text_put(out, "],\"first_id\":");
    text_json_or_null(out, first ? first->id : NULL);
    text_put(out, ",\"last_id\":");
    text_json_or_null(out, last ? last->id : NULL);
    text_fmt(out, ",\"has_more\":%s}", more ? "true" : "false");
}

/* How many records, in the order of the query, stand before the page. */
static int find_start(struct file_store *s, const struct file_query *q, size_t *ret_skip)
{
    *ret_skip = 0;
    if (!q->after) {
        return 0;
    }
    const struct file *f = find(s, q->project, q->after, q->now);
    if (!f) {
        return -1;
    }
    size_t at = 0;
    while (s->files[at] != f) {
        at++;
    }
    *ret_skip = q->ascending ? at + 1 : s->n - at;
    return 0;
}

int file_store_list(struct file_store *s, const struct file_query *q, struct text *out,
                    struct problem *p)
{
    size_t skip;
    pthread_mutex_lock(&s->lock);
    int rc = find_start(s, q, &skip);
    if (rc == 0) {
        write_page(s, q, skip, out);
    }
    pthread_mutex_unlock(&s->lock);
    return rc < 0 ? no_such_file(p, q->after) : 0;
}

int file_store_delete(struct file_store *s, const char *project, const char *id,
                      int64_t now, struct problem *p)
{
    pthread_mutex_lock(&s->lock);
    struct file *f = find(s, project, id, now);
    if (f) {
        remove_body(s, f);
    }
    pthread_mutex_unlock(&s->lock);
    return f ? 0 : no_such_file(p, id);
}

int file_store_read(struct file_store *s, const char *project, const char *id,
                    int64_t now, int64_t *ret_bytes, struct problem *p)
{
    int fd = -1;
    pthread_mutex_lock(&s->lock);
    const struct file *f = find(s, project, id, now);
    if (f) {
        char *path = body_path(s, f->id);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        free(path);
        *ret_bytes = f->bytes;
    }
    pthread_mutex_unlock(&s->lock);
    return fd < 0 ? no_such_file(p, id) : fd;
}

int file_store_purpose(struct file_store *s, const char *project, const char *id,
                       int64_t now, char ret_purpose[PURPOSE_MAX], struct problem *p)
{
    pthread_mutex_lock(&s->lock);
    const struct file *f = find(s, project, id, now);
    if (f) {
        copy_string(ret_purpose, PURPOSE_MAX, f->spec.purpose);
    }
    pthread_mutex_unlock(&s->lock);
    return f ? 0 : no_such_file(p, id);
}

void file_store_sweep(struct file_store *s, int64_t now)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n; i++) {
        if (!s->files[i]->gone && !is_alive(s->files[i], now)) {
            remove_body(s, s->files[i]);
        }
    }
    pthread_mutex_unlock(&s->lock);
}
