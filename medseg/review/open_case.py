"""A case with its voxels: the image, and outlines that lie on its grid."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from medseg.batch.select import SAME_GRID_MM
from medseg.core.case import grid_difference
from medseg.core.errors import DataError, GeometryError, InputError
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, Labels, MultiLabelMap, Volume
from medseg.io.formats import image_stem, read_volume
from medseg.io.studies import Series

from .case_files import CaseFiles, ImageSource, ReadImage
from .hidden_names import speaking_of
from .image_sources import PathsImage
from .outline_reading import (
    OutlineFile,
    empty_labels,
    read_exactly,
    read_to_compare,
    read_unnamed,
    shown_scheme,
    unnamed_scheme,
)

_UNCERTAINTY = "uncertainty"
_ROUNDING = 1e-3


@dataclass(frozen=True, eq=False)
class OpenCase:
    """A case whose voxels were read.

    Attributes:
        files: Where they came from.
        volume: The image.
        prediction: The outlines to review, on the image's grid and without values that the scheme does not name; empty
            if there are none. Structures that overlap, and the targets of a model that learned regions, are masks.
        scheme: What outlines of this case hold; it has no regions, for each of them is a structure here.
        notes: What a reader has to know of what they see, a sentence each.
    """

    files: CaseFiles
    volume: Volume = field(repr=False)
    prediction: Segmentation = field(repr=False)
    scheme: LabelScheme
    notes: tuple[str, ...] = ()


def open_case(files: CaseFiles) -> OpenCase:
    """Read the image and the outlines to review.

    Outlines may be stored with other directions of axes; nothing is resampled. Where the case is one of a batch and
    its files were not found by a quick look, all files of the studies are asked.

    Raises:
        GeometryError: If the outlines do not lie on the image's grid.
        LabelError: If they hold values that nobody named.
        InputError: If a path leads out of the folders of its source.
        DataError: If a file cannot be read, or the series is not there. No message names a file.
    """
    paths = [path for path in (*files.image, files.prediction, files.reference) if path is not None]
    source = _source(files)
    while True:
        try:
            with speaking_of(files):
                _check_inside(files, *paths)
                return _opened(files, source.read())
        except DataError:
            again = source.again()
            if again is None:
                raise
            source = again


def read_reference(case: OpenCase) -> Segmentation | None:
    """The reference on the image's grid, as the case's scheme has it; None if there is none.

    What it holds besides the structures of the scheme is left out.

    Raises:
        MedsegError: As ``open_case``.
    """
    files = case.files
    if files.reference is None:
        return None
    stored = files.reference_scheme or files.scheme or case.scheme
    return _compared(case, OutlineFile(files.reference, stored, item=files.reference_item))


def read_other(case: OpenCase, name: str) -> Segmentation:
    """Outlines of another reader or model, as ``read_reference``.

    Raises:
        InputError: If there are none of that name.
        MedsegError: As ``open_case``.
    """
    files = case.files
    if name not in files.others:
        raise InputError(f"case {files.name} has no outlines by that name; it has {', '.join(files.others) or 'none'}")
    stored = files.other_schemes.get(name) or files.scheme or case.scheme
    return _compared(case, OutlineFile(files.others[name], stored, is_predicted=True))


def read_uncertainty(case: OpenCase) -> Volume | None:
    """How unsure the model was, from 0 (sure) to 1, float32, one channel; None if nothing was kept.

    From probabilities it is what `medseg predict --entropy` writes: the entropy over the classes, or the mean of the
    targets' binary entropies where these may overlap, divided by its largest value.

    Raises:
        DataError: If the map does not lie on the image's grid, or holds other numbers.
        InputError: If its path leads out of the folders of its source.
    """
    path = case.files.uncertainty
    if path is None:
        return None
    with speaking_of(case.files):
        _check_inside(case.files, path)
        grid = case.volume.geometry
        volume = read_volume(path).reoriented(grid.axis_codes)
        _check_grid(volume, grid, "the map of uncertainty")
        if image_stem(path).endswith("probabilities"):
            values = _entropy(volume.array, is_exclusive=isinstance(case.prediction.labels, LabelMap))
        else:
            values = _shares(volume.array[:1])
        return Volume(values, grid, (_UNCERTAINTY,))


def series_of(files: CaseFiles) -> tuple[Series, ...]:
    """The DICOM series that a case is, one a channel; empty if it is not DICOM.

    Raises:
        MedsegError: If they are not there or cannot be used. No message names a file.
    """
    with speaking_of(files):
        _check_inside(files, *files.image)
        return _source(files).series()


def _opened(files: CaseFiles, image: ReadImage) -> OpenCase:
    grid = image.volume.geometry
    found = None
    if files.prediction is not None and files.scheme is not None:
        found = read_exactly(OutlineFile(files.prediction, files.scheme, is_predicted=True), grid)
    elif files.prediction is not None:
        found = read_unnamed(files.prediction, grid)
    scheme = shown_scheme(files.scheme) if files.scheme else unnamed_scheme(found, files.reference, grid)
    if found is None:
        prediction = Segmentation(empty_labels(scheme, grid), scheme)
    else:
        scheme = replace(scheme, overlapping=isinstance(found.labels, MultiLabelMap))
        prediction = Segmentation(_on_grid(found.labels, grid, "the outlines"), scheme)
    return OpenCase(files, image.volume, prediction, scheme, (image.note,) if image.note else ())


def _compared(case: OpenCase, file: OutlineFile) -> Segmentation:
    with speaking_of(case.files):
        grid = case.volume.geometry
        _check_inside(case.files, file.path)
        found = read_to_compare(file, grid, case.scheme)
        return Segmentation(_on_grid(found.labels, grid, "the outlines to compare with"), case.scheme)


def _source(files: CaseFiles) -> ImageSource:
    return files.source or PathsImage(files.image)


def _check_inside(files: CaseFiles, *paths: Path) -> None:
    """Refuse what a link leads out of the folders of its source.

    Raises:
        InputError: If a path, or something in the folder that it names, lies elsewhere.
    """
    roots = [root.resolve() for root in files.roots]
    for path in paths if roots else ():
        below = [one for one in path.rglob("*") if one.is_symlink()] if path.is_dir() else []
        if not all(any(one.resolve().is_relative_to(root) for root in roots) for one in (path, *below)):
            raise InputError(
                "a file lies outside of the folders of its source, or a link leads there; name its own folder"
            )


def _on_grid(labels: Labels, grid: Geometry, what: str) -> Labels:
    """The labels with the image's directions of axes, and with its very grid.

    Raises:
        GeometryError: If they lie elsewhere.
    """
    turned = labels.reoriented(grid.axis_codes)
    _check_grid(turned, grid, what)
    return replace(turned, geometry=grid)


def _check_grid(found: Volume | Labels, grid: Geometry, what: str) -> None:
    if not grid.is_close(found.geometry, SAME_GRID_MM):
        image = Volume(np.broadcast_to(np.uint8(0), (1, *grid.shape)), grid)
        clause = grid_difference(image, found, f"the image and {what}")
        raise GeometryError(f"{clause}; were they made of another image, or has it changed since?")


def _entropy(probabilities: NDArray[np.generic], *, is_exclusive: bool) -> NDArray[np.float32]:
    """Entropy of the targets' probabilities, shape ``(t, i, j, k)``, plane by plane, divided by its largest value."""
    count = len(probabilities)
    entropy = np.empty((1, *probabilities.shape[1:]), np.float32)
    for k in range(probabilities.shape[-1]):
        shares = _shares(probabilities[..., k])
        rest = np.clip(1 - shares.sum(axis=0), 0, 1) if is_exclusive else 1 - shares
        total = entr(shares).sum(axis=0) + (entr(rest) if is_exclusive else entr(rest).sum(axis=0))
        entropy[0, ..., k] = total / (math.log(count + 1) if is_exclusive else count * math.log(2))
    return np.clip(entropy, 0, 1)


def _shares(values: NDArray[np.generic]) -> NDArray[np.float32]:
    """The values as numbers in [0, 1]; what rounding took out of it is put back."""
    shares = values.astype(np.float32)
    low, high = float(shares.min()), float(shares.max())
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # a NaN is refused too
        raise DataError(f"the map of uncertainty holds values from {low:g} to {high:g}; they lie between 0 and 1")
    return np.clip(shares, 0, 1)
