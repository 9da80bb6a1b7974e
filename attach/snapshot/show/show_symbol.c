/* SPDX-License-Identifier: MIT */
/*
 * show_symbol.c - names of C++ and Rust for people: "_ZN4grpc6Server4WaitEv" is
 * grpc::Server::Wait.  Scopes and names only; what needs more of the grammar stays as it is.
 */
#include <ctype.h>
#include <string.h>

#include "attach/snapshot/show/show_priv.h"
#include "attach/util.h"

enum { NAME_MOST = 200, RUST_HASH = 17, NESTED_MOST = 64 };

struct part {
	const char *at;
	size_t len;
};

/* "6Server": the name, and C behind it. */
static bool take_name(const char **c, struct part *ret)
{
	size_t len = 0;

	while (isdigit((unsigned char)**c) && len < NAME_MOST)
		len = len * 10 + (size_t)(*(*c)++ - '0');
	if (!len || len > NAME_MOST || strnlen(*c, len) < len)
		return false;
	*ret = (struct part){ *c, len };
	*c += len;
	return true;
}

/* "S_", "S0_", "St", "T_": what was named before, or in the standard. */
static bool skip_short(const char **c)
{
	const char *end = *c + 1;

	if (**c == 'S' && islower((unsigned char)*end)) {
		*c += 2;
		return true;
	}
	while (isdigit((unsigned char)*end) || isupper((unsigned char)*end))
		end++;
	if (*end != '_')
		return false;
	*c = end + 1;
	return true;
}

/* "I...E", arguments of a template: C behind it. */
static bool skip_arguments(const char **c)
{
	size_t depth = 0;

	do {
		struct part part;

		if (isdigit((unsigned char)**c)) {
			if (!take_name(c, &part))
				return false;
		} else if (**c == 'S' || **c == 'T') {
			if (!skip_short(c))
				return false;
		} else if (!**c || strchr("LXFD", **c) || depth > NESTED_MOST) {
			return false;
		} else {
			depth += strchr("INJ", **c) ? 1 : 0;
			depth -= **c == 'E';
			(*c)++;
		}
	} while (depth);
	return true;
}

static void add_part(struct vz_grow *g, struct part part)
{
	if (g->used)
		vz_grow_add(g, "::");
	if (part.len > 10 && !strncmp(part.at, "_GLOBAL__N", 10))
		vz_grow_add(g, "(anonymous)");
	else
		vz_grow_bytes(g, part.at, part.len);
}

static bool is_rust_hash(struct part part, const char *behind)
{
	return part.len == RUST_HASH && part.at[0] == 'h' && *behind == 'E' &&
	       strspn(part.at + 1, "0123456789abcdef") >= RUST_HASH - 1;
}

/* One piece between N and E. */
static bool piece(struct vz_grow *g, const char **c, struct part *last)
{
	const char *at = *c;

	if (isdigit((unsigned char)*at)) {
		if (!take_name(c, last))
			return false;
		if (!is_rust_hash(*last, *c))
			add_part(g, *last);
		return true;
	}
	if (*at == 'I')
		return skip_arguments(c);
	if (at[0] == 'S' && at[1] == 't') {
		*last = (struct part){ "std", 3 };
	} else if ((*at == 'C' || *at == 'D') && isdigit((unsigned char)at[1]) && last->len) {
		if (*at == 'D')
			vz_grow_add(g, "::~");
		if (*at == 'D')
			vz_grow_bytes(g, last->at, last->len);
		else
			add_part(g, *last);
		*c += 2;
		return true;
	} else {
		return false;
	}
	add_part(g, *last);
	*c += 2;
	return true;
}

static bool nested(struct vz_grow *g, const char *c)
{
	struct part last = { "", 0 };

	while (*c && strchr("KVrRO", *c))
		c++;
	while (*c != 'E') {
		if (!*c || !piece(g, &c, &last))
			return false;
	}
	return g->used > 0;
}

void vz_show_symbol(struct vz_grow *g, const char *symbol, size_t columns)
{
	struct vz_grow plain = { 0 };
	const char *c = vz_starts_with(symbol, "_Z") ? symbol + 2 : "";
	struct part part;
	bool ok = false;

	if (vz_starts_with(symbol, "_ZN"))
		ok = nested(&plain, symbol + 3);
	else if (take_name(&c, &part))
		add_part(&plain, part);
	ok = ok || (plain.used && symbol[2] != 'N');
	vz_grow_safe(g, ok ? vz_grow_text(&plain) : symbol, columns);
	vz_grow_free(&plain);
}
