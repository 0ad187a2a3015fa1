/*
 * prompt_facts.h - what admission must know of a request. Internal to core/prompt*.c.
 *
 * Field by field, so that the body is gone through once: facts_init, facts_read for each member
 * of the body, facts_complete. Fields that are not named here are the provider's business.
 */
#ifndef OFFPEAK_CORE_PROMPT_FACTS_H
#define OFFPEAK_CORE_PROMPT_FACTS_H

#include "core/err.h"
#include "core/prompt.h"

void facts_init(struct prompt *p, size_t body_bytes);
int facts_read(struct prompt *p, struct span raw_name, struct span value,
               struct err *err);
int facts_complete(const struct prompt *p, struct err *err);

#endif
