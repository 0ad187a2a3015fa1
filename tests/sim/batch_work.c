#include "tests/sim/batch_work.h"

#include "tests/sim/outbox.h"
#include "tests/sim/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int open_input(struct sim *sim, const struct batch *b)
{
    struct problem p;
    int64_t bytes;
    return file_store_read(sim->files, b->project, b->input_file_id, sim_now_s(sim),
                           &bytes, &p);
}

struct batch_work *batch_work_create(struct sim *sim, const struct batch *batch,
                                     const char **ret_why)
{
    int input = open_input(sim, batch);
    if (input < 0) {
        *ret_why = "file_not_found";
        return NULL;
    }
    struct batch_work *w = must_calloc(1, sizeof *w);
    w->sim = sim;
    w->batch = batch;
    w->plan = plan_create(file_store_scratch(sim->files, NULL));
    w->outbox = outbox_create(file_store_scratch(sim->files, NULL));
    w->intake = intake_create(input, w->plan, batch, sim->options.max_requests);
    if (!w->plan || !w->outbox) {
        *ret_why = "server_error";
        return batch_work_destroy(w);
    }
    return w;
}

struct batch_work *batch_work_destroy(struct batch_work *w)
{
    if (w) {
        intake_destroy(w->intake);
        plan_destroy(w->plan);
        outbox_destroy(w->outbox);
        free(w);
    }
    return NULL;
}

int batch_work_check(struct batch_work *w, int n)
{
    return intake_step(w->intake, n);
}

void batch_work_start(struct batch_work *w, int64_t now_us)
{
    const struct options *o = &w->sim->options;
    w->lines = intake_lines(w->intake);
    w->intake = intake_destroy(w->intake);
    w->started_us = now_us;
    w->duration_us = (int64_t)(o->batch_s * US_PER_S) +
                     (int64_t)(o->line_ms * US_PER_MS * (double)w->lines);
    w->is_broken = plan_rewind(w->plan) < 0;
}

static int64_t waves(const struct batch_work *w)
{
    int64_t n = (w->lines + w->sim->options.concurrency - 1) /
                w->sim->options.concurrency;
    return n ? n : 1;
}

/* Lines run in waves of `concurrency`, spread evenly over the duration. */
static int64_t wave_start_us(const struct batch_work *w, int64_t wave)
{
    return w->started_us + w->duration_us * wave / waves(w);
}

int64_t batch_work_due(const struct batch_work *w, int64_t now_us)
{
    int64_t passed = now_us - w->started_us;
    if (passed >= w->duration_us) {
        return w->lines;
    }
    int64_t due = passed * waves(w) / w->duration_us * w->sim->options.concurrency;
    return due < w->lines ? due : w->lines;
}

int64_t batch_work_next_us(const struct batch_work *w)
{
    return wave_start_us(w, w->done / w->sim->options.concurrency + 1);
}

static void add_line(struct batch_work *w, enum outbox_side side, const struct text *line)
{
    if (outbox_add(w->outbox, side, line) < 0) {
        w->is_broken = true;
    }
}

static void begin_line(struct batch_work *w, const char *custom_id, size_t n,
                       struct text *out)
{
    text_clear(out);
    text_fmt(out, "{\"id\":\"batch_req_%016llx\",\"custom_id\":",
             (unsigned long long)sim_serial(w->sim));
    text_json(out, custom_id, n);
}

static void begin_response(struct batch_work *w, int status, struct text *out)
{
    text_fmt(out,
             ",\"response\":{\"status_code\":%d,\"request_id\":\"req_%016llx\",\"body\":",
             status, (unsigned long long)sim_serial(w->sim));
}

static void refuse_line(struct batch_work *w, const struct plan_line *line,
                        struct text *out)
{
    begin_line(w, line->custom_id, line->custom_id_len, out);
    begin_response(w, line->status, out);
    text_add(out, line->body, line->body_len);
    text_put(out, "},\"error\":null}");
    add_line(w, OUTBOX_ERROR, out);
    w->failed++;
}

/* Fault `error`: the line is refused as the script says. */
static void refuse_by_fault(struct batch_work *w, struct plan_line *line,
                            const struct fault *f, struct text *out)
{
    struct problem p;
    struct text body = {0};
    problem_usual(&p, f->status);
    if (f->code[0]) {
        copy_string(p.code, sizeof p.code, f->code);
    }
    if (f->message[0]) {
        copy_string(p.message, sizeof p.message, f->message);
    }
    problem_write(&p, &body);
    line->status = f->status;
    line->body = body.data;
    line->body_len = (uint32_t)body.len;
    refuse_line(w, line, out);
    text_done(&body);
}

