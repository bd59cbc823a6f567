"""One forward pass of any network, seen operation by operation.

`asclib.complexity` adds up what is recorded here: which layer ran, its multiply-accumulates
(MACs), and which activations had to be held while it did.

Chapter: book/compression/complexity.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from asclib.complexity.products import Products, storage_of

# Free by the challenge's convention, which counts convolutions and dense layers only: pooling,
# normalisation, reductions, interpolation, and making and moving data. Views and element-wise
# operations carry torch's own tags and need no entry.
FREE = frozenset(
    """
    avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d
    adaptive_max_pool3d max_pool2d_with_indices max_pool3d_with_indices
    native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training
    native_layer_norm native_group_norm _fused_rms_norm _softmax _log_softmax _safe_softmax glu
    mean sum prod amax amin max min argmax argmin var std var_mean std_mean norm logsumexp all any
    linalg_vector_norm topk sort cumsum equal
    upsample_nearest1d upsample_nearest2d upsample_linear1d upsample_bilinear2d upsample_bicubic2d
    arange linspace eye zeros ones full empty empty_strided scalar_tensor zeros_like ones_like
    full_like empty_like new_zeros new_ones new_full new_empty new_empty_strided lift_fresh
    rand randn rand_like randn_like bernoulli native_dropout
    cat stack unsafe_split transpose_ squeeze_ unsqueeze_ clone copy copy_ _to_copy _unsafe_view
    _reshape_alias fill fill_ zero_ roll flip repeat gather scatter index index_select index_put
    embedding tril triu im2col pixel_shuffle channel_shuffle native_channel_shuffle
    constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d
    _weight_norm_interface _local_scalar_dense as_strided_ complex polar
    """.split()
)
ACTIVATIONS = frozenset("hardswish mish _prelu_kernel rrelu_with_noise log_sigmoid_forward".split())
COUNTED = frozenset(
    """convolution _convolution conv_tbc mm bmm mv dot vdot linear addmm baddbmm addmv addbmm
    _trilinear _cdist_forward""".split()
)


def macs_of(name: str, inputs: list[Tensor], arguments: tuple, output: Tensor) -> int:
    """MACs of one operation; 0 when it is none that the challenge counts.

    `inputs` are the tensors among the arguments. Every product of two numbers that are then
    summed counts once, at padded positions too; adding the bias does not count.
    """
    if name in ("convolution", "_convolution"):  # as modules that were traced call it
        x, weight = inputs[:2]
        transposed = arguments[6]
        # an output sums a kernel over the channels of its group; a transposed one spreads an input
        return (x if transposed else output).numel() * weight[0].numel()
    parts = 4 if output.is_complex() else 1  # of a product of two complex numbers
    if name in ("mm", "bmm", "mv", "dot", "vdot", "linear"):
        # (n, k) x (k, m): each output sums k products
        return parts * output.numel() * inputs[0].shape[-1]
    if name in ("addmm", "baddbmm", "addmv"):  # the first tensor is the bias
        return parts * output.numel() * inputs[1].shape[-1]
    if name == "addbmm":  # the products of a batch are added up
        return parts * output.numel() * inputs[1].shape[0] * inputs[1].shape[2]
    if name == "conv_tbc":  # kernels (taps, in, out)
        return output.numel() * inputs[1][..., 0].numel()
    if name == "_trilinear":  # weights (out, first, second), one product for each and each row
        return output.numel() * inputs[1][0].numel()
    if name == "_cdist_forward":  # without squares, no products
        return output.numel() * inputs[0].shape[-1] if arguments[2] == 2 else 0
    return 0


@dataclass(frozen=True)
class Operation:
    """One tensor operation: the layer call it belongs to, its cost, the storages it touched."""

    call: int
    macs: int
    shape: tuple[int, ...]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    in_place: bool  # could overwrite an input that nobody needs afterwards


class Operations(TorchDispatchMode):
    """Sees every operation inside the block, but for those that consist of others: these in turn.

    Tensors made in inference mode bring such.
    """

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if _consists_of_others(func):
            with self:
                return func.decompose(*args, **(kwargs or {}))
        return self.operation(func, args, kwargs or {})

    def operation(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Does one, and returns what it gives."""
        raise NotImplementedError


