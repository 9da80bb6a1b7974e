/* SPDX-License-Identifier: MIT */
/*
 * procstate_wait.c - from a system call and its arguments: what a thread waits for.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "attach/arch_calls.h"
#include "attach/snapshot/proc/procstate.h"
#include "attach/snapshot/proc/procstate_priv.h"
#include "attach/snapshot/proc/procstate_wait.h"
#include "attach/util.h"

enum {
	WCHAN_MAX_BYTES = 256,
	MAX_MEMBERS = 1024, /* descriptors that one call waits for */
	SAY_MEMBERS = 4,
	MAX_SELECT_BITS = 1 << 16,
	MAX_ASKED = 256, /* children */
	LOCKS_MAX_BYTES = 1 << 20,
};

static const char *keep(const struct vz_waiting *w, const char *text)
{
	return vz_arena_text(w->s->arena, text);
}

/* ---- one descriptor ---- */

static void take_fd(struct vz_waiting *w, int fd)
{
	struct vz_fd info;

	vz_fd_describe(w->s, w->task->tid, fd, false, &info);
	w->wait->fd = fd;
	w->wait->kind = info.kind;
	w->wait->object = keep(w, info.text.text);
	w->wait->peer = keep(w, info.peer);
	w->wait->socket_state = info.socket_state;
	w->wait->dns = info.dns;
	w->wait->peer_pid = info.peer_pid;
	w->wait->remote_fs = info.remote_fs;
	w->wait->accepted = info.accepted;
	if (info.connecting && w->wait->direction != VZ_DIR_IN)
		w->wait->direction = VZ_DIR_CONNECT;
	if (info.listening && w->wait->direction == VZ_DIR_IN)
		w->wait->direction = VZ_DIR_ACCEPT;
}

static void on_file(struct vz_waiting *w)
{
	take_fd(w, (int)w->task->args[w->call->fd]);
}

/* An address that is not there yet in the tables of the kernel is in the call's argument. */
static void on_connect(struct vz_waiting *w)
{
	uint64_t len = w->task->args[w->call->at + 1];
	char text[256] = "";
	uint8_t bytes[sizeof(struct sockaddr_storage)];
	struct vz_out out = { .used = 0 };
	bool dns = false;

	on_file(w);
	if (len < sizeof(sa_family_t) || len > sizeof(bytes) ||
	    vz_target_read(w->target, w->task->args[w->call->at], bytes, len) < 0)
		return;
	vz_sockaddr_text(bytes, len, text, sizeof(text), &dns);
	if (!text[0])
		return;
	w->wait->kind = VZ_WAIT_SOCKET;
	w->wait->dns = dns;
	if (w->wait->peer[0])
		return;
	vz_out_add(&out, "%s -> %s", w->wait->object, text);
	w->wait->object = keep(w, out.text);
	w->wait->peer = keep(w, text);
}

/* ---- several descriptors ---- */

struct members {
	size_t count, total; /* .total: with those that are not in .items */
	struct {
		int fd;
		bool in, out;
	} items[MAX_MEMBERS];
};

static void add_member(struct members *m, int fd, bool in, bool out)
{
	m->total++;
	if (m->count == MAX_MEMBERS)
		return;
	m->items[m->count].fd = fd;
	m->items[m->count].in = in;
	m->items[m->count++].out = out;
}

static void take_members(struct vz_waiting *w, const struct members *m, bool single)
{
	struct vz_out out = { .used = 0 };

	if (m->total == 1 && single) {
		if (m->items[0].out && !m->items[0].in)
			w->wait->direction = VZ_DIR_OUT;
		else
			w->wait->direction = m->items[0].in ? VZ_DIR_IN : VZ_DIR_NONE;
		/* A descriptor that becomes writable when its connection is there. */
		take_fd(w, m->items[0].fd);
		return;
	}
	w->wait->kind = VZ_WAIT_POLL;
	w->wait->descriptors = m->total < UINT_MAX ? (unsigned)m->total : UINT_MAX;
	vz_out_add(&out, "%zu descriptor%s", m->total, m->total == 1 ? "" : "s");
	for (size_t i = 0; i < m->count && i < SAY_MEMBERS; i++) {
		struct vz_fd info;

		vz_fd_describe(w->s, w->task->tid, m->items[i].fd, true, &info);
		vz_out_add(&out, "%s%s", i ? "; " : ": ", info.text.text);
	}
	if (m->total > SAY_MEMBERS)
		vz_out_add(&out, "; ...");
	w->wait->object = keep(w, out.text);
}

