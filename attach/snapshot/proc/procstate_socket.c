/* SPDX-License-Identifier: MIT */
/*
 * procstate_socket.c - sockets of the target's network namespace, from the files in
 * /proc/PID/net, which need no entering of that namespace.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "attach/snapshot/proc/procstate_priv.h"
#include "attach/util.h"

enum {
	NET_MAX_BYTES = 16 << 20,
	SOCKS_MAX = 1 << 16, /* of one kind */
	PORT_DNS = 53,
	PORT_DNS_TLS = 853,
	UNIX_ACCEPTS = 0x10000, /* __SO_ACCEPTCON */
	UNIX_CONNECTED = 3,
};

static const struct {
	const char *file;
	uint8_t address_bytes;
} kinds[VZ_NSOCKS] = {
	[VZ_SOCK_TCP] = { "net/tcp", 4 },   [VZ_SOCK_TCP6] = { "net/tcp6", 16 },
	[VZ_SOCK_UDP] = { "net/udp", 4 },   [VZ_SOCK_UDP6] = { "net/udp6", 16 },
	[VZ_SOCK_UNIX] = { "net/unix", 0 },
};

/* ---- reading ---- */

/* A number and what stands behind it; UINT64_MAX and the text as it is: there is none. */
static uint64_t number(const char **text, int base)
{
	char *end;
	uint64_t value;

	while (**text == ' ')
		(*text)++;
	if (!isxdigit((unsigned char)**text))
		return UINT64_MAX;
	value = strtoull(*text, &end, base);
	*text = end;
	return value;
}

/* "0100007F:0050": each group of eight digits is a word as the CPU has it in memory. */
static bool address(const char **text, unsigned bytes, uint8_t *ret, uint16_t *port)
{
	while (**text == ' ')
		(*text)++;
	for (unsigned i = 0; i < bytes; i += 4) {
		uint32_t word = 0;

		for (int k = 0; k < 8; k++, (*text)++) {
			unsigned c = (unsigned char)**text;

			if (!isxdigit(c))
				return false;
			word = word << 4 | (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
		}
		memcpy(ret + i, &word, sizeof(word));
	}
	if (**text != ':')
		return false;
	(*text)++;
	*port = (uint16_t)number(text, 16);
	return true;
}

/* "0: 0100007F:0050 00000000:0000 0A tx:rx tr:when retransmits uid timeout inode ..." */
static bool parse_inet(const char *line, struct vz_sock *sock)
{
	unsigned bytes = kinds[sock->kind].address_bytes;

	line = strchr(line, ':');
	if (!line)
		return false;
	line++;
	if (!address(&line, bytes, sock->local, &sock->lport) ||
	    !address(&line, bytes, sock->remote, &sock->rport))
		return false;
	sock->state = (uint8_t)number(&line, 16);
	sock->unsent = (uint32_t)number(&line, 16);
	line += *line == ':';
	sock->unread = (uint32_t)number(&line, 16);
	for (int i = 0; i < 2; i++) { /* the timer: two numbers with a colon */
		number(&line, 16);
		line += *line == ':';
	}
	for (int i = 0; i < 3; i++) /* retransmits, user, timeout */
		number(&line, 16);
	sock->inode = number(&line, 10);
	sock->path = "";
	sock->listening = sock->state == TCP_LISTEN && sock->kind <= VZ_SOCK_TCP6;
	return sock->inode != UINT64_MAX;
}

/* "0000000000000000: 00000002 00000000 00010000 0001 01 12345 /path" */
static bool parse_unix(struct vz_arena *arena, const char *line, const char *end,
		       struct vz_sock *sock)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 2] = "";

	line = strchr(line, ':');
	if (!line)
		return false;
	line++;
	number(&line, 16);
	number(&line, 16);
	sock->listening = (number(&line, 16) & UNIX_ACCEPTS) != 0;
	number(&line, 16);
	sock->state = (uint8_t)number(&line, 16);
	sock->inode = number(&line, 10);
	if (sock->inode == UINT64_MAX)
		return false;
	line += *line == ' ';
	if (line < end && (size_t)(end - line) < sizeof(path))
		snprintf(path, sizeof(path), "%.*s", (int)(end - line), line);
	vz_plain(path);
	sock->path = vz_arena_text(arena, path);
	return true;
}

