/* SPDX-License-Identifier: MIT */
/* kit_look.c - programs that stand still, and what is said of them. */
#include "tests/kit_look.h"

#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/subject.h"

enum { TRIES = 30, PYTHONS_MAX = 32, STORY_MAX = 1 << 16, AT_ONCE = 4 };

#ifdef VZ_COVERAGE
void __gcov_dump(void);
#endif

struct python {
	char path[512];
	char root[512]; /* "": that of the host */
	unsigned minor;
};

/* ---- the story ---- */

struct story {
	char *text;
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void tell(struct story *s, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(s->text + s->len, STORY_MAX - s->len, fmt, args);
	va_end(args);
	if (n > 0)
		s->len += (size_t)n < STORY_MAX - s->len ? (size_t)n : STORY_MAX - s->len - 1;
}

static const char *thread_name(const struct vz_snapshot *s, int i)
{
	if (i < 0)
		return "-";
	return s->threads[i].name[0] ? s->threads[i].name : s->threads[i].comm;
}

static const char *task_name(const struct vz_snapshot *s, int i)
{
	return i < 0 ? "-" : s->tasks[i].name;
}

static const char *owner_word(enum vz_owner owned)
{
	static const char *const words[] = { "unknown",  "free", "recorded",
					     "inferred", "gone", "orphaned" };

	return words[owned];
}

static const char *state_word(enum vz_task_state state)
{
	static const char *const words[] = { "runs", "waits", "ready", "done", "unknown" };

	return words[state];
}

static void tell_locals(struct story *story, const struct vz_snap_frame *f)
{
	for (size_t i = 0; i < f->nlocals; i++)
		tell(story, "  %s: %s = %s\n", f->function, f->locals[i].name, f->locals[i].value);
	if (f->locals_cut)
		tell(story, "  %s: more\n", f->function);
}

static void tell_thread(struct story *story, const struct vz_snapshot *s, size_t i)
{
	const struct vz_snap_thread *t = &s->threads[i];

	tell(story, "T %s:", thread_name(s, (int)i));
	if (t->lock >= 0) {
		const struct vz_snap_lock *l = &s->locks[t->lock];

		tell(story, " wants %s '%s' %s %s%s (%s)", l->kind, l->name, owner_word(l->owned),
		     thread_name(s, l->owner), l->private_to_process ? "" : " shared", l->note);
	}
	if (t->joins >= 0)
		tell(story, " joins %s", thread_name(s, t->joins));
	if (t->waits_gil)
		tell(story, " waits for the GIL");
	if (t->idle)
		tell(story, " idle: %s", t->idle_why);
	tell(story, "%s\n", t->daemon_known && t->daemon ? " daemon" : "");
	for (size_t j = 0; j < t->nframes; j++)
		tell_locals(story, &t->frames[j]);
}

static void tell_task(struct story *story, const struct vz_snapshot *s, size_t i)
{
	const struct vz_snap_task *t = &s->tasks[i];

	tell(story, "%c %s %s %s: '%s' -> %s%s below %s on %s; in", t->greenlet ? 'G' : 'K',
	     t->name, t->coroutine, state_word(t->state), t->awaits, t->awaits_inferred ? "?" : "",
	     task_name(s, t->awaits_task), task_name(s, t->parent), thread_name(s, t->thread));
	for (size_t j = 0; j < t->nframes; j++)
		tell(story, " %s:%u", t->frames[j].function, t->frames[j].line);
	tell(story, "\n");
}

char *kit_look_story(const struct vz_snapshot *s)
{
	struct story story = { .text = calloc(1, STORY_MAX) };

	for (size_t i = 0; story.text && i < s->nthreads; i++)
		tell_thread(&story, s, i);
	for (size_t i = 0; story.text && i < s->nloops; i++)
		tell(&story, "L %s on %s runs %s%s\n", s->loops[i].kind,
		     thread_name(s, s->loops[i].thread), task_name(s, s->loops[i].running),
		     s->loops[i].selecting ? " selecting" : "");
	for (size_t i = 0; story.text && i < s->ntasks; i++)
		tell_task(&story, s, i);
	for (size_t i = 0; story.text && i < s->nnotes; i++)
		tell(&story, "N %s\n", s->notes[i]);
	return story.text;
}

/* ---- the interpreters ---- */

/* /bin may be /usr/bin. */
static bool is_known(const struct python *list, size_t n, const char *path)
{
	struct stat a, b;

	for (size_t i = 0; i < n; i++) {
		if (stat(list[i].path, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino &&
		    a.st_dev == b.st_dev)
			return true;
	}
	return false;
}

static size_t find_all(struct python *ret)
{
	char pattern[1024];
	glob_t found;
	size_t n = 0;

	find_pythons(&found);
	for (size_t i = 0; i < found.gl_pathc && n < PYTHONS_MAX; i++) {
		ret[n] = (struct python){ .minor = python_minor(found.gl_pathv[i]) };
		snprintf(ret[n].path, sizeof(ret[n].path), "%s", found.gl_pathv[i]);
		n += ret[n].minor >= 8 && ret[n].minor <= 15 &&
		     !is_known(ret, n, found.gl_pathv[i]);
	}
	globfree(&found);
	snprintf(pattern, sizeof(pattern), "%s/build/roots/*/usr/bin/python3.[0-9]*",
		 getenv("VZ_SOURCE_DIR") ? getenv("VZ_SOURCE_DIR") : ".");
	if (geteuid() != 0 || glob(pattern, 0, NULL, &found) != 0)
		return n;
	for (size_t i = 0; i < found.gl_pathc && n < PYTHONS_MAX; i++) {
		const char *name = strrchr(found.gl_pathv[i], '/') + 1;
		size_t root = strlen(found.gl_pathv[i]) -
			      strlen(strstr(found.gl_pathv[i], "/usr/bin/python3."));

		if (name[strspn(name, "python.0123456789")]) /* python3.9-dbg-config */
			continue;
		ret[n] = (struct python){ .minor = python_minor(found.gl_pathv[i]) };
		snprintf(ret[n].root, sizeof(ret[n].root), "%.*s", (int)root, found.gl_pathv[i]);
		snprintf(ret[n].path, sizeof(ret[n].path), "%s", found.gl_pathv[i] + root);
		n++;
	}
	globfree(&found);
	return n;
}

static bool start(struct subject *s, struct python *python, const char *program)
{
	char chroot[] = "/usr/sbin/chroot", option[] = "-c", isolated[] = "-B";
	char *text = strdup(program);
	char *inside[] = { chroot, python->root, python->path, isolated, option, text, NULL };
	bool ok = subject_start(s, python->root[0] ? inside : inside + 2);

	if (!python->root[0] && !ok && access(python->path, X_OK) != 0)
		fprintf(stderr, "%s could not be run\n", python->path);
	free(text);
	return ok;
}

/* ---- a case ---- */

static const char *missing(const struct kit_case *c, const char *story)
{
	for (size_t i = 0; i < sizeof(c->expect) / sizeof(c->expect[0]) && c->expect[i]; i++) {
		if (!strstr(story, c->expect[i]))
			return c->expect[i];
	}
	return NULL;
}

static const char *rejected(const struct kit_case *c, const char *story)
{
	for (size_t i = 0; i < sizeof(c->reject) / sizeof(c->reject[0]) && c->reject[i]; i++) {
		if (strstr(story, c->reject[i]))
			return c->reject[i];
	}
	return NULL;
}

static char *look(pid_t pid, const struct kit_case *c)
{
	struct vz_take take = { .pid = pid, .locals = c->locals };
	struct vz_snapshot *s = NULL;
	struct vz_err err = { 0 };
	char *story;

	if (vz_snapshot_take(&take, &s, &err) < 0) {
		story = malloc(1024);
		if (story)
			snprintf(story, 1024, "%s: %s", err.what, err.why);
		return story;
	}
	story = kit_look_story(s);
	vz_snapshot_free(s);
	return story;
}

/* Until it stands still as it should: it is on its way there when it says so. */
static bool run(const struct kit_case *c, const struct python *python, pid_t pid)
{
	const char *lacks = NULL, *has = NULL;
	char *story = NULL;

	for (int i = 0; i < TRIES; i++) {
		free(story);
		story = look(pid, c);
		lacks = story ? missing(c, story) : "a story";
		has = story ? rejected(c, story) : NULL;
		if (!lacks || has)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = 20 * 1000 * 1000 }, NULL);
	}
	if (lacks || has)
		fprintf(stderr, "%s%s: %s: %s '%s' in\n%s", python->root, python->path, c->label,
			has ? "there is" : "there is no", has ? has : lacks, story ? story : "");
	free(story);
	return !lacks && !has;
}

