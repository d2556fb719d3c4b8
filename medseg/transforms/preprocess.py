"""From a volume as it is to what a network sees, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg.config.sections import ChannelSection, Intensity, PreprocessingSection
from medseg.core.case import Case
from medseg.core.errors import GeometryError, InputError, LabelError
from medseg.core.geometry import AxisMap, Box, Geometry, LengthUnit, Shape, Spacing
from medseg.core.labels import IGNORE_INDEX, LabelScheme
from medseg.core.volume import LabelMap, Labels, MultiLabelMap, Volume

from .normalize import normalize
from .overshoot import keep_range
from .resample import coarse_axis, resample_channel, resample_class_indices, resample_masks

_MAX_VOXELS = 2**31


@dataclass(frozen=True, eq=False)
class Restoration:
    """The grids that a volume went through, so that a prediction finds its way back.

    Attributes:
        source: The volume's own grid.
        axes: The map from ``source`` to ``oriented``; its inverse leads back. The two grids do not tell it: where they
            lie at 45°, an axis has no letter of its own.
        oriented: After reordering and flipping axes.
        box: What was kept of ``oriented``.
        cropped: The grid of that box.
        network: After resampling; covers the same extent as ``cropped``.
        planned: Voxel size that the plan asks for, where slices are resampled as nnU-Net does; None for medseg's way.
    """

    source: Geometry
    axes: AxisMap
    oriented: Geometry
    box: Box
    cropped: Geometry
    network: Geometry
    planned: Spacing | None = None

    @classmethod
    def unchanged(cls, grid: Geometry) -> Self:
        """The way back where there is none to go."""
        return cls(grid, AxisMap(), grid, _whole(grid.shape), grid, grid)

    @property
    def nearest_axis(self) -> int | None:
        """Axis of ``cropped`` across which slices lie too far apart to be interpolated, or None."""
        return coarse_axis(self.cropped.spacing, self.planned or self.network.spacing)

    @property
    def nearest_axis_back(self) -> int | None:
        """Axis along which results go back by the nearest slice; None if they are interpolated along all."""
        return None if self.planned is None else coarse_axis(self.planned, self.cropped.spacing)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A case as a network sees it.

    Attributes:
        image: Channels in the model's order, shape ``(c, i, j, k)``, normalised.
        target: None without a label; class indices, shape ``(i, j, k)``, if the scheme is exclusive; else one mask a
            target, shape ``(t, i, j, k)``, of 0 and 1. 255 is ignored in both.
        restoration: The way back.
    """

    image: NDArray[np.float32]
    target: NDArray[np.uint8] | None
    restoration: Restoration


def prepare_image(
    volume: Volume,
    preprocessing: PreprocessingSection,
    channels: tuple[ChannelSection, ...],
    region: Box | None = None,
) -> Prepared:
    """Volume brought to the model's orientation, cropped, normalised and resampled, in this order.

    A grid whose unit is the pixel is not resampled.

    A channel that is optional and missing is zero, the mean of a normalised one.

    Args:
        volume: Any real dtype; its channels are found by name, or taken in order if no name is known.
        preprocessing: The steps.
        channels: The model's channels.
        region: Part of the volume's own grid that is kept; None for all. Its intensities are normalised as in the whole
            image.

    Returns:
        The image without a target.

    Raises:
        InputError: If the channels are not those of the model.
        GeometryError: If the target spacing would make too many voxels.
    """
    rows = _channel_rows(volume.channels, channels)
    axes = volume.geometry.axis_map(preprocessing.orientation)
    array = axes.apply(volume.array)
    oriented = volume.geometry.mapped(axes)
    present = [array[row] for row in rows if row is not None]
    box = _nonzero_box(present) if preprocessing.crop == "nonzero" else _whole(oriented.shape)
    kept = box if region is None else _shared(box, axes.box(region, volume.geometry.shape))
    cropped = oriented.cropped(kept)
    network = cropped.with_shape(_network_shape(cropped, preprocessing))
    restoration = Restoration(volume.geometry, axes, oriented, kept, cropped, network, _planned(cropped, preprocessing))
    inside = _filled([channel[box] for channel in present]) if any(one.nonzero_only for one in channels) else None
    image = np.zeros((len(channels), *network.shape), np.float32)
    for row, section, target in zip(rows, channels, image, strict=True):
        if row is None:
            continue
        normal = _normalized(array[row], box, kept, section, inside if section.nonzero_only else None)
        target[...] = resample_channel(normal, network.shape, nearest_axis=restoration.nearest_axis)
        if restoration.planned is not None and normal.shape != target.shape:
            keep_range(target, normal, restoration.nearest_axis)
    return Prepared(image, None, restoration)