static bool parse_line(struct vz_arena *arena, const char *line, const char *end,
		       struct vz_sock *sock)
{
	char copy[512];
	size_t len = (size_t)(end - line);

	if (len >= sizeof(copy))
		return false;
	memcpy(copy, line, len);
	copy[len] = '\0';
	if (sock->kind == VZ_SOCK_UNIX)
		return parse_unix(arena, copy, copy + len, sock);
	return parse_inet(copy, sock);
}

void vz_socks_parse(struct vz_arena *arena, const char *text, enum vz_sock_kind kind,
		    struct vz_socks *ret)
{
	size_t lines = 1;

	memset(ret, 0, sizeof(*ret));
	for (const char *p = text; (p = strchr(p, '\n')); p++)
		lines++;
	if (lines > SOCKS_MAX)
		lines = SOCKS_MAX;
	ret->items = vz_arena_alloc(arena, lines, sizeof(*ret->items));
	while (ret->items && *text && ret->count < lines) {
		const char *end = strchrnul(text, '\n');
		struct vz_sock *sock = &ret->items[ret->count];

		memset(sock, 0, sizeof(*sock));
		sock->kind = kind;
		ret->count += parse_line(arena, text, end, sock);
		text = *end ? end + 1 : end;
	}
	ret->cut = *text != '\0';
}

/* Reading them all takes milliseconds: only what is asked for. */
static const struct vz_socks *with_socks(struct vz_snapshot *s, enum vz_sock_kind kind)
{
	struct vz_proc *proc = vz_proc_of(s);
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (!proc || proc->socks_read[kind])
		return proc ? &proc->socks[kind] : NULL;
	proc->socks_read[kind] = true;
	if (vz_proc_pid(s) &&
	    vz_slurp_proc(vz_proc_pid(s), 0, kinds[kind].file, NET_MAX_BYTES, &text, &len) == 0)
		vz_socks_parse(s->arena, text, kind, &proc->socks[kind]);
	return &proc->socks[kind];
}

/* ---- asking ---- */

const struct vz_sock *vz_sock_find(struct vz_snapshot *s, enum vz_sock_kind kind, uint64_t inode)
{
	const struct vz_socks *socks = with_socks(s, kind);

	for (size_t i = 0; socks && inode && i < socks->count; i++) {
		if (socks->items[i].inode == inode)
			return &socks->items[i];
	}
	return NULL;
}

static bool is_mapped_v4(const uint8_t *a)
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return !memcmp(a, prefix, sizeof(prefix));
}

/* The same place, though one may be written as IPv6. */
static bool same_address(const struct vz_sock *a, const uint8_t *x, const struct vz_sock *b,
			 const uint8_t *y)
{
	bool six_a = kinds[a->kind].address_bytes == 16, six_b = kinds[b->kind].address_bytes == 16;

	if (six_a && six_b)
		return !memcmp(x, y, 16);
	if ((six_a && !is_mapped_v4(x)) || (six_b && !is_mapped_v4(y)))
		return false;
	return !memcmp(six_a ? x + 12 : x, six_b ? y + 12 : y, 4);
}

static bool is_tcp(const struct vz_sock *sock)
{
	return sock->kind <= VZ_SOCK_TCP6;
}

/* Can the other end be on this machine at all? */
static bool stays_here(const struct vz_sock *sock)
{
	const uint8_t *a = sock->remote;

	if (kinds[sock->kind].address_bytes == 16 && !is_mapped_v4(a))
		return IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)a) ||
		       !memcmp(a, sock->local, 16);
	if (kinds[sock->kind].address_bytes == 16)
		a += 12;
	return a[0] == 127 || same_address(sock, sock->remote, sock, sock->local);
}

