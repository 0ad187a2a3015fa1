#include "cli/listing.h"

#include "cli/json.h"
#include "core/redact.h"

#include <stdio.h>

static const char *const grade_words[] = {
    [LAYOUT_FINE] = "ok",      [LAYOUT_NOTE] = "note",  [LAYOUT_WRONG] = "wrong",
    [LAYOUT_MISSING] = "none", [LAYOUT_FATAL] = "FAIL",
};

static void print_safe(const char *text)
{
    _cleanup_(buf_fini) struct buf safe;
    buf_init(&safe, REDACT_LINE_MAX);
    redact(&safe, span_str(text));
    fputs(safe.n ? safe.p : "", stdout);
}

static void line(const char *word, const char *name, const char *text)
{
    printf("%-8s%s%s", word, name, text[0] ? ": " : "");
    print_safe(text);
    putchar('\n');
}

static void object(struct listing *l)
{
    fputs(l->comma ? ",{" : "{", stdout);
    l->comma = true;
}

void listing_begin(struct listing *l, struct progress *notice, bool json)
{
    *l = (struct listing){.notice = notice, .json = json};
    if (json) {
        progress_clear(notice);
        printf("{\"topics\":[");
    }
}

/* ---- a topic and what is the matter with it ---- */

static void say_difference(const char *name, const struct layout_difference *d)
{
    char text[700];
    if (d->is[0] && d->grade != LAYOUT_MISSING) {
        snprintf(text, sizeof(text), "%s is %s, not %s: %s",
                 d->setting ? d->setting : "its number of partitions", d->is, d->should,
                 d->words);
    } else {
        snprintf(text, sizeof(text), "%s", d->words);
    }
    line(grade_words[d->grade], name, text);
    if (d->grade == LAYOUT_FATAL && d->hint[0]) {
        printf("        %s\n", d->hint);
    }
}

static void say_finding(const struct listing_finding *f)
{
    char text[60];
    if (f->commands.n) {
        printf("%s", f->commands.p);
    } else if (f->did) {
        line(f->did, f->topic->name, "");
    } else if (!f->n) {
        snprintf(text, sizeof(text), "%d partition%s", f->topic->found,
                 PLURAL(f->topic->found));
        line("ok", f->topic->name, text);
    }
    for (size_t i = 0; i < f->n; i++) {
        bool told = f->did || f->commands.n;
        if (!told || f->v[i].grade == LAYOUT_FATAL) {
            say_difference(f->topic->name, &f->v[i]);
        }
    }
}

static void json_difference(const struct layout_difference *d)
{
    json_text("grade", grade_words[d->grade]);
    json_text("setting", d->setting ? d->setting : "partitions");
    json_text("is", d->is);
    json_text("should", d->should);
    json_text("words", d->words);
    json_text("hint", d->hint);
    printf("\"repairable\":%s}", d->grade == LAYOUT_FATAL ? "false" : "true");
}

/* "commands":["...","..."], of lines */
static void json_commands(const struct buf *commands)
{
    _cleanup_(buf_fini) struct buf out;
    buf_init(&out, 2 * LISTING_COMMAND_MAX);
    struct span rest = buf_span(commands);
    while (rest.n) {
        const char *end = memchr(rest.p, '\n', rest.n);
        size_t n = end ? (size_t)(end - rest.p) : rest.n;
        buf_adds(&out, out.n ? "," : "");
        buf_add_json(&out, span_of(rest.p, n));
        rest = span_of(rest.p + n + 1, rest.n - MIN_OF(n + 1, rest.n));
    }
    printf("\"commands\":[%s],", out.n ? out.p : "");
}

static void json_finding(struct listing *l, const struct listing_finding *f)
{
    object(l);
    json_text("name", f->topic->name);
    json_count("partitions", (uint64_t)f->topic->found);
    json_text("did", f->did);
    json_commands(&f->commands);
    printf("\"differences\":[");
    for (size_t i = 0; i < f->n; i++) {
        fputs(i ? ",{" : "{", stdout);
        json_difference(&f->v[i]);
    }
    printf("],\"there\":%s}", f->topic->found ? "true" : "false");
}

void listing_finding(struct listing *l, const struct listing_finding *f)
{
    progress_clear(l->notice);
    if (l->json) {
        json_finding(l, f);
    } else {
        say_finding(f);
    }
}

/* ---- a topic as it should be ---- */

void listing_heading(struct listing *l)
{
    progress_clear(l->notice);
    if (!l->json) {
        printf("%-34s %-6s %10s  %-8s %-7s %s\n", "NAME", "KIND", "PARTITIONS", "KEPT",
               "LARGEST", "WHAT");
    }
}

static void json_spec(struct listing *l, const struct topic_spec *spec, const char *name,
                      int32_t partitions)
{
    struct kafka_setting v[TOPICS_SETTINGS_MAX];
    size_t n = topics_settings(spec, v);
    object(l);
    json_text("name", name);
    json_text("kind", spec->table ? "table" : "topic");
    json_text("what", spec->what);
    json_count("partitions", (uint64_t)partitions);
    printf("\"settings\":{");
    for (size_t i = 0; i < n; i++) {
        printf("%s\"%s\":\"%s\"", i ? "," : "", v[i].name, v[i].value);
    }
    printf("}}");
}

void listing_spec(struct listing *l, const struct topic_spec *spec, const char *name,
                  int32_t partitions)
{
    char keep[LAYOUT_TEXT_MAX], bytes[LAYOUT_TEXT_MAX];
    if (l->json) {
        json_spec(l, spec, name, partitions);
        return;
    }
    layout_show_time(spec->keep_ms, keep);
    layout_show_bytes(spec->bytes_max, bytes);
    printf("%-34s %-6s %10d  %-8s %-7s %s\n", name, spec->table ? "table" : "topic",
           partitions, spec->table ? "newest" : keep, bytes, spec->what);
}

/* ---- permissions ---- */

static void begin_rules(struct listing *l)
{
    if (l->json && !l->rules) {
        printf("],\"permissions\":[");
        l->comma = false;
    }
    l->rules = true;
}

void listing_rule(struct listing *l, const struct listing_rule *rule)
{
    _cleanup_(buf_fini) struct buf words, command;
    buf_init(&words, LISTING_COMMAND_MAX);
    buf_init(&command, LISTING_COMMAND_MAX);
    access_words(rule->acl, &words);
    access_command(rule->acl, rule->brokers, &command);
    progress_clear(l->notice);
    begin_rules(l);
    if (l->json) {
        object(l);
        json_text("user", rule->acl->principal);
        json_text("role", rule->role);
        json_text("may", words.p);
        json_text("command", command.p);
        printf("\"is\":\"%s\"}", rule->word);
    } else if (rule->by_hand) {
        printf("%s\n", command.p);
    } else {
        line(rule->word, rule->acl->principal, words.p);
    }
}

void listing_end(struct listing *l, int code)
{
    begin_rules(l);
    if (l->json) {
        printf("],\"exit\":%d}\n", code);
    }
}
