"""Label maps, multi-label maps and probabilities as DICOM segmentations, through highdicom (PS3.3 section A.51)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from medseg.core.errors import DataError, DeidError, GeometryError, LabelError, OutputError
from medseg.core.files import atomic_file
from medseg.core.geometry import AxisMap, Geometry
from medseg.core.labels import LabelScheme, Structure
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap, Volume

from .dicom_codes import plain_text
from .dicom_elements import quietly
from .dicom_file import encode_dicom
from .dicom_head import MANUFACTURER
from .dicom_result import ResultHeader, SourceSeries
from .dicom_seg_file import SegmentationForm
from .dicom_seg_grid import axes_towards
from .dicom_seg_read import read_fractional, read_segmentation
from .dicom_seg_source import complete, stand_ins
from .dicom_segments import segment_descriptions

_LEVELS = 255
_TOLERANCE_VOXELS = 0.05


@dataclass(frozen=True, eq=False)
class _Content:
    """What is to be written.

    Attributes:
        array: Segment numbers, shape ``(i, j, k)``; or a mask or probabilities a segment, shape ``(n, i, j, k)``.
        structures: One a segment.
        numbers: Of the segments, ascending.
        form: How to store it.
        all_frames: Whether frames that hold nothing are written too.
    """

    array: NDArray[Any]
    structures: tuple[Structure, ...]
    numbers: tuple[int, ...]
    form: SegmentationForm
    all_frames: bool


def write_segmentation(
    path: Path,
    segmentation: Segmentation,
    source: SourceSeries,
    header: ResultHeader,
    form: SegmentationForm = SegmentationForm.BINARY,
    *,
    all_frames: bool = False,
) -> None:
    """Write the structures as a DICOM segmentation on the source's grid, after reading it back.

    Segments keep the order of the scheme's targets and are numbered from 1; in a label map they are numbered by their
    values instead. Frames without any structure are left out, unless all are wanted or none holds one. Voxels with the
    scheme's ignore value are background.

    Args:
        path: Where to, atomically.
        segmentation: On the source's grid, in any order and direction of axes.
        source: The series that it is about.
        header: What tells the object from others.
        form: Binary takes a bit a voxel and structures that overlap; a label map is run-length encoded and takes one
            structure a voxel; fractional is run-length encoded with probabilities of 0 and 1.
        all_frames: Write a frame for each slice, and for each segment in the first and the last form.

    Raises:
        GeometryError: If the labels do not lie on the source's grid.
        LabelError: If a value is not in the scheme, or structures overlap in a label map.
        StudyError: If a source file names no SOP class.
        OutputError: If the file cannot be written, or does not read back as what it was made from.
    """
    content = _content(segmentation, source.geometry, form, all_frames=all_frames)

    def differs(written: Path) -> bool:
        return _differ(read_segmentation(written, source.geometry), content)

    _release(path, _encoded(content, source, header), differs)


def write_fractional(
    path: Path,
    probabilities: Volume,
    scheme: LabelScheme,
    source: SourceSeries,
    header: ResultHeader,
    *,
    all_frames: bool = False,
) -> None:
    """Write probabilities as a fractional DICOM segmentation on the source's grid, after reading it back.

    They are stored in 255 steps, so they come back within 0.002, run-length encoded.

    Args:
        path: Where to, atomically.
        probabilities: In [0, 1], a channel for each target of the scheme, named after it; on the source's grid, in any
            order and direction of axes.
        scheme: What the targets are.
        source: The series that it is about.
        header: What tells the object from others.
        all_frames: As for ``write_segmentation``.

    Raises:
        GeometryError: If the probabilities do not lie on the source's grid.
        LabelError: If channels and targets differ, or a value is no probability.
        StudyError: As ``write_segmentation``.
        OutputError: As ``write_segmentation``.
    """
    if sorted(probabilities.channels) != sorted(scheme.targets):
        raise LabelError(f"probabilities of {', '.join(probabilities.channels)} for {', '.join(scheme.targets)}")
    order = [probabilities.channels.index(name) for name in scheme.targets]
    array = _axes_onto(probabilities.geometry, source.geometry).apply(probabilities.array)
    steps = np.empty((len(order), *source.geometry.shape[::-1]), dtype=np.uint8).transpose(0, 3, 2, 1)
    for target, channel in enumerate(order):
        steps[target] = _steps(array[channel])
    structures = scheme.target_structures
    numbers = tuple(range(1, len(structures) + 1))
    shares = steps / np.float32(_LEVELS)
    content = _Content(shares, structures, numbers, SegmentationForm.FRACTIONAL, all_frames)

    def differs(written: Path) -> bool:
        read, _ = read_fractional(written, source.geometry)
        return any((np.rint(one * _LEVELS) != two).any() for one, two in zip(read.array, steps, strict=True))

    _release(path, _encoded(content, source, header), differs)


def _content(segmentation: Segmentation, grid: Geometry, form: SegmentationForm, *, all_frames: bool) -> _Content:
    scheme, labels = segmentation.scheme, segmentation.labels
    axes = _axes_onto(labels.geometry, grid)
    structures = scheme.target_structures
    if isinstance(labels, LabelMap) and not scheme.regions:
        array: NDArray[Any] = _segment_numbers(labels, scheme)
    else:
        array = np.stack([mask for _, mask in segmentation.masks()])
    numbers = tuple(range(1, len(structures) + 1))
    if form is SegmentationForm.LABELMAP:
        order = sorted(range(len(structures)), key=lambda index: structures[index].value)
        table = np.array([0, *(structure.value for structure in structures)], dtype=_value_type(structures))
        array = table[_merged(array) if array.ndim == 4 else array]
        structures = tuple(structures[index] for index in order)
        numbers = tuple(structure.value for structure in structures)
    return _Content(_frame_after_frame(axes.apply(array)), structures, numbers, form, all_frames)


def _segment_numbers(labels: LabelMap, scheme: LabelScheme) -> NDArray[np.uint8]:
    """1 … n the structures in order, 0 where there is none."""
    indices = scheme.class_indices(labels)
    if scheme.ignore is not None:
        indices[labels.array == scheme.ignore] = 0
    return indices


def _merged(masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Masks that do not overlap as 1 … n."""
    merged = np.zeros(masks.shape[1:], dtype=np.uint8)
    for number, mask in enumerate(masks, start=1):
        if merged[mask].any():
            raise LabelError("structures overlap, which a label map cannot hold; write the segmentation as binary")
        merged[mask] = number
    return merged


