/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/serve/plain_page.h"

extern const char vz_page[], vz_page_end[];

static char *to_base64(const uint8_t *p, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *text = calloc(1, n / 3 * 4 + 5), *at = text;

	for (size_t i = 0; i < n; i += 3) {
		uint32_t bits = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0u) |
				(i + 2 < n ? p[i + 2] : 0u);

		*at++ = digits[bits >> 18];
		*at++ = digits[bits >> 12 & 63];
		*at++ = i + 1 < n ? digits[bits >> 6 & 63] : '=';
		*at++ = i + 2 < n ? digits[bits & 63] : '=';
	}
	return text;
}

static char *pack(const void *p, size_t n)
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(9);
	size_t bound = libdeflate_deflate_compress_bound(c, n);
	uint8_t *packed = malloc(bound);
	char *text = to_base64(packed, libdeflate_deflate_compress(c, p, n, packed, bound));

	libdeflate_free_compressor(c);
	free(packed);
	return text;
}

/* A page as scripts/page makes it, of APP of APP_BYTES. */
static char *make(const char *app, size_t app_bytes)
{
	char *packed = pack(app, app_bytes), *core = pack("\0asm", 4), *page = NULL;

	cr_assert_gt(asprintf(&page,
			      "<body>\n<script type=\"text/plain\" id=\"vz-app\">%s</script>\n"
			      "<script type=\"text/plain\" id=\"vz-core\">%s</script>\n"
			      "<script>load()</script>\n<!--data-->\n</body>",
			      packed, core),
		     0);
	free(packed);
	free(core);
	return page;
}

static int unpack(const char *page, struct vz_plain_page *ret)
{
	/* A copy of its exact size, so that a sanitizer sees what is read behind it. */
	size_t n = strlen(page);
	char *copy = malloc(n ? n : 1);
	int rc;

	memcpy(copy, page, n);
	rc = vz_plain_page_make(copy, n, ret);
	free(copy);
	return rc;
}

Test(plain_page, has_everything_as_elements)
{
	static const char app[] = "a{}\0main()\0onmessage=1";
	char *page = make(app, sizeof(app) - 1);
	struct vz_plain_page plain;

	cr_assert_eq(unpack(page, &plain), 0);
	cr_expect_str_eq(plain.html,
			 "<body>\n<style>a{}</style>\n"
			 "<script type=\"text/plain\" id=\"vz-worker\">onmessage=1</script>\n"
			 "<script>load()</script>\n<script>main()</script>\n<!--data-->\n</body>");
	cr_expect_eq(plain.html_bytes, strlen(plain.html));
	cr_expect_eq(plain.core_bytes, 4);
	cr_expect_arr_eq(plain.core, "\0asm", 4);
	vz_plain_page_fini(&plain);
	free(page);
}

Test(plain_page, the_page_of_this_program_can_be_unpacked)
{
	struct vz_plain_page plain;
	size_t n = (size_t)(vz_page_end - vz_page);

	cr_assert_eq(vz_plain_page_make(vz_page, n, &plain), 0);
	cr_expect_gt(plain.html_bytes, n);
	cr_expect_arr_eq(plain.core, "\0asm", 4);
	cr_expect_null(strstr(plain.html, "id=\"vz-app\""));
	vz_plain_page_fini(&plain);
}

Test(plain_page, another_number_of_parts_is_refused)
{
	static const char two[] = "a{}\0main()", four[] = "a\0b\0c\0d";
	struct vz_plain_page plain;
	char *page = make(two, sizeof(two) - 1);

	cr_expect_eq(unpack(page, &plain), -EBADMSG);
	free(page);
	page = make(four, sizeof(four) - 1);
	cr_expect_eq(unpack(page, &plain), -EBADMSG);
	free(page);
}

/* Cut anywhere and with any byte changed it is refused or still a page: never more. */
Test(plain_page, damage_is_refused)
{
	static const char app[] = "style\0main and more of it\0worker";
	char *page = make(app, sizeof(app) - 1);
	size_t n = strlen(page), refused = 0;
	struct vz_plain_page plain;

	for (size_t i = 0; i < n; i++) {
		char was = page[i];

		page[i] = '\0';
		cr_expect_leq(unpack(page, &plain), 0);
		refused += !plain.html;
		vz_plain_page_fini(&plain);
		page[i] = (char)(was ^ 1);
		cr_expect_leq(unpack(page, &plain), 0);
		vz_plain_page_fini(&plain);
		page[i] = was;
	}
	cr_expect_gt(refused, n / 2);
	free(page);
}
