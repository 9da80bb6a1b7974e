/* SPDX-License-Identifier: MIT */
#include "viewer/serve/serve_http.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "viewer/serve/serve_body.h"

extern const char vz_page[], vz_page_end[];

enum {
	BODY_MAX_BYTES = 1 << 20,
	CONNECTION_BYTES = 24 << 10,
	IDLE_SECONDS = 60,
};

static struct MHD_Response *lasting(const void *p, size_t n)
{
	return MHD_create_response_from_buffer(n, (void *)(uintptr_t)p, MHD_RESPMEM_PERSISTENT);
}

static struct MHD_Response *page(struct vz_site *site, struct vz_request *request)
{
	const struct vz_plain_page *plain = &request->http->plain;

	(void)site;
	return plain->html ? lasting(plain->html, plain->html_bytes)
			   : lasting(vz_page, (size_t)(vz_page_end - vz_page));
}

static struct MHD_Response *core(struct vz_site *site, struct vz_request *request)
{
	const struct vz_plain_page *plain = &request->http->plain;

	(void)site;
	return lasting(plain->core, plain->core_bytes);
}

struct route {
	const char *path; /* behind the token */
	bool post;
	const char *type;
	vz_body *make;
};

/* clang-format off */
static const struct route routes[] = {
	/* path           post   type                          make */
	{ "",               false, "text/html; charset=utf-8",   page },
	{ "core.wasm",      false, "application/wasm",           core },
	{ "trace.json",     false, "application/json",           vz_body_trace },
	{ "functions.json", false, "application/json",           vz_body_functions },
	{ "index",          false, "application/octet-stream",   vz_body_directory },
	{ "progress",       false, "application/json",           vz_body_progress },
	{ "args",           false, "application/json",           vz_body_args },
	{ "source",         false, "text/plain; charset=utf-8",  vz_body_source },
	{ "compare.json",   false, "application/json",           vz_body_compare },
	{ "tiles",          true,  "application/octet-stream",   vz_body_tiles },
	{ "events",         true,  "application/octet-stream",   vz_body_events },
	{ 0 },
};
/* clang-format on */

/* ---- the gate ---- */

struct verdict {
	unsigned status;
	const char *why;
};

static const char *header(struct MHD_Connection *c, const char *name)
{
	return MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
}

/* Does not tell by its time how much of a guess was right. */
static bool same_token(const char *guess, const char *token)
{
	unsigned differs = 0;

	for (size_t i = 0; i < VZ_TOKEN_DIGITS; i++) {
		if (!guess[i])
			return false;
		differs |= (unsigned)(guess[i] ^ token[i]);
	}
	return !differs;
}

/* A name of ours, and the port: whoever has another name point here is sent away. */
static bool is_our_host(const struct vz_http *http, const char *host)
{
	static const char *const names[] = { "127.0.0.1", "localhost" };
	char text[32];

	for (int i = 0; host && i < 2; i++) {
		snprintf(text, sizeof(text), "%s:%u", names[i], http->port);
		if (!strcasecmp(host, text))
			return true;
	}
	return false;
}

static bool is_our_origin(const struct vz_http *http, const char *origin)
{
	return !strncmp(origin, "http://", 7) && is_our_host(http, origin + 7);
}

/*
 * What a browser says of where a request comes from.  A link to the page may be anywhere
 * (who has it knows the token), but nothing else is for pages of others, those of other
 * ports of this machine included.
 */
static bool comes_from_us(struct MHD_Connection *c, bool is_page)
{
	const char *site = header(c, "Sec-Fetch-Site"), *mode = header(c, "Sec-Fetch-Mode"),
		   *dest = header(c, "Sec-Fetch-Dest");

	if (!site || !strcmp(site, "same-origin") || !strcmp(site, "none"))
		return true;
	return is_page && mode && dest && !strcmp(mode, "navigate") && !strcmp(dest, "document");
}

static const struct route *find_route(const struct vz_http *http, const char *url)
{
	if (url[0] != '/' || !same_token(url + 1, http->token) || url[1 + VZ_TOKEN_DIGITS] != '/')
		return NULL;
	for (const struct route *r = routes; r->path; r++)
		if (!strcmp(r->path, url + VZ_TOKEN_DIGITS + 2))
			return r;
	return NULL;
}

static struct verdict check_body(struct MHD_Connection *c)
{
	const char *length = header(c, MHD_HTTP_HEADER_CONTENT_LENGTH);
	unsigned long long n;
	char *end;

	if (!length || header(c, MHD_HTTP_HEADER_TRANSFER_ENCODING))
		return (struct verdict){ MHD_HTTP_LENGTH_REQUIRED, "Content-Length is missing" };
	errno = 0;
	n = strtoull(length, &end, 10);
	if (errno || *end || n > BODY_MAX_BYTES)
		return (struct verdict){ MHD_HTTP_CONTENT_TOO_LARGE, "the body is too large" };
	return (struct verdict){ MHD_HTTP_OK, NULL };
}

