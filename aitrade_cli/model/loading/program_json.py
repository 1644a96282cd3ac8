"""The JSON of a `.pt2`: every text in it, checked against what it may do once torch reads it.

`torch.export.load` hands the shape expressions to sympy, which evaluates them as Python;
writes the names of inputs into source code that it executes; looks operators up by
walking from the `torch` module, where `os` is in reach; executes guards; and imports the
modules that container types name. So no text passes that is not of a known, inert form.
"""

# ruff: noqa: ANN401 -- values from a file have the type the file gives them

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from typing import Any, Final

from aitrade_cli.errors import BadInput, Refused
from aitrade_cli.model.loading.limits import Limits, TooLarge, check_text
from aitrade_cli.model.loading.operators import CustomOperators

WORD: Final = re.compile(r"[A-Za-z0-9_.]{0,400}")
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}")
ARGUMENT: Final = re.compile(r"[A-Za-z0-9_.,>\- ]{0,400}")  # `replicate`, `ij,jk->ik`
VERSION: Final = re.compile(r"[A-Za-z0-9_.+<=]{0,60}")
SYMBOL: Final = re.compile(r"[a-z]{1,4}[0-9]{1,9}")
OPERATOR: Final = re.compile(r"torch\.ops\.(?:aten|prims)\.[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)?")
# The rest of what `torch.export` writes for control flow and sizes.
OTHER_OPERATORS: Final = frozenset(
    f"{module}.{name}"
    for module, names in (
        (
            "_operator",
            "getitem add sub mul truediv floordiv mod neg pos eq ne lt le gt ge and_ or_ not_",
        ),
        ("math", "ceil floor trunc sqrt"),
        ("torch", "sym_float sym_int sym_ite sym_max sym_min sym_not"),
        ("torch._C", "_set_grad_enabled"),
        (
            "torch.ops.higher_order",
            "cond while_loop wrap_with_set_grad_enabled wrap_with_autocast",
        ),
    )
    for name in names.split()
)
TOUCH_FILES_OR_STORAGE: Final = re.compile(r"\.(?:from_file|save|_?set_.*|resize_.*|_resize.*)$")
CONTAINERS: Final = frozenset((
    None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict",
))  # fmt: skip
FUNCTIONS: Final = frozenset((
    "Symbol", "Integer", "Add", "Mul", "Max", "Min", "FloorDiv", "Mod", "PythonMod",
    "CleanDiv", "CeilDiv", "ModularIndexing", "Where", "IntTrueDiv", "FloatTrueDiv",
    "ToFloat", "TruncToInt", "CeilToInt", "FloorToInt", "RoundToInt", "Eq", "Ne", "Lt", "Le",
    "Gt", "Ge", "Equality", "Unequality", "StrictLessThan", "StrictGreaterThan", "LessThan",
    "GreaterThan", "And", "Or", "Not",
))  # fmt: skip
EXPRESSION_MAX: Final = 2000
EXPRESSIONS_MAX: Final = 20_000  # each costs torch about a millisecond
DEPTH_MAX: Final = 48
COUNT_MAX: Final = 1 << 63  # an open end of a slice is the largest int64


class CodeInProgram(Refused):
    """A text in the exported program would be executed, or may be."""

    default_hint = "export the model again with `torch.export.save`, or pass its `.onnx`"

    def __init__(self, where: str, text: object) -> None:
        super().__init__(f"the exported program has `{str(text)[:120]}` as `{where}`")


class BadProgram(BadInput):
    """The exported program is damaged, or of a version this torch does not read."""

    default_hint = "export the model again with this torch: `torch.export.save(program, FILE)`"


def vet_json(text: bytes, limits: Limits) -> dict[str, Any]:
    """The program as data, without guards and without what torch noted for debugging.

    Raises:
        BadProgram: it is no JSON or has no proper form.
        CodeInProgram: a text could run as code.
        CustomOperators: an operator is outside torch's own.
        TooLarge: longer than ``limits.text_bytes``, or more shape expressions than torch
            could read in a minute.
    """
    check_text("the exported program", text, limits)
    try:
        program = json.loads(text)
    # RecursionError: brackets nested thousands deep.
    except (ValueError, RecursionError) as error:
        raise BadProgram(f"the exported program is no JSON: {str(error)[:100]}") from error
    if not isinstance(program, dict):
        raise BadProgram("the exported program is no table")
    return Vetter().table(program, 0)


