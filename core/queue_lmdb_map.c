/*
 * queue_lmdb_map.c - hands mapped pages back to the kernel.
 *
 * Pages of LMDB's mapped file that were read count as memory of this process until the kernel
 * wants them back. That makes the scan of a large store look like a leak in every figure that
 * people and containers watch. So what was read is unmapped again every MAP_TOUCHED_MAX bytes;
 * it stays in the page cache, and in the map, where it is read anew when needed.
 *
 * Unmapping costs in proportion to the range it looks at, so a range of many gigabytes is
 * waited for until that is paid for by what was read.
 */
#include "core/queue_lmdb.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MAP_TOUCHED_MAX ((size_t)64 << 20)
#define MAP_RANGE_SHARE 16 /* or this part of the range, if that is more */

struct store_map {
    pthread_mutex_t mu;
    uintptr_t begin, end; /* of the mapping; equal when it could not be found out */
    uintptr_t page_mask;
    uintptr_t low, high; /* what was touched since the last time lies between */
    size_t bytes;
};

static char *next_field(char *p)
{
    p += strcspn(p, " ");
    return p + strspn(p, " ");
}

/* LMDB does not tell where its map is; the kernel does (proc(5), /proc/pid/maps):
 * begin-end permissions offset device inode path */
static void find_mapping(struct store_map *m, int fd)
{
    char line[512], *p;
    struct stat st;
    FILE *maps = fstat(fd, &st) == 0 ? fopen("/proc/self/maps", "re") : NULL;
    while (maps && m->begin == m->end && fgets(line, sizeof(line), maps)) {
        uintptr_t begin = strtoul(line, &p, 16);
        uintptr_t end = *p == '-' ? strtoul(p + 1, &p, 16) : 0;
        p = next_field(next_field(next_field(next_field(p))));
        if (begin < end && strtoul(p, NULL, 10) == st.st_ino) {
            m->begin = begin;
            m->end = end;
        }
    }
    if (maps) {
        (void)fclose(maps);
    }
}

int store_map_init(struct store *s)
{
    int fd = -1;
    s->map = calloc(1, sizeof(*s->map));
    if (!s->map || mdb_env_get_fd(s->env, &fd) != 0) {
        free(TAKE_PTR(s->map));
        return -1;
    }
    pthread_mutex_init(&s->map->mu, NULL);
    find_mapping(s->map, fd);
    s->map->page_mask = (uintptr_t)s->page_bytes - 1;
    s->map->low = UINTPTR_MAX;
    return 0;
}

void store_map_fini(struct store *s)
{
    if (s->map) {
        pthread_mutex_destroy(&s->map->mu);
        free(s->map);
        s->map = NULL;
    }
}

static void hand_back(struct store_map *m)
{
    uintptr_t low = m->low & ~m->page_mask;
    (void)madvise((void *)low, m->high - low, MADV_DONTNEED);
    m->low = UINTPTR_MAX;
    m->high = 0;
    m->bytes = 0;
}

void store_touched(const struct store *s, const void *p, size_t n)
{
    struct store_map *m = s->map;
    uintptr_t begin = (uintptr_t)p, end = begin + n;
    if (begin < m->begin || end > m->end) {
        return; /* a page that this very transaction has changed: LMDB has it on the heap */
    }
    pthread_mutex_lock(&m->mu);
    m->low = MIN_OF(m->low, begin);
    m->high = MAX_OF(m->high, end);
    m->bytes += n + s->page_bytes;
    if (m->bytes >= MAX_OF(MAP_TOUCHED_MAX, (m->high - m->low) / MAP_RANGE_SHARE)) {
        hand_back(m);
    }
    pthread_mutex_unlock(&m->mu);
}
