"""A network at inference as a graph of torch operations, for those who must know each of them.

Chapter: book/compression/quantization.
"""

from __future__ import annotations

import copy
import operator
import warnings
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

CONVOLUTIONS = frozenset("conv1d conv2d conv3d".split())
# their weights are (in, out of a group, taps…), those of all others (out, in of a group, taps…)
TRANSPOSED = frozenset("conv_transpose1d conv_transpose2d conv_transpose3d".split())
TOLERANCE = 1e-3  # of the largest answer: float32 sums in another order differ by far less


def inference_graph(
    net: nn.Module,
    input_shape: tuple[int, ...],
    depthwise: bool = False,
    static: bool = False,
) -> fx.GraphModule:
    """The network at inference as a graph of torch operations, its normalisations simplified.

    What depends on weights alone (a pruning mask, a weight norm, standardised kernels) is computed
    once; it is then a weight as any other, and a mask no longer holds it at zero in training.
    A batch normalisation is x · a + b with one a and b per channel. Right after a convolution,
    transposed or not, it is folded into its weights and bias. Elsewhere it becomes a product and a
    sum, or a depthwise convolution of one tap: int8 keeps its weights exactly, each channel having
    a scale, and rounds once, where a product and a sum round twice, and their constants too.
    The graph is then asked, beside the network, about a random clip.

    Args: net, left as it is; input_shape of one clip; depthwise, see above; static, for one clip
        and no other batch.
    Returns: the graph, with parameters of its own.
    Raises: ValueError when the network does not take this input, or normalises by the statistics of
        its batch; RuntimeError when the graph answers otherwise than the network.
    """
    net = copied(net).cpu().eval()
    clips = random_clips(1 if static else 2, input_shape)
    answers = _answers(net, clips, input_shape)
    batch = None if static else ({0: torch.export.Dim("batch")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # exporting warns about its own internals
        module = torch.export.export(net, (torch.zeros_like(clips),), dynamic_shapes=batch).module()
    for node in list(module.graph.nodes):
        if node.op == "call_module":  # checks of the input's shape
            module.graph.erase_node(node)
    _fold_constants(module)
    for node in list(module.graph.nodes):
        if operation_of(node) == "batch_norm":
            _simplify_normalisation(module, node, depthwise)
    _part_weights(module)
    module.graph.eliminate_dead_code()
    graph = fx.GraphModule(module, module.graph)  # anew: an exported module refuses eval()
    for ours, true in zip(_answers(graph, clips, input_shape), answers, strict=True):
        if not torch.allclose(ours, true, 0, TOLERANCE * _largest(true), equal_nan=True):
            raise RuntimeError(
                f"the graph of {type(net).__name__} answers {float((ours - true).abs().max()):.3g} "
                f"otherwise than the network, whose largest answer is {_largest(true):.3g}: "
                "a layer that changes its own weights or keeps a state cannot be exported"
            )
    return graph


def copied(net: nn.Module) -> nn.Module:
    """A copy of a network, also where a mask or a weight norm has left tensors with a history."""
    memo: dict[int, Any] = {}
    for module in net.modules():
        for value in vars(module).values():
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # copying a graph warns about torch's own tree of it
        return copy.deepcopy(net, memo)


def random_clips(number: int, shape: tuple[int, ...]) -> Tensor:
    """Always the same clips (number, *shape) of normally distributed values, to compare with."""
    return torch.randn(number, *shape, generator=torch.Generator().manual_seed(0))


def _answers(net: nn.Module, clips: Tensor, input_shape: tuple[int, ...]) -> list[Tensor]:
    """The tensors that a network answers, in double precision."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            leaves = tree_leaves(net(clips.clone()))
    except Exception as error:
        raise ValueError(
            f"{type(net).__name__} does not take an input of shape {(1, *input_shape)}: {error}; "
            "give the shape of one clip as input_shape"
        ) from error
    return [t.double() for t in leaves if isinstance(t, Tensor) and not t.is_complex()]


def _largest(answer: Tensor) -> float:
    return float(answer.nan_to_num().abs().max()) if answer.numel() else 0.0


def operation_of(node: fx.Node) -> str:
    """The name of a node's operation in ATen, such as conv2d; empty for other nodes."""
    schema = getattr(node.target, "_schema", None) if node.op == "call_function" else None
    return schema.name.removeprefix("aten::") if schema else ""


def arguments_of(node: fx.Node) -> dict[str, Any]:
    """All arguments of a node's operation by their names in torch's schema."""
    arguments = node.target._schema.arguments  # type: ignore[union-attr]
    values = {a.name: a.default_value for a in arguments}
    given = dict(zip((a.name for a in arguments), node.args, strict=False))
    return {**values, **given, **node.kwargs}


def constant_of(module: nn.Module, node: fx.Node) -> Tensor:
    """The parameter or buffer that a get_attr node reads."""
    return operator.attrgetter(str(node.target))(module)


def is_constant(node: Any) -> bool:
    """Whether an argument is a parameter or buffer."""
    return isinstance(node, fx.Node) and node.op == "get_attr"


def groups_of(node: fx.Node) -> int:
    """The groups of a transposed convolution; 0 for every other operation."""
    return int(arguments_of(node)["groups"]) if operation_of(node) in TRANSPOSED else 0


def by_output(weight: Tensor, groups: int) -> Tensor:
    """A weight with its outputs first: (out, in of a group, taps…); and back again.

    Args: weight; groups, as of `groups_of`: with 0, the weight is that way already.
    """
    if groups == 0:
        return weight
    return weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)


def _add_constant(module: fx.GraphModule, name: str, value: Tensor) -> fx.Node:
    """A parameter of a name that is still free, read where the graph inserts."""
    while hasattr(module, name):
        name += "_"
    value = value.detach()
    module.register_parameter(name, nn.Parameter(value, requires_grad=value.is_floating_point()))
    return module.graph.get_attr(name)


def _fold_constants(module: fx.GraphModule) -> None:
    """Compute what depends on weights alone, and put it in their place."""
    graph, known = module.graph, dict[fx.Node, Any]()
    changed = {
        argument
        for node in graph.nodes
        if node.op == "call_function" and _schema_of(node, "is_mutable")
        for argument in node.all_input_nodes
    }
    for node in graph.nodes:
        if node.op == "get_attr" and node not in changed:
            known[node] = constant_of(module, node)
            continue
        fixed = all(source in known for source in node.all_input_nodes)
        if node.op == "call_function" and fixed and node not in changed and _is_pure(node):
            args, kwargs = fx.map_arg((node.args, node.kwargs), known.__getitem__)
            with torch.no_grad():
                known[node] = node.target(*args, **kwargs)
    for node in reversed(list(graph.nodes)):
        if node.op != "call_function" or node not in known:
            continue
        if node.users and isinstance(known[node], Tensor):
            with graph.inserting_before(node):
                constant = _add_constant(module, f"{node.name}_folded", known[node].contiguous())
            node.replace_all_uses_with(constant)
        if not node.users:
            graph.erase_node(node)


def _schema_of(node: fx.Node, question: str) -> bool:
    return bool(getattr(getattr(node.target, "_schema", None), question, False))


def _is_pure(node: fx.Node) -> bool:
    """Whether an operation gives the same each time, and nothing else changes by it."""
    if node.target is operator.getitem:
        return True
    tags = getattr(node.target, "tags", None)  # None: no operation of torch
    return (
        tags is not None
        and torch.Tag.nondeterministic_seeded not in tags
        and not _schema_of(node, "is_mutable")
    )


def _simplify_normalisation(module: fx.GraphModule, node: fx.Node, depthwise: bool) -> None:
    given = arguments_of(node)
    source, mean, variance = given["input"], given["running_mean"], given["running_var"]
    if mean is None or given["training"]:
        raise ValueError(
            f"{_layer_of(node)} normalises by the statistics of the batch it is in, and a device "
            "has one clip: train it with track_running_stats=True, or take InstanceNorm"
        )
    if not all(is_constant(v) or v is None for v in (given["weight"], given["bias"], mean)):
        return  # scaled by what the network computes from its input: no constants to fold
    scale = (constant_of(module, variance) + given["eps"]).rsqrt()
    if given["weight"] is not None:
        scale = scale * constant_of(module, given["weight"])
    lift = 0 if given["bias"] is None else constant_of(module, given["bias"])
    shift = lift - constant_of(module, mean) * scale
    graph = module.graph

    def constant(name: str, value: Tensor) -> fx.Node:
        return _add_constant(module, f"{node.name}_{name}", value)

    with graph.inserting_before(node):
        if _takes_scale(source):
            # new weights: the same layer may be used elsewhere without this normalisation
            convolution = arguments_of(source)
            biases, groups = convolution["bias"], groups_of(source)
            bias = shift if biases is None else constant_of(module, biases) * scale + shift
            weight = by_output(constant_of(module, convolution["weight"]), groups)
            weight = by_output(weight * scale.view(-1, *[1] * (weight.dim() - 1)), groups)
            with graph.inserting_before(source):
                args = (source.args[0], constant("weight", weight), constant("bias", bias))
            source.args = (*args, *source.args[3:])
            source.kwargs = {k: v for k, v in source.kwargs.items() if k not in ("weight", "bias")}
            result = source
        elif depthwise and node.meta["val"].dim() == 4:
            taps = constant("weight", scale.view(-1, 1, 1, 1))
            result = graph.call_function(
                torch.ops.aten.conv2d.default,
                (source, taps, constant("bias", shift), [1, 1], [0, 0], [1, 1], len(scale)),
            )
        else:
            sizes = (1, -1, *[1] * (len(node.meta["val"].shape) - 2))
            product = graph.call_function(
                torch.ops.aten.mul.Tensor, (source, constant("scale", scale.view(sizes)))
            )
            result = graph.call_function(
                torch.ops.aten.add.Tensor, (product, constant("shift", shift.view(sizes)))
            )
    node.replace_all_uses_with(result)
    graph.erase_node(node)


def _takes_scale(node: fx.Node) -> bool:
    """Whether a node is a convolution of constants whose output nothing but one node reads."""
    if operation_of(node) not in CONVOLUTIONS | TRANSPOSED or len(node.users) != 1:
        return False
    weight, bias = (arguments_of(node)[name] for name in ("weight", "bias"))
    # a clip without its batch has its channels elsewhere: conv2d gives four axes
    batched = node.meta["val"].dim() == 2 + int(operation_of(node)[-2])
    return batched and is_constant(weight) and (bias is None or is_constant(bias))


def _layer_of(node: fx.Node) -> str:
    """The innermost layer that an operation belongs to, by its name in the network."""
    names = [name for name, _ in (node.meta.get("nn_module_stack") or {}).values()]
    return next((name for name in reversed(names) if name), "a batch normalisation")


def _part_weights(module: fx.GraphModule) -> None:
    """Give a weight that is used in two ways, as by a tied decoder, a copy for each of them.

    Only convolutions and dense layers round their weights, and transposed ones along another axis.
    """
    weighted = CONVOLUTIONS | TRANSPOSED | {"linear"}
    seen: dict[str, Any] = {}
    for node in list(module.graph.nodes):
        for source in node.all_input_nodes:
            if source.op != "get_attr":
                continue
            kernel = operation_of(node) in weighted and arguments_of(node)["weight"] is source
            use = groups_of(node) if kernel else "as it is"
            if seen.setdefault(str(source.target), use) != use:
                with module.graph.inserting_before(node):
                    name = f"{node.name}_weight"
                    own = _add_constant(module, name, constant_of(module, source).clone())
                node.replace_input_with(source, own)
