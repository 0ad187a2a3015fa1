#include "tests/sim/api.h"

void api_sim_invoice(struct request *r, struct reply *reply)
{
    invoice_write(r->sim->invoice, &reply->body);
}

void api_sim_invoice_csv(struct request *r, struct reply *reply)
{
    reply->content_type = "text/csv";
    invoice_write_csv(r->sim->invoice, &reply->body);
}

void api_sim_stats(struct request *r, struct reply *reply)
{
    text_char(&reply->body, '{');
    stats_write(&r->sim->stats, &reply->body);
    text_put(&reply->body, ",\"batches\":");
    batch_list_write_states(r->sim->batches, &reply->body);
    text_put(&reply->body, ",\"faults\":");
    faults_write(r->sim->faults, &reply->body);
    text_fmt(&reply->body, ",\"sim_time\":%lld}", (long long)sim_now_s(r->sim));
}

void api_sim_batches(struct request *r, struct reply *reply)
{
    batch_list_write_all(r->sim->batches, &reply->body);
}

void api_sim_go(struct request *r, struct reply *reply)
{
    atomic_store(&r->sim->holds, false);
    text_put(&reply->body, "{}");
}

void api_sim_hold(struct request *r, struct reply *reply)
{
    atomic_store(&r->sim->holds, true);
    text_put(&reply->body, "{}");
}
