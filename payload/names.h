/* SPDX-License-Identifier: MIT */
/*
 * names.h - writes definitions: what a function or a thread is called.
 * Runs no Python code and leaves a pending exception alone.
 */
#ifndef VZ_PAYLOAD_NAMES_H
#define VZ_PAYLOAD_NAMES_H

#include "payload/ring.h"

/** Define code object CODE as ID; 0 if the dictionary is full. */
int vz_name_code(uint32_t id, void *code);
/** Define the C function CALLABLE as ID; 0 if the dictionary is full. */
int vz_name_c(uint32_t id, void *callable);
/** Look the thread up in threading._active; 1 if it has a name now. */
int vz_name_thread(struct vz_thread *t);
/** Take the thread with this pthread_self() out of threading's list of threads. */
void vz_forget_name(uint64_t ident);

#endif /* VZ_PAYLOAD_NAMES_H */
