/* SPDX-License-Identifier: MIT */
#include "tests/kit_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool write_trace(const struct kit *kit, int fd, size_t bytes)
{
	size_t n;
	uint8_t *p = kit_bytes(kit, &n);
	bool good;

	if (bytes && bytes < n)
		n = bytes;
	good = write(fd, p, n) == (ssize_t)n;
	free(p);
	return good;
}

/* All that COMMAND prints; free() it. */
static char *output_of(const char *command, int *status)
{
	char *text = NULL, part[4096];
	size_t size, n;
	FILE *memory = open_memstream(&text, &size), *f = popen(command, "r");

	while (f && memory && (n = fread(part, 1, sizeof(part), f)) > 0)
		fwrite(part, 1, n, memory);
	*status = f ? pclose(f) : -1;
	*status = WIFEXITED(*status) ? WEXITSTATUS(*status) : -1;
	if (memory)
		fclose(memory);
	return text;
}

char *kit_check(const struct kit *kit, const char *format, const char *limit, size_t bytes,
		int *status)
{
	char trace[] = "/tmp/vizview-check-XXXXXX", command[4096], *text = NULL;
	int fd;

	if (system("python3 -c pass 2>/dev/null") != 0)
		return NULL;
	fd = mkstemp(trace);
	*status = -1;
	if (fd >= 0 && write_trace(kit, fd, bytes)) {
		snprintf(command, sizeof(command),
			 "python3 '%s/tests/check_export.py' '%s/vizview' %s %s %s 2>&1",
			 getenv("VZ_SOURCE_DIR"), getenv("VZ_BUILD_DIR"), trace, format, limit);
		text = output_of(command, status);
	}
	if (fd >= 0) {
		close(fd);
		unlink(trace);
	}
	return text ? text : strdup("cannot write the trace");
}

struct kit *kit_hostile(void)
{
	static const char *const names[] = {
		"",
		"a;b; 12",
		"line\nend\r\n",
		"\"quoted\", 'so'",
		"=1+2",
		"@SUM(A1)",
		"</script><b>",
		"\xff\xfe\xc3",
		"\x1b[31m\xc2\x9b",
		"x 5",
		"\\u0000",
		"<built-in>",
		"same",
		"same",
		"~",
	};
	struct kit *kit = kit_new(0, 1);
	struct kit_track *t = kit_track(kit, 7, 0);
	uint32_t n = sizeof(names) / sizeof(names[0]);
	uint64_t ns = KIT_START_NS;

	for (uint32_t i = 0; i < 2 * n; i++) {
		const char *name = names[i % n], *file = names[(i * 7 + 2) % n];

		if (!strcmp(name, "same"))
			file = "same.py";
		if (i >= n && !file[0])
			file = "module";
		vz_tracefile_function(kit->tf, i, i < n ? VZ_DEF_PYTHON : VZ_DEF_C, name,
				      strlen(name), file, strlen(file), 3);
	}
	for (uint32_t i = 0; i < 2 * n; i++)
		kit_enter(t, i, VZ_ENTRY_CALL, ns += 10);
	while (t->depth > 3)
		kit_leave(t, VZ_LEAVE_RETURN, ns += 7);
	kit_finish(kit);
	return kit;
}