class Vetter:
    """One walk over one program. Counts what torch would have to evaluate."""

    def __init__(self) -> None:
        self.expressions = 0

    def value(self, value: Any, key: str, depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise BadProgram(f"the exported program is nested deeper than {DEPTH_MAX} levels")
        if isinstance(value, dict):
            return self.table(value, depth)
        if isinstance(value, list):
            return [self.value(item, key, depth + 1) for item in value]
        if isinstance(value, str):
            return self.text(value, key)
        if type(value) is int and abs(value) > COUNT_MAX:
            raise BadProgram(f"`{key}` is {str(value)[:24]}, which no size is")
        return value

    def table(self, table: dict[str, Any], depth: int) -> dict[str, Any]:
        # Guards are Python source and notes are for people: neither is needed to run.
        kept: dict[str, Any] = {}
        for name, item in table.items():
            if not WORD.fullmatch(name):
                raise CodeInProgram("a name", name)
            if name == "metadata":
                kept[name] = {}
            elif name == "guards_code":
                kept[name] = []
            elif name == "treespec_namedtuple_fields" and item:
                raise BadProgram("the exported program takes or gives a named tuple")
            else:
                kept[name] = self.value(item, name, depth + 1)
        return kept

    def text(self, text: str, key: str) -> str:
        check = CHECKS.get(key)
        if check is not None:
            check(text)
        elif not WORD.fullmatch(text):
            raise CodeInProgram(key, text)
        self.expressions += key == "expr_str"
        if self.expressions > EXPRESSIONS_MAX:
            raise TooLarge(f"the exported program has more than {EXPRESSIONS_MAX} expressions")
        return text


def check_operator(target: str) -> None:
    own = OPERATOR.fullmatch(target) is not None or target in OTHER_OPERATORS
    if not own or TOUCH_FILES_OR_STORAGE.search(target.split(".default", maxsplit=1)[0]):
        raise CustomOperators([target])


def check_name(name: str) -> None:
    # torch writes these into source: a default argument here would run there.
    if not NAME.fullmatch(name):
        raise CodeInProgram("an argument name", name)


def check_argument(text: str) -> None:
    if not ARGUMENT.fullmatch(text):
        raise CodeInProgram("an argument", text)


def check_version(text: str) -> None:
    if not VERSION.fullmatch(text):
        raise CodeInProgram("a version", text)


def check_expression(text: str) -> None:
    """Sums, products and comparisons of symbols and counts; no powers, which can hang."""
    try:
        tree = ast.parse(text[: EXPRESSION_MAX + 1], mode="eval").body
    # RecursionError and MemoryError: the parser's own limits.
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise CodeInProgram("a shape", text) from error
    if len(text) > EXPRESSION_MAX or not is_sum(tree, 0):
        raise CodeInProgram("a shape", text)


def is_sum(node: ast.expr, depth: int) -> bool:
    known = False
    inner: list[ast.expr] = []
    match node:
        case ast.Constant(value=int(value)):  # True and False are ints
            known = abs(value) <= COUNT_MAX
        case ast.Name(id=name):
            known = SYMBOL.fullmatch(name) is not None
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            known, inner = True, [operand]
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult(), right=right):
            known, inner = True, [left, right]
        case ast.Call(func=ast.Name(id="Symbol"), args=[ast.Constant(value=str(name))]):
            known = SYMBOL.fullmatch(name) is not None and are_flags(node.keywords)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            known, inner = name in FUNCTIONS, arguments
    return known and depth < DEPTH_MAX and all(is_sum(item, depth + 1) for item in inner)


def are_flags(keywords: list[ast.keyword]) -> bool:
    return all(
        keyword.arg in ("positive", "integer", "nonnegative")
        and isinstance(keyword.value, ast.Constant)
        and isinstance(keyword.value.value, bool)
        for keyword in keywords
    )


def check_containers(text: str) -> None:
    """A tree of tuples, lists and dicts, as `torch.utils._pytree` writes it."""
    try:
        version, tree = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise BadProgram("a container description is damaged") from error
    if type(version) is not int:
        raise BadProgram("a container description has no version")
    check_container(tree, 0)


def check_container(tree: Any, depth: int) -> None:
    if not isinstance(tree, dict) or depth > DEPTH_MAX:
        raise BadProgram("a container description is damaged")
    kind, context, children = (tree.get(key) for key in ("type", "context", "children_spec"))
    if not (kind is None or isinstance(kind, str)) or kind not in CONTAINERS:
        raise CodeInProgram("a container", kind)
    if not isinstance(children, list) or not (context is None or isinstance(context, str)):
        raise BadProgram("a container description is damaged")
    check_context(context)
    for child in children:
        check_container(child, depth + 1)


def check_context(context: str | None) -> None:
    # For a dict its keys, which become argument names; else null.
    try:
        keys = json.loads(context) if context is not None else None
    except (ValueError, RecursionError) as error:
        raise BadProgram("a container description is damaged") from error
    if keys is not None and not (isinstance(keys, list) and all(isinstance(k, str) for k in keys)):
        raise CodeInProgram("the keys of a container", context)
    for key in keys or ():
        check_name(key)


CHECKS: Final[dict[str, Callable[[str], None]]] = {
    "target": check_operator,
    "as_operator": check_operator,
    "expr_str": check_expression,
    "in_spec": check_containers,
    "out_spec": check_containers,
    "forward_arg_names": check_name,
    "as_string": check_argument,
    "as_strings": check_argument,
    "torch_version": check_version,
}
