/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "attach/util.h"

Test(util, name_of_a_user)
{
	char name[64] = "as before", small[3];

	if (access("/etc/passwd", R_OK) < 0)
		cr_skip_test("no /etc/passwd here");
	cr_assert_not(vz_user_name(4242424, name, sizeof(name)));
	cr_assert_str_eq(name, "as before");
	cr_assert(vz_user_name(0, name, sizeof(name)));
	cr_assert_str_eq(name, "root");
	cr_assert(vz_user_name(0, small, sizeof(small)));
	cr_assert_str_eq(small, "ro");
}
