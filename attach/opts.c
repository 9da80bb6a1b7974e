/* SPDX-License-Identifier: MIT */
#include "attach/opts.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "attach/json.h"
#include "attach/util.h"

enum kind { FLAG, FLAG_OFF, COUNT, PID, TEXT, DURATION, SIZE, HELP, VERSION };

/* Which verbs take an option. */
enum {
	REC = 1 << VZ_VERB_RECORD,
	DOC = 1 << VZ_VERB_DOCTOR,
	LIST = 1 << VZ_VERB_PS,
	SNAP = 1 << VZ_VERB_SNAPSHOT
};

struct option {
	const char *name; /* also VIZATTACH_NAME */
	char letter;
	unsigned verbs;
	enum kind kind;
	size_t offset; /* in struct vz_opts */
	const char *arg;
	const char *help;
	uint64_t min, max;
};

#define AT(member) offsetof(struct vz_opts, member)
#define MS         UINT64_C(1000000)
#define HOUR       (UINT64_C(3600000) * MS)
#define MIB        (UINT64_C(1) << 20)

static const struct option options[] = {
	/* clang-format off */
	/* name, letter, verbs, kind, where, argument, help, smallest, largest */
	{ "pid", 'p', REC | DOC | SNAP, PID, AT(pid), "PID", "the process", 1, INT32_MAX },
	{ "duration", 'd', REC, DURATION, AT(duration_ns), "TIME",
	  "how long: 10s, 250ms, 1m30s (default: until Ctrl-C)", 0, UINT64_C(8760) * HOUR },
	{ "output", 'o', REC, TEXT, AT(output_given), "FILE",
	  "trace to write; %p: pid, %t: time", 0, 0 },
	{ "force", 0, REC, FLAG, AT(force), NULL, "write over an existing file", 0, 0 },
	{ "no-c-calls", 0, REC, FLAG_OFF, AT(c_calls), NULL, "record Python functions only", 0, 0 },
	{ "with-source", 0, REC, FLAG, AT(with_source), NULL,
	  "put the source text of what ran into the trace", 0, 0 },
	{ "ring-size", 0, REC | DOC, SIZE, AT(ring_bytes), "SIZE",
	  "memory for events in the target (default: 64MiB)", MIB, 4096 * MIB },
	{ "strict", 0, REC, FLAG, AT(strict), NULL, "exit with 9 if events were lost", 0, 0 },
	{ "attach-timeout", 0, REC, DURATION, AT(attach_timeout_ns), "TIME",
	  "give up if no safe moment comes (default: 5s)", 10 * MS, HOUR },
	{ "gil-timeout", 0, REC, DURATION, AT(gil_timeout_ns), "TIME",
	  "give up waiting for the GIL (default: 10s)", 10 * MS, HOUR },
	{ "override-opt-out", 0, REC | DOC, FLAG, AT(override_opt_out), NULL,
	  "ignore PYTHON_DISABLE_REMOTE_DEBUG of the target", 0, 0 },
	{ "override-limits", 0, REC | DOC, FLAG, AT(override_limits), NULL,
	  "go on where memory or threads may run out", 0, 0 },
	{ "core", 0, SNAP, TEXT, AT(core), "FILE", "read this core dump instead of a process", 0, 0 },
	{ "locals", 0, SNAP, FLAG, AT(locals), NULL,
	  "show local variables; secrets are masked", 0, 0 },
	{ "native", 0, SNAP, FLAG, AT(native), NULL, "show CPython's own C functions too", 0, 0 },
	{ "all", 0, SNAP, FLAG, AT(all), NULL, "show each thread's stack, also of idle ones", 0, 0 },
	{ "no-stop", 0, SNAP, FLAG, AT(no_stop), NULL,
	  "never stop a thread, not even one that runs", 0, 0 },
	{ "watch", 0, SNAP, DURATION, AT(watch_ns), "TIME",
	  "repeat, and show what changed, until Ctrl-C", 100 * MS, 24 * HOUR },
	{ "json", 0, REC | DOC | LIST | SNAP, FLAG, AT(json), NULL, "print JSON on stdout", 0, 0 },
	{ "quiet", 'q', REC, FLAG, AT(quiet), NULL, "no progress, no receipt", 0, 0 },
	{ "verbose", 'v', REC, COUNT, AT(verbose), NULL, "say more; twice: still more", 0, 9 },
	{ "help", 'h', REC | DOC | LIST | SNAP, HELP, 0, NULL, "print this and exit", 0, 0 },
	{ "version", 0, REC | DOC | LIST | SNAP, VERSION, 0, NULL,
	  "print version and supported CPythons and exit", 0, 0 },
	/* clang-format on */
};

