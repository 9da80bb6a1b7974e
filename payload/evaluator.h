/* SPDX-License-Identifier: MIT */
/*
 * evaluator.h - the frame evaluator that finds new threads on CPython 3.8-3.11,
 * and how deep on a C stack it may be used.
 */
#ifndef VZ_PAYLOAD_EVALUATOR_H
#define VZ_PAYLOAD_EVALUATOR_H

#include "payload/pyapi.h"

#pragma GCC visibility push(hidden)
/* CPython's own, to which ours jumps. */
extern uint64_t vz_default_eval;
#pragma GCC visibility pop

/** Ours, for this version. */
void *vz_evaluator(void);
/** What interpreter IS evaluates frames with. */
void *vz_get_evaluator(uint8_t *is);
void vz_set_evaluator(uint8_t *is, void *function);
/** Half of the stack that there is below SP: the rest belongs to the program. */
uint64_t vz_find_floor(uint64_t sp);

#endif /* VZ_PAYLOAD_EVALUATOR_H */
