#include "tests/sim/call.h"

#include "tests/sim/rng.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL_BODY = 1 << 20, ASK_BODY = 32 << 20 };

struct route {
    const char *method;
    const char *path; /* one `*` stands for an id */
    enum op op;
    operation *act;
    size_t body_max;
    bool costs_money; /* refused when the quota is exhausted */
};

static const struct route routes[] = {
    {"POST", "/v1/files", OP_FILES_CREATE, api_files_create, 0, false},
    {"GET", "/v1/files", OP_FILES_LIST, api_files_list, 0, false},
    {"GET", "/v1/files/*", OP_FILES_GET, api_files_get, 0, false},
    {"DELETE", "/v1/files/*", OP_FILES_DELETE, api_files_delete, 0, false},
    {"GET", "/v1/files/*/content", OP_FILES_CONTENT, api_files_content, 0, false},
    {"POST", "/v1/batches", OP_BATCHES_CREATE, api_batches_create, SMALL_BODY, true},
    {"GET", "/v1/batches", OP_BATCHES_LIST, api_batches_list, 0, false},
    {"GET", "/v1/batches/*", OP_BATCHES_GET, api_batches_get, 0, false},
    {"POST", "/v1/batches/*/cancel", OP_BATCHES_CANCEL, api_batches_cancel, SMALL_BODY,
     false},
    {"POST", "/v1/chat/completions", OP_CHAT, api_chat, ASK_BODY, true},
    {"POST", "/v1/responses", OP_RESPONSES, api_responses, ASK_BODY, true},
    {"POST", "/v1/embeddings", OP_EMBEDDINGS, api_embeddings, ASK_BODY, true},
    {"GET", "/v1/models", OP_MODELS_LIST, api_models_list, 0, false},
    {"GET", "/sim/invoice", OP_NONE, api_sim_invoice, 0, false},
    {"GET", "/sim/invoice.csv", OP_NONE, api_sim_invoice_csv, 0, false},
    {"GET", "/sim/stats", OP_NONE, api_sim_stats, 0, false},
    {"GET", "/sim/batches", OP_NONE, api_sim_batches, 0, false},
    {"POST", "/sim/go", OP_NONE, api_sim_go, 0, false},
    {"POST", "/sim/hold", OP_NONE, api_sim_hold, 0, false},
};

/* True when the path has the pattern's shape; the id is copied out. */
static bool fits(const char *pattern, const char *path, char id[ID_MAX])
{
    const char *star = strchr(pattern, '*');
    size_t before = star ? (size_t)(star - pattern) : strlen(pattern);
    if (strncmp(pattern, path, before) != 0) {
        return false;
    }
    if (!star) {
        return path[before] == '\0';
    }
    size_t n = strcspn(path + before, "/");
    if (n == 0 || strcmp(path + before + n, star + 1) != 0) {
        return false;
    }
    n = n < ID_MAX ? n : ID_MAX - 1; /* longer ones are nobody's */
    memcpy(id, path + before, n);
    id[n] = '\0';
    return true;
}

static void find_route(struct call *c, const char *method, const char *path)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (!fits(routes[i].path, path, c->request.id)) {
            continue;
        }
        if (!strcmp(routes[i].method, method)) {
            c->route = &routes[i];
            return;
        }
        c->wrong_method = true;
    }
}

struct call *call_begin(struct sim *sim, struct MHD_Connection *connection,
                        const char *method, const char *path)
{
    struct call *c = must_calloc(1, sizeof *c);
    c->request.sim = sim;
    c->request.connection = connection;
    c->request.op = OP_NONE;
    c->reply = reply_empty();
    c->reply.request_id = sim_serial(sim);
    find_route(c, method, path);
    if (c->route) {
        c->request.op = c->route->op;
    }
    if (c->request.op == OP_FILES_CREATE) {
        c->request.upload = upload_begin(connection, sim->files);
    }
    return c;
}

struct call *call_end(struct call *c)
{
    if (c) {
        upload_end(c->request.upload);
        text_done(&c->request.body);
        reply_done(&c->reply);
        free(c);
    }
    return NULL;
}

void call_feed(struct call *c, const char *data, size_t n)
{
    if (c->request.upload) {
        upload_feed(c->request.upload, data, n);
        return;
    }
    size_t max = c->route ? c->route->body_max : 0;
    if (c->request.body.len + n > max) {
        c->is_too_large = max > 0; /* a body where none belongs is read and ignored */
        return;
    }
    text_add(&c->request.body, data, n);
}