static void on_poll(struct vz_waiting *w)
{
	uint64_t count = w->task->args[w->call->at + 1], at = w->task->args[w->call->at];
	_cleanup_free_ struct members *m = calloc(1, sizeof(*m));
	_cleanup_free_ struct pollfd *fds = calloc(MAX_MEMBERS, sizeof(*fds));
	size_t n = count < MAX_MEMBERS ? (size_t)count : MAX_MEMBERS;

	w->wait->kind = count ? VZ_WAIT_POLL : VZ_WAIT_SLEEP;
	if (!m || !fds || !count || vz_target_read(w->target, at, fds, n * sizeof(*fds)) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		if (fds[i].fd >= 0)
			add_member(m, fds[i].fd, fds[i].events & (POLLIN | POLLPRI),
				   fds[i].events & POLLOUT);
	}
	if (m->total)
		m->total += count < INT_MAX ? (size_t)count - n : 0;
	else
		w->wait->kind = VZ_WAIT_SLEEP; /* all of them switched off */
	if (m->total)
		take_members(w, m, true);
}

static bool read_set(const struct vz_waiting *w, unsigned arg, size_t bits, uint64_t *set)
{
	uint64_t at = w->task->args[arg];

	/* Whole words, as the kernel reads them. */
	return !at || vz_target_read(w->target, at, set, (bits + 63) / 64 * 8) == 0;
}

static void on_select(struct vz_waiting *w)
{
	enum { WORDS = MAX_SELECT_BITS / 64 };
	int given = (int)w->task->args[0];
	size_t bits = given < 0 ? 0 : given > MAX_SELECT_BITS ? MAX_SELECT_BITS : (size_t)given;
	_cleanup_free_ uint64_t *sets = calloc((size_t)3 * WORDS, sizeof(*sets));
	_cleanup_free_ struct members *m = calloc(1, sizeof(*m));

	w->wait->kind = VZ_WAIT_POLL;
	if (!sets || !m)
		return;
	for (unsigned i = 0; i < 3; i++) {
		if (!read_set(w, 1 + i, bits, sets + (size_t)i * WORDS))
			return;
	}
	for (size_t fd = 0; fd < bits; fd++) {
		uint64_t mask = UINT64_C(1) << fd % 64;
		bool in = sets[fd / 64] & mask, out = sets[WORDS + fd / 64] & mask;

		if (in || out || (sets[2 * WORDS + fd / 64] & mask))
			add_member(m, (int)fd, in, out);
	}
	if (m->total)
		take_members(w, m, true);
	else
		w->wait->kind = VZ_WAIT_SLEEP;
}

static void on_epoll(struct vz_waiting *w)
{
	_cleanup_free_ struct members *m = calloc(1, sizeof(*m));
	int fd = (int)w->task->args[w->call->fd], fds[SAY_MEMBERS];
	size_t n;

	w->wait->kind = VZ_WAIT_POLL;
	w->wait->fd = fd;
	if (!m || !vz_proc_pid(w->s))
		return;
	n = vz_fd_epoll(vz_proc_pid(w->s), w->task->tid, fd, fds, SAY_MEMBERS);
	for (size_t i = 0; i < n && i < SAY_MEMBERS; i++)
		add_member(m, fds[i], true, false);
	m->total = n;
	take_members(w, m, false);
}

/* ---- locks ---- */

static void on_futex(struct vz_waiting *w)
{
	unsigned op = (unsigned)w->task->args[w->call->at + 1] & FUTEX_CMD_MASK;

	switch (op) {
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
	case FUTEX_WAIT_REQUEUE_PI:
		w->wait->kind = VZ_WAIT_FUTEX;
		w->wait->futex = w->task->args[w->call->at];
		break;
	default: /* it wakes others */
		w->wait->kind = VZ_WAIT_OTHER;
	}
}

static void on_futex2(struct vz_waiting *w)
{
	w->wait->kind = VZ_WAIT_FUTEX;
	w->wait->futex = w->task->args[w->call->at];
}

