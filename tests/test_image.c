/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach/image.h"
#include "attach/util.h"

struct file {
	char *at;
	size_t len;
};

static struct file payload(void)
{
	const char *dir = getenv("VZ_BUILD_DIR");
	char path[4096];
	struct file f;

	snprintf(path, sizeof(path), "%s/payload/libvzpayload.so", dir ? dir : ".");
	cr_assert_eq(vz_slurp(path, 16 << 20, &f.at, &f.len), 0, "%s", path);
	return f;
}

/* Parse a copy of exactly LEN bytes, so that a sanitizer sees a read behind its end; use it if it
 * is good. */
static int try(const char *at, size_t len)
{
	char *copy = malloc(len ? len : 1);
	struct vz_image image;
	struct vz_err err = { 0 };
	int rc;

	memcpy(copy, at, len);
	rc = vz_image_init(copy, len, &image, &err);
	free(copy);
	if (rc == 0) {
		static struct vz_boot boot;
		uint8_t *place = malloc(image.bytes_len);

		vz_image_place(&image, UINT64_C(0x7f0000000000), &boot, place);
		free(place);
		cr_assert_leq(boot.stack_base + boot.stack_bytes,
			      boot.image_base + boot.image_bytes);
		cr_assert_leq(image.bytes_len, image.image_bytes);
		cr_assert_lt(image.entry, image.bytes_len);
		vz_image_fini(&image);
	} else {
		cr_assert(rc == -ENOEXEC || rc == -ENOMEM, "%d", rc);
		cr_assert_eq(err.exit, VZ_EXIT_UNEXPECTED);
		cr_assert_not_null(strstr(err.what, "damaged"));
		cr_assert_null(image.bytes);
		cr_assert_null(image.relocs);
	}
	return rc;
}

Test(image, the_payload_is_what_it_takes)
{
	struct file f = payload();
	struct vz_image image;
	struct vz_err err;

	cr_assert_eq(vz_image_init(f.at, f.len, &image, &err), 0);
	cr_assert_eq(image.image_bytes % 4096, 0);
	cr_assert_eq(image.writable % 4096, 0);
	cr_assert_eq(image.guard % 4096, 0);
	cr_assert_eq(image.stack, image.guard + 4096);
	cr_assert_geq(image.stack_bytes, 256 << 10);
	cr_assert_geq(image.boot, image.writable);
	cr_assert_lt(image.entry, image.writable);
	cr_assert_leq(image.stack + image.stack_bytes, image.image_bytes);
	vz_image_fini(&image);
	vz_image_fini(&image); /* twice is harmless */
	free(f.at);
}

Test(image, placing_moves_every_pointer_and_fills_the_boot_block)
{
	const uint64_t base = UINT64_C(0x7f1234500000);
	struct file f = payload();
	struct vz_image image;
	static struct vz_boot boot, placed;
	struct vz_err err;
	uint8_t *to;

	cr_assert_eq(vz_image_init(f.at, f.len, &image, &err), 0);
	to = malloc(image.bytes_len);
	boot.nonce = 4711;
	boot.lease_ns = 5;
	vz_image_place(&image, base, &boot, to);
	for (size_t i = 0; i < image.nrelocs; i++) {
		uint64_t before, after;

		if (image.relocs[i] - image.boot < sizeof(boot))
			continue;
		memcpy(&before, image.bytes + image.relocs[i], 8);
		memcpy(&after, to + image.relocs[i], 8);
		cr_assert_eq(after, before + base);
		cr_assert_lt(before, image.image_bytes);
	}
	memcpy(&placed, to + image.boot, sizeof(placed));
	cr_assert_eq(memcmp(&placed, &boot, sizeof(boot)), 0);
	cr_assert_eq(placed.magic, VZ_WIRE_MAGIC);
	cr_assert_eq(placed.version, VZ_WIRE_VERSION);
	cr_assert_eq(placed.size, sizeof(boot));
	cr_assert_eq(placed.nonce, 4711);
	cr_assert_eq(placed.lease_ns, 5);
	cr_assert_eq(placed.image_base, base);
	cr_assert_eq(placed.arena_fd, -1);
	cr_assert_eq(placed.writable_base, base + image.writable);
	cr_assert_eq(placed.writable_base + placed.writable_bytes, base + image.image_bytes);
	/* whatever is no pointer and not the boot block is the file's */
	memcpy(to + image.boot, image.bytes + image.boot, sizeof(boot));
	for (size_t i = 0; i < image.nrelocs; i++)
		memcpy(to + image.relocs[i], image.bytes + image.relocs[i], 8);
	cr_assert_eq(memcmp(to, image.bytes, image.bytes_len), 0);
	free(to);
	vz_image_fini(&image);
	free(f.at);
}

Test(image, refuses_what_is_no_payload)
{
	static const char *const others[] = { "", "x", "\177ELF" };
	struct file f = payload();
	Elf64_Ehdr *header = (Elf64_Ehdr *)f.at;
	char *self;
	size_t len;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		cr_assert_eq(try(others[i], strlen(others[i])), -ENOEXEC);
	cr_assert_eq(vz_slurp("/proc/self/exe", 64 << 20, &self, &len), 0);
	cr_assert_eq(try(self, len), -ENOEXEC);
	free(self);
	header->e_machine = EM_AARCH64;
	cr_assert_eq(try(f.at, f.len), -ENOEXEC);
	free(f.at);
}

/* The section headers are at the end: without a byte of them it is not whole. */
Test(image, cut_at_every_length, .timeout = 100)
{
	struct file f = payload();

	cr_assert_eq(try(f.at, f.len), 0);
	for (size_t len = 0; len < f.len; len++)
		cr_assert_eq(try(f.at, len), -ENOEXEC, "%zu of %zu", len, f.len);
	free(f.at);
}

static uint64_t next(uint64_t *seed)
{
	uint64_t x = *seed += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* Where damage matters: headers, tables, symbols; now and then anywhere. */
static size_t somewhere(const struct file *f, uint64_t *seed)
{
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)f->at;
	size_t sections = f->len - header->e_shoff;

	switch (next(seed) % 4) {
	case 0:
		return next(seed) % (sizeof(*header) + 8 * sizeof(Elf64_Phdr));
	case 1:
		return header->e_shoff + next(seed) % sections;
	case 2:
		return next(seed) % 4096;
	default:
		return next(seed) % f->len;
	}
}

Test(image, random_damage, .timeout = 100)
{
	static const uint64_t odd[] = {
		0, 1, 7, 4095, UINT32_MAX, UINT64_MAX, UINT64_MAX - 3, UINT64_C(1) << 63, 16 << 20
	};
	struct file f = payload();
	char *copy = malloc(f.len);
	uint64_t seed = 1;

	for (unsigned round = 0; round < 20000; round++) {
		memcpy(copy, f.at, f.len);
		for (uint64_t i = next(&seed) % 3 + 1; i > 0; i--) {
			size_t at = somewhere(&f, &seed);
			uint64_t value = odd[next(&seed) % (sizeof(odd) / sizeof(odd[0]))];

			if (next(&seed) % 2 && (at &= ~(size_t)7) + 8 <= f.len)
				memcpy(copy + at, &value, 8);
			else
				copy[at] = (char)next(&seed);
		}
		try(copy, f.len);
	}
	free(copy);
	free(f.at);
}
