/* SPDX-License-Identifier: MIT */
/*
 * Pieces of JSON, as events.  A stack of what each open brace belongs to says what a
 * piece is.  Nothing is allocated for an event: its members are copied into one buffer,
 * its arguments are written anew as compact JSON.
 */
#include "viewer/import/import_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TEXT_BYTES = VZ_IMPORT_TEXT_MAX + (16 << 10),
	MEMBER_MAX = 1024, /* of members other than the name */
	ARGS_FIRST = 1 << 16,
	FACT_MAX = 512,
	SOURCES_MAX = 1 << 16,
	SOURCES_BYTES_MAX = 256 << 20,
};

/* What an open brace or bracket belongs to. */
enum place {
	IN_NOTHING,
	IN_FILE,   /* {"traceEvents": ...} */
	IN_EVENTS, /* [ ... ] */
	IN_EVENT,
	IN_ARGS, /* and all inside */
	IN_ID2,
	IN_FACTS,   /* an object of the file that describes it */
	IN_INFO,    /* VizTracer's file_info */
	IN_SOURCES, /* its files */
	IN_SOURCE,  /* one of them: text, number of lines */
	IN_REST,    /* what is of no use */
};

/* Members of an event. */
enum member {
	NO_MEMBER,
	PHASE,
	NAME,
	CATEGORY,
	PID,
	TID,
	TS,
	DUR,
	ID,
	SCOPE,
	ARGS,
	ID2,
};

static int stop(struct vz_import_json *j, const char *why)
{
	j->why = why;
	return 0;
}

static enum place where(const struct vz_import_json *j)
{
	return j->depth ? (enum place)j->places[j->depth - 1] : IN_NOTHING;
}

static bool key_is(const struct vz_import_json *j, const char *s)
{
	return j->key_len == strlen(s) && !memcmp(j->key, s, j->key_len);
}

/* ---- members of an event ---- */

static enum member member_of(const char *s, size_t n)
{
	switch (n) {
	case 1:
		return s[0] == 's' ? SCOPE : NO_MEMBER;
	case 2:
		if (s[0] == 'p' && s[1] == 'h')
			return PHASE;
		if (s[0] == 't' && s[1] == 's')
			return TS;
		return s[0] == 'i' && s[1] == 'd' ? ID : NO_MEMBER;
	case 3:
		if (!memcmp(s, "pid", 3))
			return PID;
		if (!memcmp(s, "tid", 3))
			return TID;
		if (!memcmp(s, "dur", 3))
			return DUR;
		if (!memcmp(s, "cat", 3))
			return CATEGORY;
		return !memcmp(s, "id2", 3) ? ID2 : NO_MEMBER;
	case 4:
		return !memcmp(s, "name", 4) ? NAME : !memcmp(s, "args", 4) ? ARGS : NO_MEMBER;
	case 5:
		return !memcmp(s, "scope", 5) ? SCOPE : NO_MEMBER;
	default:
		return NO_MEMBER;
	}
}

static struct vz_span *span_of(struct vz_import_event *e, enum member member)
{
	switch (member) {
	case PHASE:
		return &e->phase;
	case NAME:
		return &e->name;
	case CATEGORY:
		return &e->cat;
	case PID:
		return &e->pid;
	case TID:
		return &e->tid;
	case TS:
		return &e->ts;
	case DUR:
		return &e->dur;
	case ID:
		return &e->id;
	case SCOPE:
		return &e->scope;
	default:
		return NULL;
	}
}

/* A copy in the buffer of the event, which has room for each member once. */
static struct vz_span copy(struct vz_import_event *e, const char *s, size_t n, uint32_t most)
{
	char *to = e->text + e->text_len;

	if (n > most)
		n = most;
	if (n > TEXT_BYTES - e->text_len)
		n = TEXT_BYTES - e->text_len;
	memcpy(to, s, n);
	e->text_len += (uint32_t)n;
	return (struct vz_span){ to, (uint32_t)n };
}

static void set_member(struct vz_import_json *j, const char *s, size_t n)
{
	struct vz_span *span = span_of(j->e, j->member);

	if (span)
		*span = copy(j->e, s, n, j->member == NAME ? VZ_IMPORT_TEXT_MAX - 1 : MEMBER_MAX);
}

