"""``medseg convert``: outlines in one form become another, on the grid of their image."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

import medseg
from medseg.batch.outputs import Product, ResultForm, completed, paths_of, voxel_counts, write_form, write_forms
from medseg.core.errors import InputError, StudyError
from medseg.core.files import atomic_folder, existing, flush_folder
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.segmentation import Segmentation
from medseg.core.volume import Volume
from medseg.evaluation.schemes import read_scheme
from medseg.io.dicom_read import read_series
from medseg.io.dicom_result import Algorithm, ResultHeader, SourceSeries, derived_uid, read_source
from medseg.io.dicom_seg_file import SegmentationForm, open_segmentation
from medseg.io.dicom_seg_read import read_fractional
from medseg.io.formats import Format, read_volume, sniff, write_labels
from medseg.io.label_files import OutlineKind, outline_kind, read_outlines
from medseg.io.studies import Series, find_series

_PROBABLE = (ResultForm.SEG_FRACTIONAL, ResultForm.PROBABILITIES)
_NEEDING_IMAGE = (ResultForm.CAPTURE,)
_FOLDERS = (ResultForm.STL, ResultForm.CAPTURE)  # that one form fills
_BY_SUFFIX = {".seg.nrrd": ResultForm.NRRD, ".stl": ResultForm.STL, ".obj": ResultForm.OBJ, ".dcm": ResultForm.SEG}
_LABEL_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".tif", ".tiff")
_SERIES_NUMBERS = {form: 9101 + index for index, form in enumerate(ResultForm)}


@dataclass(frozen=True)
class ConvertOptions:
    """What varies.

    Attributes:
        forms: What to write, into a folder if there are several; none goes by the output's suffix.
        source: The image that was outlined: a DICOM series, which DICOM results refer to, or any image.
        labels: JSON that names the label values; None for the names in the input, or the values themselves.
        smooth: Whether surfaces are smoothed.
        all_frames: Whether DICOM segmentations have a frame for every slice.
    """

    forms: tuple[ResultForm, ...] = ()
    source: Path | None = None
    labels: Path | None = None
    smooth: bool = True
    all_frames: bool = False


@dataclass(frozen=True)
class Converted:
    """What was written, and what it holds."""

    outputs: tuple[Path, ...]
    voxels: dict[str, int]


@dataclass(frozen=True, eq=False)
class _Image:
    """What was outlined; read only as far as it is needed."""

    path: Path
    series: Series | None
    grid: Geometry

    def volume(self) -> Volume:
        return read_volume(self.path) if self.series is None else read_series(self.series)

    def source(self) -> SourceSeries | None:
        return None if self.series is None else read_source(self.series)


def convert(inputs: Path, output: Path, options: ConvertOptions | None = None) -> Converted:
    """Write outlines in other forms.

    Args:
        inputs: DICOM SEG or RTSTRUCT, NIfTI, NRRD, Slicer's ``.seg.nrrd``, MHA, PNG, STL or OBJ.
        output: A file, whose suffix tells the form where none is named; or a folder for several forms.
        options: Forms, image and names.

    Raises:
        InputError: If the form needs an image that was not named, the output would replace an input, or is a folder
            that holds something.
        StudyError: If the image's folder holds several series.
        GeometryError: If the outlines do not lie on the image's grid.
        ReadError: If a file is damaged.
        OutputError: If nothing can be written, or what was written would not read back as the same.
    """
    options = options or ConvertOptions()
    _check_output(existing(inputs), output, options)
    forms = completed(options.forms) or _form_of(output)
    if _is_folder(output, forms):
        _check_empty(output)
    image = _image(options.source) if options.source else None
    scheme = read_scheme(options.labels) if options.labels else None
    product = _product(inputs, image, scheme, forms)
    product = replace(product, smooth=options.smooth, all_frames=options.all_frames)
    return Converted(_written(output, product, forms), dict(voxel_counts(product.segmentation)))


def _check_output(inputs: Path, output: Path, options: ConvertOptions) -> None:
    for path in (inputs, options.source):
        if path is not None and output.resolve() == path.resolve():
            raise InputError("the output would replace its input; name another one")


def _is_folder(output: Path, forms: tuple[ResultForm, ...]) -> bool:
    """Whether the result is a folder of files."""
    if len(forms) == 1 and output.suffix:
        return forms[0] in _FOLDERS
    return bool(forms)


def _check_empty(folder: Path) -> None:
    """What is written takes the place of the whole folder, so nothing may be in it."""
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{str(folder)!r} holds something, which the result would replace; name a new folder")


def _form_of(output: Path) -> tuple[ResultForm, ...]:
    """What the suffix of a file asks for; nothing for plain label maps."""
    name = output.name.lower()
    form = next((form for suffix, form in _BY_SUFFIX.items() if name.endswith(suffix)), None)
    if form is None and not name.endswith(_LABEL_SUFFIXES):
        known = ", ".join((*_BY_SUFFIX, *_LABEL_SUFFIXES))
        raise InputError(f"the suffix of {output.name!r} tells no form; use one of {known}, or name forms by --to")
    return (form,) if form else ()


def _image(path: Path) -> _Image:
    if sniff(path) is not Format.DICOM:
        return _Image(path, None, read_volume(path).geometry)
    usable = [one for one in find_series(path).series if one.problem is None and one.geometry is not None]
    if len(usable) != 1 or usable[0].geometry is None:
        raise StudyError(
            f"--source holds {len(usable)} usable DICOM series; name the folder of the one that was outlined"
        )
    return _Image(path, usable[0], usable[0].geometry)


def _product(inputs: Path, image: _Image | None, scheme: LabelScheme | None, forms: Sequence[ResultForm]) -> Product:
    segmentation, probabilities = read_outlines(inputs, image.grid if image else None, scheme), None
    if set(forms) & set(_PROBABLE):
        probabilities = _probabilities(inputs, segmentation)
    needs_image = bool(set(forms) & set(_NEEDING_IMAGE)) and image is not None
    return Product(
        segmentation,
        image.volume() if image is not None and needs_image else None,
        probabilities,
        image.source() if image is not None and any(form.is_dicom for form in forms) else None,
        partial(_header, _digest(segmentation, image), datetime.now(UTC).astimezone()),
    )


def _probabilities(inputs: Path, segmentation: Segmentation) -> Volume:
    """The probabilities of a DICOM segmentation; labels of any other kind are certain."""
    kind, file = outline_kind(inputs)
    targets = segmentation.scheme.targets
    if kind is OutlineKind.SEGMENTATION and open_segmentation(file).form is SegmentationForm.FRACTIONAL:
        volume, scheme = read_fractional(file, segmentation.geometry)
        if scheme.targets == targets:
            return volume
    masks = np.stack([mask for _, mask in segmentation.masks()]).astype(np.float32)
    return Volume(masks, segmentation.geometry, targets)


def _digest(segmentation: Segmentation, image: _Image | None) -> str:
    """The same for the same outlines of the same series, so that a PACS keeps one object of them."""
    digest = hashlib.sha256(np.ascontiguousarray(segmentation.labels.array).view(np.uint8).data)
    digest.update((image.series.uid if image and image.series else "").encode())
    return digest.hexdigest()


def _header(digest: str, made: datetime, form: ResultForm) -> ResultHeader:
    series, instance = (derived_uid(f"{what} {form} {digest}") for what in ("series", "instance"))
    algorithm = Algorithm("medseg convert", medseg.__version__)
    return ResultHeader(series, instance, _SERIES_NUMBERS[form], f"medseg convert {form}", algorithm, made)


def _written(output: Path, product: Product, forms: tuple[ResultForm, ...]) -> tuple[Path, ...]:
    if not forms:
        write_labels(output, product.segmentation.labels, product.segmentation.scheme)
        return (output,)
    if len(forms) == 1 and (output.suffix or forms[0] in _FOLDERS):
        output.parent.mkdir(parents=True, exist_ok=True)
        write_form(output, product, forms[0], forms)
        return (output,)
    with atomic_folder(output) as folder:
        write_forms(folder, product, forms)
        flush_folder(folder)
    return tuple(output / name for name in paths_of(forms))