def prepare_case(
    case: Case, preprocessing: PreprocessingSection, channels: tuple[ChannelSection, ...], scheme: LabelScheme
) -> Prepared:
    """Case brought to what the network sees; the label, where there is one, becomes the target.

    Args:
        case: Image and label on one grid.
        preprocessing: The steps, see ``prepare_image``.
        channels: The model's channels.
        scheme: What the label's values mean and what is learned.

    Returns:
        Image and target on one grid.

    Raises:
        InputError: If the channels are not those of the model.
        GeometryError: If the target spacing would make too many voxels.
        LabelError: If the label does not fit the scheme.
    """
    try:
        prepared = prepare_image(case.image, preprocessing, channels)
        if case.label is None:
            return prepared
        target = _target(case.label, scheme, prepared.restoration)
    except (InputError, GeometryError, LabelError) as error:
        raise type(error)(f"case {case.id}: {error}") from None
    return Prepared(prepared.image, target, prepared.restoration)


def _normalized(
    channel: NDArray[np.generic], box: Box, kept: Box, section: ChannelSection, inside: NDArray[np.bool_] | None
) -> NDArray[np.float32]:
    """What is kept of a channel, normalised by all of the box where the image's own intensities count."""
    if section.intensity not in {Intensity.ZSCORE, Intensity.RESCALE}:
        return normalize(channel[kept], section)
    part = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(kept, box, strict=True))
    return normalize(channel[box], section, inside)[part]


def _channel_rows(given: tuple[str, ...], channels: tuple[ChannelSection, ...]) -> list[int | None]:
    """Where each channel of the model lies in the image; None for those that are missing and may be."""
    wanted = [channel.name for channel in channels]
    needed = {channel.name for channel in channels if not channel.optional}
    if needed <= set(given) and set(wanted) & set(given):
        return [given.index(name) if name in given else None for name in wanted]
    if len(given) == len(wanted) and not set(given) & set(wanted):
        return list(range(len(wanted)))
    spared = f" (of which it can spare {', '.join(sorted(set(wanted) - needed))})" if len(needed) < len(wanted) else ""
    raise InputError(
        f"the model wants {_counted(wanted)}{spared}, the image has {_counted(given)}; give each channel under its name"
    )


def _counted(names: list[str] | tuple[str, ...]) -> str:
    return f"{len(names)} channel{'' if len(names) == 1 else 's'} ({', '.join(map(repr, names))})"


def _network_shape(cropped: Geometry, preprocessing: PreprocessingSection) -> Shape:
    if preprocessing.spacing is None or cropped.unit is LengthUnit.PIXEL:
        return cropped.shape
    sizes = np.array(cropped.shape) * np.array(cropped.spacing) / np.array(preprocessing.spacing)
    if np.prod(np.maximum(sizes, 1)) > _MAX_VOXELS:
        raise GeometryError(
            f"resampling {cropped.shape} voxels of {_millimetres(cropped.spacing)} to "
            f"{_millimetres(preprocessing.spacing)} would make more than {_MAX_VOXELS:.1e} voxels; check the spacing"
        )
    i, j, k = cropped.resampled(preprocessing.spacing).shape
    return i, j, k if preprocessing.resample_slices else cropped.shape[2]