class Trace(Operations):
    """Records the operations of one forward pass, layer call by layer call."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net
        self.names = {module: name for name, module in net.named_modules()}
        self.constants = {m: _constants(m) for m in self.names}  # in the code of frozen modules
        state = (*net.parameters(), *net.buffers(), *chain(*self.constants.values()))
        self.state = {storage_of(t) for t in state}
        self.products = Products(self.state)
        self.state_read: set[int] = set()
        self.stack: list[tuple[nn.Module, int | None]] = []  # the modules running, outermost first
        self.calls: list[tuple[nn.Module | None, str, str]] = []  # module, name, kind
        self.operations: list[Operation] = []
        self.activations: dict[int, Tensor] = {}  # held on to, so that no storage comes back
        self.unknown: dict[str, None] = {}  # an ordered set

    def run(self, x: Tensor) -> list[int]:
        """Run the network; returns the storages of its outputs."""
        self.activations[storage_of(x)] = x
        if isinstance(self.net, torch.jit.ScriptModule):
            self.stack.append((self.net, None))
        with contextlib.ExitStack() as stack:
            for module in self.names:
                if isinstance(module, torch.jit.ScriptModule):
                    continue  # takes no hooks: its operations count towards what surrounds it
                # around all other hooks, which then count towards their own layer
                before = module.register_forward_pre_hook(self._enter, prepend=True)
                after = module.register_forward_hook(self._leave)
                stack.callback(before.remove)
                stack.callback(after.remove)
            stack.enter_context(plain_operations())
            # in inference mode, operations would come whole: a conv2d for its convolution
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
            stack.enter_context(self)
            output = self.net(x)
        return [storage_of(t) for t in tree_leaves(output) if isinstance(t, Tensor)]

    def _enter(self, module: nn.Module, inputs: tuple) -> None:
        self.stack.append((module, None))

    def _leave(self, module: nn.Module, inputs: tuple, output: object) -> None:
        self.stack.pop()

    def operation(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Does one, and notes what it costs."""
        result = func(*args, **kwargs)
        inputs = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        outputs = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        self._note_reads(inputs)
        space, name = func._schema.name.split("::")
        kind = name.removesuffix("_")  # which says that it works in place
        known = space in ("aten", "prims", "prim")
        elementwise = known and _is_elementwise(func, kind)
        free = func.is_view or elementwise or (known and not FREE.isdisjoint((name, kind)))
        free |= not outputs and not func._schema.is_mutable  # asks for a size or a device
        if not free and not (known and kind in COUNTED):
            self.unknown[f"{self._here()}: operation {space}::{name}"] = None
        if outputs and not func.is_view:
            summed = self.products.follow(kind, func, args, kwargs, outputs, elementwise)
            macs = macs_of(kind, inputs, args, outputs[0]) + summed
            norm = "batch_norm" in name
            self._record(name, macs, inputs, outputs, in_place=elementwise or norm)
        return result

    def _note_reads(self, inputs: list[Tensor]) -> None:
        for tensor in inputs:
            storage = storage_of(tensor)
            if storage in self.state:
                self.state_read.add(storage)
            elif storage not in self.activations and tensor.numel() > 1:
                what = f"a {tuple(tensor.shape)} tensor that is neither parameter nor buffer"
                self.unknown[f"{self._here()}: {what}"] = None

    def _record(
        self,
        name: str,
        macs: int,
        inputs: list[Tensor],
        outputs: list[Tensor],
        in_place: bool,
    ) -> None:
        reads = {storage_of(t) for t in inputs} - self.state
        self.activations |= {storage_of(t): t for t in outputs if storage_of(t) not in self.state}
        writes = dict.fromkeys(storage_of(t) for t in outputs if storage_of(t) in self.activations)
        shape = tuple(outputs[0].shape[1:])
        call = self._call(name)
        self.operations.append(Operation(call, macs, shape, tuple(reads), tuple(writes), in_place))

    def _call(self, operation: str) -> int:
        """The row this operation belongs to: its layer's, or its own inside a container."""
        module, call = self.stack[-1] if self.stack else (self.net, None)
        if call is not None:
            return call
        if any(True for _ in module.children()):
            kind = operation.removeprefix("native_").removesuffix("_with_indices").strip("_")
            self.calls.append((None, f"{self.names[module]}.{kind}".lstrip("."), kind))
        else:
            self.calls.append((module, self._here(), type(module).__name__))
            self.stack[-1] = (module, len(self.calls) - 1)
        return len(self.calls) - 1

    def _here(self) -> str:
        module = self.stack[-1][0] if self.stack else self.net
        return self.names[module] or type(module).__name__


