/* SPDX-License-Identifier: MIT */
#include "attach/target.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "attach/util.h"

enum {
	PAGE_BYTES = 4096,
	STAT_MAX_BYTES = 1 << 16,
};

static uint64_t start_time(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (vz_slurp_proc(pid, 0, "stat", STAT_MAX_BYTES, &text, &len) < 0)
		return 0;
	return vz_stat_start_time(text);
}

/* Where /proc/PID/NAME leads, without the mark of what was deleted; "" if unreadable. */
static void read_link(pid_t pid, const char *name, char *ret, size_t size, bool *deleted)
{
	static const char mark[] = " (deleted)";
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	n = readlink(path, ret, size - 1);
	if (n < 0)
		n = 0;
	ret[n] = '\0';
	*deleted = (size_t)n >= sizeof(mark) - 1 && !strcmp(ret + n - (sizeof(mark) - 1), mark);
	if (*deleted)
		ret[(size_t)n - (sizeof(mark) - 1)] = '\0';
}

static int no_process(pid_t pid, int rc, struct vz_err *err)
{
	if (rc == -EACCES || rc == -EPERM) {
		vz_err_set(err, VZ_EXIT_PERMISSION, -rc, "cannot see process %d", (int)pid);
		vz_err_why(err, "/proc hides other users' processes (hidepid)");
		vz_err_try(err, "run as the same user, or with sudo");
		return rc;
	}
	vz_err_set(err, VZ_EXIT_NO_PROCESS, ESRCH, "there is no process %d", (int)pid);
	/* hidepid=2 looks the same as a process that is not there. */
	if (pid > 0 && syscall(SYS_kill, pid, 0) < 0 && errno == EPERM) {
		vz_err_set(err, VZ_EXIT_PERMISSION, EPERM, "cannot see process %d", (int)pid);
		vz_err_why(err, "it exists, but /proc hides other users' processes (hidepid)");
		vz_err_try(err, "run as the same user, or with sudo");
		return -EPERM;
	}
	vz_err_why(err, "no process with this number is visible from here");
	vz_err_try(err, "vizattach ps");
	return -ESRCH;
}

static int check_status(pid_t pid, const struct vz_status *status, struct vz_err *err)
{
	if (status->tgid && status->tgid != pid) {
		vz_err_set(err, VZ_EXIT_NO_PROCESS, ESRCH, "%d (%s) is not a process", (int)pid,
			   status->comm);
		vz_err_why(err, "it is a thread of process %d", (int)status->tgid);
		vz_err_try(err, "--pid %d", (int)status->tgid);
		return -ESRCH;
	}
	if (status->state != 'Z' && status->state != 'X')
		return 0;
	if (status->threads > 1) {
		vz_err_set(err, VZ_EXIT_UNSAFE, ESRCH, "cannot attach to %d (%s)", (int)pid,
			   status->comm);
		vz_err_why(err, "its main thread has ended while other threads go on");
		return -ESRCH;
	}
	vz_err_set(err, VZ_EXIT_NO_PROCESS, ESRCH, "process %d (%s) has ended", (int)pid,
		   status->comm);
	vz_err_why(err, "it is a zombie: its parent, process %d, has not collected it",
		   (int)status->ppid);
	vz_err_try(err, "look at its parent; a zombie has no memory left to look into");
	return -ESRCH;
}

int vz_target_open(pid_t pid, struct vz_target *ret, struct vz_err *err)
{
	struct vz_status status;
	int rc;

	memset(ret, 0, sizeof(*ret));
	ret->pid = pid;
	ret->mem_fd = -1;
	ret->pidfd = -1;
	if (pid <= 0)
		return no_process(pid, -ESRCH, err);
	/* Linux before 5.3 has no pidfd: then the start time alone tells a reused pid. */
	ret->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	rc = vz_status_read(pid, 0, &status);
	if (rc < 0)
		rc = no_process(pid, rc, err);
	else
		rc = check_status(pid, &status, err);
	if (rc < 0) {
		vz_target_close(ret);
		return rc;
	}
	snprintf(ret->comm, sizeof(ret->comm), "%s", status.comm);
	vz_plain(ret->comm);
	ret->start_time = start_time(pid);
	read_link(pid, "exe", ret->exe, sizeof(ret->exe), &ret->exe_deleted);
	return 0;
}

