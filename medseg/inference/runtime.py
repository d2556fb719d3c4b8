"""Which runtime computes a network.

==============  =======================================  ==============================
runtime         where                                    precision
==============  =======================================  ==============================
torch           CPU, CUDA, MPS                           fp32, bf16, fp16 (GPUs)
torch-compile   CPU, CUDA, MPS                           the same
openvino        CPU; extra ``openvino``                  fp32, bf16, int8
onnx            CPU; extra ``onnx``                      fp32
==============  =======================================  ==============================

``auto`` is torch, except on a CPU for a network that OpenVINO was asked to compute on this machine before, by
``--runtime openvino``: its conversion is kept, and computes from then on. So one command gives the same labels as long
as nobody converts, and nobody waits for a conversion unasked. A network that OpenVINO cannot compute stays with torch,
and so does one that medseg did not build.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import nn

import medseg
from medseg.config.networks import OwnNetworkSection
from medseg.core.errors import InputError
from medseg.core.geometry import Shape

from .bundle import Member
from .devices import autocast_dtype
from .network import optional_channels, weights_digest
from .onnx_model import OnnxRunner, load_onnx, onnx_model, save_onnx
from .openvino_int8 import load_int8
from .openvino_model import OpenVINORunner, load_openvino, openvino_model, save_openvino
from .replicas import SpreadRunner
from .runner import Runner, TorchRunner
from .runtime_cache import Conversion, is_kept, recalled
from .runtime_compiled import CompiledRunner
from .settings import PredictionSettings

Converter = Literal["openvino", "onnx"]
_FORM = 1  # of what is kept on disk; another number converts all anew
_CPU = torch.device("cpu")
_OURS = ("medseg", "monai")
_TOLERANCE = 1e-2
_LOG = logging.getLogger(__name__)


def make_runner(
    member: Member, roi: Shape, settings: PredictionSettings, device: torch.device, amp_dtype: torch.dtype | None
) -> Runner:
    """A network on the runtime that the settings ask for.

    Args:
        member: Its network is moved to the device.
        roi: Voxels of a window.
        settings: Say which runtime and which precision.
        device: Where it computes, see ``device_for``.
        amp_dtype: What convolutions compute in; None for float32.

    Raises:
        InputError: If a package is missing.
        BundleError: If int8 is asked for, and the bundle holds no such model or a damaged one.
    """
    member.network.eval()
    shape = input_shape(member, roi)
    if settings.precision == "int8":
        model = load_int8(member.int8, weights_digest(member.network), shape)
        return OpenVINORunner(model, autocast_dtype(_CPU, "auto"))
    match settings.runtime:
        case "openvino" | "onnx":
            return _converted_or_torch(member, shape, settings.runtime, amp_dtype)
        case "torch-compile":
            return CompiledRunner(member.network.to(device), amp_dtype)
        case "torch":
            return TorchRunner(member.network.to(device), amp_dtype)
        case "auto":
            return _automatic(member, shape, device, amp_dtype)


def input_shape(member: Member, roi: Shape) -> tuple[int, ...]:
    """Shape ``(1, c, *spatial)`` of one window as a member's network takes it."""
    return (1, len(member.config.channels), *roi[: member.config.network.dims])


def device_for(settings: PredictionSettings) -> str:
    """The device that the settings name, or the CPU where their runtime knows no other.

    Raises:
        InputError: If runtime, device and precision do not go together.
    """
    runtime, precision = settings.runtime, settings.precision
    if precision == "int8" and runtime not in {"auto", "openvino"}:
        raise InputError(f"precision int8 is for runtime openvino, not {runtime}")
    on_cpu = precision == "int8" or runtime in {"openvino", "onnx"}
    if on_cpu and settings.device not in {"auto", "cpu"}:
        what = "precision int8" if precision == "int8" else f"runtime {runtime}"
        raise InputError(f"{what} computes on the CPU, not on {settings.device}; leave the device away")
    if runtime == "onnx" and precision not in {"auto", "fp32"}:
        raise InputError(f"runtime onnx computes in fp32, not in {precision}; runtime openvino can do bf16")
    return settings.device if not on_cpu else "cpu"


