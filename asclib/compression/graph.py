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


def inference_graph(
    net: nn.Module,
    input_shape: tuple[int, ...],
    depthwise: bool = False,
    static: bool = False,
) -> fx.GraphModule:
    """The network at inference as a graph of torch operations, its normalisations simplified.

    A batch normalisation is then x · a + b with one a and b per channel. Right after a convolution
    it is folded into its weights and bias. Elsewhere it becomes a product and a sum, or a depthwise
    convolution of one tap: int8 keeps its weights exactly, each channel having a scale, and rounds
    once, where a product and a sum round twice, and their constants too.

    Args: net, left as it is; input_shape of one clip; depthwise, see above; static, for one clip
        and no other batch.
    Returns: the graph, with parameters of its own.
    Raises: ValueError when the network does not take this input.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # copying a graph warns about torch's own tree of it
        net = copy.deepcopy(net).cpu().eval()
    example = torch.zeros(1 if static else 2, *input_shape)
    try:
        with torch.no_grad():
            net(example)
    except Exception as error:
        raise ValueError(
            f"{type(net).__name__} does not take an input of shape {(1, *input_shape)}: {error}; "
            "give the shape of one clip as input_shape"
        ) from error
    batch = None if static else ({0: torch.export.Dim("batch")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # exporting warns about its own internals
        module = torch.export.export(net, (example,), dynamic_shapes=batch).module()
    for node in list(module.graph.nodes):
        if node.op == "call_module":  # checks of the input's shape
            module.graph.erase_node(node)
        elif operation_of(node) == "batch_norm":
            _simplify_normalisation(module, node, depthwise)
    module.graph.eliminate_dead_code()
    return fx.GraphModule(module, module.graph)  # anew: an exported module refuses eval()


def operation_of(node: fx.Node) -> str:
    """The name of a node's operation in ATen, such as conv2d; empty for other nodes."""
    schema = getattr(node.target, "_schema", None) if node.op == "call_function" else None
    return schema.name.removeprefix("aten::") if schema else ""


def constant_of(module: nn.Module, node: fx.Node) -> Tensor:
    """The parameter or buffer that a get_attr node reads."""
    return operator.attrgetter(str(node.target))(module)


def _simplify_normalisation(module: fx.GraphModule, node: fx.Node, depthwise: bool) -> None:
    arguments: tuple[Any, ...] = node.args  # nodes, numbers and None, as torch's schema says
    source, gain, offset, mean, variance, _, _, eps, *_ = arguments
    scale = (constant_of(module, variance) + eps).rsqrt()
    if gain is not None:
        scale = scale * constant_of(module, gain)
    lift = 0 if offset is None else constant_of(module, offset)
    shift = lift - constant_of(module, mean) * scale
    graph = module.graph

    def constant(name: str, value: Tensor) -> fx.Node:
        name = f"{node.name}_{name}"
        module.register_parameter(name, nn.Parameter(value.detach()))
        return graph.get_attr(name)

    with graph.inserting_before(node):
        if operation_of(source).startswith("conv") and len(source.users) == 1:
            # new weights: the same layer may be used elsewhere without this normalisation
            kernels, biases = (*source.args[1:], None)[:2]
            bias = shift if biases is None else constant_of(module, biases) * scale + shift
            weight = constant_of(module, kernels)
            weight = weight * scale.view(-1, *[1] * (weight.dim() - 1))
            with graph.inserting_before(source):
                args = (source.args[0], constant("weight", weight), constant("bias", bias))
            source.args = (*args, *source.args[3:])
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
