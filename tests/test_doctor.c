/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "attach/doctor.h"
#include "tests/subject.h"

static struct vz_examination e; /* large */
static char text[1 << 16];

static void add(const char *name, enum vz_found verdict, const char *what)
{
	vz_finding_say(vz_findings_add(&e.findings, name), verdict, "%s", what);
}

static void add_refusal(const char *name, enum vz_exit exit, const char *why, const char *hint)
{
	struct vz_err err;

	vz_err_set(&err, exit, EPERM, "cannot attach");
	vz_err_why(&err, "%s", why);
	vz_err_try(&err, "%s", hint);
	vz_finding_refuse(vz_findings_add(&e.findings, name), EPERM, &err);
}

/* ---- what it prints ---- */

Test(doctor, a_list_of_all_kinds)
{
	e.pid = 42;
	strcpy(e.comm, "app");
	strcpy(e.python, "3.11.2");
	add("user", VZ_FOUND_OK, "same user (me)");
	add("privileges", VZ_FOUND_NOTE, "no_new_privs is set");
	add("seccomp", VZ_FOUND_WARN, "a filter guards it");
	add("memory left", VZ_FOUND_UNKNOWN, "its control group is not visible here");
	add_refusal("yama", VZ_EXIT_PERMISSION, "it is 1", "sudo");
	add_refusal("state", VZ_EXIT_UNSAFE, "it is stopped", "kill -CONT 42");
	vz_examination_text(&e, false, text, sizeof(text));
	cr_assert_str_eq(text, "vizattach: process 42 (app), CPython 3.11.2\n\n"
			       "  ok    user              same user (me)\n"
			       "  note  privileges        no_new_privs is set\n"
			       "  warn  seccomp           a filter guards it\n"
			       "  ?     memory left       its control group is not visible here\n"
			       "  FAIL  yama              it is 1\n"
			       "                     try: sudo\n"
			       "  FAIL  state             it is stopped\n"
			       "                     try: kill -CONT 42\n\n"
			       "It cannot be recorded (exit status 4)\n");
	cr_assert_eq(vz_examination_exit(&e), VZ_EXIT_PERMISSION);
}

Test(doctor, long_lines_are_wrapped_and_nothing_steers_the_terminal)
{
	char words[300] = "";

	for (int i = 0; i < 50; i++)
		strcat(words, "word ");
	strcat(words, "\033[2J");
	add("user", VZ_FOUND_OK, words);
	vz_examination_text(&e, false, text, sizeof(text));
	cr_assert_null(strchr(text, '\033'));
	for (const char *line = text; *line;) {
		size_t len = strcspn(line, "\n");

		cr_assert_leq(len, 82, "%.*s", (int)len, line);
		line += len + (line[len] != '\0');
	}
	vz_examination_text(&e, true, text, sizeof(text));
	cr_assert_not_null(strstr(text, "\033[32mok"));
}

Test(doctor, json_has_a_schema_and_every_check)
{
	e.pid = 42;
	add("user", VZ_FOUND_OK, "same \"user\"");
	add_refusal("state", VZ_EXIT_UNSAFE, "it is stopped", "kill");
	vz_examination_json(&e, text, sizeof(text));
	cr_assert_str_eq(text,
			 "{\"schema\":1,\"pid\":42,\"comm\":\"\",\"python\":\"\","
			 "\"attachable\":false,\"exit\":7,\"checks\":["
			 "{\"name\":\"user\",\"verdict\":\"ok\",\"text\":\"same \\\"user\\\"\"},"
			 "{\"name\":\"state\",\"verdict\":\"refuse\",\"text\":\"it is stopped\","
			 "\"exit\":7,\"try\":\"kill\"}]}\n");
}

Test(doctor, findings_have_an_end)
{
	for (unsigned i = 0; i < VZ_FINDINGS_MAX; i++)
		cr_assert_not_null(vz_findings_add(&e.findings, "x"));
	cr_assert_null(vz_findings_add(&e.findings, "x"));
	cr_assert_null(vz_findings_refusal(&e.findings));
	/* What nobody filled in is unknown, not fine. */
	cr_assert_eq(e.findings.items[0].verdict, VZ_FOUND_UNKNOWN);
}

/* ---- what it finds ---- */

static const struct vz_finding *find(const char *name)
{
	for (unsigned i = 0; i < e.findings.count; i++) {
		if (!strcmp(e.findings.items[i].name, name))
			return &e.findings.items[i];
	}
	cr_assert(false, "there is no check %s", name);
	return NULL;
}

Test(doctor, goes_on_behind_a_refusal, .timeout = 60)
{
	static const struct vz_wish wish = { .ring_bytes = 1 << 20 };
	struct subject s;

	cr_assert(subject_plain(&s));
	kill(s.pid, SIGSTOP);
	waitpid(s.pid, NULL, WUNTRACED);
	vz_examine_process(s.pid, &wish, &e);
	cr_assert_eq(find("state")->verdict, VZ_FOUND_REFUSE);
	cr_assert_eq(find("user")->verdict, VZ_FOUND_OK);
	cr_assert_eq(find("python")->verdict, VZ_FOUND_REFUSE);
	cr_assert_eq(find("python")->err.exit, VZ_EXIT_UNSUPPORTED);
	cr_assert_eq(vz_examination_exit(&e), VZ_EXIT_UNSAFE);
	subject_end(&s);
}

Test(doctor, what_is_not_there, .timeout = 60)
{
	static const struct vz_wish wish = { .ring_bytes = 1 << 20 };
	struct subject s;

	cr_assert(subject_plain(&s));
	subject_end(&s);
	vz_examine_process(s.pid, &wish, &e);
	cr_assert_eq(e.findings.count, 1);
	cr_assert_eq(vz_examination_exit(&e), VZ_EXIT_NO_PROCESS);
}

Test(doctor, every_python_here, .timeout = 100)
{
	static const struct vz_wish wish = { .ring_bytes = 1 << 20 };
	glob_t found;

	find_pythons(&found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct subject s;

		if (!subject_python(&s, found.gl_pathv[i], "ready()"))
			continue;
		vz_examine_process(s.pid, &wish, &e);
		if (vz_pyver_find(python_minor(found.gl_pathv[i]))) {
			cr_assert_eq(vz_examination_exit(&e), VZ_EXIT_OK, "%s", found.gl_pathv[i]);
			cr_assert_eq(find("structures")->verdict, VZ_FOUND_OK);
			cr_assert_eq(find("gil")->verdict, VZ_FOUND_OK, "%s: %s", found.gl_pathv[i],
				     find("gil")->text);
		} else {
			cr_assert_eq(vz_examination_exit(&e), VZ_EXIT_UNSUPPORTED);
		}
		cr_assert_neq(e.python[0], '\0', "%s", found.gl_pathv[i]);
		subject_end(&s);
	}
	globfree(&found);
}

Test(doctor, the_machine, .timeout = 60)
{
	vz_examine_machine(&e.findings);
	cr_assert_gt(e.findings.count, 10);
	for (unsigned i = 0; i < e.findings.count; i++) {
		const struct vz_finding *f = &e.findings.items[i];

		cr_assert(f->text[0] || f->verdict == VZ_FOUND_REFUSE, "%s", f->name);
	}
}
