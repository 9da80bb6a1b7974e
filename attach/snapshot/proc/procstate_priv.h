/* SPDX-License-Identifier: MIT */
/*
 * procstate_priv.h - what the parts of procstate ask of each other: waits (procstate_wait.c),
 * descriptors (procstate_fd.c), sockets (procstate_socket.c), who has the other end
 * (procstate_ends.c), mounts (procstate_mount.c).
 *
 * A thread's task is where its descriptors are looked up: a target whose first thread has ended
 * still has them.
 */
#ifndef VZ_ATTACH_SNAPSHOT_PROCSTATE_PRIV_H
#define VZ_ATTACH_SNAPSHOT_PROCSTATE_PRIV_H

#include "attach/snapshot/snapshot.h"
#include "attach/target.h"

enum vz_sock_kind { VZ_SOCK_TCP, VZ_SOCK_TCP6, VZ_SOCK_UDP, VZ_SOCK_UDP6, VZ_SOCK_UNIX, VZ_NSOCKS };

struct vz_sock {
	enum vz_sock_kind kind;
	uint8_t state; /* of TCP, or of an unbound one of UNIX */
	bool listening;
	uint16_t lport, rport;
	uint8_t local[16], remote[16]; /* IPv4: the first four */
	uint32_t unsent, unread;
	uint64_t inode;
	const char *path; /* of a UNIX socket; "" */
};

struct vz_socks {
	struct vz_sock *items;
	size_t count;
	bool cut; /* there were more */
};

struct vz_mount {
	int id;
	const char *point, *type;
};

/* A descriptor of any process: the text of its link, hashed. */
struct vz_end {
	uint64_t hash;
	pid_t pid;
	int fd;
};

/* What is read once in a snapshot. */
struct vz_proc {
	bool socks_read[VZ_NSOCKS], mounts_read, ends_read;
	struct vz_socks socks[VZ_NSOCKS];
	struct vz_mount *mounts;
	size_t nmounts;
	struct vz_end *ends;
	size_t nends;
	pid_t *children;
	size_t nchildren;
	bool children_read;
	bool ends_whole;                                   /* every process could be looked at */
	uint64_t throttled_ns, throttled_periods, periods; /* at the first look */
	bool throttle_known;
};

/* Where to look in /proc; 0: nowhere, S is of a core dump. */
static inline pid_t vz_proc_pid(const struct vz_snapshot *s)
{
	return s->from_core ? 0 : s->pid;
}

/* Of S; NULL: out of memory. */
struct vz_proc *vz_proc_of(struct vz_snapshot *s);

/* ---- text ---- */

struct vz_out {
	char text[1024];
	size_t used;
};

void vz_out_add(struct vz_out *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The number behind LABEL at the start of a line of TEXT, in BASE; false: no such line. */
bool vz_proc_number(const char *text, const char *label, int base, uint64_t *ret);
/* /proc/PID/comm, fit for a terminal; "?" if it is gone. */
void vz_proc_comm(pid_t pid, char ret[32]);

/* ---- sockets ---- */

/* Parse the text of /proc/net/tcp and such. */
void vz_socks_parse(struct vz_arena *arena, const char *text, enum vz_sock_kind kind,
		    struct vz_socks *ret);
/* The socket with this inode in the target's network namespace; NULL: not there. */
const struct vz_sock *vz_sock_find(struct vz_snapshot *s, enum vz_sock_kind kind, uint64_t inode);
/* The other end of a connection within one network namespace; NULL: elsewhere. */
const struct vz_sock *vz_sock_other(struct vz_snapshot *s, const struct vz_sock *sock);
/* A connection that a client made: somebody here listens on its port. */
bool vz_sock_is_accepted(struct vz_snapshot *s, const struct vz_sock *sock);
/* "127.0.0.1:80", "[::1]:80" */
void vz_sock_endpoint(const struct vz_sock *sock, bool remote, char *ret, size_t size);
/* "ESTABLISHED"; "" */
const char *vz_sock_state(const struct vz_sock *sock);
/* The inode of the socket that the UNIX socket INODE is connected with; 0: unknown. */
uint64_t vz_sock_unix_peer(pid_t pid, uint64_t inode);
/* Text for a struct sockaddr of LEN bytes, and whether it has a name server's port. */
void vz_sockaddr_text(const void *address, size_t len, char *ret, size_t size, bool *dns);

/* ---- mounts ---- */

/* Parse the text of mountinfo, which is changed and must live on. */
size_t vz_mounts_parse(char *text, struct vz_mount *ret, size_t room);
/* Those of a process, 0: ours.  What comes back, and RET, are to be freed; NULL: not to be had. */
char *vz_mounts_read(pid_t pid, struct vz_mount **ret, size_t *count);
/* By number; for NULL-terminated PATH as the target sees it: the one that it is on.  NULL. */
const struct vz_mount *vz_mount_by_id(struct vz_snapshot *s, int id);
const struct vz_mount *vz_mount_by_path(struct vz_snapshot *s, const char *path);
/* The same among COUNT mounts. */
const struct vz_mount *vz_mount_of(const struct vz_mount *mounts, size_t count, const char *path);
/* Does a network, or another process, answer for this file system? */
bool vz_mount_is_remote(const struct vz_mount *mount);

/* ---- other ends ---- */

enum { VZ_END_READS = 1, VZ_END_WRITES = 2 };
/*
 * Processes that have a descriptor whose link is LINK and that is open for one of the ACCESSes:
 * "4242 (comm), 4243 (comm)" goes to OUT; the first that is not the target comes back, else the
 * target; 0: none was seen.
 */
pid_t vz_ends_say(struct vz_snapshot *s, const char *link, unsigned access, struct vz_out *out);

/* ---- descriptors ---- */

struct vz_fd {
	enum vz_wait_kind kind;
	struct vz_out text;
	char peer[256];
	const char *socket_state;
	bool dns, remote_fs, listening, connecting, accepted;
	pid_t peer_pid;
};

/* What descriptor FD of task TID is.  BRIEF: without looking for who has the other end. */
void vz_fd_describe(struct vz_snapshot *s, pid_t tid, int fd, bool brief, struct vz_fd *ret);
/* Numbers of the descriptors that an epoll descriptor watches; how many there are in all. */
size_t vz_fd_epoll(pid_t pid, pid_t tid, int fd, int *ret, size_t room);
/* Text of fdinfo; NULL; free() it. */
char *vz_fd_info(pid_t pid, pid_t tid, int fd);
/* Where the link of a descriptor leads; false: it is not there. */
bool vz_fd_link(pid_t pid, pid_t tid, int fd, char *ret, size_t size);

/* ---- processes ---- */

/* The target's children, as they were when first asked for. */
const pid_t *vz_children(struct vz_snapshot *s, size_t *count);
/* Who holds the lock that a thread of PID waits for, from the text of /proc/locks; 0. */
pid_t vz_lock_holder(const char *locks, pid_t pid);

#endif /* VZ_ATTACH_SNAPSHOT_PROCSTATE_PRIV_H */