/* Both are as we see them: of a target in a chroot, its root comes first in both. */
bool vz_target_cwd(const struct vz_target *target, char ret[VZ_TARGET_PATH_BYTES])
{
	char root[VZ_TARGET_PATH_BYTES];
	bool cwd_gone, root_gone;
	size_t len;

	read_link(target->pid, "cwd", ret, VZ_TARGET_PATH_BYTES, &cwd_gone);
	read_link(target->pid, "root", root, sizeof(root), &root_gone);
	/* Asked afterwards, so that it is not that of a process which took its number. */
	if (ret[0] != '/' || root[0] != '/' || cwd_gone || root_gone || !vz_target_alive(target))
		return false;
	len = strlen(root);
	if (len == 1)
		return true;
	if (strncmp(ret, root, len) != 0 || (ret[len] && ret[len] != '/'))
		return false;
	memmove(ret, ret + len, strlen(ret + len) + 1);
	if (!ret[0])
		strcpy(ret, "/");
	return true;
}

int vz_target_open_mem(struct vz_target *target)
{
	char path[64];

	if (target->mem_fd >= 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)target->pid);
	target->mem_fd = open(path, O_RDWR | O_CLOEXEC);
	if (target->mem_fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return 0;
}

void vz_target_close(struct vz_target *target)
{
	if (target->mem_fd >= 0)
		close(target->mem_fd);
	if (target->pidfd >= 0)
		close(target->pidfd);
	target->mem_fd = -1;
	target->pidfd = -1;
}

bool vz_target_alive(const struct vz_target *target)
{
	struct pollfd poll_fd = { .fd = target->pidfd, .events = POLLIN };
	struct vz_status status;

	/* A pidfd becomes readable when the whole process has ended, collected or not. */
	if (target->pidfd >= 0)
		return poll(&poll_fd, 1, 0) <= 0;
	if (vz_status_read(target->pid, 0, &status) < 0)
		return false;
	if ((status.state == 'Z' || status.state == 'X') && status.threads <= 1)
		return false;
	return start_time(target->pid) == target->start_time;
}

/* 0, or a negative errno; the file stays with the address space even if the pid is reused. */
static int mem_read(const struct vz_target *target, uint64_t raddr, char *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = pread(target->mem_fd, buf, len, (off_t)raddr);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -EFAULT;
		if (n == 0) /* no address space any more: it ended, or another program runs */
			return -ESRCH;
		raddr += (uint64_t)n;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

static int vm_read(const struct vz_target *target, uint64_t raddr, void *buf, size_t len)
{
	while (len > 0) {
		struct iovec local = { .iov_base = buf, .iov_len = len };
		struct iovec remote = { .iov_base = (void *)(uintptr_t)raddr, .iov_len = len };
		ssize_t n = process_vm_readv(target->pid, &local, 1, &remote, 1, 0);

		if (n < 0)
			return errno == EPERM || errno == ESRCH ? -errno : -EFAULT;
		if (n == 0)
			return -EFAULT;
		raddr += (uint64_t)n;
		buf = (char *)buf + n;
		len -= (size_t)n;
	}
	return 0;
}

static bool bad_range(uint64_t raddr, size_t len)
{
	return raddr > INT64_MAX || len > (uint64_t)INT64_MAX - raddr;
}

int vz_target_read(const struct vz_target *target, uint64_t raddr, void *buf, size_t len)
{
	if (bad_range(raddr, len))
		return -EFAULT;
	if (target->memory)
		return target->memory->read(target->memory, raddr, buf, len);
	if (target->mem_fd >= 0)
		return mem_read(target, raddr, buf, len);
	return vm_read(target, raddr, buf, len);
}

int vz_target_write(const struct vz_target *target, uint64_t raddr, const void *buf, size_t len)
{
	const char *from = buf;

	if (target->mem_fd < 0)
		return -EPERM;
	if (bad_range(raddr, len))
		return -EFAULT;
	while (len > 0) {
		vz_step("write memory");
		ssize_t n = pwrite(target->mem_fd, from, len, (off_t)raddr);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EPERM || errno == EACCES ? -EPERM : -EFAULT;
		if (n == 0)
			return -ESRCH;
		raddr += (uint64_t)n;
		from += n;
		len -= (size_t)n;
	}
	return 0;
}

int vz_target_read_string(const struct vz_target *target, uint64_t raddr, char *buf, size_t size)
{
	size_t used = 0;

	if (size == 0)
		return -EINVAL;
	buf[0] = '\0';
	while (used < size - 1) {
		/* Up to the end of the page: the next one may not be there. */
		size_t step = PAGE_BYTES - (size_t)((raddr + used) % PAGE_BYTES);
		const char *end;
		int rc;

		if (step > size - 1 - used)
			step = size - 1 - used;
		rc = vz_target_read(target, raddr + used, buf + used, step);
		if (rc < 0) {
			buf[used] = '\0';
			return rc;
		}
		end = memchr(buf + used, '\0', step);
		if (end)
			return 0;
		used += step;
	}
	buf[used] = '\0';
	return 0;
}