static void on_futexes(struct vz_waiting *w)
{
	uint64_t first[2]; /* value, address */

	w->wait->kind = VZ_WAIT_FUTEX;
	if (vz_target_read(w->target, w->task->args[w->call->at], first, sizeof(first)) == 0)
		w->wait->futex = first[1];
}

/*
 * "1: POSIX ADVISORY WRITE 4242 08:01:77 0 EOF", and who waits for it below with the same number:
 * "1: -> POSIX ADVISORY WRITE 4711 08:01:77 0 EOF".
 */
pid_t vz_lock_holder(const char *locks, pid_t pid)
{
	long holder_id = -1;
	int holder = 0;

	while (*locks) {
		const char *end = strchrnul(locks, '\n');
		char line[256], arrow[3] = "";
		long id;
		int who;

		snprintf(line, sizeof(line), "%.*s", (int)((end - locks) % (long)sizeof(line)),
			 locks);
		if (sscanf(line, "%ld: -> %*s %*s %*s %d", &id, &who) == 2 && id == holder_id &&
		    who == pid && holder > 0)
			return holder;
		if (sscanf(line, "%ld: %2s", &id, arrow) == 2 && strcmp(arrow, "->") != 0 &&
		    sscanf(line, "%ld: %*s %*s %*s %d", &id, &who) == 2) {
			holder_id = id;
			holder = who;
		}
		locks = *end ? end + 1 : end;
	}
	return 0;
}

static void on_lock(struct vz_waiting *w)
{
	_cleanup_free_ char *text = NULL;
	struct vz_out out = { .used = 0 };
	char comm[32];
	size_t len;

	on_file(w);
	w->wait->kind = VZ_WAIT_FLOCK;
	w->wait->peer_pid = 0;
	if (!vz_proc_pid(w->s))
		return;
	if (vz_slurp("/proc/locks", LOCKS_MAX_BYTES, &text, &len) == 0)
		w->wait->peer_pid = vz_lock_holder(text, vz_proc_pid(w->s));
	vz_out_add(&out, "lock of %s", w->wait->object);
	if (w->wait->peer_pid) {
		vz_proc_comm(w->wait->peer_pid, comm);
		vz_out_add(&out, "; held by %d (%s)", (int)w->wait->peer_pid, comm);
	}
	w->wait->object = keep(w, out.text);
}

static void on_fcntl(struct vz_waiting *w)
{
	int command = (int)w->task->args[w->call->fd + 1];

	if (command == F_SETLKW || command == F_OFD_SETLKW)
		on_lock(w);
	else
		on_file(w);
}

static void say_number(struct vz_waiting *w, const char *what)
{
	struct vz_out out = { .used = 0 };

	w->wait->kind = VZ_WAIT_OTHER;
	vz_out_add(&out, "%s %d", what, (int)w->task->args[0]);
	w->wait->object = keep(w, out.text);
}

static void on_semaphore(struct vz_waiting *w)
{
	say_number(w, "System V semaphores");
}

static void on_messages(struct vz_waiting *w)
{
	say_number(w, "System V message queue");
}

/* ---- files by name ---- */

static bool absolute(const struct vz_waiting *w, int dir, char *path, size_t size)
{
	char base[4096], link[64];
	struct vz_out out = { .used = 0 };
	ssize_t n;

	if (path[0] == '/' || !vz_proc_pid(w->s))
		return path[0] == '/';
	if (dir == AT_FDCWD) {
		snprintf(link, sizeof(link), "/proc/%d/cwd", (int)vz_proc_pid(w->s));
		n = readlink(link, base, sizeof(base) - 1);
		base[n > 0 ? n : 0] = '\0';
	} else if (!vz_fd_link(vz_proc_pid(w->s), w->task->tid, dir, base, sizeof(base))) {
		return false;
	}
	if (base[0] != '/')
		return false;
	vz_out_add(&out, "%s/%s", base, path);
	snprintf(path, size, "%s", out.text);
	return true;
}

/* Asked of the file only where nobody but the kernel answers. */
static bool is_fifo(const struct vz_waiting *w, const char *path)
{
	char name[4096 + 64];
	struct stat st;

	snprintf(name, sizeof(name), "/proc/%d/root%s", (int)vz_proc_pid(w->s), path);
	return lstat(name, &st) == 0 && S_ISFIFO(st.st_mode);
}

static void take_path(struct vz_waiting *w, int dir, bool opens, unsigned flags)
{
	const struct vz_mount *mount = NULL;
	struct vz_out out = { .used = 0 };
	char path[4096], plain[4096];

	w->wait->kind = VZ_WAIT_FILE;
	if (vz_target_read_string(w->target, w->task->args[w->call->at], path, sizeof(path)) < 0 ||
	    !path[0])
		return;
	if (absolute(w, dir, path, sizeof(path)))
		mount = vz_mount_by_path(w->s, path);
	snprintf(plain, sizeof(plain), "%s", path);
	vz_plain(plain);
	vz_out_add(&out, "%s", plain);
	w->wait->remote_fs = vz_mount_is_remote(mount);
	if (w->wait->remote_fs) {
		vz_out_add(&out, " (%s on %s)", mount->type, mount->point);
	} else if (opens && mount && is_fifo(w, path)) {
		bool writes = (flags & O_ACCMODE) == O_WRONLY;

		w->wait->kind = VZ_WAIT_PIPE;
		w->wait->direction = writes ? VZ_DIR_OUT : VZ_DIR_IN;
		vz_out_add(&out, " (FIFO), which nobody has opened to %s",
			   writes ? "read" : "write");
	}
	w->wait->object = keep(w, out.text);
}

static void on_open(struct vz_waiting *w)
{
	take_path(w, AT_FDCWD, true, (unsigned)w->task->args[w->call->at + 1]);
}

static void on_openat(struct vz_waiting *w)
{
	take_path(w, (int)w->task->args[0], true, (unsigned)w->task->args[w->call->at + 1]);
}

static void on_path(struct vz_waiting *w)
{
	take_path(w, AT_FDCWD, false, 0);
}

static void on_pathat(struct vz_waiting *w)
{
	take_path(w, (int)w->task->args[0], false, 0);
}

/* ---- children ---- */

/* A child by the number that the target has for it; ANY: the only one there is. */
static pid_t find_child(const struct vz_waiting *w, pid_t ns_pid, bool any, size_t *count)
{
	const pid_t *children = vz_children(w->s, count);
	size_t n = *count;
	pid_t ret = 0;

	if (any)
		return n == 1 ? children[0] : 0;
	for (size_t i = 0; i < n && i < MAX_ASKED && !ret; i++) {
		struct vz_status status;

		if (vz_status_read(children[i], 0, &status) == 0 && status.ns_pid == ns_pid)
			ret = children[i];
	}
	return ret;
}

static void take_child(struct vz_waiting *w, pid_t ns_pid, bool any)
{
	struct vz_out out = { .used = 0 };
	struct vz_status status;
	size_t count;
	pid_t pid = find_child(w, ns_pid, any, &count);

	w->wait->kind = VZ_WAIT_CHILD;
	w->wait->peer_pid = pid;
	if (pid && vz_status_read(pid, 0, &status) == 0) {
		vz_plain(status.comm);
		vz_out_add(&out, "child %d (%s), state %c", (int)pid, status.comm, status.state);
	} else if (!any) {
		vz_out_add(&out, "child %d", (int)ns_pid);
	} else if (vz_proc_pid(w->s)) {
		vz_out_add(&out, "any of %zu children", count);
	}
	w->wait->object = keep(w, out.text);
}

static void on_wait4(struct vz_waiting *w)
{
	pid_t pid = (pid_t)w->task->args[0];

	take_child(w, pid, pid <= 0);
}

static void on_waitid(struct vz_waiting *w)
{
	idtype_t type = (idtype_t)w->task->args[0];

	if (type == P_PIDFD) {
		take_fd(w, (int)w->task->args[1]);
		w->wait->kind = VZ_WAIT_CHILD;
	} else {
		take_child(w, (pid_t)w->task->args[1], type != P_PID);
	}
}

static void on_sleep(struct vz_waiting *w)
{
	w->wait->kind = VZ_WAIT_SLEEP;
}

static void on_signal(struct vz_waiting *w)
{
	w->wait->kind = VZ_WAIT_SIGNAL;
}

