/* SPDX-License-Identifier: MIT */
#include "tests/kit_story.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "viewer/walk.h"

struct telling {
	struct vz_reader *r;
	FILE *out;
};

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "kit_story: %s\n", what);
	abort();
}

static void tell(const struct telling *t, char mark, uint32_t symbol)
{
	fprintf(t->out, " %c%s", mark, vz_reader_function(t->r, symbol >> VZ_SYMBOL_SHIFT)->name);
}

static int on_enter(void *ctx, const struct vz_visit *at)
{
	uint32_t symbol = at->stack[at->depth - 1].symbol;

	tell(ctx, "+>!("[symbol & 3], symbol);
	return 0;
}

static int on_leave(void *ctx, const struct vz_visit *at)
{
	tell(ctx, "-<^?~="[at->how], at -> stack[at->depth - 1].symbol);
	return 0;
}

static int on_lost(void *ctx, const struct vz_visit *at)
{
	const struct telling *t = ctx;

	fprintf(t->out, " L%llu", (unsigned long long)at->lost);
	return 0;
}

struct vz_reader *kit_open(int fd, uint8_t **bytes)
{
	off_t size = lseek(fd, 0, SEEK_END);
	struct vz_trouble trouble;
	struct vz_reader *r;

	must(size >= 0, "no file");
	*bytes = malloc((size_t)size + 1);
	must(*bytes && pread(fd, *bytes, (size_t)size, 0) == size, "cannot read");
	must(vz_reader_open_memory(*bytes, (size_t)size, &r, &trouble) == 0, "no trace");
	return r;
}

char *kit_story_of(struct vz_reader *r, uint32_t place)
{
	static const struct vz_visitor visitor = { .enter = on_enter,
						   .leave = on_leave,
						   .lost = on_lost };
	const struct vz_walk_limits limits = { .place = place };
	char *text = NULL;
	size_t len;
	struct telling t = { r, open_memstream(&text, &len) };

	must(t.out != NULL, "no memory");
	must(vz_walk(r, &limits, &visitor, &t) == 0, "cannot walk");
	fclose(t.out);
	return text;
}

char *kit_story(int fd, const char *name)
{
	struct vz_damage damage;
	uint8_t *bytes;
	struct vz_reader *r = kit_open(fd, &bytes);
	char *text = NULL, *one;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	vz_reader_damage(r, &damage);
	must(!damage.cut && !damage.damaged_blocks && !damage.missing_blocks, "damaged");
	for (uint32_t i = 0; i < vz_reader_ntracks(r); i++) {
		if (name && strcmp(vz_reader_track(r, i)->name, name) != 0)
			continue;
		one = kit_story_of(r, i);
		fprintf(out, "%s:%s\n", vz_reader_track(r, i)->name, one);
		free(one);
	}
	fclose(out);
	vz_reader_free(r);
	free(bytes);
	return text;
}

unsigned kit_story_count(const char *story, const char *event)
{
	size_t len = strlen(event), word;
	unsigned n = 0;

	for (const char *at = story; *at; at += word + (at[word] != '\0')) {
		word = strcspn(at, " \n");
		n += word == len && !memcmp(at, event, len);
	}
	return n;
}
