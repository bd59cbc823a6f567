"""Keys: what an artefact of the store depends on, as a short text that is equal when all of it is.

A key holds values: settings, arrays by their content, the versions of the libraries that compute,
the processor's instructions. Code of asclib is named, not read: whoever changes what it computes
raises the version that its artefact states, and a test compares the code with a table of hashes so
that nobody forgets. Code of a reader's own has no such test, so what Python compiles it to is part
of the key, with all it uses; comments, layout, docstrings, annotations and the names of local
variables are not. Another minor version of Python compiles it anew: to another key.

Chapter: book/practice/training.
"""

from __future__ import annotations

import dataclasses
import dis
import functools
import hashlib
import json
import os
import re
import sys
import sysconfig
from collections import OrderedDict
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)
from typing import Any

import numpy as np

# The libraries whose arithmetic ends up in what is heard and learnt, and in a .tflite file.
LIBRARIES = ("audiomentations", "librosa", "numpy", "scipy", "soundfile", "soxr", "torch")
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


def architecture(net: Any) -> str:
    """16 hexadecimal digits that follow from a network's layers and their code, not its weights."""
    layers = [_layer(name, layer, (), learnt=False) for name, layer in net.named_modules()]
    return digest([str(getattr(net, "code", "")), layers])


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
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if id(value) in above:  # a function that calls itself, an object that knows its owner
        return "above"
    above = (*above, id(value))
    torch, pandas = sys.modules.get("torch"), sys.modules.get("pandas")
    if torch and isinstance(value, torch.Tensor):
        precise = value.float() if value.dtype == torch.bfloat16 else value
        return [str(value.dtype), _array(precise.detach().cpu().numpy(), above)]
    if isinstance(value, np.ndarray):
        return _array(value, above)
    if pandas and isinstance(value, (pandas.DataFrame, pandas.Series)):
        return [type(value).__name__, hashlib.sha256(value.to_csv().encode()).hexdigest()]
    if isinstance(value, Path):
        return str(value)
    if type(value) in (dict, OrderedDict, MappingProxyType):
        items = [[_plain(key, above), _plain(item, above)] for key, item in value.items()]
        if all(isinstance(key, str) for key, _ in items):
            return dict(items)
        return sorted(items, key=json.dumps)
    if type(value) in (tuple, list):
        return [_plain(item, above) for item in value]
    if type(value) in (set, frozenset):
        return sorted(json.dumps(_plain(item, above), sort_keys=True) for item in value)
    if type(value) in (bytes, complex, range, slice, np.dtype, re.Pattern):
        return repr(value)
    if torch and type(value) in (torch.dtype, torch.device, torch.Size):
        return repr(value)
    if isinstance(value, functools.partial):
        content = [_plain(part, above) for part in (value.func, value.args, value.keywords)]
        return {"of": content[0], "arguments": content[1], "keywords": content[2]}
    if isinstance(value, ModuleType):
        return _released(value.__name__)
    if isinstance(value, MethodType):
        return [_plain(value.__func__, above), _plain(value.__self__, above)]
    if isinstance(value, (staticmethod, classmethod)):
        return _plain(value.__func__, above)
    if isinstance(value, property):
        return [_plain(part, above) for part in (value.fget, value.fset)]
    if isinstance(value, functools.cached_property):
        return _plain(value.func, above)
    if isinstance(value, FunctionType):
        return _function(value, above)
    if isinstance(value, type):
        return _class(value, above)
    if isinstance(getattr(value, "__wrapped__", None), FunctionType):  # functools.cache
        return _plain(value.__wrapped__, above)
    if hasattr(value, "store_key"):
        return value.store_key
    return {"type": _class(type(value), above), "content": _content(value, above)}


