/* SPDX-License-Identifier: MIT */
/*
 * seccomp.h - what a target's seccomp filters would say to the system calls that we
 * make in it, found by running the filters here.
 *
 * A filter may kill the process for a call that it does not list.  So every call of
 * the payload and of the injection is put to every filter first.
 */
#ifndef VZ_ATTACH_SECCOMP_H
#define VZ_ATTACH_SECCOMP_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VZ_SECCOMP_MAX = BPF_MAXINSNS }; /* instructions of one filter */

/**
 * What FILTER answers to CALL: action and data, as in <linux/seccomp.h>.  A program
 * that the kernel would not have accepted answers SECCOMP_RET_KILL_PROCESS.
 */
uint32_t vz_seccomp_run(const struct sock_filter *filter, size_t len,
			const struct seccomp_data *call);

/* The strictest answers of all filters, as they are added. */
struct vz_seccomp {
	unsigned filters;
	const char *fatal;  /* name of a call that ends the target, or NULL */
	const char *denied; /* name of a call that we need and that fails, or NULL */
};

/** Put all our calls to one more filter. */
void vz_seccomp_add(struct vz_seccomp *all, const struct sock_filter *filter, size_t len);

#endif /* VZ_ATTACH_SECCOMP_H */
