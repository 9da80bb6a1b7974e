"""
A file system in user space (FUSE) whose server says no more once it is mounted.  Whoever
asks for a file of it waits in state D: the server has told that it knows no interrupts.
The mount is seen in this mount namespace, which should be a private one.
"""
import ctypes
import os
import signal
import struct

import hang

LOOKUP, GETATTR, INIT, INTERRUPT = 1, 3, 26, 36
HEADER = struct.Struct("<IIQQIIII")
ENOENT, ENOSYS = 2, 38


def answer(device, unique, error, body=b""):
    os.write(device, struct.pack("<IiQ", 16 + len(body), -error, unique) + body)


def attributes():
    """Of the root, which is a folder."""
    return struct.pack("<QII6Q10I", 60, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)


def serve(device):
    """Answers what is needed for the first question, FIRST; nothing later."""
    pending = None
    while True:
        try:
            request = os.read(device, 1 << 17)
        except PermissionError:
            hang.time.sleep(0.002)  # it is not mounted yet
            continue
        _, opcode, unique, *_ = HEADER.unpack_from(request)
        if opcode == INIT:
            answer(device, unique, 0, struct.pack("<IIIIHHIIHHI7I", 7, 31, 0, 0, 0, 0, 4096, 1, 0, 0, 0,
                                                  *[0] * 7))
        elif opcode == GETATTR:
            answer(device, unique, 0, attributes())
        elif opcode == LOOKUP and request[HEADER.size:].startswith(b"first\0"):
            pending = unique
        elif opcode == INTERRUPT and pending is not None:
            answer(device, unique, ENOSYS)
            answer(device, pending, ENOENT)
            pending = None


def ask_first(place):
    """Asks and is interrupted, so that the kernel learns that this server knows no interrupts."""
    signal.signal(signal.SIGUSR2, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
    os.path.exists(os.path.join(place, "first"))


def mount(place):
    """Mount it on PLACE; the server's pid."""
    os.mkdir(place)
    device = os.open("/dev/fuse", os.O_RDWR)
    server = hang.fork(serve, device)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"silent", place.encode(), b"fuse", 0, options.encode()):
        raise OSError(ctypes.get_errno(), "mount")
    os.close(device)
    asking = hang.fork(ask_first, place)
    while hang.os.waitpid(asking, os.WNOHANG) == (0, 0):
        hang.time.sleep(0.02)
        if os.path.exists(f"/proc/{asking}/wchan"):
            with open(f"/proc/{asking}/wchan") as file:
                if "request_wait_answer" in file.read():
                    os.kill(asking, signal.SIGUSR2)
    return server
