"""The one door to image files: readers by content, writers by suffix."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.core.errors import InputError, LabelError, ReadError, StudyError
from medseg.core.files import atomic_file, existing
from medseg.core.labels import LabelScheme
from medseg.core.volume import LabelMap, Labels, MultiLabelMap, Volume

from .dicom_header import read_header
from .dicom_read import read_series
from .label_values import as_label_map, as_multi_label_map, narrow
from .limits import decoding
from .meta_image import is_meta_image, read_meta_image, write_meta_image
from .nifti import decompressed_head, is_nifti, read_nifti, write_nifti
from .nrrd import is_nrrd, read_nrrd, write_nrrd
from .raster import is_raster, read_raster, read_raster_values, write_raster
from .studies import Series, find_series

SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".mha", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm")
"""Suffixes of image files, longest first; readers do not need them, they go by content."""
_WRITABLE = (".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".tif", ".tiff")
_HEAD = 4096


class Format(Enum):
    """A family of files that one module reads."""

    NIFTI = "NIfTI"
    NRRD = "NRRD"
    META_IMAGE = "MetaImage"
    RASTER = "PNG, JPEG or TIFF"
    DICOM = "DICOM"


def sniff(path: Path) -> Format:
    """What kind of image lies at ``path``, by its content; a folder is taken for DICOM.

    Raises:
        InputError: If nothing is there, or something that is neither a file nor a folder.
        ReadError: If the content is none of the formats.
    """
    if existing(path).is_dir():
        return Format.DICOM
    if not path.is_file():
        raise InputError(f"{str(path)!r} is neither a file nor a folder")
    with decoding(path):
        head = decompressed_head(path, _HEAD)
        if is_nifti(head):
            return Format.NIFTI
        if is_nrrd(head):
            return Format.NRRD
        if is_meta_image(head):
            return Format.META_IMAGE
        if is_raster(head):
            return Format.RASTER
        if read_header(path, ()) is not None:
            return Format.DICOM
        damaged = "empty" if path.stat().st_size == 0 else "damaged gzip"
        raise ReadError(
            f"{'not an image' if head else damaged}; medseg reads NIfTI, NRRD, MHA, PNG, JPEG, TIFF and DICOM"
        )


def image_stem(path: Path) -> str:
    """The name without the suffix of an image format: ``a.nii.gz`` gives ``a``; other names stay whole."""
    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")
    return path.name[: len(path.name) - len(suffix)]


def read_volume(path: Path) -> Volume:
    """The image at ``path``: a file of any format, or a folder that holds exactly one usable DICOM series.

    Channels are named ``image``; ``0``, ``1``, … if there are several; ``red``, ``green``, ``blue`` in pictures; the
    modality in DICOM. The world is RAS millimetres, or pixels for pictures.

    Raises:
        InputError: If nothing is there.
        ReadError: If the file is damaged, too large or no image.
        GeometryError: If its grid is broken.
        StudyError: If the folder holds no usable series, or several.
    """
    match sniff(path):
        case Format.NIFTI:
            return read_nifti(path)
        case Format.NRRD:
            return read_nrrd(path)
        case Format.META_IMAGE:
            return read_meta_image(path)
        case Format.RASTER:
            return read_raster(path)
        case Format.DICOM:
            return read_series(only_series(path))


def read_label_map(path: Path) -> LabelMap:
    """The label map at ``path``; whole numbers stored as floats become integers, palettes their indices.

    Raises:
        LabelError: If it holds fractions, or several channels, or is a JPEG, which does not keep values.
        MedsegError: As ``read_volume``.
    """
    if sniff(path) is Format.RASTER and decompressed_head(path, 2) == b"\xff\xd8":
        raise LabelError(f"{path.name}: a JPEG changes values, so it cannot hold a label map; save label maps as PNG")
    values = _read_values(path)
    with decoding(path):
        return as_label_map(values)


def read_multi_label_map(path: Path, structures: tuple[str, ...]) -> MultiLabelMap:
    """The masks at ``path``, one a structure: the volumes of a 4D NIfTI, the components of an NRRD or MHA.

    Raises:
        LabelError: If there are not as many masks as structures, or a mask holds anything but two values.
        MedsegError: As ``read_volume``.
    """
    values = _read_values(path)
    with decoding(path):
        return as_multi_label_map(values, structures)


def read_labels(path: Path, scheme: LabelScheme) -> Labels:
    """The labels at ``path`` as ``scheme`` needs them.

    They are a multi-label map where the scheme's structures overlap, or where the file holds one volume for each of
    the scheme's targets; else a label map.

    Raises:
        MedsegError: As ``read_label_map`` and ``read_multi_label_map``.
    """
    values = _read_values(path)
    with decoding(path):
        is_of_targets = len(values.channels) == len(scheme.targets)
        if scheme.overlapping:
            is_of_regions = is_of_targets and len(scheme.targets) != len(scheme.names)
            return as_multi_label_map(values, scheme.targets if is_of_regions else scheme.names)
        if len(values.channels) > 1 and is_of_targets:
            return as_multi_label_map(values, scheme.targets)
        return as_label_map(values)


def write_volume(path: Path, volume: Volume) -> None:
    """Write an image on its own grid, atomically; the format goes by the suffix.

    ``.nii``, ``.nii.gz``, ``.nrrd`` and ``.mha`` hold everything; ``.png``, ``.tif`` and ``.tiff`` hold pictures.
    Channel names are not kept, but for red, green and blue in pictures.

    Raises:
        InputError: If the suffix is none of these, or the format cannot hold the volume.
        OutputError: If the file cannot be written.
    """
    volume = Volume(_storable(volume.array), volume.geometry, volume.channels)
    name = path.name.lower()
    with _writer(path) as partial:
        if name.endswith((".nii", ".nii.gz")):
            write_nifti(partial, volume.array, volume.geometry)
        elif name.endswith(".nrrd"):
            write_nrrd(partial, volume.array, volume.geometry)
        elif name.endswith(".mha"):
            write_meta_image(partial, volume.array, volume.geometry)
        else:
            write_raster(partial, volume)


def write_label_map(path: Path, label_map: LabelMap) -> None:
    """Write a label map on its own grid, atomically, in its own type; formats and errors as ``write_volume``.

    Integers of 64 bits, which many programs cannot read, become the smallest unsigned type that holds them.
    """
    write_volume(path, Volume(narrow(label_map.array)[np.newaxis], label_map.geometry))


def write_multi_label_map(path: Path, labels: MultiLabelMap) -> None:
    """Write masks as uint8, as the volumes of a 4D NIfTI or the components of an NRRD; errors as ``write_volume``."""
    write_volume(path, Volume(labels.array.view(np.uint8), labels.geometry, labels.structures))


def write_labels(path: Path, labels: Labels, scheme: LabelScheme | None = None) -> None:
    """Write a label map or a multi-label map.

    The mask of a single region becomes a label map with the value of the region's first structure, since a file that
    holds one mask cannot be told from a label map.

    Args:
        path: As ``write_volume``.
        labels: What to write.
        scheme: What the labels mean; needed only where there are regions.

    Raises:
        MedsegError: As ``write_volume``.
    """
    region = scheme.regions[0] if scheme is not None and len(scheme.regions) == 1 else None
    if scheme is not None and region is not None and isinstance(labels, MultiLabelMap):
        value = scheme[region.structures[0]].value
        labels = LabelMap(labels.array[0] * np.min_scalar_type(value).type(value), labels.geometry)
    if isinstance(labels, MultiLabelMap):
        write_multi_label_map(path, labels)
    else:
        write_label_map(path, labels)


@contextmanager
def _writer(path: Path) -> Iterator[Path]:
    if not path.name.lower().endswith(_WRITABLE):
        raise InputError(f"cannot write {path.name!r}: its suffix is none of {', '.join(_WRITABLE)}")
    with atomic_file(path) as partial:
        yield partial


def only_series(path: Path) -> Series:
    """The one usable DICOM series at ``path``.

    Raises:
        StudyError: If there is none, or several.
    """
    inventory = find_series(path)
    usable = [series for series in inventory.series if series.problem is None]
    if len(usable) == 1:
        return usable[0]
    if usable:
        listed = "; ".join(f"{one.modality} of {one.rows}x{one.columns}, {one.frames} slices" for one in usable)
        raise StudyError(f"{path.name}: {len(usable)} usable series ({listed}); name the folder of one of them")
    if inventory.series:
        problems = f"{len(inventory.series)} DICOM series, none usable: {inventory.series[0].problem}"
        raise StudyError(f"{path.name}: {problems}")
    raise StudyError(f"{path.name}: holds no DICOM images")


def _read_values(path: Path) -> Volume:
    return read_raster_values(path) if sniff(path) is Format.RASTER else read_volume(path)


def _storable(array: NDArray[Any]) -> NDArray[Any]:
    """The array in a type that the formats know: bool as uint8, float16 as float32."""
    other = {"bool": np.uint8, "float16": np.float32}.get(array.dtype.name)
    return array if other is None else array.astype(other)
