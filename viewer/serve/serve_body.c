/* SPDX-License-Identifier: MIT */
#include "viewer/serve/serve_body.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "viewer/args.h"
#include "viewer/out.h"
#include "viewer/serve/describe.h"
#include "viewer/source.h"

enum {
	PIECE_BYTES = 1 << 16, /* made and sent at a time */
	UNREADABLE = UINT32_MAX,
};

static struct MHD_Response *refuse(struct vz_request *request, unsigned status, const char *why)
{
	request->status = status;
	request->why = why;
	return NULL;
}

/* The text that WRITE makes, all in memory. */
struct text {
	char *p;
	size_t n;
	FILE *memory;
	struct vz_out out;
};

static int begin_text(struct text *text)
{
	*text = (struct text){ 0 };
	text->memory = open_memstream(&text->p, &text->n);
	return vz_out_open_memory(&text->out, text->memory);
}

/* 0 or -ENOMEM, and then there is no text. */
static int end_text(struct text *text, int rc)
{
	struct vz_trouble trouble;

	if (rc == 0)
		rc = vz_out_close(&text->out, &trouble);
	else
		vz_out_abandon(&text->out);
	if (text->memory && fclose(text->memory) != 0)
		rc = -ENOMEM;
	if (rc < 0) {
		free(text->p);
		text->p = NULL;
	}
	return rc;
}

static struct MHD_Response *whole(char *p, size_t n)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(n, p, MHD_RESPMEM_MUST_FREE);

	if (!response)
		free(p);
	return response;
}

/* ---- trace.json, functions.json, progress ---- */

struct MHD_Response *vz_body_trace(struct vz_site *site, struct vz_request *request)
{
	const struct vz_directory_view *view = site->index ? vz_index_view(site->index) : NULL;
	const struct vz_describe d = {
		.file = site->options->name,
		.compare = site->options->other_name,
		.has_source = true,
		.directory = view ? view->head : NULL,
		.tracks = view ? view->tracks : NULL,
	};
	struct text text;
	int rc = begin_text(&text);

	(void)request;
	if (rc == 0)
		rc = vz_describe_trace(site->reader, &d, &text.out);
	return end_text(&text, rc) == 0 ? whole(text.p, text.n) : NULL;
}

struct functions {
	struct vz_site *site;
	struct vz_describe_place place;
	bool last;
	char *part;
	size_t n, sent;
};

static int next_part(struct functions *f)
{
	struct text text;
	int rc = begin_text(&text);

	if (rc == 0)
		f->last = !vz_describe_functions(f->site->reader, &f->site->files, &f->place,
						 &text.out);
	rc = end_text(&text, rc);
	free(f->part);
	f->part = text.p;
	f->n = text.n;
	f->sent = 0;
	return rc;
}

static ssize_t read_functions(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct functions *f = cls;
	size_t n;

	(void)pos;
	if (f->sent == f->n && f->last)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (f->sent == f->n && next_part(f) < 0)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	n = f->n - f->sent < max ? f->n - f->sent : max;
	memcpy(buf, f->part + f->sent, n);
	f->sent += n;
	return (ssize_t)n;
}

static void free_functions(void *cls)
{
	struct functions *f = cls;

	free(f->part);
	free(f);
}

struct MHD_Response *vz_body_functions(struct vz_site *site, struct vz_request *request)
{
	struct functions *f = calloc(1, sizeof(*f));
	struct MHD_Response *response;

	(void)request;
	if (!f)
		return NULL;
	f->site = site;
	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE_BYTES, read_functions,
						     f, free_functions);
	if (!response)
		free_functions(f);
	return response;
}

static bool index_has_failed(const struct vz_site *site, struct vz_request *request)
{
	if (site->index_state == VZ_SITE_FAILED)
		refuse(request, MHD_HTTP_INTERNAL_SERVER_ERROR, site->trouble);
	return site->index_state == VZ_SITE_FAILED;
}

struct MHD_Response *vz_body_progress(struct vz_site *site, struct vz_request *request)
{
	struct text text;
	int rc;