def _planned(cropped: Geometry, preprocessing: PreprocessingSection) -> Spacing | None:
    """Voxel size that a plan asks for, where it wants nnU-Net's resampling and there is something to resample."""
    if preprocessing.resampling != "nnunet" or preprocessing.spacing is None or cropped.unit is LengthUnit.PIXEL:
        return None
    first, second, third = preprocessing.spacing
    return first, second, third if preprocessing.resample_slices else cropped.spacing[2]


def _millimetres(spacing: tuple[float, float, float]) -> str:
    return f"{' x '.join(f'{size:.3g}' for size in spacing)} mm"


def _whole(shape: Shape) -> Box:
    return slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2])


def _shared(box: Box, other: Box) -> Box:
    """What two boxes share; the first of them if they do not meet."""
    i, j, k = (slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(box, other, strict=True))
    return box if min(i.stop - i.start, j.stop - j.start, k.stop - k.start) < 1 else (i, j, k)


def _nonzero_box(channels: list[NDArray[np.generic]]) -> Box:
    """Smallest box that holds every voxel that is not zero in some channel; everything if all are zero."""
    ranges, channels = [], [_without_nan(channel) for channel in channels]
    for axis, others in enumerate(((1, 2), (0, 2), (0, 1))):
        filled = np.flatnonzero(np.any([channel.any(axis=others) for channel in channels], axis=0))
        ranges.append(slice(int(filled[0]), int(filled[-1]) + 1) if len(filled) else slice(0, channels[0].shape[axis]))
    return ranges[0], ranges[1], ranges[2]


def _filled(channels: list[NDArray[np.generic]]) -> NDArray[np.bool_]:
    """Voxels that are not zero in some channel, and holes among them."""
    inside = np.any([_without_nan(channel) != 0 for channel in channels], axis=0)
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(inside)
    return filled


def _without_nan(channel: NDArray[np.generic]) -> NDArray[np.generic]:
    """Something that is zero where the channel is, or where it is NaN, as some programs mark what they masked away."""
    if not np.issubdtype(channel.dtype, np.floating) or not np.isnan(channel).any():
        return channel
    held: NDArray[np.bool_] = (channel != 0) & ~np.isnan(channel)
    return held


def _target(labels: Labels, scheme: LabelScheme, restoration: Restoration) -> NDArray[np.uint8]:
    shape, nearest_axis = restoration.network.shape, restoration.nearest_axis
    if isinstance(labels, MultiLabelMap):
        masks = np.stack([scheme.mask(labels, name) for name in scheme.targets])
        masks = np.ascontiguousarray(restoration.axes.apply(masks)[(slice(None), *restoration.box)])
        if not scheme.is_exclusive:
            return resample_masks(masks, shape, nearest_axis).view(np.uint8)
        return resample_class_indices(_joined(masks), shape, nearest_axis)
    indices = _class_indices(labels, scheme, restoration)
    indices = resample_class_indices(indices, shape, nearest_axis)
    return indices if scheme.is_exclusive else _multi_hot(indices, scheme)


def _class_indices(labels: LabelMap, scheme: LabelScheme, restoration: Restoration) -> NDArray[np.uint8]:
    cropped = LabelMap(restoration.axes.apply(labels.array)[restoration.box], restoration.cropped)
    return np.ascontiguousarray(scheme.class_indices(cropped))


def _joined(masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Class indices from masks that must not overlap."""
    overlap = int((masks.sum(axis=0, dtype=np.uint8) > 1).sum())
    if overlap:
        raise LabelError(f"structures overlap in {overlap} voxels; set labels.overlapping, or separate them")
    indices = np.zeros(masks.shape[1:], np.uint8)
    for index, mask in enumerate(masks, start=1):
        indices[mask] = index
    return indices


def _multi_hot(indices: NDArray[np.uint8], scheme: LabelScheme) -> NDArray[np.uint8]:
    members = {region.name: region.structures for region in scheme.regions}
    table = np.zeros((len(scheme.targets), IGNORE_INDEX + 1), np.uint8)
    for row, target in zip(table, scheme.targets, strict=True):
        row[[1 + scheme.names.index(name) for name in members.get(target, (target,))]] = 1
    table[:, IGNORE_INDEX] = IGNORE_INDEX
    return table[:, indices]
