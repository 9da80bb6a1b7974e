/* SPDX-License-Identifier: MIT */
/*
 * procstate_fd.c - what a descriptor of the target is.  Links and fdinfo are read, which never
 * hangs; the file itself is asked only where its file system is the kernel's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "attach/snapshot/proc/procstate_priv.h"
#include "attach/util.h"

enum {
	FDINFO_MAX_BYTES = 1 << 20,
	TTY_MAJOR = 4,
	TTYAUX_MAJOR = 5,
	PTS_FIRST_MAJOR = 136,
	PTS_LAST_MAJOR = 143,
};

char *vz_fd_info(pid_t pid, pid_t tid, int fd)
{
	char name[32], *text;
	size_t len;

	snprintf(name, sizeof(name), "fdinfo/%d", fd);
	return vz_slurp_proc(pid, tid, name, FDINFO_MAX_BYTES, &text, &len) == 0 ? text : NULL;
}

static void fd_path(pid_t pid, pid_t tid, int fd, char ret[96])
{
	snprintf(ret, 96, "/proc/%d/task/%d/fd/%d", (int)pid, (int)tid, fd);
}

bool vz_fd_link(pid_t pid, pid_t tid, int fd, char *ret, size_t size)
{
	char path[96];
	ssize_t n;

	fd_path(pid, tid, fd, path);
	n = readlink(path, ret, size - 1);
	ret[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* How it was opened: the mode of the link says so. */
static unsigned access_of(pid_t pid, pid_t tid, int fd)
{
	char path[96];
	struct stat st;

	fd_path(pid, tid, fd, path);
	if (lstat(path, &st) < 0)
		return 0;
	return (st.st_mode & S_IRUSR ? VZ_END_READS : 0) |
	       (st.st_mode & S_IWUSR ? VZ_END_WRITES : 0);
}

static uint64_t inode_in(const char *link)
{
	const char *p = strchr(link, '[');

	return p ? strtoull(p + 1, NULL, 10) : 0;
}

/* ---- pipes ---- */

static void say_pipe(struct vz_snapshot *s, unsigned access, const char *link, bool brief,
		     struct vz_fd *ret)
{
	ret->kind = VZ_WAIT_PIPE;
	if (access == (VZ_END_READS | VZ_END_WRITES)) {
		vz_out_add(&ret->text, ", both ends");
		return;
	}
	vz_out_add(&ret->text, access == VZ_END_READS ? ", read end" : ", write end");
	if (brief || !access)
		return;
	vz_out_add(&ret->text, access == VZ_END_READS ? "; writers: " : "; readers: ");
	ret->peer_pid = vz_ends_say(s, link, (VZ_END_READS | VZ_END_WRITES) & ~access, &ret->text);
}

/* ---- sockets ---- */

static void lower(char *text)
{
	for (; *text; text++) {
		if (*text >= 'A' && *text <= 'Z')
			*text = (char)(*text | 32);
		else if (*text == '_')
			*text = ' ';
	}
}

static void say_other_end(struct vz_snapshot *s, uint64_t inode, struct vz_fd *ret)
{
	char link[64];

	snprintf(link, sizeof(link), "socket:[%llu]", (unsigned long long)inode);
	vz_out_add(&ret->text, "; other end: ");
	ret->peer_pid = vz_ends_say(s, link, VZ_END_READS | VZ_END_WRITES, &ret->text);
}

static void say_inet(struct vz_snapshot *s, const struct vz_sock *sock, bool brief,
		     struct vz_fd *ret)
{
	static const char *const names[] = { "tcp", "tcp", "udp", "udp" };
	const struct vz_sock *other = brief ? NULL : vz_sock_other(s, sock);
	char local[80], state[16];

	vz_sock_endpoint(sock, false, local, sizeof(local));
	vz_out_add(&ret->text, "%s %s", names[sock->kind], local);
	if (sock->rport) {
		vz_sock_endpoint(sock, true, ret->peer, sizeof(ret->peer));
		vz_out_add(&ret->text, " -> %s", ret->peer);
		ret->dns = sock->rport == 53 || sock->rport == 853;
	}
	snprintf(state, sizeof(state), "%s", ret->socket_state);
	lower(state);
	if (state[0])
		vz_out_add(&ret->text, ", %s", strcmp(state, "listen") ? state : "listening");
	ret->connecting = !strcmp(ret->socket_state, "SYN_SENT");
	if (sock->unsent && sock->kind <= VZ_SOCK_TCP6 && !sock->listening && !ret->connecting)
		vz_out_add(&ret->text, ", %u bytes on their way", sock->unsent);
	if (other && !sock->listening)
		say_other_end(s, other->inode, ret);
}