static pid_t read_pid(const struct subject *s)
{
	char text[32] = "";
	size_t n = 0;

	while (n + 1 < sizeof(text) && read(s->out, text + n, 1) == 1 && text[n] != '\n')
		n++;
	return (pid_t)atoi(text);
}

/* All cases of one interpreter; returns how many were wrong. */
static unsigned run_cases(const struct kit_case *cases, size_t count, struct python *python)
{
	const char *only = getenv("KIT_LOOK_ONLY");
	unsigned wrong = 0;

	for (size_t j = 0; j < count; j++) {
		const struct kit_case *c = &cases[j];
		struct subject s;
		pid_t pid;

		if ((c->min && python->minor < c->min) || (c->max && python->minor > c->max) ||
		    (only && !strstr(c->label, only)))
			continue;
		if (!start(&s, python, c->program)) {
			if (c->optional)
				continue;
			fprintf(stderr, "SKIPPED: %s%s\n", python->root, python->path);
			break;
		}
		pid = c->child ? read_pid(&s) : s.pid;
		wrong += !run(c, python, pid);
		subject_end(&s);
		if (c->child && pid > 1)
			kill(pid, SIGKILL);
	}
	return wrong;
}

/* A snapshot mostly waits between its looks: several interpreters at once take little longer. */
static pid_t begin_cases(const struct kit_case *cases, size_t count, struct python *python)
{
	pid_t pid = fork();

	if (pid == 0) {
		unsigned wrong = run_cases(cases, count, python);

#ifdef VZ_COVERAGE
		__gcov_dump();
#endif
		_exit(wrong < 255 ? (int)wrong : 255);
	}
	return pid;
}

