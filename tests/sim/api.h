/*
 * The operations of the API, one function each. They know nothing of HTTP beyond a request
 * with its body read and a reply to fill. Called on many threads.
 */
#ifndef SIM_API_H
#define SIM_API_H

#include "tests/sim/reply.h"
#include "tests/sim/sim.h"
#include "tests/sim/upload.h"

struct MHD_Connection;

struct request {
    struct sim *sim;
    struct MHD_Connection *connection;
    enum op op;
    struct fault fault;
    char key[KEY_MAX];
    char project[PROJECT_MAX];
    char id[ID_MAX]; /* from the path */
    struct text body;
    struct upload *upload; /* of files.create */
};

/* The value of ?name=, or NULL. */
const char *request_query(const struct request *r, const char *name);

/* ?limit= within 1..max; -1 after filling the reply. */
int64_t request_limit(const struct request *r, int64_t max, int64_t usual,
                      struct reply *reply);

/* The latest time (seconds) at which something may have been made and be listed. */
int64_t request_visible_since(const struct request *r);

typedef void operation(struct request *r, struct reply *reply);

operation api_files_create, api_files_list, api_files_get, api_files_content,
    api_files_delete;
operation api_batches_create, api_batches_get, api_batches_list, api_batches_cancel;
operation api_chat, api_responses, api_embeddings, api_models_list;
operation api_sim_invoice, api_sim_invoice_csv, api_sim_stats, api_sim_batches,
    api_sim_go, api_sim_hold;

#endif
