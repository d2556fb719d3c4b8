"""Segmentations as DICOM RT structure sets (PS3.3 section A.19), which planning systems and most viewers know."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from medseg.core.errors import DataError, GeometryError, OutputError, StudyError
from medseg.core.files import atomic_file
from medseg.core.geometry import Geometry
from medseg.core.labels import Structure
from medseg.core.segmentation import Segmentation

from .contours import outlines
from .dicom_codes import code_item, laterality_code, person_name, plain_text
from .dicom_elements import quietly
from .dicom_file import encode_dicom
from .dicom_head import MANUFACTURER, result_head, sop_class
from .dicom_result import Making, ResultHeader, SourceSeries
from .rtstruct_fill import painted, pieces
from .rtstruct_items import read_contours, read_rois

_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"  # of a retired service, and what the attribute still asks for
_RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])
_SHORT = 16
_LONGEST_DECIMAL = 16
_PARTS_OF_A_PIXEL = 4


def write_structure_set(path: Path, segmentation: Segmentation, source: SourceSeries, header: ResultHeader) -> None:
    """Write the contours of each structure on the planes of its source, atomically; see ``contours.outlines``.

    The file is read back before it takes its place. It is written in Implicit VR Little Endian, since Explicit VR has
    no room for a contour of more than 64 KiB (PS3.5 section 7.1.2). An empty structure is there without contours.

    Args:
        path: Of the file.
        segmentation: On the grid of the source; ROI numbers are its values.
        source: The series that it was made from.
        header: UIDs, description and algorithm.

    Raises:
        GeometryError: If the segmentation lies on another grid than the source.
        StudyError: If the source names no frame of reference, or no SOP class.
        OutputError: If the contours do not give back the voxels, or the file cannot be written.
    """
    _check_grid(segmentation.geometry, source.geometry)
    if not source.headers[0].get("FrameOfReferenceUID"):
        raise StudyError("the series names no frame of reference, which contours refer to; write NIfTI or NRRD instead")
    with quietly():
        dataset = _head(source, header)
        dataset.StructureSetROISequence = []
        dataset.ROIContourSequence = []
        dataset.RTROIObservationsSequence = []
        images = {one.place: _image(source, one.file, one.frame) for one in source.slices}
        for structure, mask in segmentation.masks():
            dataset.StructureSetROISequence.append(_roi(structure, source, header))
            dataset.ROIContourSequence.append(_roi_contour(structure, mask, source.geometry, images))
            dataset.RTROIObservationsSequence.append(_observation(structure))
    content = encode_dicom(dataset, str(ImplicitVRLittleEndian))
    with atomic_file(path) as partial:
        partial.write_bytes(content)
        _check_voxels(partial, segmentation)


def _check_grid(labels: Geometry, source: Geometry) -> None:
    if labels.shape != source.shape:
        sizes = " on the source's ".join("x".join(map(str, grid.shape)) for grid in (labels, source))
        raise GeometryError(f"labels of {sizes} voxels; bring them onto its grid first")
    if not labels.is_close(source):
        offset = labels.offset(source)
        raise GeometryError(f"labels lie {offset:.3g} mm off the grid of the source; bring them there first")


def _check_voxels(path: Path, segmentation: Segmentation) -> None:
    grid = segmentation.geometry
    try:
        filled = [pieces(contours, grid) for contours in read_contours(read_rois(path))]
    except DataError as error:
        raise OutputError(f"contours cannot be read back ({error}); write DICOM SEG instead") from None
    for (structure, mask), parts in zip(segmentation.masks(), filled, strict=True):
        again = painted(parts, grid.shape)
        if not np.array_equal(mask, again):
            raise OutputError(
                f"contours of {structure.name!r} do not give back {np.count_nonzero(mask != again)} of its voxels; "
                "write DICOM SEG instead"
            )


def _head(source: SourceSeries, header: ResultHeader) -> Dataset:
    """All but the structures: patient, study, series, equipment, references (PS3.3 section C.8.8.5)."""
    dataset = result_head(source, header)
    del dataset.ContentDate, dataset.ContentTime  # of images and reports
    dataset.SOPClassUID = RTStructureSetStorage
    dataset.Modality = "RTSTRUCT"
    dataset.OperatorsName = person_name(header.reader) or None
    dataset.FrameOfReferenceUID = source.headers[0].FrameOfReferenceUID
    dataset.PositionReferenceIndicator = None
    dataset.StructureSetLabel = plain_text(header.description, _SHORT) or MANUFACTURER
    dataset.StructureSetDate, dataset.StructureSetTime = dataset.SeriesDate, dataset.SeriesTime
    dataset.ApprovalStatus = "UNAPPROVED"
    dataset.ReferencedFrameOfReferenceSequence = [_frame_of_reference(source)]
    return dataset


def _frame_of_reference(source: SourceSeries) -> Dataset:
    """The study, the series and the instances that contours refer to (PS3.3 section C.8.8.5)."""
    frame, study, series = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = source.headers[0].SeriesInstanceUID
    series.ContourImageSequence = [_instance(one) for one in source.headers]
    study.ReferencedSOPClassUID = _STUDY_CLASS
    study.ReferencedSOPInstanceUID = source.headers[0].StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = source.headers[0].FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _instance(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class(header)
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return item


def _image(source: SourceSeries, file: int, frame: int) -> Dataset:
    item = _instance(source.headers[file])
    if int(source.headers[file].get("NumberOfFrames") or 1) > 1:
        item.ReferencedFrameNumber = frame + 1
    return item


def _roi(structure: Structure, source: SourceSeries, header: ResultHeader) -> Dataset:
    item = Dataset()
    item.ROINumber = structure.value
    item.ReferencedFrameOfReferenceUID = source.headers[0].FrameOfReferenceUID
    item.ROIName = plain_text(structure.name)
    item.ROIGenerationAlgorithm = header.making(structure.name).value
    if header.making(structure.name) is not Making.MANUAL:
        item.ROIGenerationDescription = plain_text(f"{header.algorithm.name} {header.algorithm.version}")
    return item


def _observation(structure: Structure) -> Dataset:
    """What the structure is (PS3.3 section C.8.8.8)."""
    item = Dataset()
    item.ObservationNumber = structure.value
    item.ReferencedROINumber = structure.value
    item.ROIObservationLabel = plain_text(structure.name, _SHORT)
    if structure.category:
        item.SegmentedPropertyCategoryCodeSequence = [code_item(structure.category)]
    if structure.code:
        item.RTROIIdentificationCodeSequence = [code_item(structure.code)]
        if structure.laterality:
            side = code_item(laterality_code(structure.laterality))
            item.RTROIIdentificationCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [side]
    item.RTROIInterpretedType = "ORGAN"
    item.ROIInterpreter = None
    return item


def _roi_contour(
    structure: Structure, mask: NDArray[np.bool_], grid: Geometry, images: Mapping[int, Dataset]
) -> Dataset:
    """The contours of a structure (PS3.3 section C.8.8.6); a slice that was filled in has no image to refer to."""
    item = Dataset()
    item.ReferencedROINumber = structure.value
    item.ROIDisplayColor = list(structure.colour)
    decimals = _decimals(grid)
    contours = []
    for number, (k, points) in enumerate(_polygons(mask), start=1):
        voxels = np.column_stack([points, np.full(len(points), float(k))])
        world = (voxels @ grid.affine[:3, :3].T + grid.affine[:3, 3]) * _RAS_TO_LPS
        contour = Dataset()
        contour.ContourNumber = number
        if k in images:
            contour.ContourImageSequence = [images[k]]
        contour.ContourGeometricType = "CLOSED_PLANAR"
        contour.NumberOfContourPoints = len(points)
        contour[0x30060050] = DataElement(0x30060050, "DS", _decimal_strings(world, decimals), already_converted=True)
        contours.append(contour)
    if contours:
        item.ContourSequence = contours
    return item


def _polygons(mask: NDArray[np.bool_]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """The outlines in each slice, with the slice."""
    flat = np.any(mask, axis=2)
    rows, columns = np.flatnonzero(flat.any(axis=1)), np.flatnonzero(flat.any(axis=0))
    if not len(rows):
        return
    cropped = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    for k in np.flatnonzero(cropped.any(axis=(0, 1))).tolist():
        for points in outlines(cropped[:, :, k]):
            yield k, points + np.array([rows[0], columns[0]])


def _decimals(grid: Geometry) -> int:
    """Decimals that tell a ten-thousandth of a pixel, as far as 16 characters hold them (PS3.5 section 6.2, DS)."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * grid.shape
    largest = np.abs(corners @ grid.affine[:3, :3].T + grid.affine[:3, 3]).max() + max(grid.spacing)
    room = _LONGEST_DECIMAL - len("-.") - len(str(int(largest)))
    wanted = _PARTS_OF_A_PIXEL - math.floor(math.log10(min(grid.spacing)))
    return max(0, min(room, wanted))


def _decimal_strings(points: NDArray[np.float64], decimals: int) -> str:
    values = points.ravel().tolist()
    return "\\".join([f"%.{decimals}f"] * len(values)) % tuple(values)
