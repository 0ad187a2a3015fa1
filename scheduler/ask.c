#include "scheduler/ask.h"

#include "core/headers.h"
#include "core/jtext.h"
#include "core/queue.h"

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

/* Whose job it is says the topic, and that alone; who says something else is mistaken, or lies. */
static bool is_mistaken(struct ask *a, const char *what, struct span said,
                        const char *queue)
{
    if (span_is(said, queue)) {
        return false;
    }
    _cleanup_(buf_fini) struct buf text;
    buf_init(&text, 200);
    if (buf_add_json(&text, span_of(said.p, MIN_OF(said.n, 40u))) < 0) {
        buf_adds(&text, "\"...\"");
    }
    struct span shown = buf_span(&text);
    snprintf(
        a->why, sizeof(a->why),
        "says %s '%.*s', and this is a queue of %s '%s': send it to that %s's own topic",
        what, (int)(shown.n - 2), shown.p + 1, what, queue, what);
    return true;
}

static bool is_for_others(const struct queue_msg *msg, struct ask *a)
{
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    struct span said;
    if (topic_jobs_parse(msg->at.topic, team, feature) < 0) {
        return false;
    }
    if (headers_get(msg->headers, "team", &said) && is_mistaken(a, "team", said, team)) {
        return true;
    }
    return headers_get(msg->headers, "feature", &said) &&
           is_mistaken(a, "feature", said, feature);
}

/* A member beside the request's own that names another team. */
static void check_team(struct span line, struct ask *a)
{
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    struct span said;
    if (jtext_get(line, "team", &said) && jtext_type(said) == JTEXT_STRING &&
        said.n >= 2 && topic_jobs_parse(a->at.topic, team, feature) >= 0) {
        (void)is_mistaken(a, "team", span_of(said.p + 1, said.n - 2), team);
    }
}

static void read_line(struct span line, enum prompt_level level, struct ask *a)
{
    struct err err = {0};
    struct span id, body;
    enum prompt_path path;
    if (line.n == 0) {
        refuse(a, "is empty: write an OpenAI batch line");
        return;
    }
    if (jtext_check(line, &err) < 0) {
        snprintf(a->why, sizeof(a->why), "is no JSON: %.*s", WHY_MAX - 20, err.msg);
        return;
    }
    if (jtext_type(line) != JTEXT_OBJECT) {
        refuse(a, "is no JSON object: write an OpenAI batch line");
        return;
    }
    if (jtext_get(line, "custom_id", &id) && jtext_type(id) == JTEXT_STRING) {
        if (id.n > ASK_ID_MAX) {
            refuse(a, "has a custom_id of more than 65536 bytes: shorten it");
            return;
        }
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
        return;
    }
    check_team(line, a);
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
    if (job_head_read(msg->headers, &ret->head, ret->why) < 0 ||
        is_for_others(msg, ret)) {
        ret->head.custom_id = SPAN_NONE;
        return;
    }
    if (ret->head.refused[0]) {
        refuse(ret, ret->head.refused);
        place_refused_id(msg, ret->head.custom_id, ret);
    } else {
        read_line(msg->value, level, ret);
    }
    ret->head.custom_id = SPAN_NONE;
}

void ask_refuse(const struct queue_msg *msg, const char *why, struct ask *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->at = msg->at;
    job_id_format(msg, ret->job);
    refuse(ret, why);
}
