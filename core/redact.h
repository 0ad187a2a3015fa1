/*
 * redact.h - text made fit to be shown.
 *
 * Messages carry words of other people: of a job file, of a provider, of a path. Whatever goes
 * to a terminal or into a file for people passes here first. It masks what looks like a key
 * ("sk-...", Bearer tokens, x-api-key values, user names in URLs) and writes control characters
 * and broken UTF-8 as \xNN, so that no text can steer a terminal.
 */
#ifndef OFFPEAK_CORE_REDACT_H
#define OFFPEAK_CORE_REDACT_H

#include "core/buf.h"

#define REDACT_LINE_MAX 4096 /* room for a line; a longer one is cut */

/* Appends `text`. -1: it did not fit; what did is there. */
int redact(struct buf *ret, struct span text);

#endif
