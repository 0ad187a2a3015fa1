/*
 * batch.h - one batch: calls handed to a provider's batch API together, and its states.
 *
 *     open
 *       | complete
 *     sealed ------------- its input is too large ----------------.
 *       | spool file; commit of entry and members                 |
 *     journaled <---------------------.----------.                |
 *       | upload; commit of file id   |          | due            |
 *     uploaded ---------- proven absent        retry              |
 *       | create; commit of its id    |          ^                |
 *     submitted ---- input was gone --'          |                |
 *       | seen by a poll; commit      |          |                |
 *     polling ------------------------'          |                |
 *       |   |        any of these four, refused as a whole -----> split, dead
 *       |   '-- expired, cancelled                                |
 *       | completed      |                                        |
 *     fetched <----------' both result files on disk; commit      |
 *       | every member has its end                                |
 *     settled <----- members moved to other batches, or failed ---'
 *
 *   open       being put together; nobody else knows it
 *   sealed     complete; its spool file is written, its journal entry is not yet committed
 *   journaled  entry and members are committed; nothing billable can have left
 *   uploaded   the input stands at the provider; a create may have left at any time since
 *   submitted  the provider's id for it is committed
 *   polling    the provider has shown it to us: a 404 now means gone, not "not visible yet"
 *   expired    ended by the provider's deadline: what was done is harvested, the rest goes again
 *   cancelled  the same, ended by somebody's cancel
 *   fetched    both result files lie in the spool folder, on disk
 *   retry      refused as a whole; goes again when due
 *   split      too large, or some lines cannot be accepted: its members move to other batches
 *   dead       refused too often, or gone: its members end failed; or nobody wants it any more,
 *              and it was not sent: they end cancelled
 *   settled    every member has its committed end or was given back; rows and files are deleted
 *
 * dead is no end of its own because its members still have to be settled; every batch ends in
 * settled. "Uploading", "downloading" and "looking" are no states: a crash in them continues
 * exactly like a crash before them. open, sealed and split never stand in the journal: before
 * `journaled` a crash loses nothing but a spool file, and a split commits its children and the
 * end of the parent at once.
 *
 * The journal is ahead of memory: batch_move enters a durable state only when `journal`, the
 * state the last acknowledged commit names, says so already. That is the invariant "no byte
 * leaves before its journal entry".
 *
 * Every call of a batch has one fate at any time: here (waiting for an answer), given to
 * settle, ended (its commit was acknowledged), or again (it goes into another batch once this
 * one's rows are deleted, so that no job is ever a member of two journaled batches).
 *
 * The batch owns its arrays, not its calls. Its id, 26 characters that sort by time, is the
 * submit key the provider is asked to keep beside the batch.
 */
#ifndef OFFPEAK_WORKER_BATCH_H
#define OFFPEAK_WORKER_BATCH_H

#include "core/err.h"
#include "core/prompt.h"
#include "core/record.h"
#include <stdbool.h>
#include <stdint.h>

#define BATCH_ID_BYTES     27 /* with NUL */
#define BATCH_RANDOM_BYTES 10
#define BATCH_REF_MAX      128 /* an id of the provider's, with NUL */
#define BATCH_CALLS_MAX    100000
#define BATCH_FAILURES_MAX 3 /* goes refused as a whole before it is dead */
#define BATCH_AGAIN_MAX \
    10 /* times a line may come back unexecuted before its job fails */

struct call;
struct remote_line;

enum batch_state {
    BATCH_OPEN,
    BATCH_SEALED,
    BATCH_JOURNALED,
    BATCH_UPLOADED,
    BATCH_SUBMITTED,
    BATCH_POLLING,
    BATCH_EXPIRED,
    BATCH_CANCELLED,
    BATCH_FETCHED,
    BATCH_RETRY,
    BATCH_SPLIT,
    BATCH_DEAD,
    BATCH_SETTLED,
    BATCH_STATES
};

/* What moves a batch on from where it is: the lane does exactly this, fresh or after a crash. */
enum batch_wait {
    BATCH_WAITS_SEAL,  /* for whoever puts it together */
    BATCH_WAITS_SPOOL, /* spool file, then journal entry */
    BATCH_WAITS_UPLOAD,
    BATCH_WAITS_CREATE,   /* the create, or a look for one that may have happened */
    BATCH_WAITS_END,      /* a poll that says it ended */
    BATCH_WAITS_FILES,    /* download of both result files */
    BATCH_WAITS_MEMBERS,  /* every member settled */
    BATCH_WAITS_DUE,      /* its time */
    BATCH_WAITS_CHILDREN, /* the commit that hands its members to other batches */
    BATCH_WAITS_NOTHING
};