	if (index_has_failed(site, request))
		return NULL;
	rc = begin_text(&text);
	if (rc < 0) {
		end_text(&text, rc);
		return NULL;
	}
	vz_out_format(&text.out, "{\"what\":\"building the index\",\"done\":%.4f,\"complete\":%s",
		      site->index_state == VZ_SITE_READY ? 1 : site->done,
		      site->index_state == VZ_SITE_READY ? "true" : "false");
	vz_out_text(&text.out, "}\n");
	return end_text(&text, 0) == 0 ? whole(text.p, text.n) : NULL;
}

/* ---- the index ---- */

static bool index_is_there(const struct vz_site *site, struct vz_request *request)
{
	if (site->index_state == VZ_SITE_WORKING)
		refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE, "the index is being built");
	else
		index_has_failed(site, request);
	return site->index_state == VZ_SITE_READY;
}

struct MHD_Response *vz_body_directory(struct vz_site *site, struct vz_request *request)
{
	const void *p;
	size_t n;

	if (!index_is_there(site, request))
		return NULL;
	p = vz_index_directory(site->index, &n);
	return MHD_create_response_from_buffer(n, (void *)(uintptr_t)p, MHD_RESPMEM_PERSISTENT);
}

/* Numbers that a page asked for, and how far the answer is. */
struct list {
	struct vz_site *site;
	uint32_t *numbers;
	size_t n, at;
	uint8_t *piece; /* events: length and raw payload of one block */
	size_t piece_bytes, piece_cap;
	size_t sent; /* of the piece or tile */
};

static void free_list(void *cls)
{
	struct list *list = cls;

	free(list->numbers);
	free(list->piece);
	free(list);
}

/* NULL: the body is not a list of numbers below LIMIT. */
static struct list *take_list(struct vz_site *site, struct vz_request *request, uint32_t limit)
{
	struct list *list;
	uint32_t number;

	if (request->bytes % sizeof(number)) {
		refuse(request, MHD_HTTP_BAD_REQUEST, "the body is not a list of 32-bit numbers");
		return NULL;
	}
	for (size_t i = 0; i < request->bytes; i += sizeof(number)) {
		memcpy(&number, request->body + i, sizeof(number));
		if (number >= limit) {
			refuse(request, MHD_HTTP_BAD_REQUEST, "there is nothing of this number");
			return NULL;
		}
	}
	list = calloc(1, sizeof(*list));
	if (!list)
		return NULL;
	list->site = site;
	list->numbers = (uint32_t *)(void *)request->body; /* as malloc aligned it */
	list->n = request->bytes / sizeof(number);
	request->body = NULL;
	return list;
}

static struct MHD_Response *stream(struct list *list, uint64_t bytes,
				   MHD_ContentReaderCallback reader)
{
	struct MHD_Response *response =
		MHD_create_response_from_callback(bytes, PIECE_BYTES, reader, list, free_list);

	if (!response)
		free_list(list);
	return response;
}

static ssize_t read_tiles(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct list *list = cls;
	size_t used = 0, bytes, n;

	(void)pos;
	while (used < max && list->at < list->n) {
		const uint8_t *tile =
			vz_index_tile(list->site->index, list->numbers[list->at], &bytes);

		if (!tile)
			return MHD_CONTENT_READER_END_WITH_ERROR;
		n = bytes - list->sent < max - used ? bytes - list->sent : max - used;
		memcpy(buf + used, tile + list->sent, n);
		used += n;
		list->sent += n;
		if (list->sent == bytes) {
			list->at++;
			list->sent = 0;
		}
	}
	return used ? (ssize_t)used : MHD_CONTENT_READER_END_OF_STREAM;
}

struct MHD_Response *vz_body_tiles(struct vz_site *site, struct vz_request *request)
{
	const struct vz_directory_view *view;
	uint64_t bytes = 0;
	struct list *list;

	if (!index_is_there(site, request))
		return NULL;
	view = vz_index_view(site->index);
	list = take_list(site, request, view->head->ntiles);
	for (size_t i = 0; list && i < list->n; i++)
		bytes += view->tiles[list->numbers[i]].bytes;
	return list ? stream(list, bytes, read_tiles) : NULL;
}

/* ---- events ---- */