static void begin_event(struct vz_import_event *e)
{
	const struct vz_span none = { 0 };

	e->phase = e->name = e->cat = e->pid = e->tid = e->ts = e->dur = e->id = e->scope = none;
	e->arg_name = e->arg_sort = none;
	e->global_id = false;
	e->note = -1;
	e->nseries = e->nothers = 0;
	e->args_len = 0;
	e->args_dropped = 0;
	e->text_len = 0;
}

/* ---- arguments, written anew ---- */

static bool args_room(struct vz_import_event *e, size_t more)
{
	size_t want = e->args_len + more + 1;
	char *bigger;

	if (e->args_dropped || want > VZ_IMPORT_ARGS_MAX) {
		e->args_dropped += more;
		return false;
	}
	if (want <= e->args_cap)
		return true;
	want = want * 2 < VZ_IMPORT_ARGS_MAX ? want * 2 : VZ_IMPORT_ARGS_MAX;
	bigger = realloc(e->args, want);
	if (!bigger) {
		e->args_dropped += more;
		return false;
	}
	e->args = bigger;
	e->args_cap = (uint32_t)want;
	return true;
}

static void put(struct vz_import_json *j, const char *s, size_t n)
{
	if (!args_room(j->e, n))
		return;
	memcpy(j->e->args + j->e->args_len, s, n);
	j->e->args_len += (uint32_t)n;
}

static void put_string(struct vz_import_json *j, const char *s, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	size_t plain = 0;

	put(j, "\"", 1);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		char escape[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		put(j, s + plain, i - plain);
		escape[1] = c == '\n' ? 'n' : c == '\t' ? 't' : c < 0x20 ? 'u' : (char)c;
		put(j, escape, escape[1] == 'u' ? sizeof(escape) : 2);
		plain = i + 1;
	}
	put(j, s + plain, n - plain);
	put(j, "\"", 1);
}

static bool at_top_of_args(const struct vz_import_json *j)
{
	return j->depth == j->args_depth;
}

/* Between two values of an array; members have theirs before their name. */
static void put_comma(struct vz_import_json *j)
{
	if (!j->objects[j->depth - 1]) {
		if (!j->first)
			put(j, ",", 1);
		j->first = false;
	}
}

static void arg_key(struct vz_import_json *j, const char *s, size_t n)
{
	if (!j->first)
		put(j, ",", 1);
	j->first = false;
	j->name_at = j->e->args_len + 1;
	put_string(j, s, n);
	j->name_len = j->e->args_len - j->name_at - 1;
	put(j, ":", 1);
}

static bool arg_is(const struct vz_import_json *j, const char *name)
{
	return at_top_of_args(j) && !j->e->args_dropped && strlen(name) == j->name_len &&
	       !memcmp(j->e->args + j->name_at, name, j->name_len);
}

static void arg_string(struct vz_import_json *j, const char *s, size_t n)
{
	put_comma(j);
	if (arg_is(j, "name"))
		j->e->arg_name = copy(j->e, s, n, MEMBER_MAX);
	if (arg_is(j, "note") && vz_import_note(s, n) >= 0 && j->name_at >= 2) {
		/* It says how the call ended: it is no argument. */
		j->e->note = vz_import_note(s, n);
		j->e->args_len = j->name_at - 1;
		j->first = j->e->args[j->e->args_len - 1] == '{';
		j->e->args_len -= !j->first;
		return;
	}
	j->e->nothers += at_top_of_args(j);
	put_string(j, s, n);
}

static void arg_number(struct vz_import_json *j, const char *s, size_t n)
{
	struct vz_import_event *e = j->e;

	put_comma(j);
	if (at_top_of_args(j) && e->nseries < VZ_IMPORT_SERIES_MAX)
		e->series[e->nseries++] =
			(struct vz_import_series){ j->name_at, j->name_len, e->args_len };
	else
		e->nothers += at_top_of_args(j);
	if (arg_is(j, "sort_index"))
		e->arg_sort = copy(e, s, n, MEMBER_MAX);
	put(j, s, n);
}

static void begin_args(struct vz_import_json *j, char brace)
{
	if (where(j) == IN_ARGS) {
		put_comma(j);
		j->e->nothers += at_top_of_args(j);
	} else {
		j->e->args_len = j->e->nseries = j->e->nothers = 0;
		j->args_depth = j->depth + 1;
	}
	put(j, &brace, 1);
	j->first = true;
}

