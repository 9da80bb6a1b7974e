/* SPDX-License-Identifier: MIT */
#include "attach/unwind.h"

#include <errno.h>
#include <libunwind.h>
#include <stdlib.h>
#include <string.h>

enum {
	BLOCK_SHIFT = 14,
	BLOCK_BYTES = 1 << BLOCK_SHIFT,
	NBLOCKS = 1024, /* so at most 16 MiB of tables are kept */
	STACK_STEP = 32 << 10,
	STACK_MAX = 16 << 20,
	PAGE = 4096,
	/* the .eh_frame_hdr that linkers write: a sorted table of 32-bit offsets */
	HDR_VERSION = 1,
	HDR_COUNT_UDATA4 = 0x03,
	HDR_TABLE_DATAREL_SDATA4 = 0x3b,
	HDR_TABLE_AT = 12,
	HDR_ENTRY_BYTES = 8,
};

struct block {
	uint64_t tag; /* address >> BLOCK_SHIFT, plus 1; 0: empty */
	uint8_t *bytes;
};

struct vz_unwinder {
	const struct vz_target *target;
	const struct vz_maps *maps;
	const struct vz_objects *objects;
	unw_addr_space_t space;
	struct block blocks[NBLOCKS];
	/* of the stack that is being followed */
	const struct vz_cpu *cpu;
	uint8_t *stack;
	uint64_t stack_start, stack_end; /* the end is that of the mapping */
	size_t stack_len, stack_room;
	bool no_info; /* code was met that has no unwind information */
};

/* ---- memory ---- */

/* Tables do not change while their object is mapped. */
static const uint8_t *find_block(struct vz_unwinder *u, uint64_t raddr)
{
	uint64_t number = raddr >> BLOCK_SHIFT;
	struct block *block = &u->blocks[number % NBLOCKS];

	if (block->tag == number + 1)
		return block->bytes;
	block->tag = 0;
	if (!block->bytes)
		block->bytes = malloc(BLOCK_BYTES);
	if (!block->bytes ||
	    vz_target_read(u->target, number << BLOCK_SHIFT, block->bytes, BLOCK_BYTES) < 0)
		return NULL;
	block->tag = number + 1;
	return block->bytes;
}

static int read_table_word(struct vz_unwinder *u, uint64_t raddr, uint64_t *word)
{
	size_t at = raddr & (BLOCK_BYTES - 1);
	const uint8_t *bytes = at + sizeof(*word) <= BLOCK_BYTES ? find_block(u, raddr) : NULL;

	if (!bytes)
		return vz_target_read(u->target, raddr, word, sizeof(*word));
	memcpy(word, bytes + at, sizeof(*word));
	return 0;
}

/* Read on until the word at RADDR is in the copy. */
static int extend_stack(struct vz_unwinder *u, uint64_t raddr)
{
	while (raddr + sizeof(uint64_t) > u->stack_start + u->stack_len) {
		uint64_t end = u->stack_start + u->stack_len;
		size_t step = STACK_STEP - end % PAGE; /* to the end of a page */

		if (u->stack_len + step > u->stack_room) {
			size_t room = u->stack_room * 2 + STACK_STEP;
			uint8_t *stack = room <= STACK_MAX ? realloc(u->stack, room) : NULL;

			if (!stack)
				return -ENOMEM;
			u->stack = stack;
			u->stack_room = room;
			continue;
		}
		/* near the end of the mapping page by page */
		if (vz_target_read(u->target, end, u->stack + u->stack_len, step) < 0) {
			step = PAGE - end % PAGE;
			if (vz_target_read(u->target, end, u->stack + u->stack_len, step) < 0)
				return -EFAULT;
		}
		u->stack_len += step;
	}
	return 0;
}

