/* SPDX-License-Identifier: MIT */
/*
 * plain_page.h - the page as a server sends it: what is packed in the file, unpacked.
 *
 * In an HTML file of its own the page must be small; here it must begin soon, and a browser
 * takes longer to unpack it than to read it.  It is the same code, which the same
 * Content-Security-Policy allows by its hashes.
 */
#ifndef VZ_VIEWER_SERVE_PLAIN_PAGE_H
#define VZ_VIEWER_SERVE_PLAIN_PAGE_H

#include <stddef.h>
#include <stdint.h>

struct vz_plain_page {
	char *html;
	size_t html_bytes;
	uint8_t *core; /* WebAssembly */
	size_t core_bytes;
};

/** Unpack PAGE, as scripts/page makes it.  0; -EBADMSG: it is not, -ENOMEM: send it as it is. */
int vz_plain_page_make(const char *page, size_t n, struct vz_plain_page *ret);
void vz_plain_page_fini(struct vz_plain_page *p);

#endif /* VZ_VIEWER_SERVE_PLAIN_PAGE_H */
