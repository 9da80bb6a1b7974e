"""The JSON export (Chrome trace events) as one sequence of entries and exits for each timeline."""
import json


def last_part(name):
    """"Node.node_method (count.py:84)" -> "node_method"."""
    return name.partition(" (")[0].rpartition(".")[2]


def _nest(spans):
    """
    Spans come in the order of their ends, so those that began within the next
    one and have no parent yet are its children.  Returns the outermost ones,
    each as [begin, name, children].
    """
    roots = []
    for begin, name in spans:
        first = len(roots)
        while first and roots[first - 1][0] >= begin:
            first -= 1
        roots[first:] = [[begin, name, roots[first:]]]
    return roots


def _walk(roots, wanted):
    """Entries and exits of the names that WANTED accepts, without recursion: stacks may be deep."""
    found, pending = [], [("", node) for node in reversed(roots)]
    while pending:
        closing, node = pending.pop()
        keep = wanted(node[1])
        if closing:
            found.append("-" + node[1])
            continue
        if keep:
            found.append("+" + node[1])
            pending.append(("-", node))
        pending.extend(("", child) for child in reversed(node[2]))
    return found


def read(path, wanted):
    """One list of "+name" and "-name" for each timeline; only names that WANTED(name) accepts."""
    threads = {}
    for event in json.loads(path.read_text())["traceEvents"]:
        if event.get("ph") == "X":
            spans = threads.setdefault((event["pid"], event["tid"]), [])
            # whole nanoseconds: what is written with three decimals is exact again
            spans.append((round(event["ts"] * 1000), last_part(event["name"])))
    return [_walk(_nest(spans), wanted) for spans in threads.values()]
