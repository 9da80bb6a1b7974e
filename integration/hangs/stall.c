/* SPDX-License-Identifier: MIT */
/*
 * The C part of the zoo: functions that do not come back soon.  Loaded with ctypes.PyDLL they
 * keep the GIL, with ctypes.CDLL they let it go.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Sleeps; a signal ends it. */
int stall_sleep(int seconds)
{
	struct timespec time = { seconds, 0 };

	return nanosleep(&time, NULL);
}

/* Spins until *GO is not 0. */
long stall_loop(const volatile long *go)
{
	long turns = 0;

	while (!*go)
		turns++;
	return turns;
}

/* Reads one byte; returns it, or -1. */
int stall_read(int fd)
{
	unsigned char byte;

	return read(fd, &byte, 1) == 1 ? byte : -1;
}

/*
 * Receives one byte on a socket with a time-out of its own; -errno if a signal, or anything
 * that looks like one, ended the wait: the kernel does not take it up again.
 */
int stall_recv(int fd, int seconds)
{
	struct timeval limit = { .tv_sec = seconds };
	unsigned char byte;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	return recv(fd, &byte, 1, 0) == 1 ? byte : -errno;
}

/* Until its child lets it go (a byte on FD), the caller of vfork is not to be woken by anything. */
int stall_vfork(int fd, int seconds)
{
	unsigned char byte = 0;
	int status = -1;
	pid_t pid = vfork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(seconds);
		if (read(fd, &byte, 1) != 1)
			_exit(1);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}
