/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "attach/err.h"

Test(err, formats_three_lines)
{
	struct vz_err err;
	char buf[256];
	size_t len;

	cr_assert_eq(vz_err_set(&err, VZ_EXIT_BUSY, EBUSY, "cannot attach to %d", 42), -EBUSY);
	vz_err_why(&err, "it is being traced by %s", "strace");
	vz_err_try(&err, "stop strace first");
	len = vz_err_format(&err, "vizattach", buf, sizeof(buf));
	cr_assert_str_eq(buf, "vizattach: cannot attach to 42\n"
			      "  why: it is being traced by strace\n"
			      "  try: stop strace first\n");
	cr_assert_eq(len, strlen(buf));
	cr_assert_eq(err.exit, VZ_EXIT_BUSY);
}

Test(err, keeps_the_first_reason_and_forgets_it_when_set_again)
{
	struct vz_err err;

	vz_err_set(&err, VZ_EXIT_USAGE, EINVAL, "a");
	vz_err_why(&err, "first");
	vz_err_why(&err, "second");
	vz_err_try(&err, "first");
	vz_err_try(&err, "second");
	cr_assert_str_eq(err.why, "first");
	cr_assert_str_eq(err.hint, "first");
	vz_err_set(&err, VZ_EXIT_USAGE, EINVAL, "b");
	cr_assert_str_empty(err.why);
	cr_assert_str_empty(err.hint);
}

Test(err, leaves_out_what_is_not_known)
{
	struct vz_err err;
	char buf[256];

	vz_err_set(&err, VZ_EXIT_UNEXPECTED, EIO, "it broke");
	vz_err_format(&err, "p", buf, sizeof(buf));
	cr_assert_str_eq(buf, "p: it broke\n");
}

/* A process can call itself anything: what it is called moves no cursor and adds no line. */
Test(err, names_are_made_plain)
{
	struct vz_err err;

	vz_err_set(&err, VZ_EXIT_BUSY, 1, "did not record (%s)",
		   "a\033[2Jb\r\nc\xc2\x9b"
		   "d\xff\xc3");
	vz_err_why(&err, "%s", "\x7f\xed\xa0\x80\xf4\x90\x80\x80");
	vz_err_try(&err, "%s", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x8d");
	cr_assert_str_eq(err.what, "did not record (a?[2Jb??c??d?"
				   "?)");
	cr_assert_str_eq(err.why, "????????");
	cr_assert_str_eq(err.hint, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x8d");
}

Test(err, is_cut_but_never_overflows)
{
	struct vz_err err;
	char big[1024], buf[64];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	vz_err_set(&err, VZ_EXIT_UNEXPECTED, EIO, "%s", big);
	vz_err_why(&err, "%s", big);
	vz_err_try(&err, "%s", big);
	for (size_t size = 1; size <= sizeof(buf); size++) {
		memset(buf, 0x7f, sizeof(buf));
		cr_assert_leq(vz_err_format(&err, "p", buf, size), size - 1);
		cr_assert_lt(strlen(buf), size);
	}
}
