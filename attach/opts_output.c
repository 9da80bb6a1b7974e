/* SPDX-License-Identifier: MIT */
/* opts_output.c - the name of the trace. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "attach/opts.h"

static size_t put(char *buf, size_t size, size_t used, const char *text)
{
	size_t len = strlen(text);

	if (used >= size || len >= size - used)
		return size; /* too long, and stays so */
	memcpy(buf + used, text, len + 1);
	return used + len;
}

static void default_name(const struct vz_opts *opts, const char *comm, const char *stamp, char *buf,
			 size_t size)
{
	char clean[32];
	size_t n = 0;

	/* A thread may call itself "../../etc/x" or have blanks in its name. */
	for (; comm[n] && n < sizeof(clean) - 1; n++)
		clean[n] = isalnum((unsigned char)comm[n]) || (n && strchr("._-", comm[n]))
				   ? comm[n]
				   : '_';
	clean[n] = '\0';
	snprintf(buf, size, "vizattach-%s-%d-%s.viz", clean, (int)opts->pid, stamp);
}

static int expand(const struct vz_opts *opts, const char *stamp, char *buf, size_t size,
		  struct vz_err *err)
{
	size_t used = 0;

	buf[0] = '\0';
	for (const char *p = opts->output_given; *p; p++) {
		char piece[16] = { *p };

		if (*p == '%') {
			p++;
			if (*p == 'p') {
				snprintf(piece, sizeof(piece), "%d", (int)opts->pid);
			} else if (*p == 't') {
				snprintf(piece, sizeof(piece), "%.15s", stamp);
			} else if (*p != '%') {
				vz_err_set(err, VZ_EXIT_USAGE, EINVAL,
					   "--output: '%.100s' is not accepted",
					   opts->output_given);
				vz_err_why(err, "only %%p, %%t and %%%% are expanded");
				return -EINVAL;
			}
		}
		used = put(buf, size, used, piece);
	}
	if (used < size)
		return 0;
	vz_err_set(err, VZ_EXIT_USAGE, ENAMETOOLONG, "--output: the name is too long");
	return -ENAMETOOLONG;
}

int vz_opts_output(struct vz_opts *opts, const char *comm, struct vz_err *err)
{
	char stamp[32] = "", name[128];
	time_t now = time(NULL);
	struct tm local;
	struct stat st;
	size_t used;
	int rc;

	if (localtime_r(&now, &local))
		strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", &local);
	default_name(opts, comm, stamp, name, sizeof(name));
	if (!opts->output_given) {
		put(opts->output, sizeof(opts->output), 0, name);
		return 0;
	}
	rc = expand(opts, stamp, opts->output, sizeof(opts->output), err);
	if (rc < 0 || stat(opts->output, &st) < 0 || !S_ISDIR(st.st_mode))
		return rc;
	used = strlen(opts->output);
	if (used && opts->output[used - 1] != '/')
		used = put(opts->output, sizeof(opts->output), used, "/");
	if (put(opts->output, sizeof(opts->output), used, name) < sizeof(opts->output))
		return 0;
	return vz_err_set(err, VZ_EXIT_USAGE, ENAMETOOLONG, "--output: the name is too long");
}
