"""Faces taken out of DICOM series: the stored values change, and the headers say so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medseg.core.errors import DeidError, GeometryError
from medseg.core.geometry import Geometry
from medseg.core.volume import Volume
from medseg.io.dicom_file import DicomFile
from medseg.io.dicom_geometry import stack_planes
from medseg.io.dicom_header import items
from medseg.io.dicom_instance import Plane

from .elements import encoding_of, stored
from .face_mask import face_mask
from .header_values import figure, figures, word, words
from .pixel_frames import Frames, read_frames, with_frames

_MODALITY, _PADDING, _SIGNED = 0x00080060, 0x00280120, 0x00280103
_FRAMES, _ROWS, _COLUMNS = 0x00280008, 0x00280010, 0x00280011
_SMALLEST, _LARGEST = 0x00280106, 0x00280107
_SHARED, _PER_FRAME, _FRAME_TYPES, _FRAME_TYPE = 0x52009229, 0x52009230, 0x00189226, 0x00089007
_POSITION, _ORIENTATION, _SPACING, _THICKNESS = 0x00200032, 0x00200037, 0x00280030, 0x00180050
_SLOPE, _INTERCEPT = 0x00281053, 0x00281052
_MACROS = {
    _POSITION: 0x00209113,
    _ORIENTATION: 0x00209116,
    _SPACING: 0x00289110,
    _THICKNESS: 0x00289110,
    _SLOPE: 0x00289145,
    _INTERCEPT: 0x00289145,
}
_SAME_PLACE_MM, _SAME_DIRECTION = 0.01, 1e-4


def deface_series(files: Sequence[DicomFile]) -> list[DicomFile]:
    """The files of one MR series without the face, in the same order.

    Values of the face become Pixel Padding Value, or else the darkest value of the series; all others stay as they are.
    Data sets that show a part of it are changed in place and called derived. Those whose pixels were compressed are in
    Explicit VR Little Endian then, which only the files that are returned say. Nothing is changed if the series is
    refused. Several images at one place, such as echoes, are looked at together.

    Args:
        files: Of one series, one frame or many each, in any order.

    Raises:
        DeidError: If the series is no greyscale MR volume, or the face could not be found for certain.
        GeometryError: If the slices make no volume.
        ReadError: If the pixels cannot be decoded.
    """
    if not files:
        return []
    if any(word(file.dataset, _MODALITY) != "MR" for file in files):
        raise DeidError("refused: faces are found in MR alone, there is no template for CT and PET")
    planes = [list(_planes(file.dataset)) for file in files]
    grid, places = _arranged([plane for several in planes for plane in several])
    images = [_greyscale(file, several) for file, several in zip(files, planes, strict=True)]
    rest = iter(places)
    slices = [[next(rest) for _ in several] for several in planes]
    mask = face_mask(_volume(grid, images, planes, slices))
    darkest = _darkest(images)
    return [
        _without_face(file, image, mask[:, :, several].transpose(2, 1, 0), darkest)
        for file, image, several in zip(files, images, slices, strict=True)
    ]


def _planes(dataset: Dataset) -> Iterator[Plane]:
    """Where each frame lies, by the data set itself or by its functional groups (PS3.3 section C.7.6.16)."""
    shared, frames = items(dataset, _SHARED)[:1], items(dataset, _PER_FRAME)
    count = figure(dataset, _FRAMES, 1)
    if len(frames) != count and (frames or count > 1):
        raise GeometryError(f"{count} frames, but positions for {len(frames)}")
    for groups in [[frame, *shared] for frame in frames] or [[]]:
        position, orientation, spacing = (_value(tag, groups, dataset) for tag in (_POSITION, _ORIENTATION, _SPACING))
        if (len(position), len(orientation), len(spacing)) != (3, 6, 2):
            raise GeometryError("no position, orientation and pixel spacing in the patient")
        yield Plane(
            rows=figure(dataset, _ROWS, 0),
            columns=figure(dataset, _COLUMNS, 0),
            position=position,
            orientation=orientation,
            pixel_spacing=spacing,
            thickness=next(iter(_value(_THICKNESS, groups, dataset)), None),
            slope=next(iter(_value(_SLOPE, groups, dataset)), 1.0),
            intercept=next(iter(_value(_INTERCEPT, groups, dataset)), 0.0),
        )


def _value(tag: int, groups: Sequence[Dataset], dataset: Dataset) -> tuple[float, ...]:
    for group in groups:
        for macro in items(group, _MACROS[tag])[:1]:
            found = figures(macro, tag)
            if found:
                return found
    return figures(dataset, tag)


def _arranged(planes: Sequence[Plane]) -> tuple[Geometry, list[int]]:
    """The grid of all planes, and the k of each; gaps are allowed, and so are several planes at one place."""
    first = planes[0]
    if any(np.abs(np.subtract(plane.orientation, first.orientation)).max() > _SAME_DIRECTION for plane in planes):
        raise GeometryError("slices of several orientations, such as a localizer")
    positions = np.array([plane.position for plane in planes])
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    depths = np.round(positions @ normal / _SAME_PLACE_MM)
    _, chosen, groups = np.unique(depths, return_index=True, return_inverse=True)
    if np.abs(positions - positions[chosen][groups]).max() > _SAME_PLACE_MM:
        raise GeometryError("slices lie beside each other")
    stack = stack_planes([planes[index] for index in chosen], fill_gaps=True)
    return stack.geometry, [stack.places[group] for group in groups]


def _greyscale(file: DicomFile, planes: Sequence[Plane]) -> Frames:
    image = read_frames(file)
    if image.photometric not in ("MONOCHROME1", "MONOCHROME2") or len(image.values) != len(planes):
        raise DeidError("refused: faces are found in greyscale images alone")
    return image


def _volume(
    grid: Geometry, images: Sequence[Frames], planes: Sequence[Sequence[Plane]], slices: Sequence[Sequence[int]]
) -> Volume:
    """The modality values of the series; the mean of the frames at one place, and a gap as the slice before it."""
    columns, rows, depth = grid.shape
    total, count = np.zeros((depth, rows, columns), dtype=np.float32), np.zeros(depth, dtype=np.int64)
    for image, several, places in zip(images, planes, slices, strict=True):
        for values, plane, place in zip(image.values, several, places, strict=True):
            total[place] += values * np.float32(plane.slope) + np.float32(plane.intercept)
            count[place] += 1
    filled = np.maximum.accumulate(np.where(count > 0, np.arange(depth), 0))
    mean = (total / np.maximum(count, 1)[:, np.newaxis, np.newaxis])[filled]
    return Volume(mean.transpose(2, 1, 0)[np.newaxis], grid)


def _darkest(images: Sequence[Frames]) -> int:
    """The stored value of the series that is shown darkest."""
    if images[0].photometric == "MONOCHROME1":
        return max(int(image.values.max()) for image in images)
    return min(int(image.values.min()) for image in images)


def _without_face(file: DicomFile, image: Frames, faces: NDArray[np.bool_], darkest: int) -> DicomFile:
    if not faces.any():
        return file
    fill = _padding(file.dataset, image)
    image.values[faces] = darkest if fill is None else fill
    changed = with_frames(file, image)
    _call_derived(changed.dataset)
    for tag in set(file.dataset.keys()) - set(changed.dataset.keys()):
        del file.dataset[tag]
    for tag in list(changed.dataset.keys()):
        file.dataset[tag] = changed.dataset.get_item(tag)
    return file if changed.syntax == file.syntax else replace(file, syntax=changed.syntax)


def _padding(dataset: Dataset, image: Frames) -> int | None:
    """Pixel Padding Value, if it is one that the pixels can hold (PS3.3 section C.7.5.1.1.2)."""
    if _PADDING not in dataset:
        return None
    content, is_signed = stored(dataset, dataset.get_item(_PADDING))[:2], figure(dataset, _SIGNED, 0) == 1
    value = int.from_bytes(content, "little" if encoding_of(dataset)[1] else "big", signed=is_signed)
    highest = 2 ** (image.bits_stored - is_signed) - 1
    return value if -(highest + 1) * is_signed <= value <= highest else None


def _call_derived(dataset: Dataset) -> None:
    """Frame Type as Image Type (PS3.3 section C.8.13.3.1); the range of values is not known any more."""
    for tag in (_SMALLEST, _LARGEST):
        if tag in dataset:
            del dataset[tag]
    for group in (*items(dataset, _SHARED), *items(dataset, _PER_FRAME)):
        for macro in items(group, _FRAME_TYPES):
            kinds = words(macro, _FRAME_TYPE)
            if kinds:
                macro.add_new(_FRAME_TYPE, "CS", ["DERIVED", *kinds[1:]])
