#!/usr/bin/env python3
"""
deny.py CALL,CALL... PROGRAM ARGS... runs PROGRAM under a seccomp filter that answers those
system calls (numbers) with EPERM.  A process of its own, so it imports nothing of ours.
"""
import ctypes
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO, EPERM = 0x7fff0000, 0x00050000, 1


def program(numbers):
    """Load the number; for each denied one: equal, then go to the last line."""
    lines = [(LOAD, 0, 0, 0)]
    for at, number in enumerate(numbers):
        lines.append((JUMP_EQUAL, len(numbers) - at, 0, number))
    lines += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, ERRNO | EPERM)]
    return lines


def main():
    lines = program([int(word) for word in sys.argv[1].split(",")])
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
    fprog = ctypes.create_string_buffer(struct.pack("@HP", len(lines), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, MODE_FILTER, fprog):
        sys.exit("deny.py: " + os.strerror(ctypes.get_errno()))
    os.execvp(sys.argv[2], sys.argv[2:])


main()
