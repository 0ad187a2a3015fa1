#include "tests/sim/problem.h"

#include <stdio.h>
#include <string.h>

int problem_set(struct problem *p, int status, const char *param, const char *code,
                const char *fmt, ...)
{
    *p = (struct problem){.status = status};
    copy_string(p->param, sizeof p->param, param ? param : "");
    copy_string(p->code, sizeof p->code, code ? code : "");
    va_list args;
    va_start(args, fmt);
    vsnprintf(p->message, sizeof p->message, fmt, args);
    va_end(args);
    return -1;
}

static const char *problem_type(const struct problem *p)
{
    if (!strcmp(p->code, "insufficient_quota")) {
        return "insufficient_quota";
    }
    if (p->status == 429) {
        return "requests";
    }
    return p->status >= 500 ? "server_error" : "invalid_request_error";
}

void problem_write(const struct problem *p, struct text *out)
{
    text_put(out, "{\"error\":{\"message\":");
    text_json(out, p->message, strlen(p->message));
    text_put(out, ",\"type\":");
    text_json_or_null(out, problem_type(p));
    text_put(out, ",\"param\":");
    text_json_or_null(out, p->param);
    text_put(out, ",\"code\":");
    text_json_or_null(out, p->code);
    text_put(out, "}}");
}

void problem_usual(struct problem *p, int status)
{
    static const struct {
        int status;
        const char *code;
        const char *message;
    } rows[] = {
        {401, "invalid_api_key", "Incorrect API key provided."},
        {403, "unsupported_country_region_territory",
         "Country, region, or territory not supported"},
        {404, NULL, "Not found"},
        {408, NULL, "Request timed out."},
        {409, NULL, "The resource is locked by another request."},
        {413, NULL, "Maximum content size limit exceeded."},
        {429, "rate_limit_exceeded", "Rate limit reached for requests"},
        {503, NULL, "The server is currently overloaded with other requests."},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].status == status) {
            problem_set(p, status, NULL, rows[i].code, "%s", rows[i].message);
            return;
        }
    }
    problem_set(p, status, NULL, NULL, "%s",
                status >= 500 ? "The server had an error while processing your request."
                              : "The request could not be processed.");
}