def runtime_of(runner: Runner) -> str:
    """The name of the runtime that computes the next windows, one of ``RuntimeName`` where it is one of ours."""
    match runner:
        case TorchRunner():
            return "torch"
        case CompiledRunner():
            return "torch-compile"
        case OpenVINORunner():
            return "openvino"
        case OnnxRunner():
            return "onnx"
        case SpreadRunner():
            return runtime_of(runner.replicas[0])
        case _:
            return type(runner).__name__


def _automatic(member: Member, shape: tuple[int, ...], device: torch.device, amp_dtype: torch.dtype | None) -> Runner:
    may_be_kept = device.type == "cpu" and find_spec("openvino") is not None and _is_as_built(member)
    if may_be_kept and is_kept(_key(member, shape, "openvino")):
        return _converted_or_torch(member, shape, "openvino", amp_dtype)
    return TorchRunner(member.network.to(device), amp_dtype)


def _converted_or_torch(
    member: Member, shape: tuple[int, ...], runtime: Converter, amp_dtype: torch.dtype | None
) -> Runner:
    member.network.to(_CPU)
    try:
        return _converted(member, shape, runtime, amp_dtype)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - converters raise anything
        _note_once(f"{runtime} cannot compute this network ({type(error).__name__}); torch does")
        return TorchRunner(member.network, amp_dtype)


def _converted(member: Member, shape: tuple[int, ...], runtime: Converter, amp_dtype: torch.dtype | None) -> Runner:
    conversion: Conversion[Any]
    network, key = member.network, _key(member, shape, runtime)
    if runtime == "onnx":
        conversion = Conversion(key, partial(_checked_onnx, network, shape), save_onnx, load_onnx)
        make: Callable[[Any], Runner] = OnnxRunner
    else:
        conversion = Conversion(key, partial(_checked_openvino, network, shape), save_openvino, load_openvino)
        make = partial(OpenVINORunner, amp_dtype=amp_dtype)
    # What a network of one's own does cannot be told from its weights, so it is never taken from the disk.
    return make(recalled(conversion) if _is_as_built(member) else conversion.make())


def _checked_openvino(network: nn.Module, shape: tuple[int, ...]) -> Any:
    model = openvino_model(network, shape)
    _check_equal(network, OpenVINORunner(model), shape)
    return model


def _checked_onnx(network: nn.Module, shape: tuple[int, ...]) -> bytes:
    model = onnx_model(network, shape)
    _check_equal(network, OnnxRunner(model), shape)
    return model


def _check_equal(network: nn.Module, runner: Runner, shape: tuple[int, ...]) -> None:
    """Make sure that a converted network does what it did before, on a window of noise."""
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, found = TorchRunner(network)(noise), runner(noise)
    if wanted.shape != found.shape or float((wanted - found).norm()) > _TOLERANCE * max(float(wanted.norm()), 1e-6):
        raise RuntimeError("the converted network does not compute what torch does")


def _is_as_built(member: Member) -> bool:
    """Whether a network does what medseg builds for its configuration, and nothing besides."""
    network = member.network
    if isinstance(member.config.network, OwnNetworkSection):
        return False
    in_front = len(network._forward_pre_hooks)  # noqa: SLF001 - there is no public way to ask
    as_built = in_front == int(bool(optional_channels(member.config))) and not network._forward_hooks  # noqa: SLF001
    return as_built and all(type(part).__module__.partition(".")[0] in (*_OURS, "torch") for part in network.modules())


def _key(member: Member, shape: tuple[int, ...], runtime: Converter) -> str:
    """Changes with whatever a converted network depends on; the precision is chosen when it is loaded."""
    network, optional = member.network, optional_channels(member.config)
    parts = [(name, type(part).__qualname__, part.extra_repr()) for name, part in network.named_modules()]
    packages = [_version(name) for name in ("torch", "monai", "openvino" if runtime == "openvino" else "onnxscript")]
    told = [_FORM, medseg.__version__, packages, shape, optional, member.config.network.model_dump_json(), parts]
    described = hashlib.sha256(json.dumps([told, weights_digest(network)]).encode()).hexdigest()
    return f"{runtime}-{described}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # whoever needs it says so when it is loaded
        return ""


@cache
def _note_once(text: str) -> None:
    _LOG.warning(text)