static void say_unix(struct vz_snapshot *s, const struct vz_sock *sock, bool brief,
		     struct vz_fd *ret)
{
	uint64_t peer = sock->listening ? 0 : vz_sock_unix_peer(vz_proc_pid(s), sock->inode);
	const struct vz_sock *other = peer ? vz_sock_find(s, VZ_SOCK_UNIX, peer) : NULL;

	/* The server's socket has the name; of a connection that is one of the two. */
	if (other && other->path[0])
		snprintf(ret->peer, sizeof(ret->peer), "%s", other->path);
	vz_out_add(&ret->text, "unix socket");
	if (sock->path[0] || ret->peer[0])
		vz_out_add(&ret->text, " %s", ret->peer[0] ? ret->peer : sock->path);
	if (sock->listening)
		vz_out_add(&ret->text, ", listening");
	else if (ret->socket_state[0])
		vz_out_add(&ret->text, ", connected");
	if (peer && !brief)
		say_other_end(s, peer, ret);
}

/* The kernel names the protocol; "": it does not tell. */
static void protocol_of(pid_t pid, pid_t tid, int fd, char *ret, size_t size)
{
	char path[96];
	ssize_t n;

	fd_path(pid, tid, fd, path);
	n = getxattr(path, "system.sockprotoname", ret, size - 1);
	ret[n > 0 ? n : 0] = '\0';
	vz_plain(ret);
}

static const struct vz_sock *find_sock(struct vz_snapshot *s, const char *protocol, uint64_t inode)
{
	static const struct {
		const char *begin;
		enum vz_sock_kind kind;
	} names[] = {
		{ "TCPv6", VZ_SOCK_TCP6 }, { "TCP", VZ_SOCK_TCP },   { "UDPv6", VZ_SOCK_UDP6 },
		{ "UDP", VZ_SOCK_UDP },    { "UNIX", VZ_SOCK_UNIX },
	};
	const struct vz_sock *sock = NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !sock; i++) {
		if (!protocol[0] || vz_starts_with(protocol, names[i].begin))
			sock = vz_sock_find(s, names[i].kind, inode);
	}
	return sock;
}

static void say_socket(struct vz_snapshot *s, pid_t tid, int fd, const char *link, bool brief,
		       struct vz_fd *ret)
{
	const struct vz_sock *sock;
	char protocol[32];

	ret->kind = VZ_WAIT_SOCKET;
	protocol_of(vz_proc_pid(s), tid, fd, protocol, sizeof(protocol));
	sock = find_sock(s, protocol, inode_in(link));
	if (!sock) {
		vz_out_add(&ret->text, "socket");
		if (protocol[0])
			vz_out_add(&ret->text, " (%s)", protocol);
		return;
	}
	ret->socket_state = vz_sock_state(sock);
	ret->listening = sock->listening;
	ret->accepted = vz_sock_is_accepted(s, sock);
	if (sock->kind == VZ_SOCK_UNIX)
		say_unix(s, sock, brief, ret);
	else
		say_inet(s, sock, brief, ret);
}

/* ---- files ---- */

static bool is_tty(const struct stat *st)
{
	unsigned major_number = major(st->st_rdev);

	return S_ISCHR(st->st_mode) &&
	       (major_number == TTY_MAJOR || major_number == TTYAUX_MAJOR ||
		(major_number >= PTS_FIRST_MAJOR && major_number <= PTS_LAST_MAJOR));
}

static void say_path(struct vz_snapshot *s, pid_t tid, int fd, const char *link, bool brief,
		     struct vz_fd *ret)
{
	_cleanup_free_ char *info = vz_fd_info(vz_proc_pid(s), tid, fd);
	const struct vz_mount *mount;
	char plain[4096], path[96];
	uint64_t id = 0;
	struct stat st;