const struct vz_sock *vz_sock_other(struct vz_snapshot *s, const struct vz_sock *sock)
{
	enum vz_sock_kind first = is_tcp(sock) ? VZ_SOCK_TCP : VZ_SOCK_UDP;

	if (sock->kind == VZ_SOCK_UNIX || !sock->rport || !stays_here(sock))
		return NULL;
	/* A server that listens for both has IPv4 connections among those of IPv6. */
	for (int kind = first; kind <= (int)first + 1; kind++) {
		const struct vz_socks *socks = with_socks(s, (enum vz_sock_kind)kind);

		for (size_t i = 0; socks && i < socks->count; i++) {
			const struct vz_sock *other = &socks->items[i];

			if (other->inode && other->lport == sock->rport &&
			    other->rport == sock->lport &&
			    same_address(other, other->local, sock, sock->remote) &&
			    same_address(other, other->remote, sock, sock->local))
				return other;
		}
	}
	return NULL;
}

bool vz_sock_is_accepted(struct vz_snapshot *s, const struct vz_sock *sock)
{
	if (!is_tcp(sock) || sock->listening || !sock->rport)
		return false;
	/* One that listens for IPv6 accepts IPv4, too. */
	for (int kind = VZ_SOCK_TCP; kind <= VZ_SOCK_TCP6; kind++) {
		const struct vz_socks *socks = with_socks(s, (enum vz_sock_kind)kind);

		for (size_t i = 0; socks && i < socks->count; i++) {
			if (socks->items[i].listening && socks->items[i].lport == sock->lport)
				return true;
		}
	}
	return false;
}

static void endpoint(const uint8_t *a, bool six, unsigned port, char *ret, size_t size)
{
	char text[INET6_ADDRSTRLEN] = "?";
	bool brackets = six && !is_mapped_v4(a);

	inet_ntop(brackets ? AF_INET6 : AF_INET, six && !brackets ? a + 12 : a, text, sizeof(text));
	snprintf(ret, size, brackets ? "[%s]:%u" : "%s:%u", text, port);
}

void vz_sock_endpoint(const struct vz_sock *sock, bool remote, char *ret, size_t size)
{
	endpoint(remote ? sock->remote : sock->local, kinds[sock->kind].address_bytes == 16,
		 remote ? sock->rport : sock->lport, ret, size);
}

const char *vz_sock_state(const struct vz_sock *sock)
{
	static const char *const states[] = {
		[TCP_ESTABLISHED] = "ESTABLISHED",
		[TCP_SYN_SENT] = "SYN_SENT",
		[TCP_SYN_RECV] = "SYN_RECV",
		[TCP_FIN_WAIT1] = "FIN_WAIT1",
		[TCP_FIN_WAIT2] = "FIN_WAIT2",
		[TCP_TIME_WAIT] = "TIME_WAIT",
		[TCP_CLOSE] = "CLOSE",
		[TCP_CLOSE_WAIT] = "CLOSE_WAIT",
		[TCP_LAST_ACK] = "LAST_ACK",
		[TCP_LISTEN] = "LISTEN",
		[TCP_CLOSING] = "CLOSING",
	};

	if (sock->listening)
		return "LISTEN";
	if (sock->kind == VZ_SOCK_UNIX)
		return sock->state == UNIX_CONNECTED ? "ESTABLISHED" : "";
	if (!is_tcp(sock))
		return sock->rport ? "ESTABLISHED" : "";
	if (sock->state < sizeof(states) / sizeof(states[0]) && states[sock->state])
		return states[sock->state];
	return "";
}

static bool is_dns_port(unsigned port)
{
	return port == PORT_DNS || port == PORT_DNS_TLS;
}

static void unix_text(const struct sockaddr_un *from, size_t len, char *ret, size_t size)
{
	size_t room = len - offsetof(struct sockaddr_un, sun_path);

	if (room > sizeof(from->sun_path))
		room = sizeof(from->sun_path);
	/* A name without a file begins with a NUL; it is written as @. */
	if (room && from->sun_path[0] == '\0')
		snprintf(ret, size, "@%.*s", (int)(room - 1), from->sun_path + 1);
	else
		snprintf(ret, size, "%.*s", (int)strnlen(from->sun_path, room), from->sun_path);
	vz_plain(ret);
}

