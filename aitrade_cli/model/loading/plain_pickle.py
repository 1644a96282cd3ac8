"""A pickle read as data: no import, no call but a handful of our own.

The machine runs the opcodes that plain containers need. A pickle that names any
other Python object stops it before that object is looked up, so nothing in a file
can choose what runs. `torch.load(weights_only=True)` works the same way; this one
also refuses cycles, endless nesting and memory that a few bytes would multiply.
"""

# ruff: noqa: ANN401 -- values from a file have the type the file gives them

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, NoReturn

from aitrade_cli.errors import BadInput
from aitrade_cli.model.loading.limits import Limits, TooLarge

Name = tuple[str, str]  # module, qualified name
KEY_INT_MAX: Final = 1 << 32  # larger ones could be made to collide in a dict
CONSTANTS: Final = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
VALUES: Final = frozenset(
    [
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "LONG4",
        "INT",
        "LONG",
        "BINFLOAT",
        "FLOAT",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "UNICODE",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
    ]
)
EMPTY: Final[dict[str, Callable[[], Any]]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
CHUNK: Final = 1024  # steps read at once
IGNORED: Final = frozenset(("PROTO", "FRAME"))


class BadPickle(BadInput):
    """The pickle inside is damaged, or does what no saved weights need."""

    default_hint = "save the weights again with `torch.save(model.state_dict(), FILE)`"


class WantsPython(BadInput):
    """The pickle names a Python object that plain weights do not need.

    Never shown as it is: who catches it knows the file and lists all of them.
    """

    def __init__(self, name: Name) -> None:
        super().__init__(f"the pickle asks for `{name[0]}.{name[1]}`")


def opcodes(data: bytes) -> Iterator[tuple[str, Any]]:
    """Each opcode's name and argument.

    Raises:
        ValueError: what follows is no pickle.
    """
    steps = ((opcode.name, argument) for opcode, argument, _ in pickletools.genops(data))
    damage: ValueError | None = None
    chunk: list[tuple[str, Any]] = [("", None)]
    while chunk and damage is None:
        chunk = []
        # A backslash in a name makes Python warn about escapes.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                chunk.extend(islice(steps, CHUNK))
            except ValueError as error:
                damage = error
        yield from chunk
    if damage is not None:
        raise damage


@dataclass(slots=True, eq=False)
class Callee:
    """Something a pickle may name. ``call`` checks its arguments itself."""

    call: Callable[..., Any] | None
    value: Any = None


@dataclass(slots=True)
class Machine:
    """One run over one pickle."""

    names: Mapping[Name, Callee]
    storage: Callable[[Any], Any]
    limits: Limits
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def run(self, data: bytes) -> Any:
        """Execute to STOP and return what is left.

        Raises:
            BadPickle: an opcode is unknown, broken or out of place.
            WantsPython: it names something outside ``names``.
            TooLarge: too many steps.
        """
        try:
            for count, (name, argument) in enumerate(opcodes(data)):
                if count > self.limits.opcodes:
                    raise TooLarge(f"the pickle takes more than {self.limits.opcodes} steps")
                if name == "STOP":
                    return self.result()
                self.step(name, argument)
        # genops: ValueError for bytes that are no pickle; the rest from stacks too short
        # and keys that cannot be hashed.
        except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
            raise BadPickle(f"the pickle is damaged: {str(error)[:120]}") from error
        raise BadPickle("the pickle has no end")

    def result(self) -> Any:
        if len(self.stack) != 1 or self.marks:
            raise BadPickle("the pickle ends with something left over")
        return self.stack[0]

    def step(self, name: str, argument: Any) -> None:
        if name in VALUES:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in EMPTY:
            self.stack.append(EMPTY[name]())
        elif name not in IGNORED:
            STEPS.get(name, refuse)(self, argument if name in STEPS else name)

    def pop(self) -> Any:
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise BadPickle("the pickle takes more than it put")
        return self.stack.pop()

    def pop_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def top(self, kind: type) -> Any:
        # Exactly: a subclass could have methods of its own.
        if type(self.stack[-1]) is not kind:
            raise BadPickle(f"the pickle fills a {type(self.stack[-1]).__name__}")
        return self.stack[-1]

    def look_up(self, name: Name) -> None:
        if name not in self.names:
            raise WantsPython(name)
        self.stack.append(self.names[name])


def refuse(_: Machine, name: str) -> NoReturn:
    raise BadPickle(f"the pickle uses `{name}`, which saved weights do not need")


def push_mark(machine: Machine, _: object) -> None:
    machine.marks.append(len(machine.stack))


def global_(machine: Machine, argument: str) -> None:
    module, _, name = argument.partition(" ")
    machine.look_up((module, name))


def stack_global(machine: Machine, _: object) -> None:
    name, module = machine.pop(), machine.pop()
    if not (isinstance(module, str) and isinstance(name, str)):
        raise BadPickle("the pickle names an object by something that is not text")
    machine.look_up((module, name))


def reduce_(machine: Machine, _: object) -> None:
    arguments, callee = machine.pop(), machine.pop()
    if not isinstance(callee, Callee) or callee.call is None or type(arguments) is not tuple:
        raise BadPickle("the pickle calls something that is not a function")
    machine.stack.append(callee.call(*arguments))


def build(machine: Machine, _: object) -> None:
    # `state_dict()` hangs `_metadata` on its dict this way. Nothing reads it: dropped.
    state = machine.pop()
    machine.top(dict)
    if not isinstance(state, dict):
        raise BadPickle("the pickle sets the state of an object")


def persistent(machine: Machine, _: object) -> None:
    machine.stack.append(machine.storage(machine.pop()))


def put(machine: Machine, index: int) -> None:
    machine.memo[index] = machine.stack[-1]


def memoize(machine: Machine, _: object) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def get(machine: Machine, index: int) -> None:
    machine.stack.append(machine.memo[index])


def append(machine: Machine, _: object) -> None:
    item = machine.pop()
    machine.top(list).append(item)


def appends(machine: Machine, _: object) -> None:
    items = machine.pop_mark()
    machine.top(list).extend(items)


def set_item(machine: Machine, _: object) -> None:
    value, key = machine.pop(), machine.pop()
    machine.top(dict)[dict_key(key)] = value


def set_items(machine: Machine, _: object) -> None:
    items = machine.pop_mark()
    if len(items) % 2:
        raise BadPickle("the pickle gives a key without a value")
    target = machine.top(dict)
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[dict_key(key)] = value


def dict_key(key: Any) -> Any:
    small = isinstance(key, int) and abs(key) < KEY_INT_MAX
    if not (isinstance(key, str) or small):
        raise BadPickle(f"the pickle uses a {type(key).__name__} as a key")
    return key


def tuple_(machine: Machine, _: object) -> None:
    machine.stack.append(tuple(machine.pop_mark()))


def tuple_of(count: int) -> Callable[[Machine, object], None]:
    def make(machine: Machine, _: object) -> None:
        machine.stack.append(tuple(machine.pop() for _ in range(count))[::-1])

    return make


STEPS: Final[dict[str, Callable[[Machine, Any], None]]] = {
    "MARK": push_mark,
    "GLOBAL": global_,
    "STACK_GLOBAL": stack_global,
    "REDUCE": reduce_,
    "BUILD": build,
    "BINPERSID": persistent,
    "PUT": put,
    "BINPUT": put,
    "LONG_BINPUT": put,
    "MEMOIZE": memoize,
    "GET": get,
    "BINGET": get,
    "LONG_BINGET": get,
    "APPEND": append,
    "APPENDS": appends,
    "SETITEM": set_item,
    "SETITEMS": set_items,
    "TUPLE": tuple_,
    "TUPLE1": tuple_of(1),
    "TUPLE2": tuple_of(2),
    "TUPLE3": tuple_of(3),
}
