/* SPDX-License-Identifier: MIT */
/* The manual pages say what --help says, and nothing else; and they are well-formed. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach/opts.h"

enum { OPTIONS = 64, NAME = 64 };

struct names {
	char at[OPTIONS][NAME];
	unsigned count;
};

static void add(struct names *names, const char *name)
{
	for (unsigned i = 0; i < names->count; i++) {
		if (!strcmp(names->at[i], name))
			return;
	}
	cr_assert_lt(names->count, OPTIONS);
	snprintf(names->at[names->count++], NAME, "%s", name);
}

static bool among(const struct names *names, const char *name)
{
	for (unsigned i = 0; i < names->count; i++) {
		if (!strcmp(names->at[i], name))
			return true;
	}
	return false;
}

static void path_of(const char *page, char *buf, size_t size)
{
	const char *root = getenv("VZ_SOURCE_DIR");

	cr_assert(root);
	snprintf(buf, size, "%s/docs/man/%s", root, page);
}

/* What PAGE has an entry for: ".It Fl d , Fl -duration Ar TIME". */
static void of_page(const char *page, struct names *ret)
{
	char path[4096], line[512];
	FILE *file;

	path_of(page, path, sizeof(path));
	file = fopen(path, "re");
	cr_assert(file, "%s", path);
	while (fgets(line, sizeof(line), file)) {
		const char *option = strncmp(line, ".It ", 4) ? NULL : strstr(line, "Fl -");
		char name[NAME];

		if (option && sscanf(option, "Fl -%63[a-z-]", name) == 1)
			add(ret, name);
	}
	fclose(file);
}

static void same(const char *page, const struct names *help)
{
	struct names man = { .count = 0 };

	of_page(page, &man);
	cr_expect_gt(help->count, 3);
	for (unsigned i = 0; i < help->count; i++)
		cr_expect(among(&man, help->at[i]), "%s: --%s is missing", page, help->at[i]);
	for (unsigned i = 0; i < man.count; i++)
		cr_expect(among(help, man.at[i]), "%s: there is no --%s", page, man.at[i]);
}

static void of_verb(enum vz_verb verb, struct names *ret)
{
	const char *name;

	for (unsigned i = 0; (name = vz_opts_name(verb, i)); i++)
		add(ret, name);
}

Test(man, vizattach)
{
	struct names help = { .count = 0 };

	of_verb(VZ_VERB_RECORD, &help);
	of_verb(VZ_VERB_DOCTOR, &help);
	of_verb(VZ_VERB_PS, &help);
	same("vizattach.1", &help);
}

Test(man, snapshot)
{
	struct names help = { .count = 0 };

	of_verb(VZ_VERB_SNAPSHOT, &help);
	same("vizattach-snapshot.1", &help);
}

Test(man, vizview)
{
	struct names help = { .count = 0 };
	char command[4096], line[512];
	FILE *out;

	snprintf(command, sizeof(command), "'%s/vizview' --help", getenv("VZ_BUILD_DIR"));
	out = popen(command, "re");
	cr_assert(out);
	while (fgets(line, sizeof(line), out)) {
		char name[NAME];

		for (const char *at = line; (at = strstr(at, "--")); at += 2) {
			if (sscanf(at, "--%63[a-z-]", name) == 1)
				add(&help, name);
		}
	}
	cr_assert_eq(pclose(out), 0);
	same("vizview.1", &help);
}

Test(man, pages_are_well_formed)
{
	static const char *const pages[] = { "vizattach.1", "vizattach-snapshot.1", "vizview.1" };

	if (system("command -v groff >/dev/null && test -f "
		   "/usr/share/groff/current/tmac/mdoc.tmac"))
		cr_skip_test("no groff with mdoc: the form of the manual pages was not checked");
	for (unsigned i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		char path[4096], command[8192];

		path_of(pages[i], path, sizeof(path));
		snprintf(command, sizeof(command),
			 "test -z \"$(groff -mandoc -ww -Tutf8 -z '%s' 2>&1)\"", path);
		cr_expect_eq(system(command), 0, "groff complains: %s", pages[i]);
	}
}