/* An object of arguments that does not fit gives way to one that says so. */
static void end_args(struct vz_import_json *j)
{
	struct vz_import_event *e = j->e;
	uint64_t dropped = e->args_dropped;
	int n;

	if (dropped) {
		e->args_dropped = 0;
		dropped += e->args_len;
		e->args_len = e->nseries = 0;
		e->nothers = 1;
		if (args_room(e, FACT_MAX)) {
			n = snprintf(e->args, FACT_MAX,
				     "{\"note\":\"%llu bytes of arguments were not kept\"}",
				     (unsigned long long)dropped);
			e->args_len = (uint32_t)n;
		}
		e->args_dropped = dropped;
	}
	if (e->args_len <= 2)
		e->args_len = 0;
	if (e->args)
		e->args[e->args_len] = '\0';
}

/* ---- what describes the file ---- */

static void add_fact(struct vz_import_json *j, const char *s, size_t n)
{
	struct vz_importer *im = j->im;
	const size_t most = sizeof(im->facts) / sizeof(im->facts[0]);
	char digits[32];

	if (key_is(j, "baseTimeNanoseconds")) {
		snprintf(digits, sizeof(digits), "%.*s", n < sizeof(digits) ? (int)n : 0, s);
		im->unix_offset = strtoll(digits, NULL, 10);
		return;
	}
	if (im->nfacts == most)
		return;
	im->facts[im->nfacts].key = vz_text_keep(&im->facts_text, j->key, j->key_len);
	im->facts[im->nfacts].value = vz_text_keep(&im->facts_text, s, n < FACT_MAX ? n : FACT_MAX);
	im->nfacts += im->facts[im->nfacts].key && im->facts[im->nfacts].value;
}

static int add_source(struct vz_import_json *j, const char *s, size_t n)
{
	struct vz_importer *im = j->im;
	uint32_t bytes = (uint32_t)n;
	struct vz_import_source *bigger;

	j->sources_bytes += n;
	if (im->nsources == SOURCES_MAX || j->sources_bytes > SOURCES_BYTES_MAX || !j->key_len)
		return 1;
	if (im->nsources == im->sources_cap) {
		uint32_t cap = im->sources_cap ? im->sources_cap * 2 : 64;

		bigger = reallocarray(im->sources, cap, sizeof(*bigger));
		if (!bigger)
			return 1;
		im->sources = bigger;
		im->sources_cap = cap;
	}
	im->sources[im->nsources].file = vz_text_keep(&im->facts_text, j->key, j->key_len);
	im->sources[im->nsources].text = vz_spill_put(im->spill, &bytes, sizeof(bytes));
	vz_spill_put(im->spill, s, n);
	im->nsources += im->sources[im->nsources].file != NULL;
	j->key_len = 0; /* only the first string is the text */
	return 1;
}

/* ---- what YAJL calls ---- */

static int push(struct vz_import_json *j, enum place place, bool object)
{
	if (j->depth == VZ_IMPORT_DEPTH_MAX)
		return stop(j, "braces are nested deeper than any trace has them");
	j->objects[j->depth] = object;
	j->places[j->depth++] = (uint8_t)place;
	return 1;
}

/* What is inside a brace that opens here. */
static enum place inside(const struct vz_import_json *j, bool object)
{
	switch (where(j)) {
	case IN_NOTHING:
		return object ? IN_FILE : IN_EVENTS;
	case IN_FILE:
		if (key_is(j, "traceEvents"))
			return object ? IN_REST : IN_EVENTS;
		if (key_is(j, "file_info"))
			return IN_INFO;
		return object && !key_is(j, "stackFrames") ? IN_FACTS : IN_REST;
	case IN_EVENTS:
		return object ? IN_EVENT : IN_REST;
	case IN_EVENT:
		return j->member == ARGS ? IN_ARGS : j->member == ID2 ? IN_ID2 : IN_REST;
	case IN_ARGS:
		return IN_ARGS;
	case IN_INFO:
		return object && key_is(j, "files") ? IN_SOURCES : IN_REST;
	case IN_SOURCES:
		return object ? IN_REST : IN_SOURCE;
	default:
		return IN_REST;
	}
}

static int on_begin(struct vz_import_json *j, bool object)
{
	enum place place = inside(j, object);

	j->pieces++;
	if (j->muted)
		return 1;
	if (place == IN_EVENT)
		begin_event(j->e);
	else if (place == IN_EVENTS)
		j->im->saw_events = true;
	else if (place == IN_ARGS)
		begin_args(j, object ? '{' : '[');
	else if (where(j) == IN_EVENTS)
		j->im->left_out[VZ_OUT_NO_EVENT]++;
	return push(j, place, object);
}

