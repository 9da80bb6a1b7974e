"""
Objects of all kinds, for tests/test_pyobj.c: run with -c by each interpreter that is found, it
prints what it knows of each, one fact a line, "end", and waits.
"""
import collections
import enum
import sys
import types
import weakref

keep = []  # all objects that are told of
print()  # a sign of life


def tell(fact, obj, *words):
    keep.append(obj)
    print(fact, id(obj), *words)


def ids(objects):
    objects = list(objects)
    keep.extend(objects)
    return ",".join(str(id(one)) for one in objects) or "-"


def pairs(items):
    items = list(items)
    keep.extend(items)
    return ",".join("%d:%d" % (id(key), id(value)) for key, value in items) or "-"


# ---- text ----
class Text(str):
    pass


def telling(text, size=4096):
    """What SIZE bytes can hold of it."""
    text = "".join("\ufffd" if one == "\0" or 0xd800 <= ord(one) <= 0xdfff else one for one in text)
    out = b""
    for one in text:
        one = one.encode()
        if len(out) + len(one) > size - 1:
            return out.hex() or "-", 1
        out += one
    return out.hex() or "-", 0


texts = ["", "a", "text", "x" * 4000, "x" * 4095, "x" * 4096, "x" * 100000, "caf\xe9", "\xff" * 3000, "\u20ac uro",
         "\u20ac" * 2000, "\U0001f40d snake", "\U0001f40d" * 1500, "a\0b", "\ud800 alone", "\x7f", "\x80",
         "a\xe9\u20ac\U0001f40d" * 3, Text("of a subclass"), Text("\u20ac of a subclass"), Text("\U0001f40d" * 9)]
for text in texts:
    tell("text", text, *telling(text))
    tell("len", text, len(text))
    tell("kind", text, "str")
tell("nottext", b"bytes")
tell("nottext", None)


# ---- numbers ----
class Int(int):
    pass


class Color(enum.IntEnum):
    RED = 7


for number in [0, 1, -1, 5, 256, 257, -5, -6, 2**30 - 1, 2**30, -2**30, 2**31, 2**60 - 1, 2**60, -2**60, 2**62,
               2**63 - 1, -2**63, Int(77), Int(-2**40), Int(0), Color.RED]:
    tell("int", number, int(number))
    tell("kind", number, "int")
for number in [2**63, -2**63 - 1, 2**64, 2**90, -2**200, Int(10**50)]:
    tell("bigint", number)
tell("int", True, 1)
tell("int", False, 0)
tell("kind", True, "bool")
tell("kind", None, "none")
for number in [0.0, -1.5, 3.25e300, type("Float", (float,), {})(2.5)]:
    tell("float", number, float(number).hex())
    tell("kind", number, "float")

# ---- sequences, sets ----
Point = collections.namedtuple("Point", "x y")
for one in [(), (1,), (1, "a", None), Point(3, 4), tuple(range(5000))]:
    tell("items", one, ids(one))
    tell("len", one, len(one))
    tell("kind", one, "tuple")
for one in [[], [1], list(range(3000)), [[]], type("List", (list,), {"x": 1})([1, 2])]:
    tell("items", one, ids(one))
    tell("len", one, len(one))
    tell("kind", one, "list")
ring = []
ring.append(ring)
tell("items", ring, ids(ring))
for one in [set(), {1}, frozenset("abc"), set(range(3000)), type("Set", (set,), {})({1, 2}), frozenset()]:
    tell("set", one, ids(one))
    tell("len", one, len(one))
    tell("kind", one, "set")
less = set(range(100))
less -= set(range(10, 90))
tell("set", less, ids(less))
for one in [b"", b"abc", b"x" * 100000]:
    tell("len", one, len(one))
    tell("kind", one, "bytes")
tell("kind", object(), "other")
tell("kind", len, "other")
tell("kind", int, "type")
tell("kind", Text, "type")

# ---- dicts ----
big = {str(number): number for number in range(70000)}
holes = {"key%d" % number: number for number in range(100)}
for number in range(0, 100, 3):
    del holes["key%d" % number]
emptied = {"a": 1, "b": 2}
emptied.clear()
unicode_then_general = {"a": 1, "b": 2}
unicode_then_general[3] = "c"
dicts = [{}, {"a": 1}, {1: 2, "b": 3, None: {}}, holes, emptied, unicode_then_general, collections.OrderedDict(x=1, y=2),
         collections.defaultdict(list, a=1), collections.Counter("abca"), {number: -number for number in range(1000)},
         {"\u20ac": 1, "plain": 2}, dict.fromkeys(map(str, range(300)))]
for one in dicts:
    tell("dict", one, pairs(dict.items(one)))
    tell("len", one, len(one))
    tell("kind", one, "dict")
