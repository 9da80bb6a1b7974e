"""A program of few words that runs on every Python from 2.7 on, and can be in other people's way."""
import sys
import time

import ctl


def plain_step():
    return sum(range(100))


def plain_loop():
    while not ctl.quitting():
        ctl.expect(plain_step() == 4950, "checksum")
        time.sleep(0.01)
        ctl.tick()


def setprofile(frame, event, argument):
    pass


def with_cprofile():
    import cProfile
    import pstats
    profile = cProfile.Profile()
    profile.runcall(plain_loop)
    names = [key[2] for key in pstats.Stats(profile).stats]
    ctl.expect("plain_step" in names, "cProfile lost its data")


def with_setprofile():
    sys.setprofile(setprofile)
    plain_loop()
    ctl.expect(sys.getprofile() is setprofile, "the profile function is gone")
    sys.setprofile(None)


def with_settrace():
    """A debugger or coverage: it can live beside a profiler."""
    lines = []

    def trace(frame, event, argument):
        if event == "line" and frame.f_code is plain_step.__code__:
            lines.append(frame.f_lineno)
        return trace
    sys.settrace(trace)
    plain_loop()
    ctl.expect(sys.gettrace() is trace and lines, "the trace function is gone")
    sys.settrace(None)


def with_all_tools():
    for number in range(6):
        sys.monitoring.use_tool_id(number, "tool %d" % number)
    plain_loop()
    for number in range(6):
        ctl.expect(sys.monitoring.get_tool(number) == "tool %d" % number, "a tool id changed")


def with_kept_tool():
    """Whatever frees a monitoring id does nothing here."""
    sys.monitoring.free_tool_id = lambda number: None
    plain_loop()


def with_held_gil():
    """Waits inside C without giving up the GIL, until the driver writes to the pipe."""
    import ctypes
    import os
    library = ctypes.PyDLL(None)  # PyDLL: calls keep the GIL
    buffer = ctypes.create_string_buffer(1)
    pipe = os.open(sys.argv[3], os.O_RDWR)
    ctl.control.put(ctl.AUX, 1)
    got = library.read(pipe, buffer, 1)
    ctl.control.put(ctl.AUX, 2)
    ctl.expect(got == 1 and buffer.raw == b"x", "read")
    plain_loop()


def prctl(*arguments):
    import ctypes
    ctl.expect(ctypes.CDLL(None).prctl(*arguments) == 0, "prctl%r" % (arguments,))


def undumpable():
    prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE


def odd_group():
    """Same user, same group, and yet the kernel lets no other process of this user look into it."""
    import os
    os.setresgid(65534, 65534, 1)
    os.setresuid(65534, 65534, 65534)
    prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE


def strict():
    """In strict mode only read and write are left: waits in the one, without giving up the GIL."""
    import ctypes
    import os
    library = ctypes.PyDLL(None)
    buffer = ctypes.create_string_buffer(1)
    pipe = os.open(sys.argv[3], os.O_RDWR)
    library.prctl(22, 1, 0, 0, 0)  # PR_SET_SECCOMP, SECCOMP_MODE_STRICT
    library.read(pipe, buffer, 1)


def filtered():
    """A filter that allows everything: one BPF instruction."""
    import ctypes
    program = ctypes.create_string_buffer(b"\x06\0\0\0\0\0\xff\x7f", 8)

    class Fprog(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
    prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    prctl(22, 2, ctypes.byref(Fprog(1, ctypes.addressof(program))), 0, 0)


def main():
    how = sys.argv[2] if len(sys.argv) > 2 else "loop"
    # what it does to itself before anybody looks
    {"undumpable": undumpable, "filter": filtered, "odd-group": odd_group}.get(how, int)()
    ctl.ready()
    {"loop": plain_loop, "cprofile": with_cprofile, "setprofile": with_setprofile,
     "settrace": with_settrace, "tools": with_all_tools, "kept-tool": with_kept_tool,
     "gil": with_held_gil, "strict": strict, "undumpable": plain_loop, "odd-group": plain_loop,
     "filter": plain_loop}[how]()
    ctl.finish()


main()
