/* SPDX-License-Identifier: MIT */
#include "attach/residue_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attach/util.h"

enum {
	FDS_MAX = 1 << 20,
	LINK_MAX_BYTES = 256,
	SIGNAL_CANCEL = 32, /* libc's own two, below SIGRTMIN */
	SIGNAL_SETXID = 33,
	MASK_TRIES = 20,
};

/* Counters of /proc lag by some pages for each CPU. */
#define MEMORY_NOISE (UINT64_C(1) << 20)
#define ARENA_ALIGN  (UINT64_C(64) << 20) /* glibc: HEAP_MAX_SIZE */
#define ARENA_LEAST  (UINT64_C(132) << 10)
#define MEMFD_PREFIX "/memfd:vizattach"
/* All but SIGKILL, SIGSTOP and the two of libc, which masks of libc never hold. */
#define ALL_SIGNALS (~(UINT64_C(1) << 8 | UINT64_C(1) << 18 | UINT64_C(3) << 31))

struct open_file {
	int fd;
	char *link; /* its own: a program may have a million */
};

struct thread {
	pid_t tid, ns_tid;
	uint64_t blocked;
	char state;
	pid_t tracer;
};

struct vz_inventory {
	struct vz_maps maps;
	struct open_file *files;
	size_t nfiles;
	struct thread *threads;
	size_t nthreads;
	uint64_t caught, ignored;
	struct vz_memory memory;
};

/* ---- take ---- */

static int file_by_number(const void *a, const void *b)
{
	const struct open_file *x = a, *y = b;

	return x->fd < y->fd ? -1 : x->fd > y->fd;
}

static int add_file(struct vz_inventory *snapshot, pid_t pid, int fd)
{
	struct open_file *file;
	char path[64], link[LINK_MAX_BYTES];
	ssize_t n;

	if (snapshot->nfiles % 64 == 0) {
		struct open_file *files =
			realloc(snapshot->files, (snapshot->nfiles + 64) * sizeof(*files));

		if (!files)
			return -ENOMEM;
		snapshot->files = files;
	}
	file = &snapshot->files[snapshot->nfiles];
	file->fd = fd;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return 0; /* closed meanwhile */
	file->link = strndup(link, (size_t)n);
	if (!file->link)
		return -ENOMEM;
	snapshot->nfiles++;
	return 0;
}

static int take_files(struct vz_inventory *snapshot, pid_t pid)
{
	char path[64];
	_cleanup_closedir_ DIR *dir = NULL;
	const struct dirent *entry;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((entry = readdir(dir)) && snapshot->nfiles < FDS_MAX) {
		char *end;
		long fd = strtol(entry->d_name, &end, 10);
		int rc;

		if (*end || end == entry->d_name)
			continue;
		rc = add_file(snapshot, pid, (int)fd);
		if (rc < 0)
			return rc;
	}
	if (snapshot->nfiles)
		qsort(snapshot->files, snapshot->nfiles, sizeof(*snapshot->files), file_by_number);
	return 0;
}

/* libc blocks all signals for a moment in fork and pthread_create: look again before believing it.
 */
static int read_settled_status(pid_t pid, pid_t tid, int *patience, struct vz_status *ret)
{
	static const struct timespec moment = { .tv_nsec = 1000 * 1000 };
	int rc = vz_status_read(pid, tid, ret);

	while (rc == 0 && (ret->signals.blocked & ALL_SIGNALS) == ALL_SIGNALS && *patience > 0) {
		--*patience;
		nanosleep(&moment, NULL);
		rc = vz_status_read(pid, tid, ret);
	}
	return rc;
}

static int take_threads(struct vz_inventory *snapshot, pid_t pid, struct vz_err *err)
{
	struct vz_tasks tasks;
	int rc = vz_tasks_read(pid, &tasks, err), patience = MASK_TRIES;

	if (rc < 0)
		return rc;
	snapshot->threads = calloc(tasks.count, sizeof(*snapshot->threads));
	for (size_t i = 0; snapshot->threads && i < tasks.count; i++) {
		struct thread *thread = &snapshot->threads[snapshot->nthreads];
		struct vz_status status;

		if (read_settled_status(pid, tasks.items[i].tid, &patience, &status) < 0)
			continue;
		thread->tid = tasks.items[i].tid;
		thread->ns_tid = tasks.items[i].ns_tid;
		thread->blocked = status.signals.blocked;
		thread->state = status.state;
		thread->tracer = status.tracer_pid;
		snapshot->caught = status.signals.caught; /* the same for all threads */
		snapshot->ignored = status.signals.ignored;
		snapshot->memory = (struct vz_memory){ status.rss_bytes, status.anon_bytes,
						       status.data_bytes };
		snapshot->nthreads++;
	}
	vz_tasks_fini(&tasks);
	if (!snapshot->threads)
		return vz_err_set(err, VZ_EXIT_UNEXPECTED, ENOMEM, "out of memory");
	return 0;
}

int vz_inventory_take(const struct vz_target *target, struct vz_inventory **ret, struct vz_err *err)
{
	struct vz_inventory *snapshot = calloc(1, sizeof(*snapshot));
	int rc;

	if (!snapshot)
		return vz_err_set(err, VZ_EXIT_UNEXPECTED, ENOMEM, "out of memory");
	rc = vz_maps_read(target->pid, &snapshot->maps, err);
	if (rc == 0)
		rc = take_threads(snapshot, target->pid, err);
	if (rc == 0) {
		rc = take_files(snapshot, target->pid);
		if (rc < 0) {
			vz_err_set(err, VZ_EXIT_UNEXPECTED, -rc,
				   "cannot list the open files of process %d", (int)target->pid);
			vz_err_why(err, "%s", strerror(-rc));
		}
	}
	if (rc < 0) {
		vz_inventory_free(snapshot);
		return rc;
	}
	*ret = snapshot;
	return 0;
}

void vz_inventory_free(struct vz_inventory *snapshot)
{
	if (!snapshot)
		return;
	vz_maps_fini(&snapshot->maps);
	for (size_t i = 0; i < snapshot->nfiles; i++)
		free(snapshot->files[i].link);
	free(snapshot->files);
	free(snapshot->threads);
	free(snapshot);
}

/* ---- say ---- */

void vz_residue_say(struct vz_residue *residue, const char *fmt, ...)
{
	size_t used = strlen(residue->text);
	va_list ap;

	if (used && used + 2 < sizeof(residue->text)) {
		memcpy(residue->text + used, "; ", 3);
		used += 2;
	}
	va_start(ap, fmt);
	vsnprintf(residue->text + used, sizeof(residue->text) - used, fmt, ap);
	va_end(ap);
}

/* ---- maps ---- */

static bool same_kind(const struct vz_map *a, const struct vz_map *b)
{
	return a->readable == b->readable && a->writable == b->writable &&
	       a->executable == b->executable && a->shared == b->shared && a->inode == b->inode &&
	       !strcmp(a->path, b->path);
}

