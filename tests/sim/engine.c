#include "tests/sim/engine.h"

#include "tests/sim/batch_work.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLICE_LINES = 256, /* of one batch before the next has its turn */
    LIVE_MAX = 4096,   /* batches at the same time; later ones wait in `validating` */
    NAP_MIN_US = 1000,
    NAP_MAX_US = 500 * US_PER_MS,
};

struct engine {
    struct sim *sim;
    pthread_t thread;
    struct batch *live[LIVE_MAX];
    int64_t swept_us;
};

static int64_t seconds_us(double s)
{
    return (int64_t)(s * US_PER_S);
}

static enum batch_state state_of(struct sim *sim, const struct batch *b)
{
    batch_list_lock(sim->batches);
    enum batch_state state = b->state;
    batch_list_unlock(sim->batches);
    return state;
}

/* Moves the batch, unless a client moved it first, with what its work has come to. `at` is
 * the moment on the batch's schedule: a busy machine makes the simulator late, not the batch. */
static void move(struct sim *sim, struct batch *b, enum batch_state to, int64_t at)
{
    const struct batch_work *w = b->work;
    batch_list_lock(sim->batches);
    bool moved = batch_move(b, to, at);
    if (moved && batch_is_final(to) && w) {
        copy_string(b->output_file_id, sizeof b->output_file_id, w->output_file_id);
        copy_string(b->error_file_id, sizeof b->error_file_id, w->error_file_id);
    }
    batch_list_unlock(sim->batches);
    if (moved && batch_is_final(to)) {
        b->work = batch_work_destroy(b->work);
    }
}

static void show_progress(struct sim *sim, struct batch *b)
{
    const struct batch_work *w = b->work;
    batch_list_lock(sim->batches);
    b->completed = w->completed;
    b->failed = w->failed;
    b->used = w->used;
    batch_list_unlock(sim->batches);
}

static int64_t validated_us(const struct sim *sim, const struct batch *b)
{
    return b->at_us[BATCH_VALIDATING] + seconds_us(sim->options.validate_s);
}

static void fail(struct sim *sim, struct batch *b, const char *code, const char *message)
{
    batch_list_lock(sim->batches);
    batch_errors_add(&b->errors, 0, code, message);
    batch_list_unlock(sim->batches);
    move(sim, b, BATCH_FAILED, validated_us(sim, b));
}

/* Counts the tokens of a checked batch as enqueued, or says that they are too many. */
static bool enqueue(struct sim *sim, struct batch *b, const struct intake *in)
{
    const struct price_row *model = intake_model(in);
    int64_t tokens = intake_tokens(in);
    batch_list_lock(sim->batches);
    bool fits = batch_list_enqueued(sim->batches, b->project, model) + tokens <=
                sim->options.enqueued_tokens;
    if (fits) {
        b->model = model;
        b->enqueued_tokens = tokens;
        b->total = intake_lines(in);
    }
    batch_list_unlock(sim->batches);
    return fits;
}

/* The input has been read: does the batch start? */
static void judge(struct sim *sim, struct batch *b)
{
    const struct intake *in = b->work->intake;
    if (intake_errors(in)->n) {
        batch_list_lock(sim->batches);
        b->errors = *intake_errors(in);
        batch_list_unlock(sim->batches);
        move(sim, b, BATCH_FAILED, validated_us(sim, b));
    } else if (intake_lines(in) == 0) {
        fail(
            sim, b, "empty_file",
            "The file is empty. Please ensure that the batch contains at least one request.");
    } else if (b->fault.what == DO_FAIL) {
        fail(sim, b, b->fault.code,
             b->fault.message[0] ? b->fault.message
                                 : "The batch could not be processed.");
    } else if (!enqueue(sim, b, in)) {
        struct text why = {0};
        text_fmt(
            &why,
            "Enqueued token limit reached for %s in project %s. Limit: %lld enqueued "
            "tokens. Please try again once some in_progress batches have been completed.",
            price_reply_model(intake_model(in)), b->project,
            (long long)sim->options.enqueued_tokens);
        fail(sim, b, "token_limit_exceeded", why.data);
        text_done(&why);
    } else {
        move(sim, b, BATCH_IN_PROGRESS, validated_us(sim, b));
        batch_work_start(b->work, validated_us(sim, b));
    }
}

/* Each step returns the simulated time of the next one; 0: at once. */
static int64_t step_validating(struct sim *sim, struct batch *b, int64_t now)
{
    int64_t ready = validated_us(sim, b);
    const char *why;
    if (now < ready) {
        return ready;
    }
    if (!b->work) {
        b->work = batch_work_create(sim, b, &why);
    }
    if (!b->work) {
        fail(sim, b, why,
             "The input file could not be read: it does not exist any more.");
    } else if (!batch_work_check(b->work, SLICE_LINES)) {
        judge(sim, b);
    }
    return 0;
}

static bool ends_early(enum fault_do what)
{
    return what == DO_EXPIRE || what == DO_CANCEL;
}

/* The lines that the fault script lets run. */
static int64_t lines_allowed(const struct batch *b)
{
    int64_t n = b->work->lines;
    return ends_early(b->fault.what) ? (int64_t)(b->fault.share * (double)n) : n;
}

static void expire(struct sim *sim, struct batch *b)
{
    batch_work_give_up(
        b->work, "batch_expired",
        "This request could not be executed before the completion window expired.");
    batch_work_publish(b->work);
    show_progress(sim, b);
    move(sim, b, BATCH_EXPIRED, b->expires_us);
}

