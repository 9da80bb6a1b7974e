"""
What was tried how often, and what it did: printed, and kept for a table.

usage: figures.py FILE    the lines that $VZ_FIGURES collected, as a Markdown table
"""
import json
import os
import sys


def note(fault, where, tries, harm, remarks=""):
    """One figure: FAULT was caused TRIES times in WHERE (an interpreter), HARM times to its harm."""
    row = {"fault": fault, "where": where, "tries": tries, "harm": harm, "remarks": remarks}
    path = os.environ.get("VZ_FIGURES")
    if path:
        with open(path, "a") as file:
            file.write(json.dumps(row) + "\n")
    print(f"       {fault}, {where}: {tries} tries, {harm} harmed" + (f"; {remarks}" if remarks else ""),
          flush=True)


def table(path):
    with open(path) as file:
        rows = [json.loads(line) for line in file]
    lines = ["| fault | interpreter | tries | harm | remarks |", "|---|---|---:|---:|---|"]
    for row in rows:
        lines.append("| {fault} | {where} | {tries} | {harm} | {remarks} |".format(**row))
    lines.append("| all | | %d | %d | |" % (sum(row["tries"] for row in rows),
                                            sum(row["harm"] for row in rows)))
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(sys.argv[1]))
