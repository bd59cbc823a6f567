"""A network run operation by operation as its file runs it: weights and inputs rounded on the way.

What a file rounds are operations, whoever calls them: the kernel of a convolution may belong to a
layer, come from a mask or a weight norm, or be an argument of a function; a recurrent layer or an
attention consists of dense products. So the operations of a forward pass are watched. Those that
multiply an activation by weights, numbers that depend on no input, are done with weights rounded as
the quantiser of files rounds them, and in dynamic range with rounded activations:

* a convolution, transposed or not: one scale per output channel; activations clip by clip. In three
  dimensions files keep activations in floating point;
* a dense product: one scale per output; activations row by row, as of every frame of a sequence;
* a product of stacks of matrices: as a dense one, with scales that the stack shares.

Chapter: book/compression/quantization.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from asclib.complexity.products import Place, place_of, storage_of
from asclib.complexity.tracing import COUNTED, Operations, plain_operations

Rounding = Callable[[Tensor, int], Tensor]  # a weight, its outputs first, and `groups_of` it
# layers that torch may run as one operation
FUSED = (nn.RNNBase, nn.MultiheadAttention, nn.TransformerEncoderLayer)
# where the matrix products have their two factors
FACTORS = {"mm": 0, "bmm": 0, "mv": 0, "dot": 0, "addmm": 1, "baddbmm": 1, "addmv": 1}


class Simulated:
    """Has every forward pass of a network, or of a layer of it, run with rounded operations.

    Args: net, changed in place: layers whose weight is a parameter show it rounded; layers, these;
        rounding of weights; activation, that of activations clip by clip, or None; stacks, whether
        the weights of stacked matrices are rounded.
    """

    def __init__(
        self,
        net: nn.Module,
        layers: Sequence[nn.Module],
        rounding: Rounding,
        activation: Callable[[Tensor], Tensor] | None,
        stacks: bool,
    ):
        self.net, self.rounding, self.activation, self.stacks = net, rounding, activation, stacks
        self.exact: dict[str, Tensor] = {}  # rounded parameters as they were, for other uses
        own = {id(p): name for name, p in net.named_parameters()}
        for layer in layers:
            weight = layer._parameters.get("weight")  # else it is computed, and rounded then
            if weight is not None and (name := own[id(weight)]) not in self.exact:
                self.exact[name] = weight.detach().clone()
                weight.data = rounding(weight.data, 0)
        self.depth = 0
        self.running: contextlib.ExitStack | None = None
        self.during: _Pass | None = None
        for module in net.modules():
            if not isinstance(module, torch.jit.ScriptModule):
                module.register_forward_pre_hook(self._enter, prepend=True)
                module.register_forward_hook(self._leave, always_call=True)

    def _enter(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.depth += 1
        if self.depth > 1:
            return
        self.running = contextlib.ExitStack()
        if any(isinstance(m, FUSED) for m in self.net.modules()):
            self.running.enter_context(plain_operations())
        self.during = self.running.enter_context(_Pass(self))

    def _leave(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self.depth -= 1
        if self.depth > 0 or self.running is None or self.during is None:
            return
        rounded = self.during.rounded
        self.running.close()
        self.running = self.during = None
        if module is self.net and output is not None and not rounded:
            raise ValueError(
                f"{type(module).__name__} has no convolution or dense layer to quantise: it "
                "multiplies no activation by weights"
            )


class _Pass(Operations):
    """One forward pass."""

    def __init__(self, owner: Simulated):
        super().__init__()
        self.owner, self.rounded = owner, 0
        self.constant = {storage_of(t) for t in (*owner.net.parameters(), *owner.net.buffers())}
        self.alive: list[Tensor] = []  # so that no storage comes back
        self.exact: dict[int, tuple[Place, Tensor]] = {}
        for name, before in owner.exact.items():
            weight = owner.net.get_parameter(name)
            # as the parameter is by now, on its device and in its layout
            self.exact[storage_of(weight)] = (
                place_of(weight),
                torch.empty_like(weight).copy_(before),
            )
        self.done: dict[tuple[Place, Any], Tensor] = {}

    def operation(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Does one, with rounded weights where it multiplies activations by them."""
        inputs = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        weights = [t for t in inputs if self.is_constant(t)]
        name = func._schema.name.removeprefix("aten::")
        if func.is_view or not weights:
            pass
        elif len(weights) < len(inputs) and name in COUNTED:
            args = self._rounded(name, args)
        else:
            args, kwargs = tree_map(self._as_it_was, (args, kwargs))
        result = func(*args, **kwargs)
        random = torch.Tag.nondeterministic_seeded in func.tags
        constant = len(weights) == len(inputs) and not random
        for made in tree_leaves(result):
            if isinstance(made, Tensor) and constant and not func.is_view:
                self.constant.add(storage_of(made))
                self.alive.append(made)
            elif isinstance(made, Tensor) and not func.is_view:
                self.constant.discard(storage_of(made))
        return result

    def is_constant(self, value: Any) -> bool:
        return isinstance(value, Tensor) and storage_of(value) in self.constant

    def _as_it_was(self, value: Any) -> Any:
        """A view of a rounded parameter as a view of the exact one."""
        if not isinstance(value, Tensor) or storage_of(value) not in self.exact:
            return value
        _, exact = self.exact[storage_of(value)]
        return exact.as_strided(value.shape, value.stride(), value.storage_offset())

    def _rounded(self, name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments of a product, rounded as a file does."""
        changed = list(args)
        if name in ("convolution", "_convolution"):
            x, weight, groups = args[0], args[1], args[8] if args[6] else 0
            if not self.is_constant(weight):
                return tuple(map(self._as_it_was, args))
            changed[1] = self._weight(weight, groups)
            if self.owner.activation and x.dim() < 5:
                changed[0] = self.owner.activation(x)
        elif name in FACTORS:
            first = FACTORS[name]
            left, right = args[first : first + 2]
            turned = right.dim() > 1
            # as rows that are summed along: (…, n, k) of the left factor, (…, m, k) of the right
            rows = [left, right.mT if turned else right]
            if not any(map(self.is_constant, rows)):
                return tuple(map(self._as_it_was, args))
            rows = [self._weight(t) if self.is_constant(t) else self._activation(t) for t in rows]
            changed[first : first + 2] = rows[0], rows[1].mT if turned else rows[1]
        else:
            raise ValueError(
                f"the simulation does not know how a file rounds the weights of {name}; "
                "export the network and ask LiteRT"
            )
        self.rounded += 1
        return tuple(changed)

    def _weight(self, weight: Tensor, groups: int | None = None) -> Tensor:
        """A constant rounded: a kernel with its `groups_of`, or rows of a matrix or a stack."""
        own, _ = self.exact.get(storage_of(weight), (None, None))
        if own == place_of(weight) and not groups:
            return weight  # a layer's, rounded already
        key = place_of(weight), groups
        if key not in self.done:
            self.alive.append(weight)
            exact = self._as_it_was(weight)
            self.done[key] = self._rows(exact) if groups is None else self._round(exact, groups)
        return self.done[key]

    def _round(self, exact: Tensor, groups: int = 0) -> Tensor:
        return self.owner.rounding(exact, groups)

    def _rows(self, exact: Tensor) -> Tensor:
        """Rows (…, m, k), each row of a stack in the scale of the same row of all its matrices."""
        if exact.dim() < 3:
            return self._round(exact.reshape(-1, exact.shape[-1])).view(exact.shape)
        number, _, width = exact.shape
        if number > 1 and exact.stride(0) and not self.owner.stacks:
            return exact
        together = self._round(exact.transpose(0, 1).flatten(1))
        return together.unflatten(1, (number, width)).transpose(0, 1)

    def _activation(self, rows: Tensor) -> Tensor:
        if self.owner.activation is None:
            return rows
        return self.owner.activation(rows.reshape(-1, rows.shape[-1])).view(rows.shape)
