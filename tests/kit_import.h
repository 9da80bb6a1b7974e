/* SPDX-License-Identifier: MIT */
/*
 * kit_import.h - a folder with a JSON file and the trace made of it.
 */
#ifndef VZ_TESTS_KIT_IMPORT_H
#define VZ_TESTS_KIT_IMPORT_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[] = "/tmp/vizview-import-XXXXXX";
static char json_path[64], viz_path[64];

static void setup(void)
{
	cr_assert_not_null(mkdtemp(dir));
	snprintf(json_path, sizeof(json_path), "%s/a.json", dir);
	snprintf(viz_path, sizeof(viz_path), "%s/a.viz", dir);
}

static void teardown(void)
{
	unlink(json_path);
	unlink(viz_path);
	cr_assert_eq(rmdir(dir), 0, "something was left in %s", dir);
}

static void write_json(const void *p, size_t n)
{
	FILE *f = fopen(json_path, "wb");

	cr_assert_not_null(f);
	cr_assert_eq(fwrite(p, 1, n, f), n);
	fclose(f);
}

#endif /* VZ_TESTS_KIT_IMPORT_H */
