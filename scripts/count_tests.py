#!/usr/bin/env python3
"""
Count the tests in the output of ctest --verbose: each Criterion test, and each program that is none.

usage: count_tests.py LOG     prints what failed, a line for people, and "PASSED FAILED SKIPPED"
"""
import re
import sys

RESULT = re.compile(r"^\s*\d+/\d+ Test\s+#(\d+): (\S+) \.*\s*(?:\*+)?\s*(Passed|Failed|Not Run|Skipped|"
                    r"Timeout|Exception.*?|SEGFAULT|Subprocess \w+|Child \w+)")
CRITERION = re.compile(r"^(\d+): .*Tested: (\d+) \| Passing: (\d+)")


def count(lines):
    inside, results = {}, {}
    for line in lines:
        line = re.sub(r"\x1b\[[0-9;]*m", "", line)
        match = CRITERION.match(line)
        if match:
            inside[match.group(1)] = [int(part) for part in match.groups()[1:3]]
        match = RESULT.match(line)
        if match:
            results[match.group(1)] = match.group(2), match.group(3)
    totals = [0, 0, 0]
    for number, (name, result) in results.items():
        good = result == "Passed"
        tested, passing = inside.get(number, [1, int(good)])
        if result == "Skipped":
            totals[2] += 1
            continue
        bad = tested - passing
        totals[0] += passing
        totals[1] += bad if bad or good else 1  # a program can end badly after its tests
        if not good:
            print(f"FAIL {name}: {result}, {bad} of {tested}")
    return totals


def main():
    with open(sys.argv[1], errors="replace") as file:
        lines = file.readlines()
    totals = count(lines)
    if not sum(totals):
        print("no test ran; the end of the log:")
        print("".join(lines[-20:]), end="")
        totals[1] = 1
    elif totals[1]:
        bad = re.compile(r"^\d+: .*(\[FAIL\]|\[----\]|CRASH|Assertion|ERROR|runtime error)")
        print("".join(line for line in lines if bad.match(line))[-6000:], end="")
    print("%d passed, %d failed, %d skipped" % tuple(totals))
    print(*totals)


main()
