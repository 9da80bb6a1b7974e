/* SPDX-License-Identifier: MIT */
/* viewer/web/page.html as it is, for viewer/export_html.c. */
	.section .rodata, "a"
	.global vz_page
	.global vz_page_end
	.balign 16
vz_page:
	.incbin VZ_PAGE_PATH
vz_page_end:
	.byte 0
	.section .note.GNU-stack, "", %progbits
