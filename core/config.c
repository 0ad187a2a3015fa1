#include "core/config.h"

#include "core/money.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#define SYSTEM_FILE  "/etc/offpeak/config.yaml"
#define USER_FILE    "offpeak/config.yaml"
#define PROJECT_FILE "./offpeak.yaml"
#define PATH_BYTES   4096

struct slot {
    const struct config_section *section;
    const struct config_row *row;
    char *text, *origin; /* NULL: unset */
};

struct config {
    const struct config_section *sections;
    size_t section_count;
    struct slot *slots;
    size_t slot_count;
};

/* ---- value types ---- */

struct unit {
    const char *name;
    int64_t factor;
};

/* Largest first: the first that divides a value is how it is shown. */
static const struct unit duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit byte_units[] = {{"TiB", INT64_C(1) << 40},
                                         {"GiB", 1 << 30},
                                         {"MiB", 1 << 20},
                                         {"KiB", 1 << 10},
                                         {"TB", 1000000000000},
                                         {"GB", 1000000000},
                                         {"MB", 1000000},
                                         {"kB", 1000},
                                         {"KB", 1000},
                                         {"B", 1},
                                         {"", 1}};

static int parse_units(const char *text, const struct unit *units, size_t n, int64_t *ret)
{
    size_t digits = strspn(text, "0123456789");
    int64_t number;
    if (span_i64(span_of(text, digits), &number) < 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (strcmp(text + digits, units[i].name) == 0) {
            return __builtin_mul_overflow(number, units[i].factor, ret) ? -1 : 0;
        }
    }
    if (number == 0 && text[digits] == '\0') {
        *ret = 0;
        return 0;
    }
    return -1;
}

static void show_units(struct buf *out, int64_t value, const struct unit *units, size_t n)
{
    size_t i = 0;
    while (i + 1 < n && (value == 0 || value % units[i].factor != 0)) {
        i++;
    }
    buf_addf(out, "%lld%s", (long long)(value / units[i].factor),
             value ? units[i].name : "");
}

static int parse_duration(const char *text, int64_t *ret_ms)
{
    return parse_units(text, duration_units, ARRAY_LEN(duration_units), ret_ms);
}

static int parse_bytes(const char *text, int64_t *ret_bytes)
{
    return parse_units(text, byte_units, ARRAY_LEN(byte_units), ret_bytes);
}

static bool in_range(const struct config_row *row, int64_t value)
{
    if (row->min == 0 && row->max == 0) {
        return value >= 0;
    }
    return value >= row->min && value <= row->max;
}

static int set_number(const struct config_row *row, int rc, int64_t value, void *field)
{
    if (rc < 0 || !in_range(row, value)) {
        return -1;
    }
    memcpy(field, &value, sizeof(value));
    return 0;
}

static int set_int(const struct config_row *row, const char *text, void *field)
{
    int64_t value = 0;
    int rc = span_i64(span_str(text), &value);
    return set_number(row, rc, value, field);
}

static int set_duration(const struct config_row *row, const char *text, void *field)
{
    int64_t value = 0;
    int rc = parse_duration(text, &value);
    return set_number(row, rc, value, field);
}

static int set_bytes(const struct config_row *row, const char *text, void *field)
{
    int64_t value = 0;
    int rc = parse_bytes(text, &value);
    return set_number(row, rc, value, field);
}

static int set_string(const struct config_row *row, const char *text, void *field)
{
    (void)row;
    memcpy(field, &text, sizeof(text));
    return 0;
}

static int set_bool(const struct config_row *row, const char *text, void *field)
{
    static const char *const words[] = {"false", "true", "no", "yes",
                                        "off",   "on",   "0",  "1"};
    (void)row;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *(bool *)field = i % 2 == 1;
            return 0;
        }
    }
    return -1;
}

static int set_usd(const struct config_row *row, const char *text, void *field)
{
    struct usd value;
    (void)row;
    if (usd_parse(span_str(text), &value) < 0) {
        return -1;
    }
    memcpy(field, &value, sizeof(value));
    return 0;
}

static int set_enum(const struct config_row *row, const char *text, void *field)
{
    const char *p = row->enum_names;
    for (int i = 0; *p; i++) {
        size_t n = strcspn(p, "|");
        if (span_is(span_of(p, n), text)) {
            memcpy(field, &i, sizeof(i));
            return 0;
        }
        p += n + (p[n] == '|');
    }
    return -1;
}

