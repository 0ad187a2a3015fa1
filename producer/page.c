#include "producer/page.h"

#include "core/idset.h"
#include "core/jtext.h"
#include "producer/line.h"

#include <stdio.h>

#define WORDS_EACH 320 /* the longest reason, with its NUL */

void page_init(struct page *s, size_t max_line)
{
    *s = (struct page){0};
    buf_init(&s->text, PAGE_BYTES + MAX_OF(max_line, INPUT_LINE_MAX));
    buf_init(&s->words, (size_t)PAGE_LINES * WORDS_EACH);
}

void page_fini(struct page *s)
{
    buf_fini(&s->text);
    buf_fini(&s->words);
}

/* Two lines of one file must not share a custom_id: their results could not be told apart. */
static int check_repeat(struct page_source *from, const struct input_line *line,
                        struct line_verdict *v, struct err *err)
{
    _cleanup_(buf_fini) struct buf id;
    buf_init(&id, LINE_CUSTOM_ID_MAX);
    jtext_string(v->custom_id, &id);
    uint64_t first = 0;
    int rc = idset_add(from->ids, buf_span(&id), line->number, &first, err);
    if (rc == 0) {
        v->ok = false;
        v->remedy = "give each line a custom_id of its own";
        snprintf(v->why, sizeof(v->why), "custom_id %.*s stands on line %llu already",
                 (int)MIN_OF(v->custom_id.n, 100), v->custom_id.p,
                 (unsigned long long)first);
    }
    return rc < 0 ? rc : 0;
}

static void keep(struct page *s, const struct source_line *l,
                 const struct line_verdict *v)
{
    struct page_line *to = &s->lines[s->n++];
    struct span text = l->line.text;
    *to = (struct page_line){.number = l->line.number,
                             .file = l->file,
                             .file_line = l->file_line,
                             .remedy = v->remedy};
    if (!v->ok) {
        text.n = MIN_OF(text.n, INPUT_KEPT);
        to->why = s->words.p + s->words.n;
        buf_add(&s->words, v->why, strlen(v->why) + 1);
    }
    to->text = span_of(s->text.p + s->text.n, text.n);
    buf_add(&s->text, text.p, text.n);
    if (v->custom_id.n && (size_t)(v->custom_id.p - text.p) + v->custom_id.n <= text.n) {
        to->custom_id = span_of(to->text.p + (v->custom_id.p - text.p), v->custom_id.n);
    }
}

/* A request without an envelope gets one, and is judged again. */
static void judge(struct page_source *from, struct source_line *l, struct line_verdict *v)
{
    if (!l->why[0]) {
        line_check(&l->line, v);
    }
    if (!l->why[0] && v->bare) {
        source_wrap(from->source, l);
        if (!l->why[0]) {
            line_check(&l->line, v);
        }
    }
    if (l->why[0]) {
        *v = (struct line_verdict){.remedy = l->remedy};
        snprintf(v->why, sizeof(v->why), "%s", l->why);
    }
}

static int take_line(struct page *s, struct page_source *from, struct source_line *l)
{
    struct line_verdict v = {0};
    judge(from, l, &v);
    if (v.ok) {
        int rc = check_repeat(from, &l->line, &v, &s->err);
        if (rc < 0) {
            return rc;
        }
    }
    if (l->line.number > from->skip) {
        keep(s, l, &v);
    }
    return 0;
}

static int fill(struct page *s, struct page_source *from)
{
    struct source_line line;
    while (s->n < PAGE_LINES && s->text.n < PAGE_BYTES) {
        if (atomic_load_explicit(&from->stop, memory_order_relaxed)) {
            return 0;
        }
        int rc = source_next(from->source, &line, &s->err);
        if (rc > 0) {
            rc = take_line(s, from, &line);
        } else if (rc == 0) {
            s->end = true;
            return 0;
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

void page_fill(struct page *s, struct page_source *from)
{
    buf_reset(&s->text);
    buf_reset(&s->words);
    s->n = 0;
    /* room for all, so that what lines point at never moves */
    if (buf_reserve(&s->text, s->text.max) < 0 ||
        buf_reserve(&s->words, s->words.max) < 0) {
        s->rc = err_set(&s->err, ERR_FAIL, "could not read the next lines: no memory");
        return;
    }
    s->rc = fill(s, from);
    s->last = source_lines(from->source);
    s->blank = source_blank(from->source);
    s->digest = source_digest(from->source);
}