static void sum_usage(struct usage *sum, const struct usage *u)
{
    sum->prompt += u->prompt;
    sum->cached += u->cached;
    sum->written += u->written;
    sum->completion += u->completion;
    sum->reasoning += u->reasoning;
}

/* Where the answered line goes, and what the fault puts beside it. */
static void deliver(struct batch_work *w, const struct fault *f, struct text *out)
{
    if (f->what == DO_OMIT) {
        return;
    }
    if (f->what == DO_BAD_JSON) {
        text_clear(out);
        text_put(out, "{\"id\":\"batch_req_bad\",\"custom_id\":\"\xff");
    }
    add_line(w, OUTBOX_OUTPUT, out);
    if (f->what == DO_DUPLICATE) {
        add_line(w, OUTBOX_OUTPUT, out);
    }
    if (f->what == DO_UNKNOWN_ID) {
        begin_line(w, "unknown-to-you", strlen("unknown-to-you"), out);
        begin_response(w, 200, out);
        text_put(out, "{}},\"error\":null}");
        add_line(w, OUTBOX_OUTPUT, out);
    }
}

static void answer_line(struct batch_work *w, struct plan_line *line, int64_t started_us,
                        struct text *out)
{
    struct fault f = faults_match(w->sim->faults, OP_LINE);
    if (f.what == DO_ERROR) {
        refuse_by_fault(w, line, &f, out);
        return;
    }
    struct usage used;
    struct serve_what what = {&line->facts, line->steps, line->digests, {.batch = true}};
    copy_string(what.to.id, sizeof what.to.id, w->batch->id);
    struct serve_how how = serve_how(&f, line->facts.kind);
    how.started_us = started_us;
    how.half_price = true;
    begin_line(w, line->custom_id, line->custom_id_len, out);
    begin_response(w, 200, out);
    serve(w->sim, what, how, out, &used);
    text_put(out, "},\"error\":null}");
    deliver(w, &f, out);
    sum_usage(&w->used, &used);
    w->completed++;
}

void batch_work_run(struct batch_work *w, int64_t goal, int n)
{
    struct text out = {0};
    struct plan_line line;
    for (int i = 0; i < n && w->done < goal && !w->is_broken; i++) {
        if (plan_next(w->plan, &line) <= 0) {
            w->is_broken = true;
            break;
        }
        if (line.status) {
            refuse_line(w, &line, &out);
        } else {
            answer_line(w, &line, wave_start_us(w, w->done / w->sim->options.concurrency),
                        &out);
        }
        w->done++;
        atomic_fetch_add(&w->sim->stats.lines, 1);
    }
    text_done(&out);
}

void batch_work_give_up(struct batch_work *w, const char *code, const char *message)
{
    struct text out = {0};
    struct plan_line line;
    while (w->done < w->lines && !w->is_broken) {
        if (plan_next(w->plan, &line) <= 0) {
            w->is_broken = true;
            break;
        }
        begin_line(w, line.custom_id, line.custom_id_len, &out);
        text_fmt(&out,
                 ",\"response\":null,\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}",
                 code, message);
        add_line(w, OUTBOX_ERROR, &out);
        w->failed++;
        w->done++;
    }
    text_done(&out);
}

static int publish_side(struct batch_work *w, enum outbox_side side, const char *name,
                        char ret_id[ID_MAX])
{
    if (outbox_count(w->outbox, side) == 0) {
        return 0;
    }
    struct file_spec spec = {.created_at = sim_now_s(w->sim), .purpose = "batch_output"};
    copy_string(spec.project, sizeof spec.project, w->batch->project);
    snprintf(spec.filename, sizeof spec.filename, "%s_%s.jsonl", w->batch->id, name);
    spec.expires_at = spec.created_at + w->batch->output_expires_s;
    char *path = NULL;
    int fd = file_store_scratch(w->sim->files, &path);
    int rc = -1;
    if (fd >= 0) {
        uint64_t seed = (uint64_t)w->sim->options.seed ^ sim_serial(w->sim);
        rc = outbox_publish(w->outbox, side, seed, fd);
        rc = close(fd) < 0 ? -1 : rc;
    }
    if (rc == 0) {
        rc = file_store_adopt(w->sim->files, &spec, path, ret_id);
    }
    if (rc < 0 && path) {
        unlink(path);
    }
    free(path);
    return rc;
}

void batch_work_publish(struct batch_work *w)
{
    w->was_published = true;
    if (w->is_broken || publish_side(w, OUTBOX_OUTPUT, "output", w->output_file_id) < 0 ||
        publish_side(w, OUTBOX_ERROR, "error", w->error_file_id) < 0) {
        w->is_broken = true;
        fprintf(stderr, "offpeak-sim: could not write the files of '%s'\n", w->batch->id);
    }
}
