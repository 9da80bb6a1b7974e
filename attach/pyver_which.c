/* SPDX-License-Identifier: MIT */
/*
 * pyver_which.c - which CPython is this?  Two witnesses must agree: the set of
 * functions that it exports, which is different in every 3.x, and what it says
 * itself (Py_Version, or the text behind Py_GetVersion, or its file's name).
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attach/pyver_priv.h"
#include "attach/util.h"

enum {
	CODE_MAX = 256, /* Py_GetVersion is about 60 bytes */
	MINOR_UNKNOWN = 0,
};

/* The first release that exports a name; checked from the newest down. */
static const struct {
	unsigned minor;
	const char *name;
} exported_since[] = {
	/* clang-format off */
	{ 10, "Py_NewRef" },
	{  9, "PyCMethod_Type" },
	{  8, "Py_RunMain" },
	{  7, "_PyRuntime" },
	/* clang-format on */
};

static unsigned minor_by_exports(const struct vz_object *object)
{
	for (size_t i = 0; i < sizeof(exported_since) / sizeof(exported_since[0]); i++) {
		if (vz_object_symbol(object, exported_since[i].name, NULL))
			return exported_since[i].minor;
	}
	return MINOR_UNKNOWN;
}

/* "3.8.18", "3.8.18 (default, ...", "2.7.18+ (..."; nothing else. */
static bool parse_version(const char *text, struct vz_python *ret)
{
	unsigned major, minor, micro;
	int used = 0;
	size_t len;

	/* NOLINTNEXTLINE(cert-err34-c): the widths keep the numbers small */
	if (sscanf(text, "%1u.%2u.%2u%n", &major, &minor, &micro, &used) != 3 || used == 0)
		return false;
	len = (size_t)used + strspn(text + used, "abrc+0123456789");
	if ((text[len] != '\0' && text[len] != ' ') || len >= sizeof(ret->version) ||
	    (major != 2 && major != 3))
		return false;
	ret->major = major;
	ret->minor = minor;
	ret->micro = micro;
	memcpy(ret->version, text, len);
	ret->version[len] = '\0';
	return true;
}

static bool parse_version_at(const struct vz_target *target, const struct vz_object *object,
			     uint64_t raddr, struct vz_python *ret)
{
	uint64_t start, end;
	char text[64];

	vz_object_range(object, &start, &end);
	if (raddr < start || raddr >= end)
		return false;
	vz_target_read_string(target, raddr, text, sizeof(text));
	return parse_version(text, ret);
}

/*
 * Py_GetVersion prints into a static buffer and returns it.  Every four bytes of
 * its code are tried as the displacement of a "lea disp(%rip)" and as an absolute
 * "mov $imm32", and count only if a version is written there.
 */
static bool version_by_code(const struct vz_target *target, const struct vz_object *object,
			    struct vz_python *ret)
{
	unsigned char code[CODE_MAX];
	uint64_t size = 0;
	uint64_t raddr = vz_object_symbol(object, "Py_GetVersion", &size);

	if (size == 0 || size > sizeof(code))
		size = sizeof(code) / 2;
	if (!raddr || vz_target_read(target, raddr, code, size) < 0)
		return false;
	for (uint64_t i = 0; i + 4 <= size; i++) {
		uint32_t word;

		memcpy(&word, code + i, sizeof(word));
		if (parse_version_at(target, object, raddr + i + 4 + (uint64_t)(int32_t)word,
				     ret) ||
		    parse_version_at(target, object, word, ret))
			return true;
	}
	return false;
}

static bool version_by_number(const struct vz_target *target, const struct vz_object *object,
			      struct vz_python *ret)
{
	static const char *const level[16] = { [0xa] = "a", [0xb] = "b", [0xc] = "rc" };
	uint64_t raddr = vz_object_symbol(object, "Py_Version", NULL);
	uint64_t hex;
	const char *name;
	int n;

	if (!raddr || vz_target_read(target, raddr, &hex, sizeof(hex)) < 0 || (hex >> 24) != 3)
		return false;
	ret->major = 3;
	ret->minor = hex >> 16 & 0xff;
	ret->micro = hex >> 8 & 0xff;
	n = snprintf(ret->version, sizeof(ret->version), "3.%u.%u", ret->minor, ret->micro);
	name = level[hex >> 4 & 0xf];
	if (name)
		snprintf(ret->version + n, sizeof(ret->version) - (size_t)n, "%s%u", name,
			 (unsigned)(hex & 0xf));
	return true;
}

/* "libpython3.8.so.1.0", "libpython3.7m.so", "python3.9", "python2.7" */
static bool version_by_name(const char *name, struct vz_python *ret)
{
	unsigned major, minor;
	int used = 0;

	name = vz_basename(name);
	if (vz_starts_with(name, "lib"))
		name += 3;
	/* NOLINTNEXTLINE(cert-err34-c): the widths keep the numbers small */
	if (sscanf(name, "python%1u.%2u%n", &major, &minor, &used) != 2 || used == 0 ||
	    isdigit((unsigned char)name[used]))
		return false;
	ret->major = major;
	ret->minor = minor;
	ret->micro = 0;
	snprintf(ret->version, sizeof(ret->version), "%u.%u", major, minor);
	return true;
}

static void tell_build(const struct vz_object *object, struct vz_python *ret)
{
	/* Exported by debug builds only: up to 3.11, from 3.12. */
	ret->debug_build = vz_object_symbol(object, "_Py_RefTotal", NULL) ||
			   vz_object_symbol(object, "_Py_NegativeRefcount", NULL);
	ret->free_threaded = vz_object_symbol(object, "_Py_DecRefShared", NULL) ||
			     vz_object_symbol(object, "_Py_MergeZeroLocalRefcount", NULL);
}

int vz_pyver_which(const struct vz_target *target, const struct vz_object *object,
		   struct vz_python *ret, char *why, size_t why_size)
{
	unsigned exports = minor_by_exports(object);

	tell_build(object, ret);
	if (version_by_number(target, object, ret))
		return 0;
	if (!version_by_code(target, object, ret) &&
	    !version_by_name(vz_object_soname(object), ret) &&
	    !version_by_name(vz_object_path(object), ret)) {
		snprintf(why, why_size, "the version of its CPython cannot be told");
		return -ENODATA;
	}
	/* 2.7 and 3.6 export nothing that proves it, and need no proof to be refused. */
	if (exports == MINOR_UNKNOWN && (ret->major == 2 || ret->minor < 7))
		return 0;
	if (ret->major == 3 && ret->minor == exports)
		return 0;
	snprintf(why, why_size, "its CPython says it is %s but exports the functions of 3.%u",
		 ret->version, exports);
	return -ENODATA;
}
