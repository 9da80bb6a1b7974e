/* SPDX-License-Identifier: MIT */
/*
 * stack.h - reads the Python frames of a thread state, under the GIL, without
 * creating or touching any object.
 */
#ifndef VZ_PAYLOAD_STACK_H
#define VZ_PAYLOAD_STACK_H

#include <stdint.h>

enum { VZ_STACK_MAX = 32768 }; /* deeper stacks are cut at the bottom */

/* Function ids of the last walk, top first. */
extern uint32_t vz_stack_ids[VZ_STACK_MAX];

/**
 * Walk the frames of TS from the top, leaving out SKIP.  Returns how many ids
 * are in vz_stack_ids; *DEPTH is the whole depth.
 */
uint32_t vz_stack_walk(const uint8_t *ts, unsigned skip, uint32_t *depth);

/**
 * What tells one Python stack of a thread from another (greenlets swap them):
 * the address of the first chunk of the data stack.  0 before 3.11, where
 * CPython has no such thing, and while there is none.
 */
uint64_t vz_stack_key(const uint8_t *ts);

#endif /* VZ_PAYLOAD_STACK_H */