static int access_mem(unw_addr_space_t space, unw_word_t raddr, unw_word_t *word, int write,
		      void *arg)
{
	struct vz_unwinder *u = arg;
	int rc;

	(void)space;
	if (write)
		return -UNW_EINVAL;
	if (raddr >= u->stack_start && raddr < u->stack_end) {
		rc = extend_stack(u, raddr);
		if (rc == 0)
			memcpy(word, u->stack + (raddr - u->stack_start), sizeof(*word));
	} else {
		rc = read_table_word(u, raddr, word);
	}
	return rc < 0 ? -UNW_EINVAL : 0;
}

static int access_reg(unw_addr_space_t space, unw_regnum_t number, unw_word_t *value, int write,
		      void *arg)
{
	const struct vz_unwinder *u = arg;

	(void)space;
	if (write || number < 0 || vz_arch_unwind_register(u->cpu, (unsigned)number, value) < 0)
		return -UNW_EBADREG;
	return 0;
}

static int access_fpreg(unw_addr_space_t space, unw_regnum_t number, unw_fpreg_t *value, int write,
			void *arg)
{
	(void)space, (void)number, (void)value, (void)write, (void)arg;
	return -UNW_EBADREG;
}

/* ---- tables ---- */

static int find_table(struct vz_unwinder *u, uint64_t pc, unw_dyn_info_t *ret)
{
	const struct vz_object *object = vz_objects_find(u->objects, pc);
	uint64_t hdr, size, words[2];
	uint8_t head[16];
	uint32_t count;

	if (!object || vz_object_eh_frame_hdr(object, &hdr, &size) < 0 || size < HDR_TABLE_AT ||
	    read_table_word(u, hdr, &words[0]) < 0 || read_table_word(u, hdr + 8, &words[1]) < 0)
		return -UNW_ENOINFO;
	memcpy(head, words, sizeof(head));
	memcpy(&count, head + 8, sizeof(count));
	if (head[0] != HDR_VERSION || head[2] != HDR_COUNT_UDATA4 ||
	    head[3] != HDR_TABLE_DATAREL_SDATA4 || count > (size - HDR_TABLE_AT) / HDR_ENTRY_BYTES)
		return -UNW_ENOINFO;
	memset(ret, 0, sizeof(*ret));
	vz_object_range(object, &ret->start_ip, &ret->end_ip);
	ret->format = UNW_INFO_FORMAT_REMOTE_TABLE;
	ret->u.rti.segbase = hdr;
	ret->u.rti.table_data = hdr + HDR_TABLE_AT;
	ret->u.rti.table_len = (unw_word_t)count * HDR_ENTRY_BYTES / sizeof(unw_word_t);
	return 0;
}

/* Exported by libunwind for tools like this one (perf, for example), but not declared by it. */
int UNW_OBJ(dwarf_search_unwind_table)(unw_addr_space_t space, unw_word_t ip, unw_dyn_info_t *table,
				       unw_proc_info_t *ret, int need_unwind_info, void *arg);

static int find_proc_info(unw_addr_space_t space, unw_word_t pc, unw_proc_info_t *ret,
			  int need_unwind_info, void *arg)
{
	struct vz_unwinder *u = arg;
	unw_dyn_info_t table;
	int rc = find_table(u, pc, &table);

	if (rc == 0)
		rc = UNW_OBJ(dwarf_search_unwind_table)(space, pc, &table, ret, need_unwind_info,
							arg);
	/* libunwind would go on by guessing; the caller must know. */
	if (rc < 0)
		u->no_info = true;
	return rc;
}

static void put_unwind_info(unw_addr_space_t space, unw_proc_info_t *info, void *arg)
{
	(void)space, (void)info, (void)arg;
}

static int no_dynamic_list(unw_addr_space_t space, unw_word_t *raddr, void *arg)
{
	(void)space, (void)raddr, (void)arg;
	return -UNW_ENOINFO;
}

static int no_name(unw_addr_space_t space, unw_word_t pc, char *name, size_t size,
		   unw_word_t *offset, void *arg)
{
	(void)space, (void)pc, (void)name, (void)size, (void)offset, (void)arg;
	return -UNW_ENOINFO;
}

