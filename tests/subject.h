/* SPDX-License-Identifier: MIT */
/*
 * subject.h - processes to look at: children of the test, and every CPython that
 * this machine has.  They talk through pipes, so nothing here waits by the clock.
 */
#ifndef VZ_TESTS_SUBJECT_H
#define VZ_TESTS_SUBJECT_H

#include <glob.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct subject {
	pid_t pid;
	int in, out; /* its stdin and stdout; it lives until .in is closed */
};

/* Start ARGV; returns when it has written its first byte.  False: it could not be run. */
static inline bool subject_start(struct subject *s, char *const argv[])
{
	int in[2], out[2];
	char c;

	if (pipe(in) < 0 || pipe(out) < 0)
		return false;
	s->pid = fork();
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* if a test fails */
		dup2(in[0], 0);
		dup2(out[1], 1);
		for (int fd = 3; fd < 256; fd++)
			close(fd);
		execv(argv[0], argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	s->in = in[1];
	s->out = out[0];
	return s->pid > 0 && read(s->out, &c, 1) == 1;
}

static inline void subject_end(struct subject *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	close(s->in);
	close(s->out);
}

/* Run TEXT in PYTHON, in its root if it is below build/roots (that needs to be root). */
static inline bool subject_python_text(struct subject *s, const char *python, const char *text)
{
	char exe[4096], root[4096], chroot[] = "/usr/sbin/chroot", option[] = "-c";
	const char *slash = strstr(python, "/build/roots/");
	char *code = strdup(text);
	char *argv[] = { chroot, root, exe, option, code, NULL };
	bool started;

	slash = slash ? strchr(slash + strlen("/build/roots/"), '/') : NULL;
	snprintf(root, sizeof(root), "%.*s", slash ? (int)(slash - python) : 0, python);
	snprintf(exe, sizeof(exe), "%.*s", (int)sizeof(exe) - 1, slash ? slash : python);
	started = subject_start(s, slash ? argv : argv + 2);
	free(code);
	return started;
}

/* Run PROGRAM in PYTHON: it must end with the line ready(). */
static inline bool subject_python(struct subject *s, const char *python, const char *program)
{
	char text[2048];

	snprintf(text, sizeof(text),
		 "import os, sys\n"
		 "def ready():\n"
		 "    os.write(1, b'x')\n"
		 "    sys.stdin.read()\n"
		 "%s\n",
		 program);
	return subject_python_text(s, python, text);
}

/* The text of tests/NAME, to be freed. */
static inline char *subject_script(const char *name)
{
	const char *source = getenv("VZ_SOURCE_DIR");
	char path[1024], *text = calloc(1, 1 << 16);
	FILE *file;

	snprintf(path, sizeof(path), "%s/tests/%s", source ? source : ".", name);
	file = fopen(path, "r");
	if (!text || !file || fread(text, 1, (1 << 16) - 1, file) == 0) {
		fprintf(stderr, "cannot read %s\n", path);
		abort();
	}
	fclose(file);
	return text;
}

/* A child without Python. */
static inline bool subject_plain(struct subject *s)
{
	char shell[] = "/bin/sh", option[] = "-c", text[] = "echo x; read line";
	char *argv[] = { shell, option, text, NULL };

	return subject_start(s, argv);
}

/* Paths that match FORMAT (one "%s") below pyenv's versions and the prefixes of PATH. */
static inline void find_below_prefixes(const char *format, glob_t *ret)
{
	const char *root = getenv("PYENV_ROOT"), *home = getenv("HOME");
	char base[512], pattern[1024], *path, *save = NULL;
	int flags = 0;

	memset(ret, 0, sizeof(*ret));
	if (root)
		snprintf(base, sizeof(base), "%s/versions/*", root);
	else
		snprintf(base, sizeof(base), "%s/.pyenv/versions/*", home ? home : "");
	snprintf(pattern, sizeof(pattern), "%s/%s", base, format);
	if (glob(pattern, flags, NULL, ret) == 0)
		flags = GLOB_APPEND;
	path = strdup(getenv("PATH") ? getenv("PATH") : "");
	for (char *dir = strtok_r(path, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
		size_t len = strlen(dir);

		if (len < 4 || len > sizeof(base) - 1 || strcmp(dir + len - 4, "/bin") != 0)
			continue;
		snprintf(pattern, sizeof(pattern), "%.*s/%s", (int)(len - 4), dir, format);
		if (glob(pattern, flags, NULL, ret) == 0)
			flags = GLOB_APPEND;
	}
	free(path);
}

/* Every bin/python3.N; free with globfree(). */
static inline void find_pythons(glob_t *ret)
{
	glob_t found;
	size_t n = 0;

	find_below_prefixes("bin/python[23].*[0-9]", &found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		const char *name = strrchr(found.gl_pathv[i], '/') + 1;

		/* no python3.11-config, python3.10-gdb.py, and each file once */
		if (name[strspn(name, "python0123456789.")] != '\0' ||
		    (n && !strcmp(found.gl_pathv[n - 1], found.gl_pathv[i]))) {
			free(found.gl_pathv[i]);
			continue;
		}
		found.gl_pathv[n++] = found.gl_pathv[i];
	}
	found.gl_pathc = n;
	if (found.gl_pathv)
		found.gl_pathv[n] = NULL;
	*ret = found;
}

/*
 * What a snapshot also reads: free-threaded builds, also that of scripts/freethreaded, and what
 * scripts/roots unpacked, debug builds too, if it can be entered.
 */
static inline void find_more_pythons(glob_t *ret)
{
	const char *source = getenv("VZ_SOURCE_DIR");
	char pattern[1024];

	find_below_prefixes("bin/python3.*[0-9]t", ret);
	snprintf(pattern, sizeof(pattern), "%s/build/freethreaded/bin/python3.*[0-9]t",
		 source ? source : ".");
	glob(pattern, ret->gl_pathc ? GLOB_APPEND : 0, NULL, ret);
	snprintf(pattern, sizeof(pattern), "%s/build/roots/*/usr/bin/python3.*[0-9td]",
		 source ? source : ".");
	if (geteuid() == 0)
		glob(pattern, ret->gl_pathc ? GLOB_APPEND : 0, NULL, ret);
}

/* The N of "python3.N", 0 for Python 2. */
static inline unsigned python_minor(const char *path)
{
	unsigned major = 0, minor = 0;

	sscanf(strrchr(path, '/'), "/python%1u.%2u", &major, &minor);
	return major == 3 ? minor : 0;
}

#endif /* VZ_TESTS_SUBJECT_H */