static struct verdict check_origin(const struct vz_http *http, struct MHD_Connection *c,
				   bool is_page)
{
	const char *origin = header(c, MHD_HTTP_HEADER_ORIGIN);

	if (!is_our_host(http, header(c, MHD_HTTP_HEADER_HOST)))
		return (struct verdict){ MHD_HTTP_FORBIDDEN,
					 "this server has another name, or another port: forward "
					 "the same port and use http://127.0.0.1 or "
					 "http://localhost" };
	if ((origin && !is_our_origin(http, origin)) || !comes_from_us(c, is_page))
		return (struct verdict){ MHD_HTTP_FORBIDDEN,
					 "this server does not answer pages of others" };
	return (struct verdict){ MHD_HTTP_OK, NULL };
}

static struct verdict check(const struct vz_http *http, struct MHD_Connection *c,
			    const struct route *route, const char *method)
{
	struct verdict v = check_origin(http, c, route && route->make == page);
	bool post = !strcmp(method, MHD_HTTP_METHOD_POST);
	bool get = !strcmp(method, MHD_HTTP_METHOD_GET) || !strcmp(method, MHD_HTTP_METHOD_HEAD);

	if (v.status != MHD_HTTP_OK)
		return v;
	if (!route)
		return (struct verdict){ MHD_HTTP_NOT_FOUND, "there is nothing here" };
	if (route->post ? !post : !get)
		return (struct verdict){ MHD_HTTP_METHOD_NOT_ALLOWED, "not by this method" };
	return post ? check_body(c) : v;
}

/* ---- answers ---- */

static void add(struct MHD_Response *response, const char *name, const char *value)
{
	MHD_add_response_header(response, name, value);
}

