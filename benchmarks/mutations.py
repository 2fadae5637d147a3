"""Places in a source file where one thing can be made wrong, and how: what `python -m benchmarks.mutants` tries."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_COMPARED: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COMPUTED: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}
# What Python mode does not run, or what is no code: texts, types, stand-ins for the compiler.
_COMPILER: Final = ("_compiled_", "_pointer", "_bind")


@dataclass(frozen=True)
class Mutation:
    """One change. begin, end: of the bytes in the file that are replaced, by `after`.

    lines: its own, and that on which its statement begins. inside: whether it stands in a function, so that tests which
    run its line are known. source: the whole line, to be read.
    """

    path: str
    lines: tuple[int, int]
    begin: int
    end: int
    before: str
    after: str
    inside: bool
    source: str

    def apply(self, text: bytes) -> bytes:
        """The file with the change."""
        return text[: self.begin] + self.after.encode() + text[self.end :]

    def __str__(self) -> str:
        return f"{self.path}:{self.lines[0]}: {self.before}  →  {self.after}  in: {self.source}"


def mutations(root: Path, path: str) -> Iterator[Mutation]:
    """Every change of one file, in the order of its lines."""
    text = (root / path).read_bytes()
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node, inside, statement in _code(ast.parse(text), False, 0):
        for changed in _changes(node):
            assert isinstance(node, ast.expr | ast.stmt)
            assert node.end_lineno is not None
            assert node.end_col_offset is not None
            begin, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
            before, after = " ".join(text[begin:end].decode().split()), _bracketed(changed)
            source = text[starts[node.lineno - 1] : starts[node.lineno]].decode().strip()
            yield Mutation(path, (node.lineno, statement), begin, end, before, after, inside, source)


def _bracketed(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if isinstance(node, ast.stmt | ast.Constant) else f"({text})"


def _code(node: ast.AST, inside: bool, statement: int) -> Iterator[tuple[ast.AST, bool, int]]:
    """What is run of a tree, whether it is in a function, and where its statement begins; no annotations, no texts."""
    if isinstance(node, ast.stmt):
        statement = node.lineno
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        if node.name.startswith(_COMPILER) or any("intrinsic" in ast.unparse(each) for each in node.decorator_list):
            return
        children: list[ast.AST] = [*node.args.defaults, *(each for each in node.args.kw_defaults if each), *node.body]
        inside = True
    elif isinstance(node, ast.ClassDef):
        children = list(node.body)
    elif isinstance(node, ast.AnnAssign):
        children = [node.value] if node.value else []
    elif isinstance(node, ast.JoinedStr | ast.Raise | ast.Assert | ast.Import | ast.ImportFrom):
        children = []
    elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "not PYTHON_MODE"):
        children = list(node.orelse)
    else:
        children = list(ast.iter_child_nodes(node))
    yield node, inside, statement
    for child in children:
        yield from _code(child, inside, statement)


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """What can be made of a node by one change."""
    if isinstance(node, ast.Constant):
        yield from _other_constants(node)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield _with(node, ops=[_COMPARED[type(node.ops[0])]()])
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _COMPUTED:
        yield _with(node, op=_COMPUTED[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    if _can_be_left_out(node):
        yield ast.Pass()


def _other_constants(node: ast.Constant) -> Iterator[ast.AST]:
    if isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node.value, int):
        yield ast.Constant(node.value + 1)
    elif isinstance(node.value, float):
        yield ast.Constant(node.value * 2 or 1.0)


def _can_be_left_out(node: ast.AST) -> bool:
    """Statements that nothing else needs to be there: calls, stores to arrays and attributes, jumps, refusals."""
    if isinstance(node, ast.Assign):
        return isinstance(node.targets[0], ast.Subscript | ast.Attribute)
    is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    return is_call or isinstance(node, ast.AugAssign | ast.Break | ast.Continue | ast.Raise | ast.Delete)


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed
