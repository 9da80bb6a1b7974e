/* SPDX-License-Identifier: MIT */
/*
 * Any bytes that a client sends are answered, or not, without a crash, a leak or a hang.
 *
 * The address is random: byte 1 stands for the path of the token, 2 for a Host of ours.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "viewer/import/write.h"
#include "viewer/serve/serve_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	ROUNDS = 200, /* of the loop, for one input */
	CALLS = 3000,
	MAX_BYTES = 1 << 16,
	PORT = 4711,
	MARK_PATH = 1,
	MARK_HOST = 2,
};

static struct vz_http http;
static struct vz_site site;
static char path[] = "/tmp/fuzz-serve-XXXXXX";

static void must(bool good)
{
	if (!good)
		abort();
}

static void write_trace(int fd)
{
	const struct vz_file_header header = { .pid = 1 };
	const struct vz_file_function function = { .kind = VZ_DEF_PYTHON };
	struct vz_file_track track = { .tid = 1 };
	struct vz_writer *w = vz_writer_new(fd, &header);
	struct vz_writer_track *t;

	must(w != NULL);
	vz_writer_function(w, &function, "f", "/app/f.py");
	t = vz_writer_track(w, &track, "main");
	for (uint64_t i = 0; i < CALLS; i++) {
		vz_writer_enter(t, 0, VZ_ENTRY_CALL, i * 20000);
		vz_writer_args(t, "{}", 2);
		vz_writer_leave(t, VZ_LEAVE_RETURN, i * 20000 + 17000);
	}
	vz_writer_end_track(t, CALLS * 20000);
	must(vz_writer_finish(w, CALLS * 20000, "") == 0);
	vz_writer_free(w);
}

/* Once: a trace, its index, and a server that nobody can connect to. */
static void begin(void)
{
	static struct vz_serve_options options = { .path = path, .name = "fuzz" };
	const struct sockaddr_in address = { .sin_family = AF_INET,
					     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = mkstemp(path), sock = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	char index[sizeof(path) + 8];
	struct vz_trouble trouble;
	struct vz_reader *r;

	must(fd >= 0 && sock >= 0);
	must(bind(sock, (const struct sockaddr *)&address, sizeof(address)) == 0);
	must(listen(sock, 1) == 0);
	write_trace(fd);
	close(fd);
	must(vz_reader_open(path, &r, &trouble) == 0);
	must(vz_index_build(path, &(struct vz_index_options){ .threads = 1 }, NULL, &trouble) == 0);
	must(vz_site_init(&site, r, &options, &trouble) == 0 && site.index);
	snprintf(index, sizeof(index), "%s.vizi", path);
	unlink(index);
	unlink(path);
	http.site = &site;
	http.port = PORT;
	must(vz_http_init(&http, sock) == 0);
}

static size_t expand(const uint8_t *data, size_t size, char *text)
{
	size_t n = 0;

	for (size_t i = 0; i < size && n < MAX_BYTES - 64; i++) {
		if (data[i] == MARK_PATH)
			n += (size_t)sprintf(text + n, "/%s/", http.token);
		else if (data[i] == MARK_HOST)
			n += (size_t)sprintf(text + n, "Host: 127.0.0.1:%d\r\n", PORT);
		else
			text[n++] = (char)data[i];
	}
	return n;
}

/* Until nothing more comes: what was sent is all that there is. */
static void talk(int sock)
{
	char answer[1 << 16];
	int timeout;

	for (int i = 0, quiet = 0; i < ROUNDS && quiet < 4; i++) {
		ssize_t n;

		must(vz_http_run(&http, &timeout) == 0);
		n = recv(sock, answer, sizeof(answer), MSG_DONTWAIT);
		if (n == 0)
			return;
		quiet = n < 0 ? quiet + 1 : 0;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[MAX_BYTES + 64];
	const struct sockaddr_in address = { .sin_family = AF_INET };
	int ends[2], timeout;
	size_t n;

	if (!http.daemon)
		begin();
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
	n = expand(data, size, text);
	must(send(ends[0], text, n, MSG_NOSIGNAL) >= 0 || !n);
	if (MHD_add_connection(http.daemon, ends[1], (const struct sockaddr *)&address,
			       sizeof(address)) != MHD_YES)
		close(ends[1]);
	else
		talk(ends[0]);
	close(ends[0]);
	for (int i = 0; i < 3; i++)
		must(vz_http_run(&http, &timeout) == 0);
	return 0;
}