/* What can be asked for, in the order of --help. */
static const struct verb {
	enum vz_verb verb;
	const char *name, *usage, *about, *more;
} verbs[] = {
	{ VZ_VERB_RECORD, "record",
	  "usage: vizattach [record] --pid PID [options]\n"
	  "       vizattach doctor [--pid PID]   what may be recorded here, or why not\n"
	  "       vizattach snapshot --pid PID   what it does or hangs on, right now\n"
	  "       vizattach ps                   Python processes here\n\n",
	  "Records every call in a running CPython, then leaves it as it was.\n\n",
	  "\nEach option can be set in the environment: VIZATTACH_RING_SIZE=128MiB.\n"
	  "Without --output: vizattach-COMM-PID-TIME.viz in the current directory.\n\n"
	  "examples:\n"
	  "  vizattach --pid 4242 --duration 10s\n"
	  "  vizattach -p 4242 --no-c-calls -o /tmp/trace-%p-%t.viz\n" },
	{ VZ_VERB_DOCTOR, "doctor", "usage: vizattach doctor [--pid PID] [options]\n\n",
	  "Makes every check that comes before a recording and prints what it found, and\n"
	  "for what is in the way why and what to do.  Nothing is stopped or changed.\n"
	  "Without --pid: what this machine allows this user.\n\n",
	  "\nExit status: 0 if a recording may begin, else that of the first refusal.\n\n"
	  "examples:\n"
	  "  vizattach doctor\n"
	  "  vizattach doctor --pid 4242 --ring-size 16MiB\n" },
	{ VZ_VERB_SNAPSHOT, "snapshot",
	  "usage: vizattach snapshot --pid PID [options]\n"
	  "       vizattach snapshot --core FILE [options]\n\n",
	  "Tells what a Python process is stuck on: a verdict, the stacks of all threads\n"
	  "(Python and native), who waits for whom, asyncio tasks.  It only reads: nothing\n"
	  "runs in the process, and only threads that run are stopped, for microseconds.\n\n",
	  "\nexamples:\n"
	  "  vizattach snapshot --pid 4242\n"
	  "  vizattach snapshot -p 4242 --watch 5s --locals\n" },
	{ VZ_VERB_PS, "ps", "usage: vizattach ps [options]\n\n",
	  "Lists the processes here that run Python: whose, which version, in a container\n"
	  "or not, and whether they can be recorded.  Nothing is stopped or changed.\n\n",
	  "\nexamples:\n"
	  "  vizattach ps\n"
	  "  vizattach ps --json\n" },
};

enum { NVERBS = sizeof(verbs) / sizeof(verbs[0]) };

enum { NOPTIONS = sizeof(options) / sizeof(options[0]), NAME_MAX_LEN = 64 };

static bool takes(enum vz_verb verb, const struct option *option)
{
	return option->verbs >> verb & 1;
}

const char *vz_opts_name(enum vz_verb verb, unsigned index)
{
	for (unsigned i = 0; i < NOPTIONS; i++) {
		if (takes(verb, &options[i]) && index-- == 0)
			return options[i].name;
	}
	return NULL;
}

/* ---- what was meant ---- */

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;

	return least < c ? least : c;
}

/* Levenshtein's distance; long words are far from everything. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[NAME_MAX_LEN + 1];
	size_t len = strlen(b);

	if (len > NAME_MAX_LEN || strlen(a) > NAME_MAX_LEN)
		return UINT_MAX;
	for (unsigned k = 0; k <= len; k++)
		row[k] = k;
	for (unsigned i = 1; *a; a++, i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned k = 1; k <= len; k++) {
			unsigned above = row[k];

			row[k] = min3(above + 1, row[k - 1] + 1, diagonal + (*a != b[k - 1]));
			diagonal = above;
		}
	}
	return row[len];
}

/* The option that NAME was meant to be, or NULL. */
static const char *nearest(enum vz_verb verb, const char *name)
{
	unsigned best = 3;
	const char *ret = NULL;

	for (unsigned i = 0; i < NOPTIONS; i++) {
		unsigned d = distance(name, options[i].name);

		if (!takes(verb, &options[i]))
			continue;
		if (strlen(name) >= 3 && vz_starts_with(options[i].name, name))
			return options[i].name;
		if (d < best && d < strlen(name)) {
			best = d;
			ret = options[i].name;
		}
	}
	return ret;
}