static void add_headers(struct MHD_Response *response, const struct vz_http *http,
			const struct route *route)
{
	bool is_page = route && route->make == page;

	add(response, MHD_HTTP_HEADER_CONTENT_TYPE,
	    route ? route->type : "text/plain; charset=utf-8");
	add(response, "Content-Security-Policy",
	    is_page ? http->policy : "default-src 'none'; frame-ancestors 'none'; sandbox");
	add(response, "X-Content-Type-Options", "nosniff");
	add(response, "X-Frame-Options", "DENY");
	add(response, "Referrer-Policy", "no-referrer");
	add(response, "Cross-Origin-Opener-Policy", "same-origin");
	add(response, "Cross-Origin-Resource-Policy", "same-origin");
	add(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
}

static enum MHD_Result send_response(struct MHD_Connection *c, unsigned status,
				     struct MHD_Response *response)
{
	enum MHD_Result rc = MHD_queue_response(c, status, response);

	MHD_destroy_response(response);
	return rc;
}

static enum MHD_Result refuse(const struct vz_http *http, struct MHD_Connection *c, unsigned status,
			      const char *why)
{
	struct MHD_Response *response;
	char text[VZ_TROUBLE_BYTES + 16];
	int n = snprintf(text, sizeof(text), "%s%s\n",
			 strncmp(why, "vizview: ", 9) ? "vizview: " : "", why);

	response = MHD_create_response_from_buffer((size_t)n, text, MHD_RESPMEM_MUST_COPY);
	if (!response)
		return MHD_NO;
	add_headers(response, http, NULL);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		add(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD, POST");
	if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
		add(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
	return send_response(c, status, response);
}

/* The address that was given to the browser works once, and then leads to the page. */
static enum MHD_Result redirect(struct vz_http *http, struct MHD_Connection *c)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	char path[VZ_TOKEN_DIGITS + 3];

	if (!response)
		return MHD_NO;
	memset(http->once, 0, sizeof(http->once));
	snprintf(path, sizeof(path), "/%s/", http->token);
	add_headers(response, http, NULL);
	add(response, MHD_HTTP_HEADER_LOCATION, path);
	return send_response(c, MHD_HTTP_SEE_OTHER, response);
}

/* Called again for the same request when it goes on. */
static enum MHD_Result wait_for_comparison(struct vz_http *http, struct MHD_Connection *c)
{
	if (http->nwaiting == VZ_HTTP_CONNECTIONS)
		return MHD_NO;
	http->waiting[http->nwaiting++] = c;
	MHD_suspend_connection(c);
	return MHD_YES;
}

static void go_on(struct vz_http *http)
{
	while (http->nwaiting)
		MHD_resume_connection(http->waiting[--http->nwaiting]);
}

static enum MHD_Result respond(struct vz_http *http, const struct route *route,
			       struct vz_request *request)
{
	struct MHD_Response *response;

	if (route->make == vz_body_compare && !http->ending &&
	    http->site->compare_state == VZ_SITE_WORKING)
		return wait_for_comparison(http, request->connection);
	request->status = MHD_HTTP_OK;
	response = route->make(http->site, request);
	if (!response && request->status != MHD_HTTP_OK)
		return refuse(http, request->connection, request->status, request->why);
	if (!response)
		return refuse(http, request->connection, MHD_HTTP_INTERNAL_SERVER_ERROR,
			      "out of memory");
	add_headers(response, http, route);
	if (request->newer)
		add(response, "X-Newer", "1");
	return send_response(request->connection, MHD_HTTP_OK, response);
}

/* ---- requests ---- */

static int take_body(struct vz_request *request, const char *p, size_t n)
{
	if (request->bytes + n > BODY_MAX_BYTES)
		return -EFBIG;
	if (request->bytes + n > request->cap) {
		size_t cap = request->cap ? request->cap * 2 : 1024;
		uint8_t *bigger;

		while (cap < request->bytes + n)
			cap *= 2;
		bigger = realloc(request->body, cap);
		if (!bigger)
			return -ENOMEM;
		request->body = bigger;
		request->cap = cap;
	}
	memcpy(request->body + request->bytes, p, n);
	request->bytes += n;
	return 0;
}

/* Called with the headers, then with each part of the body, then once without one. */
static enum MHD_Result answer(void *cls, struct MHD_Connection *c, const char *url,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_bytes, void **state)
{
	struct vz_http *http = cls;
	const struct route *route = find_route(http, url);
	struct vz_request *request = *state;

	(void)version;
	if (!request) {
		struct verdict v = check(http, c, route, method);

		if (v.status == MHD_HTTP_NOT_FOUND && !strcmp(method, MHD_HTTP_METHOD_GET) &&
		    http->once[0] && same_token(url + 1, http->once) && !url[1 + VZ_TOKEN_DIGITS])
			return redirect(http, c);
		if (v.status != MHD_HTTP_OK)
			return refuse(http, c, v.status, v.why);
		request = calloc(1, sizeof(*request));
		if (!request)
			return MHD_NO;
		request->connection = c;
		request->http = http;
		*state = request;
		return MHD_YES;
	}
	if (*upload_bytes) {
		if (take_body(request, upload, *upload_bytes) < 0)
			return MHD_NO;
		*upload_bytes = 0;
		return MHD_YES;
	}
	return respond(http, route, request);
}

static void completed(void *cls, struct MHD_Connection *c, void **state,
		      enum MHD_RequestTerminationCode how)
{
	struct vz_request *request = *state;
	struct vz_http *http = cls;

	(void)c;
	(void)how;
	if (request)
		vz_site_rest(http->site);
	if (request)
		free(request->body);
	free(request);
	*state = NULL;
}

/* ---- beginning and end ---- */

static int make_token(char *token)
{
	uint8_t random[VZ_TOKEN_DIGITS / 2];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(token + 2 * i, 3, "%02x", random[i]);
	return 0;
}

/* What the page says of itself, and what only a header can say. */
static void find_policy(char *policy)
{
	static const char mark[] = "http-equiv=\"Content-Security-Policy\" content=\"";
	const char *p = memmem(vz_page, (size_t)(vz_page_end - vz_page), mark, sizeof(mark) - 1);
	const char *end = NULL;
	int n;

	if (p) {
		p += sizeof(mark) - 1;
		end = memchr(p, '"', (size_t)(vz_page_end - p));
	}
	n = end ? (int)(end - p) : 0;
	while (n && (p[n - 1] == ';' || p[n - 1] == ' '))
		n--;
	snprintf(policy, VZ_POLICY_BYTES, "%.*s%sframe-ancestors 'none'", n, end ? p : "",
		 n ? "; " : "default-src 'none'; ");
}

int vz_http_init(struct vz_http *http, int sock)
{
	int rc = make_token(http->token);

	if (rc == 0)
		rc = make_token(http->once);
	if (rc < 0)
		return rc;
	find_policy(http->policy);
	rc = vz_plain_page_make(vz_page, (size_t)(vz_page_end - vz_page), &http->plain);
	if (rc == -ENOMEM)
		return rc;
	http->daemon =
		MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, answer,
				 http, MHD_OPTION_LISTEN_SOCKET, sock, MHD_OPTION_CONNECTION_LIMIT,
				 (unsigned)VZ_HTTP_CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
				 (size_t)CONNECTION_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
				 (unsigned)IDLE_SECONDS, MHD_OPTION_STRICT_FOR_CLIENT, 1,
				 MHD_OPTION_NOTIFY_COMPLETED, completed, http, MHD_OPTION_END);
	if (!http->daemon)
		vz_plain_page_fini(&http->plain);
	return http->daemon ? 0 : -ENOMEM;
}

int vz_http_run(struct vz_http *http, int *timeout_ms)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (http->site->compare_state != VZ_SITE_WORKING)
		go_on(http);
	if (MHD_run(http->daemon) != MHD_YES)
		return -EIO;
	*timeout_ms = -1;
	if (MHD_get_timeout(http->daemon, &ms) == MHD_YES)
		*timeout_ms = ms < INT_MAX ? (int)ms : INT_MAX;
	return 0;
}

void vz_http_fini(struct vz_http *http)
{
	if (http->daemon) {
		http->ending = true;
		go_on(http); /* none may be suspended at the end; they are closed */
		MHD_run(http->daemon);
		MHD_stop_daemon(http->daemon);
	}
	http->daemon = NULL;
	vz_plain_page_fini(&http->plain);
}
