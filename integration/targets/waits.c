/* SPDX-License-Identifier: MIT */
/* waits.c - every kind of blocking call, raw, so that no library hides an EINTR. */
#include "waits.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LIMIT_MS = 60, FEED_US = 40 * 1000, MAX_WAITS = 64, JIFFY_US = 12 * 1000 };

static struct slot *slots;
static struct wait waits[MAX_WAITS];
static int nwaits;
static volatile bool ending;
static __thread struct wait *mine;

void vz_bad(struct wait *w, const char *format, ...)
{
	va_list args;

	if (w->slot->errors++)
		return;
	va_start(args, format);
	vsnprintf(w->slot->text, sizeof(w->slot->text), format, args);
	va_end(args);
}

uint64_t vz_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000;
}

static struct timespec relative(long us)
{
	return (struct timespec){ us / 1000000, us % 1000000 * 1000 };
}

static struct timespec absolute(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	ts.tv_nsec += LIMIT_MS * 1000000L;
	ts.tv_sec += ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	return ts;
}

void vz_rest(struct wait *w, long us)
{
	struct timespec ts = relative(us);

	if (syscall(SYS_nanosleep, &ts, NULL) < 0)
		vz_bad(w, "the pause: %s", strerror(errno));
}

/* The call must have returned VALUE, with ERROR if that is -1. */
static void expect(struct wait *w, long got, long value, int error)
{
	int seen = got == -1 ? errno : 0;

	if (got != value || (value == -1 && seen != error))
		vz_bad(w, "round %lu returned %ld, errno %d (%s); expected %ld, errno %d",
		       (unsigned long)w->slot->rounds, got, seen, strerror(seen), value, error);
}

/*
 * For calls that end with EINTR after any stop, SIGSTOP's too: if a killed tool
 * leaves that behind it is counted, and the call is made again.
 */
static bool interrupted(struct wait *w, long got)
{
	if (got != -1 || errno != EINTR)
		return false;
	w->slot->interrupted++;
	return true;
}

#define STOPPABLE(w, call)                   \
	({                                   \
		long got_;                   \
                                             \
		do                           \
			got_ = (call);       \
		while (interrupted(w, got_)); \
		got_;                        \
	})

/* ---- with a limit ------------------------------------------------------- */

static void wait_nanosleep(struct wait *w)
{
	struct timespec ts = relative(LIMIT_MS * 1000L);

	expect(w, syscall(SYS_nanosleep, &ts, NULL), 0, 0);
}

static void wait_clock_rel(struct wait *w)
{
	struct timespec ts = relative(LIMIT_MS * 1000L);

	expect(w, syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &ts, NULL), 0, 0);
}

static void wait_clock_abs(struct wait *w)
{
	struct timespec ts = absolute(CLOCK_MONOTONIC);

	expect(w, syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL), 0, 0);
}

static void make_pipe(struct wait *w)
{
	if (pipe2(w->fd, O_CLOEXEC) < 0)
		vz_bad(w, "pipe: %s", strerror(errno));
}

static void wait_poll(struct wait *w)
{
	struct pollfd p = { w->fd[0], POLLIN, 0 };

	expect(w, syscall(SYS_poll, &p, 1, LIMIT_MS), 0, 0);
}

static void wait_ppoll(struct wait *w)
{
	struct pollfd p = { w->fd[0], POLLIN, 0 };
	struct timespec ts = relative(LIMIT_MS * 1000L);

	expect(w, syscall(SYS_ppoll, &p, 1, &ts, NULL, 8), 0, 0);
}

static void wait_select(struct wait *w)
{
	struct timeval tv = { 0, LIMIT_MS * 1000L };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(w->fd[0], &set);
	expect(w, syscall(SYS_select, w->fd[0] + 1, &set, NULL, NULL, &tv), 0, 0);
}

/* With a mask of its own for the time of the wait. */
static void wait_pselect(struct wait *w)
{
	struct timespec ts = relative(LIMIT_MS * 1000L);
	uint64_t mask = 1u << (SIGUSR2 - 1);
	struct {
		const uint64_t *mask;
		size_t len;
	} argument = { &mask, sizeof(mask) };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(w->fd[0], &set);
	expect(w, syscall(SYS_pselect6, w->fd[0] + 1, &set, NULL, NULL, &ts, &argument), 0, 0);
}

static void wait_futex_rel(struct wait *w)
{
	struct timespec ts = relative(LIMIT_MS * 1000L);
	uint32_t word = 7;

	expect(w, syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 7, &ts, NULL, 0), -1, ETIMEDOUT);
}

static void wait_futex_abs(struct wait *w)
{
	struct timespec ts = absolute(CLOCK_MONOTONIC);
	uint32_t word = 7;

	expect(w, syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 7, &ts, NULL, UINT32_MAX),
	       -1, ETIMEDOUT);
}

static void make_sem(struct wait *w)
{
	w->memory = calloc(1, sizeof(sem_t));
	sem_init(w->memory, 0, 0);
}

static void wait_sem(struct wait *w)
{
	struct timespec ts = absolute(CLOCK_REALTIME);

	expect(w, sem_timedwait(w->memory, &ts), -1, ETIMEDOUT);
}

static void make_epoll(struct wait *w)
{
	struct epoll_event event = { .events = EPOLLIN };

	w->fd[0] = epoll_create1(EPOLL_CLOEXEC);
	w->fd[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	epoll_ctl(w->fd[0], EPOLL_CTL_ADD, w->fd[1], &event);
}

static void wait_epoll(struct wait *w)
{
	struct epoll_event event;

	expect(w, STOPPABLE(w, syscall(SYS_epoll_wait, w->fd[0], &event, 1, LIMIT_MS)), 0, 0);
}

static void wait_epoll2(struct wait *w)
{
	struct timespec ts = relative(LIMIT_MS * 1000L);
	struct epoll_event event;
	long got = STOPPABLE(w, syscall(441 /* epoll_pwait2 */, w->fd[0], &event, 1, &ts, NULL, 8));

	if (got == -1 && errno == ENOSYS) /* before Linux 5.11 */
		wait_epoll(w);
	else
		expect(w, got, 0, 0);
}

static void limit_socket(int fd)
{
	struct timeval tv = { 0, LIMIT_MS * 1000L };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

static void make_socketpair(struct wait *w)
{
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, w->fd);
}

static void make_socketpair_limited(struct wait *w)
{
	make_socketpair(w);
	limit_socket(w->fd[0]);
}

static void wait_recv_limited(struct wait *w)
{
	char byte;

	expect(w, STOPPABLE(w, recv(w->fd[0], &byte, 1, 0)), -1, EAGAIN);
}

static void make_listener(struct wait *w)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	w->fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(w->fd[0], (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(w->fd[0], 8) < 0)
		vz_bad(w, "listen: %s", strerror(errno));
}

static void make_listener_limited(struct wait *w)
{
	make_listener(w);
	limit_socket(w->fd[0]);
}

static void wait_accept_limited(struct wait *w)
{
	expect(w, STOPPABLE(w, accept4(w->fd[0], NULL, NULL, SOCK_CLOEXEC)), -1, EAGAIN);
}

static void block_usr2(struct wait *w)
{
	sigset_t set;

	(void)w;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void wait_sigtimedwait(struct wait *w)
{
	struct timespec ts = relative(LIMIT_MS * 1000L);
	uint64_t set = 1u << (SIGUSR2 - 1);

	expect(w, STOPPABLE(w, syscall(SYS_rt_sigtimedwait, &set, NULL, &ts, 8)), -1, EAGAIN);
}

static void make_semaphore(struct wait *w)
{
	w->fd[0] = semget(IPC_PRIVATE, 1, 0600);
	if (w->fd[0] < 0)
		vz_bad(w, "semget: %s", strerror(errno));
	else
		w->slot->ipc = (uint64_t)'s' << 32 | (uint32_t)w->fd[0];
}

static void wait_semtimedop(struct wait *w)
{
	struct timespec ts = relative(LIMIT_MS * 1000L);
	struct sembuf take = { 0, -1, 0 };

	expect(w, STOPPABLE(w, semtimedop(w->fd[0], &take, 1, &ts)), -1, EAGAIN);
}

static void make_aio(struct wait *w)
{
	w->number = 0;
	if (syscall(SYS_io_setup, 1, &w->number) < 0)
		w->number = 0; /* not everywhere */
}

static void wait_aio(struct wait *w)
{
	struct timespec ts = relative(LIMIT_MS * 1000L);
	struct io_event event;

	if (w->number)
		expect(w, STOPPABLE(w, syscall(SYS_io_getevents, w->number, 1, 1, &event, &ts)), 0, 0);
	else
		wait_nanosleep(w);
}

static void make_timerfd(struct wait *w)
{
	w->fd[0] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
}

static void wait_timerfd(struct wait *w)
{
	struct itimerspec when = { .it_value = relative(LIMIT_MS * 1000L) };
	uint64_t count = 0;

	timerfd_settime(w->fd[0], 0, &when, NULL);
	expect(w, read(w->fd[0], &count, sizeof(count)), sizeof(count), 0);
	expect(w, (long)count, 1, 0);
}

/* ---- until they are fed ------------------------------------------------- */

static void wait_read(struct wait *w)
{
	uint8_t byte = 0;

	expect(w, read(w->fd[0], &byte, 1), 1, 0);
	expect(w, byte, (uint8_t)w->done, 0);
}

static void feed_byte(struct wait *w, bool first)
{
	uint8_t byte = (uint8_t)w->done;

	if (first && write(w->fd[1], &byte, 1) != 1)
		vz_bad(w, "feeding: %s", strerror(errno));
}

static void wait_recv(struct wait *w)
{
	uint8_t byte = 0;

	expect(w, recv(w->fd[0], &byte, 1, 0), 1, 0);
	expect(w, byte, (uint8_t)w->done, 0);
}

static void make_eventfd(struct wait *w)
{
	w->fd[0] = eventfd(0, EFD_CLOEXEC);
}

static void wait_eventfd(struct wait *w)
{
	uint64_t value = 0;

	expect(w, read(w->fd[0], &value, 8), 8, 0);
	expect(w, (long)value, (long)w->done + 1, 0);
}

static void feed_eventfd(struct wait *w, bool first)
{
	uint64_t value = w->done + 1;

	if (first && write(w->fd[0], &value, 8) != 8)
		vz_bad(w, "feeding: %s", strerror(errno));
}

/* A writer whose pipe is full; each page taken out lets one more in. */
static void make_full(struct wait *w)
{
	static const char page[4096];

	make_pipe(w);
	fcntl(w->fd[1], F_SETFL, O_NONBLOCK);
	while (write(w->fd[1], page, sizeof(page)) > 0)
		;
	fcntl(w->fd[1], F_SETFL, 0);
}

static void wait_write(struct wait *w)
{
	static const char page[4096];

	expect(w, write(w->fd[1], page, sizeof(page)), sizeof(page), 0);
}

static void feed_write(struct wait *w, bool first)
{
	char page[4096];

	if (first && read(w->fd[0], page, sizeof(page)) != sizeof(page))
		vz_bad(w, "feeding: %s", strerror(errno));
}

static void wait_accept(struct wait *w)
{
	int fd = accept4(w->fd[0], NULL, NULL, SOCK_CLOEXEC);

	expect(w, fd < 0 ? -1 : 0, 0, 0);
	if (fd >= 0)
		close(fd);
}

static void feed_connect(struct wait *w, bool first)
{
	struct sockaddr_in address;
	socklen_t len = sizeof(address);
	int fd;

	if (!first)
		return;
	getsockname(w->fd[0], (struct sockaddr *)&address, &len);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&address, len) < 0)
		vz_bad(w, "feeding: %s", strerror(errno));
	close(fd);
}

static void wait_child(struct wait *w)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			syscall(SYS_pause);
	}
	w->child = pid;
	expect(w, syscall(SYS_wait4, pid, &status, 0, NULL), pid, 0);
	expect(w, status, SIGKILL, 0);
}

static void feed_child(struct wait *w, bool first)
{
	pid_t pid = __atomic_exchange_n(&w->child, 0, __ATOMIC_ACQ_REL);

	(void)first; /* it may not be born yet: the next time */
	if (pid > 0)
		kill(pid, SIGKILL);
}

static void on_signal(int sig)
{
	(void)sig;
	if (mine)
		mine->signals++;
}

static void catch_usr1(struct wait *w)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGUSR1, &action, NULL);
	mine = w;
}

static void catch_usr1_blocked(struct wait *w)
{
	sigset_t set;

	catch_usr1(w);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void wait_pause(struct wait *w)
{
	int before = w->signals;

	expect(w, syscall(SYS_pause), -1, EINTR);
	if (w->signals == before)
		vz_bad(w, "pause returned without a signal");
}

static void wait_sigsuspend(struct wait *w)
{
	uint64_t mask = 0;
	int before = w->signals;

	expect(w, syscall(SYS_rt_sigsuspend, &mask, 8), -1, EINTR);
	if (w->signals == before)
		vz_bad(w, "sigsuspend returned without a signal");
}

/* It may have come just before the call: once more, until the round is over. */
static void feed_usr1(struct wait *w, bool first)
{
	(void)first;
	syscall(SYS_tgkill, getpid(), w->slot->tid, SIGUSR1);
}

static void wait_sigwaitinfo(struct wait *w)
{
	uint64_t set = 1u << (SIGUSR2 - 1);

	expect(w, STOPPABLE(w, syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, 8)), SIGUSR2, 0);
}

static void feed_usr2(struct wait *w, bool first)
{
	if (first)
		syscall(SYS_tgkill, getpid(), w->slot->tid, SIGUSR2);
}

struct message {
	long type;
	uint64_t number;
};

static void make_queue(struct wait *w)
{
	w->fd[0] = msgget(IPC_PRIVATE, 0600);
	if (w->fd[0] < 0)
		vz_bad(w, "msgget: %s", strerror(errno));
	else
		w->slot->ipc = (uint64_t)'m' << 32 | (uint32_t)w->fd[0];
}

static void wait_msgrcv(struct wait *w)
{
	struct message message = { 0 };

	expect(w, msgrcv(w->fd[0], &message, 8, 0, 0), 8, 0);
	expect(w, (long)message.number, (long)w->done, 0);
}

static void feed_message(struct wait *w, bool first)
{
	struct message message = { 1, w->done };

	if (first && msgsnd(w->fd[0], &message, 8, IPC_NOWAIT) < 0)
		vz_bad(w, "feeding: %s", strerror(errno));
}

static void wait_semop(struct wait *w)
{
	struct sembuf take = { 0, -1, 0 };

	expect(w, STOPPABLE(w, semop(w->fd[0], &take, 1)), 0, 0);
}

static void feed_semaphore(struct wait *w, bool first)
{
	struct sembuf give = { 0, 1, IPC_NOWAIT };

	if (first && semop(w->fd[0], &give, 1) < 0)
		vz_bad(w, "feeding: %s", strerror(errno));
}

static void wait_epoll_forever(struct wait *w)
{
	struct epoll_event event;
	uint64_t value;

	expect(w, STOPPABLE(w, syscall(SYS_epoll_wait, w->fd[0], &event, 1, -1)), 1, 0);
	expect(w, read(w->fd[1], &value, 8), 8, 0);
}

static void feed_epoll(struct wait *w, bool first)
{
	uint64_t value = 1;

	if (first && write(w->fd[1], &value, 8) != 8)
		vz_bad(w, "feeding: %s", strerror(errno));
}

static void wait_poll_forever(struct wait *w)
{
	struct pollfd p = { w->fd[0], POLLIN, 0 };

	expect(w, syscall(SYS_poll, &p, 1, -1), 1, 0);
	wait_read(w);
}

static void make_word(struct wait *w)
{
	w->memory = calloc(1, sizeof(uint32_t));
}

static void wait_futex_forever(struct wait *w)
{
	uint32_t *word = w->memory, old = (uint32_t)w->done;
	long got = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);

	if (got == -1 && errno != EAGAIN) /* fed already */
		expect(w, got, 0, 0);
	if (__atomic_load_n(word, __ATOMIC_ACQUIRE) == old)
		vz_bad(w, "the futex returned without being woken");
}

static void feed_futex(struct wait *w, bool first)
{
	uint32_t *word = w->memory;

	if (!first)
		return;
	__atomic_store_n(word, (uint32_t)w->done + 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Two descriptions of one file; the feeder holds the lock, gives it, and takes it back. */
static bool lock_file(struct wait *w, int fd, short type, bool wait)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_len = 1 };

	if (w->number) /* flock */
		return flock(fd, (type == F_UNLCK ? LOCK_UN : LOCK_EX) | (wait ? 0 : LOCK_NB)) == 0;
	return fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock) == 0;
}

static void make_locked(struct wait *w)
{
	char path[] = "/tmp/vz-waits-XXXXXX", again[64];

	w->fd[0] = mkostemp(path, O_CLOEXEC);
	unlink(path);
	snprintf(again, sizeof(again), "/proc/self/fd/%d", w->fd[0]);
	w->fd[1] = open(again, O_RDWR | O_CLOEXEC);
	w->held = lock_file(w, w->fd[1], F_WRLCK, false);
	if (!w->held)
		vz_bad(w, "the lock: %s", strerror(errno));
}

static void make_flocked(struct wait *w)
{
	w->number = 1;
	make_locked(w);
}

static void wait_lock(struct wait *w)
{
	expect(w, lock_file(w, w->fd[0], F_WRLCK, true) ? 0 : -1, 0, 0);
	if (w->held)
		vz_bad(w, "got a lock that another one holds");
	lock_file(w, w->fd[0], F_UNLCK, true);
	w->held = lock_file(w, w->fd[1], F_WRLCK, false);
}

static void feed_lock(struct wait *w, bool first)
{
	if (!first)
		return;
	w->held = false;
	lock_file(w, w->fd[1], F_UNLCK, true);
}

/* ---- the table ---------------------------------------------------------- */

static const struct kind kinds[] = {
	{ "nanosleep", wait_nanosleep, NULL, NULL, LIMIT_MS, 0 },
	{ "clock_nanosleep", wait_clock_rel, NULL, NULL, LIMIT_MS, 0 },
	{ "clock_nanosleep-abs", wait_clock_abs, NULL, NULL, LIMIT_MS, 0 },
	{ "poll", wait_poll, make_pipe, NULL, LIMIT_MS, 0 },
	{ "ppoll", wait_ppoll, make_pipe, NULL, LIMIT_MS, 0 },
	{ "select", wait_select, make_pipe, NULL, LIMIT_MS, 0 },
	{ "pselect", wait_pselect, make_pipe, NULL, LIMIT_MS, 0 },
	{ "futex", wait_futex_rel, NULL, NULL, LIMIT_MS, 0 },
	{ "futex-abs", wait_futex_abs, NULL, NULL, LIMIT_MS, 0 },
	{ "sem_timedwait", wait_sem, make_sem, NULL, LIMIT_MS, JIFFY_US },
	{ "epoll_wait", wait_epoll, make_epoll, NULL, LIMIT_MS, 0 },
	{ "epoll_pwait2", wait_epoll2, make_epoll, NULL, LIMIT_MS, 0 },
	{ "recv-rcvtimeo", wait_recv_limited, make_socketpair_limited, NULL, LIMIT_MS, JIFFY_US },
	{ "accept-rcvtimeo", wait_accept_limited, make_listener_limited, NULL, LIMIT_MS,
	  JIFFY_US },
	{ "sigtimedwait", wait_sigtimedwait, block_usr2, NULL, LIMIT_MS, 0 },
	{ "semtimedop", wait_semtimedop, make_semaphore, NULL, LIMIT_MS, JIFFY_US },
	{ "io_getevents", wait_aio, make_aio, NULL, LIMIT_MS, 0 },
	{ "read-timerfd", wait_timerfd, make_timerfd, NULL, LIMIT_MS, 0 },
	{ "read-pipe", wait_read, make_pipe, feed_byte, 0, 0 },
	{ "read-eventfd", wait_eventfd, make_eventfd, feed_eventfd, 0, 0 },
	{ "read-socket", wait_read, make_socketpair, feed_byte, 0, 0 },
	{ "recv", wait_recv, make_socketpair, feed_byte, 0, 0 },
	{ "write-pipe", wait_write, make_full, feed_write, 0, 0 },
	{ "accept", wait_accept, make_listener, feed_connect, 0, 0 },
	{ "wait4", wait_child, NULL, feed_child, 0, 0 },
	{ "pause", wait_pause, catch_usr1, feed_usr1, 0, 0 },
	{ "sigsuspend", wait_sigsuspend, catch_usr1_blocked, feed_usr1, 0, 0 },
	{ "sigwaitinfo", wait_sigwaitinfo, block_usr2, feed_usr2, 0, 0 },
	{ "msgrcv", wait_msgrcv, make_queue, feed_message, 0, 0 },
	{ "semop", wait_semop, make_semaphore, feed_semaphore, 0, 0 },
	{ "epoll_wait-forever", wait_epoll_forever, make_epoll, feed_epoll, 0, 0 },
	{ "poll-forever", wait_poll_forever, make_pipe, feed_byte, 0, 0 },
	{ "futex-forever", wait_futex_forever, make_word, feed_futex, 0, 0 },
	{ "flock", wait_lock, make_flocked, feed_lock, 0, 0 },
	{ "setlkw", wait_lock, make_locked, feed_lock, 0, 0 },
	{ NULL, NULL, NULL, NULL, 0, 0 },
};

