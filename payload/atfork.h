/* SPDX-License-Identifier: MIT */
/*
 * atfork.h - os.fork in a program with one thread.
 *
 * From 3.12 on CPython warns when a process with more than one thread forks, and
 * it counts with the kernel: our agent would make a program hear of threads that
 * it does not have.  So, where the agent would be the second thread, it ends before
 * a fork and is started again after it.  Needs the GIL.
 */
#ifndef VZ_PAYLOAD_ATFORK_H
#define VZ_PAYLOAD_ATFORK_H

#include "payload/hook.h"

/** Ask to be called around forks of the main interpreter; does nothing where it is not needed. */
void vz_atfork_install(void);
/** Take that back; returns how many hooks had to stay. */
unsigned vz_atfork_remove(void);

#endif /* VZ_PAYLOAD_ATFORK_H */
