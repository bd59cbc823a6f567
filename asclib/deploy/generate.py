"""From a checked model to C: a header, and layers with their sizes as literals.

Chapter: book/compression/chip.
"""

from __future__ import annotations

from asclib.deploy.layers import Layer
from asclib.deploy.plan import Plan, plan
from asclib.deploy.tensors import Model


def sources(model: Model) -> dict[str, str]:
    """{"model.h": ..., "model.c": ...}, to be compiled with the headers of `asclib/deploy/c`.

    Raises: ValueError when a scale has no fixed-point form.
    """
    placed = plan(model)
    return {"model.h": _header(model, placed), "model.c": _code(model, placed)}


def _header(model: Model, placed: Plan) -> str:
    lines = ["#ifndef MODEL_H", "#define MODEL_H", "", "#include <stdint.h>", ""]
    for name, tensor in (("INPUT", model.input), ("OUTPUT", model.output)):
        lines += [
            f"/* {tensor.name}: int8 of shape {tensor.shape}; value = scale * (number - zero) */",
            f"#define MODEL_{name}_SIZE {tensor.size}",
            f"#define MODEL_{name}_SCALE {float(tensor.scale[0]):.9e}f",
            f"#define MODEL_{name}_ZERO_POINT ({int(tensor.zero[0])})",
        ]
    lines += [
        f"#define MODEL_ARENA_SIZE {placed.arena} /* bytes */",
        f"#define MODEL_LAYERS {len(model.operators)}",
        "",
        "/* One inference. Not to be called from two places at once: the arena is one. */",
        "void model_run(const int8_t *input, int8_t *output);",
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def _code(model: Model, placed: Plan) -> str:
    constants, layers, calls = [], [], []
    for number, operator in enumerate(model.operators):
        layer = Layer(number, operator, placed)
        try:
            statement = layer.statement()
        except ValueError as error:
            raise ValueError(f"{operator.name}: {error}") from error
        constants += layer.constants
        comment = f"/* {operator.name.replace('*/', '')} */"
        if statement:
            declared = ", ".join(f"{kind}{name}" for name, (kind, _) in layer.places.items())
            passed = ", ".join(place for _, place in layer.places.values())
            head = f"OUTLINE void layer_{number}({declared})"
            layers.append(f"{comment}\n{head}\n{{\n    {statement}\n}}\n")
            calls.append(f"    layer_{number}({passed});")
        else:
            calls.append(f"    {comment}")
        calls.append(f"    MODEL_LAYER({number});")
    size = max(placed.arena, 8)
    return "\n".join(
        [
            '#include "model.h"',
            '#include "convolution.h"',
            '#include "elementwise.h"',
            "",
            "/* Called after each layer by who counts instructions. */",
            "#ifdef MODEL_COUNT",
            "void model_layer(int number);",
            "#define MODEL_LAYER(number) model_layer(number)",
            "#else",
            "#define MODEL_LAYER(number) ((void)0)",
            "#endif",
            "",
            "static union {",
            f"    int64_t aligned;\n    int16_t halves[{size // 2}];\n    int8_t bytes[{size}];",
            "} arena;",
            "",
            *constants,
            "",
            *layers,
            "void model_run(const int8_t *input, int8_t *output)",
            "{",
            *calls,
            "}",
            "",
        ]
    )