static int on_end(struct vz_import_json *j, char brace)
{
	enum place place = where(j);

	j->pieces++;
	if (j->muted)
		return 1;
	j->depth--;
	if (place == IN_ARGS) {
		put(j, &brace, 1);
		j->first = false;
		if (where(j) != IN_ARGS)
			end_args(j);
	} else if (place == IN_EVENT) {
		return vz_import_take(j->im);
	}
	return 1;
}

static int on_map(void *ctx)
{
	return on_begin(ctx, true);
}

static int on_array(void *ctx)
{
	return on_begin(ctx, false);
}

static int on_map_end(void *ctx)
{
	return on_end(ctx, '}');
}

static int on_array_end(void *ctx)
{
	return on_end(ctx, ']');
}

static int on_key(void *ctx, const unsigned char *s, size_t n)
{
	struct vz_import_json *j = ctx;
	const char *text = (const char *)s;

	j->pieces++;
	if (j->muted)
		return 1;
	switch (where(j)) {
	case IN_EVENT:
		j->member = member_of(text, n);
		return 1;
	case IN_ARGS:
		arg_key(j, text, n);
		return 1;
	case IN_ID2:
		j->e->global_id = n == 6 && !memcmp(s, "global", 6);
		return 1;
	case IN_SOURCES:
		if (n >= sizeof(j->key))
			break;
		/* fall through */
	default:
		j->key_len = (uint32_t)(n < sizeof(j->key) ? n : sizeof(j->key));
		memcpy(j->key, s, j->key_len);
		return 1;
	}
	j->key_len = 0;
	return 1;
}

static int on_scalar(struct vz_import_json *j, const char *s, size_t n, bool string)
{
	j->pieces++;
	if (j->muted)
		return 1;
	switch (where(j)) {
	case IN_EVENT:
		if (j->member == ARGS && n) {
			begin_args(j, '{');
			arg_key(j, "args", 4);
			if (string)
				put_string(j, s, n);
			else
				put(j, s, n);
			put(j, "}", 1);
			end_args(j);
		} else {
			set_member(j, s, n);
		}
		return 1;
	case IN_ARGS:
		if (string)
			arg_string(j, s, n);
		else
			arg_number(j, s, n);
		return 1;
	case IN_ID2:
		j->e->id = copy(j->e, s, n, MEMBER_MAX);
		return 1;
	case IN_FILE:
	case IN_FACTS:
		add_fact(j, s, n);
		return 1;
	case IN_SOURCE:
		return string ? add_source(j, s, n) : 1;
	case IN_EVENTS:
		j->im->left_out[VZ_OUT_NO_EVENT]++;
		return 1;
	default:
		return 1;
	}
}

static int on_string(void *ctx, const unsigned char *s, size_t n)
{
	return on_scalar(ctx, (const char *)s, n, true);
}

static int on_number(void *ctx, const char *s, size_t n)
{
	return on_scalar(ctx, s, n, false);
}

static int on_word(struct vz_import_json *j, const char *word)
{
	j->pieces++;
	if (j->muted || where(j) != IN_ARGS)
		return 1;
	put_comma(j);
	j->e->nothers += at_top_of_args(j);
	put(j, word, strlen(word));
	return 1;
}

static int on_null(void *ctx)
{
	return on_word(ctx, "null");
}

static int on_boolean(void *ctx, int v)
{
	return on_word(ctx, v ? "true" : "false");
}

const yajl_callbacks vz_import_callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_boolean,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_map,
	.yajl_map_key = on_key,
	.yajl_end_map = on_map_end,
	.yajl_start_array = on_array,
	.yajl_end_array = on_array_end,
};

int vz_import_json_init(struct vz_import_json *j, struct vz_importer *im)
{
	*j = (struct vz_import_json){ .im = im, .e = &im->event };
	j->e->text = malloc(TEXT_BYTES);
	j->e->args = malloc(ARGS_FIRST);
	j->e->args_cap = ARGS_FIRST;
	return j->e->text && j->e->args ? 0 : -ENOMEM;
}

void vz_import_json_fini(struct vz_import_json *j)
{
	free(j->e->text);
	free(j->e->args);
	j->e->text = j->e->args = NULL;
}

bool vz_import_json_in_events(const struct vz_import_json *j)
{
	return j->depth == 1 && where(j) == IN_EVENTS;
}
