"""A result in every form that somebody may want, each under one name in one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL.Image import Image

from medseg.core.errors import InputError
from medseg.core.files import atomic_file
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, Volume
from medseg.io.capture import write_capture
from medseg.io.dicom_result import ResultHeader, SourceSeries
from medseg.io.dicom_seg_file import LABEL_MAP_CLASS, SEGMENTATION_CLASS, SegmentationForm
from medseg.io.dicom_seg_write import write_fractional, write_segmentation
from medseg.io.dicom_segments import tracking_uid
from medseg.io.formats import write_labels, write_volume
from medseg.io.mesh import write_surfaces
from medseg.io.report_sr import ReferencedSegmentation, StructureMeasurements, write_measurement_report
from medseg.io.rtstruct_write import write_structure_set
from medseg.io.slicer_nrrd import write_slicer_nrrd
from medseg.render.capture import capture_pictures
from medseg.render.preview import preview

_THUMBNAIL_WIDTH, _QUALITY = 720, 80


class ResultForm(StrEnum):
    """What a result can be written as."""

    SEG = "seg"
    SEG_LABELMAP = "seg-labelmap"
    SEG_FRACTIONAL = "seg-fractional"
    RTSTRUCT = "rtstruct"
    REPORT = "sr"
    CAPTURE = "capture"
    NIFTI = "nifti"
    NRRD = "nrrd"
    STL = "stl"
    OBJ = "obj"
    PROBABILITIES = "probabilities"

    @property
    def is_dicom(self) -> bool:
        """Whether it is a DICOM object, which refers to a DICOM series."""
        return self in _DICOM


_DICOM = (
    *(ResultForm.SEG, ResultForm.SEG_LABELMAP, ResultForm.SEG_FRACTIONAL),
    *(ResultForm.RTSTRUCT, ResultForm.REPORT, ResultForm.CAPTURE),
)
_NAMES = {
    ResultForm.SEG: "seg.dcm",
    ResultForm.SEG_LABELMAP: "seg_labelmap.dcm",
    ResultForm.SEG_FRACTIONAL: "seg_fractional.dcm",
    ResultForm.RTSTRUCT: "rtstruct.dcm",
    ResultForm.REPORT: "report.dcm",
    ResultForm.CAPTURE: "capture",
    ResultForm.NIFTI: "labels.nii.gz",
    ResultForm.NRRD: "labels.seg.nrrd",
    ResultForm.STL: "surfaces",
    ResultForm.OBJ: "surfaces.obj",
    ResultForm.PROBABILITIES: "probabilities.nii.gz",
}
"""What each form is called in the folder of a result."""
_REFERRED = {ResultForm.SEG: SegmentationForm.BINARY, ResultForm.SEG_LABELMAP: SegmentationForm.LABELMAP}
"""Forms that a report can refer to."""
THUMBNAIL = "preview.jpg"


@dataclass(frozen=True, eq=False)
class Product:
    """A result, with all that its forms are made from.

    Attributes:
        segmentation: The labels, on the image's grid, and what they mean.
        volume: The image; None if only the labels are known.
        probabilities: A channel a target; None if they were not kept.
        source: The DICOM series that the image is; None if it is none.
        headers: The header of the DICOM object of each form.
        smooth: Whether surfaces are smoothed; without it, they give the same voxels when they are read.
        all_frames: Whether DICOM segmentations have a frame for every slice, empty ones too.
    """

    segmentation: Segmentation
    volume: Volume | None
    probabilities: Volume | None
    source: SourceSeries | None
    headers: Callable[[ResultForm], ResultHeader]
    smooth: bool = True
    all_frames: bool = False

    @cached_property
    def series(self) -> SourceSeries:
        """The DICOM series.

        Raises:
            InputError: If there is none.
        """
        if self.source is None:
            raise InputError("a DICOM object refers to the DICOM series that was outlined; name it by --source")
        return self.source


def completed(forms: Sequence[ResultForm]) -> tuple[ResultForm, ...]:
    """The forms without doubles, with the segmentation that a report refers to, in the order of writing."""
    wanted = set(forms)
    if ResultForm.REPORT in wanted and not wanted & set(_REFERRED):
        wanted.add(ResultForm.SEG)
    return tuple(form for form in ResultForm if form in wanted)


def write_forms(folder: Path, product: Product, forms: Sequence[ResultForm]) -> None:
    """Write a result in some forms, as ``completed`` has them, into a folder that is there.

    Raises:
        InputError: If a form needs what the product lacks.
        LabelError: If structures overlap in a form that cannot hold that, or there is nothing to make a surface of.
        OutputError: If a file cannot be written, or what was written is not what it should be.
    """
    for form in forms:
        write_form(folder / _NAMES[form], product, form, forms)


def write_form(path: Path, product: Product, form: ResultForm, forms: Sequence[ResultForm]) -> None:
    """Write a result in one form; ``forms`` are all that are written of it, among which a report finds its segments."""
    if form.is_dicom:
        _write_dicom(path, product, form, forms)
        return
    match form:
        case ResultForm.NIFTI:
            write_labels(path, product.segmentation.labels, product.segmentation.scheme)
        case ResultForm.NRRD:
            write_slicer_nrrd(path, product.segmentation)
        case ResultForm.STL | ResultForm.OBJ:
            _write_surfaces(path, product)
        case ResultForm.PROBABILITIES:
            write_volume(path, _probabilities(product))


def _write_dicom(path: Path, product: Product, form: ResultForm, forms: Sequence[ResultForm]) -> None:
    segmentation, source, header = product.segmentation, product.series, product.headers(form)
    match form:
        case ResultForm.SEG | ResultForm.SEG_LABELMAP:
            write_segmentation(path, segmentation, source, header, _REFERRED[form], all_frames=product.all_frames)
        case ResultForm.SEG_FRACTIONAL:
            maps = _probabilities(product)
            write_fractional(path, maps, segmentation.scheme, source, header, all_frames=product.all_frames)
        case ResultForm.RTSTRUCT:
            write_structure_set(path, segmentation, source, header)
        case ResultForm.REPORT:
            _write_report(path, product, next(one for one in _REFERRED if one in forms))
        case ResultForm.CAPTURE:
            _write_capture(path, product)


def write_thumbnail(path: Path, product: Product) -> None:
    """Write a small picture of the result as JPEG."""
    if product.volume is None:
        raise InputError("a picture needs the image")
    picture = thumbnail(preview(product.volume, product.segmentation.labels, product.segmentation.scheme))
    with atomic_file(path) as partial:
        picture.save(partial, format="JPEG", quality=_QUALITY)


def thumbnail(picture: Image) -> Image:
    """The picture, no wider than 720 pixels."""
    small = picture.convert("RGB")
    small.thumbnail((_THUMBNAIL_WIDTH, _THUMBNAIL_WIDTH))
    return small


def voxel_counts(segmentation: Segmentation) -> Mapping[str, int]:
    """Voxels of each target."""
    labels, scheme = segmentation.labels, segmentation.scheme
    if isinstance(labels, LabelMap) and scheme.is_exclusive:
        counts = np.zeros(max(scheme.values) + 1, np.int64)
        for plane in labels.array.T:  # bincount makes 64-bit numbers of what it counts
            found = np.bincount(plane.reshape(-1), minlength=len(counts))
            counts += found[: len(counts)]
        return {one.name: int(counts[one.value]) for one in scheme.structures}
    return {structure.name: int(mask.sum()) for structure, mask in segmentation.masks()}


def _probabilities(product: Product) -> Volume:
    if product.probabilities is None:
        raise InputError("this form holds probabilities, and only labels are known")
    return product.probabilities


def _write_report(path: Path, product: Product, referred: ResultForm) -> None:
    counts, grid = voxel_counts(product.segmentation), product.segmentation.geometry
    is_label_map = referred is ResultForm.SEG_LABELMAP  # its segments are numbered by their values
    header = product.headers(referred)
    measured = [
        StructureMeasurements(
            structure=one,
            segment_number=one.value if is_label_map else place,
            volume_ml=counts[one.name] * grid.voxel_volume / 1000,
            tracking_uid=tracking_uid(header, one.name),
        )
        for place, one in enumerate(product.segmentation.scheme.target_structures, start=1)
    ]
    sop_class = LABEL_MAP_CLASS if is_label_map else SEGMENTATION_CLASS
    reference = ReferencedSegmentation(sop_class, header.instance_uid, header.series_uid)
    write_measurement_report(path, measured, product.series, product.headers(ResultForm.REPORT), reference)


def _write_capture(path: Path, product: Product) -> None:
    if product.volume is None:
        raise InputError("a capture needs the image; name it by --source")
    series = product.series
    pictures = capture_pictures(product.volume, product.segmentation, [one.place for one in series.slices])
    write_capture(path, pictures, series, product.headers(ResultForm.CAPTURE))


def _write_surfaces(path: Path, product: Product) -> None:
    """Surfaces, or an empty folder or file where there is nothing: an empty result is a result."""
    if any(voxel_counts(product.segmentation).values()):
        write_surfaces(path, product.segmentation, smooth=product.smooth)
    elif path.suffix:
        path.write_text("# nothing was outlined\n", encoding="utf-8")
    else:
        path.mkdir()


def paths_of(forms: Sequence[ResultForm]) -> Iterator[str]:
    """Names of what ``write_forms`` writes."""
    return (_NAMES[form] for form in forms)
