"""A network as a graph of operations, for runtimes that know no Python."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.export import Dim, ExportedProgram


def traced(network: nn.Module, shape: Sequence[int]) -> torch.jit.ScriptModule:
    """The operations that a network does to an input of exactly that shape, as TorchScript.

    Args:
        network: In evaluation mode, on the CPU.
        shape: ``(b, c, *spatial)``.
    """
    with graph_making():
        graph: torch.jit.ScriptModule = torch.jit.trace(  # type: ignore[no-untyped-call]
            network, torch.zeros(*shape), check_trace=False, strict=False
        )
    return graph


def exported(network: nn.Module, shape: Sequence[int]) -> ExportedProgram:
    """A network as a program of ``torch.export``; it takes any number of windows at once where the network allows.

    Args:
        network: In evaluation mode, on the CPU.
        shape: ``(1, c, *spatial)``; a network that only takes a fixed number of windows then takes one.
    """
    with graph_making():
        # torch takes a length of one for a constant, so that the number of windows stays open with two only.
        pair = torch.zeros(2, *shape[1:])
        program = torch.export.export(network, (pair,), dynamic_shapes=({0: Dim.AUTO},))
        return program if takes_any_batch(program) else torch.export.export(network, (torch.zeros(*shape),))


def takes_any_batch(program: ExportedProgram) -> bool:
    """Whether the first axis of a program's input is open."""
    inputs = program.graph_signature.user_inputs
    image = next(node for node in program.graph.nodes if node.op == "placeholder" and node.name in inputs)
    return isinstance(image.meta["val"].shape[0], torch.SymInt)


@contextlib.contextmanager
def graph_making() -> Iterator[None]:
    """Without gradients, outside inference mode, and without the remarks of torch and the converters about themselves.

    The tracer remarks on every question that Python asks about a shape; shapes are fixed here, so the answers hold.
    """
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield
