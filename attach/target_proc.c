/* SPDX-License-Identifier: MIT */
/*
 * target_proc.c - the readers of /proc that target.h promises.  The text may be
 * anything: threads vanish while it is read, and /proc may be mounted strangely.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attach/target.h"
#include "attach/util.h"

enum {
	MAPS_MAX_BYTES = 128 << 20, /* vm.max_map_count is a million on some systems */
	MAPS_MAX_COUNT = 2 << 20,
	TASKS_MAX_COUNT = 1 << 20,
	TASKS_MAX_GONE = 1 << 16, /* a target can make threads as fast as we look at them */
	SMALL_MAX_BYTES = 1 << 20,
};

/* A file of a process that ended is ENOENT on open, ESRCH on read. */
static int gone(int rc)
{
	return rc == -ENOENT || rc == -ESRCH ? -ESRCH : rc;
}

static bool parse_hex(const char **text, uint64_t *ret)
{
	const char *p = *text;
	uint64_t value = 0;

	for (; isxdigit((unsigned char)*p); p++) {
		unsigned digit = isdigit((unsigned char)*p) ? (unsigned)*p - '0'
							    : ((unsigned)*p | 32U) - 'a' + 10U;

		if (value >> 60)
			return false;
		value = value << 4 | digit;
	}
	if (p == *text)
		return false;
	*ret = value;
	*text = p;
	return true;
}

/* Goes behind the digits in any case, or who calls this in a loop would not end. */
static bool parse_dec(const char **text, uint64_t *ret)
{
	const char *p = *text;
	uint64_t value = 0;
	bool fits = true;

	for (; isdigit((unsigned char)*p); p++) {
		fits = fits && value <= UINT64_MAX / 10 - 1;
		value = fits ? value * 10 + ((unsigned)*p - '0') : UINT64_MAX;
	}
	if (p == *text)
		return false;
	*ret = value;
	*text = p;
	return fits;
}

static bool expect(const char **text, char c)
{
	if (**text != c)
		return false;
	(*text)++;
	return true;
}

/* ---- maps ---- */

static bool parse_flags(const char **text, struct vz_map *map)
{
	const char *p = *text;

	for (int i = 0; i < 4; i++) {
		if (!p[i] || !strchr("rwxps-", p[i]))
			return false;
	}
	map->readable = p[0] == 'r';
	map->writable = p[1] == 'w';
	map->executable = p[2] == 'x';
	map->shared = p[3] == 's';
	*text = p + 4;
	return true;
}

static bool parse_map_numbers(const char **text, struct vz_map *map)
{
	uint64_t major, minor;

	if (!parse_hex(text, &map->start) || !expect(text, '-') || !parse_hex(text, &map->end) ||
	    !expect(text, ' ') || !parse_flags(text, map) || !expect(text, ' ') ||
	    !parse_hex(text, &map->offset) || !expect(text, ' ') || !parse_hex(text, &major) ||
	    !expect(text, ':') || !parse_hex(text, &minor) || !expect(text, ' ') ||
	    !parse_dec(text, &map->inode))
		return false;
	map->dev_major = (uint32_t)major;
	map->dev_minor = (uint32_t)minor;
	return map->start < map->end;
}

/* LINE ends with a NUL, and becomes the path.  False: not a mapping. */
static bool parse_map_line(char *line, struct vz_map *map)
{
	static const char mark[] = " (deleted)";
	const char *at = line;
	char *path;
	size_t len;

	memset(map, 0, sizeof(*map));
	if (!parse_map_numbers(&at, map))
		return false;
	while (*at == ' ')
		at++;
	path = line + (at - line);
	len = strlen(path);
	if (len >= sizeof(mark) - 1 && !strcmp(path + len - (sizeof(mark) - 1), mark)) {
		map->deleted = true;
		path[len - (sizeof(mark) - 1)] = '\0';
	}
	map->path = path;
	return true;
}

static int maps_append(struct vz_maps *maps, const struct vz_map *map)
{
	/* Powers of two: grow when the count is one, starting at 64. */
	if (maps->count == 0 || (maps->count >= 64 && !(maps->count & (maps->count - 1)))) {
		size_t room = maps->count ? maps->count * 2 : 64;
		struct vz_map *items = realloc(maps->items, room * sizeof(*items));

		if (!items)
			return -ENOMEM;
		maps->items = items;
	}
	maps->items[maps->count++] = *map;
	return 0;
}

static int maps_add_line(struct vz_maps *maps, char *line)
{
	struct vz_map map;

	if (!parse_map_line(line, &map))
		return 0;
	/* The kernel lists by address; what overlaps is garbage or a torn read. */
	if (maps->count && map.start < maps->items[maps->count - 1].end)
		return 0;
	return maps_append(maps, &map);
}

/* Takes TEXT over, which ends with a NUL behind LEN bytes. */
static int parse_maps(char *text, size_t len, struct vz_maps *ret)
{
	char *line = text;
	int rc = 0;

	*ret = (struct vz_maps){ .text = text };
	while (line < text + len && rc == 0 && ret->count < MAPS_MAX_COUNT) {
		char *end = memchr(line, '\n', (size_t)(text + len - line));

		if (end)
			*end = '\0';
		rc = maps_add_line(ret, line);
		line = end ? end + 1 : text + len;
	}
	if (rc < 0)
		vz_maps_fini(ret);
	return rc;
}

int vz_maps_parse(const char *text, size_t len, struct vz_maps *ret)
{
	char *copy = malloc(len + 1);

	memset(ret, 0, sizeof(*ret));
	if (!copy)
		return -ENOMEM;
	memcpy(copy, text, len);
	copy[len] = '\0';
	return parse_maps(copy, len, ret);
}

static int maps_error(pid_t pid, int rc, struct vz_err *err)
{
	rc = gone(rc);
	if (rc == -ESRCH) {
		vz_err_set(err, VZ_EXIT_NO_PROCESS, ESRCH, "process %d has ended", (int)pid);
	} else if (rc == -EACCES || rc == -EPERM) {
		vz_err_set(err, VZ_EXIT_PERMISSION, -rc, "cannot see the memory map of process %d",
			   (int)pid);
		vz_err_why(err, "it belongs to another user, or access to it is restricted");
		vz_err_try(err, "run as the same user, or with sudo");
	} else {
		vz_err_set(err, VZ_EXIT_UNEXPECTED, -rc, "cannot read the memory map of process %d",
			   (int)pid);
		vz_err_why(err, "%s", strerror(-rc));
	}
	return rc;
}

int vz_maps_read(pid_t pid, struct vz_maps *ret, struct vz_err *err)
{
	char *text = NULL;
	size_t len;
	int rc;

	memset(ret, 0, sizeof(*ret));
	rc = vz_slurp_proc(pid, 0, "maps", MAPS_MAX_BYTES, &text, &len);
	if (rc == 0)
		rc = parse_maps(text, len, ret);
	return rc < 0 ? maps_error(pid, rc, err) : 0;
}

void vz_maps_fini(struct vz_maps *maps)
{
	free(maps->items);
	free(maps->text);
	memset(maps, 0, sizeof(*maps));
}

const struct vz_map *vz_maps_find(const struct vz_maps *maps, uint64_t raddr)
{
	size_t low = 0, high = maps->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (maps->items[mid].end <= raddr)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == maps->count || raddr < maps->items[low].start)
		return NULL;
	return &maps->items[low];
}

/* ---- status ---- */

enum status_kind { LAST_NUMBER, NUMBER, WIDE, HEX, KIB, LETTER, NAME, IDS, SHADOW };

struct status_field {
	const char *label;
	size_t offset;
	enum status_kind kind;
};

#define AT(member) offsetof(struct vz_status, member)
static const struct status_field status_fields[] = {
	/* clang-format off */
	{ "Name:",       AT(comm),                   NAME },
	{ "State:",      AT(state),                  LETTER },
	{ "Tgid:",       AT(tgid),                   NUMBER },
	{ "PPid:",       AT(ppid),                   NUMBER },
	{ "TracerPid:",  AT(tracer_pid),             NUMBER },
	{ "Uid:",        AT(uid),                    IDS },
	{ "Gid:",        AT(gid),                    NUMBER },
	{ "NSpid:",      AT(ns_pid),                 LAST_NUMBER },
	{ "Seccomp:",    AT(seccomp),                NUMBER },
	{ "Seccomp_filters:", AT(seccomp_filters),   NUMBER },
	{ "NoNewPrivs:", AT(no_new_privs),           NUMBER },
	{ "Threads:",    AT(threads),                NUMBER },
	{ "VmRSS:",      AT(rss_bytes),              KIB },
	{ "RssAnon:",    AT(anon_bytes),             KIB },
	{ "VmData:",     AT(data_bytes),             KIB },
	{ "VmSwap:",     AT(swap_bytes),             KIB },
	{ "voluntary_ctxt_switches:",    AT(switches[0]), WIDE },
	{ "nonvoluntary_ctxt_switches:", AT(switches[1]), WIDE },
	{ "SigBlk:",     AT(signals.blocked),        HEX },
	{ "SigIgn:",     AT(signals.ignored),        HEX },
	{ "SigCgt:",     AT(signals.caught),         HEX },
	{ "SigPnd:",     AT(signals.pending),        HEX },
	{ "ShdPnd:",     AT(signals.shared_pending), HEX },
	{ "x86_Thread_features:", AT(shadow_stack),  SHADOW },
	/* clang-format on */
};
#undef AT

