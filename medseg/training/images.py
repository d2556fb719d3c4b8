"""In what the images that a model knew differ from those that it meets."""

from __future__ import annotations

from collections.abc import Iterator

from medseg.config.sections import ChannelSection, RunConfig

_SAME_SHARE = 0.05


def image_differences(there: RunConfig, here: RunConfig) -> tuple[str, ...]:
    """One clause for each of voxel size, orientation and normalisation in which two configurations differ.

    Voxel sizes within 5 % of each other are alike; normalisation is compared for channels of one name.
    """
    return tuple(_differences(there, here))


def _differences(there: RunConfig, here: RunConfig) -> Iterator[str]:
    one, other = there.preprocessing, here.preprocessing
    if not _alike(one.spacing, other.spacing):
        yield f"voxels of {_millimetres(one.spacing)}, here {_millimetres(other.spacing)}"
    if one.orientation != other.orientation:
        yield f"axes to {one.orientation}, here {other.orientation}"
    known = {channel.name.casefold(): channel for channel in there.channels}
    for channel in here.channels:
        same = known.get(channel.name.casefold())
        if same is not None and _normalisation(same) != _normalisation(channel):
            yield f"{channel.name} normalised with other numbers"


def _alike(one: tuple[float, ...] | None, other: tuple[float, ...] | None) -> bool:
    if one is None or other is None:
        return one == other
    return all(abs(a - b) <= _SAME_SHARE * max(a, b) for a, b in zip(one, other, strict=True))


def _millimetres(spacing: tuple[float, ...] | None) -> str:
    return "any size" if spacing is None else f"{' x '.join(f'{size:.3g}' for size in spacing)} mm"


def _normalisation(channel: ChannelSection) -> tuple[object, ...]:
    return channel.intensity, channel.clip, channel.mean, channel.std, channel.nonzero_only
