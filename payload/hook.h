/* SPDX-License-Identifier: MIT */
/*
 * hook.h - the two ways to hear of calls, behind one interface, and the
 * interpreters that they are installed in.  Everything needs the GIL.
 */
#ifndef VZ_PAYLOAD_HOOK_H
#define VZ_PAYLOAD_HOOK_H

#include "payload/pyapi.h"

enum { VZ_MAX_INTERPS = 64 };

struct vz_interp {
	uint8_t *is;      /* PyInterpreterState; NULL: entry unused */
	uint64_t id;      /* never reused, unlike the address */
	uint64_t *births; /* counter of thread states ever made */
	uint64_t seen;    /* its value at our last scan */
	uint64_t first;   /* ... when it was hooked, the agent's own thread states left out */
	uint64_t adopted; /* threads found since */
	uint8_t hooked;
	uint8_t own_gil;      /* 3.12+: runs beside us, so it is not recorded */
	uint8_t tool;         /* sys.monitoring id */
	uint8_t sees_births;  /* the frame evaluator finds new threads by itself */
	uint8_t no_evaluator; /* it came near the end of a C stack once */
	uint8_t pad[3];
};

extern struct vz_interp vz_interps[VZ_MAX_INTERPS];
/* The agent's own thread state while it holds the GIL. */
extern uint8_t *vz_agent_ts;
/* The agent's pthread_self(): its thread state can be seen before it has the GIL. */
extern uint64_t vz_agent_self;
/* Thread states that the agent made for itself so far. */
extern uint64_t vz_agent_births;

struct vz_hook_ops {
	/** Install in all interpreters and threads, recording open frames.  0 or an enum
	 * vz_agent_error; then nothing is installed. */
	uint32_t (*install)(void);
	/** Interpreters or threads may have been born, or lost the hook: install there too. */
	void (*scan)(void);
	/** 1 if a thread is there whose hook the program took out.  Needs no GIL. */
	int (*bare)(void);
	/** Take everything out that is ours.  Returns how many hooks had to stay. */
	unsigned (*remove)(void);
};

extern const struct vz_hook_ops vz_hook_profile;
extern const struct vz_hook_ops vz_hook_monitoring;

/** Bring vz_interps up to date; new ones are not hooked yet. */
void vz_interps_refresh(void);
/** 1 if an interpreter, or a thread where that matters, was born since the last scan.  Needs no
 * GIL. */
int vz_interps_changed(void);
/** 1 if IN is being taken apart: its modules may be gone, and its hooks go with it. */
int vz_interp_ends(const struct vz_interp *in);
/** 1 if that is so of one that has hooks. */
int vz_interps_ending(void);
/** Say in vz_control why; returns ERROR. */
uint32_t vz_fail(uint32_t error, const char *text);
/**
 * 1 if TS can be used.  CPython 3.11 links a thread state before it fills it in,
 * and threads that come from C do both without the GIL.
 */
int vz_ts_ready(const uint8_t *ts);
/** 1 if TS is the agent's own. */
int vz_ts_is_agent(const uint8_t *ts);
/** Kernel thread id of the thread of TS, 0 if it cannot be told. */
uint32_t vz_ts_tid(const uint8_t *ts);

#endif /* VZ_PAYLOAD_HOOK_H */