def _consists_of_others(func: Any) -> bool:
    """Whether an operation is nothing but a series of others, as a conv2d is of a convolution."""
    key = "CompositeImplicitAutograd"
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key))


def _is_elementwise(func: Any, kind: str) -> bool:
    """Whether each number of the output depends on one number of each input; in place or not."""
    if torch.Tag.pointwise in func.tags or kind in ACTIVATIONS:
        return True
    packet = getattr(torch.ops.aten, kind, None)  # what works in place may lack the tag
    overloads = [] if packet is None else [getattr(packet, name) for name in packet.overloads()]
    return any(torch.Tag.pointwise in overload.tags for overload in overloads)


def _constants(module: nn.Module) -> list[Tensor]:
    """The tensors in the code of a module that was frozen."""
    if not isinstance(module, torch.jit.ScriptModule) or not hasattr(module, "graph"):
        return []
    graph: Any = module.graph
    nodes = graph.findAllNodes("prim::Constant")
    whole = [n for n in nodes if n.hasAttribute("value") and n.kindOf("value") == "t"]
    return [node.t("value") for node in whole]


@contextlib.contextmanager
def plain_operations() -> Iterator[None]:
    """Have torch run fused layers (LSTM, attention) as the products they consist of."""
    attention = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    # not mkldnn.flags: leaving that context warns about TF32 on machines without it
    onednn, *_ = torch.backends.mkldnn.set_flags(_enabled=False, _fp32_precision=None)
    try:
        with torch.backends.cudnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(attention)
        torch.backends.mkldnn.set_flags(_enabled=onednn, _fp32_precision=None)


def held_values(
    operations: list[Operation], activations: dict[int, Tensor], output: list[int]
) -> list[int]:
    """Activation values held while each operation runs, when they run in this order.

    A value is held from the operation that makes it to the last that reads it. An element-wise
    operation writes over its input if that is not needed again and as large.
    """
    size = {s: t.untyped_storage().nbytes() // t.element_size() for s, t in activations.items()}
    last = {s: i for i, operation in enumerate(operations) for s in operation.reads}
    last |= dict.fromkeys(output, len(operations))
    alive = set(size) - {s for operation in operations for s in operation.writes}  # the input
    held = []
    for i, operation in enumerate(operations):
        # further outputs that nobody reads, such as the positions of the maxima, are not kept
        alive |= {s for k, s in enumerate(operation.writes) if k == 0 or s in last}
        total = sum(size[s] for s in alive)
        dying = {s for s in alive if last.get(s, -1) <= i}
        reusable = dying.intersection(operation.reads).difference(operation.writes)
        if operation.in_place and operation.writes:
            made = size[operation.writes[0]]
            total -= made if any(size[s] == made for s in reusable) else 0
        held.append(total)
        alive -= dying
    return held
