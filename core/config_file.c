/* The YAML side of config.h: libyaml's events become dotted keys. */
#include "core/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include <yaml.h>

#define DEPTH_MAX  8
#define SEEN_BYTES ((size_t)1 << 20)

struct reader {
    struct config *config;
    const char *path;
    yaml_parser_t yaml;
    char key[CONFIG_KEY_MAX + 1]; /* the dotted path to where we are */
    struct buf seen;              /* "\nkey\nkey\n": all paths of this file */
};

static int read_text(const char *path, struct buf *ret, struct err *err)
{
    _cleanup_(attr_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0) {
        char chunk[4096];
        n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR) {
            n = 1;
        } else if (n > 0 && buf_add(ret, chunk, (size_t)n) < 0) {
            return err_set(err, ERR_USAGE, "could not read '%s': larger than %zu bytes",
                           path, CONFIG_FILE_BYTES_MAX);
        }
    }
    return n < 0
               ? err_set(err, ERR_USAGE, "could not read '%s': %s", path, strerror(errno))
               : 0;
}

static int PRINTF_LIKE(4, 5) refuse(const struct reader *r, const yaml_mark_t *at,
                                    struct err *err, const char *fmt, ...)
{
    char why[200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof(why), fmt, args);
    va_end(args);
    return err_set(err, ERR_USAGE, "could not read '%s:%zu': %s", r->path, at->line + 1,
                   why);
}

static int next_event(struct reader *r, yaml_event_t *ret, struct err *err)
{
    if (yaml_parser_parse(&r->yaml, ret)) {
        return 0;
    }
    const char *problem = r->yaml.problem ? r->yaml.problem : "not YAML";
    return refuse(r, &r->yaml.problem_mark, err, "%s", problem);
}

/* Plain text without anchors, tags and NUL bytes; NULL (and *err) for anything else. */
static const char *scalar_text(const struct reader *r, const yaml_event_t *e,
                               struct err *err)
{
    if (e->type == YAML_SEQUENCE_START_EVENT) {
        refuse(r, &e->start_mark, err, "a list, where one value is expected");
        return NULL;
    }
    if (e->type != YAML_SCALAR_EVENT || e->data.scalar.anchor || e->data.scalar.tag) {
        refuse(r, &e->start_mark, err, "anchors, aliases and tags are not used here");
        return NULL;
    }
    const char *text = (const char *)e->data.scalar.value;
    if (strlen(text) != e->data.scalar.length) {
        refuse(r, &e->start_mark, err, "a value with a NUL byte");
        return NULL;
    }
    return text;
}

/* Appends a part to r->key, which must be new in this file. */
static int enter_key(struct reader *r, const yaml_event_t *e, struct err *err)
{
    const char *part = scalar_text(r, e, err);
    size_t n = strlen(r->key);
    if (!part) {
        return -(int)ERR_USAGE;
    }
    size_t need = n + (n > 0) + strlen(part);
    if (!*part || need > CONFIG_KEY_MAX || strchr(part, '\n')) {
        return refuse(r, &e->start_mark, err, "'%.60s' is not the name of an option",
                      part);
    }
    if (n > 0) {
        r->key[n++] = '.';
    }
    memcpy(r->key + n, part, strlen(part) + 1);
    char line[CONFIG_KEY_MAX + 3];
    int line_n = snprintf(line, sizeof(line), "\n%s\n", r->key);
    if (memmem(r->seen.p, r->seen.n, line, (size_t)line_n)) {
        return refuse(r, &e->start_mark, err, "'%s' stands here a second time", r->key);
    }
    return buf_adds(&r->seen, line + 1) < 0
               ? refuse(r, &e->start_mark, err, "more options than there are")
               : 0;
}

static int set_value(struct reader *r, const yaml_event_t *e, struct err *err)
{
    char origin[600];
    const char *value = scalar_text(r, e, err);
    if (!value) {
        return -(int)ERR_USAGE;
    }
    bool bare = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !*value;
    if (bare && config_is_section(r->config, r->key)) {
        return 0; /* a section whose lines are all comments */
    }
    snprintf(origin, sizeof(origin), "%.500s:%zu", r->path, e->start_mark.line + 1);
    return config_set(r->config, r->key, value, origin, err);
}

static int read_mapping(struct reader *r, const yaml_event_t *start, int depth,
                        struct err *err);

static int read_value(struct reader *r, int depth, struct err *err)
{
    yaml_event_t e;
    int rc = next_event(r, &e, err);
    if (rc < 0) {
        return rc;
    }
    rc = e.type == YAML_MAPPING_START_EVENT ? read_mapping(r, &e, depth + 1, err)
                                            : set_value(r, &e, err);
    yaml_event_delete(&e);
    return rc;
}

/* The pairs of a map up to its end. Calls itself through read_value, DEPTH_MAX deep. */
static int read_mapping(struct reader *r, const yaml_event_t *start, int depth,
                        struct err *err)
{
    size_t key_n = strlen(r->key);
    if (depth > DEPTH_MAX || start->data.mapping_start.anchor ||
        start->data.mapping_start.tag) {
        return refuse(r, &start->start_mark, err,
                      "maps here have no anchors or tags and are at most %d deep",
                      DEPTH_MAX);
    }
    for (;;) {
        yaml_event_t e;
        int rc = next_event(r, &e, err);
        if (rc < 0) {
            return rc;
        }
        bool end = e.type == YAML_MAPPING_END_EVENT;
        rc = end ? 0 : enter_key(r, &e, err);
        yaml_event_delete(&e);
        if (end || rc < 0) {
            return rc;
        }
        rc = read_value(r, depth, err);
        if (rc < 0) {
            return rc;
        }
        r->key[key_n] = '\0';
    }
}

/* One document that is a map, or nothing at all. */
static int read_document(struct reader *r, struct err *err)
{
    bool had_map = false;
    for (;;) {
        yaml_event_t e;
        int rc = next_event(r, &e, err);
        if (rc < 0) {
            return rc;
        }
        bool end = e.type == YAML_STREAM_END_EVENT;
        if (e.type == YAML_MAPPING_START_EVENT && !had_map) {
            had_map = true;
            rc = read_mapping(r, &e, 1, err);
        } else if (e.type == YAML_MAPPING_START_EVENT) {
            rc = refuse(r, &e.start_mark, err, "a second document");
        } else if (e.type == YAML_SEQUENCE_START_EVENT || e.type == YAML_ALIAS_EVENT ||
                   (e.type == YAML_SCALAR_EVENT && e.data.scalar.length > 0)) {
            rc = refuse(r, &e.start_mark, err,
                        "expected lines of the form 'option: value'");
        }
        yaml_event_delete(&e);
        if (end || rc < 0) {
            return rc;
        }
    }
}

int config_load_file(struct config *c, const char *path, struct err *err)
{
    _cleanup_(buf_fini) struct buf text;
    struct reader r = {.config = c, .path = path};
    buf_init(&text, CONFIG_FILE_BYTES_MAX);
    int rc = read_text(path, &text, err);
    if (rc < 0) {
        return rc;
    }
    if (!yaml_parser_initialize(&r.yaml)) {
        return err_set(err, ERR_FAIL, "could not read '%s': out of memory", path);
    }
    buf_init(&r.seen, SEEN_BYTES);
    buf_addc(&r.seen, '\n');
    yaml_parser_set_input_string(&r.yaml, (const unsigned char *)(text.n ? text.p : ""),
                                 text.n);
    rc = read_document(&r, err);
    yaml_parser_delete(&r.yaml);
    buf_fini(&r.seen);
    return rc;
}