static int no_resume(unw_addr_space_t space, unw_cursor_t *cursor, void *arg)
{
	(void)space, (void)cursor, (void)arg;
	return -UNW_EINVAL;
}

/* ---- the walk ---- */

int vz_unwinder_new(const struct vz_target *target, const struct vz_maps *maps,
		    const struct vz_objects *objects, struct vz_unwinder **ret)
{
	static unw_accessors_t accessors = {
		.find_proc_info = find_proc_info,
		.put_unwind_info = put_unwind_info,
		.get_dyn_info_list_addr = no_dynamic_list,
		.access_mem = access_mem,
		.access_reg = access_reg,
		.access_fpreg = access_fpreg,
		.resume = no_resume,
		.get_proc_name = no_name,
	};
	struct vz_unwinder *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->target = target;
	u->maps = maps;
	u->objects = objects;
	u->space = unw_create_addr_space(&accessors, 0);
	if (!u->space) {
		free(u);
		return -ENOMEM;
	}
	unw_set_caching_policy(u->space, UNW_CACHE_GLOBAL);
	*ret = u;
	return 0;
}

void vz_unwinder_free(struct vz_unwinder *u)
{
	if (!u)
		return;
	unw_destroy_addr_space(u->space);
	for (size_t i = 0; i < NBLOCKS; i++)
		free(u->blocks[i].bytes);
	free(u->stack);
	free(u);
}

/* By its code: libunwind does not tell, and neither has every C library a name for it. */
static bool is_trampoline(struct vz_unwinder *u, uint64_t pc)
{
	uint64_t code[2];

	return read_table_word(u, pc, &code[0]) == 0 && read_table_word(u, pc + 8, &code[1]) == 0 &&
	       vz_arch_is_sigreturn(code);
}

/* One frame; false at the end, which is told. */
static bool walk_once(struct vz_unwinder *u, unw_cursor_t *cursor, uint64_t *last_sp,
		      struct vz_native_stack *ret)
{
	struct vz_native_frame *frame = &ret->frames[ret->count - 1];
	unw_word_t pc = 0, sp = 0;
	int rc = unw_step(cursor);

	ret->end = u->no_info ? VZ_UNWIND_UNKNOWN : rc < 0 ? VZ_UNWIND_BROKEN : VZ_UNWIND_ROOT;
	if (rc <= 0 || u->no_info)
		return false;
	ret->end = VZ_UNWIND_BROKEN;
	if (unw_get_reg(cursor, UNW_REG_IP, &pc) < 0 || unw_get_reg(cursor, UNW_REG_SP, &sp) < 0)
		return false;
	if (sp <= *last_sp && !frame->trampoline) /* only that one may lead to another stack */
		return false;
	*last_sp = sp;
	ret->frames[ret->count] =
		(struct vz_native_frame){ .pc = pc, .sp = sp, .exact = frame->trampoline };
	ret->count++;
	return true;
}

void vz_unwind(struct vz_unwinder *u, const struct vz_cpu *cpu, struct vz_native_stack *ret)
{
	uint64_t sp = vz_arch_sp(cpu);
	const struct vz_map *map = vz_maps_find(u->maps, sp);
	unw_cursor_t cursor;

	u->cpu = cpu;
	u->stack_start = sp & ~(uint64_t)(PAGE - 1);
	u->stack_end = map ? map->end : 0;
	u->stack_len = 0;
	u->no_info = false;
	ret->count = 1;
	ret->frames[0] = (struct vz_native_frame){ .pc = vz_arch_pc(cpu), .sp = sp, .exact = true };
	ret->end = VZ_UNWIND_BROKEN;
	if (unw_init_remote(&cursor, u->space, u) < 0)
		return;
	do {
		struct vz_native_frame *frame = &ret->frames[ret->count - 1];

		frame->trampoline = is_trampoline(u, frame->pc);
		if (ret->count == VZ_UNWIND_MAX) {
			ret->end = VZ_UNWIND_DEEP;
			return;
		}
	} while (walk_once(u, &cursor, &sp, ret));
}
