/* SPDX-License-Identifier: MIT */
/*
 * pyver_libc.c - the C library of the target, and the few instruction sequences
 * in it that the injected call leans on.  They are found by their bytes: a
 * stripped libc has no names for them, and any occurrence does the same.
 */
#include <errno.h>
#include <string.h>

#include "attach/pyver_priv.h"
#include "attach/util.h"

enum { TEXT_MAX = 64 << 20 };

static const char *const libc_names[VZ_NLIBCSYMS] = {
#define NAME(symbol) #symbol,
	VZ_LIBC_SYMBOLS(NAME)
#undef NAME
};

/*
 * The end of start_thread() is a loop around exit(0): "syscall; jmp" back to what loads the
 * two registers.  Up to glibc 2.42 that is the first and the second of these, in 2.43 the
 * first and the third.
 */
static const unsigned char loop_code[] = { 0x0f, 0x05, 0xeb };
static const struct {
	unsigned char bytes[5], len;
	unsigned sets; /* bit 0: edi = 0, bit 1: eax = SYS_exit, which vz_reaper_exit has in edx */
} loads[] = {
	{ { 0x31, 0xff }, 2, 1 },                   /* xor %edi,%edi */
	{ { 0x89, 0xd0 }, 2, 2 },                   /* mov %edx,%eax */
	{ { 0xb8, 0x3c, 0x00, 0x00, 0x00 }, 5, 2 }, /* mov $60,%eax */
};
enum { LOADS_BOTH = 3, LOADS_MAX = 16 };
/* __restore_rt: mov $15,%rax; syscall */
static const unsigned char restore_code[] = {
	0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05
};
/* syscall; ret */
static const unsigned char syscall_code[] = { 0x0f, 0x05, 0xc3 };

struct libraries {
	const struct vz_object *libc, *libpthread, *ld;
	bool musl;
};

static const char *object_name(const struct vz_object *object)
{
	const char *soname = vz_object_soname(object);

	return soname[0] ? soname : vz_basename(vz_object_path(object));
}

/* Alpine calls it ld-musl-x86_64.so.1, Debian libc.so; both hold loader and C library. */
static bool is_musl(const struct vz_object *object)
{
	const char *name = object_name(object);

	return vz_starts_with(name, "libc.musl-") || vz_starts_with(name, "ld-musl-") ||
	       (!strcmp(name, "libc.so") && vz_object_symbol(object, "__dls3", NULL));
}

static void find_libraries(const struct vz_objects *objects, struct libraries *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < objects->count; i++) {
		const struct vz_object *object = objects->items[i];
		const char *name = object_name(object);

		if (is_musl(object))
			ret->musl = true;
		else if (!strcmp(name, "libc.so.6") && !ret->libc)
			ret->libc = object;
		else if (!strcmp(name, "libpthread.so.0") && !ret->libpthread)
			ret->libpthread = object;
		else if (vz_starts_with(name, "ld-linux") && !ret->ld)
			ret->ld = object;
	}
}

/* Before glibc 2.34 threads live in a library of their own, and libc has stubs of some names. */
static uint64_t find_function(const struct libraries *libraries, const char *name)
{
	uint64_t raddr = 0;

	if (libraries->libpthread &&
	    vz_object_symbol(libraries->libpthread, "pthread_create", NULL))
		raddr = vz_object_symbol(libraries->libpthread, name, NULL);
	return raddr ? raddr : vz_object_symbol(libraries->libc, name, NULL);
}

static uint64_t find_bytes(const char *text, size_t len, uint64_t start, const unsigned char *code,
			   size_t code_len)
{
	const char *hit = memmem(text, len, code, code_len);

	return hit ? start + (uint64_t)(hit - text) : 0;
}

/* Do the LEN bytes at CODE load both registers and do nothing else? */
static bool loads_both(const unsigned char *code, size_t len)
{
	unsigned sets = 0;
	size_t at = 0;

	for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]) && at < len; i++) {
		if (loads[i].len > len - at || memcmp(code + at, loads[i].bytes, loads[i].len) != 0)
			continue;
		sets |= loads[i].sets;
		at += loads[i].len;
		i = (size_t)-1; /* the next one, from the first on */
	}
	return at == len && sets == LOADS_BOTH;
}

/* The system call in such a loop; 0: there is none. */
static uint64_t find_exit_loop(const char *text, size_t len, uint64_t start)
{
	const char *end = text + len, *hit = text;

	while ((hit = memmem(hit, (size_t)(end - hit), loop_code, sizeof(loop_code)))) {
		const char *jump = hit + sizeof(loop_code); /* its distance, from behind itself */
		int back = jump < end ? (int)sizeof(loop_code) + 1 + (signed char)*jump : 0;

		if (back < 0 && -back <= LOADS_MAX && -back <= hit - text &&
		    loads_both((const unsigned char *)hit + back, (size_t)-back))
			return start + (uint64_t)(hit - text);
		hit = jump;
	}
	return 0;
}

static void find_code(const struct vz_target *target, const struct vz_object *object,
		      struct vz_python *ret)
{
	_cleanup_free_ char *text = NULL;
	uint64_t start, end;
	size_t len;

	if (!object || vz_object_text(object, 0, &start, &end) < 0 || end - start > TEXT_MAX)
		return;
	len = end - start;
	text = malloc(len);
	if (!text || vz_target_read(target, start, text, len) < 0)
		return;
	if (!ret->exit_gadget)
		ret->exit_gadget = find_exit_loop(text, len, start);
	if (!ret->restore_rt)
		ret->restore_rt = find_bytes(text, len, start, restore_code, sizeof(restore_code));
	if (!ret->syscall_insn)
		ret->syscall_insn =
			find_bytes(text, len, start, syscall_code, sizeof(syscall_code));
}

static int check_libraries(const struct vz_target *target, const struct libraries *libraries,
			   struct vz_err *err)
{
	if (libraries->libc && vz_object_symbol(libraries->libc, "gnu_get_libc_version", NULL))
		return 0;
	vz_pyver_refuse(target, err);
	if (libraries->musl) {
		vz_err_why(err, "its C library is musl; only glibc is supported");
		vz_err_try(err, "run the program on a distribution with glibc");
	} else {
		vz_err_why(
			err,
			"it has no C library that can be called: libc.so.6 of glibc is not loaded");
		vz_err_try(err, "use a Python that is linked with glibc dynamically");
	}
	return -ENOTSUP;
}

int vz_pyver_libc(const struct vz_target *target, const struct vz_objects *objects,
		  struct vz_python *ret, struct vz_err *err)
{
	struct libraries libraries;
	int rc;

	find_libraries(objects, &libraries);
	rc = check_libraries(target, &libraries, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < VZ_NLIBCSYMS; i++) {
		ret->libc[i] = find_function(&libraries, libc_names[i]);
		if (ret->libc[i])
			continue;
		rc = vz_pyver_refuse(target, err);
		vz_err_why(err, "its C library does not export %s", libc_names[i]);
		return rc;
	}
	vz_object_text(libraries.libc, 0, &ret->libc_start, &ret->libc_end);
	if (libraries.ld)
		vz_object_text(libraries.ld, 0, &ret->ld_start, &ret->ld_end);
	if (libraries.libpthread)
		vz_object_text(libraries.libpthread, 0, &ret->pthread_start, &ret->pthread_end);
	find_code(target, libraries.libc, ret);
	find_code(target, libraries.libpthread, ret);
	return 0;
}
