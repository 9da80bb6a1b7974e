"""The JSON export (Chrome trace events) as one sequence of entries and exits for each timeline."""
import json


def last_part(name):
    """"Node.node_method (count.py:84)" -> "node_method"."""
    return name.partition(" (")[0].rpartition(".")[2]


def _spans(events):
    """Complete events as (begin, end, order, name); B/E pairs are joined with a stack."""
    spans, stack = [], []
    for order, event in enumerate(events):
        if event["ph"] == "X":
            spans.append((event["ts"], event["ts"] + event.get("dur", 0), order, event["name"]))
        elif event["ph"] == "B":
            stack.append((event["ts"], order, event["name"]))
        elif event["ph"] == "E" and stack:
            begin, started, name = stack.pop()
            spans.append((begin, event["ts"], started, name))
    return spans


def _sequence(spans):
    """
    Entries and exits in order, from spans that nest.  Parents come before
    their children: by begin, then the longer one, then as exported.
    """
    found, stack = [], []
    for begin, end, _, name in sorted(spans, key=lambda span: (span[0], -span[1], span[2])):
        while stack and stack[-1][0] <= begin and (stack[-1][0] < end or begin < end):
            found.append("-" + stack.pop()[1])
        found.append("+" + name)
        stack.append((end, name))
    while stack:
        found.append("-" + stack.pop()[1])
    return found


def read(path, wanted):
    """One list of "+name" and "-name" for each timeline; only names that WANTED(name) accepts."""
    document = json.loads(path.read_text())
    events = document["traceEvents"] if isinstance(document, dict) else document
    threads = {}
    for event in events:
        if event.get("ph") in ("X", "B", "E"):
            threads.setdefault((event.get("pid"), event.get("tid")), []).append(event)
    result = []
    for items in threads.values():
        spans = [(begin, end, order, last_part(name)) for begin, end, order, name in _spans(items)]
        result.append(_sequence([span for span in spans if wanted(span[3])]))
    return result