static unsigned end_cases(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	return WIFEXITED(status) ? (unsigned)WEXITSTATUS(status) : 1;
}

/* Builds that run slowly look at the first, one in the middle and the last. */
static bool is_left_out(size_t i, size_t n)
{
	return getenv("VZ_FEW_PYTHONS") && i != 0 && i != n / 2 && i != n - 1;
}

unsigned kit_look_all(const struct kit_case *cases, size_t count, unsigned min, unsigned max)
{
	struct python pythons[PYTHONS_MAX];
	size_t n = find_all(pythons), running = 0;
	const char *where = getenv("KIT_LOOK_PYTHON");
	pid_t pids[AT_ONCE];
	unsigned wrong = 0;

	if (n == 0)
		fprintf(stderr, "SKIPPED: no CPython on this machine\n");
	for (size_t i = 0; i < n; i++) {
		if (pythons[i].minor < min || pythons[i].minor > max ||
		    (where && !strstr(pythons[i].path, where)) || is_left_out(i, n))
			continue;
		if (running == AT_ONCE) {
			wrong += end_cases(pids[0]);
			memmove(pids, pids + 1, sizeof(pids) - sizeof(pids[0]));
			running--;
		}
		pids[running++] = begin_cases(cases, count, &pythons[i]);
	}
	for (size_t i = 0; i < running; i++)
		wrong += end_cases(pids[i]);
	return wrong;
}
