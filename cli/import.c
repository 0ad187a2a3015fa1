#include "cli/import.h"

#include "cli/asked.h"
#include "cli/scratch.h"
#include "core/idset.h"
#include "core/jtext.h"
#include "producer/line.h"
#include "producer/source.h"
#include "worker/openai.h"

#include <stdio.h>

#define IMPORT_NAME "import"
#define NOT_ASKED   UINT64_MAX /* in the index: an answer's custom_id that no request has */

/* What is kept of a request, in the scratch file; the index says where. */
struct kept {
    enum { KEPT_OPEN, KEPT_ANSWERED, KEPT_AMBIGUOUS } state;
    struct asked asked;
};

struct import {
    const struct import_conf *conf;
    struct import_counts counts;
    struct scratch *requests;
    struct idset *ids;
    struct queue_cursor *answers;
    uint32_t partitions; /* of them */
    struct queue_tx *tx; /* NULL: nothing waits to be committed */
    struct buf id, json;
};

const char *import_left_name(enum import_left l)
{
    static const char *const names[IMPORT_LEFTS] = {
        [IMPORT_STORED] = "stored_already",     [IMPORT_EQUAL] = "equal",
        [IMPORT_REPEATED] = "repeated",         [IMPORT_UNKNOWN] = "no_request",
        [IMPORT_REFUSED] = "request_not_valid", [IMPORT_FAILED] = "failed",
        [IMPORT_INCOMPLETE] = "incomplete",     [IMPORT_MISFIT] = "misfit",
        [IMPORT_TOO_LARGE] = "too_large",       [IMPORT_BROKEN] = "broken",
    };
    return names[l];
}

const char *import_left_words(enum import_left l)
{
    static const char *const words[IMPORT_LEFTS] = {
        [IMPORT_STORED] = "were stored already",
        [IMPORT_EQUAL] = "answer a question that an earlier one answers",
        [IMPORT_REPEATED] = "have a custom_id that was used before",
        [IMPORT_UNKNOWN] = "belong to no request of the file",
        [IMPORT_REFUSED] = "belong to requests that cannot be asked here",
        [IMPORT_FAILED] = "failed there",
        [IMPORT_INCOMPLETE] = "were cut off, filtered or refused by the model",
        [IMPORT_MISFIT] = "answer another kind of request",
        [IMPORT_TOO_LARGE] = "are too large to be stored",
        [IMPORT_BROKEN] = "are no lines of a batch's output file",
    };
    return words[l];
}

/* ---- requests ---- */

static struct span bytes_of(const struct kept *k)
{
    return span_of(k, sizeof(*k));
}

static bool decode_id(struct import *im, struct span raw)
{
    buf_reset(&im->id);
    return jtext_type(raw) == JTEXT_STRING && jtext_string(raw, &im->id) == 0;
}

/* The same custom_id again: harmless when it asks the same. */
static int see_again(struct import *im, uint64_t at, const struct asked *again,
                     struct err *err)
{
    struct kept first;
    int rc = scratch_get(im->requests, at, &first, sizeof(first), err);
    if (rc < 0 || (first.asked.valid == again->valid &&
                   !memcmp(&first.asked.key, &again->key, sizeof(again->key)))) {
        return rc;
    }
    first.state = KEPT_AMBIGUOUS;
    return scratch_set(im->requests, at, bytes_of(&first), err);
}

static int take_request(struct import *im, const struct input_line *line, struct err *err)
{
    const struct asked_for by = {im->conf->team, im->conf->origin, im->conf->level};
    struct kept kept;
    struct span id;
    uint64_t at = 0, first = 0;
    memset(&kept, 0, sizeof(kept));
    int rc = asked_read(&by, line->text, &kept.asked, &id, err);
    if (rc < 0) {
        return rc;
    }
    im->counts.requests++;
    im->counts.invalid += !kept.asked.valid;
    if (!decode_id(im, id)) {
        return 0;
    }
    rc = scratch_add(im->requests, bytes_of(&kept), &at, err);
    if (rc >= 0) {
        rc = idset_add(im->ids, buf_span(&im->id), at, &first, err);
    }
    return rc == 0 ? see_again(im, first, &kept.asked, err) : rc;
}

