"""The text of asclib's code as far as it computes, for the table of versions."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any


def source(thing: FunctionType | type) -> tuple[str, dict[str, Any]]:
    """The text of a function or a class as far as it computes, and the globals it uses by name.

    Comments, layout, docstrings, annotations and the names of local variables are not in the text,
    and no version of Python writes another one.
    """
    space = vars(sys.modules[thing.__module__])
    tree: ast.AST
    if isinstance(thing, FunctionType) and thing.__name__ == "<lambda>":
        tree = _lambda(thing.__code__)
    else:
        tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    tree = _Bare().visit(tree)
    return _written(tree), dict(_globals(tree, space))


def _lambda(code: CodeType) -> ast.AST:
    """A lambda's own syntax tree, out of the file and the line it stands in.

    Raises: OSError when the text is not to be had, or does not say which of several it is.
    """
    whole = ast.parse("".join(inspect.findsource(code)[0]))
    found = [
        node
        for node in ast.walk(whole)
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno
    ]
    if len(found) > 1:  # side by side: the code knows where its body stands
        places = set(code.co_positions())
        found = [
            node
            for node in found
            if (
                node.body.lineno,
                node.body.end_lineno,
                node.body.col_offset,
                node.body.end_col_offset,
            )
            in places
        ]
    if len(found) != 1:
        raise OSError(f"{code.co_filename}, line {code.co_firstlineno}: no one lambda to be read")
    return found[0]


def _written(node: Any) -> str:
    """A syntax tree as text, the same on every Python: `ast.dump` and `ast.unparse` are not.

    A field that is absent, None or empty is left out, since newer versions have more of them, as
    are the empty parts that some versions leave in an f-string.
    """
    if isinstance(node, ast.JoinedStr):
        parts = [part for part in node.values if getattr(part, "value", None) != ""]
        return f"JoinedStr({_written(parts)})"
    if isinstance(node, ast.AST):
        fields = [
            f"{name}={_written(value)}"
            for name, value in ast.iter_fields(node)
            if value is not None and value != []
        ]
        return f"{type(node).__name__}({', '.join(fields)})"
    if isinstance(node, list):
        return f"[{', '.join(_written(item) for item in node)}]"
    return repr(node)


_Function = ast.FunctionDef | ast.AsyncFunctionDef


class _Bare(ast.NodeTransformer):
    """Takes docstrings and annotations away, and numbers local variables.

    A function inside another one sees its variables, so they are numbered together.
    """

    def __init__(self) -> None:
        self._within = 0  # functions

    def visit_FunctionDef(self, node: _Function) -> _Function:
        self._docstring(node)
        node.returns = None
        arguments = {
            argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)
        }
        outer = {
            name
            for inner in ast.walk(node)
            if isinstance(inner, (ast.Global, ast.Nonlocal))
            for name in inner.names
        }
        numbers: dict[str, str] = {}
        for inner in () if self._within else ast.walk(node):
            if (
                isinstance(inner, ast.Name)
                and isinstance(inner.ctx, ast.Store)
                and inner.id not in arguments | outer
            ):
                numbers.setdefault(inner.id, f"local{len(numbers)}")
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name):
                inner.id = numbers.get(inner.id, inner.id)
        self._within += 1
        self.generic_visit(node)
        self._within -= 1
        return node

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - the name that ast looks for

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self._docstring(node)
        self.generic_visit(node)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        node.annotation = ast.Constant("")
        self.generic_visit(node)
        return node

    def _docstring(self, node: _Function | ast.ClassDef) -> None:
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]


def _globals(tree: ast.AST, space: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in space:
            if not isinstance(space[node.id], ModuleType):
                yield node.id, space[node.id]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = space.get(node.value.id)
            if isinstance(module, ModuleType) and hasattr(module, node.attr):
                value = getattr(module, node.attr)
                if not isinstance(value, ModuleType):
                    yield f"{node.value.id}.{node.attr}", value