static void on_other(struct vz_waiting *w)
{
	w->wait->kind = VZ_WAIT_OTHER;
}

/* ---- a call that was taken up again ---- */

static void on_restart(struct vz_waiting *w)
{
	static const struct {
		const char *place;
		enum vz_wait_kind kind;
	} places[] = {
		{ "nanosleep", VZ_WAIT_SLEEP }, { "nsleep", VZ_WAIT_SLEEP },
		{ "futex", VZ_WAIT_FUTEX },     { "poll", VZ_WAIT_POLL },
		{ "select", VZ_WAIT_POLL },
	};

	w->wait->kind = VZ_WAIT_OTHER;
	w->wait->object = "a call that was interrupted and taken up again";
	w->wait->timeout_ns = -2;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (strstr(w->wait->kernel, places[i].place)) {
			w->wait->kind = places[i].kind;
			return;
		}
	}
}

/* ---- which ---- */

static void (*const handlers[])(struct vz_waiting *w) = {
	[VZ_CALL_PLAIN] = on_other,       [VZ_CALL_FILE] = on_file,
	[VZ_CALL_CONNECT] = on_connect,   [VZ_CALL_POLL] = on_poll,
	[VZ_CALL_SELECT] = on_select,     [VZ_CALL_EPOLL] = on_epoll,
	[VZ_CALL_FUTEX] = on_futex,       [VZ_CALL_FUTEX2] = on_futex2,
	[VZ_CALL_FUTEXES] = on_futexes,   [VZ_CALL_SLEEP] = on_sleep,
	[VZ_CALL_WAIT4] = on_wait4,       [VZ_CALL_WAITID] = on_waitid,
	[VZ_CALL_SIGNAL] = on_signal,     [VZ_CALL_LOCK] = on_lock,
	[VZ_CALL_FCNTL] = on_fcntl,       [VZ_CALL_OPEN] = on_open,
	[VZ_CALL_OPENAT] = on_openat,     [VZ_CALL_PATH] = on_path,
	[VZ_CALL_PATHAT] = on_pathat,     [VZ_CALL_SEMAPHORE] = on_semaphore,
	[VZ_CALL_MESSAGES] = on_messages, [VZ_CALL_RESTART] = on_restart,
};

/* Where in the kernel it waits; "0": it does not, or we may not know. */
static const char *read_wchan(const struct vz_waiting *w)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (!vz_proc_pid(w->s) || w->task->state == 'R' ||
	    vz_slurp_proc(vz_proc_pid(w->s), w->task->tid, "wchan", WCHAN_MAX_BYTES, &text, &len) <
		    0)
		return "";
	vz_plain(text);
	return strcmp(text, "0") ? keep(w, text) : "";
}

void vz_procstate_wait(const struct vz_target *target, const struct vz_task *task,
		       struct vz_snapshot *s, struct vz_snap_thread *t)
{
	struct vz_task issued = *task;
	struct vz_waiting w = {
		.target = target, .task = &issued, .s = s, .t = t, .wait = &t->wait
	};
	uint8_t code[VZ_ARCH_CODE_BEFORE];

	t->wait = (struct vz_wait){ .nr = task->syscall,
				    .call = "",
				    .fd = -1,
				    .object = "",
				    .peer = "",
				    .socket_state = "",
				    .timeout_ns = -1,
				    .kernel = "" };
	t->wait.kernel = read_wchan(&w);
	w.call = vz_arch_call_find(task->syscall);
	/* What is in the code before it is the call that was interrupted; its arguments stay. */
	if (w.call && w.call->class == VZ_CALL_RESTART && task->pc > sizeof(code) &&
	    vz_target_read(target, task->pc - sizeof(code), code, sizeof(code)) == 0 &&
	    vz_arch_call_find(vz_arch_call_issued(code))) {
		issued.syscall = vz_arch_call_issued(code);
		w.call = vz_arch_call_find(issued.syscall);
	}
	if (!w.call) {
		if (task->syscall >= 0)
			t->wait.kind = VZ_WAIT_OTHER;
		return;
	}
	t->wait.nr = issued.syscall;
	t->wait.call = w.call->name;
	t->wait.direction = w.call->direction;
	t->wait.timeout_ns = vz_waiting_limit(&w);
	handlers[w.call->class](&w);
}
