#include "scheduler/ask.h"

#include "core/jtext.h"

#include <stdio.h>

static void refuse(struct ask *a, const char *why)
{
    snprintf(a->why, sizeof(a->why), "%.*s", (int)sizeof(a->why) - 1, why);
}

/* Where `part` lies within the line. */
static void place(struct span line, struct span part, uint32_t *ret_at, uint32_t *ret_len)
{
    *ret_at = (uint32_t)(part.p - line.p);
    *ret_len = (uint32_t)part.n;
}

static bool read_path(struct span line, struct ask *a, enum prompt_path *ret)
{
    struct span url, method;
    bool post = !jtext_get(line, "method", &method) || jtext_is_string(method, "POST");
    if (!post || !jtext_get(line, "url", &url) || prompt_path_find(url, ret) < 0) {
        return false;
    }
    snprintf(a->path, sizeof(a->path), "%s", prompt_paths[*ret]);
    return true;
}

/* What no lane can do, in the words of the person who can change it. */
static const char *unsuited(const struct prompt *p)
{
    if (p->stream) {
        return "asks for a stream, and answers are collected whole: remove \"stream\"";
    }
    if (p->asks_other_tier) {
        return "asks for a service tier, and the lane decides that: remove "
               "\"service_tier\"";
    }
    return NULL;
}

static void read_line(struct span line, enum prompt_level level, struct ask *a)
{
    struct err err = {0};
    struct span id, body;
    enum prompt_path path;
    if (jtext_check(line, &err) < 0) {
        refuse(a, err.msg);
        return;
    }
    if (jtext_type(line) != JTEXT_OBJECT) {
        refuse(a, "is no JSON object: write an OpenAI batch line");
        return;
    }
    if (jtext_get(line, "custom_id", &id) && jtext_type(id) == JTEXT_STRING) {
        place(line, id, &a->id_at, &a->id_len);
    }
    if (!read_path(line, a, &path)) {
        refuse(a, "has no \"method\":\"POST\" with \"url\":" PROMPT_PATHS_TEXT);
        return;
    }
    if (!jtext_get(line, "body", &body) || jtext_type(body) != JTEXT_OBJECT) {
        refuse(a, "has no \"body\" object");
        return;
    }
    place(line, body, &a->body_at, &a->body_len);
    if (prompt_read(path, body, level, &a->prompt, &err) < 0) {
        refuse(a, err.msg);
        return;
    }
    const char *why = unsuited(&a->prompt);
    if (why) {
        refuse(a, why);
    }
}

/* A refused line may not even be JSON; its custom_id was saved by submit when it could be
 * read, and the place of those bytes in the line is all that is left to find. */
static void place_refused_id(const struct queue_msg *msg, struct span id, struct ask *a)
{
    if (id.n == 0 || msg->value.n < id.n) {
        return;
    }
    const char *found = memmem(msg->value.p, msg->value.n, id.p, id.n);
    if (found) {
        place(msg->value, span_of(found, id.n), &a->id_at, &a->id_len);
    }
}

void ask_read(const struct queue_msg *msg, enum prompt_level level, struct ask *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->at = msg->at;
    job_id_format(msg, ret->job);
    if (job_head_decode(msg->headers, &ret->head) < 0) {
        refuse(ret, "has headers that cannot be read");
    } else if (ret->head.refused[0]) {
        refuse(ret, ret->head.refused);
        place_refused_id(msg, ret->head.custom_id, ret);
    } else {
        read_line(msg->value, level, ret);
    }
    ret->head.custom_id = SPAN_NONE;
}