/* ---- answers ---- */

static bool fits(const struct asked *asked, const struct answer *a)
{
    static const char *const holds[] = {[PROMPT_CHAT] = "choices",
                                        [PROMPT_RESPONSES] = "output",
                                        [PROMPT_EMBEDDINGS] = "data"};
    struct span v;
    return jtext_get(a->body, holds[asked->path], &v) &&
           (!a->complete || a->vectors == asked->inputs);
}

/* By what was asked and what came; IMPORT_LEFTS: it is taken. */
static enum import_left judge(const struct kept *kept, const struct provider_line *l)
{
    if (kept->state != KEPT_OPEN) {
        return IMPORT_REPEATED;
    }
    if (!kept->asked.valid) {
        return IMPORT_REFUSED;
    }
    if (l->kind != LINE_ANSWER) {
        return IMPORT_FAILED;
    }
    if (!fits(&kept->asked, &l->answer)) {
        return IMPORT_MISFIT;
    }
    if (!l->answer.complete) {
        return IMPORT_INCOMPLETE;
    }
    return l->answer.body.n > ANSWER_BODY_MAX ? IMPORT_TOO_LARGE : IMPORT_LEFTS;
}

static int commit(struct import *im, struct err *err)
{
    uint64_t number;
    return im->tx ? queue_commit_wait(TAKE_PTR(im->tx), &number, err) : 0;
}

/* Where the answer will be looked for. */
static uint32_t partition_of(const struct import *im, const struct asked *asked)
{
    return ready_partition(asked->root, &asked->key, im->partitions);
}

static int store(struct import *im, const struct asked *asked, const struct answer *a,
                 struct err *err)
{
    const struct import_conf *c = im->conf;
    struct stored_answer stored = {
        .stored_ms = c->now_ms,
        .expires_ms = c->ttl_ms > INT64_MAX - c->now_ms ? INT64_MAX
                                                        : c->now_ms + c->ttl_ms,
        .run = IMPORT_NAME "/" IMPORT_NAME,
        .usage_known = a->usage_known,
        .usage = a->usage,
        .body = a->body,
    };
    snprintf(stored.model, sizeof(stored.model), "%s", asked->model);
    snprintf(stored.model_used, sizeof(stored.model_used), "%s", a->model_used);
    snprintf(stored.request_id, sizeof(stored.request_id), "%s", a->request_id);
    snprintf(stored.prices, sizeof(stored.prices), "%s", c->prices);
    buf_reset(&im->json);
    if (answer_encode(&stored, &im->json) < 0) {
        return err_set(err, ERR_FAIL, "could not store an answer: no memory");
    }
    int rc = im->tx && queue_tx_full(im->tx, im->json.n) ? commit(im, err) : 0;
    if (rc >= 0 && !im->tx && queue_begin(c->queue, &im->tx) < 0) {
        rc = err_set(err, ERR_FAIL, "could not store an answer: no memory");
    }
    struct span key = span_of(asked->key.b, sizeof(asked->key.b));
    return rc < 0 ? rc
                  : queue_table_put(im->tx, TABLE_ANSWERS, partition_of(im, asked), key,
                                    buf_span(&im->json), err);
}

/* The request an answer belongs to: 1, 0 none has its custom_id. Needs im->id. */
static int find_request(struct import *im, struct kept *ret, uint64_t *ret_at,
                        struct err *err)
{
    int rc = idset_add(im->ids, buf_span(&im->id), NOT_ASKED, ret_at, err);
    if (rc != 0 || *ret_at == NOT_ASKED) {
        return MIN_OF(rc, 0);
    }
    rc = scratch_get(im->requests, *ret_at, ret, sizeof(*ret), err);
    return rc < 0 ? rc : 1;
}

/* Is there an answer already: IMPORT_LEFTS when not. Keys stand in the index too, behind a NUL,
 * which no custom_id holds. */
