/* SPDX-License-Identifier: MIT */
/*
 * leave.h - how the payload's memory goes: from the process that was traced,
 * and from a child that got a copy of it by fork.
 */
#ifndef VZ_PAYLOAD_LEAVE_H
#define VZ_PAYLOAD_LEAVE_H

#include "payload/hook.h"

/* The hooks that are in, for the child to take out. */
extern const struct vz_hook_ops *vz_hooks;

/** The agent's last act: start the thread that unmaps everything once the agent is gone. */
void vz_leave(void);
/** No agent could be started: the same without one; 0 if that thread cannot be started either. */
int vz_leave_unborn(void);
/**
 * Whether a forked child gets a copy of our tables.  It must while hooks are in, and then frees
 * them with the hooks; at other times nobody there would ever do so.
 */
void vz_keep_in_children(int keep);
/** There will be no agent any more: a thread of the program takes the hooks out and unmaps us. */
void vz_leave_alone(void);
/** 1 once that is on its way. */
int vz_leaves_alone(void);
/** 1 once the kernel has forgotten thread TID of this process. */
int vz_task_gone(uint32_t tid);

#endif /* VZ_PAYLOAD_LEAVE_H */
