"""How large a network is: parameters, multiplications, and what it keeps for the backward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from .build import count_parameters


@dataclass(frozen=True)
class NetworkSize:
    """What a network costs for one patch.

    Attributes:
        parameters: Numbers that training changes.
        macs: Multiply-adds of a forward pass over one patch; convolutions and matrix products, all that counts.
    """

    parameters: int
    macs: int

    def __str__(self) -> str:
        giga = self.macs / 1e9
        return f"{self.parameters / 1e6:.3g} million parameters, {giga:.3g} GMACs ({2 * giga:.3g} GFLOPs) a patch"


def network_size(network: nn.Module, image: Sequence[int]) -> NetworkSize:
    """Parameters, and multiply-adds for an image.

    Args:
        network: Any module that takes a batch of images.
        image: Channels and spatial shape, without the batch.
    """
    return NetworkSize(count_parameters(network), forward_macs(network, image))


def forward_macs(network: nn.Module, image: Sequence[int]) -> int:
    """Multiply-adds of one forward pass in evaluation mode; exact for convolutions, matrix products and attention.

    Shapes alone go through the network, so it takes milliseconds and no memory. A network that looks at values on its
    way is run once on zeros instead.

    Args:
        network: Any module that takes a batch of images.
        image: Channels and spatial shape, without the batch.
    """
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            try:
                return _counted(network, image, torch.device("meta"))
            except RuntimeError:  # torch says so to who asks for a value; any other failure comes again in the run
                return _counted(network, image, next(iter(network.parameters()), torch.empty(0)).device)
    finally:
        network.train(was_training)


def thin_convolutions(network: nn.Module, image: Sequence[int]) -> tuple[str, ...]:
    """Names of convolutions in 3D that see fewer slices along the first axis than their kernel has, but more than one.

    Args:
        network: Any module that takes a batch of images.
        image: Channels and spatial shape, without the batch.
    """
    thin: dict[str, None] = {}

    def look(name: str, depth: int, inputs: tuple[Tensor, ...]) -> None:
        if 1 < inputs[0].shape[2] < depth:
            thin[name] = None

    hooks = [
        module.register_forward_pre_hook(lambda one, inputs, name=name: look(name, one.kernel_size[0], inputs))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d)
    ]
    try:
        forward_macs(network, image)
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(thin)


def kept_numbers(network: nn.Module, image: Sequence[int]) -> int:
    """Numbers that one image leaves behind for the backward pass, weights aside.

    Args:
        network: Any module that takes a batch of images and looks at none of their values; in training mode.
        image: Channels and spatial shape, without the batch.
    """
    state = _state(network, torch.device("meta"))
    kept: dict[int, int] = {}

    def remember(tensor: Tensor) -> Tensor:
        kept[_memory(tensor)] = tensor.untyped_storage().nbytes() // tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        result = _run(network, state, image)
    weights = {_memory(tensor) for tensor in state.values()}
    numbers = sum(count for memory, count in kept.items() if memory not in weights)
    del result  # until here it holds on to what was kept, so that no memory is counted twice
    return numbers


def _memory(tensor: Tensor) -> int:
    """The memory of a tensor, the same for its views and for what is computed in place."""
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 - on the meta device all addresses are 0


def _counted(network: nn.Module, image: Sequence[int], device: torch.device) -> int:
    with FlopCounterMode(display=False) as counter:
        _run(network, _state(network, device), image)
    return int(counter.get_total_flops()) // 2


def _state(network: nn.Module, device: torch.device) -> dict[str, Tensor]:
    named = (*network.named_parameters(), *network.named_buffers())
    return {name: tensor.detach().to(device).requires_grad_(tensor.requires_grad) for name, tensor in named}


def _run(network: nn.Module, state: Mapping[str, Tensor], image: Sequence[int]) -> object:
    device = next(iter(state.values()), torch.empty(0)).device
    return functional_call(network, dict(state), (torch.zeros(1, *image, device=device),))