static int look_up(struct import *im, const struct asked *asked, enum import_left *ret,
                   struct err *err)
{
    const struct answer_want want = {.now_ms = im->conf->now_ms, .fresh_ms = INT64_MIN};
    struct stored_answer there;
    char name[1 + sizeof(asked->key.b)] = "";
    uint64_t first;
    memcpy(name + 1, asked->key.b, sizeof(asked->key.b));
    *ret = IMPORT_EQUAL;
    int rc = idset_add(im->ids, span_of(name, sizeof(name)), NOT_ASKED, &first, err);
    if (rc > 0) {
        rc = answer_get(im->answers, partition_of(im, asked), &asked->key, &want, &there,
                        err);
        *ret = rc > 0 ? IMPORT_STORED : IMPORT_LEFTS;
    }
    return MIN_OF(rc, 0);
}

static int take_found(struct import *im, struct kept *kept, uint64_t at,
                      const struct provider_line *l, struct err *err)
{
    enum import_left left = judge(kept, l);
    if (left != IMPORT_LEFTS) {
        im->counts.left[left]++;
        return 0;
    }
    int rc = look_up(im, &kept->asked, &left, err);
    if (rc >= 0 && left != IMPORT_LEFTS) {
        im->counts.left[left]++;
    } else if (rc >= 0) {
        im->counts.taken++;
        rc = store(im, &kept->asked, &l->answer, err);
    }
    kept->state = KEPT_ANSWERED;
    return rc < 0 ? rc : scratch_set(im->requests, at, bytes_of(kept), err);
}

static int take_answer(struct import *im, const struct input_line *line, struct err *err)
{
    struct provider_line read;
    struct kept kept;
    struct span id;
    uint64_t at = 0;
    im->counts.answers++;
    if (line->too_long) {
        im->counts.left[IMPORT_TOO_LARGE]++;
        return 0;
    }
    if (jtext_check(line->text, NULL) < 0 || openai_line_read(line->text, &read) < 0 ||
        !jtext_get(line->text, "custom_id", &id) || !decode_id(im, id)) {
        im->counts.left[IMPORT_BROKEN]++;
        return 0;
    }
    int rc = find_request(im, &kept, &at, err);
    if (rc == 0) {
        im->counts.left[IMPORT_UNKNOWN]++;
    }
    return rc <= 0 ? rc : take_found(im, &kept, at, &read, err);
}

/* ---- both files ---- */

typedef int (*take_fn)(struct import *im, const struct input_line *line, struct err *err);

static int read_file(struct import *im, const char *path, take_fn take, struct err *err)
{
    const struct source_conf conf = {.paths = &path,
                                     .paths_n = 1,
                                     .max_line = im->conf->max_line,
                                     .form = {.format = "jsonl"}};
    struct source *in = NULL;
    struct source_line line;
    int rc = source_open(&in, &conf, err);
    while (rc >= 0 && (rc = source_next(in, &line, err)) > 0) {
        rc = take(im, &line.line, err);
    }
    source_close(in);
    return rc;
}

static int import_open(struct import *im, struct err *err)
{
    buf_init(&im->id, LINE_CUSTOM_ID_MAX);
    buf_init(&im->json, ANSWER_BODY_MAX + 4096);
    int rc = scratch_open(&im->requests, im->conf->dir, err);
    if (rc >= 0) {
        rc = idset_open(&im->ids, im->conf->dir, err);
    }
    if (rc >= 0) {
        rc = queue_partitions(im->conf->queue, TABLE_ANSWERS, &im->partitions, err);
    }
    return rc < 0 ? rc : queue_cursor_open(im->conf->queue, &im->answers, err);
}

static void import_close(struct import *im)
{
    queue_tx_drop(im->tx);
    queue_cursor_close(im->answers);
    idset_close(im->ids);
    scratch_close(im->requests);
    buf_fini(&im->id);
    buf_fini(&im->json);
}

int import_batch(const struct import_conf *conf, struct import_counts *ret,
                 struct err *err)
{
    struct import im = {.conf = conf};
    int rc = import_open(&im, err);
    if (rc >= 0) {
        rc = read_file(&im, conf->requests, take_request, err);
    }
    if (rc >= 0) {
        rc = read_file(&im, conf->answers, take_answer, err);
    }
    if (rc >= 0) {
        rc = commit(&im, err);
    }
    import_close(&im);
    *ret = im.counts;
    return rc;
}
