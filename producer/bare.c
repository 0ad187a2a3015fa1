#include "producer/bare.h"

#include "core/jtext.h"

static bool has(struct span object, const char *key)
{
    struct span v;
    return jtext_get(object, key, &v);
}

bool bare_is(struct span object)
{
    return !has(object, "body") &&
           (has(object, "messages") || has(object, "input") || has(object, "prompt"));
}

static bool is_embedding(struct span object, const char *model)
{
    _cleanup_(buf_fini) struct buf name;
    struct span v;
    buf_init(&name, 256);
    if (jtext_get(object, "model", &v) && jtext_string(v, &name) == 0) {
        model = name.p;
    }
    return model && strstr(model, "embedding");
}

static const char *path_of(struct span object, const char *model)
{
    if (!has(object, "input")) {
        return "/v1/chat/completions";
    }
    return is_embedding(object, model) ? "/v1/embeddings" : "/v1/responses";
}

/* Every member but those that the envelope took. */
static void add_members(struct span object, struct buf *ret)
{
    size_t at = 0;
    struct span key, value;
    while (jtext_next(object, &at, &key, &value)) {
        if (jtext_is_string(key, "custom_id") || jtext_is_string(key, "prompt")) {
            continue;
        }
        buf_addc(ret, ',');
        buf_add(ret, key.p, key.n);
        buf_addc(ret, ':');
        buf_add(ret, value.p, value.n);
    }
}

const char *bare_wrap(struct span object, const struct bare *with, struct buf *ret)
{
    struct span id, prompt, model;
    bool has_prompt = jtext_get(object, "prompt", &prompt);
    if (!jtext_get(object, "model", &model) && !with->model) {
        return "it names no model";
    }
    if (has_prompt && jtext_type(prompt) != JTEXT_STRING) {
        return "its prompt is not a string";
    }
    buf_adds(ret, "{\"custom_id\":");
    if (jtext_get(object, "custom_id", &id)) {
        buf_add(ret, id.p, id.n);
    } else {
        buf_add_json(ret, with->id);
    }
    buf_addf(ret, ",\"method\":\"POST\",\"url\":\"%s\",\"body\":{",
             path_of(object, with->model));
    size_t from = ret->n;
    if (!has(object, "model")) {
        buf_adds(ret, ",\"model\":");
        buf_add_json(ret, span_str(with->model));
    }
    if (has_prompt) {
        buf_adds(ret, ",\"messages\":[{\"role\":\"user\",\"content\":");
        buf_add(ret, prompt.p, prompt.n);
        buf_adds(ret, "}]");
    }
    add_members(object, ret);
    if (ret->failed) {
        return "it is too long";
    }
    ret->p[from] = ' '; /* the first comma; a body has one member at least */
    buf_addc(ret, '}');
    return ret->failed ? "it is too long" : NULL;
}
