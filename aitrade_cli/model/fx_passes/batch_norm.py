"""Batch normalization after a convolution or a linear layer, multiplied into its weights."""

from __future__ import annotations

import copy
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import (
    fuse_conv_bn_eval,
    fuse_conv_bn_weights,
    fuse_linear_bn_eval,
    fuse_linear_bn_weights,
)

from aitrade_cli.model.fx_passes.constants import attribute

CONVOLUTIONS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
ATEN: Final = torch.ops.aten
ATEN_CONVOLUTIONS: Final = frozenset(
    (ATEN.conv1d.default, ATEN.conv2d.default, ATEN.conv3d.default)
)
ATEN_LINEAR: Final = ATEN.linear.default


def fold_batch_norm(module: fx.GraphModule) -> int:
    r"""Multiply $\gamma / \sqrt{\sigma^2 + \epsilon}$ into the layer before, in eval mode.

    Only where the normalization is the one reader of the layer. The layer's own weights stay
    as they are for other readers; the graph gets new ones.

    Returns:
        How many nodes went.

    Source:
        Jacob et al. 2018, section 3.2. https://arxiv.org/abs/1712.05877
    """
    before = len(module.graph.nodes)
    for node in list(module.graph.nodes):
        if not node.args or not isinstance(node.args[0], fx.Node):
            continue
        layer = node.args[0]
        if len(layer.users) != 1:
            continue
        if node.op == "call_module" and layer.op == "call_module":
            fold_modules(module, layer, node)
        elif node.target is ATEN.batch_norm.default:
            fold_operators(module, layer, node)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()
    return before - len(module.graph.nodes)


def fold_modules(module: fx.GraphModule, layer: fx.Node, norm: fx.Node) -> None:
    part: Any = module.get_submodule(str(layer.target))
    scale: Any = module.get_submodule(str(norm.target))
    if not isinstance(scale, _BatchNorm) or scale.training or scale.running_mean is None:
        return
    if type(part) in CONVOLUTIONS:
        fused: nn.Module = fuse_conv_bn_eval(copy.deepcopy(part), scale)
    elif type(part) is nn.Linear and type(scale) is nn.BatchNorm1d and reads_rows(norm):
        fused = fuse_linear_bn_eval(copy.deepcopy(part), scale)
    else:
        return
    name = f"{str(layer.target).replace('.', '_')}_folded"
    while hasattr(module, name):
        name += "_"
    module.add_submodule(name, fused.eval())
    with module.graph.inserting_before(layer):
        new = module.graph.call_module(name, layer.args, layer.kwargs)
    norm.replace_all_uses_with(new)
    module.graph.erase_node(norm)
    module.graph.erase_node(layer)


def reads_rows(norm: fx.Node) -> bool:
    # On [batch, time, width] BatchNorm1d scales time and Linear makes width. Only a traced
    # shape tells the two apart, and a symbolic trace has none.
    found = norm.meta.get("tensor_meta")
    return found is not None and len(found.shape) == 2


def fold_operators(module: fx.GraphModule, layer: fx.Node, norm: fx.Node) -> None:
    arguments: tuple[Any, ...] = norm.args
    scale, shift, mean, variance, training, _, epsilon = arguments[1:8]
    parts = [tensor_of(module, one) for one in (scale, shift, mean, variance)]
    if training or parts[2] is None or parts[3] is None:
        return
    weight = tensor_of(module, layer.args[1] if len(layer.args) > 1 else None)
    bias = tensor_of(module, layer.args[2] if len(layer.args) > 2 else None)
    if weight is None or (len(layer.args) > 2 and layer.args[2] is not None and bias is None):
        return
    stated: Any = (parts[2], parts[3], epsilon, parts[0], parts[1])
    if layer.target in ATEN_CONVOLUTIONS:
        new = fuse_conv_bn_weights(weight, bias, *stated)
    elif layer.target is ATEN_LINEAR and norm.meta["val"].dim() == 2:
        new = fuse_linear_bn_weights(weight, bias, *stated)
    else:
        return
    with module.graph.inserting_before(layer):
        nodes = [put(module, tensor) for tensor in new]
        inputs: tuple[Any, ...] = layer.args
        target: Any = layer.target
        fused = module.graph.call_function(target, (inputs[0], *nodes, *inputs[3:]), layer.kwargs)
    fused.meta = dict(norm.meta)
    norm.replace_all_uses_with(fused)
    module.graph.erase_node(norm)
    module.graph.erase_node(layer)


def tensor_of(module: fx.GraphModule, node: object) -> Tensor | None:
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    found = attribute(module, str(node.target))
    return found if isinstance(found, Tensor) else None


def put(module: fx.GraphModule, tensor: Tensor) -> fx.Node:
    name = "_fused_0"
    while hasattr(module, name):
        name = f"_fused_{int(name.rsplit('_', 1)[1]) + 1}"
    module.register_buffer(name, tensor.detach().clone())
    return module.graph.get_attr(name)
