/*
 * attr.h - the few language helpers every file may use.
 *
 * Clean-up by attribute: `_cleanup_(buf_fini) struct buf b = ...` runs buf_fini(&b) on every
 * way out of the block; TAKE_PTR hands the value out and leaves NULL behind. Destructors
 * accept NULL and half-built objects, so a clean-up may be declared before the object is.
 *
 * CAST_CTX checks the magic number at the start of an object that came back as a void
 * pointer: a callback that is handed the wrong object stops there and not three calls later.
 */
#ifndef OFFPEAK_CORE_ATTR_H
#define OFFPEAK_CORE_ATTR_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define _cleanup_(fn)           __attribute__((cleanup(fn)))
#define MUST_USE                __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))

#define PLURAL(n) ((n) == 1 ? "" : "s") /* "%u job%s", n, PLURAL(n) */

#define TAKE_PTR(ptr)                   \
    __extension__({                     \
        __typeof__(ptr) _taken = (ptr); \
        (ptr) = NULL;                   \
        _taken;                         \
    })

/* The object's first member is `uint32_t magic`. */
#define CAST_CTX(type, ptr, want)              \
    __extension__({                            \
        struct type *_obj = (ptr);             \
        assert(_obj && _obj->magic == (want)); \
        _obj;                                  \
    })

/* free() for the cleanup attribute. */
void attr_freep(void *ptr_to_ptr);
void attr_closep(int *fd);

#endif
