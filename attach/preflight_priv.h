/* SPDX-License-Identifier: MIT */
/*
 * preflight_priv.h - what the parts of preflight share: the scene that all checks of a
 * process look at, and the shape of a row.
 */
#ifndef VZ_ATTACH_PREFLIGHT_PRIV_H
#define VZ_ATTACH_PREFLIGHT_PRIV_H

#include "attach/preflight.h"

enum { VZ_SMALL_BYTES = 1 << 16 };

struct vz_layout {
	uint64_t main_interp;
	uint64_t first_thread; /* of the main interpreter, 0: none */
	uint64_t eval_frame;
};

/* Does a capability that we hold count for the target? */
enum vz_kinship {
	VZ_KIN_UNKNOWN,
	VZ_KIN_SAME,     /* one user namespace */
	VZ_KIN_BELOW,    /* its namespace is below ours: ours count there */
	VZ_KIN_ELSEWHERE /* they do not */
};

struct vz_scene {
	struct vz_target *target;
	const struct vz_wish *wish;
	struct vz_status status;
	struct vz_tasks tasks;
	/* of all threads */
	pid_t tracer, strict_tid;
	bool filtered; /* by seccomp */
	/* access, see preflight_access.c */
	int access;     /* of its memory: 0 or negative errno */
	bool explained; /* a check has told why it was refused */
	enum vz_kinship kin;
	bool has_cap;   /* CAP_SYS_PTRACE, here */
	bool cap_there; /* ... and in the target's user namespace */
	bool same_user, same_group;
	/* the interpreter */
	const struct vz_maps *maps;
	const struct vz_objects *objects;
	const struct vz_python *python;
	struct vz_layout layout;
};

struct vz_check {
	const char *name;
	void (*run)(struct vz_scene *s, struct vz_finding *f);
	bool needed; /* if it refuses, the checks behind it make no sense */
};

/** Run NCHECKS rows; the first refusal's error in ERR and its errno as result. */
int vz_checks_run(const struct vz_check *checks, size_t nchecks, struct vz_scene *s,
		  struct vz_findings *findings, struct vz_err *err);
/** Start to refuse: "cannot attach to PID (COMM)". */
void vz_refusal(const struct vz_scene *s, enum vz_exit exit, struct vz_err *err);

/** Find out what the checks of access need to know. */
void vz_access_look(struct vz_scene *s);
void vz_check_user(struct vz_scene *s, struct vz_finding *f);
void vz_check_capabilities(struct vz_scene *s, struct vz_finding *f);
void vz_check_dumpable(struct vz_scene *s, struct vz_finding *f);
void vz_check_yama(struct vz_scene *s, struct vz_finding *f);
void vz_check_label(struct vz_scene *s, struct vz_finding *f);
void vz_check_memory_access(struct vz_scene *s, struct vz_finding *f);

void vz_check_memory(struct vz_scene *s, struct vz_finding *f);
void vz_check_threads(struct vz_scene *s, struct vz_finding *f);

#endif /* VZ_ATTACH_PREFLIGHT_PRIV_H */