static const char *verb_name(enum vz_verb verb)
{
	for (unsigned i = 0; i < NVERBS; i++) {
		if (verbs[i].verb == verb)
			return verbs[i].name;
	}
	return "";
}

static int unknown_option(enum vz_verb verb, const char *word, const char *name, struct vz_err *err)
{
	const char *meant = nearest(verb, name), *space = verb == VZ_VERB_RECORD ? "" : " ";
	const char *command = verb == VZ_VERB_RECORD ? "" : verb_name(verb);

	vz_err_set(err, VZ_EXIT_USAGE, EINVAL, "there is no option '%s'%s%s", word,
		   *command ? " for " : "", command);
	if (meant)
		vz_err_try(err, "--%s", meant);
	else
		vz_err_try(err, "vizattach%s%s --help", space, command);
	return -EINVAL;
}

/* The command that WORD was meant to be, or NULL. */
static const char *nearest_verb(const char *word)
{
	for (unsigned i = 0; i < NVERBS; i++) {
		unsigned d = distance(word, verbs[i].name);

		if (d <= 2 && d < strlen(word))
			return verbs[i].name;
	}
	return NULL;
}

static int not_an_option(const char *word, struct vz_err *err)
{
	vz_err_set(err, VZ_EXIT_USAGE, EINVAL, "'%s' is not understood", word);
	if (word[0] && word[strspn(word, "0123456789")] == '\0') {
		vz_err_why(err, "a process is given with --pid");
		vz_err_try(err, "did you mean --pid %s?", word);
	} else {
		const char *meant = nearest_verb(word);

		vz_err_why(
			err,
			"the commands are record, snapshot, doctor and ps; all else is an option");
		if (meant)
			vz_err_try(err, "vizattach %s", meant);
		else
			vz_err_try(err, "vizattach --help");
	}
	return -EINVAL;
}

/* ---- values ---- */

static int bad_value(const struct option *option, const char *value, int rc, struct vz_err *err)
{
	vz_err_set(err, VZ_EXIT_USAGE, -rc, "--%s: '%s' is not accepted", option->name, value);
	switch (option->kind) {
	case PID:
		vz_err_why(err, "a process id is a number from 1 to %d", INT32_MAX);
		break;
	case DURATION:
		vz_err_why(err, rc == -ERANGE ? "it is too short or too long"
					      : "a time looks like 10s, 250ms, 1m30s or 2h");
		break;
	case SIZE:
		vz_err_why(err, rc == -ERANGE ? "it must be from 1MiB to 4GiB"
					      : "a size looks like 64MiB, 512KiB or 1G");
		break;
	default:
		vz_err_why(err, "it is empty, or neither yes nor no");
		break;
	}
	return rc;
}

static int parse_pid(const char *value, uint64_t *ret)
{
	size_t len = strlen(value);

	if (len == 0 || value[strspn(value, "0123456789")] != '\0')
		return -EINVAL;
	if (len > 10)
		return -ERANGE;
	*ret = strtoull(value, NULL, 10);
	return 0;
}

static int store_number(const struct option *option, const char *value, void *at)
{
	uint64_t number = 0;
	int rc;

	if (option->kind == PID)
		rc = parse_pid(value, &number);
	else if (option->kind == DURATION)
		rc = vz_parse_duration(value, &number);
	else
		rc = vz_parse_size(value, &number);
	if (rc == 0 && (number < option->min || number > option->max))
		rc = -ERANGE;
	if (rc < 0)
		return rc;
	if (option->kind == PID)
		*(pid_t *)at = (pid_t)number;
	else
		*(uint64_t *)at = number;
	return 0;
}

static int store(const struct option *option, const char *value, struct vz_opts *opts,
		 struct vz_err *err)
{
	void *at = (char *)opts + option->offset;
	int rc = 0;

	switch (option->kind) {
	case FLAG:
	case FLAG_OFF:
		*(bool *)at = option->kind == FLAG;
		break;
	case COUNT:
		*(int *)at += *(int *)at < 9;
		break;
	case HELP:
		opts->topic = opts->verb;
		opts->verb = VZ_VERB_HELP;
		break;
	case VERSION:
		opts->verb = VZ_VERB_VERSION;
		break;
	case TEXT:
		if (!value || !value[0])
			return bad_value(option, "", -EINVAL, err);
		*(const char **)at = value;
		break;
	default:
		rc = store_number(option, value, at);
		break;
	}
	return rc < 0 ? bad_value(option, value, rc, err) : 0;
}

