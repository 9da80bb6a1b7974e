"""
C code that keeps the GIL: asleep, in an endless loop, or in a read that nobody answers.

usage: gil.py CONTROL sleep|loop|read
"""
import ctypes
import os

import hang

HOW = (hang.ARGUMENTS or ["sleep"])[0]
keeping, _ = hang.library()
served = []


def serve():
    """Others that would have work to do."""
    while not hang.ctl.quitting():
        served.append(1)
        hang.time.sleep(0.001)


def import_prices():
    if HOW == "sleep":
        return keeping.stall_sleep(hang.SECONDS)
    if HOW == "loop":
        keeping.stall_loop.restype = ctypes.c_long
        return keeping.stall_loop(ctypes.c_void_p(address))
    return keeping.stall_read(end)


# the driver lets the loop go by the command (it is 0 until then), the read by a byte
address = ctypes.addressof(ctypes.c_char.from_buffer(hang.ctl.control.block))
hang.fact("library", "libstall")
hang.on_release(lambda: None)
end = -1
if HOW == "read":
    end = os.open(os.path.join(hang.FOLDER, "feed"), os.O_RDWR)
for number in range(2):
    hang.thread(f"serve-{number}", serve)
while not served:
    hang.time.sleep(0.001)
hang.ready()
result = import_prices()
hang.finish(result > 0 if HOW == "loop" else result, {"sleep": -1, "loop": True, "read": 120}[HOW])
