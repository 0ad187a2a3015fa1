#include "tests/sim/api.h"

#include <stdlib.h>
#include <string.h>

enum {
    LIST_MAX = 10000,
    EXPIRY_MIN_S = 3600,
    EXPIRY_MAX_S = 2592000,
    BATCH_FILE_LIFE_S = 30 * 24 * 3600,
};

static int check_purpose(const struct upload *u, struct problem *p)
{
    static const char *const known[] = {"assistants", "batch",     "fine-tune",
                                        "vision",     "user_data", "evals"};
    if (!u->purpose[0]) {
        return problem_set(p, 400, "purpose", "missing_required_parameter",
                           "Missing required parameter: 'purpose'.");
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!strcmp(u->purpose, known[i])) {
            return 0;
        }
    }
    return problem_set(
        p, 400, "purpose", "invalid_value",
        "'%s' is not one of ['fine-tune', 'assistants', 'batch', 'user_data', "
        "'vision', 'evals'] - 'purpose'",
        u->purpose);
}

static int check_batch_file(const struct upload *u, struct problem *p)
{
    const char *extension = strrchr(u->filename, '.');
    if (strcmp(u->purpose, "batch") != 0) {
        return 0;
    }
    if (extension && strcmp(extension, ".jsonl") != 0) {
        return problem_set(p, 400, "file", "invalid_file_format",
                           "Invalid file format for Batch API. Must be .jsonl");
    }
    if (u->bytes > UPLOAD_BATCH_BYTES_MAX) {
        return problem_set(p, 400, "file", "file_too_large",
                           "The file is larger than the limit of 200 MB for batches.");
    }
    return 0;
}

/* expires_at in *ret_at: as asked for, or the usual. */
static int find_expiry(const struct upload *u, int64_t now, int64_t *ret_at,
                       struct problem *p)
{
    if (!u->anchor[0] && !u->seconds[0]) {
        *ret_at = strcmp(u->purpose, "batch") ? 0 : now + BATCH_FILE_LIFE_S;
        return 0;
    }
    char *end;
    long long seconds = strtoll(u->seconds, &end, 10);
    if (strcmp(u->anchor, "created_at") != 0 || *end || seconds < EXPIRY_MIN_S ||
        seconds > EXPIRY_MAX_S) {
        return problem_set(
            p, 400, "expires_after", "invalid_value",
            "Invalid 'expires_after': anchor must be 'created_at' and seconds "
            "from 3600 to 2592000.");
    }
    *ret_at = now + seconds;
    return 0;
}

static int make_file(struct request *r, char ret_id[ID_MAX], struct problem *p)
{
    struct upload *u = r->upload;
    struct file_spec spec = {.created_at = sim_now_s(r->sim)};
    if (!u) {
        return problem_set(
            p, 400, NULL, NULL,
            "Could not parse multipart form: the request has no such body.");
    }
    if (upload_finish(u, p) < 0 || check_purpose(u, p) < 0 ||
        check_batch_file(u, p) < 0 ||
        find_expiry(u, spec.created_at, &spec.expires_at, p) < 0) {
        return -1;
    }
    copy_string(spec.project, sizeof spec.project, r->project);
    copy_string(spec.filename, sizeof spec.filename, u->filename);
    copy_string(spec.purpose, sizeof spec.purpose, u->purpose);
    if (r->fault.what == DO_LIST_LAG) {
        spec.hidden_until = spec.created_at + (int64_t)r->fault.seconds;
    }
    if (file_store_adopt(r->sim->files, &spec, u->path, ret_id) < 0) {
        return problem_set(p, 500, NULL, NULL, "The server could not store the file.");
    }
    atomic_fetch_add(&r->sim->stats.upload_bytes, u->bytes);
    return 0;
}

void api_files_create(struct request *r, struct reply *reply)
{
    struct problem p;
    char id[ID_MAX];
    if (make_file(r, id, &p) < 0 ||
        file_store_show(r->sim->files, r->project, id, sim_now_s(r->sim), &reply->body,
                        &p) < 0) {
        reply_fail(reply, &p);
    }
}

void api_files_list(struct request *r, struct reply *reply)
{
    struct problem p;
    const char *order = request_query(r, "order");
    struct file_query q = {
        .project = r->project,
        .purpose = request_query(r, "purpose"),
        .after = request_query(r, "after"),
        .limit = request_limit(r, LIST_MAX, LIST_MAX, reply),
        .visible_since = request_visible_since(r),
        .now = sim_now_s(r->sim),
        .ascending = order && !strcmp(order, "asc"),
    };
    if (q.limit < 0) {
        return;
    }
    if (order && !q.ascending && strcmp(order, "desc") != 0) {
        problem_set(&p, 400, "order", "invalid_value",
                    "Invalid value: '%.20s'. Supported values are: 'asc' and 'desc'.",
                    order);
        reply_fail(reply, &p);
    } else if (file_store_list(r->sim->files, &q, &reply->body, &p) < 0) {
        reply_fail(reply, &p);
    }
}

void api_files_get(struct request *r, struct reply *reply)
{
    struct problem p;
    if (file_store_show(r->sim->files, r->project, r->id, sim_now_s(r->sim), &reply->body,
                        &p) < 0) {
        reply_fail(reply, &p);
    }
}

void api_files_content(struct request *r, struct reply *reply)
{
    struct problem p;
    reply->fd = file_store_read(r->sim->files, r->project, r->id, sim_now_s(r->sim),
                                &reply->fd_bytes, &p);
    reply->content_type = "application/octet-stream";
    if (reply->fd < 0) {
        reply_fail(reply, &p);
    }
}

void api_files_delete(struct request *r, struct reply *reply)
{
    struct problem p;
    if (file_store_delete(r->sim->files, r->project, r->id, sim_now_s(r->sim), &p) < 0) {
        reply_fail(reply, &p);
        return;
    }
    text_fmt(&reply->body, "{\"id\":\"%s\",\"object\":\"file\",\"deleted\":true}", r->id);
}
