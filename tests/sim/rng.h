/*
 * Seeded random numbers and fast mixing: ids, shuffles, fault probabilities, prefix hashes.
 * Nothing here is secret. The same seed gives the same run.
 */
#ifndef SIM_RNG_H
#define SIM_RNG_H

#include <stddef.h>
#include <stdint.h>

/* The next number of the sequence that stands in *state. */
uint64_t rng_next(uint64_t *state);

/* One of 0..bound-1; bound > 0. */
uint64_t rng_below(uint64_t *state, uint64_t bound);

/* True with probability p. */
int rng_chance(uint64_t *state, double p);

uint64_t mix64(uint64_t x);

/* `seed` with the bytes mixed in: the prefix hash chain is made of these. */
uint64_t mix_bytes(uint64_t seed, const void *bytes, size_t n);

#endif
