"""Weights of one network for another: what fits is taken, what nearly fits is adapted, the rest begins at random."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from medseg.config.sections import RunConfig
from medseg.core.anatomy import name_key
from medseg.core.errors import BundleError
from medseg.core.labels import LabelScheme
from medseg.inference.starting_weights import BACKGROUND, PRESENCE, StartingWeights, input_names, output_names
from medseg.networks.build import build_network

_SHOWN = 4


class TransferReport(BaseModel):
    """What became of each weight of a network that started from a model.

    Attributes:
        model: Where they came from.
        taken: Names of weights that were taken whole.
        adapted: Names of weights that were taken in part, and how.
        left: Names of weights that begin at random, and why.
        unused: Names of weights of the model that have no place here.
        images: In what the images that the model knew were others; empty if in nothing, or if that is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    taken: tuple[str, ...]
    adapted: dict[str, str]
    left: dict[str, str]
    unused: tuple[str, ...]
    images: tuple[str, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """A line for each group that is not empty."""
        groups = (
            (f"taken from {self.model}", dict.fromkeys(self.taken, "")),
            ("adapted", self.adapted),
            ("left to begin at random", self.left),
            ("not used of the model", dict.fromkeys(self.unused, "")),
        )
        images = (f"the model knew other images: {'; '.join(self.images)}",) if self.images else ()
        return (*(f"{title}: {_summary(group)}" for title, group in groups if group), *images)


@dataclass(frozen=True, eq=False)
class Ends:
    """Which weights of a network touch the image's channels or give its logits, and what those are.

    Attributes:
        inputs: Names of the channels that reach it.
        outputs: Names of its logits.
        input_axes: By name of a weight, the axis along which the input channels lie.
        output_axes: By name of a weight, the axis along which the logits lie.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    input_axes: Mapping[str, int]
    output_axes: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class _Fit:
    """What a weight begins with (None: what it has), and what there is to say about it."""

    tensor: Tensor | None
    note: str = ""


def ends_of(network: nn.Module, config: RunConfig, scheme: LabelScheme) -> Ends:
    """The ends of the network of a configuration.

    They are found by building it once more with one more channel and two more logits: whatever grows with them is an
    end, in any kind of network.
    """
    inputs, outputs = input_names(config), output_names(scheme)
    with torch.random.fork_rng(devices=[]):
        wider = build_network(config.network, len(inputs) + 1, len(outputs) + 2).state_dict()
    axes: dict[int, dict[str, int]] = {1: {}, 2: {}}
    for name, tensor in network.state_dict().items():
        other = wider.get(name, tensor)
        for axis, (here, there) in enumerate(zip(tensor.shape, other.shape, strict=False)):
            if there - here in axes:
                axes[there - here][name] = axis
    return Ends(inputs, outputs, axes[1], axes[2])


def transfer_weights(network: nn.Module, start: StartingWeights, ends: Ends) -> TransferReport:
    """Put the weights of a model into a network, as far as names and shapes agree.

    Weights that see the image take the channels that have the same name; if some have it, the others begin at zero, so
    that the network first sees what the model saw. If none has it, as many channels are taken in order, and another
    number gets the mean of all. Weights that give the logits take those of structures with the same name.

    Args:
        network: Changed in place.
        start: The model's weights.
        ends: Of ``network``.

    Raises:
        BundleError: If no convolution before the last layers fits, or a weight is not finite.
    """
    given = _placed(start, network)
    fresh = network.state_dict()
    fits = {name: _fit(given[name], (name, tensor), start, ends) for name, tensor in fresh.items() if name in given}
    fits |= {name: _Fit(None, "not in the model") for name in fresh if name not in fits}
    if not any(fit.tensor is not None and fit.tensor.ndim > 1 and n not in ends.output_axes for n, fit in fits.items()):
        raise BundleError(_refusal(start, {name: fit.note for name, fit in fits.items() if name in given}))
    found = {name: fit.tensor for name, fit in fits.items() if fit.tensor is not None}
    _check_finite(found, start.model)
    network.load_state_dict({name: found.get(name, tensor) for name, tensor in fresh.items()})
    return TransferReport(
        model=start.model,
        taken=tuple(name for name in fresh if name in found and not fits[name].note),
        adapted={name: fits[name].note for name in fresh if name in found and fits[name].note},
        left={name: fits[name].note for name in fresh if name not in found},
        unused=tuple(name for name in given if name not in found),
    )


def _placed(start: StartingWeights, network: nn.Module) -> Mapping[str, Tensor]:
    """The model's weights under the names that the network has for them; MONAI's may sit inside another module."""
    if start.config is not None:
        return start.weights
    for name, module in network.named_modules():
        if type(module).__name__ == start.network and type(module).__module__.startswith("monai."):
            return {f"{name}.{weight}".lstrip("."): tensor for weight, tensor in start.weights.items()}
    return {}


def _fit(given: Tensor, place: tuple[str, Tensor], start: StartingWeights, ends: Ends) -> _Fit:
    name, fresh = place
    axes = [table[name] for table in (ends.input_axes, ends.output_axes) if name in table]
    if given.ndim != fresh.ndim or any(
        there != here
        for axis, (there, here) in enumerate(zip(given.shape, fresh.shape, strict=True))
        if axis not in axes
    ):
        return _Fit(None, f"{_shape(given)} there, {_shape(fresh)} here")
    notes = []
    if name in ends.input_axes:
        sources, note = _channel_sources(_known(start.inputs, given, ends.input_axes[name]), ends.inputs)
        given = _mixed(given, ends.input_axes[name], sources)
        notes.append(note)
    if name in ends.output_axes:
        rows, note = _output_rows(_known(start.outputs, given, ends.output_axes[name]), ends.outputs)
        if not any(row is not None and out != BACKGROUND for row, out in zip(rows, ends.outputs, strict=True)):
            return _Fit(None, "no structure in common")
        given = _picked(given, fresh, ends.output_axes[name], rows)
        notes.append(note)
    return _Fit(given, "; ".join(filter(None, notes)))


def _known(names: Sequence[str], given: Tensor, axis: int) -> list[str]:
    """The names along an axis of a weight; as many empty ones if they do not fit it."""
    size = given.shape[axis]
    return list(names) if len(names) == size else [""] * size


def _channel_sources(there: Sequence[str], here: Sequence[str]) -> tuple[list[tuple[int, ...]], str]:
    """For each channel here, the channels there whose mean it begins with (none for zero); and how that came about."""
    places = {name.casefold(): place for place, name in reversed(list(enumerate(there))) if name}
    found = [places.get(name.casefold()) for name in here]
    if any(place is not None for place in found):
        sources: list[tuple[int, ...]] = [() if place is None else (place,) for place in found]
    else:
        sources = _by_place([name.startswith(PRESENCE) for name in there], [name.startswith(PRESENCE) for name in here])
    if sources == [(place,) for place in range(len(there))]:
        return sources, ""
    told = [f"{name} from {_origin(one, there)}" for name, one in zip(here, sources, strict=True)]
    return sources, f"channels {', '.join(told)}"


def _origin(places: tuple[int, ...], names: Sequence[str]) -> str:
    if not places:
        return "zero"
    return (names[places[0]] or f"channel {places[0]}") if len(places) == 1 else "the mean"


def _by_place(masks_there: Sequence[bool], masks_here: Sequence[bool]) -> list[tuple[int, ...]]:
    """As ``_channel_sources`` where no name agrees: in order if there are as many images, else the mean; no masks."""
    images = tuple(place for place, is_mask in enumerate(masks_there) if not is_mask)
    if len(images) != masks_here.count(False):
        return [() if is_mask else images for is_mask in masks_here]
    rest = iter(images)
    return [() if is_mask else (next(rest),) for is_mask in masks_here]


def _output_rows(there: Sequence[str], here: Sequence[str]) -> tuple[list[int | None], str]:
    """For each logit here, the place of the one there that means the same, or None; and how that came about."""
    places = {_meaning(name): place for place, name in reversed(list(enumerate(there))) if name}
    rows = [places.get(_meaning(name)) for name in here]
    if rows == list(range(len(there))):
        return rows, ""
    told = [f"{name} {'at random' if row is None else 'by name'}" for name, row in zip(here, rows, strict=True)]
    return rows, f"outputs {', '.join(told)}"


def _meaning(name: str) -> object:
    return BACKGROUND if name.casefold() == BACKGROUND else name_key(name)


def _mixed(given: Tensor, axis: int, sources: Sequence[tuple[int, ...]]) -> Tensor:
    """Along ``axis`` the mean of these places of ``given``; zeros where there are none."""
    empty = torch.zeros_like(given.select(axis, 0))
    parts = [given.index_select(axis, torch.tensor(one)).mean(dim=axis) if one else empty for one in sources]
    return torch.stack(parts, dim=axis)


def _picked(given: Tensor, fresh: Tensor, axis: int, rows: Sequence[int | None]) -> Tensor:
    """Along ``axis`` these places of ``given``; those of ``fresh`` where there is none."""
    own = fresh.to(given)
    parts = [own.select(axis, n) if row is None else given.select(axis, row) for n, row in enumerate(rows)]
    return torch.stack(parts, dim=axis)


def _check_finite(weights: Mapping[str, Tensor], model: str) -> None:
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise BundleError(f"{model}: weight {name} holds values that are not finite")


def _refusal(start: StartingWeights, notes: Mapping[str, str]) -> str:
    name, note = next(((name, note) for name, note in notes.items() if note), ("", ""))
    reason = f"{name} is {note}" if name else "they have no names in common"
    return (
        f"no weights of {start.model} ({start.network}) fit this network: {reason}; "
        "`medseg plan DATASET --init-from BUNDLE` plans one that they fit"
    )


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _summary(group: Mapping[str, str]) -> str:
    """How many weights of which parts, and the first reasons."""
    parts = Counter(name.partition(".")[0] for name in group)
    listed = ", ".join(f"{part} {count}" for part, count in parts.items())
    reasons = _first({note for note in group.values() if note}, group.values())
    return f"{len(group)} weights ({listed}){f': {reasons}' if reasons else ''}"


def _first(reasons: set[str], order: Iterable[str]) -> str:
    shown = [reason for reason in dict.fromkeys(order) if reason in reasons]
    return "; ".join(shown[:_SHOWN]) + (f"; and {len(shown) - _SHOWN} other reasons" if len(shown) > _SHOWN else "")
