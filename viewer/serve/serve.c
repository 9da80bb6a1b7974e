/* SPDX-License-Identifier: MIT */
#include "viewer/serve/serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "viewer/human.h"
#include "viewer/serve/browser.h"
#include "viewer/serve/serve_http.h"

enum {
	BACKLOG = 32,
	WORKING_MS = 100, /* between looks at the children */
	ADDRESS_BYTES = 96,
};

/* ---- the socket ---- */

static int explain_socket(int rc, unsigned port, struct vz_trouble *trouble)
{
	vz_trouble_set(trouble, rc, "cannot listen on port %u of 127.0.0.1", port);
	vz_trouble_why(trouble, "%s", strerror(rc));
	if (rc == EADDRINUSE)
		vz_trouble_try(trouble, "without --port: then a free one is taken");
	else if (rc == EACCES)
		vz_trouble_try(trouble, "a port above 1023, or none: then a free one is taken");
	return -rc;
}

static int open_socket(unsigned port, struct vz_trouble *trouble)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, rc;

	if (sock >= 0 && setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    bind(sock, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
	    listen(sock, BACKLOG) == 0)
		return sock;
	rc = errno;
	if (sock >= 0)
		close(sock);
	return explain_socket(rc, port, trouble);
}

static unsigned port_of(int sock)
{
	struct sockaddr_in address = { 0 };
	socklen_t n = sizeof(address);

	getsockname(sock, (struct sockaddr *)&address, &n);
	return ntohs(address.sin_port);
}

/* ---- what the user is told ---- */

static void tell(const struct vz_http *http, const struct vz_site *site)
{
	const struct vz_serve_options *options = site->options;
	char command[256];
	struct vz_totals totals;
	uint64_t t0_ns, t1_ns;

	vz_reader_totals(site->reader, &totals);
	vz_reader_range(site->reader, &t0_ns, &t1_ns);
	printf("%s: %s calls in %s, %s\n", options->name, vz_human_count(totals.calls).s,
	       vz_human_time(t1_ns - t0_ns).s, vz_human_bytes(totals.file_bytes).s);
	if (options->other_name)
		printf("compared with %s\n", options->other_name);
	printf("  http://127.0.0.1:%u/%s/\n", http->port, http->token);
	if (vz_browser_forward(http->port, command, sizeof(command)))
		printf("From where you sit, first: %s\n", command);
	if (site->index_state == VZ_SITE_WORKING)
		printf("The index is made now; the page shows how far it is.\n");
	printf("Ctrl-C ends it.\n");
	fflush(stdout);
}

static void show(const struct vz_http *http, const struct vz_serve_options *options)
{
	char address[ADDRESS_BYTES];

	if (options->no_open || !vz_browser_wanted())
		return;
	/* Everybody on the machine may see the arguments of a command: this address works once. */
	snprintf(address, sizeof(address), "http://127.0.0.1:%u/%s", http->port, http->once);
	vz_browser_open(address);
}

/* ---- the loop ---- */

static void trace_is_gone(int sig)
{
	static const char text[] = "vizview: the trace cannot be read any more\n"
				   "  why: it was cut or written over while it was shown\n"
				   "  try: vizview again\n";

	(void)sig;
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
	_exit(1);
}

static int open_signals(void)
{
	const struct sigaction gone = { .sa_handler = trace_is_gone };
	sigset_t set;

	sigaction(SIGBUS, &gone, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Until a signal comes. */
static int loop(struct vz_http *http, int signals)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	struct pollfd fds[] = {
		{ .fd = signals, .events = POLLIN },
		{ .fd = info ? info->epoll_fd : -1, .events = POLLIN },
	};

	while (!(fds[0].revents & POLLIN)) {
		bool working = vz_site_poll(http->site);
		int timeout, rc = vz_http_run(http, &timeout);

		if (rc < 0)
			return rc;
		if (working && (timeout < 0 || timeout > WORKING_MS))
			timeout = WORKING_MS;
		if (poll(fds, 2, timeout) < 0 && errno != EINTR)
			return -errno;
	}
	return 0;
}

static int serve_site(struct vz_site *site, struct vz_trouble *trouble)
{
	struct vz_http http = { .site = site };
	int sock = open_socket(site->options->port, trouble), signals, rc;

	if (sock < 0)
		return sock;
	http.port = port_of(sock);
	rc = vz_http_init(&http, sock);
	if (rc < 0) {
		close(sock);
		return vz_trouble_set(trouble, -rc, "cannot start the server");
	}
	signals = open_signals();
	if (signals >= 0) {
		tell(&http, site);
		show(&http, site->options);
		rc = loop(&http, signals);
		close(signals);
	} else {
		rc = -errno;
	}
	vz_http_fini(&http);
	return rc < 0 ? vz_trouble_set(trouble, -rc, "the server had to end") : 0;
}

int vz_serve(struct vz_reader *r, const struct vz_serve_options *options,
	     struct vz_trouble *trouble)
{
	struct vz_site site;
	int rc = vz_site_init(&site, r, options, trouble);

	if (rc == 0)
		rc = serve_site(&site, trouble);
	vz_site_fini(&site);
	return rc;
}