struct batch_rule {
    const char *name; /* in the journal, in messages */
    const char
        *point;    /* failpoint: the journal says so, and nothing was done about it yet */
    uint32_t next; /* bit per state it may move to */
    enum batch_wait wait;
    bool durable; /* stands in the journal; entered only after that commit */
    bool remote;  /* something at the provider's account belongs to it */
};
extern const struct batch_rule batch_rules[BATCH_STATES];

enum call_fate { FATE_HERE, FATE_SETTLING, FATE_ENDED, FATE_AGAIN, FATES };

/* Looking for a batch whose create may have happened (worker/recover.h). */
enum look { LOOK_NO, LOOK_FIRST, LOOK_DELETE, LOOK_WAIT, LOOK_AGAIN };

struct batch {
    struct batch *next, *prev; /* in the lane's list */

    /* in the journal */
    char id[BATCH_ID_BYTES];
    char account[64], origin[256]; /* fingerprint and endpoint it was made under */
    char path[64], model[PROMPT_MODEL_MAX + 1];
    enum batch_state state;
    uint32_t n;        /* members, settled ones included */
    uint64_t go;       /* creates begun with fresh ids; stamped on the provider's batch */
    uint64_t failures; /* goes refused as a whole */
    uint64_t overflows;     /* refusals for load since one was accepted */
    int64_t created_ms;     /* wall */
    int64_t file_created_s; /* by the provider's clock; 0 unknown */
    int64_t due_wall_ms;    /* of retry */
    char file[BATCH_REF_MAX], remote[BATCH_REF_MAX];
    char output[BATCH_REF_MAX], error[BATCH_REF_MAX];
    bool deleting;  /* its input is being deleted to rule out a late create */
    bool refetched; /* its result files were short once */
    bool in_doubt;  /* dead: may have been billed */
    bool counted;   /* the provider said how many lines it executed: */
    uint64_t executed;
    char why[300]; /* of retry and dead: the provider's words */

    /* in memory only */
    uint32_t partition;       /* of `ready`: its members and its rows stand there */
    enum batch_state journal; /* of the last acknowledged commit; BATCH_OPEN: none */
    uint32_t calls_max;       /* room in the arrays that follow */
    struct call **calls;      /* by line; NULL once ended */
    uint64_t *ats;            /* their leaders' places in `ready` */
    uint8_t *fates;           /* enum call_fate */
    uint32_t count[FATES];
    bool busy;    /* one operation at a time */
    bool spooled; /* its input file lies in the spool folder, on disk */
    uint64_t spool_bytes;
    bool alone;      /* no other batch of ours was at the provider when it was created */
    unsigned tries;  /* of the same request in a row */
    bool cancelling; /* the provider was asked to cancel it */
    bool poll_first; /* before it is asked again */
    bool ended;      /* completed (or failed with results): its files are fetched next */
    unsigned stage;  /* of download: 0 output, 1 error file, 2 both done */
    unsigned cuts;   /* downloads of this file that did not end in a newline */
    const struct batch *parent; /* while it is being split off from that one */
    struct remote_line *bad;    /* owned: of split, lines that cannot be accepted */
    size_t bad_len;
    unsigned parts; /* of split: how many batches its members go into */
    unsigned probe; /* after a restart under another key: what was asked so far */
    bool foreign; /* ... and the provider has not said yet that the account is the same */
    int64_t again_ms; /* of retry: loop time of its next go; 0: not worked out yet */
    int64_t due_ms;   /* loop time before which nothing is to be done */
    int64_t seen_ms;  /* loop time when the provider last knew it */
    enum look look;
    struct batch_search *search;   /* owned: of a look (worker/recover.c) */
    struct batch_reading *reading; /* owned: of collecting (worker/lane_collect.c) */
};

/* `random` comes from the caller: nothing here reads a clock or draws a number. */
void batch_id_format(int64_t wall_ms, const uint8_t random[static BATCH_RANDOM_BYTES],
                     char ret[static BATCH_ID_BYTES]);

int batch_create(struct batch **ret, uint32_t calls_max, struct err *err);
struct batch *batch_destroy(struct batch *b);
/* While OPEN, at most `calls_max` times: the call's line is the number of calls before it. A NULL
 * call: its job has ended already (found settled after a restart). */
int batch_add(struct batch *b, struct call *c, uint64_t at, struct err *err);

/* Checks the move against the table and the invariants, then makes it; ERR_FAIL names both. */
int batch_move(struct batch *b, enum batch_state to, struct err *err);
/* After a restart: an OPEN batch with its members takes the state its journal row names. */
int batch_restore(struct batch *b, enum batch_state state, struct err *err);

/* A call's fate; HERE -> SETTLING -> ENDED, HERE -> AGAIN. */
void batch_fate(struct batch *b, uint32_t index, enum call_fate to);
/* Every call of it is ended or goes again. */
bool batch_done(const struct batch *b);

const char *batch_state_name(enum batch_state s);
int batch_state_parse(const char *name, enum batch_state *ret); /* -1 unknown */

#endif
