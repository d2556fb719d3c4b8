"""Which members of a model go over an image together, and how."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from medseg.config.sections import InferenceSection, RunConfig
from medseg.core.labels import LabelScheme

from .bundle import Bundle, output_channels
from .replicas import SpreadRunner
from .runner import Runner
from .runtime import make_runner
from .settings import PredictionSettings
from .sliding import ForwardPass
from .windows import Window

_SLICES = 16


@dataclass(frozen=True, eq=False)
class Pass:
    """Members with one network grid and one window, averaged window by window.

    Attributes:
        config: Of the first: channels and preprocessing are those of all.
        runners: Their networks, on the device.
        window: What they see at once.
        forward: How windows go through each.
    """

    config: RunConfig
    runners: tuple[Runner, ...]
    window: Window
    forward: ForwardPass

    def joins(self, other: Pass) -> bool:
        """Whether the networks of another pass could go along."""
        return (
            self.config.preprocessing == other.config.preprocessing
            and self.config.channels == other.config.channels
            and self.window == other.window
            and self.forward == other.forward
        )


def plan_passes(
    bundle: Bundle,
    settings: PredictionSettings,
    device: torch.device,
    amp_dtype: torch.dtype | None,
    helpers: Sequence[torch.device] = (),
) -> tuple[Pass, ...]:
    """The passes over an image that a bundle needs: one if all members share grid and window.

    If they do not, and their agreement is asked for, each member has a pass of its own.

    Args:
        bundle: Its networks are moved to the device.
        settings: How to predict.
        device: Where networks compute.
        amp_dtype: What convolutions compute in; None for float32.
        helpers: More devices, with a copy of each network; each takes as many windows at once as the first.
    """
    singles = list(_singles(bundle, settings, (device, *helpers), amp_dtype))
    groups: list[list[Pass]] = []
    for single in singles:
        known = next((group for group in groups if group[0].joins(single)), None)
        if known is None:
            groups.append([single])
        else:
            known.append(single)
    if len(groups) > 1 and settings.agreement:
        return tuple(singles)
    return tuple(_joined(group) for group in groups)


def forward_plan(
    config: RunConfig,
    own: InferenceSection,
    scheme: LabelScheme,
    settings: PredictionSettings,
) -> tuple[Window, ForwardPass]:
    """The settings, with those of ``own`` where they leave a choice open."""
    dims = config.network.dims
    mirror = config.augmentation.enabled and (own.mirror if settings.mirror is None else settings.mirror)
    overlap = own.overlap if settings.overlap is None else settings.overlap
    forward = ForwardPass(
        dims,
        output_channels(scheme),
        scheme.is_exclusive,
        tuple(axis for axis in config.augmentation.mirror_axes if mirror and axis < dims),
        settings.batch or max(own.batch, _SLICES if dims == 2 else 1),
        average_logits=own.average == "logits",
    )
    return Window(config.sampling.patch, overlap), forward


def _singles(
    bundle: Bundle, settings: PredictionSettings, devices: Sequence[torch.device], amp_dtype: torch.dtype | None
) -> Iterator[Pass]:
    for member in bundle.members:
        window, forward = forward_plan(member.config, bundle.config.inference, bundle.scheme, settings)
        batch, temperature = forward.batch * len(devices), bundle.calibration.temperature
        copies = (member, *(replace(member, network=copy.deepcopy(member.network)) for _ in devices[1:]))
        runners = [
            make_runner(one, window.roi, settings, device, amp_dtype)
            for one, device in zip(copies, devices, strict=True)
        ]
        runner = runners[0] if len(runners) == 1 else SpreadRunner(runners)
        yield Pass(member.config, (runner,), window, replace(forward, batch=batch, temperature=temperature))


def _joined(passes: list[Pass]) -> Pass:
    first = passes[0]
    return Pass(first.config, tuple(runner for one in passes for runner in one.runners), first.window, first.forward)
