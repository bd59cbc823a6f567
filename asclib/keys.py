"""Keys: what an artefact of the store depends on, as a short text that is equal when all of it is.

A key holds values: settings, arrays by their content, the versions of the libraries that compute,
the processor's instructions. Code of asclib is named, not read: whoever changes what it computes
raises the version that its artefact states, and a test compares the code with a table of hashes so
that nobody forgets. Code of a reader's own has no such test, so its text is part of the key.

Chapter: book/practice/training.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import inspect
import json
import os
import sys
import sysconfig
import textwrap
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

# The libraries whose arithmetic ends up in what is heard and learnt, and in a .tflite file.
LIBRARIES = ("librosa", "numpy", "scipy", "soundfile", "soxr", "torch")
CONVERTERS = (*LIBRARIES, "ai-edge-litert", "ai-edge-quantizer", "litert-torch")
# Variables by which a user makes these libraries forget instructions that the processor has.
INSTRUCTIONS = (
    "ATEN_CPU_CAPABILITY",
    "MKL_CBWR",
    "NPY_DISABLE_CPU_FEATURES",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
)
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})


def digest(value: Any) -> str:
    """16 hexadecimal digits that follow from all of a value's content.

    Raises: TypeError for a value whose content cannot be read, e.g. an open file.
    """
    text = json.dumps(plain(value), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def libraries(names: tuple[str, ...] = LIBRARIES) -> dict[str, str]:
    """The version of each of these libraries that is installed."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name).partition("+")[0]  # "+cpu" is the device's matter
        except metadata.PackageNotFoundError:
            continue
    return found


def processor() -> dict[str, str]:
    """What decides in which order sums are taken: the device, its precision, its instructions."""
    import torch  # takes a second, and who only reads a corpus does not need it

    if torch.cuda.is_available():
        return {
            "device": torch.cuda.get_device_name(),
            "precision": torch.get_float32_matmul_precision(),
        }
    switched = {name: os.environ[name] for name in INSTRUCTIONS if os.environ.get(name)}
    return {"device": "cpu", "instructions": torch.backends.cpu.get_cpu_capability()} | switched


def plain(value: Any) -> Any:
    """A value as json can write it, everything in it by content and never by address.

    A value that has its own key states it as `store_key`.
    """
    return _plain(value, ())


def _plain(value: Any, above: tuple[int, ...]) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if id(value) in above:  # a function that calls itself, an object that knows its owner
        return "above"
    above = (*above, id(value))
    torch = sys.modules.get("torch")  # without it, nothing is a tensor
    if torch and isinstance(value, torch.Tensor):
        return _array(value.detach().cpu().numpy())
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item, above) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item, above) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(json.dumps(_plain(item, above), sort_keys=True) for item in value)
    if isinstance(value, functools.partial):
        return {
            "of": _plain(value.func, above),
            "arguments": _plain(value.args, above),
            "keywords": _plain(value.keywords, above),
        }
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, MethodType):
        return [_plain(value.__func__, above), _plain(value.__self__, above)]
    if isinstance(value, (FunctionType, type)):
        return _code(value, above)
    if isinstance(getattr(value, "__wrapped__", None), FunctionType):  # functools.cache
        return _plain(value.__wrapped__, above)
    if hasattr(value, "store_key"):
        return value.store_key
    if torch and isinstance(value, torch.nn.Module):
        return {
            "type": _code(type(value), above),
            "form": repr(value) + str(getattr(value, "code", "")),
            "version": getattr(value, "version", None),
            "state": _plain(value.state_dict(), above),
        }
    if dataclasses.is_dataclass(value):
        content = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
        return {"type": _code(type(value), above), **_plain(content, above)}
    if callable(value) and not hasattr(value, "__dict__"):  # a function of C, torch.relu
        return getattr(value, "__qualname__", type(value).__qualname__)
    if hasattr(value, "__dict__"):
        return {"type": _code(type(value), above), **_plain(vars(value), above)}
    raise TypeError(f"a {type(value).__name__} cannot be part of a key: give its content instead")


def _array(value: np.ndarray) -> list[Any]:
    if value.dtype == object:
        return ["array", list(value.shape), [str(item) for item in value.ravel()]]
    content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    return ["array", str(value.dtype), list(value.shape), content]


# ---- code ------------------------------------------------------------------------------------


def is_own(thing: FunctionType | type) -> bool:
    """Whether a function or a class is the reader's: not asclib's, nor an installed library's."""
    home = thing.__module__ or ""
    if home.partition(".")[0] in {"asclib", *sys.builtin_module_names}:
        return False
    file = getattr(sys.modules.get(home), "__file__", None)
    return home == "__main__" or (file is not None and not file.startswith(_INSTALLED))


def _code(thing: FunctionType | type, above: tuple[int, ...]) -> Any:
    home = thing.__module__.partition(".")[0]  # asclib's files may be moved, and nothing else is
    name = f"{home if home == 'asclib' else thing.__module__}.{thing.__qualname__}"
    bound = _bound(thing, above) if isinstance(thing, FunctionType) else {}
    if not is_own(thing):
        return [name, bound] if bound else name
    text, used = source(thing)
    return {
        "name": thing.__qualname__,
        "text": text,
        **bound,
        "uses": {key: _plain(value, above) for key, value in sorted(used.items())},
    }


def _bound(function: FunctionType, above: tuple[int, ...]) -> dict[str, Any]:
    """What a function carries with it: the variables it closes over."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: _plain(cell.cell_contents, above) for name, cell in cells}


def source(thing: FunctionType | type) -> tuple[str, dict[str, Any]]:
    """The text of a function or a class as far as it computes, and the globals it uses by name.

    Comments, layout, docstrings, annotations and the names of local variables are not in the text,
    and no version of Python writes another one. Only for what has no text, typed at a prompt, its
    bytecode stands in, which each version of Python compiles anew: the key is then another one.
    """
    space = vars(sys.modules[thing.__module__])
    try:
        if isinstance(thing, FunctionType) and thing.__name__ == "<lambda>":
            tree = _lambda(thing.__code__)
        else:
            tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, TypeError, SyntaxError):  # typed at a prompt
        return _bytecode(thing, space)
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
    """Takes docstrings and annotations away, and numbers the local variables of each function."""

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
        for inner in ast.walk(node):
            if (
                isinstance(inner, ast.Name)
                and isinstance(inner.ctx, ast.Store)
                and inner.id not in arguments | outer
            ):
                numbers.setdefault(inner.id, f"local{len(numbers)}")
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name):
                inner.id = numbers.get(inner.id, inner.id)
        self.generic_visit(node)
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


def _bytecode(thing: FunctionType | type, space: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    functions = (
        [thing]
        if isinstance(thing, FunctionType)
        else [value for value in vars(thing).values() if isinstance(value, FunctionType)]
    )
    texts: list[str] = []
    names: set[str] = set()
    queue: list[CodeType] = [function.__code__ for function in functions]
    while queue:
        code = queue.pop(0)
        inner = [item for item in code.co_consts if isinstance(item, CodeType)]
        values = [item for item in code.co_consts if not isinstance(item, CodeType)]
        texts.append(f"{code.co_code.hex()} {values!r} {code.co_names}")
        names.update(code.co_names)
        queue += inner
    used = {name: space[name] for name in names & set(space)}
    return "\n".join(texts), {k: v for k, v in used.items() if not isinstance(v, ModuleType)}