	snprintf(plain, sizeof(plain), "%s", link);
	vz_plain(plain);
	vz_out_add(&ret->text, "%s", plain);
	ret->kind = VZ_WAIT_FILE;
	if (!info || !vz_proc_number(info, "mnt_id:", 10, &id))
		return;
	mount = vz_mount_by_id(s, (int)id);
	ret->remote_fs = vz_mount_is_remote(mount);
	if (ret->remote_fs) {
		vz_out_add(&ret->text, " (%s on %s)", mount->type, mount->point);
		return;
	}
	fd_path(vz_proc_pid(s), tid, fd, path);
	if (stat(path, &st) < 0)
		return;
	if (S_ISFIFO(st.st_mode))
		say_pipe(s, access_of(vz_proc_pid(s), tid, fd), link, brief, ret);
	else if (is_tty(&st))
		ret->kind = VZ_WAIT_TTY;
	else if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISBLK(st.st_mode))
		ret->kind = VZ_WAIT_OTHER;
}

/* ---- things without a name ---- */

static void say_pidfd(struct vz_snapshot *s, pid_t tid, int fd, struct vz_fd *ret)
{
	_cleanup_free_ char *info = vz_fd_info(vz_proc_pid(s), tid, fd);
	uint64_t pid = 0;
	char comm[32];

	ret->kind = VZ_WAIT_CHILD;
	/* -1: it has ended and was waited for */
	if (!info || !vz_proc_number(info, "Pid:", 10, &pid) || pid == 0 || pid > INT32_MAX) {
		vz_out_add(&ret->text, "end of a process");
		return;
	}
	ret->peer_pid = (pid_t)pid;
	vz_proc_comm(ret->peer_pid, comm);
	vz_out_add(&ret->text, "end of process %d (%s)", (int)pid, comm);
}

static void say_anonymous(struct vz_snapshot *s, pid_t tid, int fd, const char *link,
			  struct vz_fd *ret)
{
	const char *name = link + strlen("anon_inode:");
	char plain[64];

	if (strstr(link, "pidfd")) {
		say_pidfd(s, tid, fd, ret);
		return;
	}
	ret->kind = strstr(name, "eventpoll")  ? VZ_WAIT_POLL
		    : strstr(name, "signalfd") ? VZ_WAIT_SIGNAL
					       : VZ_WAIT_OTHER;
	snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(name + (*name == '['), "]"),
		 name + (*name == '['));
	vz_plain(plain);
	vz_out_add(&ret->text, "%s", plain);
}

void vz_fd_describe(struct vz_snapshot *s, pid_t tid, int fd, bool brief, struct vz_fd *ret)
{
	char link[4096];

	memset(ret, 0, sizeof(*ret));
	ret->socket_state = "";
	ret->kind = VZ_WAIT_OTHER;
	if (!vz_proc_pid(s) || fd < 0 || !vz_fd_link(vz_proc_pid(s), tid, fd, link, sizeof(link))) {
		vz_out_add(&ret->text, "descriptor %d", fd);
	} else if (vz_starts_with(link, "pipe:[")) {
		vz_out_add(&ret->text, "pipe %llu", (unsigned long long)inode_in(link));
		say_pipe(s, access_of(vz_proc_pid(s), tid, fd), link, brief, ret);
	} else if (vz_starts_with(link, "socket:[")) {
		say_socket(s, tid, fd, link, brief, ret);
	} else if (vz_starts_with(link, "anon_inode:") || vz_starts_with(link, "pidfd:")) {
		say_anonymous(s, tid, fd, link, ret);
	} else {
		say_path(s, tid, fd, link, brief, ret);
	}
}

size_t vz_fd_epoll(pid_t pid, pid_t tid, int fd, int *ret, size_t room)
{
	_cleanup_free_ char *info = vz_fd_info(pid, tid, fd);
	size_t count = 0;

	for (const char *p = info; p && *p; p = *p ? p + 1 : p) {
		if (vz_starts_with(p, "tfd:")) {
			if (count < room)
				ret[count] = (int)strtol(p + 4, NULL, 10);
			count++;
		}
		p = strchrnul(p, '\n');
	}
	return count;
}
