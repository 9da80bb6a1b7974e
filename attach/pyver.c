/* SPDX-License-Identifier: MIT */
/*
 * pyver.c - the table.  A new CPython is a new column below, a new line in the
 * version list, and a look at the symbol list in pyver_find.c.
 */
#include "attach/pyver.h"

#define NO VZ_NO_OFFSET

/*
 * Offsets in bytes on 64-bit CPUs.  Debug builds (Py_DEBUG) have the same ones,
 * but for is_eval_frame of 3.13, which vz_preflight_python() notices.
 */
/* clang-format off */
/*        field                      3.8    3.9   3.10   3.11   3.12   3.13 */
#define OFFSETS(X) \
	X(ts_interp,                  16,    16,    16,    16,    16,    16) \
	X(ts_id,                     256,   256,   256,   240,   224,   224) \
	X(ts_thread_id,              176,   176,   176,   152,   136,   152) \
	X(ts_native_thread_id,        NO,    NO,    NO,   160,   144,   160) \
	X(ts_dict,                   152,   152,   152,   128,   112,   128) \
	X(ts_frame,                   24,    24,    24,    NO,    NO,    NO) \
	X(ts_cframe,                  NO,    NO,    48,    56,    56,    NO) \
	X(ts_current_frame,           NO,    NO,    NO,    NO,    NO,    72) \
	X(cf_current_frame,           NO,    NO,    NO,     8,     0,    NO) \
	X(ts_use_tracing,             48,    48,    NO,    NO,    NO,    NO) \
	X(ts_c_profilefunc,           56,    56,    56,    64,    64,    80) \
	X(ts_c_profileobj,            72,    72,    72,    80,    80,    96) \
	X(ts_c_tracefunc,             64,    64,    64,    72,    72,    88) \
	X(ts_datastack_chunk,         NO,    NO,    NO,   296,   232,   232) \
	X(dc_previous,                NO,    NO,    NO,     0,     0,     0) \
	X(fr_back,                    24,    24,    24,    NO,    NO,    NO) \
	X(fr_code,                    32,    32,    32,    NO,    NO,    NO) \
	X(fr_frame,                   NO,    NO,    NO,    24,    24,    24) \
	X(if_code,                    NO,    NO,    NO,    32,     0,     0) \
	X(if_previous,                NO,    NO,    NO,    48,     8,     8) \
	X(if_owner,                   NO,    NO,    NO,    69,    70,    70) \
	X(co_name,                   112,   112,   112,   120,   120,   120) \
	X(co_filename,               104,   104,   104,   112,   112,   112) \
	X(co_qualname,                NO,    NO,    NO,   128,   128,   128) \
	X(co_firstlineno,             40,    40,    40,    72,    68,    68) \
	X(co_flags,                   36,    36,    36,    48,    48,    48) \
	X(is_eval_frame,             568,  1400,  1368,  1424,  1744,  8472) \
	X(is_next_unique_id,        2664,  3496,  3448,     8,    64,  7336) \
	X(is_id,                      16,    24,    24,    48,     8,  7272) \
	X(is_gil,                     NO,    NO,    NO,    NO,   384,    16) \
	X(is_finalizing,              NO,    NO,    NO,    NO,   104,  7384) \
	X(rt_interpreters_next_id,    48,    48,    48,    56,    56,   648) \
	X(rt_finalizing,              16,    16,    16,    24,    24,   608) \
	X(rt_gil,                   1152,   352,   352,   360,    NO,    NO) \
	X(gil_last_holder,             8,     8,     8,     8,     8,     8) \
	X(gil_locked,                 16,    16,    16,    16,    16,    16) \
	X(gil_switch_number,          24,    24,    24,    24,    24,    24) \
	X(rt_interpreters_main,       40,    40,    40,    48,    48,   640) \
	X(rt_main_thread,             72,    72,    72,    80,    64,   656) \
	X(rt_interpreters_head,       32,    32,    32,    40,    40,   632) \
	X(is_next,                     0,     0,     0,     0,     0,  7264) \
	X(is_threads_head,             8,     8,     8,    16,    72,  7344) \
	X(ts_next,                     8,     8,     8,     8,     8,     8) \
	X(ts_tracing,                 44,    44,    44,    44,    NO,    NO) \
	X(cf_use_tracing,             NO,    NO,     0,     0,    NO,    NO) \
	X(is_before_forkers,          NO,    NO,    NO,    NO,  3872, 10632) \
	X(is_after_forkers_parent,    NO,    NO,    NO,    NO,  3880, 10640)

#define COLUMN_8(field, a, b, c, d, e, f)  .field = (a),
#define COLUMN_9(field, a, b, c, d, e, f)  .field = (b),
#define COLUMN_10(field, a, b, c, d, e, f) .field = (c),
#define COLUMN_11(field, a, b, c, d, e, f) .field = (d),
#define COLUMN_12(field, a, b, c, d, e, f) .field = (e),
#define COLUMN_13(field, a, b, c, d, e, f) .field = (f),

static const struct vz_pyver versions[] = {
	/*                                                           ts_bytes is_bytes tool_names monitors */
	{  8, VZ_HOOK_PROFILE,    VZ_ADOPT_EVAL_FRAME, { OFFSETS(COLUMN_8) },  264,   2720,     NO,     NO },
	{  9, VZ_HOOK_PROFILE,    VZ_ADOPT_EVAL_FRAME, { OFFSETS(COLUMN_9) },  264,   5656,     NO,     NO },
	{ 10, VZ_HOOK_PROFILE,    VZ_ADOPT_EVAL_FRAME, { OFFSETS(COLUMN_10) }, 280, 113528,     NO,     NO },
	{ 11, VZ_HOOK_PROFILE,    VZ_ADOPT_EVAL_FRAME, { OFFSETS(COLUMN_11) }, 360, 107752,     NO,     NO },
	{ 12, VZ_HOOK_MONITORING, VZ_ADOPT_AUTOMATIC,  { OFFSETS(COLUMN_12) }, 288, 383552, 382872, 381744 },
	{ 13, VZ_HOOK_MONITORING, VZ_ADOPT_AUTOMATIC,  { OFFSETS(COLUMN_13) }, 304, 194968, 194264, 193136 },
};
/* clang-format on */

enum { NVERSIONS = sizeof(versions) / sizeof(versions[0]) };

/* A field without a line above would be 0, which reads like an offset: count them. */
enum {
#define LINE(field, ...) LINE_##field,
	OFFSETS(LINE)
#undef LINE
		NLINES
};
_Static_assert(NLINES == sizeof(struct vz_py_offsets) / sizeof(uint32_t), "a field has no line");

const struct vz_pyver *vz_pyver_find(unsigned minor)
{
	for (unsigned i = 0; i < NVERSIONS; i++) {
		if (versions[i].minor == minor)
			return &versions[i];
	}
	return NULL;
}

const struct vz_pyver *vz_pyver_row(unsigned index)
{
	return index < NVERSIONS ? &versions[index] : NULL;
}

const char *vz_pyver_supported(void)
{
	return "3.8-3.13";
}