static void show_enum(const struct config_row *row, struct buf *out)
{
    for (const char *p = row->enum_names; *p; p++) {
        buf_adds(out, *p == '|' ? ", " : (char[]){*p, '\0'});
    }
}

static const struct type {
    const char *expected;
    int (*set)(const struct config_row *row, const char *text, void *field);
} types[] = {
    [CONFIG_STRING] = {"text", set_string},
    [CONFIG_BOOL] = {"true or false", set_bool},
    [CONFIG_INT] = {"a whole number", set_int},
    [CONFIG_DURATION] = {"a duration such as 200ms, 60s, 5m, 12h or 30d", set_duration},
    [CONFIG_BYTES] = {"a size such as 512, 64kB, 8MiB or 200MB", set_bytes},
    [CONFIG_USD] = {"dollars such as 12.50, with at most 12 decimals", set_usd},
    [CONFIG_ENUM] = {"one of ", set_enum},
};

static void show_number(const struct config_row *row, int64_t value, struct buf *out)
{
    if (row->type == CONFIG_DURATION) {
        show_units(out, value, duration_units, ARRAY_LEN(duration_units));
    } else if (row->type == CONFIG_BYTES) {
        show_units(out, value, byte_units, ARRAY_LEN(byte_units));
    } else {
        buf_addf(out, "%lld", (long long)value);
    }
}

/* "a duration such as ..., from 1s to 1h" */
void config_describe(const struct config_row *row, struct buf *out)
{
    buf_adds(out, types[row->type].expected);
    if (row->type == CONFIG_ENUM) {
        show_enum(row, out);
    }
    if (row->min != 0 || row->max != 0) {
        buf_adds(out, ", from ");
        show_number(row, row->min, out);
        buf_adds(out, " to ");
        show_number(row, row->max, out);
    }
}

/* ---- finding rows ---- */

static struct slot *find(const struct config *c, const char *key)
{
    for (size_t i = 0; i < c->slot_count; i++) {
        if (strcmp(c->slots[i].row->key, key) == 0) {
            return &c->slots[i];
        }
    }
    return NULL;
}

bool config_is_section(const struct config *c, const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < c->slot_count; i++) {
        const char *known = c->slots[i].row->key;
        if (strncmp(known, key, n) == 0 && known[n] == '.') {
            return true;
        }
    }
    return false;
}

/* Single-character edits that turn a into b. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[CONFIG_KEY_MAX + 1];
    size_t n = MIN_OF(strlen(b), (size_t)CONFIG_KEY_MAX);
    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t above = row[j];
            size_t best = MIN_OF(above, row[j - 1]) + 1;
            row[j] = MIN_OF(best, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[n];
}

static const char *last_part(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot ? dot + 1 : key;
}

static const char *nearest_key(const struct config *c, const char *key)
{
    const char *best = NULL;
    size_t best_distance = MAX_OF(strlen(key) / 3, (size_t)2) + 1;
    for (size_t i = 0; i < c->slot_count; i++) {
        const char *known = c->slots[i].row->key;
        size_t distance = edit_distance(key, known);
        if (strcmp(last_part(key), last_part(known)) == 0) {
            distance = MIN_OF(distance, (size_t)1);
        }
        if (distance < best_distance) {
            best_distance = distance;
            best = known;
        }
    }
    return best;
}

/* ---- setting ---- */