/* ---- environment ---- */

static int truth(const char *value)
{
	static const char *const words[2][5] = {
		{ "", "0", "no", "false", "off" },
		{ "1", "yes", "true", "on", "y" },
	};

	for (int i = 0; i < 2; i++) {
		for (int k = 0; k < 5; k++) {
			if (!strcasecmp(value, words[i][k]))
				return i;
		}
	}
	return -EINVAL;
}

static int take_variable(const struct option *option, const char *value, struct vz_opts *opts,
			 struct vz_err *err)
{
	int rc;

	if (option->kind == COUNT) {
		rc = truth(value);
		if (rc == 0)
			return 0;
		opts->verbose = rc == 1 ? 1 : (int)strtol(value, NULL, 10);
		return opts->verbose >= 1 && opts->verbose <= 9
			       ? 0
			       : bad_value(option, value, -EINVAL, err);
	}
	if (option->kind == FLAG || option->kind == FLAG_OFF) {
		rc = truth(value);
		if (rc < 0)
			return bad_value(option, value, rc, err);
		return rc ? store(option, value, opts, err) : 0;
	}
	return value[0] ? store(option, value, opts, err) : 0;
}

/* "ring-size": VIZATTACH_RING_SIZE */
static const char *variable(const struct option *option, char name[NAME_MAX_LEN])
{
	size_t n = (size_t)snprintf(name, NAME_MAX_LEN, "VIZATTACH_");

	for (const char *p = option->name; *p && n < NAME_MAX_LEN - 1; p++)
		name[n++] = (char)(*p == '-' ? '_' : toupper((unsigned char)*p));
	name[n] = '\0';
	return getenv(name);
}

static int take_environment(struct vz_opts *opts, struct vz_err *err)
{
	for (unsigned i = 0; i < NOPTIONS; i++) {
		char name[NAME_MAX_LEN];
		const char *value;
		int rc;

		if (options[i].kind == HELP || options[i].kind == VERSION ||
		    !takes(opts->verb, &options[i]))
			continue;
		value = variable(&options[i], name);
		rc = value ? take_variable(&options[i], value, opts, err) : 0;
		if (rc < 0) {
			vz_err_try(err, "unset %s", name);
			return rc;
		}
	}
	return 0;
}

/* ---- command line ---- */

struct words {
	char **argv;
	int count, next;
	bool pid_given;
};

static int take(const struct option *option, const char *value, struct words *words,
		struct vz_opts *opts, struct vz_err *err)
{
	if (option->arg && !value) {
		if (words->next >= words->count) {
			vz_err_set(err, VZ_EXIT_USAGE, EINVAL, "--%s needs a value", option->name);
			vz_err_try(err, "--%s %s", option->name, option->arg);
			return -EINVAL;
		}
		value = words->argv[words->next++];
	}
	if (option->kind == PID) {
		if (words->pid_given) {
			vz_err_set(err, VZ_EXIT_USAGE, EINVAL, "--pid is given twice");
			vz_err_why(err, "one vizattach records one process");
			vz_err_try(err, "run it once for each process");
			return -EINVAL;
		}
		words->pid_given = true;
	}
	return store(option, value, opts, err);
}

static int take_long(const char *word, struct words *words, struct vz_opts *opts,
		     struct vz_err *err)
{
	char name[NAME_MAX_LEN];
	size_t len = strcspn(word + 2, "=");
	const char *value = word[2 + len] ? word + 2 + len + 1 : NULL;

	snprintf(name, sizeof(name), "%.*s", len > INT_MAX ? 0 : (int)len, word + 2);
	for (unsigned i = 0; i < NOPTIONS; i++) {
		if (strcmp(options[i].name, name) != 0 || !takes(opts->verb, &options[i]))
			continue;
		if (value && !options[i].arg) {
			vz_err_set(err, VZ_EXIT_USAGE, EINVAL, "--%s takes no value", name);
			vz_err_try(err, "--%s", name);
			return -EINVAL;
		}
		return take(&options[i], value, words, opts, err);
	}
	return unknown_option(opts->verb, word, name, err);
}

static const struct option *find_letter(enum vz_verb verb, char letter)
{
	for (unsigned i = 0; i < NOPTIONS; i++) {
		if (options[i].letter && options[i].letter == letter && takes(verb, &options[i]))
			return &options[i];
	}
	return NULL;
}