/* ---- running them ------------------------------------------------------- */

static uint64_t mask_now(void)
{
	uint64_t mask = 0;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &mask, 8);
	return mask;
}

static void judge(struct wait *w, uint64_t us)
{
	uint64_t limit = (uint64_t)w->kind->limit_ms * 1000;

	if (!limit)
		return;
	if (us + (uint64_t)w->kind->early_us < limit)
		vz_bad(w, "round %lu returned early: after %lu us of %lu",
		       (unsigned long)w->slot->rounds, (unsigned long)us, (unsigned long)limit);
	if (us > limit + limit / 2 + 50000)
		w->slot->late++;
	if (us > limit && us - limit > w->slot->latest_us)
		w->slot->latest_us = us - limit;
}

static void one_round(struct wait *w)
{
	uint64_t begin = vz_now_us();

	w->kind->wait(w);
	judge(w, vz_now_us() - begin);
	if (!w->kind->feed)
		return;
	/* A signal that is sent until the round is over may come once more, in the next one. */
	while (w->kind->feed == feed_usr1 && __atomic_load_n(&w->fed, __ATOMIC_ACQUIRE) == w->done &&
	       !w->slot->errors)
		w->kind->wait(w);
	if (__atomic_load_n(&w->fed, __ATOMIC_ACQUIRE) != w->done + 1)
		vz_bad(w, "round %lu returned without being fed", (unsigned long)w->slot->rounds);
	__atomic_store_n(&w->done, w->done + 1, __ATOMIC_RELEASE);
}

void vz_wait(int index)
{
	struct wait *w = &waits[index];
	uint64_t mask;

	w->slot->limit_ms = w->kind->limit_ms;
	w->slot->tid = (int32_t)syscall(SYS_gettid);
	if (w->kind->prepare)
		w->kind->prepare(w);
	mask = mask_now();
	__atomic_store_n(&w->slot->rounds, 1, __ATOMIC_RELEASE);
	while (!ending && !w->slot->errors) {
		one_round(w);
		if (mask_now() != mask)
			vz_bad(w, "signal mask %lx, expected %lx", (unsigned long)mask_now(),
			       (unsigned long)mask);
		__atomic_add_fetch(&w->slot->rounds, 1, __ATOMIC_RELEASE);
	}
}

void vz_feed(void)
{
	for (int i = 0; i < nwaits; i++) {
		struct wait *w = &waits[i];
		bool first;

		if (!w->kind->feed || !__atomic_load_n(&w->slot->rounds, __ATOMIC_ACQUIRE))
			continue;
		first = w->fed == __atomic_load_n(&w->done, __ATOMIC_ACQUIRE);
		if (first)
			__atomic_store_n(&w->fed, w->fed + 1, __ATOMIC_RELEASE);
		w->kind->feed(w, first);
	}
	usleep(FEED_US);
}

static void add(const struct kind *kind, int again)
{
	struct wait *w = &waits[nwaits];

	w->kind = kind;
	w->slot = &slots[nwaits++];
	if (again)
		snprintf(w->slot->name, sizeof(w->slot->name), "%s-%d", kind->name, again + 1);
	else
		snprintf(w->slot->name, sizeof(w->slot->name), "%s", kind->name);
}

/* The kind called NAME, LEN bytes. */
static const struct kind *find(const char *name, size_t len)
{
	static const struct kind *const tables[] = { kinds, vz_busy_kinds, vz_storm_kinds };

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct kind *k = tables[i]; k->name; k++)
			if (strlen(k->name) == len && !memcmp(k->name, name, len))
				return k;
	return NULL;
}

static int again(const struct kind *kind)
{
	int count = 0;

	for (int i = 0; i < nwaits; i++)
		count += waits[i].kind == kind;
	return count;
}

int vz_bind(void *at, const char *names)
{
	slots = at;
	if (!*names) {
		for (const struct kind *k = kinds; k->name; k++)
			add(k, 0);
		for (const struct kind *k = vz_busy_kinds; k->name; k++)
			add(k, 0);
	}
	while (*names) {
		size_t len = strcspn(names, ",");
		const struct kind *kind = find(names, len);

		if (!kind || nwaits == MAX_WAITS)
			return -1;
		add(kind, again(kind));
		names += len + (names[len] == ',');
	}
	return nwaits;
}

void vz_end(void)
{
	ending = true;
}
