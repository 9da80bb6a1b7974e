/* SPDX-License-Identifier: MIT */
/* assert.h - the page has nobody to tell. */
#ifndef VZ_WASM_ASSERT_H
#define VZ_WASM_ASSERT_H

#define assert(what)  ((void)0)
#define static_assert _Static_assert

#endif /* VZ_WASM_ASSERT_H */
