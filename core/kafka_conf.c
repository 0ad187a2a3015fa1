#include "core/kafka_int.h"

#include "core/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define END_MS 10000 /* a handle that is not gone by then is left behind */

/* ---- time ---- */

int64_t kafka_now_ms(void)
{
    struct clock real = clock_real();
    return clock_mono_ms(&real);
}

int kafka_left_ms(int64_t deadline_ms)
{
    int64_t left = deadline_ms - kafka_now_ms();
    return left < 0 ? 0 : (int)MIN_OF(left, INT32_MAX);
}

/* ---- the version in use ---- */

const char *kafka_version(void)
{
    return rd_kafka_version_str();
}

uint32_t kafka_version_number(void)
{
    return (uint32_t)rd_kafka_version();
}

/* ---- settings ---- */

/* Of every handle. socket.timeout.ms bounds calls that ignore their own time limit
 * (librdkafka #5456). */
static const struct kafka_row common_rows[] = {
    {"socket.timeout.ms", "5000", false},
    {"socket.keepalive.enable", "true", false},
    {"socket.nagle.disable", "true", false},
    {"reconnect.backoff.ms", "50", false},
    {"reconnect.backoff.max.ms", "1000", false},
    {"topic.metadata.refresh.interval.ms", "10000", false},
    {"enable.metrics.push", "false", true},
    {"log.queue", "true", false},
    {"log.connection.close", "false", false},
};

/* What a file may set: how to reach the brokers and who we are. */
static const char *const file_names[] = {
    "bootstrap.servers",
    "metadata.broker.list",
    "enable.ssl.certificate.verification",
    "client.rack",
    "client.dns.lookup",
    "broker.address.family",
    "broker.address.ttl",
    "connections.max.idle.ms",
    "debug",
};
static const char *const file_prefixes[] = {"security.", "sasl.", "ssl."};

void kafka_conf_destroyp(rd_kafka_conf_t **c)
{
    if (*c) {
        rd_kafka_conf_destroy(TAKE_PTR(*c));
    }
}

int kafka_conf_set(rd_kafka_conf_t *c, const struct kafka_row *rows, size_t n,
                   struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        char why[300] = "";
        rd_kafka_conf_res_t r = RD_KAFKA_CONF_OK;
        if (rows[i].value) {
            r = rd_kafka_conf_set(c, rows[i].name, rows[i].value, why, sizeof(why));
        }
        if (r != RD_KAFKA_CONF_OK && !(rows[i].may_lack && r == RD_KAFKA_CONF_UNKNOWN)) {
            return kafka_fail_class(err, KAFKA_WRONG, "could not set '%s': %s",
                                    rows[i].name, why);
        }
    }
    return 0;
}

static bool file_may_set(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(file_names); i++) {
        if (strcmp(name, file_names[i]) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(file_prefixes); i++) {
        if (strncmp(name, file_prefixes[i], strlen(file_prefixes[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* One line, cut in place. The library's own words are not used: they may hold the value. */
static const char *apply_line(rd_kafka_conf_t *c, char *line)
{
    char why[300];
    char *value = strchr(line, '=');
    struct span s = span_trim(span_str(line));
    if (s.n == 0 || s.p[0] == '#') {
        return NULL;
    }
    if (!value) {
        return "is not key=value";
    }
    struct span name = span_trim(span_of(line, (size_t)(value - line)));
    struct span text = span_trim(span_str(value + 1));
    *value = '\0';
    line[(size_t)(name.p - line) + name.n] = '\0';
    value[1 + (size_t)(text.p - (value + 1)) + text.n] = '\0';
    if (!file_may_set(name.p)) {
        return "may not be set here: only bootstrap.servers, security.*, sasl.*, ssl.*";
    }
    switch (rd_kafka_conf_set(c, name.p, text.p, why, sizeof(why))) {
    case RD_KAFKA_CONF_OK: return NULL;
    case RD_KAFKA_CONF_UNKNOWN: return "is not a setting of this client library";
    case RD_KAFKA_CONF_INVALID: return "has a value that is not valid";
    }
    return "is not understood";
}

static int apply_text(rd_kafka_conf_t *c, const char *path, char *text, struct err *err)
{
    int number = 0;
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next) {
            *next++ = '\0';
        }
        number++;
        const char *wrong = apply_line(c, line);
        if (wrong) {
            struct span name = span_trim(span_of(line, strcspn(line, "= \t")));
            return kafka_fail_class(err, KAFKA_WRONG,
                                    "could not use '%s': line %d: '%.*s' %s", path,
                                    number, (int)MIN_OF(name.n, 60u), name.p, wrong);
        }
    }
    return 0;
}

static void fclosep(FILE **f)
{
    if (*f) {
        fclose(*f);
    }
}

static int apply_file(rd_kafka_conf_t *c, const char *path, struct err *err)
{
    _cleanup_(fclosep) FILE *f = fopen(path, "re");
    if (!f) {
        return kafka_fail_class(err, KAFKA_WRONG, "could not read '%s': %s", path,
                                strerror(errno));
    }
    setvbuf(f, NULL, _IONBF, 0); /* it may hold a password: no copy but ours */
    char *text = calloc(1, KAFKA_FILE_BYTES_MAX + 1);
    if (!text) {
        return kafka_fail_class(err, KAFKA_WRONG, "could not read '%s': out of memory",
                                path);
    }
    int rc;
    size_t n = fread(text, 1, KAFKA_FILE_BYTES_MAX + 1, f);
    if (ferror(f)) {
        rc = kafka_fail_class(err, KAFKA_WRONG, "could not read '%s': %s", path,
                              strerror(errno));
    } else if (n > KAFKA_FILE_BYTES_MAX || memchr(text, '\0', n)) {
        rc = kafka_fail_class(err, KAFKA_WRONG,
                              "could not use '%s': it is no file of key=value lines",
                              path);
    } else {
        rc = apply_text(c, path, text, err);
    }
    explicit_bzero(text, KAFKA_FILE_BYTES_MAX + 1);
    free(text);
    return rc;
}

static bool has_brokers(const rd_kafka_conf_t *c)
{
    char value[8];
    size_t n = sizeof(value);
    return rd_kafka_conf_get(c, "bootstrap.servers", NULL, &n) == RD_KAFKA_CONF_OK &&
           n > 1;
}

int kafka_conf_create(rd_kafka_conf_t **ret, const struct kafka_conf *conf,
                      struct err *err)
{
    _cleanup_(kafka_conf_destroyp) rd_kafka_conf_t *c = rd_kafka_conf_new();
    int rc = conf->file ? apply_file(c, conf->file, err) : 0;
    const struct kafka_row rows[] = {
        {"bootstrap.servers", conf->brokers, false},
        {"client.id", conf->client_id, false},
    };
    if (rc < 0 || (rc = kafka_conf_set(c, rows, ARRAY_LEN(rows), err)) < 0 ||
        (rc = kafka_conf_set(c, common_rows, ARRAY_LEN(common_rows), err)) < 0) {
        return rc;
    }
    if (!has_brokers(c)) {
        rc =
            kafka_fail_class(err, KAFKA_WRONG, "could not use Kafka: no broker is named");
        if (err) {
            err_hint(err, "give --brokers HOST:PORT, or set OFFPEAK_BROKERS");
        }
        return rc;
    }
    *ret = TAKE_PTR(c);
    return 0;
}

int kafka_setting_of(const struct kafka_conf *conf, const char *name, char *ret,
                     size_t size, struct err *err)
{
    _cleanup_(kafka_conf_destroyp) rd_kafka_conf_t *c = NULL;
    size_t n = size;
    int rc = kafka_conf_create(&c, conf, err);
    if (rc < 0) {
        return rc;
    }
    if (rd_kafka_conf_get(c, name, ret, &n) != RD_KAFKA_CONF_OK) {
        ret[0] = '\0';
    }
    return 0;
}

void kafka_handle_setting(rd_kafka_t *rk, const char *name, char *ret, size_t size)
{
    size_t n = size;
    if (rd_kafka_conf_get(rd_kafka_conf(rk), name, ret, &n) != RD_KAFKA_CONF_OK) {
        ret[0] = '\0';
    }
}

/* ---- what the library says by itself ---- */

static void on_log(const rd_kafka_t *rk, int level, const char *facility,
                   const char *text)
{
    struct kafka_link *l = rd_kafka_opaque(rk);
    char line[600];
    (void)level;
    if (l->note) {
        snprintf(line, sizeof(line), "%s: %s", facility, text);
        l->note(l->note_ctx, KAFKA_NOTE_LOG, line);
    }
}

/* Once per change: a client that cannot get in tries for ever, once a second. */
static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct kafka_link *l = opaque;
    struct kafka_fault f = {.code = code};
    enum kafka_class class = kafka_fault_class(&f);
    (void)rk;
    if (class != KAFKA_AUTH && code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        if (l->note) {
            l->note(l->note_ctx, KAFKA_NOTE_LOG, reason);
        }
        return;
    }
    if (l->trouble == class || l->trouble == KAFKA_AUTH) {
        return; /* after refused credentials all brokers are down as well */
    }
    l->trouble = class;
    snprintf(l->words, sizeof(l->words), "%s", reason);
    if (l->note) {
        l->note(l->note_ctx, class == KAFKA_AUTH ? KAFKA_NOTE_AUTH : KAFKA_NOTE_DOWN,
                reason);
    }
}

void kafka_link_fine(struct kafka_link *l)
{
    l->trouble = 0;
}

/* ---- one handle ---- */

int kafka_link_open(struct kafka_link *l, rd_kafka_type_t type, rd_kafka_conf_t **c,
                    const struct kafka_conf *conf, struct err *err)
{
    char why[300] = "";
    l->note = conf->note;
    l->note_ctx = conf->note_ctx;
    rd_kafka_conf_set_opaque(*c, l);
    rd_kafka_conf_set_log_cb(*c, on_log);
    rd_kafka_conf_set_error_cb(*c, on_error);
    l->rk = rd_kafka_new(type, *c, why, sizeof(why));
    if (!l->rk) {
        return kafka_fail_class(err, KAFKA_WRONG, "could not use Kafka: %s", why);
    }
    *c = NULL; /* the library's now */
    rd_kafka_set_log_queue(l->rk, NULL);
    return 0;
}

struct ending {
    rd_kafka_t *rk;
    bool leave_group;
};

static void *end_handle(void *arg)
{
    struct ending e = *(struct ending *)arg;
    free(arg);
    if (e.leave_group) {
        rd_kafka_consumer_close(e.rk);
    }
    rd_kafka_destroy_flags(e.rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return NULL;
}

bool kafka_link_close(struct kafka_link *l, bool leave_group)
{
    pthread_t thread;
    struct ending *e = calloc(1, sizeof(*e));
    if (!l->rk) {
        free(e);
        return true;
    }
    if (!e) {
        return false;
    }
    *e = (struct ending){TAKE_PTR(l->rk), leave_group};
    int64_t until_ms = kafka_now_ms() + END_MS;
    struct timespec until = {until_ms / 1000, until_ms % 1000 * 1000000};
    if (pthread_create(&thread, NULL, end_handle, e) != 0) {
        end_handle(e);
        return true;
    }
    if (pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until) != 0) {
        pthread_detach(thread);
        return false;
    }
    return true;
}

struct kafka_fault kafka_fault_of(const rd_kafka_error_t *e)
{
    return (struct kafka_fault){
        .code = rd_kafka_error_code(e),
        .fatal = rd_kafka_error_is_fatal(e),
        .requires_abort = rd_kafka_error_txn_requires_abort(e),
        .retriable = rd_kafka_error_is_retriable(e),
    };
}

struct kafka_fault kafka_link_fault(const struct kafka_link *l, rd_kafka_resp_err_t code)
{
    char why[1];
    rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(l->rk, why, sizeof(why));
    return (struct kafka_fault){.code = fatal ? fatal : code, .fatal = fatal != 0};
}

int kafka_link_fail(const struct kafka_link *l, struct err *err,
                    const struct kafka_fault *fault, const char *detail, const char *fmt,
                    ...)
{
    enum kafka_class class = kafka_fault_class(fault);
    struct kafka_fault f = *fault;
    char what[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    if (l->trouble == KAFKA_AUTH && (class == KAFKA_DOWN || class == KAFKA_RETRY)) {
        f = (struct kafka_fault){.code = RD_KAFKA_RESP_ERR__AUTHENTICATION};
        int rc = kafka_fail(err, &f, NULL, "%s", what);
        if (err) {
            char msg[sizeof(err->msg)];
            snprintf(msg, sizeof(msg), "%.300s (%s)", err->msg, l->words);
            memcpy(err->msg, msg, sizeof(msg));
        }
        return rc;
    }
    return kafka_fail(err, &f, detail, "%s", what);
}

void kafka_list_destroyp(rd_kafka_topic_partition_list_t **list)
{
    if (*list) {
        rd_kafka_topic_partition_list_destroy(TAKE_PTR(*list));
    }
}