bool call_prepare(struct call *c)
{
    struct sim *sim = c->request.sim;
    c->is_ready = true;
    if (c->request.op == OP_NONE) {
        return false;
    }
    stats_count(&sim->stats, c->request.op);
    c->request.fault = faults_match(sim->faults, c->request.op);
    c->delay_us = sim->options.latency_ms * US_PER_MS;
    enum fault_do what = c->request.fault.what;
    if (what == DO_SLOW || what == DO_LATE) {
        c->delay_us += c->request.fault.ms * US_PER_MS;
    }
    if (call_is_held(c) && c->delay_us < SIM_HOLD_LOOK_US) {
        c->delay_us = SIM_HOLD_LOOK_US;
    }
    return what == DO_LATE;
}

bool call_is_held(const struct call *c)
{
    enum op op = c->request.op;
    return (op == OP_CHAT || op == OP_RESPONSES || op == OP_EMBEDDINGS) &&
           atomic_load(&c->request.sim->holds);
}

static int64_t for_us(const struct fault *f)
{
    return f->for_seconds < 0 ? -1 : (int64_t)(f->for_seconds * US_PER_S);
}

static int check_caller(struct call *c, struct problem *p)
{
    struct request *r = &c->request;
    struct auth *auth = r->sim->auth;
    if (r->fault.what == DO_REVOKE_KEY) {
        auth_revoke(auth, r->fault.key, for_us(&r->fault));
    }
    if (r->fault.what == DO_QUOTA) {
        auth_exhaust(auth, r->fault.key, for_us(&r->fault));
    }
    const char *header =
        MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, "Authorization");
    if (auth_check(auth, header, p, r->key, r->project) < 0) {
        return -1;
    }
    bool checks_quota = c->route->costs_money || r->fault.what == DO_QUOTA;
    return checks_quota ? auth_check_quota(auth, r->key, p) : 0;
}

static void fault_problem(const struct fault *f, struct problem *p)
{
    problem_usual(p, f->status);
    p->retry_after_s = f->retry_after_s;
    if (f->code[0]) {
        copy_string(p->code, sizeof p->code, f->code);
    }
    if (f->message[0]) {
        copy_string(p->message, sizeof p->message, f->message);
    }
}

/* What keeps the request from being served: -1 with *p. */
static int check(struct call *c, struct problem *p)
{
    const struct fault *f = &c->request.fault;
    if (!c->route) {
        return c->wrong_method
                   ? problem_set(p, 405, NULL, NULL, "Not allowed with this method.")
                   : problem_set(p, 404, NULL, NULL, "Invalid URL.");
    }
    if (c->request.op != OP_NONE && check_caller(c, p) < 0) {
        return -1;
    }
    if (f->what == DO_STATUS && !f->after) {
        fault_problem(f, p);
        return -1;
    }
    if (c->is_too_large) {
        return problem_set(p, 413, NULL, NULL, "Maximum content size limit exceeded.");
    }
    return 0;
}

void call_act(struct call *c)
{
    const struct fault *f = &c->request.fault;
    struct problem p;
    c->has_acted = true;
    c->reply.hang_up = f->what == DO_DROP_BEFORE || f->what == DO_DROP_AFTER;
    if (f->what == DO_DROP_BEFORE) {
        return;
    }
    if (check(c, &p) < 0) {
        reply_fail(&c->reply, &p);
        return;
    }
    c->route->act(&c->request, &c->reply);
    if (f->what == DO_STATUS) {
        fault_problem(f, &p);
        reply_fail(&c->reply, &p);
    }
    if (f->what == DO_TRUNCATE) {
        c->reply.cut_bytes = f->bytes;
    }
}

const char *request_query(const struct request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, name);
}

int64_t request_limit(const struct request *r, int64_t max, int64_t usual,
                      struct reply *reply)
{
    const char *text = request_query(r, "limit");
    if (!text) {
        return usual;
    }
    char *end;
    long long limit = strtoll(text, &end, 10);
    if (*end || end == text || limit < 1 || limit > max) {
        struct problem p;
        problem_set(&p, 400, "limit", "invalid_value",
                    "Invalid 'limit': expected an integer from 1 to %lld.",
                    (long long)max);
        reply_fail(reply, &p);
        return -1;
    }
    return limit;
}

int64_t request_visible_since(const struct request *r)
{
    return r->fault.what == DO_LIST_LAG ? sim_now_s(r->sim) - (int64_t)r->fault.seconds
                                        : INT64_MAX;
}
