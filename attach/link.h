/* SPDX-License-Identifier: MIT */
/*
 * link.h - the line between the session and the agent: the boot block, the
 * arena, the state words, and the lock by which the agent learns of our death.
 */
#ifndef VZ_ATTACH_LINK_H
#define VZ_ATTACH_LINK_H

#include "attach/drain.h"
#include "attach/inject.h"

struct vz_link {
	const struct vz_target *target;
	uint64_t boot_raddr;
	uint64_t nonce;
	struct vz_boot boot; /* as last read */
	struct vz_arena arena;
	struct vz_control *control; /* start of the arena; NULL until mapped */
	uint64_t born_ns;           /* CLOCK_MONOTONIC when the thread was let run, by the caller */
	uint64_t beat_ns, beats;    /* signs of life before GO: the last one, how many */
};

/** Fill the boot block for PYTHON and ARENA. */
void vz_link_boot(const struct vz_python *python, const struct vz_arena *arena, bool c_calls,
		  bool clock_is_ns, struct vz_boot *ret);
/**
 * Wait until the agent has made the arena, map it, and tell it to go.  Exit 1, 3 or 7.
 * -ESTALE: we were not let run for so long that the agent left again.
 */
int vz_link_open(struct vz_link *link, uint64_t timeout_ns, struct vz_err *err);
/** The agent's state; VZ_STATE_FAILED for anything that is none. */
enum vz_state vz_link_state(const struct vz_link *link);
/** Is the payload still mapped in the target?  False as well once the target is gone or has run
 * exec. */
bool vz_link_alive(struct vz_link *link);
/** We are alive: at least once a second. */
void vz_link_renew(struct vz_link *link);
void vz_link_stop(struct vz_link *link);
/** Describe why the agent failed. */
void vz_link_explain(const struct vz_link *link, struct vz_err *err);
void vz_link_close(struct vz_link *link);

#endif /* VZ_ATTACH_LINK_H */