def _content(value: Any, above: tuple[int, ...]) -> Any:
    """What an object holds. Raises: TypeError where that cannot be read."""
    torch = sys.modules.get("torch")
    if torch and isinstance(value, torch.nn.Module):
        layers = [_layer(name, layer, above) for name, layer in value.named_modules()]
        return [str(getattr(value, "code", "")), layers]  # the code is a traced network's
    if dataclasses.is_dataclass(value):
        return _plain({f.name: getattr(value, f.name) for f in dataclasses.fields(value)}, above)
    held = dict(getattr(value, "__dict__", {}))
    for base in type(value).__mro__:
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                held[name] = getattr(value, name)
    kinds: tuple[Any, ...] = (bool, int, float, str, tuple, list, dict, set, frozenset)
    for kind in kinds:  # of which it is a special one
        if isinstance(value, kind):
            return [_plain(kind(value), above), _plain(held, above)]
    home = type(value).__module__.partition(".")[0]
    if held or home == "asclib" or is_own(type(value)):
        return _plain(held, above)
    if isinstance(value, (BuiltinFunctionType, MethodWrapperType)):  # of C; its owner counts
        owner = value.__self__
        bound = None if owner is None or isinstance(owner, ModuleType) else _plain(owner, above)
        return [value.__module__, value.__qualname__, bound]
    if callable(value):  # operator.itemgetter(1), numpy.add
        parts = value.__reduce_ex__(2)
        return parts if isinstance(parts, str) else [_plain(part, above) for part in parts[:2]]
    raise TypeError(f"a {type(value).__name__} cannot be part of a key: give its content instead")


def _layer(name: str, layer: Any, above: tuple[int, ...], learnt: bool = True) -> Any:
    """One module of a network: its class, its attributes, and where asked what it has learnt."""
    import torch

    version = _plain(getattr(layer, "version", None), above)  # where the class is asclib's
    internal = vars(torch.nn.Module())
    own = {key: value for key, value in vars(layer).items() if key not in internal}
    kind: Any = _class(type(layer), above)
    if isinstance(layer, torch.fx.GraphModule):  # its code says it all
        own, kind = {}, "GraphModule"
    weights = {
        **dict(layer.named_parameters(recurse=False)),
        **dict(layer.named_buffers(recurse=False)),
    }
    held = _plain(weights if learnt else {k: v.shape for k, v in weights.items()}, above)
    return [name, kind, version, _plain(own, above), held]


def _array(value: np.ndarray, above: tuple[int, ...]) -> list[Any]:
    if value.dtype == object:
        return ["array", list(value.shape), [_plain(item, above) for item in value.ravel()]]
    content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    return ["array", str(value.dtype), list(value.shape), content]


# ---- code ------------------------------------------------------------------------------------

# What Python, its dataclasses and pickle write into a class, and what only documents it.
_WRITTEN = frozenset(
    """
    __abstractmethods__ __annotate__ __annotate_func__ __annotations__ __annotations_cache__
    __dataclass_fields__ __dataclass_params__ __dict__ __doc__ __firstlineno__ __match_args__
    __module__ __orig_bases__ __parameters__ __qualname__ __slotnames__ __slots__
    __static_attributes__ __weakref__ _abc_impl
    """.split()
)
# The methods that dataclasses and named tuples write, where the class does not have its own.
_GENERATED = frozenset(
    """
    __delattr__ __eq__ __ge__ __getnewargs__ __gt__ __hash__ __init__ __le__ __lt__ __new__
    __replace__ __repr__ __setattr__
    """.split()
)


def is_own(thing: FunctionType | type) -> bool:
    """Whether a function or a class is the reader's: not asclib's, nor an installed library's."""
    home = thing.__module__ or ""
    if home.partition(".")[0] in {"asclib", *sys.builtin_module_names}:
        return False
    file = getattr(sys.modules.get(home), "__file__", None)
    return home == "__main__" or (file is not None and not file.startswith(_INSTALLED))