static bool names_a_key(const char *key)
{
    static const char *const words[] = {"api_key", "apikey", "key",
                                        "token",   "secret", "openai_api_key"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcasecmp(last_part(key), words[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool looks_like_a_key(const char *value)
{
    return strncmp(value, "sk-", 3) == 0 && strlen(value) >= 16 && !strchr(value, '/');
}

static int refuse_inline_key(const char *key, const char *origin, struct err *err)
{
    err_set(err, ERR_USAGE, "could not use %s (%s): an API key does not belong here", key,
            origin);
    err_hint(err,
             "put the key into a file that only you can read and name it with --key-file "
             "FILE or OPENAI_API_KEY_FILE");
    return -(int)ERR_USAGE;
}

static int refuse_unknown(const struct config *c, const char *key, const char *origin,
                          struct err *err)
{
    const char *near = nearest_key(c, key);
    err_set(err, ERR_USAGE, "could not use '%s' (%s): there is no such option", key,
            origin);
    if (near) {
        err_hint(err, "did you mean '%s'?", near);
    } else {
        err_hint(err, "docs/CONFIG.md lists all options");
    }
    return -(int)ERR_USAGE;
}

static int refuse_value(const struct config_row *row, const char *value,
                        const char *origin, struct err *err)
{
    _cleanup_(buf_fini) struct buf expected;
    buf_init(&expected, 300);
    config_describe(row, &expected);
    return err_set(err, ERR_USAGE, "could not use %s = '%.100s' (%s): expected %s",
                   row->key, value, origin,
                   expected.p ? expected.p : types[row->type].expected);
}

/* Stores the value and its text. -1: not a value of this type (or no memory to keep it). */
static int set_slot(struct slot *s, const char *value, const char *origin)
{
    char *text = strdup(value), *from = strdup(origin);
    void *field = (char *)s->section->base + s->row->offset;
    if (!text || !from || types[s->row->type].set(s->row, text, field) < 0) {
        free(text);
        free(from);
        return -1;
    }
    free(s->text); /* a string's field points to the new text already */
    free(s->origin);
    s->text = text;
    s->origin = from;
    return 0;
}

int config_set(struct config *c, const char *key, const char *value, const char *origin,
               struct err *err)
{
    struct slot *s = find(c, key);
    if (looks_like_a_key(value) || (!s && names_a_key(key))) {
        return refuse_inline_key(key, origin, err);
    }
    if (!s) {
        return refuse_unknown(c, key, origin, err);
    }
    if (strlen(value) > CONFIG_VALUE_MAX) {
        return err_set(err, ERR_USAGE, "could not use %s (%s): longer than %d bytes", key,
                       origin, CONFIG_VALUE_MAX);
    }
    return set_slot(s, value, origin) < 0 ? refuse_value(s->row, value, origin, err) : 0;
}

/* ---- sources ---- */

static const char *env_get(char *const *environment, const char *name)
{
    size_t n = strlen(name);
    for (; environment && *environment; environment++) {
        if (strncmp(*environment, name, n) == 0 && (*environment)[n] == '=') {
            const char *value = *environment + n + 1;
            return *value ? value : NULL; /* empty is as good as unset */
        }
    }
    return NULL;
}

const char *config_env_name(const char *key, char ret[static CONFIG_ENV_MAX])
{
    int n = snprintf(ret, CONFIG_ENV_MAX, "OFFPEAK_%.*s", CONFIG_KEY_MAX, key);
    for (int i = 0; i < n; i++) {
        if (ret[i] >= 'a' && ret[i] <= 'z') {
            ret[i] = (char)(ret[i] - 32);
        } else if (ret[i] == '.' || ret[i] == '-') {
            ret[i] = '_';
        }
    }
    return ret;
}

static int load_environment(struct config *c, char *const *environment, struct err *err)
{
    char name[CONFIG_ENV_MAX];
    for (size_t i = 0; i < c->slot_count; i++) {
        const struct config_row *row = c->slots[i].row;
        const char *names[] = {row->env, config_env_name(row->key, name)}; /* ours wins */
        for (size_t k = 0; k < ARRAY_LEN(names); k++) {
            const char *value = names[k] ? env_get(environment, names[k]) : NULL;
            int rc = value ? config_set(c, row->key, value, names[k], err) : 0;
            if (rc < 0) {
                return rc;
            }
        }
    }
    return 0;
}

static int load_if_there(struct config *c, const char *path, struct err *err)
{
    if (access(path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        return 0;
    }
    return config_load_file(c, path, err);
}

static int load_user_file(struct config *c, char *const *environment, struct err *err)
{
    char path[PATH_BYTES];
    const char *xdg = env_get(environment, "XDG_CONFIG_HOME");
    const char *home = env_get(environment, "HOME");
    int n = 0;
    if (xdg &&
        xdg[0] == '/') { /* relative ones are to be ignored (XDG base directories) */
        n = snprintf(path, sizeof(path), "%s/" USER_FILE, xdg);
    } else if (home) {
        n = snprintf(path, sizeof(path), "%s/.config/" USER_FILE, home);
    }
    return n > 0 && n < (int)sizeof(path) ? load_if_there(c, path, err) : 0;
}

static int load_files(struct config *c, const struct config_sources *from,
                      struct err *err)
{
    const char *named = from->config_file ? from->config_file
                                          : env_get(from->environment, "OFFPEAK_CONFIG");
    int rc = load_if_there(c, from->system_file ? from->system_file : SYSTEM_FILE, err);
    rc = rc < 0 ? rc : load_user_file(c, from->environment, err);
    if (rc < 0) {
        return rc;
    }
    return named ? config_load_file(c, named, err) : load_if_there(c, PROJECT_FILE, err);
}

static int load_set(struct config *c, const char *pair, struct err *err)
{
    char key[CONFIG_KEY_MAX + 1];
    const char *eq = strchr(pair, '=');
    size_t n = eq ? (size_t)(eq - pair) : 0;
    if (n == 0 || n >= sizeof(key)) {
        err_set(err, ERR_USAGE, "could not use --set '%.100s': expected KEY=VALUE", pair);
        err_hint(err, "for instance --set batch.poll=60s");
        return -(int)ERR_USAGE;
    }
    memcpy(key, pair, n);
    key[n] = '\0';
    return config_set(c, key, eq + 1, "--set", err);
}

static int load_flag(struct config *c, const struct config_flag *flag, struct err *err)
{
    for (size_t i = 0; i < c->slot_count; i++) {
        const struct config_row *row = c->slots[i].row;
        if (row->flag && strcmp(row->flag, flag->name) == 0) {
            return config_set(c, row->key, flag->value, flag->name, err);
        }
    }
    return err_set(err, ERR_USAGE, "could not use '%s': there is no such flag",
                   flag->name);
}

int config_load(struct config *c, const struct config_sources *from, struct err *err)
{
    int rc = load_files(c, from, err);
    rc = rc < 0 ? rc : load_environment(c, from->environment, err);
    for (size_t i = 0; rc == 0 && i < from->set_count; i++) {
        rc = load_set(c, from->sets[i], err);
    }
    for (size_t i = 0; rc == 0 && i < from->flag_count; i++) {
        rc = load_flag(c, &from->flags[i], err);
    }
    return rc;
}

/* ---- the object ---- */

static int add_row(struct config *c, const struct config_section *section,
                   const struct config_row *row, struct err *err)
{
    if (strlen(row->key) > CONFIG_KEY_MAX || find(c, row->key)) {
        return err_set(err, ERR_FAIL, "could not define the option '%s': it is %s",
                       row->key, find(c, row->key) ? "defined already" : "too long");
    }
    c->slots[c->slot_count++] = (struct slot){.section = section, .row = row};
    return row->deflt ? config_set(c, row->key, row->deflt, "default", err) : 0;
}

int config_create(struct config **ret, const struct config_section *sections, size_t n,
                  struct err *err)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        total += sections[i].n;
    }
    struct config *c = calloc(1, sizeof(*c));
    int rc = 0;
    if (!c || !(c->slots = calloc(total + 1, sizeof(*c->slots)))) {
        rc = err_set(err, ERR_FAIL, "could not load the configuration: out of memory");
        goto done;
    }
    c->sections = sections;
    c->section_count = n;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; rc == 0 && k < sections[i].n; k++) {
            rc = add_row(c, &sections[i], &sections[i].rows[k], err);
        }
    }
done:
    if (rc < 0) {
        config_destroy(c);
        return rc;
    }
    *ret = c;
    return 0;
}

struct config *config_destroy(struct config *c)
{
    for (size_t i = 0; c && i < c->slot_count; i++) {
        free(c->slots[i].text);
        free(c->slots[i].origin);
    }
    if (c) {
        free(c->slots);
    }
    free(c);
    return NULL;
}

/* ---- showing ---- */

bool config_at(const struct config *c, size_t i, struct config_entry *ret)
{
    if (i >= c->slot_count) {
        return false;
    }
    const struct slot *s = &c->slots[i];
    *ret = (struct config_entry){s->section->title, s->row, s->text, s->origin};
    return true;
}