/* The first mapping that ends behind RADDR; COUNT if there is none. */
static size_t first_behind(const struct vz_maps *maps, uint64_t raddr)
{
	size_t low = 0, high = maps->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (maps->items[mid].end <= raddr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool touches(const struct vz_deed *deed, uint64_t start, uint64_t end)
{
	for (size_t i = 0; i < deed->nranges; i++) {
		if (start < deed->ranges[i].end && deed->ranges[i].start < end)
			return true;
	}
	return false;
}

/*
 * A malloc arena of libc: rw-p from a 64 MiB boundary, the rest up to the next
 * boundary reserved.  Its two halves are two mappings.
 */
static bool is_arena(const struct vz_maps *maps, const struct vz_map *map)
{
	size_t i = (size_t)(map - maps->items);
	const struct vz_map *used = map, *reserved;

	if (map->path[0] || map->inode || map->shared)
		return false;
	if (!map->readable && i > 0) /* the reserved half: look at the one before */
		used = &maps->items[--i];
	if (i + 1 >= maps->count)
		return false;
	reserved = &maps->items[i + 1];
	return used->readable && used->writable && !used->executable && !used->inode &&
	       used->start % ARENA_ALIGN == 0 && used->end - used->start >= ARENA_LEAST &&
	       !reserved->readable && !reserved->writable && reserved->start == used->end &&
	       reserved->end - used->start == ARENA_ALIGN;
}

struct comparison {
	const struct vz_inventory *before, *after;
	const struct vz_deed *deed;
	struct vz_residue *ret;
	/* of libc's malloc: a busy program has many, so they are told together */
	unsigned arenas_new, arenas_grown;
	uint64_t arena_bytes;
	uint64_t ours_start; /* the first mapping that is ours; all together: */
	unsigned long ours_kib;
};

/* [START, END) of MAP is there now, and was not before, at least not so. */
static void judge_piece(struct comparison *c, const struct vz_map *map, uint64_t start,
			uint64_t end)
{
	struct vz_residue *ret = c->ret;
	unsigned long kib = (unsigned long)((end - start) / 1024);

	if (touches(c->deed, start, end) || vz_starts_with(map->path, MEMFD_PREFIX)) {
		if (!ret->ours[VZ_RESIDUE_MAPS]++)
			c->ours_start = start;
		c->ours_kib += kib;
	} else if (!strcmp(map->path, "[heap]") || !strcmp(map->path, "[stack]")) {
		ret->possible[VZ_RESIDUE_MAPS]++;
		ret->possible_bytes += end - start;
		vz_residue_say(ret, "%s grew by %lu KiB", map->path, kib);
	} else if (is_arena(&c->after->maps, map)) {
		if (!map->readable) /* counted with its used half */
			return;
		if (start == map->start)
			c->arenas_new++;
		else
			c->arenas_grown++;
		c->arena_bytes += end - start;
	} else {
		ret->other[VZ_RESIDUE_MAPS]++;
	}
}

/* What MAP covers and no like mapping covered before. */
static void compare_map(struct comparison *c, const struct vz_map *map)
{
	const struct vz_maps *old = &c->before->maps;
	uint64_t at = map->start;

	for (size_t i = first_behind(old, at); i < old->count && at < map->end; i++) {
		const struct vz_map *was = &old->items[i];

		if (was->start >= map->end)
			break;
		if (!same_kind(was, map))
			continue;
		if (was->start > at)
			judge_piece(c, map, at, was->start);
		at = was->end;
	}
	if (at < map->end)
		judge_piece(c, map, at, map->end);
}

static void tell_ours(const struct comparison *c)
{
	unsigned n = c->ret->ours[VZ_RESIDUE_MAPS];

	if (n == 1)
		vz_residue_say(c->ret, "memory at %llx (%lu KiB) is still mapped",
			       (unsigned long long)c->ours_start, c->ours_kib);
	else if (n)
		vz_residue_say(c->ret,
			       "memory of ours is still mapped (%u places, %lu KiB, first %llx)", n,
			       c->ours_kib, (unsigned long long)c->ours_start);
}

static void tell_arenas(const struct comparison *c)
{
	unsigned long kib = (unsigned long)(c->arena_bytes / 1024);

	c->ret->possible[VZ_RESIDUE_MAPS] += c->arenas_new + c->arenas_grown;
	c->ret->possible_bytes += c->arena_bytes;
	if (c->arenas_new == 1 && !c->arenas_grown)
		vz_residue_say(c->ret, "libc has a new malloc arena of %lu KiB", kib);
	else if (c->arenas_new + c->arenas_grown)
		vz_residue_say(c->ret,
			       "libc's malloc arenas have %lu KiB more: %u new, %u larger, at most "
			       "one by us",
			       kib, c->arenas_new, c->arenas_grown);
}

static void compare_maps(struct comparison *c)
{
	const struct vz_maps *old = &c->before->maps, *now = &c->after->maps;

	for (size_t i = 0; i < now->count; i++)
		compare_map(c, &now->items[i]);
	tell_ours(c);
	tell_arenas(c);
	for (size_t i = 0; i < old->count; i++) {
		if (!vz_maps_find(now, old->items[i].start))
			c->ret->other[VZ_RESIDUE_MAPS]++; /* gone: we never unmap what is not ours
							   */
	}
}

/* ---- files, threads, signals ---- */

static const struct open_file *find_file(const struct vz_inventory *snapshot, int fd)
{
	struct open_file key = { .fd = fd };

	if (!snapshot->nfiles)
		return NULL;
	return bsearch(&key, snapshot->files, snapshot->nfiles, sizeof(key), file_by_number);
}

static void compare_files(const struct comparison *c)
{
	for (size_t i = 0; i < c->after->nfiles; i++) {
		const struct open_file *file = &c->after->files[i];
		const struct open_file *was = find_file(c->before, file->fd);

		if (was && !strcmp(was->link, file->link))
			continue;
		if (vz_starts_with(file->link, MEMFD_PREFIX)) {
			c->ret->ours[VZ_RESIDUE_FDS]++;
			vz_residue_say(c->ret, "file descriptor %d (%.60s) is still open", file->fd,
				       file->link);
		} else {
			c->ret->other[VZ_RESIDUE_FDS]++;
		}
	}
	for (size_t i = 0; i < c->before->nfiles; i++)
		c->ret->other[VZ_RESIDUE_FDS] += !find_file(c->after, c->before->files[i].fd);
}

static const struct thread *find_thread(const struct vz_inventory *snapshot, pid_t tid)
{
	for (size_t i = 0; i < snapshot->nthreads; i++) {
		if (snapshot->threads[i].tid == tid)
			return &snapshot->threads[i];
	}
	return NULL;
}

static void compare_mask(const struct comparison *c, const struct thread *was,
			 const struct thread *now)
{
	if (was->blocked == now->blocked)
		return;
	/* An injected call blocks all; but so does libc for a moment, in fork and pthread_create.
	 */
	if ((now->blocked & ALL_SIGNALS) != ALL_SIGNALS) {
		c->ret->other[VZ_RESIDUE_SIGNALS]++;
		return;
	}
	if (now->tid == c->deed->borrowed_tid)
		c->ret->ours[VZ_RESIDUE_SIGNALS]++;
	else
		c->ret->possible[VZ_RESIDUE_SIGNALS]++;
	vz_residue_say(c->ret, "thread %d has all signals blocked", (int)now->tid);
}

/* Job control stops all threads; one that is stopped alone was stopped by a tracer. */
static bool all_stopped(const struct vz_inventory *snapshot)
{
	for (size_t i = 0; i < snapshot->nthreads; i++) {
		if (snapshot->threads[i].state != 'T')
			return false;
	}
	return true;
}

static void compare_state(const struct comparison *c, const struct thread *was,
			  const struct thread *now)
{
	bool stopped = now->state == 't' || (now->state == 'T' && !all_stopped(c->after));

	if (now->tracer == getpid()) {
		c->ret->ours[VZ_RESIDUE_THREADS]++;
		vz_residue_say(c->ret, "thread %d is still traced by us", (int)now->tid);
	} else if (now->state == was->state || now->tracer || !stopped) {
		return;
	} else if (now->tid == c->deed->borrowed_tid) {
		c->ret->ours[VZ_RESIDUE_THREADS]++;
		vz_residue_say(c->ret, "thread %d, which was borrowed, is stopped", (int)now->tid);
	} else {
		c->ret->other[VZ_RESIDUE_THREADS]++;
	}
}

static void compare_threads(const struct comparison *c)
{
	pid_t agent = c->deed->agent_tid;

	for (size_t i = 0; i < c->after->nthreads; i++) {
		const struct thread *now = &c->after->threads[i];
		const struct thread *was = find_thread(c->before, now->tid);

		if (was) {
			compare_mask(c, was, now);
			compare_state(c, was, now);
		} else if (agent > 0 && (now->tid == agent || now->ns_tid == agent)) {
			c->ret->ours[VZ_RESIDUE_THREADS]++;
			vz_residue_say(c->ret, "thread %d is still there", (int)now->tid);
		} else {
			c->ret->other[VZ_RESIDUE_THREADS]++;
		}
	}
	for (size_t i = 0; i < c->before->nthreads; i++)
		c->ret->other[VZ_RESIDUE_THREADS] +=
			!find_thread(c->after, c->before->threads[i].tid);
}

static void compare_handlers(const struct comparison *c)
{
	uint64_t changed =
		(c->before->caught ^ c->after->caught) | (c->before->ignored ^ c->after->ignored);

	for (int signal = 1; signal <= 64; signal++) {
		uint64_t bit = UINT64_C(1) << (signal - 1);

		if (!(changed & bit))
			continue;
		if ((signal == SIGNAL_SETXID || signal == SIGNAL_CANCEL) &&
		    c->after->caught & bit) {
			c->ret->possible[VZ_RESIDUE_SIGNALS]++;
			vz_residue_say(c->ret, "libc handles its own signal %d now", signal);
		} else {
			c->ret->other[VZ_RESIDUE_SIGNALS]++;
		}
	}
}

/*
 * More in use than before may be the program's own: nobody but libc knows who asked for a page of
 * the heap.  So it is measured, and its likely owners are named.
 */
static void compare_memory(const struct comparison *c)
{
	struct vz_residue *ret = c->ret;
	uint64_t was = c->before->memory.anon_bytes, now = c->after->memory.anon_bytes;

	ret->before = c->before->memory;
	ret->after = c->after->memory;
	ret->looked[VZ_RESIDUE_MEMORY] = was && now;
	if (now > was + MEMORY_NOISE) {
		ret->possible[VZ_RESIDUE_MEMORY]++;
		vz_residue_say(
			ret,
			"%.1f MiB more memory is in use, and the program itself may have done "
			"this",
			(double)(now - was) / (1 << 20));
	}
}

/*
 * The payload opens no path but two of /proc/self, and makes no file that has a name; what
 * can be seen of that is that nothing of ours is open or mapped.
 */
static void compare_file_system(const struct comparison *c)
{
	struct vz_residue *ret = c->ret;

	for (size_t i = 0; i < c->after->maps.count; i++) {
		const struct vz_map *map = &c->after->maps.items[i];

		ret->ours[VZ_RESIDUE_FILE_SYSTEM] += vz_starts_with(map->path, MEMFD_PREFIX);
	}
	ret->ours[VZ_RESIDUE_FILE_SYSTEM] += ret->ours[VZ_RESIDUE_FDS];
}

void vz_inventory_compare(const struct vz_inventory *before, const struct vz_inventory *after,
			  const struct vz_deed *deed, struct vz_residue *ret)
{
	static const enum vz_residue_kind whole[] = { VZ_RESIDUE_MAPS, VZ_RESIDUE_FDS,
						      VZ_RESIDUE_FILE_SYSTEM, VZ_RESIDUE_THREADS,
						      VZ_RESIDUE_SIGNALS };
	struct comparison c = {
		.before = before,
		.after = after,
		.deed = deed,
		.ret = ret,
	};

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
		ret->looked[whole[i]] = true;
	compare_maps(&c);
	compare_files(&c);
	compare_file_system(&c);
	compare_threads(&c);
	compare_handlers(&c);
	compare_memory(&c);
}

/* ---- judge ---- */

enum vz_cleanness vz_residue_verdict(const struct vz_residue *residue, enum vz_residue_kind kind)
{
	if (residue->ours[kind])
		return VZ_CLEAN_LEFT;
	if (kind == VZ_RESIDUE_TOOL_IDS && residue->no_tool_ids)
		return VZ_CLEAN_NONE;
	if (!residue->looked[kind])
		return VZ_CLEAN_UNKNOWN;
	return kind == VZ_RESIDUE_MEMORY && residue->possible[kind] ? VZ_CLEAN_GREW : VZ_CLEAN_OK;
}

const char *vz_residue_name(enum vz_residue_kind kind)
{
	static const char *const names[VZ_NRESIDUE] = {
		[VZ_RESIDUE_MAPS] = "maps",       [VZ_RESIDUE_MEMORY] = "memory",
		[VZ_RESIDUE_FDS] = "files",       [VZ_RESIDUE_FILE_SYSTEM] = "file system",
		[VZ_RESIDUE_THREADS] = "threads", [VZ_RESIDUE_SIGNALS] = "signals",
		[VZ_RESIDUE_HOOKS] = "hooks",     [VZ_RESIDUE_TOOL_IDS] = "monitoring ids",
	};

	return names[kind];
}

bool vz_residue_clean(const struct vz_residue *residue)
{
	for (int kind = 0; kind < VZ_NRESIDUE; kind++) {
		enum vz_cleanness verdict = vz_residue_verdict(residue, (enum vz_residue_kind)kind);

		if (verdict == VZ_CLEAN_LEFT || verdict == VZ_CLEAN_UNKNOWN)
			return false;
	}
	return true;
}