/* Fault `expire`: the window ends now. */
static void expire_now(struct sim *sim, struct batch *b, int64_t now)
{
    batch_list_lock(sim->batches);
    b->expires_us = now;
    batch_list_unlock(sim->batches);
    expire(sim, b);
}

/* When the batch is done, if its window lasts so long. */
static int64_t end_us(const struct batch *b)
{
    int64_t stall = b->fault.what == DO_STALL ? seconds_us(b->fault.seconds) : 0;
    return b->work->started_us + b->work->duration_us + stall;
}

static int64_t look_again_us(const struct sim *sim, int64_t now)
{
    return now + (int64_t)(SIM_HOLD_LOOK_US * sim->clock.speed) + 1;
}

/* No more lines are due before `now`, which is not after the end of the window. */
static int64_t wind_up(struct sim *sim, struct batch *b, int64_t now)
{
    struct batch_work *w = b->work;
    bool is_out = w->done == lines_allowed(b);
    if (is_out && b->fault.what == DO_EXPIRE) {
        expire_now(sim, b, now);
    } else if (is_out && b->fault.what == DO_CANCEL) {
        move(sim, b, BATCH_CANCELLING, now);
    } else if (w->done == w->lines && now >= end_us(b) && !atomic_load(&sim->holds)) {
        move(sim, b, BATCH_FINALIZING, end_us(b));
    } else if (now >= b->expires_us || w->is_broken) {
        expire(sim, b);
    } else {
        int64_t next = w->done < w->lines ? batch_work_next_us(w) : end_us(b);
        next = next > now ? next : look_again_us(sim, now); /* --hold */
        return next < b->expires_us ? next : b->expires_us;
    }
    return 0;
}

static int64_t step_in_progress(struct sim *sim, struct batch *b, int64_t now)
{
    struct batch_work *w = b->work;
    int64_t until = now < b->expires_us ? now : b->expires_us;
    int64_t due = batch_work_due(w, until);
    int64_t allowed = lines_allowed(b);
    due = due < allowed ? due : allowed;
    if (w->done < due && !w->is_broken) {
        batch_work_run(w, due, SLICE_LINES);
        show_progress(sim, b);
        return 0;
    }
    return wind_up(sim, b, until);
}

static int64_t step_finalizing(struct sim *sim, struct batch *b, int64_t now)
{
    if (!b->work->was_published) {
        batch_work_publish(b->work);
    }
    int64_t ready = b->at_us[BATCH_FINALIZING] + seconds_us(sim->options.finalize_s);
    if (now < ready) {
        return ready;
    }
    move(sim, b, BATCH_COMPLETED, ready);
    return 0;
}

static int64_t step_cancelling(struct sim *sim, struct batch *b, int64_t now)
{
    struct batch_work *w = b->work;
    if (w && !w->intake && !w->was_published) {
        batch_work_give_up(
            w, "batch_cancelled",
            "This request was not executed because the batch was cancelled.");
        batch_work_publish(w);
        show_progress(sim, b);
    }
    int64_t ready = b->at_us[BATCH_CANCELLING] + seconds_us(sim->options.cancel_s);
    if (now < ready) {
        return ready;
    }
    move(sim, b, BATCH_CANCELLED, ready);
    return 0;
}

static int64_t step(struct sim *sim, struct batch *b, int64_t now)
{
    switch (state_of(sim, b)) {
    case BATCH_VALIDATING: return step_validating(sim, b, now);
    case BATCH_IN_PROGRESS: return step_in_progress(sim, b, now);
    case BATCH_FINALIZING: return step_finalizing(sim, b, now);
    case BATCH_CANCELLING: return step_cancelling(sim, b, now);
    case BATCH_FAILED:
    case BATCH_COMPLETED:
    case BATCH_EXPIRED:
    case BATCH_CANCELLED:
    case BATCH_STATES: break;
    }
    return INT64_MAX;
}

/* One turn for every live batch; real microseconds until something is due. */
static int64_t turn(struct engine *e)
{
    struct sim *sim = e->sim;
    size_t n = batch_list_live(sim->batches, e->live, LIVE_MAX);
    int64_t nap = NAP_MAX_US;
    for (size_t i = 0; i < n; i++) {
        int64_t due = step(sim, e->live[i], clock_sim_us(&sim->clock));
        if (due == INT64_MAX) {
            continue;
        }
        int64_t left = due ? clock_until_us(&sim->clock, due) : 0;
        left = due && left < NAP_MIN_US ? NAP_MIN_US : left;
        nap = left < nap ? left : nap;
    }
    return nap;
}

static void *engine_run(void *arg)
{
    struct engine *e = arg;
    int64_t nap;
    do {
        int64_t from = clock_real_us();
        if (from - e->swept_us > US_PER_S) {
            file_store_sweep(e->sim->files, sim_now_s(e->sim));
            e->swept_us = from;
        }
        nap = turn(e);
        atomic_fetch_add(&e->sim->stats.engine_busy_us, clock_real_us() - from);
    } while (batch_list_wait(e->sim->batches, nap));
    size_t n = batch_list_live(e->sim->batches, e->live, LIVE_MAX);
    for (size_t i = 0; i < n; i++) {
        e->live[i]->work = batch_work_destroy(e->live[i]->work);
    }
    return NULL;
}

struct engine *engine_start(struct sim *sim)
{
    struct engine *e = must_calloc(1, sizeof *e);
    e->sim = sim;
    if (pthread_create(&e->thread, NULL, engine_run, e) != 0) {
        free(e);
        return NULL;
    }
    return e;
}

struct engine *engine_stop(struct engine *e)
{
    if (e) {
        batch_list_close(e->sim->batches);
        pthread_join(e->thread, NULL);
        free(e);
    }
    return NULL;
}
