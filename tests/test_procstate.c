/* SPDX-License-Identifier: MIT */
/*
 * What is said of threads that wait: a child for each kind of wait, and texts of /proc that
 * are given.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pty.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/personality.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "attach/arch_calls.h"
#include "attach/snapshot/proc/procstate.h"
#include "attach/snapshot/proc/procstate_priv.h"
#include "attach/util.h"
#include "tests/kit_wait.h"

enum { ARENA_BYTES = 64 << 20 };

/* ---- waits ---- */

static void *address_of(void *p)
{
	return p;
}

static int tcp_socket(struct sockaddr_in *a, bool listening, int backlog)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(*a);

	*a = (struct sockaddr_in){ .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (fd < 0 || bind(fd, address_of(a), len) < 0 || (listening && listen(fd, backlog) < 0) ||
	    getsockname(fd, address_of(a), &len) < 0)
		_exit(99);
	return fd;
}

static void do_read(struct kit_page *p)
{
	char c;

	(void)!read(p->pipe[0], &c, 1);
}

static void do_write(struct kit_page *p)
{
	static char block[1 << 20];
	int fds[2];

	(void)p;
	(void)!pipe(fds);
	(void)!write(fds[1], block, sizeof(block));
}

static void do_recv(struct kit_page *p)
{
	struct sockaddr_in a;
	int server = tcp_socket(&a, true, 5), fd = socket(AF_INET, SOCK_STREAM, 0);
	char c;

	(void)p;
	(void)!connect(fd, address_of(&a), sizeof(a));
	(void)!recv(fd, &c, 1, 0);
	close(server);
}

/* The server's side of an IPv4 connection is a socket of IPv6. */
static void do_recv_both(struct kit_page *p)
{
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int server = socket(AF_INET6, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0),
	    off = 0;
	socklen_t len = sizeof(a6);
	char c;

	p->address[1] = server < 0;
	(void)!setsockopt(server, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	(void)!bind(server, address_of(&a6), len);
	listen(server, 5);
	getsockname(server, address_of(&a6), &len);
	a.sin_port = a6.sin6_port;
	(void)!connect(client, address_of(&a), sizeof(a));
	(void)!recv(accept(server, NULL, NULL), &c, 1, 0);
}

static void do_netlink(struct kit_page *p)
{
	char c;

	(void)p;
	(void)!recv(socket(AF_NETLINK, SOCK_RAW, 0), &c, 1, 0);
}

static void do_accept(struct kit_page *p)
{
	struct sockaddr_in a;

	(void)p;
	accept(tcp_socket(&a, true, 5), NULL, NULL);
}

/* The third does not fit into the queue of a server that accepts nobody. */
static void do_connect(struct kit_page *p)
{
	struct sockaddr_in a;

	(void)p;
	tcp_socket(&a, true, 0);
	for (int i = 0; i < 8; i++)
		(void)!connect(socket(AF_INET, SOCK_STREAM, 0), address_of(&a), sizeof(a));
}

static void do_connect_unix(struct kit_page *p)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int server = socket(AF_UNIX, SOCK_STREAM, 0), n;

	(void)p;
	n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "vz-test-%d", (int)getpid());
	(void)!bind(server, address_of(&a),
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n));
	listen(server, 0);
	for (int i = 0; i < 8; i++)
		(void)!connect(socket(AF_UNIX, SOCK_STREAM, 0), address_of(&a),
			       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n));
}

static void do_unix_pair(struct kit_page *p)
{
	int fds[2];
	char c;

	(void)p;
	(void)!socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
	(void)!read(fds[0], &c, 1);
}

static void do_dns(struct kit_page *p)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(53),
				 .sin_addr.s_addr = htonl(0x7f000035) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct pollfd poll_fd = { fd, POLLIN, 0 };

	(void)p;
	(void)!connect(fd, address_of(&a), sizeof(a));
	poll(&poll_fd, 1, 5000);
}

static void do_epoll(struct kit_page *p)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct sockaddr_in a;
	int fd = epoll_create1(0);

	epoll_ctl(fd, EPOLL_CTL_ADD, p->pipe[0], &event);
	epoll_ctl(fd, EPOLL_CTL_ADD, tcp_socket(&a, true, 5), &event);
	epoll_wait(fd, &event, 1, -1);
}

static void do_poll_two(struct kit_page *p)
{
	struct pollfd fds[3] = { { p->pipe[0], POLLIN, 0 },
				 { -1, POLLIN, 0 },
				 { eventfd(0, 0), POLLIN, 0 } };

	poll(fds, 3, 60000);
}

static void do_poll_nothing(struct kit_page *p)
{
	(void)p;
	poll(NULL, 0, 60000);
}

static void do_select(struct kit_page *p)
{
	struct timeval tv = { 60, 500000 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(p->pipe[0], &set);
	select(p->pipe[0] + 1, &set, NULL, NULL, &tv);
}

static void do_select_nothing(struct kit_page *p)
{
	struct timeval tv = { 60, 0 };

	(void)p;
	select(0, NULL, NULL, NULL, &tv);
}

static void do_sleep(struct kit_page *p)
{
	(void)p;
	nanosleep(&(struct timespec){ 3600, 0 }, NULL);
}

static void do_sleep_until(struct kit_page *p)
{
	struct timespec ts;

	(void)p;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += 3600;
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static void do_futex(struct kit_page *p)
{
	p->address[0] = (uintptr_t)&p->futex;
	syscall(SYS_futex, &p->futex, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static void do_futex_until(struct kit_page *p)
{
	struct timespec ts;

	p->address[0] = (uintptr_t)&p->futex;
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += 3600;
	syscall(SYS_futex, &p->futex, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME | FUTEX_PRIVATE_FLAG,
		0, &ts, NULL, FUTEX_BITSET_MATCH_ANY);
}

static pid_t grandchild(struct kit_page *p)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	p->address[0] = (uint64_t)pid;
	return pid;
}

static void do_wait(struct kit_page *p)
{
	waitpid(grandchild(p), NULL, 0);
}

static void do_wait_any(struct kit_page *p)
{
	siginfo_t info;

	grandchild(p);
	waitid(P_ALL, 0, &info, WEXITED);
}

static void do_flock(struct kit_page *p)
{
	char path[64];
	int fds[2];

	snprintf(path, sizeof(path), "/tmp/vz-procstate-%d", (int)getpid());
	for (int i = 0; i < 2; i++)
		fds[i] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	unlink(path);
	p->address[0] = (uint64_t)getpid();
	flock(fds[0], LOCK_EX);
	flock(fds[1], LOCK_EX);
}

static void do_fcntl(struct kit_page *p)
{
	struct flock lock = { .l_type = F_WRLCK };
	char path[64];
	int fd, begun[2];
	pid_t pid;

	snprintf(path, sizeof(path), "/tmp/vz-procstate-%d", (int)getpid());
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	unlink(path);
	(void)!pipe(begun);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fcntl(fd, F_SETLKW, &lock);
		(void)!write(begun[1], "x", 1);
		for (;;)
			pause();
	}
	p->address[0] = (uint64_t)pid;
	(void)!read(begun[0], path, 1);
	p->address[1] = 1;
	fcntl(fd, F_SETLKW, &lock);
}

static void do_fifo(struct kit_page *p)
{
	char path[64];

	(void)p;
	snprintf(path, sizeof(path), "/tmp/vz-procstate-%d", (int)getpid());
	(void)!mkfifo(path, 0600);
	(void)!chdir("/tmp");
	(void)!open(path + strlen("/tmp/"), O_RDONLY | O_CLOEXEC);
}

static void do_tty(struct kit_page *p)
{
	int a, b;
	char c;

	(void)p;
	(void)!openpty(&a, &b, NULL, NULL, NULL);
	(void)!read(b, &c, 1);
}

static void do_pause(struct kit_page *p)
{
	(void)p;
	pause();
}

static void do_sigwait(struct kit_page *p)
{
	struct timespec ts = { 60, 0 };
	sigset_t set;

	(void)p;
	sigfillset(&set);
	sigtimedwait(&set, NULL, &ts);
}

static void do_semaphore(struct kit_page *p)
{
	struct sembuf op = { 0, -1, 0 };
	int id = semget(IPC_PRIVATE, 1, 0600);

	p->address[0] = (uint64_t)id;
	semop(id, &op, 1);
}

static void do_eventfd(struct kit_page *p)
{
	uint64_t n;

	(void)p;
	(void)!read(eventfd(0, 0), &n, sizeof(n));
}

static void do_pidfd(struct kit_page *p)
{
	struct pollfd fd = { (int)syscall(SYS_pidfd_open, grandchild(p), 0), POLLIN, 0 };

	poll(&fd, 1, -1);
}

enum peer { NO_PEER, SELF, TEST, NUMBER }; /* NUMBER: what the child says in address[0] */

static const struct {
	const char *label;
	void (*wait)(struct kit_page *p);
	const char *call; /* what its name begins with */
	enum vz_wait_kind kind;
	enum vz_direction direction;
	const char *object[3]; /* parts of it */
	const char *state;
	enum peer peer;
	double least, most; /* time limit, s; 0, 0: none */
} waits[] = {
	/* clang-format off */
	{ "read", do_read, "read", VZ_WAIT_PIPE, VZ_DIR_IN, { "pipe ", ", read end; writers: ", "(itself)" }, "", TEST, 0, 0 },
	{ "write", do_write, "write", VZ_WAIT_PIPE, VZ_DIR_OUT, { "pipe ", ", write end; readers: ", "(itself)" }, "", SELF, 0, 0 },
	{ "recv", do_recv, "recvfrom", VZ_WAIT_SOCKET, VZ_DIR_IN, { "tcp 127.0.0.1:", " -> 127.0.0.1:", ", established" }, "ESTABLISHED", NO_PEER, 0, 0 },
	{ "recv, both families", do_recv_both, "recvfrom", VZ_WAIT_SOCKET, VZ_DIR_IN, { "tcp 127.0.0.1:", " -> 127.0.0.1:", "established; other end: " }, "ESTABLISHED", SELF, 0, 0 },
	{ "recv, netlink", do_netlink, "recvfrom", VZ_WAIT_SOCKET, VZ_DIR_IN, { "socket (NETLINK)" }, "", NO_PEER, 0, 0 },
	{ "accept", do_accept, "accept", VZ_WAIT_SOCKET, VZ_DIR_ACCEPT, { "tcp 127.0.0.1:", ", listening" }, "LISTEN", NO_PEER, 0, 0 },
	{ "connect", do_connect, "connect", VZ_WAIT_SOCKET, VZ_DIR_CONNECT, { "tcp 127.0.0.1:", " -> 127.0.0.1:", "syn sent" }, "SYN_SENT", NO_PEER, 0, 0 },
	{ "connect, unix", do_connect_unix, "connect", VZ_WAIT_SOCKET, VZ_DIR_CONNECT, { "unix socket -> @vz-test-" }, "", NO_PEER, 0, 0 },
	{ "unix pair", do_unix_pair, "read", VZ_WAIT_SOCKET, VZ_DIR_IN, { "unix socket, connected" }, "ESTABLISHED", SELF, 0, 0 },
	{ "name server", do_dns, "poll", VZ_WAIT_SOCKET, VZ_DIR_IN, { "udp 127.0.0.1:", " -> 127.0.0.53:53" }, "ESTABLISHED", NO_PEER, 5, 5 },
	{ "epoll", do_epoll, "epoll_", VZ_WAIT_POLL, VZ_DIR_IN, { "2 descriptors: ", "pipe ", "listening" }, "", NO_PEER, 0, 0 },
	{ "poll of two", do_poll_two, "poll", VZ_WAIT_POLL, VZ_DIR_NONE, { "2 descriptors: pipe ", "; eventfd" }, "", NO_PEER, 60, 60 },
	{ "poll of nothing", do_poll_nothing, "poll", VZ_WAIT_SLEEP, VZ_DIR_NONE, { "" }, "", NO_PEER, 60, 60 },
	{ "select", do_select, "", VZ_WAIT_PIPE, VZ_DIR_IN, { "pipe " }, "", TEST, 60.5, 60.5 },
	{ "select of nothing", do_select_nothing, "", VZ_WAIT_SLEEP, VZ_DIR_NONE, { "" }, "", NO_PEER, 60, 60 },
	{ "nanosleep", do_sleep, "", VZ_WAIT_SLEEP, VZ_DIR_NONE, { "" }, "", NO_PEER, 3600, 3600 },
	{ "sleep until", do_sleep_until, "clock_nanosleep", VZ_WAIT_SLEEP, VZ_DIR_NONE, { "" }, "", NO_PEER, 3000, 3600.001 },
	{ "futex", do_futex, "futex", VZ_WAIT_FUTEX, VZ_DIR_NONE, { "" }, "", NO_PEER, 0, 0 },
	{ "futex until", do_futex_until, "futex", VZ_WAIT_FUTEX, VZ_DIR_NONE, { "" }, "", NO_PEER, 3000, 3600.001 },
	{ "wait for a child", do_wait, "wait4", VZ_WAIT_CHILD, VZ_DIR_NONE, { "child ", "), state S" }, "", NUMBER, 0, 0 },
	{ "wait for any child", do_wait_any, "waitid", VZ_WAIT_CHILD, VZ_DIR_NONE, { "child ", "), state S" }, "", NUMBER, 0, 0 },
	{ "wait for a pidfd", do_pidfd, "poll", VZ_WAIT_CHILD, VZ_DIR_IN, { "end of process " }, "", NUMBER, 0, 0 },
	{ "open a FIFO", do_fifo, "open", VZ_WAIT_PIPE, VZ_DIR_IN, { "/tmp/vz-procstate-", " (FIFO), which nobody has opened to write" }, "", NO_PEER, 0, 0 },
	{ "terminal", do_tty, "read", VZ_WAIT_TTY, VZ_DIR_IN, { "/dev/pts/" }, "", NO_PEER, 0, 0 },
	{ "pause", do_pause, "", VZ_WAIT_SIGNAL, VZ_DIR_NONE, { "" }, "", NO_PEER, 0, 0 },
	{ "sigtimedwait", do_sigwait, "rt_sigtimedwait", VZ_WAIT_SIGNAL, VZ_DIR_NONE, { "" }, "", NO_PEER, 60, 60 },
	{ "semaphore", do_semaphore, "sem", VZ_WAIT_OTHER, VZ_DIR_NONE, { "System V semaphores " }, "", NO_PEER, 0, 0 },
	{ "eventfd", do_eventfd, "read", VZ_WAIT_OTHER, VZ_DIR_IN, { "eventfd" }, "", NO_PEER, 0, 0 },
	{ "flock", do_flock, "flock", VZ_WAIT_FLOCK, VZ_DIR_NONE, { "lock of /tmp/vz-procstate-" }, "", NO_PEER, 0, 0 },
	{ "fcntl", do_fcntl, "fcntl", VZ_WAIT_FLOCK, VZ_DIR_NONE, { "lock of /tmp/vz-procstate-" }, "", NO_PEER, 0, 0 },
	/* clang-format on */
};

static void (*waiting)(struct kit_page *p);

static void wait_body(struct kit_page *page)
{
	page->ready = 1;
	waiting(page);
	page->wrong = 1;
}

/* Until it is asleep in the call that NAME is the beginning of, and stays there. */
static bool until_asleep(pid_t pid, const char *name, const struct kit_page *page, bool fcntl_ready,
			 struct vz_task *task)
{
	for (int i = 0; i < 20000 && kit_child_state(pid) && kit_child_state(pid) != 'Z'; i++) {
		const struct vz_call *call;

		usleep(500);
		if (vz_task_read(pid, pid, task) < 0)
			return false;
		call = vz_arch_call_find(task->syscall);
		if (task->state == 'S' && call && vz_starts_with(call->name, name) &&
		    (!fcntl_ready || page->address[1]))
			return true;
	}
	return false;
}

/* Asleep in one and the same wait: the last of several calls of one kind. */
static void until_still(pid_t pid, struct vz_task *task)
{
	struct vz_look before = { 0 }, now = { 0 };

	do {
		vz_procstate_look(pid, pid, &before);
		usleep(30000);
		vz_procstate_look(pid, pid, &now);
	} while (now.state != 'Z' && (now.state != 'S' || now.switches != before.switches));
	vz_task_read(pid, pid, task);
}

struct seen {
	struct vz_target target;
	struct vz_task task;
	struct vz_snapshot s;
	struct vz_snap_thread thread;
};

static void see(struct seen *seen, pid_t pid)
{
	struct vz_err err;

	cr_assert_eq(vz_target_open(pid, &seen->target, &err), 0);
	seen->s.arena = vz_arena_new(ARENA_BYTES);
	seen->s.pid = pid;
	seen->thread.asleep_ns = vz_procstate_asleep(pid, pid);
	vz_procstate_wait(&seen->target, &seen->task, &seen->s, &seen->thread);
}

static void unsee(struct seen *seen)
{
	vz_arena_free(seen->s.arena);
	vz_target_close(&seen->target);
}

static void check_wait(size_t i, const struct kit_child *c, const struct seen *seen)
{
	const struct vz_wait *w = &seen->thread.wait;
	pid_t peer = waits[i].peer == SELF   ? c->pid
		     : waits[i].peer == TEST ? getpid()
					     : (pid_t)c->page->address[0];

	cr_expect_eq(w->kind, waits[i].kind, "%s: kind %d, %s", waits[i].label, w->kind, w->object);
	cr_expect_eq(w->direction, waits[i].direction, "%s: direction %d", waits[i].label,
		     w->direction);
	for (size_t k = 0; k < 3 && waits[i].object[k]; k++)
		cr_expect_not_null(strstr(w->object, waits[i].object[k]), "%s: object '%s'",
				   waits[i].label, w->object);
	cr_expect_str_eq(w->socket_state, waits[i].state, "%s", waits[i].label);
	if (waits[i].peer != NO_PEER)
		cr_expect_eq(w->peer_pid, peer, "%s: peer %d, not %d; %s", waits[i].label,
			     w->peer_pid, peer, w->object);
	if (waits[i].most > 0)
		cr_expect(w->timeout_ns >= waits[i].least * 1e9 &&
				  w->timeout_ns <= waits[i].most * 1e9,
			  "%s: time limit %lld", waits[i].label, (long long)w->timeout_ns);
	else
		cr_expect_eq(w->timeout_ns, -1, "%s: time limit %lld", waits[i].label,
			     (long long)w->timeout_ns);
	if (w->kind == VZ_WAIT_FUTEX)
		cr_expect_eq(w->futex, c->page->address[0], "%s", waits[i].label);
	if (!strcmp(waits[i].label, "name server"))
		cr_expect(w->dns);
	cr_expect_not(w->remote_fs);
}

static void clean_up(size_t i, const struct kit_child *c)
{
	char path[64];

	snprintf(path, sizeof(path), "/tmp/vz-procstate-%d", (int)c->pid);
	unlink(path);
	if (!strcmp(waits[i].label, "semaphore"))
		semctl((int)c->page->address[0], 0, IPC_RMID);
}

Test(procstate, says_what_threads_wait_for, .timeout = 100)
{
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		struct seen seen = { 0 };
		struct kit_child c;

		waiting = waits[i].wait;
		c = kit_child_start(wait_body);
		if (until_asleep(c.pid, waits[i].call, c.page, !strcmp(waits[i].label, "fcntl"),
				 &seen.task)) {
			until_still(c.pid, &seen.task);
			see(&seen, c.pid);
			check_wait(i, &c, &seen);
			unsee(&seen);
		} else if (c.page->address[1]) {
			cr_log_warn("skipped: %s: not on this kernel", waits[i].label);
		} else {
			cr_expect_fail("%s: does not wait: state %c, call %ld", waits[i].label,
				       seen.task.state, seen.task.syscall);
		}
		clean_up(i, &c);
		kit_child_kill(&c);
	}
}

Test(procstate, knows_the_holder_of_a_file_lock)
{
	_cleanup_free_ char *locks = NULL;
	struct seen seen = { 0 };
	struct kit_child c;
	size_t len;

	waiting = do_fcntl;
	c = kit_child_start(wait_body);
	cr_assert(until_asleep(c.pid, "fcntl", c.page, true, &seen.task));
	cr_assert_eq(vz_slurp("/proc/locks", 1 << 20, &locks, &len), 0);
	see(&seen, c.pid);
	if (strstr(locks, "->"))
		cr_expect_eq(seen.thread.wait.peer_pid, (pid_t)c.page->address[0]);
	else
		cr_log_warn("skipped: this kernel does not list locks");
	unsee(&seen);
	kit_child_kill(&c);
}

Test(procstate, says_nothing_of_threads_that_run)
{
	struct vz_snapshot s = { .arena = vz_arena_new(ARENA_BYTES), .pid = getpid() };
	struct vz_target target = { .pid = getpid(), .mem_fd = -1, .pidfd = -1 };
	static const long numbers[] = { -1, -2, 100000, LONG_MAX };
	struct vz_snap_thread t = { 0 };

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct vz_task task = { .tid = getpid(), .state = 'R', .syscall = numbers[i] };

		vz_procstate_wait(&target, &task, &s, &t);
		cr_expect_eq(t.wait.kind, numbers[i] < 0 ? VZ_WAIT_NONE : VZ_WAIT_OTHER);
		cr_expect_eq(t.wait.nr, numbers[i]);
		cr_expect_str_eq(t.wait.call, "");
		cr_expect_str_eq(t.wait.object, "");
	}
	vz_arena_free(s.arena);
}

/* Every call, with arguments that are nonsense: of a process, and of a core dump. */
Test(procstate, survives_any_arguments, .timeout = 60)
{
	static const uint64_t values[] = {
		0, 1, UINT64_MAX, 1 << 20, UINT64_C(1) << 63, 0x7fffffff
	};
	struct vz_target target = { .pid = getpid(), .mem_fd = -1, .pidfd = -1 };

	for (int core = 0; core < 2; core++) {
		struct vz_snapshot s = { .arena = vz_arena_new(ARENA_BYTES),
					 .pid = getpid(),
					 .from_core = core };

		for (long nr = 0; nr < 500; nr++) {
			for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
				struct vz_task task = { .tid = getpid(),
							.state = 'S',
							.syscall = nr };
				struct vz_snap_thread t = { 0 };

				for (int k = 0; k < 6; k++)
					task.args[k] = values[i];
				vz_procstate_wait(&target, &task, &s, &t);
				cr_assert_not_null(t.wait.object);
				cr_assert_geq(t.wait.timeout_ns, -2);
				cr_assert(!core || !t.wait.peer_pid);
			}
		}
		vz_arena_free(s.arena);
	}
}

Test(procstate, knows_calls_by_number)
{
	static const struct {
		long nr;
		const char *name;
	} cases[] = {
		{ SYS_read, "read" },
		{ SYS_futex, "futex" },
		{ SYS_epoll_pwait2, "epoll_pwait2" },
		{ SYS_wait4, "wait4" },
		{ SYS_restart_syscall, "restart_syscall" },
		{ SYS_openat, "openat" },
		{ SYS_futex_waitv, "futex_waitv" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct vz_call *call = vz_arch_call_find(cases[i].nr);

		cr_assert_not_null(call, "%s", cases[i].name);
		cr_assert_str_eq(call->name, cases[i].name);
	}
	for (long nr = -3; nr < 1000; nr++) {
		const struct vz_call *call = vz_arch_call_find(nr);

		if (!call)
			continue;
		cr_assert(call->fd < 6 && call->at < 6 && call->timeout < 6);
		cr_assert_eq(call->timeout >= 0, call->time != VZ_CALL_TIME_NONE, "%s", call->name);
	}
}

/* ---- a call that was interrupted ---- */

static void do_interrupted(struct kit_page *p)
{
	do_sleep(p);
}

Test(procstate, tells_what_was_taken_up_again)
{
	struct seen seen = { 0 };
	struct kit_child c;

	waiting = do_interrupted;
	c = kit_child_start(wait_body);
	cr_assert(until_asleep(c.pid, "", c.page, false, &seen.task));
	kill(c.pid, SIGSTOP);
	kit_child_until(c.pid, 'T');
	kill(c.pid, SIGCONT);
	if (!until_asleep(c.pid, "restart_syscall", c.page, false, &seen.task))
		cr_skip_test("not restarted that way");
	see(&seen, c.pid);
	cr_expect_eq(seen.thread.wait.kind, VZ_WAIT_SLEEP);
	unsee(&seen);
	kit_child_kill(&c);
}

/* ---- looks ---- */

static void work_body(struct kit_page *page)
{
	page->ready = 1;
	while (!page->stop)
		page->rounds++;
}

Test(procstate, sees_work_and_rest)
{
	struct kit_child busy = kit_child_start(work_body), idle;
	struct vz_look looks[2] = { { .pc = 77 } };
	uint64_t asleep, least;

	waiting = do_pause;
	idle = kit_child_start(wait_body);
	kit_child_until(idle.pid, 'S');
	least = vz_now_ns();
	cr_assert_eq(vz_procstate_look(busy.pid, busy.pid, &looks[0]), 0);
	kit_child_works(&busy, 100 * 1000 * 1000);
	cr_assert_eq(vz_procstate_look(busy.pid, busy.pid, &looks[1]), 0);
	cr_assert_gt(looks[0].at_ns, 0);
	cr_assert_gt(looks[1].at_ns, looks[0].at_ns);
	cr_expect_gt(looks[1].cpu_ns, looks[0].cpu_ns);
	cr_expect_eq(looks[1].state, 'R');
	cr_expect_eq(looks[0].pc, 77);
	cr_expect_eq(vz_procstate_asleep(busy.pid, busy.pid), 0);
	least = vz_now_ns() - least;
	asleep = vz_procstate_asleep(idle.pid, idle.pid);
	if (asleep == 0)
		cr_log_warn("skipped: the scheduler keeps no record here");
	else /* a part of it may have been taken by interrupts */
		cr_expect(asleep > least / 2 && asleep < least + UINT64_C(60000000000), "%llu %llu",
			  (unsigned long long)asleep, (unsigned long long)least);
	cr_assert_eq(vz_procstate_look(idle.pid, idle.pid, &looks[0]), 0);
	usleep(10000);
	cr_assert_eq(vz_procstate_look(idle.pid, idle.pid, &looks[1]), 0);
	cr_expect_eq(looks[0].cpu_ns, looks[1].cpu_ns);
	cr_expect_eq(looks[0].switches, looks[1].switches);
	kit_child_kill(&busy);
	kit_child_kill(&idle);
	cr_assert_eq(vz_procstate_look(idle.pid, idle.pid, &looks[0]), -ESRCH);
	cr_assert_eq(vz_procstate_asleep(idle.pid, idle.pid), 0);
}

/* ---- the process ---- */

static void zombie_body(struct kit_page *page)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	kit_child_until(pid, 'Z');
	page->ready = 1;
	pause();
}

static void process_of(pid_t pid, struct vz_snapshot *s)
{
	struct vz_target target;
	struct vz_err err;

	memset(s, 0, sizeof(*s));
	s->arena = vz_arena_new(ARENA_BYTES);
	s->pid = pid;
	cr_assert_eq(vz_target_open(pid, &target, &err), 0);
	vz_procstate_process(&target, false, s);
	vz_procstate_process(&target, true, s);
	vz_target_close(&target);
	vz_arena_free(s->arena);
}

Test(procstate, sees_forks_and_zombies_and_stops)
{
	struct kit_child c = kit_child_start(zombie_body);
	struct vz_snapshot s;

	process_of(c.pid, &s);
	cr_expect_eq(s.process.parent, getpid());
	if (personality(0xffffffff) & ADDR_NO_RANDOMIZE) /* sanitizers may switch it off */
		cr_log_warn("skipped: places are not random here");
	else
		cr_expect(s.process.forked);
	cr_expect_eq(s.process.children_zombie, 1);
	cr_expect_not(s.process.stopped);
	cr_expect_gt(s.process.rss_bytes, 0);
	cr_expect(s.process.memory_pressure >= -1 && s.process.memory_pressure <= 100);
	kill(c.pid, SIGSTOP);
	kit_child_until(c.pid, 'T');
	process_of(c.pid, &s);
	cr_expect(s.process.stopped);
	cr_expect_eq(s.process.state, 'T');
	kit_child_kill(&c);
}

static void exec_body(struct kit_page *page)
{
	page->ready = 1;
	execlp("sleep", "sleep", "60", (char *)NULL);
	_exit(1);
}

Test(procstate, knows_an_exec_from_a_fork)
{
	struct kit_child c = kit_child_start(exec_body);
	struct vz_snapshot s;
	char comm[32] = "";

	while (strcmp(comm, "sleep") != 0 && kill(c.pid, 0) == 0)
		vz_proc_comm(c.pid, comm);
	process_of(c.pid, &s);
	cr_expect_not(s.process.forked);
	cr_expect_eq(s.process.children_zombie, 0);
	kit_child_kill(&c);
}

/* ---- texts ---- */

static struct vz_socks socks_of(struct vz_arena *arena, const char *text, enum vz_sock_kind kind)
{
	struct vz_socks socks;

	vz_socks_parse(arena, text, kind, &socks);
	return socks;
}

Test(procstate, parses_sockets)
{
	struct vz_arena *arena = vz_arena_new(ARENA_BYTES);
	char text[128];
	struct vz_socks socks = socks_of(arena,
					 "  sl  local_address rem_address   st tx_queue rx_queue "
					 "tr tm->when retrnsmt   uid  timeout inode\n"
					 "   0: 0100007F:9CBC 0100007F:1538 01 00000010:00000020 "
					 "00:00000000 00000000  1000        0 12345 1 0\n"
					 "   1: 00000000:0050 00000000:0000 0A 00000000:00000000 "
					 "00:00000000 00000000     0        0 7 1\n",
					 VZ_SOCK_TCP);

	cr_assert_eq(socks.count, 2);
	vz_sock_endpoint(&socks.items[0], false, text, sizeof(text));
	cr_expect_str_eq(text, "127.0.0.1:40124");
	vz_sock_endpoint(&socks.items[0], true, text, sizeof(text));
	cr_expect_str_eq(text, "127.0.0.1:5432");
	cr_expect_eq(socks.items[0].inode, 12345);
	cr_expect_eq(socks.items[0].unsent, 16);
	cr_expect_eq(socks.items[0].unread, 32);
	cr_expect_str_eq(vz_sock_state(&socks.items[0]), "ESTABLISHED");
	cr_expect_str_eq(vz_sock_state(&socks.items[1]), "LISTEN");
	socks = socks_of(arena,
			 "   0: 00000000000000000000000001000000:0050 "
			 "B80D0120000000000000000001000000:0035 02 "
			 "00000000:00000000 00:00000000 00000000     0        0 9 1\n"
			 "   0: 0000000000000000FFFF00000100007F:0050 "
			 "00000000000000000000000000000000:0000 0A "
			 "00000000:00000000 00:00000000 00000000     0        0 10 1\n",
			 VZ_SOCK_TCP6);
	cr_assert_eq(socks.count, 2);
	vz_sock_endpoint(&socks.items[0], false, text, sizeof(text));
	cr_expect_str_eq(text, "[::1]:80");
	vz_sock_endpoint(&socks.items[0], true, text, sizeof(text));
	cr_expect_str_eq(text, "[2001:db8::1]:53");
	vz_sock_endpoint(&socks.items[1], false, text, sizeof(text));
	cr_expect_str_eq(text, "127.0.0.1:80");
	socks = socks_of(
		arena,
		"Num       RefCount Protocol Flags    Type St Inode Path\n"
		"0000000000000000: 00000002 00000000 00010000 0001 01 12345 /run/a b.sock\n"
		"0000000000000000: 00000003 00000000 00000000 0001 03 12346\n"
		"0000000000000000: 00000002 00000000 00010000 0001 01 12347 @name\n",
		VZ_SOCK_UNIX);
	cr_assert_eq(socks.count, 3);
	cr_expect_str_eq(socks.items[0].path, "/run/a b.sock");
	cr_expect(socks.items[0].listening);
	cr_expect_str_eq(socks.items[1].path, "");
	cr_expect_str_eq(vz_sock_state(&socks.items[1]), "ESTABLISHED");
	cr_expect_str_eq(socks.items[2].path, "@name");
	vz_arena_free(arena);
}

Test(procstate, survives_garbage)
{
	static const char *const texts[] = {
		"",
		"\n",
		":",
		"0:",
		"0: 0100007F",
		"0: 0100007F:",
		"0: 0100007F:0050 0100",
		"0: zz:zz zz:zz",
		"0: 0100007F:0050 0100007F:0050 01",
		"a b c d e f - g",
		" - ",
		"36 35 98:0 /",
		"36 - ",
		"1: -> ",
		"1: POSIX",
		"1: -> POSIX ADVISORY WRITE 7 00:00:0 0 EOF",
		"->",
		"9999999999999999999999: x",
		"0: 0100007F:0050 0100007F:0050 01 00000010:00000020 00:00000000 00000000 1 0 x",
	};
	struct vz_arena *arena = vz_arena_new(ARENA_BYTES);
	char text[256];
	bool dns;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct vz_mount mounts[4];
		struct vz_socks socks;

		for (int kind = 0; kind < VZ_NSOCKS; kind++) {
			vz_socks_parse(arena, texts[i], (enum vz_sock_kind)kind, &socks);
			cr_expect_eq(socks.count, 0, "%s", texts[i]);
		}
		snprintf(text, sizeof(text), "%s", texts[i]);
		cr_expect_eq(vz_mounts_parse(text, mounts, 4), i == 9 ? 1 : 0, "%s", texts[i]);
		cr_expect_eq(vz_lock_holder(texts[i], 7), 0);
	}
	for (size_t len = 0; len < 130; len++) {
		char bytes[130];

		memset(bytes, AF_UNIX, sizeof(bytes));
		bytes[1] = 0;
		vz_sockaddr_text(bytes, len, text, sizeof(text), &dns);
		bytes[0] = AF_INET6;
		vz_sockaddr_text(bytes, len, text, sizeof(text), &dns);
		bytes[0] = AF_INET;
		vz_sockaddr_text(bytes, len, text, sizeof(text), &dns);
	}
	vz_arena_free(arena);
}

Test(procstate, parses_locks)
{
	static const char locks[] = "1: FLOCK  ADVISORY  WRITE 100 08:01:77 0 EOF\n"
				    "2: POSIX  ADVISORY  WRITE 200 08:01:78 0 EOF\n"
				    "2: -> POSIX  ADVISORY  WRITE 300 08:01:78 0 EOF\n"
				    "3: OFDLCK ADVISORY  WRITE -1 08:01:79 0 EOF\n"
				    "3: -> OFDLCK ADVISORY  WRITE -1 08:01:79 0 EOF\n";

	cr_expect_eq(vz_lock_holder(locks, 300), 200);
	cr_expect_eq(vz_lock_holder(locks, 200), 0);
	cr_expect_eq(vz_lock_holder(locks, -1), 0);
}

Test(procstate, finds_mounts)
{
	static const char text[] = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
				   "21 20 0:5 / /srv/a\\040b rw shared:1 - nfs4 server:/x rw\n"
				   "22 20 0:6 / /srv rw - fuse.sshfs x rw\n"
				   "23 20 0:6 / /srv2 rw - xfs x rw\n";
	struct vz_snapshot s = { .arena = vz_arena_new(ARENA_BYTES), .pid = getpid() };
	struct vz_proc *proc = vz_proc_of(&s);
	struct vz_mount mounts[8];
	char copy[sizeof(text)];

	memcpy(copy, text, sizeof(text));
	proc->mounts = mounts;
	proc->nmounts = vz_mounts_parse(copy, mounts, 8);
	proc->mounts_read = true;
	cr_assert_eq(proc->nmounts, 4);
	cr_expect_str_eq(vz_mount_by_path(&s, "/srv/a b/file")->type, "nfs4");
	cr_expect_str_eq(vz_mount_by_path(&s, "/srv/a bc/file")->type, "fuse.sshfs");
	cr_expect_str_eq(vz_mount_by_path(&s, "/srv2/file")->type, "xfs");
	cr_expect_str_eq(vz_mount_by_path(&s, "/srv3")->type, "ext4");
	cr_expect_null(vz_mount_by_path(&s, "relative"));
	cr_expect_str_eq(vz_mount_by_id(&s, 21)->type, "nfs4");
	cr_expect_null(vz_mount_by_id(&s, 99));
	cr_expect(vz_mount_is_remote(vz_mount_by_id(&s, 21)));
	cr_expect(vz_mount_is_remote(vz_mount_by_id(&s, 22)));
	cr_expect_not(vz_mount_is_remote(vz_mount_by_id(&s, 23)));
	cr_expect_not(vz_mount_is_remote(NULL));
	vz_arena_free(s.arena);
}
