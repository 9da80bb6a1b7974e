/* SPDX-License-Identifier: MIT */
#include "attach/snapshot/show/page.h"

#include <ctype.h>
#include <string.h>

enum { NARROWEST = 20 };

static const char *const codes[] = {
	[VZ_STYLE_PLAIN] = "",          [VZ_STYLE_BOLD] = "\033[1m",
	[VZ_STYLE_DIM] = "\033[2m",     [VZ_STYLE_BAD] = "\033[1;31m",
	[VZ_STYLE_GOOD] = "\033[1;32m", [VZ_STYLE_DOUBT] = "\033[1;33m",
	[VZ_STYLE_NAME] = "\033[1;36m",
};

size_t vz_page_room(const struct vz_page *page, size_t indent)
{
	if (!page->width)
		return SIZE_MAX;
	return page->width < indent + NARROWEST ? NARROWEST : page->width - indent;
}

/* Is the space AT between a number and its unit? */
static bool before_unit(const char *text, size_t at)
{
	static const char *const units[] = { "ns", "us", "ms", "s", "min", "h", "d", "%" };
	size_t len = strcspn(text + at + 1, " ,;:)");

	if (!at || !isdigit((unsigned char)text[at - 1]))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (len == strlen(units[i]) && !strncmp(text + at + 1, units[i], len))
			return true;
	}
	return false;
}

/* Bytes of the next line of TEXT: up to the last space that fits, or as many as fit. */
static size_t next_line(const char *text, size_t room)
{
	size_t columns = 0, at = 0, space = 0;

	while (text[at]) {
		uint32_t number = 0;
		size_t len = vz_utf8_char(text + at, &number);

		columns += len ? vz_utf8_columns(number) : 1;
		if (columns > room)
			return space ? space : at ? at : len ? len : 1;
		if (text[at] == ' ' && at && !before_unit(text, at))
			space = at;
		at += len ? len : 1;
	}
	return at;
}

static size_t bytes_of(const char *text, size_t columns)
{
	size_t at = 0;

	while (text[at] && columns) {
		uint32_t number = 0;
		size_t len = vz_utf8_char(text + at, &number);
		unsigned takes = len ? vz_utf8_columns(number) : 1;

		if (takes > columns)
			break;
		columns -= takes;
		at += len ? len : 1;
	}
	return at;
}

static void styled(struct vz_page *page, const char *bytes, size_t len, enum vz_style style)
{
	bool code = page->colour && len && codes[style][0];

	if (code)
		vz_grow_add(&page->out, "%s", codes[style]);
	vz_grow_bytes(&page->out, bytes, len);
	if (code)
		vz_grow_add(&page->out, "\033[0m");
}

void vz_page_wrap(struct vz_page *page, size_t first, size_t rest, const char *text,
		  enum vz_style style, size_t head)
{
	size_t indent = first, head_bytes = head == SIZE_MAX ? SIZE_MAX : bytes_of(text, head);

	do {
		size_t len = next_line(text, vz_page_room(page, indent));
		size_t lead = head_bytes < len ? head_bytes : len;

		vz_grow_fill(&page->out, ' ', indent);
		styled(page, text, lead, style);
		vz_grow_bytes(&page->out, text + lead, len - lead);
		vz_page_empty(page);
		head_bytes = head_bytes == SIZE_MAX ? SIZE_MAX : head_bytes - lead;
		text += len;
		while (*text == ' ')
			text++;
		indent = rest;
	} while (*text);
}

void vz_page_wrap_line(struct vz_page *page, size_t first, size_t rest, enum vz_style style,
		       size_t head)
{
	vz_page_wrap(page, first, rest, vz_grow_text(&page->line), style, head);
	vz_grow_clear(&page->line);
}

void vz_page_line(struct vz_page *page, size_t indent, const char *text, enum vz_style style)
{
	vz_grow_fill(&page->out, ' ', indent);
	styled(page, text, strlen(text), style);
	vz_page_empty(page);
}

void vz_page_empty(struct vz_page *page)
{
	vz_grow_bytes(&page->out, "\n", 1);
}

char *vz_page_take(struct vz_page *page, size_t *len)
{
	vz_grow_free(&page->line);
	return vz_grow_take(&page->out, len);
}