_Static_assert(sizeof(pid_t) == 4 && sizeof(uid_t) == 4 && sizeof(gid_t) == 4, "stored as 32 bit");

static void skip_blanks(const char **text)
{
	while (**text == ' ' || **text == '\t')
		(*text)++;
}

static uint32_t next_number(const char **text)
{
	uint64_t value = 0;

	skip_blanks(text);
	parse_dec(text, &value);
	return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static void parse_name(const char *value, size_t size, char *ret)
{
	size_t len = strcspn(value, "\n");

	if (len >= size)
		len = size - 1;
	memcpy(ret, value, len);
	ret[len] = '\0';
}

/* The innermost number, and how many there are. */
static void parse_ns_pid(const char *value, struct vz_status *ret)
{
	for (;;) {
		skip_blanks(&value);
		if (!isdigit((unsigned char)*value))
			return;
		ret->ns_pid = (pid_t)next_number(&value);
		ret->ns_depth++;
	}
}

static void parse_ids(const char *value, struct vz_status *ret)
{
	ret->uid = next_number(&value);
	ret->euid = next_number(&value);
	next_number(&value); /* saved */
	ret->fsuid = next_number(&value);
}

static void parse_field(const struct status_field *field, const char *value, struct vz_status *ret)
{
	char *at = (char *)ret + field->offset;
	uint64_t wide = 0;
	uint32_t number;

	skip_blanks(&value);
	switch (field->kind) {
	case NAME:
		parse_name(value, sizeof(ret->comm), at);
		break;
	case LETTER:
		if (isalpha((unsigned char)*value))
			*at = *value;
		break;
	case NUMBER:
		number = next_number(&value);
		memcpy(at, &number, sizeof(number));
		break;
	case LAST_NUMBER:
		parse_ns_pid(value, ret);
		break;
	case IDS:
		parse_ids(value, ret);
		break;
	case SHADOW:
		ret->shadow_stack = vz_starts_with(value, "shstk");
		break;
	case HEX:
		parse_hex(&value, &wide);
		memcpy(at, &wide, sizeof(wide));
		break;
	case WIDE:
		parse_dec(&value, &wide);
		memcpy(at, &wide, sizeof(wide));
		break;
	case KIB:
		parse_dec(&value, &wide);
		wide = wide > UINT64_MAX / 1024 ? UINT64_MAX : wide * 1024;
		memcpy(at, &wide, sizeof(wide));
		break;
	}
}

int vz_status_parse(const char *text, struct vz_status *ret)
{
	enum { NFIELDS = sizeof(status_fields) / sizeof(status_fields[0]) };

	memset(ret, 0, sizeof(*ret));
	while (*text) {
		const char *end = strchrnul(text, '\n');

		for (size_t i = 0; i < NFIELDS; i++) {
			const struct status_field *field = &status_fields[i];

			if (vz_starts_with(text, field->label)) {
				parse_field(field, text + strlen(field->label), ret);
				break;
			}
		}
		text = *end ? end + 1 : end;
	}
	return ret->state ? 0 : -EINVAL;
}

int vz_status_read(pid_t pid, pid_t tid, struct vz_status *ret)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int rc;

	memset(ret, 0, sizeof(*ret));
	rc = vz_slurp_proc(pid, tid, "status", SMALL_MAX_BYTES, &text, &len);
	if (rc < 0)
		return gone(rc);
	/* Without a state it was cut short: the process is going. */
	return vz_status_parse(text, ret) < 0 ? -ESRCH : 0;
}

/* ---- stat, tasks ---- */

uint64_t vz_stat_start_time(const char *text)
{
	/* Field 22; the name in field 2 may hold blanks and brackets. */
	const char *p = strrchr(text, ')');
	uint64_t value = 0;

	if (!p)
		return 0;
	p++;
	for (int field = 3; field <= 22; field++) {
		skip_blanks(&p);
		if (field < 22)
			p += strcspn(p, " \n");
	}
	parse_dec(&p, &value);
	return value;
}

