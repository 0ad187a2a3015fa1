#include "tests/sim/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct plan {
    FILE *file;
    char *held; /* steps, digests, custom id and body of the line last read */
    size_t held_cap;
};

struct head {
    struct ask_facts facts;
    uint32_t custom_id_len;
    uint32_t body_len;
    int32_t status;
};

struct plan *plan_create(int fd)
{
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w+e");
    if (!file) {
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    struct plan *p = must_calloc(1, sizeof *p);
    p->file = file;
    return p;
}

struct plan *plan_destroy(struct plan *p)
{
    if (p) {
        (void)fclose(p->file);
        free(p->held);
        free(p);
    }
    return NULL;
}

static bool put(struct plan *p, const void *bytes, size_t n)
{
    return n == 0 || fwrite(bytes, n, 1, p->file) == 1;
}

static size_t steps_size(const struct ask_facts *facts)
{
    return facts->n_steps * sizeof(uint64_t);
}

static size_t digests_size(const struct ask_facts *facts)
{
    return (size_t)facts->n_inputs * ASK_DIGEST_BYTES;
}

int plan_add(struct plan *p, const struct plan_line *line)
{
    struct head h = {
        .facts = line->facts,
        .custom_id_len = line->custom_id_len,
        .body_len = line->body_len,
        .status = line->status,
    };
    bool done = put(p, &h, sizeof h) && put(p, line->steps, steps_size(&h.facts)) &&
                put(p, line->digests, digests_size(&h.facts)) &&
                put(p, line->custom_id, h.custom_id_len) &&
                put(p, line->body, h.body_len);
    return done ? 0 : -1;
}

int plan_rewind(struct plan *p)
{
    return fflush(p->file) == 0 && fseek(p->file, 0, SEEK_SET) == 0 ? 0 : -1;
}

int plan_next(struct plan *p, struct plan_line *ret_line)
{
    struct head h;
    if (fread(&h, sizeof h, 1, p->file) != 1) {
        return feof(p->file) ? 0 : -1;
    }
    size_t steps = steps_size(&h.facts);
    size_t texts = steps + digests_size(&h.facts);
    size_t need = texts + h.custom_id_len + h.body_len;
    if (need > p->held_cap) {
        p->held = must_realloc(p->held, need, 1);
        p->held_cap = need;
    }
    if (need && fread(p->held, need, 1, p->file) != 1) {
        return -1;
    }
    *ret_line = (struct plan_line){
        .custom_id = p->held + texts,
        .custom_id_len = h.custom_id_len,
        .status = h.status,
        .body = p->held + texts + h.custom_id_len,
        .body_len = h.body_len,
        .facts = h.facts,
        .steps = (const uint64_t *)(const void *)p->held,
        .digests = (const unsigned char *)p->held + steps,
    };
    return 1;
}
