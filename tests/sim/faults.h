/*
 * The fault script: which request, batch or line goes wrong, and how.
 *
 * Rules are read once at start (README.md documents the format) and matched every time an
 * operation happens. A rule waits for the nth occurrence of its operation, then fires `count`
 * times, each time with probability p. When several rules could fire, the first in the file
 * does, and the others keep their shots. Thread-safe after reading.
 */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include "tests/sim/auth.h"
#include "tests/sim/op.h"
#include "tests/sim/text.h"

enum fault_do {
    DO_NOTHING,
    /* requests */
    DO_DROP_BEFORE,
    DO_DROP_AFTER,
    DO_STATUS,
    DO_SLOW,
    DO_LATE,
    DO_TRUNCATE,
    DO_LIST_LAG,
    DO_REVOKE_KEY,
    DO_QUOTA,
    /* batches */
    DO_EXPIRE,
    DO_FAIL,
    DO_STALL,
    DO_CANCEL,
    /* lines; the first three also what is asked plainly, the fourth also responses */
    DO_REFUSE,
    DO_FILTER,
    DO_NO_USAGE,
    DO_BREAK,
    DO_ERROR,
    DO_OMIT,
    DO_DUPLICATE,
    DO_BAD_JSON,
    DO_UNKNOWN_ID,
    DO_COUNT
};

struct fault {
    enum fault_do what;
    int status;
    int retry_after_s;
    int64_t ms;
    int64_t bytes;
    double seconds;     /* simulated */
    double for_seconds; /* real; negative: for good */
    double share;
    bool after;
    bool billed;
    char code[64];
    char message[160];
    char key[KEY_MAX]; /* prefix; empty: every key */
};

struct faults;

/* Reads the script; a NULL path means no faults. NULL with a message in *ret_why
 * ("FILE:LINE: ...") when it cannot. */
struct faults *faults_read(const char *path, uint64_t seed, struct text *ret_why);
struct faults *faults_destroy(struct faults *f);

/* Counts an occurrence; the fault that strikes it, or one that does nothing. */
struct fault faults_match(struct faults *f, enum op on);

/* Each rule with how often it was met and fired: [{"on","do","seen","fired"}] */
void faults_write(struct faults *f, struct text *out);

#endif
