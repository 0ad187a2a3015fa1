#include "cli/asked.h"

#include "scheduler/ask.h"

#include <stdio.h>

#define ASKED_QUEUE "import" /* feature and run of the job that it would be */

static enum prompt_path path_of(const char *url)
{
    int path = PROMPT_CHAT;
    while (path < PROMPT_EMBEDDINGS && strcmp(url, prompt_paths[path])) {
        path++;
    }
    return (enum prompt_path)path;
}

int asked_read(const struct asked_for *by, struct span line, struct asked *ret,
               struct span *ret_id, struct err *err)
{
    const struct job_head head = {.run = ASKED_QUEUE, .line = 1};
    _cleanup_(buf_fini) struct buf block;
    struct queue_msg msg = {.value = line};
    struct ask ask;
    buf_init(&block, 4096);
    if (job_head_encode(&head, &block) < 0) {
        return err_set(err, ERR_FAIL, "could not read a request: no memory");
    }
    msg.headers = buf_span(&block);
    topic_jobs(by->team, ASKED_QUEUE, msg.at.topic);
    ask_read(&msg, by->level, &ask);
    memset(ret, 0, sizeof(*ret)); /* with its padding: it goes into a file */
    *ret_id = ask.id_len ? span_of(line.p + ask.id_at, ask.id_len) : SPAN_NONE;
    ret->valid = !ask.why[0];
    if (ret->valid) {
        ret->path = path_of(ask.path);
        ret->inputs = ask.prompt.inputs;
        ret->root = ask.prompt.chain[0].hash;
        ret->key = prompt_key(by->team, by->origin, ask.path, by->level, &ask.prompt);
        snprintf(ret->model, sizeof(ret->model), "%s", ask.prompt.model);
    }
    return 0;
}
