"""One thread that only computes."""
import hashlib

import ctl

DATA = bytes(range(256)) * 8


def busy_inner(number):
    return number * number % 7


def busy_outer():
    total = 0
    for number in range(200):
        total += busy_inner(number)
    return hashlib.sha256(DATA).hexdigest()[:8] + str(total)


def main():
    expected = busy_outer()
    ctl.ready()
    while not ctl.quitting():
        ctl.expect(busy_outer() == expected, "checksum")
        ctl.tick()
    ctl.finish()


main()
