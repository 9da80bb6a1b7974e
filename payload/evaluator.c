/* SPDX-License-Identifier: MIT */
#include "payload/evaluator.h"

enum { PAGE = 4096, PROBE_PAGES = 128, MAIN_STACK_SHARE = 4, MAIN_STACK_MAX = 1 << 20 };

uint64_t vz_default_eval;

/* entry_x86_64.c */
void vz_eval_frame_38(void);
void vz_eval_frame_39(void);
void vz_eval_frame_310(void);

void *vz_get_evaluator(uint8_t *is)
{
	if (VZ_PY_HAS(_PyInterpreterState_GetEvalFrameFunc))
		return VZ_PY(_PyInterpreterState_GetEvalFrameFunc, void *, void *)(is);
	return vz_load_ptr(is, vz_boot.off.is_eval_frame);
}

void vz_set_evaluator(uint8_t *is, void *function)
{
	if (VZ_PY_HAS(_PyInterpreterState_SetEvalFrameFunc))
		VZ_PY(_PyInterpreterState_SetEvalFrameFunc, void, void *, void *)(is, function);
	else
		*(void **)(is + vz_boot.off.is_eval_frame) = function;
}

void *vz_evaluator(void)
{
	return vz_boot.py_minor < 9    ? (void *)vz_eval_frame_38
	       : vz_boot.py_minor < 10 ? (void *)vz_eval_frame_39
				       : (void *)vz_eval_frame_310;
}

/* How many pages of stack lie below SP, at most PROBE_PAGES, without touching what may not be
 * there. */
static uint64_t stack_below(uint64_t sp)
{
	static struct {
		uint64_t base, len;
	} remote[PROBE_PAGES], local;
	static uint8_t bytes[PROBE_PAGES];
	long n;

	for (uint64_t i = 0; i < PROBE_PAGES; i++) {
		remote[i].base = (sp & ~UINT64_C(4095)) - (i + 1) * PAGE;
		remote[i].len = 1;
	}
	local.base = (uint64_t)bytes;
	local.len = PROBE_PAGES;
	n = vz_sys6(VZ_SYS_PROCESS_VM_READV, vz_sys(VZ_SYS_GETPID, 0, 0, 0), (long)&local, 1,
		    (long)remote, PROBE_PAGES, 0);
	return n > 0 ? (uint64_t)n * PAGE : 0;
}

/* The main thread's stack grows when it is used; its limit counts, not what is mapped now. */
static uint64_t main_stack_below(void)
{
	struct {
		uint64_t now, max;
	} limit = { 0, 0 };

	if (vz_sys(VZ_SYS_GETPID, 0, 0, 0) != vz_sys(VZ_SYS_GETTID, 0, 0, 0) ||
	    vz_sys(VZ_SYS_GETRLIMIT, VZ_RLIMIT_STACK, (long)&limit, 0) < 0)
		return 0;
	limit.now /= MAIN_STACK_SHARE;
	return limit.now > MAIN_STACK_MAX ? MAIN_STACK_MAX : limit.now;
}

/* Half of what there is below: the rest belongs to the program. */
uint64_t vz_find_floor(uint64_t sp)
{
	uint64_t below = stack_below(sp), grows = main_stack_below();

	if (grows > below)
		below = grows;
	return sp - below / 2;
}
