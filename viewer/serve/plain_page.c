/* SPDX-License-Identifier: MIT */
#include "viewer/serve/plain_page.h"

#include <errno.h>
#include <libdeflate.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	FIRST_RATIO = 4,
	MOST_BYTES = 16 << 20, /* of a part */
	PARTS = 3,             /* style, main, worker */
};

/* An element of the page: [begin, end) with its tags, [text, text_end) without. */
struct element {
	const char *begin, *text, *text_end, *end;
};

static bool find_element(const char *from, const char *page_end, const char *tag,
			 struct element *ret)
{
	static const char close[] = "</script>";

	ret->begin = memmem(from, (size_t)(page_end - from), tag, strlen(tag));
	if (!ret->begin)
		return false;
	ret->text = ret->begin + strlen(tag);
	ret->text_end = memmem(ret->text, (size_t)(page_end - ret->text), close, strlen(close));
	if (!ret->text_end)
		return false;
	ret->end = ret->text_end + strlen(close);
	return true;
}

static int digit_of(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* The bytes that TEXT is the base64 of; free() them. */
static int from_base64(const char *text, size_t n, uint8_t **ret, size_t *ret_n)
{
	uint8_t *out = malloc(n / 4 * 3 + 3);
	uint32_t bits = 0;
	unsigned nbits = 0;
	size_t at = 0;

	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < n && text[i] != '='; i++) {
		int digit = digit_of(text[i]);

		if (digit < 0) {
			free(out);
			return -EBADMSG;
		}
		bits = bits << 6 | (uint32_t)digit;
		nbits += 6;
		if (nbits >= 8) {
			nbits -= 8;
			out[at++] = (uint8_t)(bits >> nbits);
		}
	}
	*ret = out;
	*ret_n = at;
	return 0;
}

/* All of a deflate stream, with a NUL behind it; free() it. */
static int inflate(const uint8_t *p, size_t n, uint8_t **ret, size_t *ret_n)
{
	struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
	enum libdeflate_result rc = LIBDEFLATE_INSUFFICIENT_SPACE;
	uint8_t *out = NULL;

	for (size_t cap = n * FIRST_RATIO + 1;
	     d && rc == LIBDEFLATE_INSUFFICIENT_SPACE && cap <= MOST_BYTES; cap *= 2) {
		free(out);
		out = malloc(cap + 1);
		if (!out)
			break;
		rc = libdeflate_deflate_decompress(d, p, n, out, cap, ret_n);
	}
	libdeflate_free_decompressor(d);
	if (!d || !out)
		return -ENOMEM;
	if (rc != LIBDEFLATE_SUCCESS) {
		free(out);
		return -EBADMSG;
	}
	out[*ret_n] = '\0';
	*ret = out;
	return 0;
}

static int unpack(const struct element *e, uint8_t **ret, size_t *ret_n)
{
	uint8_t *packed;
	size_t n;
	int rc = from_base64(e->text, (size_t)(e->text_end - e->text), &packed, &n);

	if (rc < 0)
		return rc;
	rc = inflate(packed, n, ret, ret_n);
	free(packed);
	return rc;
}

/* APP is style, main and worker with a NUL between them. */
static bool split(const char *app, size_t n, const char *parts[PARTS])
{
	const char *end = app + n;

	for (int i = 0; i < PARTS; i++) {
		if (app > end)
			return false;
		parts[i] = app;
		app += strlen(app) + 1;
	}
	return app == end + 1;
}

/*
 * The style, the worker, the loader and main as elements of their own.  The worker stands before
 * the loader, which looks for it.
 */
static int assemble(const char *page, size_t n, const struct element *app,
		    const struct element *core, const char *const parts[PARTS],
		    struct vz_plain_page *ret)
{
	const char *end = page + n;
	struct element loader;
	FILE *out;

	if (!find_element(core->end, end, "<script>", &loader))
		return -EBADMSG;
	out = open_memstream(&ret->html, &ret->html_bytes);
	if (!out)
		return -ENOMEM;
	fwrite(page, 1, (size_t)(app->begin - page), out);
	fprintf(out, "<style>%s</style>\n", parts[0]);
	fprintf(out, "<script type=\"text/plain\" id=\"vz-worker\">%s</script>", parts[2]);
	fwrite(core->end, 1, (size_t)(loader.end - core->end), out);
	fprintf(out, "\n<script>%s</script>", parts[1]);
	fwrite(loader.end, 1, (size_t)(end - loader.end), out);
	return fclose(out) == 0 ? 0 : -ENOMEM;
}

int vz_plain_page_make(const char *page, size_t n, struct vz_plain_page *ret)
{
	const char *parts[PARTS];
	struct element app, core;
	uint8_t *text = NULL;
	size_t text_bytes;
	int rc;

	*ret = (struct vz_plain_page){ 0 };
	if (!find_element(page, page + n, "<script type=\"text/plain\" id=\"vz-app\">", &app) ||
	    !find_element(app.end, page + n, "<script type=\"text/plain\" id=\"vz-core\">", &core))
		return -EBADMSG;
	rc = unpack(&app, &text, &text_bytes);
	if (rc == 0)
		rc = unpack(&core, &ret->core, &ret->core_bytes);
	if (rc == 0)
		rc = split((const char *)text, text_bytes, parts)
			     ? assemble(page, n, &app, &core, parts, ret)
			     : -EBADMSG;
	free(text);
	if (rc < 0)
		vz_plain_page_fini(ret);
	return rc;
}

void vz_plain_page_fini(struct vz_plain_page *p)
{
	free(p->html);
	free(p->core);
	*p = (struct vz_plain_page){ 0 };
}