tell("len", big, len(big))
tell("get", big, "69999", id(big["69999"]))
tell("get", big, "none", 0)
tell("get", holes, "key1", id(holes["key1"]))
tell("get", holes, "key3", 0)
tell("get", unicode_then_general, "b", id(unicode_then_general["b"]))
tell("get", dicts[-2], "plain", id(dicts[-2]["plain"]))
tell("get", {}, "a", 0)
tell("get", {Text("sub"): 9}, "sub", id(9))


# ---- attributes ----
class Plain:
    shared = "of the class"

    def __init__(self):
        self.first = object()
        self.second = object()
        self.third = []

    @property
    def computed(self):
        return 1


class Slots:
    __slots__ = ("left", "right", "unset", "__weakref__")

    def __init__(self):
        self.left = object()
        self.right = self


class SlotsAndDict(Slots):
    def __init__(self):
        super().__init__()
        self.extra = object()


class MoreSlots(Slots):
    __slots__ = ("more",)


class DictOfList(list):
    pass


class DictOfTuple(tuple):
    pass


class DictOfInt(int):
    pass


class DictOfDict(dict):
    pass


class Many:
    def __init__(self):
        for number in range(60):
            setattr(self, "name%d" % number, number)


def attributes(obj, *names):
    for name in names:
        try:
            value = vars(obj).get(name)
        except TypeError:
            value = None
        if value is None and isinstance(obj, Slots) and name in ("left", "right", "more"):
            value = getattr(obj, name)
        keep.append(value)
        tell("attr", obj, name, 0 if value is None else id(value))


def untouched(obj, *names):
    """Without vars(), which may make a dict that was not there."""
    for name in names:
        tell("attr", obj, name, id(getattr(obj, name)))


untouched(Plain(), "first", "second", "third")
untouched(Many(), "name0", "name1", "name29", "name30", "name59")
fresh = Plain()
fresh.late = 1
del fresh.second
untouched(fresh, "first", "third", "late")
for one in (Plain(), fresh):
    tell("attr", one, "shared", 0)
    tell("attr", one, "computed", 0)
    tell("attr", one, "missing", 0)
tell("attr", fresh, "second", 0)
attributes(Plain(), "first", "third", "missing")  # with a dict
replaced = Plain()
replaced.__dict__ = {"other": 1}
tell("attr", replaced, "other", id(1))
tell("attr", replaced, "first", 0)
general = Plain()
general.__dict__[5] = 6
untouched(general, "first", "third")
attributes(Slots(), "left", "right")
tell("attr", Slots(), "unset", 0)
attributes(SlotsAndDict(), "left", "right", "extra")
more = MoreSlots()
more.more = "more"
untouched(more, "left", "right", "more")
for one in (DictOfList([1, 2]), DictOfTuple((1, 2, 3)), DictOfInt(10**30), DictOfInt(-5), DictOfInt(0),
            DictOfDict(a=1), Text("with a dict"), ValueError("x"), types.SimpleNamespace()):
    one.tag = object()
    one.second = object()
    untouched(one, "tag", "second")
tell("attr", object(), "x", 0)
tell("attr", 5, "x", 0)
tell("attr", weakref, "ref", id(weakref.ref))
tell("attr", attributes, "__closure__", 0)


# ---- types ----
class Sub(Plain):
    pass


class Both(Slots, Plain):
    pass


tell("type", 5, "int")
tell("type", Plain(), "Plain")
tell("type", Plain, "type")
tell("type", None, "NoneType")
tell("type", collections.OrderedDict(), "collections.OrderedDict")
tell("is", Sub(), "Plain", 1)
tell("is", Sub(), "object", 1)
tell("is", Sub(), "int", 0)
tell("is", Both(), "Plain", 1)
tell("is", Both(), "Slots", 1)
tell("is", True, "int", 1)
tell("is", sys, "module", 1)

# ---- what leads to others ----
target = Plain()
keep.append(target)
dead = Plain()
tell("weakref", weakref.ref(target), id(target))
tell("weakref", weakref.proxy(target), id(target))
gone = weakref.ref(dead)
tell("weakref", weakref.WeakMethod(type("M", (), {"f": lambda self: 1})().f), 0)
del dead
tell("weakref", gone, 0)


def closure():
    value = object()
    keep.append(value)

    def inner():
        return value, never
    if not keep:
        never = 1
    return inner


function = closure()
cells = dict(zip(function.__code__.co_freevars, function.__closure__))
tell("cell", cells["value"], id(function.__closure__[function.__code__.co_freevars.index("value")].cell_contents))
tell("cell", cells["never"], 0)
method = target.__init__
tell("self", method, id(target))
tell("self", keep.append, id(keep))
tell("noself", closure)
tell("noself", 5)
print("module", id(sys), "sys", "stdout", id(sys.stdout))
print("module", id(sys), "__main__", "keep", id(keep))
print("module", id(sys), "__main__", "nothing", 0)
print("module", id(sys), "nothing", "nothing", 0)
print("end", 0, flush=True)
sys.stdin.read()