/* Keeps a copy: the reader's own buffer is for the next one who asks. */
static int load_block(struct list *list)
{
	uint32_t number = list->numbers[list->at++], length = UNREADABLE;
	struct vz_block head = { 0 };
	const uint8_t *raw = NULL;
	size_t bytes;
	int rc = vz_reader_load(list->site->reader, number, &head, &raw);

	if (rc == -ENOMEM)
		return rc;
	if (rc == 0)
		length = head.raw_bytes;
	bytes = sizeof(length) + (rc == 0 ? length : 0);
	if (bytes > list->piece_cap) {
		free(list->piece);
		list->piece_cap = bytes;
		list->piece = malloc(bytes);
		if (!list->piece)
			return -ENOMEM;
	}
	memcpy(list->piece, &length, sizeof(length));
	if (rc == 0)
		memcpy(list->piece + sizeof(length), raw, length);
	list->piece_bytes = bytes;
	list->sent = 0;
	return 0;
}

static ssize_t read_events(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct list *list = cls;
	size_t n;

	(void)pos;
	if (list->sent == list->piece_bytes) {
		if (list->at == list->n)
			return MHD_CONTENT_READER_END_OF_STREAM;
		if (load_block(list) < 0)
			return MHD_CONTENT_READER_END_WITH_ERROR;
	}
	n = list->piece_bytes - list->sent < max ? list->piece_bytes - list->sent : max;
	memcpy(buf, list->piece + list->sent, n);
	list->sent += n;
	return (ssize_t)n;
}

struct MHD_Response *vz_body_events(struct vz_site *site, struct vz_request *request)
{
	struct list *list = take_list(site, request, vz_reader_nblocks(site->reader));

	return list ? stream(list, MHD_SIZE_UNKNOWN, read_events) : NULL;
}

/* ---- one thing at a time ---- */

/* The number behind "?NAME="; false: there is none. */
static bool number_of(struct vz_request *request, const char *name, uint64_t *ret)
{
	const char *text =
		MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return !*end && !errno;
}

struct MHD_Response *vz_body_args(struct vz_site *site, struct vz_request *request)
{
	uint64_t track, entry;
	size_t n = 0;
	char *json;
	int rc;

	if (!index_is_there(site, request))
		return NULL;
	if (!number_of(request, "track", &track) || !number_of(request, "entry", &entry) ||
	    track >= vz_index_view(site->index)->head->ntracks)
		return refuse(request, MHD_HTTP_BAD_REQUEST, "there is no such track or entry");
	rc = vz_args_find(site->reader, vz_index_view(site->index)->tracks[track].place, entry,
			  &json, &n);
	if (rc == -ENOENT)
		return MHD_create_response_from_buffer(5, (void *)(uintptr_t) "null\n",
						       MHD_RESPMEM_PERSISTENT);
	return rc == 0 ? whole(json, n) : NULL;
}

struct MHD_Response *vz_body_source(struct vz_site *site, struct vz_request *request)
{
	struct vz_source source;
	uint64_t file;
	int rc;

	if (!number_of(request, "file", &file) || file >= site->files.n)
		return refuse(request, MHD_HTTP_BAD_REQUEST, "there is no file of this number");
	rc = vz_source_read(site->reader, &site->files, (uint32_t)file, &source);
	if (rc == -ENOENT)
		return refuse(request, MHD_HTTP_NOT_FOUND,
			      "the file is not in the trace and cannot be read here");
	request->newer = rc == 0 && source.newer;
	return rc == 0 ? whole(source.text, source.bytes) : NULL;
}

struct MHD_Response *vz_body_compare(struct vz_site *site, struct vz_request *request)
{
	struct MHD_Response *response;
	struct stat st;
	int fd;

	if (site->compare_state != VZ_SITE_READY)
		return refuse(request, MHD_HTTP_NOT_FOUND, "there is nothing to compare with");
	fd = dup(site->compare_fd);
	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	/* The response reads at offsets of its own, so that several share the file. */
	response = MHD_create_response_from_fd_at_offset64((uint64_t)st.st_size, fd, 0);
	if (!response)
		close(fd);
	return response;
}
