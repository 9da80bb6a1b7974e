/* SPDX-License-Identifier: MIT */
/* exports.h - marks what the page may call. */
#ifndef VZ_VIEWER_CORE_WASM_EXPORTS_H
#define VZ_VIEWER_CORE_WASM_EXPORTS_H

/* Called by nobody in C, so these have no declarations. */
#define VZX_EXPORT __attribute__((visibility("default"), used))
#define VZX_IMPORT(name) __attribute__((import_module("page"), import_name(#name)))

#endif /* VZ_VIEWER_CORE_WASM_EXPORTS_H */
