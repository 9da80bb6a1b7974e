/* SPDX-License-Identifier: MIT */
/* The payload's bytes, as linked. */
	.section .rodata
	.balign 16
	.globl vz_payload_elf, vz_payload_elf_end
vz_payload_elf:
	.incbin VZ_PAYLOAD_PATH
vz_payload_elf_end:
	.byte 0
	.section .note.GNU-stack, "", @progbits
