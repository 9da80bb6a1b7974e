/* SPDX-License-Identifier: MIT */
/* viewer/web/dist/page.html as it is: of the server, and of viewer/export/export_html.c. */
	.section .rodata, "a"
	.global vz_page
	.global vz_page_end
	.balign 16
vz_page:
	.incbin VZ_PAGE_PATH
vz_page_end:
	.byte 0
	.section .note.GNU-stack, "", %progbits