void vz_sockaddr_text(const void *address_bytes, size_t len, char *ret, size_t size, bool *dns)
{
	union {
		sa_family_t family;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} a;

	memset(&a, 0, sizeof(a));
	memcpy(&a, address_bytes, len < sizeof(a) ? len : sizeof(a));
	ret[0] = '\0';
	*dns = false;
	if (a.family == AF_INET && len >= sizeof(a.in)) {
		endpoint((const uint8_t *)&a.in.sin_addr, false, ntohs(a.in.sin_port), ret, size);
		*dns = is_dns_port(ntohs(a.in.sin_port));
	} else if (a.family == AF_INET6 && len >= sizeof(a.in6) - 4) {
		endpoint((const uint8_t *)&a.in6.sin6_addr, true, ntohs(a.in6.sin6_port), ret,
			 size);
		*dns = is_dns_port(ntohs(a.in6.sin6_port));
	} else if (a.family == AF_UNIX && len > offsetof(struct sockaddr_un, sun_path)) {
		unix_text(&a.un, len < sizeof(a.un) ? len : sizeof(a.un), ret, size);
	}
}

/* ---- the other end of a UNIX socket: not in /proc, but the kernel tells who asks ---- */

static bool same_network(pid_t pid)
{
	char path[64], own[64], other[64];
	ssize_t n = readlink("/proc/self/ns/net", own, sizeof(own)), m;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	m = readlink(path, other, sizeof(other));
	return n > 0 && n == m && !memcmp(own, other, (size_t)n);
}

static uint32_t peer_in(const struct nlmsghdr *h)
{
	const struct unix_diag_msg *msg = (const struct unix_diag_msg *)(h + 1);
	size_t left = h->nlmsg_len - NLMSG_LENGTH(sizeof(*msg));
	const struct rtattr *attr = (const struct rtattr *)(msg + 1);

	while (left >= sizeof(*attr) && attr->rta_len >= sizeof(*attr) && attr->rta_len <= left) {
		size_t step = RTA_ALIGN(attr->rta_len);
		uint32_t inode;

		if (attr->rta_type == UNIX_DIAG_PEER &&
		    attr->rta_len >= sizeof(*attr) + sizeof(inode)) {
			memcpy(&inode, attr + 1, sizeof(inode));
			return inode;
		}
		if (step > left)
			break;
		left -= step;
		attr = (const struct rtattr *)((const char *)attr + step);
	}
	return 0;
}

/* To ask could make the kernel load a module: who only looks does not do that. */
static bool diag_is_there(void)
{
	return access("/proc/modules", F_OK) < 0 || access("/sys/module/unix_diag", F_OK) == 0;
}

uint64_t vz_sock_unix_peer(pid_t pid, uint64_t inode)
{
	struct {
		struct nlmsghdr header;
		struct unix_diag_req req;
	} ask = {
		.header = { .nlmsg_len = sizeof(ask),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST },
		.req = { .sdiag_family = AF_UNIX,
			 .udiag_states = UINT32_MAX,
			 .udiag_ino = (uint32_t)inode,
			 .udiag_show = UDIAG_SHOW_PEER,
			 .udiag_cookie = { UINT32_MAX, UINT32_MAX } },
	};
	static const struct timeval limit = { .tv_usec = 50 * 1000 };
	_Alignas(struct nlmsghdr) char answer[1024];
	const struct nlmsghdr *h = (const struct nlmsghdr *)answer;
	_cleanup_close_ int fd = -1;
	ssize_t n;

	if (inode == 0 || inode > UINT32_MAX || !same_network(pid))
		return 0;
	if (!diag_is_there())
		return 0;
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    send(fd, &ask, sizeof(ask), 0) != (ssize_t)sizeof(ask))
		return 0;
	n = recv(fd, answer, sizeof(answer), 0);
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct unix_diag_msg)) || h->nlmsg_len > (size_t)n ||
	    h->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    h->nlmsg_len < NLMSG_LENGTH(sizeof(struct unix_diag_msg)))
		return 0;
	return peer_in(h);
}
