/* SPDX-License-Identifier: MIT */
/* errno.h - the numbers that the core returns, as on Linux; there is no variable. */
#ifndef VZ_WASM_ERRNO_H
#define VZ_WASM_ERRNO_H

#define ENOENT    2
#define EIO       5
#define E2BIG     7
#define EAGAIN    11
#define ENOMEM    12
#define EINVAL    22
#define ENOSPC    28
#define ERANGE    34
#define ENODATA   61
#define EPROTO    71
#define EBADMSG   74
#define EOVERFLOW 75
#define ECANCELED 125

#endif /* VZ_WASM_ERRNO_H */
