/* SPDX-License-Identifier: MIT */
/*
 * target.h - what /proc and process_vm_readv tell about a process.
 *
 * Owns: the identity of the target (pid, pidfd, start time), its maps and
 * tasks, and reading and writing its memory without stopping it.  Never
 * ptrace.  Everything read from the target or /proc is untrusted.
 */
#ifndef VZ_ATTACH_TARGET_H
#define VZ_ATTACH_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "attach/err.h"

struct vz_map {
	uint64_t start, end; /* [start, end) */
	uint64_t offset;     /* in the file, bytes */
	uint64_t inode;      /* 0: anonymous */
	uint32_t dev_major, dev_minor;
	bool readable, writable, executable, shared;
	bool deleted;     /* " (deleted)" was cut from the path */
	const char *path; /* as in the target's mount namespace; "" if anonymous; "[heap]" etc. */
};

struct vz_maps {
	struct vz_map *items; /* by address */
	size_t count;
	char *text; /* that the paths are part of: at most 128 MiB */
};

/** Read /proc/PID/maps.  Free with vz_maps_fini().  -ESRCH: the process is gone. */
int vz_maps_read(pid_t pid, struct vz_maps *ret, struct vz_err *err);
/** Parse the text of a maps file (for tests and fuzzing); bad lines are skipped. */
int vz_maps_parse(const char *text, size_t len, struct vz_maps *ret);
void vz_maps_fini(struct vz_maps *maps);
/** The mapping that holds RADDR, or NULL. */
const struct vz_map *vz_maps_find(const struct vz_maps *maps, uint64_t raddr);

struct vz_task {
	pid_t tid;
	char state; /* as in /proc/PID/stat: R S D T t Z X */
	char comm[32];
	long syscall;     /* -1: running, -2: not readable, else the number it is blocked in */
	uint64_t args[6]; /* of that call */
	uint64_t sp, pc;  /* only with a syscall */
	pid_t ns_tid;     /* innermost number of NSpid */
	pid_t tracer_pid;
	int seccomp; /* 0 off, 1 strict, 2 filter */
};

struct vz_tasks {
	struct vz_task *items; /* by tid */
	size_t count;
};

/** Read /proc/PID/task.  Threads that vanish while reading are left out.  Free with
 * vz_tasks_fini(). */
int vz_tasks_read(pid_t pid, struct vz_tasks *ret, struct vz_err *err);
/** Read one task again; -ESRCH if it is gone. */
int vz_task_read(pid_t pid, pid_t tid, struct vz_task *ret);
void vz_tasks_fini(struct vz_tasks *tasks);

/* Masks of /proc/PID/status, one bit for each signal (bit 0: signal 1). */
struct vz_signals {
	uint64_t blocked, ignored, caught, pending, shared_pending;
};

struct vz_status {
	char comm[32];
	char state;
	pid_t tgid; /* the process that this thread belongs to */
	pid_t ppid, tracer_pid;
	uid_t uid, euid, fsuid;
	gid_t gid;
	pid_t ns_pid; /* innermost number of NStgid */
	int ns_depth; /* how many numbers NStgid has */
	int seccomp;  /* 0 off, 1 strict, 2 filter */
	int seccomp_filters;
	int no_new_privs;
	bool shadow_stack; /* x86 CET in use: a forged return address would be fatal */
	unsigned threads;
	uint64_t rss_bytes, anon_bytes; /* in memory; of these, not of a file */
	uint64_t data_bytes;            /* private and writable, touched or not */
	uint64_t swap_bytes;
	uint64_t switches[2]; /* voluntary and not */
	struct vz_signals signals;
};

/** Read /proc/PID/status (TID 0) or that of one thread.  -ESRCH: gone. */
int vz_status_read(pid_t pid, pid_t tid, struct vz_status *ret);
/** Parse the text of a status file (for tests and fuzzing); NUL-terminated; -EINVAL without a
 * state. */
int vz_status_parse(const char *text, struct vz_status *ret);
/** Parse the text of a task's syscall file into RET->syscall, args, sp, pc. */
void vz_syscall_parse(const char *text, struct vz_task *ret);
/** Start time of the process in clock ticks since boot, from the text of its stat file; 0: not
 * found. */
uint64_t vz_stat_start_time(const char *text);

/* Bytes of a target that are not in a process: a core dump, copies of stacks. */
struct vz_bytes {
	/* Exactly LEN bytes at RADDR; 0 or -EFAULT. */
	int (*read)(const struct vz_bytes *memory, uint64_t raddr, void *buf, size_t len);
};

enum { VZ_TARGET_PATH_BYTES = 4096 };

struct vz_target {
	pid_t pid;                     /* 0: a core dump */
	const struct vz_bytes *memory; /* asked instead of the process; not owned; NULL: none */
	int pidfd;
	int mem_fd;                     /* /proc/PID/mem, O_RDWR; -1 until vz_target_open_mem() */
	uint64_t start_time;            /* clock ticks since boot: tells a reused pid apart */
	char comm[32];                  /* fit for a terminal */
	char exe[VZ_TARGET_PATH_BYTES]; /* target of /proc/PID/exe without " (deleted)"; "" if
					   unreadable */
	bool exe_deleted;
};

/**
 * Take hold of a process by pid.  Fails with exit 3 (no such process; a thread
 * id, then the hint names its process; a zombie).  Free with vz_target_close().
 */
int vz_target_open(pid_t pid, struct vz_target *ret, struct vz_err *err);
/**
 * Its working directory, below its own root; false: unreadable, deleted, not below that root, or
 * the process is gone.
 */
bool vz_target_cwd(const struct vz_target *target, char ret[VZ_TARGET_PATH_BYTES]);
/** Open its memory.  EPERM/EACCES are returned as such, undiagnosed. */
int vz_target_open_mem(struct vz_target *target);
void vz_target_close(struct vz_target *target);
/** False once the process has ended (zombies count as ended) or the pid was reused. */
bool vz_target_alive(const struct vz_target *target);

/** Read exactly LEN bytes at RADDR; 0 or -EFAULT/-ESRCH/-EPERM.  Short reads are failures. */
int vz_target_read(const struct vz_target *target, uint64_t raddr, void *buf, size_t len);
/** Write exactly LEN bytes; works on read-only private mappings too (FOLL_FORCE of /proc/PID/mem).
 */
int vz_target_write(const struct vz_target *target, uint64_t raddr, const void *buf, size_t len);
/** Read a NUL-terminated string, cut at SIZE - 1; 0 or negative errno. */
int vz_target_read_string(const struct vz_target *target, uint64_t raddr, char *buf, size_t size);

#endif /* VZ_ATTACH_TARGET_H */