def _name(thing: FunctionType | type) -> str:
    home = (thing.__module__ or "").partition(".")[0]
    if home == "asclib":  # its files may be moved, and nothing else is
        return f"asclib.{thing.__qualname__}"
    return f"{_released(thing.__module__ or '')}.{thing.__qualname__}"


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _released(module: str) -> str:
    """The name of a module, with the version of the package that an installation has it from."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top not in _distributions():
        return module
    package = _distributions()[top][0]
    return f"{module} of {package} {metadata.version(package).partition('+')[0]}"


def _function(function: FunctionType, above: tuple[int, ...]) -> Any:
    """A function by what it computes, with what it is bound to and what it uses."""
    bound = _bound(function, above)
    if not is_own(function):
        return [_name(function), bound] if bound else _name(function)
    code, used = _compiled(function.__code__, function.__globals__)
    more = {key: value for key, value in vars(function).items() if key != "__wrapped__"}
    return {
        "name": function.__qualname__,
        "code": [_plain(part, above) for part in code],
        "uses": {key: _plain(value, above) for key, value in sorted(used.items())},
        **({"bound": bound} if bound else {}),
        **({"attributes": _plain(more, above)} if more else {}),
    }


def _bound(function: FunctionType, above: tuple[int, ...]) -> dict[str, Any]:
    """What a function carries with it: defaults, and the variables it closes over."""
    bound: dict[str, Any] = {}
    if is_own(function):
        if function.__defaults__:
            bound["defaults"] = _plain(function.__defaults__, above)
        if function.__kwdefaults__:
            bound["keyword defaults"] = _plain(function.__kwdefaults__, above)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            bound[name] = _plain(cell.cell_contents, above)
        except ValueError:  # not filled yet
            bound[name] = "empty"
    return bound


def _class(kind: type, above: tuple[int, ...]) -> Any:
    """A class by its name, or the reader's own by its bases and all that is in it."""
    if not is_own(kind):
        return _name(kind)
    if id(kind) in above[:-1]:
        return "above"
    above = (*above, id(kind))
    held = {
        key: _plain(value, above)
        for key, value in sorted(vars(kind).items())
        if key not in _WRITTEN and not _is_written(kind, key, value)
    }
    bases = [_class(base, above) for base in kind.__bases__ if base is not object]
    return {"name": kind.__qualname__, "bases": bases, "holds": held}


def _is_written(kind: type, name: str, value: Any) -> bool:
    """Whether Python made it, for slots, a dataclass or a named tuple: it follows from the rest."""
    if type(value).__name__ in ("member_descriptor", "getset_descriptor", "_tuplegetter"):
        return True
    code = getattr(value, "__code__", None)
    made = dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")
    return made and name in _GENERATED and getattr(code, "co_filename", "") == "<string>"


def _compiled(code: CodeType, space: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """What Python compiled: instructions with their constants and the names they look up.

    Returns: these, of the code and of all code in it; and by name the globals that it uses.
    """
    parts: list[Any] = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount]
    used: dict[str, Any] = {}
    reached: Any = None  # the module that the instruction before has put on the stack
    path = ""
    for step in dis.get_instructions(code):
        constant = code.co_consts[step.arg or 0] if step.opcode in dis.hasconst else None
        if isinstance(constant, CodeType):
            inner, more = _compiled(constant, space)
            parts.append(inner)
            used |= more
        elif step.opcode in dis.hasconst:
            parts.append([step.opname, constant])
        elif step.opcode in dis.hasname:
            parts.append([step.opname, step.argval])
        elif step.opname not in ("RESUME", "CACHE"):
            parts.append([step.opname, step.arg])
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME") and step.argval in space:
            reached, path = space[step.argval], step.argval
        elif step.opname == "IMPORT_NAME":
            reached, path = sys.modules.get(step.argval), step.argval
        elif (
            isinstance(reached, ModuleType)
            and step.opname in ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM")
            and hasattr(reached, step.argval)
        ):
            reached, path = getattr(reached, step.argval), f"{path}.{step.argval}"
        else:
            reached = None
            continue
        if not isinstance(reached, ModuleType):
            used[path] = reached
    return parts, used