def _value_type(structures: tuple[Structure, ...]) -> type[np.unsignedinteger[Any]]:
    return np.uint8 if max(structure.value for structure in structures) <= 255 else np.uint16


def _steps(probabilities: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = float(probabilities.min()), float(probabilities.max())
    if not 0 <= low <= high <= 1:  # NaN is in no range
        raise LabelError(f"probabilities from {low:g} to {high:g}; they have to be in [0, 1]")
    steps: NDArray[np.uint8] = np.rint(probabilities * np.float32(_LEVELS)).astype(np.uint8)
    return steps


def _axes_onto(geometry: Geometry, grid: Geometry) -> AxisMap:
    """The map that brings an array to the source's grid, which holds the same voxels in maybe another order.

    Raises:
        GeometryError: If they are other voxels.
    """
    axes = axes_towards(geometry, grid.affine[:3, :3] / grid.spacing)
    mine = geometry.mapped(axes)
    if mine.shape != grid.shape:
        raise GeometryError(f"labels of shape {mine.shape} for a series of shape {grid.shape}; resample them first")
    offset, allowed = mine.offset(grid), _TOLERANCE_VOXELS * min(grid.spacing)
    if offset > allowed:
        raise GeometryError(
            f"labels lie up to {offset:.2f} mm beside the voxels of their source series, allowed are {allowed:.2f} mm; "
            "resample them to its grid first"
        )
    return axes


def _encoded(content: _Content, source: SourceSeries, header: ResultHeader) -> bytes:
    """The object as a file."""
    syntax = ExplicitVRLittleEndian if content.form is SegmentationForm.BINARY else RLELossless
    with quietly():
        dataset = _built(content, source, header)
        complete(dataset, source, header)
        if content.form is SegmentationForm.BINARY:
            _pad_bits(dataset)
        else:
            _compress(dataset)
    try:
        return encode_dicom(dataset, str(syntax))
    except DeidError as error:
        raise OutputError(f"a segmentation cannot be encoded: {error}") from None


def _built(content: _Content, source: SourceSeries, header: ResultHeader) -> Dataset:
    from highdicom.seg import Segmentation as SegmentationObject  # noqa: PLC0415 - takes a second to load

    return SegmentationObject(
        source_images=stand_ins(source),
        pixel_array=_as_frames(content.array),
        segmentation_type=content.form.value.upper(),
        segment_descriptions=segment_descriptions(content.structures, content.numbers, header),
        series_instance_uid=header.series_uid,
        series_number=header.series_number,
        sop_instance_uid=header.instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=plain_text(header.algorithm.name),
        software_versions=plain_text(header.algorithm.version),
        device_serial_number="0",
        content_label="SEGMENTATION",
        content_description=plain_text(header.description),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        max_fractional_value=_LEVELS,
        omit_empty_frames=not content.all_frames and bool(content.array.any()),
    )


def _frame_after_frame(array: NDArray[Any]) -> NDArray[Any]:
    """The same values, laid out in memory as they are written and read."""
    return np.ascontiguousarray(np.swapaxes(array, -1, -3)).swapaxes(-1, -3)


def _as_frames(array: NDArray[Any]) -> NDArray[Any]:
    """From ``(i, j, k)`` to ``(k, j, i)``, from ``(n, i, j, k)`` to ``(k, j, i, n)``."""
    return array.transpose(2, 1, 0) if array.ndim == 3 else array.transpose(3, 2, 1, 0)


def _pad_bits(dataset: Dataset) -> None:
    """Zeros behind the last bit, where highdicom 0.28 has the letter 0; frames of less than 8 pixels without gaps."""
    frames, pixels = int(dataset.NumberOfFrames), dataset.Rows * dataset.Columns
    needed, stored = -(-frames * pixels // 8), dataset.PixelData
    if pixels < 8:  # highdicom gives each of them a byte
        bits = np.unpackbits(np.frombuffer(stored, np.uint8, frames), bitorder="little").reshape(frames, 8)
        stored = np.packbits(bits[:, :pixels], bitorder="little").tobytes()
    dataset["PixelData"].value = stored[:needed] + b"\0" * (needed % 2)


def _compress(dataset: Dataset) -> None:
    """Run-length encode the frames by pydicom: GDCM, which highdicom would take, ends the process at odd sizes."""
    encoder = get_encoder(RLELossless)
    size = dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8
    frames = [
        encoder.encode(
            dataset.PixelData[frame * size : (frame + 1) * size],
            encoding_plugin="pydicom",
            rows=dataset.Rows,
            columns=dataset.Columns,
            samples_per_pixel=1,
            number_of_frames=1,
            bits_allocated=dataset.BitsAllocated,
            bits_stored=dataset.BitsStored,
            pixel_representation=0,
            photometric_interpretation="MONOCHROME2",
        )
        for frame in range(int(dataset.NumberOfFrames))
    ]
    element = dataset["PixelData"]
    element.value, element.VR, element.is_undefined_length = encapsulate(frames), "OB", True


def _release(path: Path, encoded: bytes, differs: Callable[[Path], bool]) -> None:
    """Write the file and let it take its place only if it reads back as what was to be written."""
    with atomic_file(path) as partial:
        partial.write_bytes(encoded)
        try:
            is_wrong = differs(partial)
        except DataError as error:
            raise OutputError(f"the segmentation cannot be read back, so it is not kept: {error}") from None
        if is_wrong:
            raise OutputError("the segmentation does not hold what it was made from, so it is not kept")


def _differ(read: Segmentation, content: _Content) -> bool:
    """Whether any voxel of what was read differs from what was to be written."""
    labels, array = read.labels, content.array
    if array.ndim == 3 or isinstance(labels, MultiLabelMap):
        return labels.array.shape != array.shape or bool((labels.array != array).any())
    pairs = zip(content.numbers, array, strict=True)
    return any(bool(((labels.array == number) != mask).any()) for number, mask in pairs)