/* "-qv", "-p 4242", "-p4242" */
static int take_short(const char *word, struct words *words, struct vz_opts *opts,
		      struct vz_err *err)
{
	for (const char *p = word + 1; *p; p++) {
		const struct option *option = find_letter(opts->verb, *p);
		int rc;

		if (!option)
			return unknown_option(opts->verb, word, word + 1, err);
		rc = take(option, option->arg && p[1] ? p + 1 : NULL, words, opts, err);
		if (rc < 0 || option->arg)
			return rc;
	}
	return 0;
}

static void take_verb(struct words *words, struct vz_opts *opts)
{
	for (unsigned i = 0; words->next < words->count && i < NVERBS; i++) {
		if (!strcmp(words->argv[words->next], verbs[i].name)) {
			opts->verb = verbs[i].verb;
			words->next++;
			return;
		}
	}
}

static int take_words(struct words *words, struct vz_opts *opts, struct vz_err *err)
{
	take_verb(words, opts);
	while (words->next < words->count && opts->verb < VZ_VERB_HELP) {
		const char *word = words->argv[words->next++];
		int rc;

		if (vz_starts_with(word, "--") && word[2])
			rc = take_long(word, words, opts, err);
		else if (word[0] == '-' && word[1] && word[1] != '-')
			rc = take_short(word, words, opts, err);
		else
			rc = not_an_option(word, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int check_subject(const struct vz_opts *opts, struct vz_err *err)
{
	bool snapshot = opts->verb == VZ_VERB_SNAPSHOT;

	if (snapshot && opts->core && (opts->pid || opts->watch_ns)) {
		vz_err_set(err, VZ_EXIT_USAGE, EINVAL, "--core and --%s do not go together",
			   opts->pid ? "pid" : "watch");
		vz_err_why(err, "a core dump is one moment of a process that has ended");
		vz_err_try(err, "vizattach snapshot --core %s", opts->core);
		return -EINVAL;
	}
	if (opts->pid || (snapshot && opts->core) || (opts->verb != VZ_VERB_RECORD && !snapshot))
		return 0;
	vz_err_set(err, VZ_EXIT_USAGE, EINVAL, "no process is given");
	vz_err_try(err, "vizattach %s--pid PID; vizattach ps lists candidates",
		   snapshot ? "snapshot " : "");
	return -EINVAL;
}

int vz_opts_parse(int argc, char **argv, struct vz_opts *ret, struct vz_err *err)
{
	struct words words = { .argv = argv, .count = argc, .next = 1 };
	struct vz_opts environment;
	int rc;

	memset(ret, 0, sizeof(*ret));
	ret->attach_timeout_ns = 5000 * MS;
	ret->gil_timeout_ns = 10000 * MS;
	ret->ring_bytes = 64 * MIB;
	ret->c_calls = true;
	environment = *ret;
	rc = take_words(&words, ret, err);
	if (rc < 0 || ret->verb >= VZ_VERB_HELP)
		return rc;
	environment.verb = ret->verb;
	/* Again, on top of the environment: now it is known that help was not asked for. */
	rc = take_environment(&environment, err);
	if (rc < 0)
		return rc;
	*ret = environment;
	words = (struct words){ .argv = argv, .count = argc, .next = 1 };
	rc = take_words(&words, ret, err);
	return rc < 0 ? rc : check_subject(ret, err);
}

/* ---- help ---- */

static void help_line(struct vz_text *t, const struct option *option)
{
	char name[48];

	snprintf(name, sizeof(name), "--%s%s%s", option->name, option->arg ? " " : "",
		 option->arg ? option->arg : "");
	vz_text_add(t, "  %c%c%c %-22s %s\n", option->letter ? '-' : ' ',
		    option->letter ? option->letter : ' ', option->letter ? ',' : ' ', name,
		    option->help);
}

const char *vz_opts_help(enum vz_verb verb)
{
	static char text[4096];
	struct vz_text t = { text, 0, sizeof(text) };
	const struct verb *about = &verbs[0];

	for (unsigned i = 0; i < NVERBS; i++) {
		if (verbs[i].verb == verb)
			about = &verbs[i];
	}
	vz_text_add(&t, "%s%s", about->usage, about->about);
	for (unsigned i = 0; i < NOPTIONS; i++) {
		if (takes(about->verb, &options[i]))
			help_line(&t, &options[i]);
	}
	vz_text_add(&t, "%s", about->more);
	return text;
}