void vz_syscall_parse(const char *text, struct vz_task *ret)
{
	uint64_t number, value;

	ret->syscall = -1;
	if (vz_starts_with(text, "running"))
		return;
	if (vz_starts_with(text, "-1 ")) { /* blocked, but not in a system call */
		text += 3;
	} else if (parse_dec(&text, &number) && number <= INT32_MAX && *text == ' ') {
		for (int i = 0; i < 6; i++) {
			skip_blanks(&text);
			if (!vz_starts_with(text, "0x"))
				return;
			text += 2;
			if (!parse_hex(&text, &ret->args[i]))
				return;
		}
		ret->syscall = (long)number;
	} else {
		ret->syscall = -2;
		return;
	}
	for (int i = 0; i < 2; i++) {
		skip_blanks(&text);
		text += vz_starts_with(text, "0x") ? 2 : 0;
		if (!parse_hex(&text, &value))
			return;
		*(i ? &ret->pc : &ret->sp) = value;
	}
}

int vz_task_read(pid_t pid, pid_t tid, struct vz_task *ret)
{
	_cleanup_free_ char *text = NULL;
	struct vz_status status;
	size_t len;
	int rc = vz_status_read(pid, tid, &status);

	memset(ret, 0, sizeof(*ret));
	if (rc < 0)
		return rc;
	ret->tid = tid;
	ret->state = status.state;
	ret->ns_tid = status.ns_pid;
	ret->tracer_pid = status.tracer_pid;
	ret->seccomp = status.seccomp;
	snprintf(ret->comm, sizeof(ret->comm), "%s", status.comm);
	rc = vz_slurp_proc(pid, tid, "syscall", SMALL_MAX_BYTES, &text, &len);
	if (rc == 0)
		vz_syscall_parse(text, ret);
	else
		ret->syscall = -2;
	return gone(rc) == -ESRCH ? -ESRCH : 0;
}

static int tasks_append(struct vz_tasks *tasks, const struct vz_task *task)
{
	if (tasks->count == 0 || (tasks->count >= 16 && !(tasks->count & (tasks->count - 1)))) {
		size_t room = tasks->count ? tasks->count * 2 : 16;
		struct vz_task *items = realloc(tasks->items, room * sizeof(*items));

		if (!items)
			return -ENOMEM;
		tasks->items = items;
	}
	tasks->items[tasks->count++] = *task;
	return 0;
}

static int task_by_tid(const void *a, const void *b)
{
	const struct vz_task *x = a, *y = b;

	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

static int tasks_walk(pid_t pid, DIR *dir, struct vz_tasks *ret)
{
	const struct dirent *entry;
	unsigned missed = 0;

	while ((entry = readdir(dir)) && ret->count < TASKS_MAX_COUNT && missed < TASKS_MAX_GONE) {
		const char *name = entry->d_name;
		struct vz_task task;
		uint64_t tid;
		int rc;

		if (!parse_dec(&name, &tid) || *name || tid == 0 || tid > INT32_MAX)
			continue;
		if (vz_task_read(pid, (pid_t)tid, &task) < 0) {
			missed++;
			continue;
		}
		rc = tasks_append(ret, &task);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int vz_tasks_read(pid_t pid, struct vz_tasks *ret, struct vz_err *err)
{
	char path[64];
	_cleanup_closedir_ DIR *dir = NULL;
	int rc;

	memset(ret, 0, sizeof(*ret));
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	rc = dir ? tasks_walk(pid, dir, ret) : gone(-errno);
	if (rc == 0 && ret->count == 0)
		rc = -ESRCH;
	if (rc == -ESRCH) {
		vz_tasks_fini(ret);
		return vz_err_set(err, VZ_EXIT_NO_PROCESS, ESRCH, "process %d has ended", (int)pid);
	}
	if (rc < 0) {
		vz_tasks_fini(ret);
		vz_err_set(err, VZ_EXIT_UNEXPECTED, -rc, "cannot list the threads of process %d",
			   (int)pid);
		vz_err_why(err, "%s", strerror(-rc));
		return rc;
	}
	qsort(ret->items, ret->count, sizeof(*ret->items), task_by_tid);
	return 0;
}

void vz_tasks_fini(struct vz_tasks *tasks)
{
	free(tasks->items);
	memset(tasks, 0, sizeof(*tasks));
}
